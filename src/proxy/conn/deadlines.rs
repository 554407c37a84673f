//! What a connection waits for, and for how long.

use std::time::{Duration, Instant};

use super::{Close, Conn, Down, Up, Upstream};
use crate::proxy::reply::Reply;

/// How long the parts of a connection may take. There is no limit on an answer, until the client has
/// taken it, nor on a stream.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// From a head's first byte to its last, and from the handshake to the first head.
    pub head: Duration,
    /// Between two reads of a request's body.
    pub body: Duration,
    /// Between an answer that has been taken and the next request, on a kept connection.
    pub idle: Duration,
    /// To open a connection to Docker.
    pub connect: Duration,
    /// That a connection to Docker is kept for the next request.
    pub docker_idle: Duration,
}

/// How long a client that came just before the agent is to stop may wait with its request.
const DRAIN_WAIT: Duration = Duration::from_secs(1);

impl Conn {
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

    fn docker_idle_since(&self) -> Option<Instant> {
        let idle = matches!((&self.up, &self.down), (Up::Head(_), Down::Idle));
        (idle && self.upstream != Upstream::None).then_some(self.since)
    }

    /// What is being waited for that may take too long.
    fn limit(&self) -> Option<(Duration, Expiry)> {
        match (&self.up, &self.down) {
            // The client is still reading: the wait for its next request has not begun.
            (Up::Head(finder), _) if finder.is_fresh() && self.owes => None,
            (Up::Head(finder), _) if finder.is_fresh() => {
                let limit = match (self.first, self.draining) {
                    (true, true) => DRAIN_WAIT,
                    (true, false) => self.times.head,
                    (false, _) => self.times.idle,
                };
                Some((limit, Expiry::Idle))
            }
            (Up::Head(_), _) => Some((self.times.head, Expiry::Head)),
            (Up::Judged(_), _) => Some((self.times.body, Expiry::Body)),
            (Up::Connect(_), _) => Some((self.times.connect, Expiry::Connect)),
            (_, Down::Head(_)) if self.upstream == Upstream::None => {
                Some((self.times.connect, Expiry::Connect))
            }
            (Up::Body(..), _) if self.client_is_due() => Some((self.times.body, Expiry::Body)),
            _ => None,
        }
    }

    /// Whether the next bytes of a request's body can come from nobody but the client: all that
    /// came has gone on to Docker, and Docker has no `100` left to send. A client may begin without
    /// having been told to (RFC 9110 §10.1.1), and is to go on then.
    fn client_is_due(&self) -> bool {
        let awaits_continue = (self.exchange.as_ref())
            .is_some_and(|known| known.awaits_continue && known.bytes_up == 0);
        self.to_docker.pending().is_empty() && !awaits_continue
    }

    fn expire(&mut self, expiry: Expiry, now: Instant) {
        self.last_answer = true;
        let reply = match expiry {
            Expiry::Idle => return self.close(Close::Finished("no request came in time")),
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
