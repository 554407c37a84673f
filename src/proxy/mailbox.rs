//! What other threads tell a loop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use crate::auth::Verdict;
use crate::sys::epoll::Token;
use crate::sys::signal::Waker;

/// A message to a loop.
pub enum Message {
    /// The verdict on the request of a session.
    Verdict(Token, Verdict),
    /// Settings and files were read again.
    Reloaded,
    /// Take no new clients; end when the present ones have.
    Drain,
    /// End now.
    Stop,
}

/// A queue with a descriptor that becomes readable when something is in it. Bounded by those
/// who post: a verdict for each request that waits, two signals, a reload in some time.
pub struct Mailbox {
    messages: Mutex<Vec<Message>>,
    waker: Waker,
}

impl Mailbox {
    /// Empty.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn new() -> io::Result<Mailbox> {
        Ok(Mailbox {
            messages: Mutex::new(Vec::new()),
            waker: Waker::new()?,
        })
    }

    /// Adds a message and wakes the loop.
    pub fn post(&self, message: Message) {
        self.messages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(message);
        self.waker.wake();
    }

    /// Takes all messages.
    pub fn take(&self) -> Vec<Message> {
        self.waker.reset();
        std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}
