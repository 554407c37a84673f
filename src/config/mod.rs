//! Typed, validated settings.

use crate::secret::Secret;
use crate::tls;
use log::LevelFilter;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What the program shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve the proxy and register the node, until told to stop.
    Daemon,
    /// Print the root certificate.
    RootCert,
    /// Print the report that would be sent.
    Report,
    /// Try out all settings and say what works.
    Check,
    /// Make a bcrypt hash of the password on standard input.
    HashPassword,
}

/// Everything that is decided before the agent starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// What to do.
    pub command: Command,
    /// What is logged.
    pub level: LevelFilter,
    /// Where the host's root directory is mounted.
    pub root_path: PathBuf,
    /// The masters, in the order in which they are tried; none: no registration.
    pub masters: Vec<Master>,
    /// Sent to the master as `X-Auth-Node`.
    pub secret: Option<Secret>,
    /// Between two reports.
    pub interval: Duration,
    /// Where the master reaches Docker on this node, as it is registered. None: not known.
    pub address: Option<String>,
    /// The form of the report's `time`.
    pub time_format: TimeFormat,
    /// Where the proxy listens; none: it is off.
    pub listen: Option<SocketAddr>,
    /// Why the proxy is on or off, for the log.
    pub listen_why: String,
    /// Event loops of the proxy.
    pub workers: usize,
    /// The server's certificate.
    pub tls: tls::Settings,
    /// The certificates (PEM) that a master's certificate is checked with, instead of the usual ones.
    pub ca: Option<PathBuf>,
    /// The proxy's bounds.
    pub limits: Limits,
    /// Whether the agent exits when its Docker socket was replaced on the host and the mounted one is dead.
    pub exit_on_stale_socket: bool,
}

/// The proxy's bounds in number and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections at a time; none: as many as there are descriptors for.
    pub max_connections: Option<usize>,
    /// From the connection to the end of its TLS handshake.
    pub handshake_timeout: Duration,
    /// From a request's first byte to the end of its head.
    pub head_timeout: Duration,
    /// Without progress inside a request's body.
    pub body_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
    /// For streams that still run when the agent is told to stop.
    pub grace: Duration,
}

/// The form of the time that a report carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// With an offset first; without where a master answers 400 to that.
    Auto,
    /// With the zone's offset (masters since mid 2017).
    Offset,
    /// Without (masters before).
    Local,
}

/// A manager to register with. `Display` gives its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Whether it is asked by HTTPS.
    pub tls: bool,
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// What precedes `/discovery/…` in the target: empty, or a path with a leading and without a
    /// trailing slash.
    pub path: String,
}

impl fmt::Display for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}{}", self.host, self.port, self.path)
        } else {
            write!(f, "{scheme}://{}:{}{}", self.host, self.port, self.path)
        }
    }
}
