//! Readiness: `epoll(7)`, level-triggered.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::cvt;

/// Events that one call of [`Poller::wait`] may bring; more wait in the kernel.
const MAX_EVENTS: usize = 256;

/// Names a registered descriptor: a place in a table, and which of its tenants is meant, so that
/// an event that was queued before a place changed hands is not taken for the new tenant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The place.
    pub index: u32,
    /// The tenant.
    pub generation: u32,
}

impl Token {
    fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    fn from_bits(bits: u64) -> Token {
        Token {
            index: (bits & u64::from(u32::MAX)) as u32,
            generation: (bits >> 32) as u32,
        }
    }
}

/// What to be told of. EPOLLERR and EPOLLHUP are always told and cannot be masked: a descriptor
/// with nothing else to wait for has to leave the set, or they spin the loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// There is something to read, or the end of file.
    pub read: bool,
    /// There is room to write.
    pub write: bool,
    /// The peer has shut down its writing side, whatever is still unread.
    pub hangup: bool,
    /// Wake one of the pollers that share the descriptor, not all (EPOLLEXCLUSIVE).
    pub exclusive: bool,
}

impl Interest {
    /// Whether there is nothing to be told of.
    pub fn is_empty(self) -> bool {
        !(self.read || self.write || self.hangup)
    }

    fn bits(self) -> u32 {
        let bit = |set: bool, flag: libc::c_int| if set { flag.cast_unsigned() } else { 0 };
        bit(self.read, libc::EPOLLIN)
            | bit(self.write, libc::EPOLLOUT)
            | bit(self.hangup, libc::EPOLLRDHUP)
            | bit(self.exclusive, libc::EPOLLEXCLUSIVE)
    }
}

/// What has happened to a descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// Which one.
    pub token: Token,
    /// A read will not block: data, end of file, or an error to be collected.
    pub readable: bool,
    /// A write will not block.
    pub writable: bool,
    /// The peer has shut down its writing side.
    pub hangup: bool,
    /// Both directions are over (EPOLLHUP), or an error is pending (EPOLLERR).
    pub broken: bool,
}

/// Room for the events of one wait.
pub struct Events {
    list: Box<[libc::epoll_event]>,
    count: usize,
}

impl Events {
    /// Empty.
    pub fn new() -> Events {
        let empty = libc::epoll_event { events: 0, u64: 0 };
        Events {
            list: vec![empty; MAX_EVENTS].into_boxed_slice(),
            count: 0,
        }
    }

    /// The event at `position`, in the order in which the kernel told them.
    pub fn get(&self, position: usize) -> Option<Event> {
        let raw = self.list.get(..self.count)?.get(position)?;
        let (bits, token) = (raw.events, raw.u64);
        let has = |flags: libc::c_int| bits & flags.cast_unsigned() != 0;
        Some(Event {
            token: Token::from_bits(token),
            readable: has(libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR),
            writable: has(libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR),
            hangup: has(libc::EPOLLRDHUP),
            broken: has(libc::EPOLLHUP | libc::EPOLLERR),
        })
    }
}

impl Default for Events {
    fn default() -> Self {
        Events::new()
    }
}

/// A set of watched descriptors.
pub struct Poller(OwnedFd);

impl Poller {
    /// An empty set.
    ///
    /// # Errors
    /// `epoll_create1(2)`: no descriptor or memory left.
    pub fn new() -> io::Result<Poller> {
        // SAFETY: takes no pointer; a descriptor that it returns belongs to nobody else.
        let fd = unsafe {
            let fd = cvt(libc::epoll_create1(libc::EPOLL_CLOEXEC))?;
            OwnedFd::from_raw_fd(fd)
        };
        Ok(Poller(fd))
    }

    /// Starts to watch `fd`.
    ///
    /// # Errors
    /// `epoll_ctl(2)`.
    pub fn add(&self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    /// Changes what a watched `fd` is watched for.
    ///
    /// # Errors
    /// `epoll_ctl(2)`.
    pub fn modify(&self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    /// Stops watching `fd`.
    ///
    /// # Errors
    /// `epoll_ctl(2)`.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let nobody = Token {
            index: 0,
            generation: 0,
        };
        self.control(libc::EPOLL_CTL_DEL, fd, nobody, Interest::default())
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: interest.bits(),
            u64: token.to_bits(),
        };
        // SAFETY: both descriptors are open for the length of the call, and `event` is a live
        // `epoll_event` that the kernel only reads.
        cvt(unsafe {
            libc::epoll_ctl(
                self.0.as_raw_fd(),
                operation,
                fd.as_raw_fd(),
                &raw mut event,
            )
        })?;
        Ok(())
    }

    /// Waits for events, at most for `timeout` (rounded up to milliseconds); a signal ends the
    /// wait early, without events.
    ///
    /// # Errors
    /// `epoll_wait(2)`, other than EINTR.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        let millis = timeout.map_or(-1, |timeout| {
            let rounded_up = timeout.as_nanos().div_ceil(1_000_000);
            libc::c_int::try_from(rounded_up).unwrap_or(libc::c_int::MAX)
        });
        events.count = 0;
        // SAFETY: the kernel writes at most MAX_EVENTS entries, which `list` has room for, and
        // `list` outlives the call.
        let outcome = cvt(unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                events.list.as_mut_ptr(),
                MAX_EVENTS as libc::c_int,
                millis,
            )
        });
        match outcome {
            Ok(count) => events.count = count.cast_unsigned() as usize,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(events.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    const TOKEN: Token = Token {
        index: u32::MAX,
        generation: 7,
    };

    #[test]
    fn an_event_carries_its_token() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let poller = Poller::new().unwrap();
        let mut events = Events::new();
        let read = Interest {
            read: true,
            ..Interest::default()
        };
        poller.add(far.as_fd(), TOKEN, read).unwrap();
        assert_eq!(poller.wait(&mut events, Some(Duration::ZERO)).unwrap(), 0);
        near.write_all(b"x").unwrap();
        assert_eq!(poller.wait(&mut events, None).unwrap(), 1);
        let event = events.get(0).unwrap();
        assert_eq!(event.token, TOKEN);
        assert!(event.readable && !event.writable && !event.broken);
        assert!(events.get(1).is_none());
    }

    #[test]
    fn a_removed_descriptor_is_silent_even_when_its_peer_is_gone() {
        let (near, far) = UnixStream::pair().unwrap();
        let poller = Poller::new().unwrap();
        let mut events = Events::new();
        poller.add(far.as_fd(), TOKEN, Interest::default()).unwrap();
        drop(near);
        assert_eq!(poller.wait(&mut events, None).unwrap(), 1);
        assert!(events.get(0).unwrap().broken);
        poller.remove(far.as_fd()).unwrap();
        assert_eq!(poller.wait(&mut events, Some(Duration::ZERO)).unwrap(), 0);
    }
}
