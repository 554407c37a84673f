//! A blocking connection that ends at a deadline, however slowly its peer trickles.

use super::cvt;
use super::socket::{abstract_address, unix_address};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Connected by TCP or to a Unix socket; every read and write gets only the time that is left.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    deadline: Instant,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Connects to a Unix socket. A listener whose queue is full is waited for until the deadline
    /// (`unix(7)`: connect blocks, for as long as `SO_SNDTIMEO` lets it).
    ///
    /// # Errors
    /// `connect(2)` (`EAGAIN`: the queue is full to the end), or the path is too long.
    pub fn unix(path: &Path, deadline: Instant) -> io::Result<Stream> {
        let address = unix_address(path)?;
        let socket = unix_socket()?;
        socket.set_write_timeout(Some(remaining(deadline)?))?;
        connect(&socket, &address, size_of_val(&address))?;
        Ok(Stream::over(socket, deadline))
    }

    /// Connects to the Unix socket without a file that is called `name`, at once or not at all.
    ///
    /// # Errors
    /// Nobody listens there; `WouldBlock` when its queue is full.
    pub fn abstract_unix(name: &str, deadline: Instant) -> io::Result<Stream> {
        let (address, length) = abstract_address(name)?;
        let socket = unix_socket()?;
        socket.set_nonblocking(true)?;
        connect(&socket, &address, length)?;
        socket.set_nonblocking(false)?;
        Ok(Stream::over(socket, deadline))
    }

    /// A connection that is there already, as one that a listener has accepted.
    pub fn over(socket: UnixStream, deadline: Instant) -> Stream {
        Stream {
            socket: Socket::Unix(socket),
            deadline,
        }
    }

    /// Gives reads and writes until `deadline` from now on.
    pub fn extend(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Resolves `host` (a name, an IPv4 address or an IPv6 address without brackets) and connects
    /// to the first of its addresses that answers; none may use up the time of those after it.
    /// The look-up itself is bounded by the resolver's own time-outs only.
    ///
    /// # Errors
    /// The name has no address, or why the last of them failed; `TimedOut` at the deadline.
    pub fn tcp(host: &str, port: u16, deadline: Instant) -> io::Result<Stream> {
        let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for (tried, address) in addresses.iter().enumerate() {
            let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            let share = (remaining(deadline)? / left).max(SHORTEST_WAIT);
            match TcpStream::connect_timeout(address, share) {
                Ok(socket) => {
                    return Ok(Stream {
                        socket: Socket::Tcp(socket),
                        deadline,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn unix_socket() -> io::Result<UnixStream> {
    // SAFETY: a plain call; the descriptor it returns is new and owned by nobody else.
    unsafe {
        let fd = cvt(libc::socket(
            libc::AF_UNIX,
            libc::SOCK_STREAM | libc::SOCK_CLOEXEC,
            0,
        ))?;
        Ok(UnixStream::from(OwnedFd::from_raw_fd(fd)))
    }
}

fn connect(socket: &UnixStream, address: &libc::sockaddr_un, length: usize) -> io::Result<()> {
    // SAFETY: `address` is a live, initialised `sockaddr_un`, and `length`, which is at most its
    // size, says how much of it is meant; the kernel only reads it.
    cvt(unsafe {
        libc::connect(
            socket.as_raw_fd(),
            (&raw const *address).cast(),
            length.min(size_of_val(address)) as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// Who is at the other end of a Unix socket (`unix(7)`, `SO_PEERCRED`): who connected, or who
/// listens, at the time when they did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The process, 0 where it is outside of this process's PID namespace.
    pub pid: u32,
    /// Its effective user.
    pub uid: u32,
}

impl Stream {
    /// Who is at the other end.
    ///
    /// # Errors
    /// `getsockopt(2)`; by TCP nobody can be told.
    pub fn peer(&self) -> io::Result<Peer> {
        let Socket::Unix(socket) = &self.socket else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let mut found = libc::ucred {
            pid: 0,
            uid: 0,
            gid: 0,
        };
        let mut length = size_of_val(&found) as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes to `found`, which has that many, and any
        // bytes are a `ucred`.
        cvt(unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                (&raw mut found).cast(),
                &raw mut length,
            )
        })?;
        Ok(Peer {
            pid: u32::try_from(found.pid).unwrap_or(0),
            uid: found.uid,
        })
    }
}

/// A time-out of zero would mean none.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// What is left until `deadline`; an error where nothing is.
fn remaining(deadline: Instant) -> io::Result<Duration> {
    match deadline.checked_duration_since(Instant::now()) {
        Some(left) if !left.is_zero() => Ok(left.max(SHORTEST_WAIT)),
        _ => Err(io::ErrorKind::TimedOut.into()),
    }
}

impl Read for Stream {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let left = Some(remaining(self.deadline)?);
        match &mut self.socket {
            Socket::Tcp(socket) => {
                socket.set_read_timeout(left)?;
                socket.read(block)
            }
            Socket::Unix(socket) => {
                socket.set_read_timeout(left)?;
                socket.read(block)
            }
        }
    }
}

impl Write for Stream {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        let left = Some(remaining(self.deadline)?);
        match &mut self.socket {
            Socket::Tcp(socket) => {
                socket.set_write_timeout(left)?;
                socket.write(block)
            }
            Socket::Unix(socket) => {
                socket.set_write_timeout(left)?;
                socket.write(block)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::thread;

    fn soon(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    fn is_timeout(error: &io::Error) -> bool {
        matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
        )
    }

    #[test]
    fn a_peer_that_trickles_does_not_extend_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let peer = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            while socket.write_all(b".").is_ok() {
                thread::sleep(Duration::from_millis(5));
            }
        });
        let mut stream = Stream::tcp("127.0.0.1", port, soon(200)).unwrap();
        let error = io::copy(&mut stream, &mut io::sink()).unwrap_err();
        assert!(is_timeout(&error), "{error}");
        drop(stream);
        peer.join().unwrap();
    }

    #[test]
    fn a_listener_with_a_full_queue_is_not_waited_for_for_ever() {
        let dir = std::env::temp_dir().join(format!("haven-stream-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("deaf.sock");
        let listener = UnixListener::bind(&path).unwrap();
        // SAFETY: a plain call on a descriptor that lives; it shortens the queue.
        cvt(unsafe { libc::listen(listener.as_raw_fd(), 1) }).unwrap();
        let mut held = Vec::new();
        let error = loop {
            match Stream::unix(&path, soon(100)) {
                Ok(stream) => held.push(stream),
                Err(error) => break error,
            }
        };
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(is_timeout(&error), "after {}: {error}", held.len());
    }

    #[test]
    fn each_end_of_a_socket_without_a_file_knows_the_other() {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::SocketAddr;
        let name = format!("haven-stream-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let mut near = Stream::abstract_unix(&name, soon(20_000)).unwrap();
        let mut far = Stream::over(listener.accept().unwrap().0, soon(20_000));
        let (pid, uid) = (std::process::id(), crate::sys::process::effective_uid());
        assert_eq!(near.peer().unwrap(), Peer { pid, uid });
        assert_eq!(far.peer().unwrap(), Peer { pid, uid });
        near.write_all(b"abc").unwrap();
        let mut heard = [0; 3];
        far.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"abc");
        assert!(Stream::abstract_unix(&"x".repeat(108), soon(1000)).is_err());
    }

    #[test]
    fn a_path_that_does_not_fit_is_refused() {
        let path = "/x".repeat(60);
        let error = Stream::unix(Path::new(&path), soon(1000)).unwrap_err();
        assert!(error.to_string().contains("107 bytes"), "{error}");
    }

    #[test]
    fn the_next_address_of_a_name_is_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // `localhost` is often `::1` first, where nobody listens.
        Stream::tcp("localhost", port, soon(20_000)).unwrap();
    }
}
