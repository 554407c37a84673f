//! One event loop: it accepts, drives its sessions, and keeps their deadlines.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::auth::{Reply, Verdict};
use crate::http::head::RequestHead;
use crate::policy::Policies;
use crate::proxy::Shared;
use crate::proxy::audit::Audit;
use crate::proxy::browser;
use crate::proxy::mailbox::{Mailbox, Message};
use crate::proxy::session::{Context, News, Over, Session};
use crate::proxy::slab::Slab;
use crate::proxy::supervisor::{Order, Supervisor};
use crate::source::Source;
use crate::sys::epoll::{Event, Events, Interest, Poller, Token};
use crate::sys::heap::{give_spare_blocks_back, keep_spare_blocks};
use crate::sys::socket::{Listener, Socket, is_exhausted};
use crate::tls::{Client, Server};

/// Connections accepted in one turn; more stay queued while those here are served.
const ACCEPT_BATCH: usize = 32;

/// Those at the end: as many as a queue holds by default (`net.core.somaxconn`, `listen(2)`).
const ACCEPT_LAST: usize = 4096;

/// Deadlines are looked after at most this often, however many connections have one.
const SCAN_INTERVAL: Duration = Duration::from_millis(100);

/// Until a listener that had to be left alone is tried again.
const RELISTEN: Duration = Duration::from_secs(1);

/// That the last client has been gone when memory is no longer spared for the next one: clients that
/// come one after the other, as the manager's requests do, find it.
const SPARING: Duration = Duration::from_secs(10);

/// Indices that no session has.
const LISTENER: u32 = u32::MAX;
const MAILBOX: u32 = u32::MAX - 1;
const SIGNALS: u32 = u32::MAX - 2;

const READ: Interest = Interest {
    read: true,
    write: false,
    hangup: false,
    exclusive: false,
};

fn own_token(index: u32) -> Token {
    Token {
        index,
        generation: 0,
    }
}

/// An event loop and all that belongs to it alone.
pub struct Worker {
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
    poller: Poller,
    sessions: Slab,
    /// What connections are met with; none while the proxy is off.
    server: Option<Arc<Server>>,
    /// What each user may do.
    policies: Arc<Policies>,
    /// Whether safe methods are logged as well.
    log_reads: bool,
    listener: Option<Arc<Listener>>,
    /// Whether the listener is in the poller's set: not while the house is full.
    listening: bool,
    /// Descriptors or memory have run out: the listener is left alone until then.
    exhausted_until: Option<Instant>,
    supervisor: Option<Supervisor>,
    audit: Audit,
    /// When memory that is spared for clients is given back, unless one is here.
    spared_until: Option<Instant>,
    /// When draining ends, whoever is still there.
    drained_by: Option<Instant>,
    next_scan: Option<Instant>,
    last_scan: Instant,
    now: Instant,
}

impl Worker {
    /// A loop that will accept from `listener`, and on the main thread has a `supervisor`.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn new(
        shared: Arc<Shared>,
        listener: Option<Arc<Listener>>,
        supervisor: Option<Supervisor>,
    ) -> io::Result<Worker> {
        let mailbox = Arc::new(Mailbox::new()?);
        let poller = Poller::new()?;
        poller.add(mailbox.as_fd(), own_token(MAILBOX), READ)?;
        if let Some(supervisor) = &supervisor {
            poller.add(supervisor.as_fd(), own_token(SIGNALS), READ)?;
        }
        let now = Instant::now();
        let mut worker = Worker {
            server: shared.server(),
            policies: shared.policies(),
            log_reads: logs_reads(),
            shared,
            mailbox,
            poller,
            sessions: Slab::default(),
            listener,
            listening: false,
            exhausted_until: None,
            supervisor,
            audit: Audit::default(),
            spared_until: None,
            drained_by: None,
            next_scan: None,
            last_scan: now,
            now,
        };
        worker.listen()?;
        Ok(worker)
    }

    /// Where this loop can be told something.
    pub fn mailbox(&self) -> Arc<Mailbox> {
        Arc::clone(&self.mailbox)
    }

    /// Runs until told to end.
    ///
    /// # Errors
    /// The poller failed, which it does not; or the supervisor has given up.
    pub fn run(&mut self) -> io::Result<()> {
        keep_spare_blocks();
        let outcome = self.turn_until_drained();
        self.audit.tell_all(self.now);
        outcome
    }

    fn turn_until_drained(&mut self) -> io::Result<()> {
        let mut events = Events::new();
        loop {
            let count = self.poller.wait(&mut events, self.patience())?;
            self.now = Instant::now();
            for event in (0..count).filter_map(|position| events.get(position)) {
                match event.token.index {
                    LISTENER => self.accept(ACCEPT_BATCH)?,
                    MAILBOX => {
                        if self.read_mail()? {
                            return Ok(());
                        }
                    }
                    SIGNALS => self.supervise()?,
                    _ => self.session_ready(event),
                }
            }
            self.keep_deadlines()?;
            if self.is_drained() {
                return Ok(());
            }
        }
    }

    /// How long nothing may happen.
    fn patience(&self) -> Option<Duration> {
        let relisten = (!self.listening && self.listener.is_some()).then(|| self.now + RELISTEN);
        let supervision = self.supervisor.as_ref().and_then(Supervisor::deadline);
        let audit = self.audit.deadline();
        [
            self.next_scan,
            self.spared_until,
            self.drained_by,
            relisten,
            supervision,
            audit,
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    fn is_drained(&self) -> bool {
        self.drained_by
            .is_some_and(|deadline| self.sessions.is_empty() || self.now >= deadline)
    }

    // ---------------------------------------------------------------- accepting

    fn listen(&mut self) -> io::Result<()> {
        if self.exhausted_until.is_some_and(|until| self.now < until) {
            return Ok(());
        }
        if let (Some(listener), false) = (&self.listener, self.listening) {
            let interest = Interest {
                exclusive: true,
                ..READ
            };
            self.poller
                .add(listener.as_fd(), own_token(LISTENER), interest)?;
            self.listening = true;
        }
        Ok(())
    }

    /// Leaves the queue alone for a while; a listener that stays readable would spin the loop.
    fn stop_listening(&mut self) -> io::Result<()> {
        if let (Some(listener), true) = (&self.listener, self.listening) {
            self.poller.remove(listener.as_fd())?;
            self.listening = false;
        }
        Ok(())
    }

    /// Accepts what is queued, `most` at the most, as long as there is room.
    fn accept(&mut self, most: usize) -> io::Result<()> {
        let Some(listener) = self.listener.clone() else {
            return Ok(());
        };
        for _ in 0..most {
            if !self.shared.admit(self.now) {
                return self.stop_listening();
            }
            match listener.accept() {
                Ok((socket, peer)) => {
                    self.exhausted_until = None;
                    match self.shared.enter(peer) {
                        Ok(()) => self.start_session(socket, peer),
                        // Dropped, and thereby closed, before a word of TLS.
                        Err(kind) => self.audit.refused(peer, kind, self.now),
                    }
                }
                Err(error) => {
                    self.shared.leave();
                    if is_exhausted(&error) {
                        return self.rest_from_accepting(&error);
                    }
                    if error.kind() == io::ErrorKind::WouldBlock {
                        return Ok(());
                    }
                    ::log::debug!("a client was gone before it was accepted: {error}");
                }
            }
        }
        Ok(())
    }

    /// It would fail again at once, and again: told once, tried again in a while.
    fn rest_from_accepting(&mut self, error: &io::Error) -> io::Result<()> {
        if self.exhausted_until.is_none() {
            ::log::warn!("no client can be accepted: {error}; trying again every second");
        }
        self.exhausted_until = Some(self.now + RELISTEN);
        self.stop_listening()
    }

    fn start_session(&mut self, socket: Socket, peer: IpAddr) {
        let Some(server) = self.server.clone() else {
            return self.shared.exit(peer); // the proxy is off
        };
        let (place, tokens) = self.sessions.reserve();
        let handshake = self.shared.limits.handshake_timeout;
        let started = self.with_context(tokens.0, peer, |_, cx| {
            Session::start(socket, peer, tokens, &server, handshake, cx)
        });
        match started {
            Ok(session) => {
                self.wake_at(session.deadline());
                self.sessions.fill(place, session);
            }
            Err(error) => {
                ::log::warn!("{peer}: the connection cannot be served: {error}");
                self.sessions.vacate(place);
                self.shared.exit(peer);
            }
        }
    }

    // ---------------------------------------------------------------- sessions

    fn session_ready(&mut self, event: Event) {
        self.drive(event.token, News::Ready(event));
    }

    /// Lets the session that `token` means, if it is still there, act on what it is told.
    fn drive(&mut self, token: Token, news: News) {
        let client = Token {
            index: token.index & !1,
            ..token
        };
        let Some(peer) = self
            .sessions
            .find(token)
            .map(|(_, _, session)| session.peer())
        else {
            return;
        };
        let Some((place, outcome)) = self.with_context(client, peer, |sessions, cx| {
            let (place, side, session) = sessions.find(token)?;
            Some((place, session.told(side, news, cx)))
        }) else {
            return;
        };
        self.settle(place, outcome);
    }

    /// After a session has done something: logs, deadlines, the end.
    fn settle(&mut self, place: u32, outcome: Result<(), Over>) {
        let Some(session) = self.sessions.at(place) else {
            return;
        };
        let peer = session.peer();
        if outcome.is_err() {
            session.conn_mut().abandon();
        }
        while let Some(access) = session.conn_mut().take_access() {
            self.audit.access(peer, &access, self.now);
        }
        match outcome {
            Ok(()) => {
                let deadline = session.deadline();
                self.wake_at(deadline);
            }
            Err(why) => {
                ::log::debug!("{peer}: over: {why}");
                self.sessions.vacate(place);
                self.shared.exit(peer);
                if self.sessions.is_empty() {
                    self.spared_until = Some(self.now + SPARING);
                }
                if let Err(error) = self.listen() {
                    ::log::error!("the listener cannot be watched: {error}");
                }
            }
        }
    }

    /// Calls `act` with the sessions and what they need, the judge asking for the session with
    /// `token` of the client at `peer`.
    fn with_context<T>(
        &mut self,
        token: Token,
        peer: IpAddr,
        act: impl FnOnce(&mut Slab, &mut Context<'_>) -> T,
    ) -> T {
        let (shared, mailbox, now) = (&self.shared, &self.mailbox, self.now);
        let (auth, source) = (&shared.auth, Source::from(peer));
        // Where a request meets its user: whoever a rule is about has this name.
        let mut judge = |head: &RequestHead<'_>, client: &Client| {
            if let Some(why) = browser::refusal(head, &shared.allow_origin) {
                return Some(Verdict::Forbidden { user: None, why });
            }
            let password = head.authorization;
            let reply = || -> Reply {
                let mailbox = Arc::clone(mailbox);
                Box::new(move |verdict| mailbox.post(Message::Verdict(token, verdict)))
            };
            match client {
                Client::Unknown => auth.check(password, source, now, reply),
                Client::Certified(user) => auth.check_certified(user, password, source, now, reply),
                Client::Refused(_) => Some(Verdict::Barred),
            }
        };
        let mut context = Context {
            poller: &self.poller,
            upstream: &self.shared.upstream,
            judge: &mut judge,
            policies: &self.policies,
            server: self.server.as_ref(),
            strangers: &self.shared.strangers,
            now: self.now,
            times: self.shared.times,
            sizes: self.shared.sizes,
            log_reads: self.log_reads,
        };
        act(&mut self.sessions, &mut context)
    }

    // ---------------------------------------------------------------- time

    /// Makes sure that the loop looks at the deadlines when the earliest has come.
    fn wake_at(&mut self, deadline: Option<Instant>) {
        if let Some(deadline) = deadline {
            let deadline = deadline.max(self.last_scan + SCAN_INTERVAL);
            self.next_scan = Some(self.next_scan.map_or(deadline, |next| next.min(deadline)));
        }
    }

    fn keep_deadlines(&mut self) -> io::Result<()> {
        if self.next_scan.is_some_and(|at| self.now >= at) {
            self.scan();
        }
        if !self.listening && self.shared.has_room() {
            self.listen()?;
        }
        if self.spared_until.is_some_and(|until| self.now >= until) {
            self.spare_no_more();
        }
        if self
            .supervisor
            .as_ref()
            .and_then(Supervisor::deadline)
            .is_some_and(|at| self.now >= at)
        {
            self.supervise()?;
        }
        self.audit.tell_due(self.now);
        Ok(())
    }

    /// Gives back what was kept for clients, if none has come. Who has, will set the next time.
    fn spare_no_more(&mut self) {
        self.spared_until = None;
        if self.sessions.is_empty() {
            self.sessions.shrink();
            give_spare_blocks_back();
        }
    }

    /// Tells every session whose time has come, and finds the next deadline.
    fn scan(&mut self) {
        self.last_scan = self.now;
        self.next_scan = None;
        self.tell_each(|| News::Time);
    }

    fn tell_each(&mut self, news: fn() -> News) {
        for place in 0..self.sessions.places() {
            if let Some(token) = self.sessions.token(place) {
                self.drive(token, news());
            }
        }
    }

    // ---------------------------------------------------------------- orders

    /// Whether to end now.
    fn read_mail(&mut self) -> io::Result<bool> {
        for message in self.mailbox.take() {
            match message {
                Message::Verdict(token, verdict) => {
                    self.drive(token, News::Verdict(verdict));
                }
                Message::Reloaded => self.reloaded(),
                Message::Drain => self.drain()?,
                Message::Stop => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Each session learns it when something happens to it next.
    fn reloaded(&mut self) {
        self.server = self.shared.server();
        self.policies = self.shared.policies();
        self.log_reads = logs_reads();
    }

    /// What is queued is accepted, since those clients believe to be connected; then the
    /// listener closes, and every session hears that it is to end.
    fn drain(&mut self) -> io::Result<()> {
        if self.listening {
            self.accept(ACCEPT_LAST)?;
        }
        self.stop_listening()?;
        self.listener = None;
        self.drained_by = Some(self.now + self.shared.limits.grace);
        self.tell_each(|| News::Drain);
        Ok(())
    }

    fn supervise(&mut self) -> io::Result<()> {
        let Some(supervisor) = &mut self.supervisor else {
            return Ok(());
        };
        match supervisor.look(self.now)? {
            Order::Continue => {}
            Order::Drain => self.shared.tell_all(|| Message::Drain),
            Order::Stop => self.shared.tell_all(|| Message::Stop),
        }
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

fn logs_reads() -> bool {
    ::log::log_enabled!(::log::Level::Debug)
}
