//! The request's side of a connection: heads, verdicts, bodies.

use std::sync::Arc;
use std::time::Instant;

use super::exchange::access_line;
use super::{Close, Conn, Down, Exchange, Request, Up, Upstream};
use crate::auth::Verdict;
use crate::buf::Buf;
use crate::http::body::{Body, ChunkError, Coding, Framing};
use crate::http::head::{HeadError, HeadFinder, HeadLimits, RequestHead};
use crate::policy::{Policies, Question, Ruling, Target, TargetError, Trial};
use crate::proxy::outbox::Hold;
use crate::proxy::reply::{self, Reply};

/// Of the form for Docker: what came was within the limits, and a field may have been added.
const CANONICAL: HeadLimits = HeadLimits {
    bytes: usize::MAX,
    fields: usize::MAX,
};

/// The first of the two parts of what a client of HTTP/2 begins with (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// Asked about each head, with the credentials in it; `None` if the verdict takes time.
pub type Judge<'a> = &'a mut dyn FnMut(&RequestHead<'_>) -> Option<Verdict>;

impl Conn {
    /// Takes what it can of `input`, the client's bytes not yet taken; says how much that was.
    /// `judge` is asked about each head, with the credentials in it, and then `policies`.
    pub fn client_data(
        &mut self,
        input: &[u8],
        judge: Judge<'_>,
        policies: &Policies,
        now: Instant,
    ) -> usize {
        let mut taken = 0;
        while let Some(rest) = input.get(taken..).filter(|rest| !rest.is_empty()) {
            let step = match &mut self.up {
                Up::Head(_) => self.request_head(rest, judge, policies, now),
                Up::Body(..) => self.request_body(rest, now),
                Up::Judged(_) => self.judged_body(rest, now),
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
            (Up::Body(..) | Up::Judged(_), true) => self.body_ends_early(),
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
    pub fn verdict(&mut self, verdict: Verdict, policies: &Policies, now: Instant) {
        match std::mem::replace(&mut self.up, Up::Done) {
            Up::Auth(request) => match verdict {
                Verdict::Allowed(user) => match request.judge(&user, policies) {
                    Ok(ruling) => {
                        if self.lets_pass(&user, &ruling, request.framing, now) {
                            self.hold_or_pass(request, ruling.trial, now);
                        }
                    }
                    // It was read before it was written.
                    Err(error) => {
                        self.refuse_head(error, now);
                    }
                },
                refusal => self.turn_away(&refusal, request.framing, now),
            },
            other => self.up = other,
        }
    }

    fn request_head(
        &mut self,
        input: &[u8],
        judge: Judge<'_>,
        policies: &Policies,
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
        let head = input.get(..length).unwrap_or_default();
        if self.first && head == HTTP2_PREFACE {
            return self.refuse_http2(now);
        }
        match RequestHead::parse(head, self.sizes.head) {
            Ok(head) => self.take_request(&head, judge, policies, now),
            Err(error) => {
                self.refuse_head(error, now);
            }
        }
        length
    }

    fn refuse_http2(&mut self, now: Instant) -> usize {
        let exchange = self.exchange.get_or_insert_with(|| Exchange::unread(now));
        exchange.status = 505;
        reply::refuse_http2(&mut self.to_client);
        self.last_answer = true;
        self.answer_done(now);
        0
    }

    fn refuse_head(&mut self, error: HeadError, now: Instant) -> usize {
        let status = match error {
            HeadError::TooLarge(_) | HeadError::NoRoom => 431,
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
        judge: Judge<'_>,
        policies: &Policies,
        now: Instant,
    ) {
        self.first = false;
        self.requests = self.requests.saturating_add(1);
        let target = match Target::parse(head.target) {
            Ok(target) => target,
            Err(error) => return self.refuse_target(head, error, now),
        };
        let verdict = judge(head);
        let ruling = match &verdict {
            Some(Verdict::Allowed(user)) => Some(policies.judge(user, &question(head, &target))),
            _ => None,
        };
        let passes = ruling.as_ref().is_some_and(|ruling| ruling.allowed);
        let mut exchange = Exchange::new(head, &target, now);
        if self.log_reads || exchange.changes_state || !passes {
            let shown = if target.query().is_empty() { "" } else { "?" };
            exchange.line = Some(access_line(head.method, &[target.path(), shown].concat()));
        }
        self.exchange = Some(exchange);
        let trial = match (verdict, ruling) {
            (None, _) => None,
            (Some(Verdict::Allowed(user)), Some(ruling)) => {
                if !self.lets_pass(&user, &ruling, head.framing, now) {
                    return;
                }
                Some(ruling.trial)
            }
            (Some(refusal), _) => return self.turn_away(&refusal, head.framing, now),
        };
        match (Request::new(head, &target), trial) {
            (Ok(request), Some(trial)) => self.hold_or_pass(request, trial, now),
            (Ok(request), None) => self.up = Up::Auth(request),
            (Err(error), _) => {
                self.refuse_head(error, now);
            }
        }
    }

    /// A target that could mean one thing here and another to Docker, whoever asks for it.
    fn refuse_target(&mut self, head: &RequestHead<'_>, error: TargetError, now: Instant) {
        self.exchange = Some(Exchange::unfit(head, now));
        self.last_answer = true;
        let text = format!("haven-agent: bad request: {error}");
        self.reply(&Reply::new(400, text), now);
    }

    /// The user is known, and what their policy says to the request.
    fn lets_pass(
        &mut self,
        user: &Arc<str>,
        ruling: &Ruling,
        framing: Framing,
        now: Instant,
    ) -> bool {
        self.known = true;
        if let Some(exchange) = &mut self.exchange {
            exchange.user = Some(Arc::clone(user));
            exchange.by = Some(Arc::clone(&ruling.by));
        }
        if !ruling.allowed {
            self.forbid(403, ruling, framing, now);
        }
        ruling.allowed
    }

    fn hold_or_pass(&mut self, request: Request, trial: Option<Box<Trial>>, now: Instant) {
        match trial {
            Some(trial) => self.hold(request, trial, now),
            None => self.pass(request, now),
        }
    }

    /// The user is denied what they asked for; `framing` is of what of it was not read.
    pub(super) fn forbid(&mut self, status: u16, ruling: &Ruling, framing: Framing, now: Instant) {
        let mut refusal = Reply::new(status, "");
        if let Some(exchange) = &mut self.exchange {
            exchange.by = Some(Arc::clone(&ruling.by));
            exchange.denied = true;
            refusal = forbidden(status, exchange, ruling);
        }
        self.end_with(&refusal, framing, now);
    }

    pub(super) fn pass(&mut self, request: Request, now: Instant) {
        self.since = now;
        match self.upstream {
            Upstream::Open { used, .. } => self.send(request, used, now),
            Upstream::None => self.up = Up::Connect(request),
        }
    }

    fn turn_away(&mut self, verdict: &Verdict, framing: Framing, now: Instant) {
        if let Some(exchange) = &mut self.exchange {
            exchange.refusal = Some(verdict.clone());
            if let Verdict::Forbidden { user, .. } = verdict {
                exchange.user = user.clone();
            }
        }
        self.last_answer |= *verdict == Verdict::Barred;
        let refusal = match verdict {
            Verdict::Forbidden { why, .. } => Reply::new(403, format!("haven-agent: {why}")),
            Verdict::Delayed(wait) => Reply::delayed(*wait),
            Verdict::Overloaded => Reply::new(
                503,
                "haven-agent: too many passwords are waiting to be verified; try again in a moment",
            ),
            Verdict::Barred => Reply::new(
                401,
                "haven-agent: this connection's client certificate is not, or no longer, let in",
            ),
            Verdict::Wrong(_) => Reply::new(
                401,
                "haven-agent: the user name or the password that was sent is wrong",
            ),
            Verdict::Refused | Verdict::Allowed(_) => Reply::unauthorized(),
        };
        self.end_with(&refusal, framing, now);
    }

    /// Answers in Docker's place a request of which nothing has gone on.
    pub(super) fn end_with(&mut self, refusal: &Reply, framing: Framing, now: Instant) {
        // What follows the head cannot be told from the next request unless it is read.
        self.last_answer |= Body::new(framing).is_some();
        self.up = Up::Done;
        self.reply(refusal, now);
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
                self.bad_body(error, now);
                0
            }
        }
    }

    pub(super) fn bad_body(&mut self, error: ChunkError, now: Instant) {
        self.last_answer = true;
        let text = format!("haven-agent: bad request: {error}");
        let why = "the request's body is malformed";
        self.give_up(Reply::new(400, text), why, now);
    }

    /// The request may pass and Docker is there: its first bytes go out, on a connection that Docker
    /// may just be closing if it was `used` before.
    pub(super) fn send(&mut self, request: Request, used: bool, now: Instant) {
        // RFC 9110 §9.2.2: a proxy must not repeat what is not idempotent.
        let may_repeat = (self.exchange.as_ref()).is_some_and(|known| known.is_idempotent);
        let hold = match (used, may_repeat) {
            (false, _) => Hold::No,
            (true, false) => Hold::UntilSent,
            (true, true) => Hold::UntilAnswered,
        };
        self.to_docker.start(request.canonical, hold);
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
    fn new(head: &RequestHead<'_>, target: &Target<'_>) -> Result<Request, HeadError> {
        let mut canonical = Buf::new(head.canonical_room());
        head.write_canonical(target.path(), target.query(), &mut canonical)?;
        Ok(Request {
            canonical,
            framing: head.framing,
        })
    }

    /// Judges the very bytes that would go on, read once more.
    fn judge(&self, user: &str, policies: &Policies) -> Result<Ruling, HeadError> {
        let head = RequestHead::parse(self.canonical.data(), CANONICAL)?;
        let target = Target::parse(head.target)
            .map_err(|_| HeadError::Malformed("a target that is not canonical"))?;
        Ok(policies.judge(user, &question(&head, &target)))
    }
}

pub(super) fn question<'q>(head: &RequestHead<'q>, target: &'q Target<'q>) -> Question<'q> {
    Question {
        method: head.method,
        target,
        upgrade: head.upgrade,
        has_body: Body::new(head.framing).is_some(),
        has_form: head.is_form && Body::new(head.framing).is_some(),
        has_json: head.is_json() && !head.is_encoded,
    }
}

fn forbidden(status: u16, exchange: &Exchange, ruling: &Ruling) -> Reply {
    let user = exchange.user.as_deref().unwrap_or_default();
    let line = exchange.line.as_deref().unwrap_or_default();
    let separator = if ruling.reason.is_empty() { "" } else { "; " };
    let (by, reason) = (&ruling.by, &ruling.reason);
    Reply::new(
        status,
        format!("haven-agent: {user} may not {line}: {by}{separator}{reason}"),
    )
}
