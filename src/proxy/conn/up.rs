//! The request's side of a connection: heads, verdicts, bodies.

use std::sync::Arc;
use std::time::Instant;

use super::{Close, Conn, Down, Exchange, Request, Up, Upstream};
use crate::auth::Verdict;
use crate::buf::Buf;
use crate::http::body::{Body, Coding, Framing};
use crate::http::head::{HeadError, HeadFinder, MAX_HEAD, RequestHead};
use crate::proxy::reply::Reply;

/// Asked about each head, with the credentials in it; `None` if the verdict takes time.
pub type Judge<'a> = &'a mut dyn FnMut(&RequestHead<'_>) -> Option<Verdict>;

impl Conn {
    /// Takes what it can of `input`, the client's bytes not yet taken; says how much that was.
    /// `judge` is asked about each head, with the credentials in it.
    pub fn client_data(&mut self, input: &[u8], judge: Judge<'_>, now: Instant) -> usize {
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
    pub fn client_eof(&mut self, clean: bool) {
        match (&mut self.up, clean) {
            (Up::Tunnel(flow), true) => {
                flow.end();
                self.client_done = true;
            }
            // RFC 8446 §6.1: the peer may still read. What has been asked whole is answered.
            (Up::Auth(_) | Up::Connect(_) | Up::Done | Up::Discard, true) => {
                self.client_done = true;
            }
            (Up::Body(..), true) => self.body_ends_early(),
            (Up::Head(_), true) => self.close(Close::Finished("the client closed")),
            (Up::Closed, _) => {}
            // After its close_notify in a tunnel, TCP's end says nothing new; keepalive finds
            // out whether the client is still there to read.
            (Up::Tunnel(_), false) if self.client_done => {}
            _ => self.close(Close::Gone("the client went away")),
        }
    }

    /// The rest of a body will never come. An answer that Docker has begun all the same goes on.
    fn body_ends_early(&mut self) {
        self.client_done = true;
        if matches!(self.down, Down::Body(..)) {
            self.up = Up::Discard;
            return;
        }
        let text = "haven-agent: bad request: the body is shorter than announced";
        self.give_up(Reply::new(400, text), "the body ended early", self.since);
    }

    /// The verdict that `judge` had to wait for.
    pub fn verdict(&mut self, verdict: Verdict, now: Instant) {
        match std::mem::replace(&mut self.up, Up::Done) {
            Up::Auth(request) => match verdict {
                Verdict::Allowed(user) => self.pass(request, user, now),
                refusal => self.turn_away(&refusal, request.framing, now),
            },
            other => self.up = other,
        }
    }

    fn request_head(&mut self, input: &[u8], judge: Judge<'_>, now: Instant) -> usize {
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
        let head = input.get(..length).unwrap_or_default();
        match RequestHead::parse(head) {
            Ok(head) => self.take_request(&head, judge, now),
            Err(error) => {
                self.refuse_head(error, now);
            }
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

    fn take_request(&mut self, head: &RequestHead<'_>, judge: Judge<'_>, now: Instant) {
        self.first = false;
        let verdict = judge(head);
        let mut exchange = Exchange::new(head, now);
        let passes = matches!(verdict, Some(Verdict::Allowed(_)));
        if self.log_reads || exchange.changes_state || !passes {
            exchange.line = Some(access_line(head));
        }
        self.exchange = Some(exchange);
        match verdict {
            None => self.up = Up::Auth(Request::new(head)),
            Some(Verdict::Allowed(user)) => self.pass(Request::new(head), user, now),
            Some(refusal) => self.turn_away(&refusal, head.framing, now),
        }
    }

    fn pass(&mut self, request: Request, user: Arc<str>, now: Instant) {
        if let Some(exchange) = &mut self.exchange {
            exchange.user = Some(user);
        }
        self.since = now;
        match self.upstream {
            Upstream::Open { used, .. } => self.send(request, used, now),
            Upstream::None => self.up = Up::Connect(request),
        }
    }

    fn turn_away(&mut self, verdict: &Verdict, framing: Framing, now: Instant) {
        let refusal = match verdict {
            Verdict::Overloaded => Reply::new(
                503,
                "haven-agent: too many passwords are waiting to be verified; try again in a moment",
            ),
            Verdict::Barred => Reply::new(
                401,
                "haven-agent: this connection's client certificate is not, or no longer, let in",
            ),
            _ => Reply::unauthorized(),
        };
        // What follows the head cannot be told from the next request unless it is read.
        self.last_answer |= Body::new(framing).is_some() || *verdict == Verdict::Barred;
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

    /// The request may pass and Docker is there: its first bytes go out.
    pub(super) fn send(&mut self, request: Request, used: bool, now: Instant) {
        self.to_docker.start(request.canonical, used);
        self.up = match (Body::new(request.framing), request.framing) {
            (None, _) => Up::Done,
            (Some(body), Framing::Chunked) => Up::Body(body, Coding::Chunked),
            (Some(body), _) => Up::Body(body, Coding::Identity),
        };
        self.down = Down::Head(HeadFinder::default());
        self.since = now;
    }
}

impl Request {
    /// The canonical form is made for what may pass: a refusal costs no more than its head.
    fn new(head: &RequestHead<'_>) -> Request {
        let mut canonical = Buf::new(RequestHead::canonical_bound(MAX_HEAD));
        head.write_canonical(&mut canonical);
        Request {
            canonical,
            framing: head.framing,
        }
    }
}

/// Method and path. A query may carry secrets (`buildargs` of a build): it is shown to be there, no
/// more.
fn access_line(head: &RequestHead<'_>) -> Box<str> {
    let (path, query) = match head.target.split_once('?') {
        Some((path, _)) => (path, "?..."),
        None => (head.target, ""),
    };
    [head.method, " ", path, query].concat().into()
}
