//! What other threads tell a loop, and whether it still listens.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
    letters: Mutex<Letters>,
    waker: Waker,
}

#[derive(Default)]
struct Letters {
    messages: Vec<Message>,
    /// Since when a sign of life is asked for; none: it was given.
    asked: Option<Instant>,
    /// The loop has ended.
    closed: bool,
}

impl Mailbox {
    /// Empty.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn new() -> io::Result<Mailbox> {
        Ok(Mailbox {
            letters: Mutex::default(),
            waker: Waker::new()?,
        })
    }

    /// Adds a message and wakes the loop.
    pub fn post(&self, message: Message) {
        self.letters().messages.push(message);
        self.waker.wake();
    }

    /// Takes all messages, which is the sign of life that [`Mailbox::ask`] asks for.
    pub fn take(&self) -> Vec<Message> {
        self.waker.reset();
        let mut letters = self.letters();
        letters.asked = None;
        std::mem::take(&mut letters.messages)
    }

    /// Has the loop give a sign of life, for which it has to come back from whatever it does. It
    /// costs nothing while nobody asks: an idle loop is not woken.
    pub fn ask(&self, now: Instant) {
        let mut letters = self.letters();
        if !letters.closed {
            letters.asked.get_or_insert(now);
            self.waker.wake();
        }
    }

    /// The loop has ended, and owes nothing any more.
    pub fn close(&self) {
        let mut letters = self.letters();
        letters.closed = true;
        letters.asked = None;
    }

    /// For how long the loop has owed its sign of life; none: it owes none.
    pub fn silence(&self, now: Instant) -> Option<Duration> {
        let asked = self.letters().asked?;
        Some(now.saturating_duration_since(asked))
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_lasts_from_the_first_question_until_the_mail_is_taken() {
        let mailbox = Mailbox::new().unwrap();
        let start = Instant::now();
        let after = |secs| start + Duration::from_secs(secs);
        assert_eq!(mailbox.silence(after(9)), None);
        mailbox.ask(after(1));
        mailbox.ask(after(5));
        assert_eq!(mailbox.silence(after(7)), Some(Duration::from_secs(6)));
        mailbox.post(Message::Drain);
        assert_eq!(mailbox.take().len(), 1);
        assert_eq!(mailbox.silence(after(9)), None);
        mailbox.ask(after(10));
        assert_eq!(mailbox.silence(after(10)), Some(Duration::ZERO));
        mailbox.close();
        mailbox.ask(after(11));
        assert_eq!(mailbox.silence(after(12)), None);
    }
}
