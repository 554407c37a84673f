//! The answer's side of a connection: Docker's heads, bodies, streams and ends.

use std::time::Instant;

use super::{Close, Conn, Down, Up, Upstream};
use crate::buf::Buf;
use crate::http::body::{Body, Coding, Framing};
use crate::http::head::{Connection, HeadError, HeadFinder, ResponseHead, Version};
use crate::proxy::reply::Reply;
use crate::proxy::tunnel::Flow;

impl Conn {
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
        match &mut self.up {
            Up::Tunnel(flow) => {
                flow.abandon();
                self.to_docker.clear();
            }
            Up::Body(..) if matches!(self.down, Down::Body(..)) => self.up = Up::Discard,
            _ => {}
        }
    }

    /// Takes what it can of `input`, Docker's bytes not yet taken; says whether it took any.
    pub fn docker_data(&mut self, input: &mut Buf, now: Instant) -> bool {
        self.to_docker.forget();
        if self.hand_over(input) {
            return true;
        }
        let taken = self.take_docker_data(input.data(), now);
        input.consume(taken);
        taken > 0
    }

    /// Where all of `input` is for the client as it is, it changes hands without being copied.
    fn hand_over(&mut self, input: &mut Buf) -> bool {
        let is_watched = (self.exchange.as_ref()).is_some_and(|known| known.watch.is_some());
        if !self.to_client.is_empty() || is_watched {
            return false;
        }
        let payload = match &mut self.down {
            Down::Body(body, coding) => body.pass_whole(input.data(), *coding),
            Down::Tunnel(_) => Some(input.len()),
            _ => None,
        };
        let Some(payload) = payload else {
            return false;
        };
        if let Some(exchange) = &mut self.exchange {
            exchange.bytes_down += payload as u64;
        }
        self.to_client.take_over(input);
        true
    }

    fn take_docker_data(&mut self, input: &[u8], now: Instant) -> usize {
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

    /// The connection to Docker broke (a reset); all that it had sent has been offered.
    ///
    /// Docker closes like that, too, when it leaves a part of a request unread: only where there
    /// was nothing to read is an answer until the close known to be cut short.
    pub fn docker_broke(&mut self, now: Instant) {
        let unread = !matches!(self.up, Up::Done)
            || self
                .exchange
                .as_ref()
                .is_none_or(|exchange| exchange.bytes_up > 0);
        if matches!(self.down, Down::Body(Body::UntilClose, _)) && !unread {
            self.close(Close::Cut("the connection to Docker broke"));
        } else {
            self.docker_eof(now);
        }
    }

    /// Docker has closed; all that it had sent has been offered.
    pub fn docker_eof(&mut self, now: Instant) {
        self.upstream = Upstream::None;
        match &mut self.down {
            Down::Idle | Down::Closed(_) => {}
            // It met a stale connection, and is sent on another one.
            Down::Head(_) if self.to_docker.is_whole() => self.since = now,
            Down::Head(_) => self.no_answer(now),
            Down::Body(Body::UntilClose, Coding::Identity) => self.answer_done(now),
            Down::Body(..) => self.close(Close::Cut("Docker cut its answer short")),
            Down::Tunnel(flow) => {
                flow.end();
                // What the client still sends is read and dropped, so that it gets to the rest.
                if let Up::Tunnel(flow) = &mut self.up {
                    flow.abandon();
                    self.to_docker.clear();
                }
            }
        }
    }

    fn no_answer(&mut self, now: Instant) {
        let changes_state = (self.exchange.as_ref()).is_some_and(|known| known.changes_state);
        let text = match changes_state {
            true => {
                "haven-agent: Docker closed the connection without an answer; \
                 it may have acted on the request"
            }
            false => "haven-agent: Docker closed the connection without an answer",
        };
        let why = "Docker closed without an answer";
        self.give_up(Reply::new(502, text), why, now);
    }

    fn answer_head(&mut self, input: &[u8], now: Instant) -> usize {
        let (Down::Head(finder), Some(exchange)) = (&mut self.down, &self.exchange) else {
            return 0;
        };
        // A head needs the whole of the buffer's room.
        if !self.to_client.is_empty() {
            return 0;
        }
        let length = match finder.find(input) {
            Ok(Some(length)) => length,
            Ok(None) => return 0,
            Err(error) => return self.bad_head(error, input, now),
        };
        let head = input.get(..length).unwrap_or_default();
        let answer = ResponseHead::parse(head, exchange.is_head);
        match answer.and_then(|head| self.take_answer(&head, now)) {
            Ok(()) => length,
            Err(error) => self.bad_head(error, input, now),
        }
    }

    fn bad_head(&mut self, error: HeadError, input: &[u8], now: Instant) -> usize {
        self.bad_answer(&error.to_string(), now);
        input.len()
    }

    fn bad_answer(&mut self, what: &str, now: Instant) {
        self.upstream = Upstream::None;
        let text = format!("haven-agent: Docker's answer cannot be understood: {what}");
        self.give_up(Reply::new(502, text), "Docker's answer is malformed", now);
    }

    fn take_answer(&mut self, head: &ResponseHead<'_>, now: Instant) -> Result<(), HeadError> {
        let Some(exchange) = &mut self.exchange else {
            return Ok(());
        };
        if head.is_interim() {
            if head.status == 100 {
                exchange.awaits_continue = false;
                self.since = now; // the wait for the client's body begins here
            }
            self.down = Down::Head(HeadFinder::default());
            // RFC 9110 §15.2: none to an HTTP/1.0 client.
            let is_told = exchange.continued && head.status == 100;
            if exchange.version == Version::Http11 && !is_told {
                head.write(&mut self.to_client, Framing::None, Connection::Keep)?;
            }
            return Ok(());
        }
        exchange.status = head.status;
        if head.status == 101 {
            match head.upgrade {
                Some(protocol) if exchange.offers_upgrade => {
                    head.write(
                        &mut self.to_client,
                        Framing::None,
                        Connection::Upgrade(protocol),
                    )?;
                    self.open_tunnel();
                }
                _ => self.bad_answer("an upgrade that was not asked for", now),
            }
            return Ok(());
        }
        if exchange.hijacks && is_hijack(head) {
            head.write(&mut self.to_client, Framing::None, Connection::Close)?;
            self.open_tunnel();
            return Ok(());
        }
        if let Some(watch) = &mut exchange.watch {
            watch.begin(head.status, head.framing);
        }
        self.start_answer(head, now)
    }

    fn start_answer(&mut self, head: &ResponseHead<'_>, now: Instant) -> Result<(), HeadError> {
        let Some(exchange) = &self.exchange else {
            return Ok(());
        };
        let framing = match (head.framing, exchange.version) {
            (Framing::Chunked, Version::Http10) => Framing::UntilClose,
            (framing, _) => framing,
        };
        self.docker_closes = !head.keep_alive;
        self.last_answer = self.is_last_answer()
            || !exchange.keep_alive
            || exchange.awaits_continue
            || framing == Framing::UntilClose
            || !matches!(self.up, Up::Done);
        let connection = match (self.last_answer, exchange.version) {
            (true, _) => Connection::Close,
            (false, Version::Http11) => Connection::Keep,
            (false, Version::Http10) => Connection::KeepTold,
        };
        head.write(&mut self.to_client, framing, connection)?;
        let coding = match framing {
            Framing::Chunked => Coding::Chunked,
            _ => Coding::Identity,
        };
        if let (Up::Body(..), Upstream::Open { deaf: true, .. }) = (&self.up, self.upstream) {
            self.up = Up::Discard;
        }
        match Body::new(head.framing) {
            Some(body) => self.down = Down::Body(body, coding),
            None => self.answer_done(now),
        }
        Ok(())
    }

    fn open_tunnel(&mut self) {
        self.last_answer = true;
        // What is still to come of a request's body is taken for the stream, as Docker takes it.
        self.up = match self.upstream {
            Upstream::Open { deaf: false, .. } if self.client_done => Up::Tunnel(Flow::Draining),
            Upstream::Open { deaf: false, .. } => Up::Tunnel(Flow::Open),
            _ => Up::Tunnel(Flow::Shut),
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
                    if let Some(watch) = &mut exchange.watch {
                        let read = input.get(..forwarded.consumed).unwrap_or_default();
                        watch.read(read, exchange.user.as_ref());
                    }
                }
                if forwarded.done {
                    self.answer_done(now);
                }
                forwarded.consumed
            }
            Err(_) => {
                self.close(Close::Cut("Docker's answer is malformed"));
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
