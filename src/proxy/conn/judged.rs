//! Requests that may pass only if their body does: it is held whole, judged, and then sent as it was judged.

use std::sync::Arc;
use std::time::Instant;

use super::{Conn, Request, Up};
use crate::buf::Buf;
use crate::http::body::{Body, Coding, Framing};
use crate::policy::{Ruling, Trial};
use crate::proxy::reply::Reply;

/// Space that is left behind the longest body: for the decoder, which writes nothing into less, and for
/// the lines of a chunk.
const SLACK: usize = 64;

/// The longest answer to the creation of an exec that is looked into; real ones have 75 bytes.
const MAX_EXEC_ANSWER: usize = 1024;

/// A request whose body is on its way.
pub(super) struct Judged {
    request: Request,
    body: Body,
    held: Buf,
    trial: Box<Trial>,
}

impl Conn {
    /// The request may pass if its body does, which is awaited.
    pub(super) fn hold(&mut self, request: Request, trial: Box<Trial>, now: Instant) {
        self.since = now;
        let framing = request.framing;
        if matches!(framing, Framing::Length(length) if length > self.sizes.judged_body as u64) {
            let ruling = self.too_large(&trial);
            return self.forbid(413, &ruling, framing, now);
        }
        let held = Buf::new(self.sizes.judged_body + SLACK);
        let Some(body) = Body::new(framing) else {
            return self.decide(request, &held, trial, now);
        };
        let longest = match framing {
            Framing::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
            _ => self.sizes.judged_body,
        };
        let Some(share) = trial.share(longest) else {
            let busy = "haven-agent: too many bodies are being judged; try again in a moment";
            return self.end_with(&Reply::new(503, busy), framing, now);
        };
        if let Some(exchange) = &mut self.exchange {
            exchange.share = Some(share);
            if exchange.awaits_continue {
                // Docker will say it too, to nobody.
                exchange.awaits_continue = false;
                exchange.continued = true;
                self.to_client.put(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
        }
        self.up = Up::Judged(Box::new(Judged {
            request,
            body,
            held,
            trial,
        }));
    }

    /// Takes what `input` has of a body that is to be judged.
    pub(super) fn judged_body(&mut self, input: &[u8], now: Instant) -> usize {
        let Up::Judged(judged) = &mut self.up else {
            return 0;
        };
        let forwarded = match judged
            .body
            .forward(input, Coding::Identity, &mut judged.held)
        {
            Ok(forwarded) => forwarded,
            Err(error) => {
                self.bad_body(error, now);
                return 0;
            }
        };
        // `since` stays: a body that trickles in is not held for ever.
        if let Some(exchange) = &mut self.exchange {
            exchange.bytes_up += forwarded.payload as u64;
        }
        let is_too_large = judged.held.len() > self.sizes.judged_body;
        if (forwarded.done || is_too_large)
            && let Up::Judged(judged) = std::mem::replace(&mut self.up, Up::Done)
        {
            match is_too_large {
                true => {
                    let ruling = self.too_large(&judged.trial);
                    self.forbid(413, &ruling, judged.request.framing, now);
                }
                false => self.decide(judged.request, &judged.held, judged.trial, now),
            }
        }
        forwarded.consumed
    }

    fn too_large(&self, trial: &Trial) -> Ruling {
        let most = self.sizes.judged_body;
        trial.deny(&format!(
            "a body that is judged has at most {most} bytes (max_judged_body)"
        ))
    }

    /// All of the body has come.
    fn decide(&mut self, request: Request, body: &Buf, trial: Box<Trial>, now: Instant) {
        match trial.judge(body.data()) {
            Ok(()) => {
                if let Some(exchange) = &mut self.exchange {
                    if let Some(share) = &mut exchange.share {
                        share.shrink(body.len());
                    }
                    if trial.makes_exec() {
                        exchange.watch = Some(Watch::new(trial));
                    }
                }
                self.pass(request.with_body(body), now);
            }
            // All that was sent is read: the next request may follow.
            Err(ruling) => self.forbid(403, &ruling, Framing::None, now),
        }
    }
}

impl Request {
    /// The same with its whole body behind the head, where nothing more is to come.
    fn with_body(self, body: &Buf) -> Request {
        let size = format!("{:x}\r\n", body.len());
        let (before, behind) = match self.framing {
            Framing::Chunked => (size.as_bytes(), &b"\r\n0\r\n\r\n"[..]),
            _ => (&b""[..], &b""[..]),
        };
        let room = self.canonical.len() + body.len() + SLACK;
        let mut canonical = self.canonical.with_limit(room);
        for part in [before, body.data(), behind] {
            canonical.put(part);
        }
        Request {
            canonical,
            framing: Framing::None,
        }
    }
}

/// The answer to the creation of an exec, read along on its way: only what was made may be started.
pub(super) struct Watch {
    trial: Box<Trial>,
    body: Option<Body>,
    held: Buf,
}

impl Watch {
    fn new(trial: Box<Trial>) -> Box<Watch> {
        Box::new(Watch {
            trial,
            body: None,
            held: Buf::new(MAX_EXEC_ANSWER + SLACK),
        })
    }

    /// The answer's head has come.
    pub(super) fn begin(&mut self, status: u16, framing: Framing) {
        self.body = Body::new(framing).filter(|_| status == 201);
    }

    /// These bytes of it have gone on. Of what is too long, or broken, nothing will be remembered.
    pub(super) fn read(&mut self, input: &[u8], user: Option<&Arc<str>>) {
        let Some(body) = &mut self.body else {
            return;
        };
        match body.forward(input, Coding::Identity, &mut self.held) {
            Ok(forwarded) if forwarded.done => {
                if let Some(user) = user {
                    self.trial.remember(user, self.held.data());
                }
                self.body = None;
            }
            Ok(forwarded) if forwarded.consumed == input.len() => {}
            _ => self.body = None,
        }
    }
}
