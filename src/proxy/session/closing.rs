//! How a session ends: what is left is flushed, the goodbye said, and the client read to its end.
//!
//! A close with unread input resets the connection, and the client loses what it had not read
//! yet: the 401 to a big upload, the tail of an exec whose stdin was still being sent. So every
//! close that follows bytes of ours lingers (RFC 9112 §9.6).
//!
//! An answer that a user is still reading is a stream, as it was while Docker sent it: however long
//! the user pauses, TCP's keepalive and retransmissions alone find out that they are gone. The limits
//! below count from the moment that all of it is taken, and at once for whom nobody knows.

use std::io;
use std::time::{Duration, Instant};

use super::{Context, Over, Phase, Session};
use crate::proxy::conn::Close;
use crate::sys::epoll::Event;

/// How long a closing connection may make no progress at all.
const STALL: Duration = Duration::from_secs(5);

/// How long, and for how many bytes, a client is read to its end.
const LINGER_TIME: Duration = Duration::from_secs(30);
const LINGER_BYTES: usize = 256 * 1024 * 1024;

/// Bytes read at a time, to be thrown away.
const LINGER_READ: usize = 16 * 1024;

/// The steps that are still to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Seal what the [`Conn`](crate::proxy::conn::Conn) has left, and a `close_notify`.
    Notify,
    /// Flush what is sealed, then shut the writing side down.
    Shut,
    /// Read, and throw away.
    Linger,
}

/// The end of a session.
pub(super) struct Closing {
    step: Step,
    /// Bytes of the client's that were thrown away.
    drained: usize,
    /// When the limits began to count; not while the client is owed an answer.
    since: Option<Instant>,
    /// When something moved last.
    moved_at: Instant,
}

impl Closing {
    /// Flushes and shuts down, with a `close_notify` if `notify`.
    pub(super) fn new(notify: bool, now: Instant) -> Closing {
        Closing {
            step: if notify { Step::Notify } else { Step::Shut },
            drained: 0,
            since: None,
            moved_at: now,
        }
    }

    /// When it is over, whatever is left.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let since = self.since?;
        Some((self.moved_at + STALL).min(since + LINGER_TIME))
    }

    /// Whether a `close_notify` is still to be sealed.
    pub(super) fn owes_notify(&self) -> bool {
        self.step == Step::Notify
    }

    /// The same, once: the caller seals it now.
    pub(super) fn take_notify(&mut self) -> bool {
        let owed = self.owes_notify();
        if owed {
            self.step = Step::Shut;
        }
        owed
    }

    /// Something has `moved`, or not, and the client is still `owed` an answer, or not.
    fn keep_time(&mut self, moved: bool, owed: bool, now: Instant) {
        if moved || self.since.is_none() {
            self.moved_at = now;
        }
        if !owed {
            self.since.get_or_insert(now);
        }
    }
}

impl Session {
    /// Begins and continues the closing once the [`Conn`](crate::proxy::conn::Conn) is over.
    /// `moved`: something has just been flushed. Says whether there is more to do.
    pub(super) fn close_if_over(
        &mut self,
        moved: bool,
        cx: &mut Context<'_>,
    ) -> Result<bool, Over> {
        if !matches!(self.phase, Phase::Closing(_)) {
            return match self.conn.close_due() {
                None => Ok(false),
                Some(Close::Gone(why)) => Err(why),
                Some(close) => {
                    ::log::debug!("{}: closing: {}", self.peer, close.reason());
                    self.begin_closing(matches!(close, Close::Finished(_)), cx);
                    Ok(true)
                }
            };
        }
        let all_flushed = self.sealed_out.is_empty() && self.conn.to_client().is_empty();
        let owed = self.conn.is_owed();
        let Phase::Closing(closing) = &mut self.phase else {
            return Ok(false);
        };
        closing.keep_time(moved, owed, cx.now);
        match closing.step {
            Step::Shut if all_flushed => {
                closing.step = Step::Linger;
                // Where that fails the client is gone, and reading says so.
                let _ = self.client.socket.shutdown_write();
                Ok(true)
            }
            Step::Linger if self.client_shut => Err("closed"),
            _ => Ok(false),
        }
    }

    /// From here on nothing comes from Docker, and nothing of the client's counts.
    pub(super) fn begin_closing(&mut self, notify: bool, cx: &mut Context<'_>) {
        self.docker = None;
        self.docker_in.clear();
        self.opened_in.clear();
        self.retry_at = None;
        self.phase = Phase::Closing(Closing::new(notify, cx.now));
    }

    /// Reads and throws away what the client still sends.
    pub(super) fn linger(&mut self, event: Event, now: Instant) -> Result<(), Over> {
        let Phase::Closing(closing) = &mut self.phase else {
            return Ok(());
        };
        if !event.readable || self.client_shut {
            return if event.broken { Err("closed") } else { Ok(()) };
        }
        // Docker's buffer is free: its connection has been dropped.
        let space = self.docker_in.space_for(LINGER_READ);
        let read = self.client.socket.read(space);
        self.docker_in.commit(0);
        match read {
            Ok(0) => self.client_shut = true,
            Ok(count) => {
                closing.moved_at = now;
                closing.drained += count;
                if closing.drained > LINGER_BYTES {
                    return Err("closed while the client was still sending");
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Err("the connection to the client broke"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_is_owed_nothing_has_a_limit_from_the_first_moment() {
        let start = Instant::now();
        let mut closing = Closing::new(true, start);
        closing.keep_time(true, false, start);
        assert_eq!(closing.deadline(), Some(start + STALL));
        closing.keep_time(false, false, start + SECOND);
        assert_eq!(closing.deadline(), Some(start + STALL));
        closing.keep_time(true, false, start + SECOND);
        assert_eq!(closing.deadline(), Some(start + SECOND + STALL));
        // Progress earns no more than that.
        closing.keep_time(true, false, start + LINGER_TIME);
        assert_eq!(closing.deadline(), Some(start + LINGER_TIME));
    }

    #[test]
    fn who_is_owed_an_answer_has_one_once_it_is_taken() {
        let start = Instant::now();
        let taken = start + 100 * LINGER_TIME;
        let mut closing = Closing::new(true, start);
        closing.keep_time(true, true, start);
        assert_eq!(closing.deadline(), None);
        closing.keep_time(false, true, taken - SECOND);
        assert_eq!(closing.deadline(), None);
        closing.keep_time(false, false, taken);
        assert_eq!(closing.deadline(), Some(taken + STALL));
        closing.keep_time(true, false, taken + LINGER_TIME);
        assert_eq!(closing.deadline(), Some(taken + LINGER_TIME));
    }
}
