//! One client's sockets and TLS around a [`Conn`].
//!
//! ```text
//!            sealed_in          opened_in                to_docker
//!   client ────────────▶ TLS ─────────────▶  Conn  ─────────────────▶ Docker
//!          ◀──────────── TLS ◀─────────────        ◀─────────────────
//!            sealed_out         to_client                docker_in
//! ```
//!
//! Each buffer is bounded and empty while nothing moves; a source is read only when its
//! destination has room. TLS records are opened and sealed in these buffers, without copies of
//! the library's own.
//!
//! A session begins with the TLS handshake, is then `Open` for as long as its [`Conn`] is, and
//! ends in `Closing`, which flushes, says goodbye and lingers.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::server::UnbufferedServerConnection;

use crate::auth::Verdict;
use crate::buf::{BATCH, Buf, CHUNK};
use crate::held::{Held, Share};
use crate::http::head::{MAX_HEAD, RequestHead};
use crate::policy::Policies;
use crate::proxy::conn::{Conn, Sizes, Times};
use crate::proxy::upstream::Upstream;
use crate::sys::epoll::{Event, Interest, Poller, Token};
use crate::sys::socket::Socket;
use crate::tls::{Client, Server};

mod client;
mod closing;
mod docker;
mod tls;
mod watched;

use closing::Closing;
use docker::Docker;
use watched::Watched;

/// The longest handshake flight of our own: an operator's chain may be long.
const MAX_SEALED_OUT: usize = 256 * 1024;

/// Sealed bytes of the client that are not yet opened: a record, or a handshake message that
/// spans several (RFC 8446 §4: clients that send a certificate).
const MAX_SEALED_IN: usize = 64 * 1024 + BATCH;

/// Asked about each request's head and the client that sent it; `None` if the verdict takes time.
pub type Judge<'a> = &'a mut dyn FnMut(&RequestHead<'_>, &Client) -> Option<Verdict>;

/// What a session needs of the loop that drives it.
pub struct Context<'a> {
    /// Where its descriptors are watched.
    pub poller: &'a Poller,
    /// Where Docker is.
    pub upstream: &'a Upstream,
    /// Asked about each request's head.
    pub judge: Judge<'a>,
    /// What each user may do.
    pub policies: &'a Policies,
    /// What connections are met with now; none while the proxy is off.
    pub server: Option<&'a Arc<Server>>,
    /// What is held for clients whom nobody knows yet.
    pub strangers: &'a Arc<Held>,
    /// The time of this turn of the loop.
    pub now: Instant,
    /// The bounds in time.
    pub times: Times,
    /// Those in size.
    pub sizes: Sizes,
    /// Whether safe methods are logged as well.
    pub log_reads: bool,
}

/// The two descriptors of a session, told apart by their tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The TLS side.
    Client,
    /// The connection to Docker.
    Docker,
}

/// What a session is told.
pub enum News {
    /// Of one of its descriptors.
    Ready(Event),
    /// On the request at hand.
    Verdict(Verdict),
    /// It has gone on; the session knows whether that means something to it.
    Time,
    /// The agent is stopping.
    Drain,
}

enum Phase {
    Handshake { deadline: Instant },
    Open,
    Closing(Closing),
}

/// How the client's side of the TLS stream has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClientEnd {
    No,
    /// `close_notify`, not yet told to the [`Conn`]: what came before it goes first.
    Noticed,
    /// `close_notify`, told.
    Told,
}

/// One client.
pub struct Session {
    peer: IpAddr,
    client: Watched,
    tls: UnbufferedServerConnection,
    client_is: Client,
    /// What said who the client is, and when.
    judged_by: Arc<Server>,
    judged_at: Instant,
    sealed_in: Buf,
    opened_in: Buf,
    /// Room for what is in these two, as long as nobody knows the client.
    share: Option<Share>,
    sealed_out: Buf,
    conn: Conn,
    docker: Option<Docker>,
    docker_in: Buf,
    docker_token: Token,
    /// When a connection to Docker is tried again whose queue was full.
    retry_at: Option<Instant>,
    phase: Phase,
    client_end: ClientEnd,
    /// TCP's end of file has been read.
    client_shut: bool,
}

/// Why a session is over.
pub type Over = &'static str;

impl Session {
    /// A client that has just been accepted.
    ///
    /// # Errors
    /// The socket cannot be watched, or the TLS configuration is unusable.
    pub fn start(
        socket: Socket,
        peer: IpAddr,
        tokens: (Token, Token),
        server: &Arc<Server>,
        handshake: Duration,
        cx: &Context<'_>,
    ) -> io::Result<Session> {
        let interest = Interest {
            read: true,
            ..Interest::default()
        };
        cx.poller.add(socket.as_fd(), tokens.0, interest)?;
        Ok(Session {
            peer,
            client: Watched::new(socket, tokens.0, interest),
            tls: UnbufferedServerConnection::new(Arc::clone(&server.config))
                .map_err(io::Error::other)?,
            client_is: Client::Unknown,
            judged_by: Arc::clone(server),
            judged_at: cx.now,
            sealed_in: Buf::new(MAX_SEALED_IN),
            opened_in: Buf::new(MAX_HEAD + MAX_SEALED_IN),
            share: None,
            sealed_out: Buf::new(MAX_SEALED_OUT),
            conn: Conn::new(cx.times, cx.sizes, cx.log_reads, cx.now),
            docker: None,
            docker_in: Buf::new(MAX_HEAD + CHUNK),
            docker_token: tokens.1,
            retry_at: None,
            phase: Phase::Handshake {
                deadline: cx.now + handshake,
            },
            client_end: ClientEnd::No,
            client_shut: false,
        })
    }

    /// Who the client is.
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// The machine inside, for what it has to log.
    pub fn conn_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }

    // ---------------------------------------------------------------- what may happen

    /// Acts on `news`, which are of the descriptor on that `side` where they are of one.
    ///
    /// # Errors
    /// The session is over.
    pub fn told(&mut self, side: Side, news: News, cx: &mut Context<'_>) -> Result<(), Over> {
        match news {
            News::Ready(event) if side == Side::Client => self.client_ready(event, cx)?,
            News::Ready(event) => self.docker_ready(event, cx),
            News::Verdict(verdict) => self.conn.verdict(verdict, cx.policies, cx.now),
            News::Time if self.deadline().is_some_and(|at| cx.now >= at) => self.timeout(cx.now)?,
            News::Time => return Ok(()),
            News::Drain => self.conn.drain(),
        }
        self.advance(cx)
    }

    /// A deadline has come.
    fn timeout(&mut self, now: Instant) -> Result<(), Over> {
        match &self.phase {
            Phase::Handshake { deadline } if now >= *deadline => {
                return Err("the TLS handshake did not end in time");
            }
            Phase::Closing(closing) if closing.deadline().is_some_and(|at| now >= at) => {
                return Err("closed");
            }
            Phase::Open => self.conn.timeout(now),
            _ => {}
        }
        Ok(())
    }

    /// When [`News::Time`] means something to it.
    pub fn deadline(&self) -> Option<Instant> {
        let own = match &self.phase {
            Phase::Handshake { deadline } => Some(*deadline),
            Phase::Open => self.conn.deadline(),
            Phase::Closing(closing) => closing.deadline(),
        };
        own.into_iter().chain(self.retry_at).min()
    }

    // ---------------------------------------------------------------- the client's socket

    fn client_ready(&mut self, event: Event, cx: &mut Context<'_>) -> Result<(), Over> {
        self.client.writable |= event.writable;
        if let Phase::Closing(_) = self.phase {
            return self.linger(event, cx.now);
        }
        let wanted = self.conn.wants(self.opened_in.len()).read_client;
        if event.readable && self.reads_client(wanted) {
            return self.read_client();
        }
        // Broken, or hung up while nothing was to be read: nothing can reach this client.
        if event.broken || (event.hangup && self.client.watches_hangup()) {
            return Err("the client went away");
        }
        Ok(())
    }

    fn read_client(&mut self) -> Result<(), Over> {
        let read = self.client.socket.read(self.sealed_in.space_for(BATCH));
        self.sealed_in.commit(*read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => self.client_eof(),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(_) => Err("the connection to the client broke"),
        }
    }

    /// TCP's end of file: the client will send no more, and most likely is gone.
    fn client_eof(&mut self) -> Result<(), Over> {
        self.client_shut = true;
        if let Phase::Handshake { .. } = self.phase {
            return Err("the client closed during the handshake");
        }
        // In a tunnel, what came before a close_notify may still be on its way.
        if self.client_end != ClientEnd::Noticed || !self.conn.is_tunnel() {
            self.conn.client_eof(false);
        }
        Ok(())
    }

    fn flush_client(&mut self, cx: &Context<'_>) -> Result<bool, Over> {
        let mut moved = false;
        if !self.sealed_out.is_empty() && self.client.writable {
            let count = self
                .client
                .write(self.sealed_out.data())
                .map_err(|_| "the client went away")?;
            self.sealed_out.consume(count);
            moved = count > 0;
        }
        if self.sealed_out.is_empty() && self.conn.to_client().is_empty() {
            self.conn.client_flushed(cx.now);
        }
        Ok(moved)
    }

    // ---------------------------------------------------------------- moving on

    /// Moves bytes as far as they go, then watches for what is missing.
    fn advance(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        self.identify_again(cx);
        self.conn.log_reads(cx.log_reads);
        loop {
            // In this order one pass takes a request to Docker, or an answer to the client.
            let mut moved = self.offer_docker(cx);
            moved |= self.tls_has_work() && self.drive_tls(cx)?;
            moved |= self.client_has_offer() && self.offer_client(cx);
            moved |= self.flush_docker(cx);
            moved |= self.flush_client(cx)?;
            moved |= self.close_if_over(moved, cx)?;
            if !moved {
                break;
            }
        }
        self.take_share(cx.strangers)?;
        self.watch(cx.poller)
            .map_err(|_| "a descriptor cannot be watched")
    }

    /// Whoever can reach the port may begin a handshake or a head, and not end it: all together have only so much of it held.
    fn take_share(&mut self, strangers: &Arc<Held>) -> Result<(), Over> {
        self.share = None;
        let held = self.sealed_in.len() + self.opened_in.len();
        if held > 0 && !self.conn.is_known() {
            let share = Share::of(strangers, held);
            self.share = Some(share.ok_or("too much is held for clients who are not known yet")?);
        }
        Ok(())
    }

    fn client_has_offer(&self) -> bool {
        !self.opened_in.is_empty() || self.client_end == ClientEnd::Noticed
    }

    /// Offers what was opened and not taken so far, then the end that came after it.
    fn offer_client(&mut self, cx: &mut Context<'_>) -> bool {
        let Session {
            conn,
            opened_in,
            client_is,
            phase,
            ..
        } = self;
        let mut judge = |head: &RequestHead<'_>| (cx.judge)(head, client_is);
        let taken = match phase {
            // Nobody is asked about before it is known who they are.
            Phase::Handshake { .. } => 0,
            _ => conn.client_data(opened_in.data(), &mut judge, cx.policies, cx.now),
        };
        self.opened_in.consume(taken);
        // What is left although more is asked for is the beginning of a head that will not end.
        let held = self.opened_in.len();
        let offered = held == 0 || self.conn.wants(held).read_client;
        if self.client_end == ClientEnd::Noticed && offered {
            self.client_end = ClientEnd::Told;
            self.conn.client_eof(true);
            return true;
        }
        taken > 0
    }

    // ---------------------------------------------------------------- watching

    /// Whether the client is read, given what the open [`Conn`] wants.
    fn reads_client(&self, wanted: bool) -> bool {
        let room = self.sealed_in.room() >= CHUNK;
        !self.client_shut
            && match &self.phase {
                Phase::Handshake { .. } => room,
                Phase::Open => room && wanted,
                // All of the time: a client may read only after it has written.
                Phase::Closing(_) => true,
            }
    }

    /// Computes from the state what each descriptor is to be watched for.
    fn watch(&mut self, poller: &Poller) -> io::Result<()> {
        let wants = self.conn.wants(self.opened_in.len());
        let reads = self.reads_client(wants.read_client);
        let open = matches!(self.phase, Phase::Open);
        // It stays in the set even with nothing to wait for: that is how a peer is noticed whom
        // TCP keepalive has found dead.
        self.client.watch(
            poller,
            Interest {
                read: reads,
                write: !self.sealed_out.is_empty(),
                // Not in a tunnel: there the bytes before the end count, and are read first.
                hangup: open && !reads && !self.client_shut && !self.conn.is_tunnel(),
                exclusive: false,
            },
        )?;
        self.watch_docker(wants.read_docker, poller)
    }
}
