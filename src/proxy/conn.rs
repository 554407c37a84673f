//! One proxied connection, sans-IO: what may be read, written, opened and closed, and when.
//!
//! Two machines run side by side, since Docker may answer before a request's body has ended:
//!
//! ```text
//! Up    Head ─▶ Auth ─▶ Connect ─▶ Body ─▶ Done ─▶ (Head)        aside: Discard, Tunnel, Closed
//! Down  Idle ─────────────────────▶ Head ─▶ Body ─▶ (Idle)       aside: Tunnel, Closed
//! ```
//!
//! - **Up** is the request. `Head` awaits or collects its head; `Auth` waits for a verdict that
//!   takes time; `Connect` for a connection to Docker; `Body` forwards; `Done` waits for the
//!   answer. `Discard` reads what nobody wants any more, so that the client gets to the answer.
//! - **Down** is the answer, from the moment the request is on its way.
//! - A `101`, or Docker's older hijack by a `200`, turns both into `Tunnel`.
//! - `Closed` remembers why; the shell flushes what is left, then closes as [`Close`] says.
//!
//! The shell feeds one input, then flushes [`Conn::to_docker`] and [`Conn::to_client`], and asks
//! [`Conn::wants`] and [`Conn::deadline`]. Time is an argument. Nothing is forwarded before its
//! verdict: a request's canonical form stays inside [`Up`] until it may pass.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::auth::Verdict;
use crate::buf::{Buf, CHUNK};
use crate::http::body::{Body, Coding, Framing};
use crate::http::head::{
    Connection, HeadError, HeadFinder, MAX_HEAD, RequestHead, ResponseHead, Version,
};
use crate::proxy::outbox::Outbox;
use crate::proxy::reply::Reply;
use crate::proxy::tunnel::{Due, Flow};

/// How long the parts of a connection may take. There is no limit on an answer, nor on a stream.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// From a head's first byte to its last, and from the handshake to the first head.
    pub head: Duration,
    /// Between two reads of a request's body.
    pub body: Duration,
    /// Between two requests on a kept connection.
    pub idle: Duration,
    /// To open a connection to Docker.
    pub connect: Duration,
    /// That a connection to Docker is kept for the next request.
    pub docker_idle: Duration,
}

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
    /// Flush what is for the client, then close.
    pub close: Option<Close>,
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

/// One finished exchange, for the access log.
#[derive(Debug)]
pub struct Access {
    /// Who asked, once known.
    pub user: Option<Arc<str>>,
    /// Method and target; `-` where no head could be read.
    pub line: Box<str>,
    /// Whether the method changes state (RFC 9110 §9.2.1: it is not a safe one).
    pub changes_state: bool,
    /// The answer's status, 0 where none came.
    pub status: u16,
    /// Body or stream bytes from the client.
    pub bytes_up: u64,
    /// Body or stream bytes from Docker.
    pub bytes_down: u64,
    /// When the head was complete.
    pub started: Instant,
}

/// A request that was judged or is about to be, in the form in which it would be forwarded.
struct Request {
    canonical: Buf,
    framing: Framing,
}

enum Up {
    Head(HeadFinder),
    Auth(Request),
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

/// What is known of the request at hand, as its answer needs it.
struct Exchange {
    user: Option<Arc<str>>,
    line: Option<Box<str>>,
    changes_state: bool,
    is_head: bool,
    version: Version,
    keep_alive: bool,
    /// The client waits for a `100` that has not come yet.
    awaits_continue: bool,
    offers_upgrade: bool,
    hijacks: bool,
    status: u16,
    bytes_up: u64,
    bytes_down: u64,
    started: Instant,
}

/// The two machines and what is between them.
pub struct Conn {
    up: Up,
    down: Down,
    upstream: Upstream,
    exchange: Option<Exchange>,
    to_docker: Outbox,
    to_client: Buf,
    access: Option<Access>,
    times: Times,
    /// Log safe methods too; otherwise their lines are not even made.
    log_reads: bool,
    draining: bool,
    /// The client has sent `close_notify`: no further request will come.
    client_done: bool,
    /// Docker's own wish that its connection end with this answer.
    docker_closes: bool,
    /// The answer at hand is the last one on this connection.
    last_answer: bool,
    /// When the present wait began.
    since: Instant,
}

impl Conn {
    /// A connection whose handshake ended at `now`.
    pub fn new(times: Times, log_reads: bool, now: Instant) -> Conn {
        Conn {
            up: Up::Head(HeadFinder::default()),
            down: Down::Idle,
            upstream: Upstream::None,
            exchange: None,
            to_docker: Outbox::new(RequestHead::canonical_bound(MAX_HEAD) + CHUNK),
            to_client: Buf::new(RequestHead::canonical_bound(MAX_HEAD) + CHUNK),
            access: None,
            times,
            log_reads,
            draining: false,
            client_done: false,
            docker_closes: false,
            last_answer: false,
            since: now,
        }
    }

    // ---------------------------------------------------------------- inputs: the client

    /// Takes what it can of `input`, the client's bytes not yet taken; says how much that was.
    /// `judge` is asked about each head, with the credentials in it.
    pub fn client_data(
        &mut self,
        input: &[u8],
        judge: &mut dyn FnMut(&RequestHead<'_>) -> Option<Verdict>,
        now: Instant,
    ) -> usize {
        let mut taken = 0;
        while let Some(rest) = input.get(taken..).filter(|rest| !rest.is_empty()) {
            let step = match &mut self.up {
                Up::Head(_) => self.request_head(rest, judge, now),
                Up::Body(..) => self.request_body(rest, now),
                Up::Discard => rest.len(),
                Up::Tunnel(flow) if flow.is_open() => self.to_docker.put(rest),
                Up::Tunnel(_) => rest.len(),
                Up::Auth(_) | Up::Connect(_) | Up::Done | Up::Closed => 0,
            };
            if step == 0 {
                break;
            }
            if let (Up::Tunnel(_), Some(exchange)) = (&self.up, &mut self.exchange) {
                exchange.bytes_up += step as u64;
            }
            taken += step;
        }
        taken
    }

    /// The client has ended its side: by `close_notify` (`clean`), or by TCP alone.
    pub fn client_eof(&mut self, clean: bool, now: Instant) {
        match (&mut self.up, clean) {
            (Up::Tunnel(flow), true) => {
                flow.end();
                self.client_done = true;
            }
            // RFC 8446 §6.1: the peer may still read. What has been asked whole is answered.
            (Up::Auth(_) | Up::Connect(_) | Up::Done, true) => self.client_done = true,
            (Up::Head(_), true) => self.close(Close::Finished("the client closed"), now),
            (Up::Closed, _) => {}
            // After its close_notify in a tunnel, TCP's end says nothing new; keepalive finds
            // out whether the client is still there to read.
            (Up::Tunnel(_), false) if self.client_done => {}
            _ => self.close(Close::Gone("the client went away"), now),
        }
    }

    /// The verdict that `judge` had to wait for.
    pub fn verdict(&mut self, verdict: Verdict, now: Instant) {
        match std::mem::replace(&mut self.up, Up::Done) {
            Up::Auth(request) => self.judged(request, verdict, now),
            other => self.up = other,
        }
    }

    fn request_head(
        &mut self,
        input: &[u8],
        judge: &mut dyn FnMut(&RequestHead<'_>) -> Option<Verdict>,
        now: Instant,
    ) -> usize {
        let Up::Head(finder) = &mut self.up else {
            return 0;
        };
        // The answer before this request is still being written: its place is needed.
        if !self.to_client.is_empty() {
            return 0;
        }
        if finder.is_fresh() {
            self.since = now;
        }
        let length = match finder.find(input) {
            Ok(Some(length)) => length,
            Ok(None) => return 0,
            Err(error) => return self.refuse_head(error, now),
        };
        match input.get(..length).map(RequestHead::parse) {
            Some(Ok(head)) => self.take_request(&head, length, judge, now),
            Some(Err(error)) => {
                self.refuse_head(error, now);
            }
            None => return 0,
        }
        length
    }

    fn refuse_head(&mut self, error: HeadError, now: Instant) -> usize {
        let status = match error {
            HeadError::TooLarge => 431,
            HeadError::Malformed(_) => 400,
            HeadError::Version => 505,
            HeadError::Expectation => 417,
        };
        self.last_answer = true;
        self.reply(
            &Reply::new(status, format!("haven-agent: bad request: {error}")),
            now,
        );
        0
    }

    fn take_request(
        &mut self,
        head: &RequestHead<'_>,
        length: usize,
        judge: &mut dyn FnMut(&RequestHead<'_>) -> Option<Verdict>,
        now: Instant,
    ) {
        let mut canonical = Buf::new(RequestHead::canonical_bound(length));
        head.write_canonical(&mut canonical);
        let request = Request {
            canonical,
            framing: head.framing,
        };
        let verdict = judge(head);
        let mut exchange = Exchange::new(head, now);
        let passes = matches!(verdict, Some(Verdict::Allowed(_)));
        if self.log_reads || exchange.changes_state || !passes {
            exchange.line = Some(format!("{} {}", head.method, head.target).into());
        }
        self.exchange = Some(exchange);
        match verdict {
            Some(verdict) => self.judged(request, verdict, now),
            None => self.up = Up::Auth(request),
        }
    }

    fn judged(&mut self, request: Request, verdict: Verdict, now: Instant) {
        let refusal = match verdict {
            Verdict::Allowed(user) => {
                if let Some(exchange) = &mut self.exchange {
                    exchange.user = Some(user);
                }
                self.since = now;
                match self.upstream {
                    Upstream::Open { used, deaf: false } => self.send(request, used, now),
                    _ => self.up = Up::Connect(request),
                }
                return;
            }
            Verdict::Refused => Reply::unauthorized(),
            Verdict::Overloaded => Reply::new(
                503,
                "haven-agent: too many passwords are waiting to be verified; try again in a moment",
            ),
        };
        // What follows the head cannot be told from the next request unless it is read.
        self.last_answer |= Body::new(request.framing).is_some();
        self.up = Up::Done;
        self.reply(&refusal, now);
    }

    fn request_body(&mut self, input: &[u8], now: Instant) -> usize {
        let Up::Body(body, coding) = &mut self.up else {
            return 0;
        };
        let Some(out) = self.to_docker.body_space() else {
            return 0;
        };
        match body.forward(input, *coding, out) {
            Ok(forwarded) => {
                if forwarded.consumed > 0 {
                    self.since = now;
                }
                if let Some(exchange) = &mut self.exchange {
                    exchange.bytes_up += forwarded.payload as u64;
                }
                if forwarded.done {
                    self.up = Up::Done;
                }
                forwarded.consumed
            }
            Err(error) => {
                self.last_answer = true;
                let text = format!("haven-agent: bad request: {error}");
                self.give_up(
                    Reply::new(400, text),
                    "the request's body is malformed",
                    now,
                );
                0
            }
        }
    }

    // ---------------------------------------------------------------- inputs: Docker

    /// The connection to Docker is open.
    pub fn docker_open(&mut self, now: Instant) {
        self.upstream = Upstream::Open {
            used: false,
            deaf: false,
        };
        self.docker_closes = false;
        match std::mem::replace(&mut self.up, Up::Done) {
            Up::Connect(request) => self.send(request, false, now),
            other => {
                // A request that met a stale connection: once more, and not again.
                self.up = other;
                self.to_docker.rewind();
            }
        }
    }

    /// Docker cannot be reached; `reply` says why.
    pub fn docker_failed(&mut self, reply: Reply, now: Instant) {
        self.upstream = Upstream::None;
        self.give_up(reply, "Docker cannot be reached", now);
    }

    /// `count` bytes of [`to_docker`](Conn::to_docker) have been written.
    pub fn docker_sent(&mut self, count: usize, now: Instant) {
        self.to_docker.sent(count);
        if self.to_docker.pending().is_empty() && matches!(self.up, Up::Body(..)) {
            self.since = now; // the wait for the client's next bytes begins here
        }
    }

    /// Docker takes no more bytes. It may have answered all the same.
    pub fn docker_deaf(&mut self) {
        if let Upstream::Open { deaf, .. } = &mut self.upstream {
            *deaf = true;
        }
        if let Up::Tunnel(flow) = &mut self.up {
            flow.abandon();
            self.to_docker.clear();
        }
    }

    /// Takes what it can of `input`, Docker's bytes not yet taken; says how much that was.
    pub fn docker_data(&mut self, input: &[u8], now: Instant) -> usize {
        self.to_docker.forget();
        let mut taken = 0;
        while let Some(rest) = input.get(taken..).filter(|rest| !rest.is_empty()) {
            let step = match &mut self.down {
                Down::Head(_) => self.answer_head(rest, now),
                Down::Body(..) => self.answer_body(rest, now),
                Down::Tunnel(_) => self.tunnel_down(rest),
                // Bytes that nobody asked for: such a connection carries no further request.
                Down::Idle | Down::Closed(_) => {
                    self.upstream = Upstream::None;
                    rest.len()
                }
            };
            if step == 0 {
                break;
            }
            taken += step;
        }
        taken
    }

    /// Docker has closed, or the connection broke; all that it had sent has been offered.
    pub fn docker_eof(&mut self, now: Instant) {
        let was = std::mem::replace(&mut self.upstream, Upstream::None);
        match &mut self.down {
            Down::Idle | Down::Closed(_) => {}
            Down::Head(_) if self.may_retry(was) => self.since = now,
            Down::Head(_) => {
                let text = "haven-agent: Docker closed the connection without an answer";
                self.give_up(
                    Reply::new(502, text),
                    "Docker closed without an answer",
                    now,
                );
            }
            Down::Body(Body::UntilClose, Coding::Identity) => self.answer_done(now),
            Down::Body(..) => self.close(Close::Cut("Docker cut its answer short"), now),
            Down::Tunnel(flow) => flow.end(),
        }
    }

    /// A request that met a stale connection is sent once more: no byte of an answer came, and
    /// all that was sent of it is still held.
    fn may_retry(&self, was: Upstream) -> bool {
        matches!(was, Upstream::Open { used: true, .. }) && self.to_docker.is_whole()
    }

    fn send(&mut self, request: Request, used: bool, now: Instant) {
        self.to_docker.start(request.canonical, used);
        self.up = match (Body::new(request.framing), request.framing) {
            (None, _) => Up::Done,
            (Some(body), Framing::Chunked) => Up::Body(body, Coding::Chunked),
            (Some(body), _) => Up::Body(body, Coding::Identity),
        };
        self.down = Down::Head(HeadFinder::default());
        self.since = now;
    }

    fn answer_head(&mut self, input: &[u8], now: Instant) -> usize {
        let (Down::Head(finder), Some(exchange)) = (&mut self.down, &self.exchange) else {
            return 0;
        };
        // A head needs the whole of the buffer's room.
        if !self.to_client.is_empty() {
            return 0;
        }
        let method = if exchange.is_head { "HEAD" } else { "" };
        let found = finder.find(input).and_then(|found| {
            let head = found.and_then(|length| input.get(..length));
            head.map(|head| Ok((head.len(), ResponseHead::parse(head, method)?)))
                .transpose()
        });
        match found {
            Ok(Some((length, head))) => {
                self.take_answer(&head, now);
                length
            }
            Ok(None) => 0,
            Err(error) => {
                self.bad_answer(&error.to_string(), now);
                input.len()
            }
        }
    }

    fn bad_answer(&mut self, what: &str, now: Instant) {
        self.upstream = Upstream::None;
        let text = format!("haven-agent: Docker's answer cannot be understood: {what}");
        self.give_up(Reply::new(502, text), "Docker's answer is malformed", now);
    }

    fn take_answer(&mut self, head: &ResponseHead<'_>, now: Instant) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        if head.is_interim() {
            exchange.awaits_continue &= head.status != 100;
            self.down = Down::Head(HeadFinder::default());
            // RFC 9110 §15.2: none to an HTTP/1.0 client.
            if exchange.version == Version::Http11 {
                head.write(&mut self.to_client, Framing::None, Connection::Keep);
            }
            return;
        }
        exchange.status = head.status;
        if head.status == 101 {
            match head.upgrade {
                Some(protocol) if exchange.offers_upgrade => {
                    head.write(
                        &mut self.to_client,
                        Framing::None,
                        Connection::Upgrade(protocol),
                    );
                    self.open_tunnel();
                }
                _ => self.bad_answer("an upgrade that was not asked for", now),
            }
            return;
        }
        if exchange.hijacks && is_hijack(head) {
            head.write(&mut self.to_client, Framing::None, Connection::Close);
            self.open_tunnel();
            return;
        }
        self.start_answer(head, now);
    }

    fn start_answer(&mut self, head: &ResponseHead<'_>, now: Instant) {
        let Some(exchange) = &self.exchange else {
            return;
        };
        let framing = match (head.framing, exchange.version) {
            (Framing::Chunked, Version::Http10) => Framing::UntilClose,
            (framing, _) => framing,
        };
        self.docker_closes = !head.keep_alive;
        self.last_answer |= self.draining
            || self.client_done
            || !exchange.keep_alive
            || exchange.awaits_continue
            || framing == Framing::UntilClose
            || !matches!(self.up, Up::Done);
        let connection = match (self.last_answer, exchange.version) {
            (true, _) => Connection::Close,
            (false, Version::Http11) => Connection::Keep,
            (false, Version::Http10) => Connection::KeepTold,
        };
        head.write(&mut self.to_client, framing, connection);
        let coding = match framing {
            Framing::Chunked => Coding::Chunked,
            _ => Coding::Identity,
        };
        match Body::new(head.framing) {
            Some(body) => self.down = Down::Body(body, coding),
            None => self.answer_done(now),
        }
    }

    fn open_tunnel(&mut self) {
        self.last_answer = true;
        // A request body that is still coming would be taken for the stream.
        self.up = match self.up {
            Up::Done if self.client_done => Up::Tunnel(Flow::Draining),
            _ => Up::Tunnel(Flow::Open),
        };
        self.down = Down::Tunnel(Flow::Open);
    }

    fn answer_body(&mut self, input: &[u8], now: Instant) -> usize {
        let Down::Body(body, coding) = &mut self.down else {
            return 0;
        };
        match body.forward(input, *coding, &mut self.to_client) {
            Ok(forwarded) => {
                if let Some(exchange) = &mut self.exchange {
                    exchange.bytes_down += forwarded.payload as u64;
                }
                if forwarded.done {
                    self.answer_done(now);
                }
                forwarded.consumed
            }
            Err(_) => {
                self.close(Close::Cut("Docker's answer is malformed"), now);
                input.len()
            }
        }
    }

    fn tunnel_down(&mut self, input: &[u8]) -> usize {
        let count = self.to_client.put(input);
        if let Some(exchange) = &mut self.exchange {
            exchange.bytes_down += count as u64;
        }
        count
    }

    // ---------------------------------------------------------------- how an exchange ends

    /// The answer is complete. The next request may come, unless this was the last.
    fn answer_done(&mut self, now: Instant) {
        let whole = matches!(self.up, Up::Done);
        if self.docker_closes || !whole {
            self.upstream = Upstream::None;
        }
        if let Upstream::Open { used, .. } = &mut self.upstream {
            *used = true;
        }
        self.to_docker.clear();
        if self.last_answer || self.client_done || self.draining || !whole {
            self.close(Close::Finished("the last answer is given"), now);
        } else {
            self.finish_exchange();
            self.up = Up::Head(HeadFinder::default());
            self.down = Down::Idle;
            self.since = now;
        }
    }

    /// Answers the request at hand by ourselves.
    fn reply(&mut self, reply: &Reply, now: Instant) {
        let exchange = self.exchange.get_or_insert_with(|| Exchange::unread(now));
        exchange.status = reply.status;
        self.last_answer |= self.draining || self.client_done || !exchange.keep_alive;
        reply.write(&mut self.to_client, self.last_answer, !exchange.is_head);
        self.docker_closes = false;
        self.answer_done(now);
    }

    /// The exchange cannot go on: say so while the client can still be told, else cut.
    fn give_up(&mut self, reply: Reply, why: &'static str, now: Instant) {
        self.upstream = Upstream::None;
        match self.down {
            Down::Idle | Down::Head(_) if self.to_client.is_empty() => {
                let unread = match &self.up {
                    Up::Connect(request) => Body::new(request.framing).is_some(),
                    up => !matches!(up, Up::Done),
                };
                self.last_answer |= unread;
                self.up = Up::Done;
                self.reply(&reply, now);
            }
            _ => self.close(Close::Cut(why), now),
        }
    }

    fn close(&mut self, close: Close, _now: Instant) {
        if matches!(self.down, Down::Closed(_)) {
            return;
        }
        self.finish_exchange();
        self.upstream = Upstream::None;
        self.to_docker.clear();
        if matches!(close, Close::Gone(_)) {
            self.to_client.clear();
        }
        self.up = Up::Closed;
        self.down = Down::Closed(close);
    }

    fn finish_exchange(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            self.access = exchange.into_access();
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

    /// The shell has flushed all that was for the client: a tunnel that Docker ended is over.
    pub fn client_flushed(&mut self, now: Instant) {
        if let Down::Tunnel(flow) = &mut self.down
            && flow.settle(self.to_client.len()) == Due::Shut
        {
            self.close(Close::Finished("Docker ended the stream"), now);
        }
    }

    /// The exchange that has just finished, once.
    pub fn take_access(&mut self) -> Option<Access> {
        self.access.take()
    }

    /// Whether a request is being served, or a head has begun.
    pub fn is_busy(&self) -> bool {
        match &self.up {
            Up::Head(finder) => !finder.is_fresh(),
            _ => true,
        }
    }

    /// What to watch for, from the state alone.
    pub fn wants(&self) -> Wants {
        let room_up = self.to_docker.has_room();
        let deaf = matches!(self.upstream, Upstream::Open { deaf: true, .. });
        Wants {
            read_client: match &self.up {
                Up::Head(_) | Up::Discard => true,
                Up::Body(..) => room_up && !deaf && self.upstream != Upstream::None,
                Up::Tunnel(flow) => !flow.is_open() || room_up,
                // To see the client go away; what it pipelines is held, within the shell's bound.
                Up::Auth(_) | Up::Connect(_) | Up::Done => true,
                Up::Closed => false,
            },
            read_docker: self.upstream != Upstream::None
                && match &self.down {
                    Down::Idle => true,
                    Down::Head(_) | Down::Body(..) => self.to_client.is_empty(),
                    Down::Tunnel(flow) => flow.is_open() && self.to_client.is_empty(),
                    Down::Closed(_) => false,
                },
            connect: self.upstream == Upstream::None
                && (matches!(self.up, Up::Connect(_)) || matches!(self.down, Down::Head(_))),
            drop_docker: self.upstream == Upstream::None,
            close: match self.down {
                Down::Closed(close) => Some(close),
                _ => None,
            },
        }
    }

    /// When [`timeout`](Conn::timeout) is to be called, if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        let own = self.limit().map(|(limit, _)| self.since + limit);
        let docker = self
            .docker_idle_since()
            .map(|since| since + self.times.docker_idle);
        own.into_iter().chain(docker).min()
    }

    /// A deadline has come.
    pub fn timeout(&mut self, now: Instant) {
        if let Some(since) = self.docker_idle_since()
            && now >= since + self.times.docker_idle
        {
            self.upstream = Upstream::None;
        }
        match self.limit() {
            Some((limit, expiry)) if now >= self.since + limit => self.expire(expiry, now),
            _ => {}
        }
    }

    /// No new request is taken: idle ones end now, others with their answer.
    pub fn drain(&mut self, now: Instant) {
        self.draining = true;
        if !self.is_busy() {
            self.close(Close::Finished("the agent is stopping"), now);
        }
    }

    fn docker_idle_since(&self) -> Option<Instant> {
        let idle = matches!((&self.up, &self.down), (Up::Head(_), Down::Idle));
        (idle && self.upstream != Upstream::None).then_some(self.since)
    }

    /// What is being waited for that may take too long.
    fn limit(&self) -> Option<(Duration, Expiry)> {
        match (&self.up, &self.down) {
            (Up::Head(finder), _) if finder.is_fresh() => Some((self.times.idle, Expiry::Idle)),
            (Up::Head(_), _) => Some((self.times.head, Expiry::Head)),
            (Up::Connect(_), _) => Some((self.times.connect, Expiry::Connect)),
            (_, Down::Head(_)) if self.upstream == Upstream::None => {
                Some((self.times.connect, Expiry::Connect))
            }
            (Up::Body(..), Down::Head(_)) if self.to_docker.pending().is_empty() => {
                Some((self.times.body, Expiry::Body))
            }
            _ => None,
        }
    }

    fn expire(&mut self, expiry: Expiry, now: Instant) {
        self.last_answer = true;
        let reply = match expiry {
            Expiry::Idle => return self.close(Close::Finished("no request came in time"), now),
            Expiry::Head => Reply::new(
                408,
                "haven-agent: the request's head did not arrive in time",
            ),
            Expiry::Body => Reply::new(408, "haven-agent: the request's body stalled"),
            Expiry::Connect => Reply::new(
                504,
                "haven-agent: Docker did not accept the connection in time",
            ),
        };
        self.give_up(reply, "timed out", now);
    }
}

/// What a deadline is about.
#[derive(Clone, Copy)]
enum Expiry {
    Idle,
    Head,
    Body,
    Connect,
}

impl Exchange {
    fn new(head: &RequestHead<'_>, now: Instant) -> Exchange {
        Exchange {
            changes_state: !matches!(head.method, "GET" | "HEAD" | "OPTIONS" | "TRACE"),
            is_head: head.method == "HEAD",
            version: head.version,
            keep_alive: head.keep_alive,
            awaits_continue: head.expects_continue,
            offers_upgrade: head.upgrade.is_some(),
            hijacks: head.method == "POST" && is_stream_endpoint(head.target),
            ..Exchange::unread(now)
        }
    }

    /// For a head that could not be read.
    fn unread(now: Instant) -> Exchange {
        Exchange {
            user: None,
            line: None,
            changes_state: false,
            is_head: false,
            version: Version::Http11,
            keep_alive: false,
            awaits_continue: false,
            offers_upgrade: false,
            hijacks: false,
            status: 0,
            bytes_up: 0,
            bytes_down: 0,
            started: now,
        }
    }

    /// `None` for a read that nobody wants logged.
    fn into_access(self) -> Option<Access> {
        if self.line.is_none() && self.user.is_some() {
            return None;
        }
        Some(Access {
            user: self.user,
            line: self.line.unwrap_or_else(|| "-".into()),
            changes_state: self.changes_state,
            status: self.status,
            bytes_up: self.bytes_up,
            bytes_down: self.bytes_down,
            started: self.started,
        })
    }
}

/// `POST /containers/{id}/attach` and `POST /exec/{id}/start`, with or without a version prefix:
/// the endpoints that Docker answers with a raw stream on the same connection.
fn is_stream_endpoint(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let mut segments = path.split('/').skip(1).peekable();
    segments.next_if(|segment| segment.starts_with('v'));
    let words = (
        segments.next(),
        segments.next(),
        segments.next(),
        segments.next(),
    );
    matches!(
        words,
        (Some("containers"), Some(_), Some("attach"), None)
            | (Some("exec"), Some(_), Some("start"), None)
    )
}

/// A `200` after which the connection is a stream: neither length nor coding, and one of the two
/// media types of Docker's streams. A 404 to an attach has no framing either, and is no stream.
fn is_hijack(head: &ResponseHead<'_>) -> bool {
    const STREAMS: [&[u8]; 2] = [
        b"application/vnd.docker.raw-stream",
        b"application/vnd.docker.multiplexed-stream",
    ];
    head.status == 200
        && head.framing == Framing::UntilClose
        && STREAMS.contains(&head.content_type)
}
