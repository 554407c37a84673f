//! One proxied connection, sans-IO: what may be read, written, opened and closed, and when.
//!
//! Two machines run side by side, since Docker may answer before a request's body has ended:
//!
//! ```text
//! Up    Head ─▶ Auth ─▶ Judged ─▶ Connect ─▶ Body ─▶ Done ─▶ (Head)   aside: Discard, Tunnel, Closed
//! Down  Idle ────────────────────────────────▶ Head ─▶ Body ─▶ (Idle)  aside: Tunnel, Closed
//! ```
//!
//! - **Up** is the request. `Head` awaits or collects its head; `Auth` waits for a verdict that
//!   takes time; `Judged` for a body that is judged whole (`judged.rs`), which most are not;
//!   `Connect` for a connection to Docker; `Body` forwards; `Done` waits for the
//!   answer. `Discard` reads what nobody wants any more, so that the client gets to the answer.
//! - **Down** is the answer, from the moment the request is on its way.
//! - A `101`, or Docker's older hijack by a `200`, turns both into `Tunnel`.
//! - `Closed` remembers why; the shell flushes what is left, then closes as [`Close`] says.
//!
//! The shell feeds one input, then flushes [`Conn::to_docker`] and [`Conn::to_client`], and asks
//! [`Conn::wants`] and [`Conn::deadline`]. Time is an argument. Nothing is forwarded before its
//! verdict: a request's canonical form stays inside [`Up`] until it may pass.

use std::collections::VecDeque;
use std::time::Instant;

use crate::buf::{Buf, CHUNK};
use crate::http::body::{Body, Coding, Framing};
use crate::http::head::{HeadFinder, HeadLimits, MAX_HEAD, RequestHead, Version};
mod deadlines;
mod down;
mod exchange;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod judged;
#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, allow(dead_code, reason = "tests alone use the rest"))]
#[path = "tests/shell.rs"]
mod shell;
mod up;

#[cfg(test)]
mod tests;

pub use deadlines::Times;
pub use exchange::Access;
use exchange::Exchange;
use judged::Judged;
pub use up::Judge;

use crate::proxy::outbox::Outbox;
use crate::proxy::reply::Reply;
use crate::proxy::tunnel::{Due, Flow};

/// How large, and how many, a connection's requests may be.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// A request's head.
    pub head: HeadLimits,
    /// The body of a request that is judged by it.
    pub judged_body: usize,
    /// Requests until the connection is closed with the answer to the last.
    pub requests: u32,
}

/// Exchanges that may finish before the shell asks for their records. Only requests that were
/// sent ahead and are refused finish that fast, and nobody needs to be refused more often.
const MAX_FINISHED: usize = 32;

/// What the shell should watch for and do; computed from the state, never toggled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Read from the client.
    pub read_client: bool,
    /// Read from Docker.
    pub read_docker: bool,
    /// Open a connection to Docker, then call [`Conn::docker_open`] or [`Conn::docker_failed`].
    pub connect: bool,
    /// Close the connection to Docker.
    pub drop_docker: bool,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// All that was to be said has been said: `close_notify`, FIN, linger.
    Finished(&'static str),
    /// An answer was cut short: FIN and linger, but no `close_notify`, so that the client knows.
    Cut(&'static str),
    /// The client is gone: nothing more can reach it.
    Gone(&'static str),
}

impl Close {
    /// Why, for a log.
    pub fn reason(self) -> &'static str {
        match self {
            Close::Finished(why) | Close::Cut(why) | Close::Gone(why) => why,
        }
    }
}

/// A request that was judged or is about to be, in the form in which it would be forwarded.
struct Request {
    canonical: Buf,
    /// Of what is still to come behind that.
    framing: Framing,
}

enum Up {
    Head(HeadFinder),
    Auth(Request),
    Judged(Box<Judged>),
    Connect(Request),
    Body(Body, Coding),
    Done,
    Discard,
    Tunnel(Flow),
    Closed,
}

enum Down {
    Idle,
    Head(HeadFinder),
    Body(Body, Coding),
    Tunnel(Flow),
    Closed(Close),
}

/// The connection to Docker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upstream {
    None,
    Open {
        /// A request has been answered on it: the next one may find it stale.
        used: bool,
        /// It takes no more bytes.
        deaf: bool,
    },
}

/// The two machines and what is between them.
pub struct Conn {
    up: Up,
    down: Down,
    upstream: Upstream,
    exchange: Option<Exchange>,
    to_docker: Outbox,
    to_client: Buf,
    /// Finished exchanges that the shell has not yet asked for, at most [`MAX_FINISHED`].
    finished: VecDeque<Access>,
    times: Times,
    sizes: Sizes,
    /// Requests so far.
    requests: u32,
    /// Log safe methods too; otherwise their lines are not even made.
    log_reads: bool,
    draining: bool,
    /// The client has sent `close_notify`: no further request will come.
    client_done: bool,
    /// Docker's own wish that its connection end with this answer.
    docker_closes: bool,
    /// The answer at hand is the last one on this connection.
    last_answer: bool,
    /// The client, who is known, has not taken all of an answer yet.
    owes: bool,
    /// No request has come yet.
    first: bool,
    /// Somebody has been let in by a request.
    known: bool,
    /// When the present wait began.
    since: Instant,
}

impl Conn {
    /// A connection made at `now`, whose handshake is still to come.
    pub fn new(times: Times, sizes: Sizes, log_reads: bool, now: Instant) -> Conn {
        Conn {
            up: Up::Head(HeadFinder::within(sizes.head)),
            down: Down::Idle,
            upstream: Upstream::None,
            exchange: None,
            to_docker: Outbox::new(RequestHead::canonical_bound(MAX_HEAD) + CHUNK),
            to_client: Buf::new(RequestHead::canonical_bound(MAX_HEAD) + CHUNK),
            finished: VecDeque::new(),
            times,
            sizes,
            requests: 0,
            log_reads,
            draining: false,
            client_done: false,
            docker_closes: false,
            last_answer: false,
            owes: false,
            first: true,
            known: false,
            since: now,
        }
    }

    /// From the next request on safe methods are logged as well, or are not.
    pub fn log_reads(&mut self, log_reads: bool) {
        self.log_reads = log_reads;
    }

    /// Whether somebody has been let in on this connection.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// The handshake has ended: the wait for the first head begins.
    pub fn begin(&mut self, now: Instant) {
        self.since = now;
    }

    // ---------------------------------------------------------------- how an exchange ends

    /// The answer is complete. The next request may come, unless this was the last.
    fn answer_done(&mut self, now: Instant) {
        let whole = matches!(self.up, Up::Done);
        // What is not sent yet never will be: there the next request would be taken for the rest of this one.
        let sent = self.to_docker.pending().is_empty();
        self.upstream = match self.upstream {
            Upstream::Open { deaf: false, .. } if whole && sent && !self.docker_closes => {
                Upstream::Open {
                    used: true,
                    deaf: false,
                }
            }
            _ => Upstream::None,
        };
        self.to_docker.clear();
        if self.is_last_answer() || !whole {
            self.close(Close::Finished("the last answer is given"));
        } else {
            self.finish_exchange();
            self.up = Up::Head(HeadFinder::within(self.sizes.head));
            self.down = Down::Idle;
            self.since = now;
        }
    }

    /// Answers the request at hand by ourselves.
    fn reply(&mut self, reply: &Reply, now: Instant) {
        let exchange = self.exchange.get_or_insert_with(|| Exchange::unread(now));
        exchange.status = reply.status;
        // An HTTP/1.0 client would have to be told that the connection stays (RFC 9112 §9.3).
        self.last_answer |= !exchange.keep_alive || exchange.version == Version::Http10;
        let with_body = !exchange.is_head;
        self.last_answer = self.is_last_answer();
        reply.write(&mut self.to_client, self.last_answer, with_body);
        self.docker_closes = false;
        self.answer_done(now);
    }

    /// Whether no further request is taken after the one at hand.
    fn is_last_answer(&self) -> bool {
        self.last_answer
            || self.draining
            || self.client_done
            || self.requests >= self.sizes.requests
            || self.finished.len() + 1 >= MAX_FINISHED
    }

    /// The exchange cannot go on: say so while the client can still be told, else cut.
    fn give_up(&mut self, reply: Reply, why: &'static str, now: Instant) {
        self.upstream = Upstream::None;
        match self.down {
            // At most an interim answer is still on its way to the client, and leaves room.
            Down::Idle | Down::Head(_) => {
                let unread = match &self.up {
                    Up::Connect(request) => Body::new(request.framing).is_some(),
                    up => !matches!(up, Up::Done),
                };
                self.last_answer |= unread;
                self.up = Up::Done;
                self.reply(&reply, now);
            }
            _ => self.close(Close::Cut(why)),
        }
    }

    fn close(&mut self, close: Close) {
        if matches!(self.down, Down::Closed(_)) {
            return;
        }
        self.finish_exchange();
        self.upstream = Upstream::None;
        self.to_docker.clear();
        if matches!(close, Close::Gone(_)) {
            self.to_client.clear();
            self.owes = false;
        }
        self.up = Up::Closed;
        self.down = Down::Closed(close);
    }

    fn finish_exchange(&mut self) {
        let Some(exchange) = self.exchange.take() else {
            return;
        };
        // Whom nobody knows gets short answers of our own, and holds no connection by not reading them.
        self.owes |= exchange.user.is_some();
        if let Some(access) = exchange.into_access() {
            self.finished.push_back(access);
        }
    }

    // ---------------------------------------------------------------- what the shell asks

    /// Bytes to be written to Docker.
    pub fn to_docker(&self) -> &[u8] {
        match self.upstream {
            Upstream::Open { deaf: false, .. } => self.to_docker.pending(),
            _ => &[],
        }
    }

    /// Bytes to be sealed and written to the client.
    pub fn to_client(&mut self) -> &mut Buf {
        &mut self.to_client
    }

    /// Whether the direction toward Docker has to be shut down now; true once.
    pub fn take_docker_shutdown(&mut self) -> bool {
        match &mut self.up {
            Up::Tunnel(flow) => flow.settle(self.to_docker.pending().len()) == Due::Shut,
            _ => false,
        }
    }

    /// The shell has flushed all that was for the client: the wait for the next request begins, and
    /// a tunnel that Docker ended is over.
    pub fn client_flushed(&mut self, now: Instant) {
        if std::mem::take(&mut self.owes) && !self.is_busy() {
            self.since = now;
        }
        if let Down::Tunnel(flow) = &mut self.down
            && flow.settle(self.to_client.len()) == Due::Shut
        {
            self.close(Close::Finished("Docker ended the stream"));
        }
    }

    /// Whether a user has not taken all of an answer yet: until then it is a stream, and may take
    /// as long as it takes.
    pub fn is_owed(&self) -> bool {
        self.owes
    }

    /// The oldest of the exchanges that have finished, each once: to be called until there is none.
    pub fn take_access(&mut self) -> Option<Access> {
        self.finished.pop_front()
    }

    /// Whether the connection has been turned into a stream.
    pub fn is_tunnel(&self) -> bool {
        matches!(self.up, Up::Tunnel(_))
    }

    /// The connection is gone without a word: whatever was under way has ended.
    pub fn abandon(&mut self) {
        self.close(Close::Gone("abandoned"));
    }

    /// Whether a request is being served, or a head has begun.
    pub fn is_busy(&self) -> bool {
        match &self.up {
            Up::Head(finder) => !finder.is_fresh(),
            _ => true,
        }
    }

    /// What to watch for, from the state alone, while the shell holds `held` bytes of the client
    /// that have not been taken.
    pub fn wants(&self, held: usize) -> Wants {
        let connected = self.upstream != Upstream::None;
        Wants {
            read_client: match &self.up {
                Up::Head(_) => held < MAX_HEAD && self.to_client.is_empty(),
                Up::Discard | Up::Judged(_) => true,
                Up::Body(..) => {
                    matches!(self.upstream, Upstream::Open { deaf: false, .. })
                        && self.to_docker.has_room()
                }
                Up::Tunnel(flow) => !flow.is_open() || self.to_docker.has_room(),
                // To see the client go away; what it sends ahead is held, and bounded by this.
                Up::Auth(_) | Up::Connect(_) | Up::Done => held == 0,
                Up::Closed => false,
            },
            read_docker: connected
                && match &self.down {
                    Down::Idle => true,
                    Down::Head(_) | Down::Body(..) => self.to_client.is_empty(),
                    Down::Tunnel(flow) => flow.is_open() && self.to_client.is_empty(),
                    Down::Closed(_) => false,
                },
            connect: !connected
                && (matches!(self.up, Up::Connect(_)) || matches!(self.down, Down::Head(_))),
            drop_docker: !connected,
        }
    }

    /// Whether all is over: what is for the client is to be flushed, and then closed like that.
    pub fn close_due(&self) -> Option<Close> {
        match self.down {
            Down::Closed(close) => Some(close),
            _ => None,
        }
    }

    /// No new request is taken: idle ones end now, others with their answer.
    pub fn drain(&mut self) {
        self.draining = true;
        // A client that has only just come may still ask one thing.
        if !self.is_busy() && !self.first {
            self.close(Close::Finished("the agent is stopping"));
        }
    }
}
