//! Non-blocking stream sockets: `socket(7)`, `tcp(7)`, `unix(7)`.

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::cvt;

/// Seconds without traffic after which a peer is probed, between probes, and how many go
/// unanswered before it counts as dead: a peer that vanished is found within a minute.
const KEEPALIVE: (libc::c_int, libc::c_int, libc::c_int) = (30, 10, 3);

/// A listening TCP socket that several pollers may share.
pub struct Listener(TcpListener);

impl Listener {
    /// Listens on `address`; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// The address is in use, not this machine's, or not permitted.
    pub fn bind(address: SocketAddr) -> io::Result<Listener> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        set_tcp_options(listener.as_fd())?;
        Ok(Listener(listener))
    }

    /// The one that the service manager has opened and handed over (sd_listen_fds(3)), if it has. It
    /// stays open there, so that nobody is refused while the agent is started anew.
    ///
    /// # Errors
    /// More than one was handed over, or something else than a listening TCP socket.
    pub fn handed_over() -> io::Result<Option<Listener>> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        if TAKEN.swap(true, Ordering::Relaxed) {
            return Ok(None);
        }
        let mut descriptors = sd_notify::listen_fds()?;
        let count = descriptors.len();
        let Some(descriptor) = descriptors.next() else {
            return Ok(None);
        };
        if count > 1 {
            return Err(io::Error::other(format!(
                "{count} sockets, where one is taken"
            )));
        }
        // SAFETY: setting its close-on-exec flag has shown that it is open, and nobody closes it meanwhile.
        let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
        if option(borrowed, libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? == 0 {
            return Err(io::Error::other("a socket that does not listen"));
        }
        // SAFETY: it is open, and it listens, as nothing does so far that this process has opened: whatever the
        // variables say, nobody else owns it, and it is taken once.
        let listener = unsafe { TcpListener::from_raw_fd(descriptor) };
        listener.local_addr()?;
        listener.set_nonblocking(true)?;
        set_tcp_options(listener.as_fd())?;
        Ok(Some(Listener(listener)))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// `getsockname(2)`.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Takes the next connection from the queue, with its peer's address. It has the listener's
    /// TCP options.
    ///
    /// # Errors
    /// `WouldBlock` when the queue is empty; EMFILE and its like when descriptors have run out.
    pub fn accept(&self) -> io::Result<(Socket, IpAddr)> {
        // SAFETY: all-zero bytes are a valid sockaddr_storage.
        let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
        let mut length = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes to `storage`, which has that many; a
        // descriptor that it returns belongs to nobody else.
        let fd = unsafe {
            let fd = cvt(libc::accept4(
                self.0.as_raw_fd(),
                (&raw mut storage).cast(),
                &raw mut length,
                libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            ))?;
            OwnedFd::from_raw_fd(fd)
        };
        Ok((Socket(fd), peer_address(&storage)))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The address in what `accept4` filled in; an IPv4 peer of an IPv6 socket as IPv4.
fn peer_address(storage: &libc::sockaddr_storage) -> IpAddr {
    if libc::c_int::from(storage.ss_family) == libc::AF_INET6 {
        // SAFETY: the family says that the kernel wrote a sockaddr_in6, which fits into and is
        // aligned no stricter than sockaddr_storage.
        let v6 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in6>() };
        IpAddr::from(v6.sin6_addr.s6_addr).to_canonical()
    } else {
        // SAFETY: TCP sockets are IPv6 or IPv4, so the kernel wrote a sockaddr_in, which fits
        // into and is aligned no stricter than sockaddr_storage.
        let v4 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in>() };
        IpAddr::from(v4.sin_addr.s_addr.to_ne_bytes())
    }
}

/// `path` as `connect(2)` takes it.
///
/// # Errors
/// The path does not fit (`unix(7)`), or a zero byte would end it early.
pub(super) fn unix_address(path: &Path) -> io::Result<libc::sockaddr_un> {
    let bytes = path.as_os_str().as_bytes();
    let mut address = libc::sockaddr_un {
        sun_family: libc::AF_UNIX as libc::sa_family_t,
        sun_path: [0; 108],
    };
    // The last byte stays the terminating zero.
    if bytes.contains(&0) || bytes.len() >= address.sun_path.len() {
        let text = "a socket's path has at most 107 bytes, none of them zero";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    for (place, byte) in address.sun_path.iter_mut().zip(bytes) {
        *place = byte.cast_signed() as libc::c_char;
    }
    Ok(address)
}

/// The socket without a file that is called `name`, as `connect(2)` takes it, and the address's
/// length, which is part of it (`unix(7)`, abstract).
///
/// # Errors
/// The name does not fit.
pub(super) fn abstract_address(name: &str) -> io::Result<(libc::sockaddr_un, usize)> {
    let mut address = libc::sockaddr_un {
        sun_family: libc::AF_UNIX as libc::sa_family_t,
        sun_path: [0; 108],
    };
    // The first byte stays the zero by which it is told from a path.
    let places = address.sun_path.iter_mut().skip(1);
    if name.len() > places.len() {
        let text = "a socket's name has at most 107 bytes";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    for (place, byte) in places.zip(name.bytes()) {
        *place = byte.cast_signed() as libc::c_char;
    }
    let length = mem::offset_of!(libc::sockaddr_un, sun_path) + 1 + name.len();
    Ok((address, length))
}

/// Whether a connection is there already or still on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Open.
    Connected,
    /// It will become writable; then ask [`Socket::progress`].
    Pending,
}

/// A connected (or connecting) stream socket.
pub struct Socket(OwnedFd);

impl Socket {
    /// Connects to the Unix socket at `path`, at once or not at all.
    ///
    /// # Errors
    /// Not there, not permitted, nobody listens; `WouldBlock` when its queue is full.
    pub fn connect_unix(path: &Path) -> io::Result<Socket> {
        let socket = Socket::new(libc::AF_UNIX)?;
        socket.connect(&unix_address(path)?)?;
        Ok(socket)
    }

    /// Starts to connect to `address` by TCP.
    ///
    /// # Errors
    /// What is known at once, such as no route.
    pub fn connect_tcp(address: SocketAddr) -> io::Result<(Socket, Progress)> {
        let (socket, outcome) = match address {
            SocketAddr::V4(v4) => {
                let socket = Socket::new(libc::AF_INET)?;
                let outcome = socket.connect(&libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr {
                        s_addr: u32::from_ne_bytes(v4.ip().octets()),
                    },
                    sin_zero: [0; 8],
                });
                (socket, outcome)
            }
            SocketAddr::V6(v6) => {
                let socket = Socket::new(libc::AF_INET6)?;
                let outcome = socket.connect(&libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr {
                        s6_addr: v6.ip().octets(),
                    },
                    sin6_scope_id: v6.scope_id(),
                });
                (socket, outcome)
            }
        };
        match outcome {
            Ok(()) => Ok((socket, Progress::Connected)),
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
                Ok((socket, Progress::Pending))
            }
            Err(error) => Err(error),
        }
    }

    fn new(family: libc::c_int) -> io::Result<Socket> {
        let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: takes no pointer; a descriptor that it returns belongs to nobody else.
        let fd = unsafe {
            let fd = cvt(libc::socket(family, kind, 0))?;
            OwnedFd::from_raw_fd(fd)
        };
        Ok(Socket(fd))
    }

    /// `Address` is one of the C library's `sockaddr_*` types.
    fn connect<Address>(&self, address: &Address) -> io::Result<()> {
        // SAFETY: `address` is a live `sockaddr_*` of the length given; the kernel only reads it.
        cvt(unsafe {
            libc::connect(
                self.0.as_raw_fd(),
                (&raw const *address).cast(),
                mem::size_of::<Address>() as libc::socklen_t,
            )
        })?;
        Ok(())
    }

    /// How a connection that was [`Progress::Pending`] goes.
    ///
    /// # Errors
    /// Why it failed (`SO_ERROR`).
    pub fn progress(&self) -> io::Result<Progress> {
        match option(self.as_fd(), libc::SOL_SOCKET, libc::SO_ERROR)? {
            0 => Ok(self.has_peer()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    fn has_peer(&self) -> Progress {
        // SAFETY: all-zero bytes are a valid sockaddr_storage; the kernel writes at most
        // `length` bytes to it, which is its size.
        let outcome = unsafe {
            let mut storage: libc::sockaddr_storage = mem::zeroed();
            let mut length = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            libc::getpeername(
                self.0.as_raw_fd(),
                (&raw mut storage).cast(),
                &raw mut length,
            )
        };
        match outcome {
            0 => Progress::Connected,
            _ => Progress::Pending,
        }
    }

    /// Sends small writes at once (`TCP_NODELAY`) and finds out about dead peers
    /// (`SO_KEEPALIVE`).
    ///
    /// # Errors
    /// `setsockopt(2)`.
    pub fn set_tcp_options(&self) -> io::Result<()> {
        set_tcp_options(self.as_fd())
    }

    /// Reads into `space`; 0 is the end of file.
    ///
    /// # Errors
    /// `recv(2)`; `WouldBlock` when there is nothing.
    pub fn read(&self, space: &mut [u8]) -> io::Result<usize> {
        // SAFETY: the kernel writes at most `space.len()` bytes to `space`.
        let count = unsafe {
            libc::recv(
                self.0.as_raw_fd(),
                space.as_mut_ptr().cast(),
                space.len(),
                0,
            )
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    /// Writes as much of `bytes` as fits; a closed peer is an error, not a signal.
    ///
    /// # Errors
    /// `send(2)`; `WouldBlock` when nothing fits.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: the kernel reads at most `bytes.len()` bytes from `bytes`.
        let count = unsafe {
            libc::send(
                self.0.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_NOSIGNAL,
            )
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    /// Ends the writing side: the peer reads the end of file.
    ///
    /// # Errors
    /// `shutdown(2)`; the peer may be gone.
    pub fn shutdown_write(&self) -> io::Result<()> {
        // SAFETY: takes no pointer; the descriptor is open.
        cvt(unsafe { libc::shutdown(self.0.as_raw_fd(), libc::SHUT_WR) })?;
        Ok(())
    }
}

fn option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `value`, which has that many.
    cvt(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    })?;
    Ok(value)
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Small writes at once, and keepalive; what a listener has, its connections inherit (`tcp(7)`).
fn set_tcp_options(fd: BorrowedFd<'_>) -> io::Result<()> {
    let (idle, interval, count) = KEEPALIVE;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    set_option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, idle)?;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, interval)?;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, count)
}

fn set_option(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: `value` is a live int, of the length given; the kernel only reads it.
    cvt(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            mem::size_of::<libc::c_int>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// Whether `accept(2)` failed because descriptors or memory have run out: it will go on failing
/// until some are given back.
pub fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    fn until_ready<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            match attempt() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                outcome => return outcome,
            }
        }
    }

    #[test]
    fn tcp_both_ways() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = Listener::bind(address.parse().unwrap()) else {
                assert!(address.starts_with('['), "no IPv4 here");
                continue;
            };
            let address = listener.address().unwrap();
            let (client, _) = Socket::connect_tcp(address).unwrap();
            let (server, peer) = until_ready(|| listener.accept()).unwrap();
            assert_eq!(peer, address.ip());
            assert_eq!(client.progress().unwrap(), Progress::Connected);
            let nodelay = option(server.as_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY);
            let idle = option(server.as_fd(), libc::IPPROTO_TCP, libc::TCP_KEEPIDLE);
            assert_eq!((nodelay.unwrap(), idle.unwrap()), (1, KEEPALIVE.0));
            assert_eq!(until_ready(|| client.write(b"hello")).unwrap(), 5);
            client.shutdown_write().unwrap();
            let mut space = [0; 16];
            assert_eq!(until_ready(|| server.read(&mut space)).unwrap(), 5);
            assert_eq!(&space[..5], b"hello");
            assert_eq!(until_ready(|| server.read(&mut space)).unwrap(), 0);
        }
    }

    #[test]
    fn unix_and_its_failures() {
        let dir = std::env::temp_dir().join(format!("haven-sys-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("s");
        let missing = Socket::connect_unix(&path).err().unwrap();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let listener = UnixListener::bind(&path).unwrap();
        let socket = Socket::connect_unix(&path).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        socket.write(b"abc").unwrap();
        let mut read = [0; 3];
        peer.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"abc");
        peer.write_all(b"z").unwrap();
        drop((peer, listener));
        let gone = until_ready(|| socket.write(b"x")).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);
        let refused = Socket::connect_unix(&path).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let long = Socket::connect_unix(Path::new(&"x".repeat(108)))
            .err()
            .unwrap();
        assert_eq!(long.kind(), io::ErrorKind::InvalidInput);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_refused_tcp_connection_says_so() {
        let address = Listener::bind("127.0.0.1:0".parse().unwrap())
            .unwrap()
            .address()
            .unwrap();
        let outcome = Socket::connect_tcp(address).and_then(|(socket, _)| {
            until_ready(|| socket.write(b"x").map(drop))?;
            socket.progress().map(drop)
        });
        assert!(outcome.is_err());
    }
}
