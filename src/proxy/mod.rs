//! The TLS proxy in front of Docker: event loops over sockets, without a runtime.
//!
//! [`Proxy`] binds the listener and runs one loop a worker, the first on the calling thread. A
//! loop ([`worker`]) owns its sessions ([`session`]: sockets and TLS), each around a sans-IO
//! machine ([`conn`]) that knows what HTTP wants. Nothing is shared but the configuration, the
//! listener and a counter.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::auth::Authenticator;
use crate::config::{Config, Limits, MAX_CONNECTIONS};
use crate::held::Held;
use crate::http::head::HeadLimits;
use crate::metrics;
use crate::policy::Policies;
use crate::proxy::conn::{Sizes, Times};
use crate::proxy::crowd::Crowd;
use crate::proxy::handle::Handle;
use crate::proxy::mailbox::{Mailbox, Message};
use crate::proxy::reload::Read;
use crate::proxy::supervisor::Supervisor;
use crate::proxy::tally::Kind;
use crate::proxy::upstream::Upstream;
use crate::proxy::worker::Worker;
use crate::source::{Network, Source};
use crate::sys::limits::raise_descriptor_limit;
use crate::sys::signal::Signals;
use crate::sys::socket::Listener;
use crate::tls::{Identity, Server};

pub mod audit;
pub mod browser;
pub mod conn;
pub mod crowd;
pub mod handle;
pub mod mailbox;
pub mod outbox;
pub mod pulse;
pub mod reload;
pub mod reply;
pub mod session;
pub mod slab;
pub mod supervisor;
pub mod tally;
pub mod tunnel;
pub mod upstream;
pub mod worker;

/// To open a connection to Docker.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// That a connection to Docker is kept for a client's next request: 10,000 idle clients must not
/// hold 20,000 descriptors, here and in dockerd.
const DOCKER_IDLE: Duration = Duration::from_secs(10);

/// Descriptors that are not connections: listeners, logs, the reporter's, those of the control socket.
const RESERVED_DESCRIPTORS: usize = 64 + metrics::MAX_FILES;

/// Of each event loop: its poller and its waker.
const DESCRIPTORS_OF_A_LOOP: usize = 2;

/// What all loops share.
pub struct Shared {
    /// Who the server is; none while the proxy is off.
    pub identity: Option<Arc<Identity>>,
    /// Who may pass.
    pub auth: Arc<Authenticator>,
    /// What each user may do.
    policies: RwLock<Arc<Policies>>,
    /// Where Docker is.
    pub upstream: Arc<Upstream>,
    /// The bounds.
    pub limits: Limits,
    /// What is held for clients whom nobody knows yet.
    pub strangers: Arc<Held>,
    /// Those of a connection.
    pub times: Times,
    /// Those in size.
    pub sizes: Sizes,
    /// The origins besides our own whose pages may change something.
    pub allow_origin: Vec<String>,
    /// Who may connect; none: everybody.
    allow_from: Vec<Network>,
    /// The connections of each address.
    crowd: Crowd,
    max_connections: usize,
    connections: AtomicUsize,
    /// When the last place was taken, which it may not be any more.
    filled: Mutex<Instant>,
    mailboxes: Mutex<Vec<Arc<Mailbox>>>,
}

impl Shared {
    /// What connections are met with now.
    pub fn server(&self) -> Option<Arc<Server>> {
        self.identity.as_ref().map(|identity| identity.server())
    }

    /// What each user may do now.
    pub fn policies(&self) -> Arc<Policies> {
        let policies = self.policies.read();
        Arc::clone(&policies.unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on these, for whoever asks.
    pub fn set_policies(&self, mut policies: Arc<Policies>) {
        let present = self.policies.write();
        let mut present = present.unwrap_or_else(PoisonError::into_inner);
        // They have just been read, and nobody else holds them.
        if let Some(policies) = Arc::get_mut(&mut policies) {
            policies.succeed(&present);
        }
        *present = policies;
    }

    /// Counts one more client in, if there is room.
    pub fn admit(&self, now: Instant) -> bool {
        let others = self.connections.fetch_add(1, Ordering::Relaxed);
        if others >= self.max_connections {
            self.leave();
            return false;
        }
        if others + 1 == self.max_connections {
            *self.filled() = now;
        }
        true
    }

    /// Gives the place of a client that did not come back.
    pub fn leave(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Lets a client in that was admitted and has shown its address, or gives its place back.
    ///
    /// # Errors
    /// Why it is to go.
    pub fn enter(&self, peer: IpAddr) -> Result<(), Kind> {
        let allowed = |network: &Network| network.contains(peer);
        let refusal = if !self.allow_from.is_empty() && !self.allow_from.iter().any(allowed) {
            Kind::Stranger
        } else if !self.crowd.enter(Source::from(peer)) {
            Kind::Crowd
        } else {
            return Ok(());
        };
        self.leave();
        Err(refusal)
    }

    /// Counts a client out that was let in.
    pub fn exit(&self, peer: IpAddr) {
        self.crowd.leave(Source::from(peer));
        self.leave();
    }

    /// Whether a client could be admitted.
    pub fn has_room(&self) -> bool {
        self.connections.load(Ordering::Relaxed) < self.max_connections
    }

    /// For how long there has been no room, and for how many there would be; none: there is room.
    pub fn full(&self, now: Instant) -> Option<(usize, Duration)> {
        // Who came in last took the last place, for nobody has come in since.
        let since = now.saturating_duration_since(*self.filled());
        (!self.has_room()).then_some((self.max_connections, since))
    }

    /// Tells every loop.
    pub fn tell_all(&self, message: impl Fn() -> Message) {
        for mailbox in self.mailboxes().iter() {
            mailbox.post(message());
        }
    }

    /// Has every loop give a sign of life; see [`Shared::silence`].
    pub fn ask_loops(&self, now: Instant) {
        for mailbox in self.mailboxes().iter() {
            mailbox.ask(now);
        }
    }

    /// The loop that has owed its sign of life longest, by its number, and for how long; none: each
    /// loop has turned since it was last asked.
    pub fn silence(&self, now: Instant) -> Option<(usize, Duration)> {
        let mailboxes = self.mailboxes();
        let silences = mailboxes.iter().map(|mailbox| mailbox.silence(now));
        let owed = silences
            .enumerate()
            .filter_map(|(number, silence)| Some((number, silence?)));
        owed.max_by_key(|(_, silence)| *silence)
    }

    fn filled(&self) -> MutexGuard<'_, Instant> {
        self.filled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mailboxes(&self) -> MutexGuard<'_, Vec<Arc<Mailbox>>> {
        self.mailboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the proxy does not run.
#[derive(Debug)]
pub enum ProxyError {
    /// The address cannot be listened on.
    Bind(SocketAddr, io::Error),
    /// What the service manager has handed over cannot be listened on.
    HandedOver(io::Error),
    /// The loops cannot be set up.
    Start(io::Error),
    /// A loop ended.
    Loop(io::Error),
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyError::Bind(address, error) if error.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "{address} is in use: another agent, or another program, listens there \
                 (`ss -ltnp` names it); stop it, or set `listen` to another address"
            ),
            ProxyError::Bind(address, error) => write!(f, "cannot listen on {address}: {error}"),
            ProxyError::HandedOver(error) => write!(
                f,
                "the service manager has handed over (LISTEN_FDS) what is no port for the proxy: \
                 {error}; see ListenStream= of haven-agent.socket"
            ),
            ProxyError::Start(error) => write!(f, "cannot start the event loops: {error}"),
            ProxyError::Loop(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for ProxyError {}

/// The proxy with its port, before anyone is served.
pub struct Proxy {
    listener: Option<Arc<Listener>>,
    address: Option<SocketAddr>,
}

impl Proxy {
    /// Takes the port that the service manager has opened, else the one that `config` names, if it
    /// names one: before anything else is started, so that a second agent on the same port has done
    /// nothing when it fails.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn bind(config: &Config) -> Result<Proxy, ProxyError> {
        let handed_over = Listener::handed_over().map_err(ProxyError::HandedOver)?;
        if handed_over.is_some() && config.listen.is_none() {
            ::log::warn!("the proxy is off: nobody answers at haven-agent.socket, disable it");
        }
        let listen = |address| {
            let failed = |error| ProxyError::Bind(address, error);
            let (listener, whose) = match handed_over {
                Some(listener) => (listener, ", the service manager's socket"),
                None => (Listener::bind(address).map_err(failed)?, ""),
            };
            let bound = listener.address().map_err(failed)?;
            ::log::info!("proxy: listening on https://{bound}{whose}");
            Ok((Arc::new(listener), bound))
        };
        let (listener, address) = config.listen.map(listen).transpose()?.unzip();
        Ok(Proxy { listener, address })
    }

    /// Where it listens, with the port that it really got; none while the proxy is off.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Runs until a signal has ended it; without a port it only waits for that signal. `signals`
    /// has been taken before the first thread was started; `read` reads the settings again; who
    /// wants to ask the loops something gets a handle by `started`.
    ///
    /// # Errors
    /// The loops could not start, or had to give up.
    pub fn run(
        self,
        config: &Config,
        identity: Option<Arc<Identity>>,
        auth: Arc<Authenticator>,
        signals: Signals,
        read: Read,
        started: impl FnOnce(Handle) -> io::Result<()>,
    ) -> Result<(), ProxyError> {
        let descriptors = raise_descriptor_limit().map_err(ProxyError::Start)?;
        let reserved = RESERVED_DESCRIPTORS + DESCRIPTORS_OF_A_LOOP * config.workers;
        let possible = possible_connections(descriptors, reserved);
        let most = max_connections(config.limits.max_connections, possible);
        let shared = Arc::new(Shared {
            identity,
            auth,
            policies: RwLock::new(Arc::clone(&config.policies)),
            upstream: Upstream::start(config.docker.clone()).map_err(ProxyError::Start)?,
            limits: config.limits.clone(),
            strangers: Arc::default(),
            times: times(&config.limits),
            sizes: sizes(&config.limits),
            allow_origin: config.allow_origin.clone(),
            allow_from: config.allow_from.clone(),
            crowd: Crowd::new(most_of_one(config.limits.max_connections_per_address, most)),
            max_connections: most,
            connections: AtomicUsize::new(0),
            filled: Mutex::new(Instant::now()),
            mailboxes: Mutex::new(Vec::new()),
        });
        let reload = reload::start(read, config.watched.clone(), Arc::clone(&shared))
            .map_err(ProxyError::Start)?;
        started(Handle::new(Arc::clone(&shared), reload.clone())).map_err(ProxyError::Start)?;
        let supervisor = Supervisor::new(signals, reload, config);
        run_workers(&shared, self.listener, supervisor, config.workers)
    }
}

fn times(limits: &Limits) -> Times {
    Times {
        head: limits.head_timeout,
        body: limits.body_timeout,
        idle: limits.idle_timeout,
        connect: CONNECT_TIMEOUT,
        docker_idle: DOCKER_IDLE,
    }
}

fn sizes(limits: &Limits) -> Sizes {
    Sizes {
        head: HeadLimits {
            bytes: limits.max_head,
            fields: limits.max_fields,
        },
        judged_body: limits.max_judged_body,
        requests: limits.max_requests_per_connection,
    }
}

/// One address never has all places, unless that is asked for; rounded up, since many clients may
/// share it.
fn most_of_one(configured: Option<usize>, most: usize) -> usize {
    configured.unwrap_or(most - most / 4)
}

/// Each client may need two descriptors: its own, and one to Docker.
fn possible_connections(descriptors: u64, reserved: usize) -> usize {
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    // A limit that is none is still one here.
    (descriptors.saturating_sub(reserved) / 2).clamp(1, MAX_CONNECTIONS as usize)
}

fn max_connections(configured: Option<usize>, possible: usize) -> usize {
    match configured {
        Some(wanted) if wanted > possible => {
            ::log::warn!(
                "max_connections = {wanted}, but the limit on open descriptors allows {possible}: \
                 raise it (ulimit -n, LimitNOFILE=)"
            );
            possible
        }
        Some(wanted) => wanted,
        None => possible,
    }
}

fn run_workers(
    shared: &Arc<Shared>,
    listener: Option<Arc<Listener>>,
    supervisor: Supervisor,
    count: usize,
) -> Result<(), ProxyError> {
    let worker = |supervisor| {
        let worker = Worker::new(Arc::clone(shared), listener.clone(), supervisor)
            .map_err(ProxyError::Start)?;
        shared.mailboxes().push(worker.mailbox());
        Ok(worker)
    };
    let mut first = worker(Some(supervisor))?;
    let mut others = Vec::new();
    for number in 1..count {
        let mut worker = worker(None)?;
        let thread = thread::Builder::new()
            .name(format!("worker {number}"))
            .spawn({
                let shared = Arc::clone(shared);
                move || {
                    let outcome = worker.run();
                    if outcome.is_err() {
                        shared.tell_all(|| Message::Stop);
                    }
                    outcome
                }
            })
            .map_err(ProxyError::Start)?;
        others.push(thread);
    }
    // The loops' own shares are the last: the port closes when they drain.
    drop(listener);
    let mut outcome = first.run();
    if outcome.is_err() {
        shared.tell_all(|| Message::Stop);
    }
    drop(first);
    for thread in others {
        // A panic aborts the process (Cargo.toml), so that a join cannot fail.
        outcome = outcome.and(thread.join().unwrap_or(Ok(())));
    }
    outcome.map_err(ProxyError::Loop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_all_else_that_is_open() {
        assert_eq!(possible_connections(1024, 131), 446);
        assert_eq!(possible_connections(20, 131), 1);
        let unlimited = possible_connections(u64::MAX, 131);
        assert_eq!(unlimited, MAX_CONNECTIONS as usize);
        assert_eq!(max_connections(None, 446), 446);
        assert_eq!(max_connections(Some(7), 446), 7);
        assert_eq!(max_connections(Some(447), 446), 446);
    }
}
