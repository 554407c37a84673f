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

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};

use crate::buf::{Buf, CHUNK};
use crate::http::body::CHUNK_OVERHEAD;
use crate::http::head::MAX_HEAD;
use crate::proxy::conn::{Close, Conn, Judge, Times};
use crate::proxy::reply::Reply;
use crate::proxy::upstream::Upstream;
use crate::sys::epoll::{Event, Interest, Poller, Token};
use crate::sys::socket::{Progress, Socket};

/// The longest handshake flight of our own: an operator's chain may be long.
const MAX_HANDSHAKE_OUT: usize = 256 * 1024;

/// Sealed bytes of the client that are not yet opened: a record, or a handshake message that
/// spans several (RFC 8446 §4: clients that send a certificate).
const MAX_SEALED_IN: usize = 64 * 1024 + CHUNK;

/// The most plain bytes that one record carries (RFC 8446 §5.1).
const MAX_RECORD: usize = 1 << 14;

/// More than a record's header, nonce, tag and content type need together.
const RECORD_OVERHEAD: usize = 64;

/// How long a closing connection may make no progress at all.
const CLOSING_STALL: Duration = Duration::from_secs(5);

/// How long, and for how many bytes, a closing connection is read to its end (RFC 9112 §9.6).
const LINGER_TIME: Duration = Duration::from_secs(30);
const LINGER_BYTES: usize = 256 * 1024 * 1024;

/// Read from Docker at a time: with what the chunked coding adds it fills one record.
const DOCKER_READ: usize = MAX_RECORD - CHUNK_OVERHEAD;

/// Until a full queue at Docker's socket is tried again.
const CONNECT_RETRY: Duration = Duration::from_millis(20);

/// What a session needs of the loop that drives it.
pub struct Context<'a> {
    /// Where its descriptors are watched.
    pub poller: &'a Poller,
    /// Where Docker is.
    pub upstream: &'a Upstream,
    /// Asked about each request's head.
    pub judge: Judge<'a>,
    /// The time of this turn of the loop.
    pub now: Instant,
    /// The bounds in time.
    pub times: Times,
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

/// A descriptor, what it is watched for, and whether it takes bytes.
struct Watched {
    socket: Socket,
    token: Token,
    interest: Interest,
    writable: bool,
}

enum Phase {
    Handshake {
        deadline: Instant,
    },
    Open,
    /// All that is left is to flush, to say goodbye and to read what still comes.
    Closing(Closing),
}

struct Closing {
    shut: bool,
    drained: usize,
    stalls_at: Instant,
    ends_at: Instant,
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
    sealed_in: Buf,
    opened_in: Buf,
    sealed_out: Buf,
    conn: Conn,
    docker: Option<Docker>,
    docker_in: Buf,
    phase: Phase,
    client_end: ClientEnd,
    /// TCP's end of file has been read.
    client_shut: bool,
    docker_token: Token,
    /// When a connection to Docker is tried again whose queue was full.
    retry_at: Option<Instant>,
}

struct Docker {
    watched: Watched,
    connecting: bool,
    /// The end of file has been read, and not yet told to the [`Conn`].
    ended: bool,
}

/// Why a session is over.
pub type Over = &'static str;

impl Session {
    /// A client that has just been accepted.
    ///
    /// # Errors
    /// The socket cannot be set up or watched, or the TLS configuration is unusable.
    pub fn start(
        socket: Socket,
        peer: IpAddr,
        tokens: (Token, Token),
        tls: &Arc<ServerConfig>,
        handshake: Duration,
        cx: &Context<'_>,
    ) -> io::Result<Session> {
        socket.set_tcp_options()?;
        let interest = Interest {
            read: true,
            ..Interest::default()
        };
        cx.poller.add(socket.as_fd(), tokens.0, interest)?;
        let tls = UnbufferedServerConnection::new(Arc::clone(tls)).map_err(io::Error::other)?;
        Ok(Session {
            peer,
            client: Watched {
                socket,
                token: tokens.0,
                interest,
                writable: true,
            },
            tls,
            sealed_in: Buf::new(MAX_SEALED_IN),
            opened_in: Buf::new(MAX_HEAD + MAX_SEALED_IN),
            sealed_out: Buf::new(MAX_HANDSHAKE_OUT),
            conn: Conn::new(cx.times, cx.log_reads, cx.now),
            docker: None,
            docker_in: Buf::new(CHUNK),
            phase: Phase::Handshake {
                deadline: cx.now + handshake,
            },
            client_end: ClientEnd::No,
            client_shut: false,
            docker_token: tokens.1,
            retry_at: None,
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

    /// Something has happened to one of the descriptors.
    ///
    /// # Errors
    /// The session is over; so for all that follow.
    pub fn ready(&mut self, side: Side, event: Event, cx: &mut Context<'_>) -> Result<(), Over> {
        match side {
            Side::Client => self.client_ready(event, cx)?,
            Side::Docker => self.docker_ready(event, cx),
        }
        self.advance(cx)
    }

    /// The verdict on the request at hand.
    pub fn verdict(
        &mut self,
        verdict: crate::auth::Verdict,
        cx: &mut Context<'_>,
    ) -> Result<(), Over> {
        self.conn.verdict(verdict, cx.now);
        self.advance(cx)
    }

    /// The agent is stopping.
    pub fn drain(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        self.conn.drain();
        self.advance(cx)
    }

    /// A deadline has come.
    pub fn timeout(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        match &self.phase {
            Phase::Handshake { deadline } if cx.now >= *deadline => {
                return Err("the TLS handshake did not end in time");
            }
            Phase::Closing(closing) if cx.now >= closing.stalls_at.min(closing.ends_at) => {
                return Err("closed");
            }
            Phase::Open => self.conn.timeout(cx.now),
            _ => {}
        }
        self.advance(cx)
    }

    /// When [`timeout`](Session::timeout) is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let own = match &self.phase {
            Phase::Handshake { deadline } => Some(*deadline),
            Phase::Open => self.conn.deadline(),
            Phase::Closing(closing) => Some(closing.stalls_at.min(closing.ends_at)),
        };
        own.into_iter().chain(self.retry_at).min()
    }

    // ---------------------------------------------------------------- reading

    fn client_ready(&mut self, event: Event, cx: &mut Context<'_>) -> Result<(), Over> {
        self.client.writable |= event.writable;
        if let Phase::Closing(_) = self.phase {
            return self.linger(event, cx.now);
        }
        if event.readable && self.wants_client_bytes() {
            return self.read_client();
        }
        // The client has hung up while nothing was to be read from it.
        if event.broken || (event.hangup && self.client.interest.hangup) {
            self.client_shut = true;
            self.conn.client_eof(false);
        }
        Ok(())
    }

    fn read_client(&mut self) -> Result<(), Over> {
        let space = self.sealed_in.space_for(CHUNK.min(self.sealed_in.room()));
        match self.client.socket.read(space) {
            Ok(0) => {
                self.sealed_in.commit(0);
                self.client_shut = true;
                if let Phase::Handshake { .. } = self.phase {
                    return Err("the client closed during the handshake");
                }
                // In a tunnel, what came before a close_notify may still be on its way.
                if self.client_end != ClientEnd::Noticed || !self.conn.is_tunnel() {
                    self.conn.client_eof(false);
                }
            }
            Ok(count) => self.sealed_in.commit(count),
            Err(error) => {
                self.sealed_in.commit(0);
                if error.kind() != io::ErrorKind::WouldBlock {
                    self.client_shut = true;
                    self.conn.client_eof(false);
                    self.client_end = ClientEnd::Told;
                    return Err("the connection to the client broke");
                }
            }
        }
        Ok(())
    }

    fn docker_ready(&mut self, event: Event, cx: &mut Context<'_>) {
        let Some(docker) = &mut self.docker else {
            return;
        };
        if docker.connecting {
            if event.writable {
                self.docker_connected(cx);
            }
            return;
        }
        docker.watched.writable |= event.writable;
        let wants = self.conn.wants(self.opened_in.len()).read_docker;
        if event.readable && wants && self.docker_in.is_empty() && !docker.ended {
            let space = self.docker_in.space_for(DOCKER_READ);
            let space = space.get_mut(..DOCKER_READ).unwrap_or_default();
            let read = docker.watched.socket.read(space);
            self.docker_in.commit(*read.as_ref().unwrap_or(&0));
            docker.ended = match read {
                Ok(count) => count == 0,
                Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            };
        } else if event.broken && !wants {
            // It has closed both directions while its bytes wait to be read: they stay readable.
            self.conn.docker_deaf();
        }
    }

    /// Reads and throws away what a client still sends after our last byte.
    fn linger(&mut self, event: Event, now: Instant) -> Result<(), Over> {
        let Phase::Closing(closing) = &mut self.phase else {
            return Ok(());
        };
        if !event.readable {
            return Ok(());
        }
        let space = self.sealed_in.space_for(CHUNK);
        let read = self.client.socket.read(space);
        self.sealed_in.clear();
        match read {
            Ok(0) if closing.shut => Err("closed"),
            Ok(0) => {
                self.client_shut = true;
                Ok(())
            }
            Ok(count) => {
                closing.stalls_at = now + CLOSING_STALL;
                closing.drained += count;
                if closing.drained > LINGER_BYTES {
                    return Err("closed while the client was still sending");
                }
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(_) => Err("the connection to the client broke"),
        }
    }

    // ---------------------------------------------------------------- moving on

    /// Moves bytes as far as they go, then watches for what is missing.
    fn advance(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        loop {
            let mut moved = self.drive_tls(cx)?;
            moved |= self.offer_client(cx);
            moved |= self.offer_docker(cx);
            moved |= self.flush_docker(cx);
            moved |= self.flush_client(cx)?;
            if !moved {
                break;
            }
        }
        self.begin_closing(cx)?;
        self.watch(cx.poller)
            .map_err(|_| "a descriptor cannot be watched")
    }

    /// Opens what the client has sealed and seals what is for it, until TLS has nothing to do.
    fn drive_tls(&mut self, cx: &mut Context<'_>) -> Result<bool, Over> {
        if let Phase::Closing(_) = self.phase {
            return Ok(false);
        }
        if matches!(self.phase, Phase::Handshake { .. }) && speaks_plain_http(self.sealed_in.data())
        {
            return self.refuse_plain_http();
        }
        let before = (self.sealed_in.len(), self.sealed_out.len());
        loop {
            let UnbufferedStatus { discard, state, .. } =
                self.tls.process_tls_records(self.sealed_in.data_mut());
            let mut discard = discard;
            let mut idle = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(|_| "a TLS record cannot be opened")?;
                        discard += record.discard;
                        let taken = match self.opened_in.is_empty() {
                            true => self.conn.client_data(record.payload, cx.judge, cx.now),
                            false => 0,
                        };
                        let rest = record.payload.get(taken..).unwrap_or_default();
                        if self.opened_in.put(rest) < rest.len() {
                            return Err("the client sends more than it was asked for");
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut self.sealed_out, |space| data.encode(space))?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.client_end = ClientEnd::Noticed,
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    if let Phase::Handshake { .. } = self.phase {
                        self.phase = Phase::Open;
                    }
                    let plain = self.conn.to_client();
                    while !plain.is_empty() {
                        let part = plain.data().get(..MAX_RECORD.min(plain.len()));
                        let part = part.unwrap_or_default();
                        // One record at a time waits for the socket, behind small ones at most.
                        if self.sealed_out.len() + part.len() + RECORD_OVERHEAD > CHUNK {
                            break;
                        }
                        let space = self.sealed_out.space_for(part.len() + RECORD_OVERHEAD);
                        let sealed = traffic
                            .encrypt(part, space)
                            .map_err(|_| "a TLS record cannot be sealed")?;
                        let count = part.len();
                        self.sealed_out.commit(sealed);
                        plain.consume(count);
                    }
                    idle = true;
                }
                Ok(_) => idle = true, // BlockedHandshake, Closed; early data is never enabled
                Err(error) => {
                    self.sealed_in.consume(discard);
                    return self.fail_tls(&error);
                }
            }
            self.sealed_in.consume(discard);
            if idle {
                break;
            }
        }
        Ok(before != (self.sealed_in.len(), self.sealed_out.len()))
    }

    /// The client broke TLS: the alert that says so is its last word.
    fn fail_tls(&mut self, error: &rustls::Error) -> Result<bool, Over> {
        ::log::debug!("{}: TLS: {error}", self.peer);
        while let UnbufferedStatus {
            state: Ok(ConnectionState::EncodeTlsData(mut data)),
            ..
        } = self.tls.process_tls_records(&mut [])
        {
            encode(&mut self.sealed_out, |space| data.encode(space))?;
        }
        let _ = self.client.socket.write(self.sealed_out.data());
        let _ = self.client.socket.shutdown_write();
        Err("the client broke the TLS protocol")
    }

    /// A client that speaks HTTP without TLS is told so, in its own language.
    fn refuse_plain_http(&mut self) -> Result<bool, Over> {
        let mut answer = Buf::new(CHUNK);
        Reply::new(
            400,
            "haven-agent: plain HTTP was sent to an HTTPS port: use https://",
        )
        .write(&mut answer, true, true);
        let _ = self.client.socket.write(answer.data());
        let _ = self.client.socket.shutdown_write();
        Err("the client speaks plain HTTP")
    }

    /// Offers what was opened and not taken so far, then the end that came after it.
    fn offer_client(&mut self, cx: &mut Context<'_>) -> bool {
        let taken = self
            .conn
            .client_data(self.opened_in.data(), cx.judge, cx.now);
        self.opened_in.consume(taken);
        if self.client_end == ClientEnd::Noticed && self.opened_in.is_empty() {
            self.client_end = ClientEnd::Told;
            self.conn.client_eof(true);
            return true;
        }
        taken > 0
    }

    /// Offers what was read from Docker, then the end that came after it.
    fn offer_docker(&mut self, cx: &mut Context<'_>) -> bool {
        let wants = self.conn.wants(self.opened_in.len());
        if wants.drop_docker && self.docker.is_some() && !self.is_connecting() {
            self.docker = None; // closing the descriptor takes it out of the poller's set
            self.docker_in.clear();
        }
        if wants.connect && self.docker.is_none() && self.retry_at.is_none_or(|at| cx.now >= at) {
            self.connect_docker(cx);
            return true;
        }
        if !wants.connect && self.is_connecting() {
            self.docker = None;
        }
        if !self.docker_in.is_empty() {
            let taken = self.conn.docker_data(self.docker_in.data(), cx.now);
            self.docker_in.consume(taken);
            return taken > 0;
        }
        match &mut self.docker {
            Some(docker) if docker.ended => {
                self.docker = None;
                self.conn.docker_eof(cx.now);
                true
            }
            _ => false,
        }
    }

    fn is_connecting(&self) -> bool {
        self.docker.as_ref().is_some_and(|docker| docker.connecting)
    }

    fn connect_docker(&mut self, cx: &mut Context<'_>) {
        self.retry_at = None;
        match cx.upstream.connect() {
            Ok((socket, progress)) => {
                self.docker = Some(Docker {
                    watched: Watched {
                        socket,
                        token: self.docker_token,
                        interest: Interest::default(),
                        writable: progress == Progress::Connected,
                    },
                    connecting: progress == Progress::Pending,
                    ended: false,
                });
                if progress == Progress::Connected {
                    self.conn.docker_open(cx.now);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.retry_at = Some(cx.now + CONNECT_RETRY);
            }
            Err(error) => self.conn.docker_failed(cx.upstream.explain(error), cx.now),
        }
    }

    /// A connection by TCP has been made, or not.
    fn docker_connected(&mut self, cx: &mut Context<'_>) {
        let Some(docker) = &mut self.docker else {
            return;
        };
        match docker.watched.socket.progress() {
            Ok(Progress::Pending) => {}
            Ok(Progress::Connected) => {
                docker.connecting = false;
                docker.watched.writable = true;
                self.conn.docker_open(cx.now);
            }
            Err(error) => {
                self.docker = None;
                self.conn.docker_failed(cx.upstream.explain(error), cx.now);
            }
        }
    }

    fn flush_docker(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(docker) = self.docker.as_mut().filter(|docker| !docker.connecting) else {
            return false;
        };
        let pending = self.conn.to_docker();
        let mut moved = false;
        if !pending.is_empty() && docker.watched.writable {
            match docker.watched.write(pending) {
                Ok(0) => {}
                Ok(count) => {
                    self.conn.docker_sent(count, cx.now);
                    moved = true;
                }
                Err(_) => {
                    self.conn.docker_deaf();
                    moved = true;
                }
            }
        }
        if self.conn.take_docker_shutdown() {
            let _ = docker.watched.socket.shutdown_write();
            moved = true;
        }
        moved
    }

    fn flush_client(&mut self, cx: &mut Context<'_>) -> Result<bool, Over> {
        let mut moved = false;
        if !self.sealed_out.is_empty() && self.client.writable {
            match self.client.write(self.sealed_out.data()) {
                Ok(count) => {
                    self.sealed_out.consume(count);
                    moved = count > 0;
                }
                Err(_) => {
                    self.conn.client_eof(false);
                    return Err("the client went away");
                }
            }
        }
        if self.sealed_out.is_empty() && self.conn.to_client().is_empty() {
            self.conn.client_flushed();
        }
        if let Phase::Closing(closing) = &mut self.phase {
            if moved {
                closing.stalls_at = cx.now + CLOSING_STALL;
            }
            if self.sealed_out.is_empty() && !closing.shut {
                closing.shut = true;
                let _ = self.client.socket.shutdown_write();
            }
            if closing.shut && self.client_shut {
                return Err("closed");
            }
        }
        Ok(moved)
    }

    // ---------------------------------------------------------------- closing

    /// Once the [`Conn`] is over and all its bytes are sealed: says goodbye as it asks.
    fn begin_closing(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        let Some(close) = self.conn.wants(0).close else {
            return Ok(());
        };
        if matches!(self.phase, Phase::Closing(_)) {
            return Ok(());
        }
        self.docker = None;
        self.docker_in.clear();
        if let Close::Gone(why) = close {
            return Err(why);
        }
        if !self.conn.to_client().is_empty() {
            return Ok(());
        }
        ::log::debug!("{}: closing: {}", self.peer, close.reason());
        if let Close::Finished(_) = close {
            self.queue_close_notify()?;
        }
        self.opened_in.clear();
        self.sealed_in.clear();
        self.phase = Phase::Closing(Closing {
            shut: false,
            drained: 0,
            stalls_at: cx.now + CLOSING_STALL,
            ends_at: cx.now + LINGER_TIME,
        });
        self.flush_client(cx)?;
        Ok(())
    }

    fn queue_close_notify(&mut self) -> Result<(), Over> {
        let status = self.tls.process_tls_records(self.sealed_in.data_mut());
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state {
            let space = self.sealed_out.space_for(2 * RECORD_OVERHEAD);
            let count = traffic
                .queue_close_notify(space)
                .map_err(|_| "a TLS record cannot be sealed")?;
            self.sealed_out.commit(count);
        }
        Ok(())
    }

    // ---------------------------------------------------------------- watching

    fn wants_client_bytes(&self) -> bool {
        if self.client_shut || self.sealed_in.room() < CHUNK {
            return false;
        }
        match &self.phase {
            Phase::Handshake { .. } => true,
            Phase::Open => {
                self.client_end == ClientEnd::Noticed && self.opened_in.is_empty()
                    || self.conn.wants(self.opened_in.len()).read_client
            }
            Phase::Closing(_) => true,
        }
    }

    /// Computes from the state what each descriptor is to be watched for.
    fn watch(&mut self, poller: &Poller) -> io::Result<()> {
        let reads = self.wants_client_bytes();
        let open = matches!(self.phase, Phase::Open);
        let interest = Interest {
            read: reads,
            write: !self.sealed_out.is_empty(),
            // Not in a tunnel: there the bytes before the end count, and are read first.
            hangup: open && !reads && !self.client_shut && !self.conn.is_tunnel(),
            exclusive: false,
        };
        self.client.watch(poller, interest)?;
        let wants = self.conn.wants(self.opened_in.len());
        if let Some(docker) = &mut self.docker {
            let interest = Interest {
                read: !docker.connecting && wants.read_docker && self.docker_in.is_empty(),
                write: docker.connecting || !self.conn.to_docker().is_empty(),
                ..Interest::default()
            };
            docker.watched.watch(poller, interest)?;
        }
        Ok(())
    }
}

impl Watched {
    /// Writes what fits; 0 when nothing does, until the poller says otherwise.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.socket.write(bytes) {
            Ok(count) => {
                self.writable = count == bytes.len();
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.writable = false;
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    /// Registers a change of interest; an empty one leaves the set, since errors and hang-ups
    /// cannot be masked.
    fn watch(&mut self, poller: &Poller, interest: Interest) -> io::Result<()> {
        if interest == self.interest {
            return Ok(());
        }
        let fd = self.socket.as_fd();
        match (self.interest.is_empty(), interest.is_empty()) {
            (true, false) => poller.add(fd, self.token, interest)?,
            (false, true) => poller.remove(fd)?,
            _ => poller.modify(fd, self.token, interest)?,
        }
        self.interest = interest;
        Ok(())
    }
}

/// Lets TLS write a handshake record behind what is queued.
fn encode(
    out: &mut Buf,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> Result<(), Over> {
    const FAILED: Over = "a TLS record cannot be encoded";
    let mut needed = CHUNK;
    loop {
        match encode(out.space_for(needed)) {
            Ok(count) => {
                out.commit(count);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(size)) if needed < size.required_size => {
                needed = size.required_size;
            }
            Err(_) => return Err(FAILED),
        }
    }
}

/// A TLS connection starts with a handshake record (22); an HTTP request with a letter.
fn speaks_plain_http(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(u8::is_ascii_uppercase)
}
