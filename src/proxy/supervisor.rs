//! What the main thread looks after besides its connections: signals, and a Docker socket that
//! this container can never see again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::docker::{Endpoint, stale_mount};
use crate::proxy::reload::Bell;
use crate::service::notify;
use crate::sys::signal::{HANGUP, Signals};

/// Between two looks at a mounted socket.
const SOCKET_CHECK: Duration = Duration::from_secs(10);

/// How long a socket is stale before the agent gives up on it.
const STALE_FOR: Duration = Duration::from_secs(60);

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Go on.
    Continue,
    /// End when the present clients have ended.
    Drain,
    /// End now.
    Stop,
}

/// The main thread's second job.
pub struct Supervisor {
    signals: Signals,
    reload: Bell,
    /// A first signal has come.
    draining: bool,
    /// How long running streams have then.
    grace: Duration,
    socket: Option<WatchedSocket>,
}

/// A socket file mounted into this container. When Docker is restarted on the host it makes a
/// new file, and the mount keeps the dead one: only a new container gets the new file.
struct WatchedSocket {
    path: PathBuf,
    next_check: Instant,
    stale_since: Option<Instant>,
}

impl Supervisor {
    /// Watches signals, of which SIGHUP rings `reload`, and with `exit_on_stale_socket` the socket of Docker.
    pub fn new(signals: Signals, reload: Bell, config: &Config) -> Supervisor {
        let socket = match &config.docker {
            Endpoint::Unix(path) if config.exit_on_stale_socket => Some(WatchedSocket {
                path: path.clone(),
                next_check: Instant::now() + SOCKET_CHECK,
                stale_since: None,
            }),
            _ => None,
        };
        Supervisor {
            signals,
            reload,
            draining: false,
            grace: config.limits.grace,
            socket,
        }
    }

    /// When to look, if no signal comes before.
    pub fn deadline(&self) -> Option<Instant> {
        self.socket.as_ref().map(|socket| socket.next_check)
    }

    /// Looks.
    ///
    /// # Errors
    /// Docker's socket has been stale for a minute: the process should end, for its restart
    /// policy to start it with a fresh mount.
    pub fn look(&mut self, now: Instant) -> io::Result<Order> {
        if let Some(signal) = self.signals.next() {
            return Ok(self.obey(signal));
        }
        if let Some(socket) = &mut self.socket
            && now >= socket.next_check
        {
            socket.check(now)?;
        }
        Ok(Order::Continue)
    }

    fn obey(&mut self, signal: &str) -> Order {
        if signal == HANGUP {
            self.reload.ring();
            return Order::Continue;
        }
        if std::mem::replace(&mut self.draining, true) {
            ::log::warn!("{signal} again: ending at once");
            return Order::Stop;
        }
        notify::stopping(self.grace);
        ::log::info!("{signal}: ending when the present requests have; once more ends at once");
        Order::Drain
    }
}

impl AsFd for Supervisor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}

impl WatchedSocket {
    fn check(&mut self, now: Instant) -> io::Result<()> {
        self.next_check = now + SOCKET_CHECK;
        if !stale_mount(&self.path) {
            self.stale_since = None;
            return Ok(());
        }
        let since = *self.stale_since.get_or_insert(now);
        if now.duration_since(since) < STALE_FOR {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "Docker's socket {} was replaced on the host, and the mount in this container keeps \
             the dead one: exiting, so that a restart mounts it anew. Mount the directory \
             (-v /run:/run) to avoid this, or set exit_on_stale_socket = false",
            self.path.display()
        )))
    }
}
