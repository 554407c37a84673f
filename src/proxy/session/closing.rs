//! How a session ends: what is left is flushed, the goodbye said, and the client read to its end.
//!
//! A close with unread input resets the connection, and the client loses what it had not read
//! yet: the 401 to a big upload, the tail of an exec whose stdin was still being sent. So every
//! close that follows bytes of ours lingers (RFC 9112 §9.6).

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
    Linger { drained: usize },
}

/// The end of a session.
pub(super) struct Closing {
    step: Step,
    stalls_at: Instant,
    ends_at: Instant,
}

impl Closing {
    /// Flushes and shuts down, with a `close_notify` if `notify`.
    pub(super) fn new(notify: bool, now: Instant) -> Closing {
        Closing {
            step: if notify { Step::Notify } else { Step::Shut },
            stalls_at: now + STALL,
            ends_at: now + LINGER_TIME + STALL,
        }
    }

    /// When it is over, whatever is left.
    pub(super) fn deadline(&self) -> Instant {
        self.stalls_at.min(self.ends_at)
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

    fn progress(&mut self, now: Instant) {
        self.stalls_at = now + STALL;
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
        let Phase::Closing(closing) = &mut self.phase else {
            return Ok(false);
        };
        if moved {
            closing.progress(cx.now);
        }
        match closing.step {
            Step::Shut if all_flushed => {
                closing.step = Step::Linger { drained: 0 };
                // Where that fails the client is gone, and reading says so.
                let _ = self.client.socket.shutdown_write();
                Ok(true)
            }
            Step::Linger { .. } if self.client_shut => Err("closed"),
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
                closing.progress(now);
                if let Step::Linger { drained } = &mut closing.step {
                    *drained += count;
                    if *drained > LINGER_BYTES {
                        return Err("closed while the client was still sending");
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Err("the connection to the client broke"),
        }
        Ok(())
    }
}
