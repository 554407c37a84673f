//! A socket, what it is watched for, and whether it takes bytes.

use std::io;
use std::os::fd::AsFd;

use crate::sys::epoll::{Interest, Poller, Token};
use crate::sys::socket::Socket;

/// A socket as the loop sees it.
pub(super) struct Watched {
    pub(super) socket: Socket,
    /// Whether a write is worth trying: not after one that found no room, until the poller says
    /// that there is some.
    pub(super) writable: bool,
    token: Token,
    /// What the poller watches for; `None` while it is not in the poller's set.
    registered: Option<Interest>,
}

impl Watched {
    /// A socket that has been added to the poller's set with `interest`.
    pub(super) fn new(socket: Socket, token: Token, interest: Interest) -> Watched {
        Watched {
            socket,
            writable: true,
            token,
            registered: Some(interest),
        }
    }

    /// A socket that is not watched yet.
    pub(super) fn unwatched(socket: Socket, token: Token, writable: bool) -> Watched {
        Watched {
            socket,
            writable,
            token,
            registered: None,
        }
    }

    /// Whether the poller tells of the peer's hang-up while nothing is read.
    pub(super) fn watches_hangup(&self) -> bool {
        self.registered.is_some_and(|interest| interest.hangup)
    }

    /// Writes what fits; 0 when nothing does, until the poller says otherwise.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.socket.write(bytes) {
            Ok(count) => {
                self.writable = count == bytes.len();
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.writable = false;
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    /// Tells the poller what to watch for, if that has changed.
    pub(super) fn watch(&mut self, poller: &Poller, interest: Interest) -> io::Result<()> {
        match self.registered {
            Some(registered) if registered == interest => return Ok(()),
            Some(_) => poller.modify(self.socket.as_fd(), self.token, interest)?,
            None => poller.add(self.socket.as_fd(), self.token, interest)?,
        }
        self.registered = Some(interest);
        Ok(())
    }

    /// Takes it out of the poller's set: errors and hang-ups cannot be masked, and would wake
    /// the loop again and again.
    pub(super) fn unwatch(&mut self, poller: &Poller) -> io::Result<()> {
        if self.registered.take().is_some() {
            poller.remove(self.socket.as_fd())?;
        }
        Ok(())
    }
}
