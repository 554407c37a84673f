//! Typed, validated settings.
//!
//! Two steps: `raw` gathers texts with their origins from the command line (`arguments`), the
//! environment and INI files (`ini`), after the one table in `table`; `resolve` makes them mean
//! something (`place`, `files`). `help` renders the table.

mod arguments;
mod echo;
mod error;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod help;
mod ini;
mod install;
mod options;
mod place;
mod raw;
mod resolve;
mod sample;
mod table;

pub use arguments::{COMMANDS, every};
pub use error::ConfigError;
pub use help::help;
pub use install::{DEFAULT_USER, Flags, Init, Install, Password, Uninstall, in_name, old_words};
pub use options::{GROUPS, Group, Id, Kind, OPTIONS, Opt};
pub use place::{Master, proxy_address};
pub use raw::Surroundings;
pub use sample::{Draft, is_taken};
pub use table::MAX_CONNECTIONS;

use crate::auth::Users;
use crate::docker::Endpoint;
use crate::policy::Policies;
use crate::secret::Secret;
use crate::source::Network;
use crate::tls;
use arguments::CommandLine;
use log::LevelFilter;
use raw::RawConfig;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A command of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// One that needs the settings.
    Task(Task),
    /// Make a bcrypt hash of the password on standard input.
    HashPassword,
    /// Ask a running agent something.
    Ask(Ask),
    /// Make a service of this program.
    Install,
    /// Remove it.
    Uninstall,
}

/// What is done with the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Serve the proxy and register the node, until told to stop.
    Daemon,
    /// Print the root certificate.
    RootCert,
    /// Print the report that would be sent.
    Report,
    /// Try out all settings and say what works.
    Check,
    /// Show a policy, or what it says to a request.
    Policy,
}

/// What a running agent is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Whether it is well.
    Health,
    /// To read its settings again.
    Reload,
}

/// Everything that is decided before the agent starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// What to do.
    pub task: Task,
    /// The words behind the command, of which few commands take any.
    pub operands: Vec<String>,
    /// What is logged.
    pub level: LevelFilter,
    /// Where the host's root directory is mounted.
    pub root_path: PathBuf,
    /// Where Docker listens.
    pub docker: Endpoint,
    /// The masters, in the order in which they are tried; none: no registration.
    pub masters: Vec<Master>,
    /// Sent to the master as `X-Auth-Node`.
    pub secret: Option<Secret>,
    /// Between two reports.
    pub interval: Duration,
    /// Where the master reaches Docker on this node, as it is registered. None: not known, since
    /// there is no proxy and Docker is a Unix socket, or the kernel chooses the proxy's port.
    pub address: Option<String>,
    /// The form of the report's `time`.
    pub time_format: TimeFormat,
    /// Where the proxy listens; none: it is off.
    pub listen: Option<SocketAddr>,
    /// Why the proxy is on or off, as a line for the log.
    pub listen_why: String,
    /// Event loops of the proxy.
    pub workers: usize,
    /// The server's certificate.
    pub tls: tls::Settings,
    /// The certificates (PEM) that a master's certificate is checked with, instead of the usual ones.
    pub ca: Option<PathBuf>,
    /// Who may use the proxy.
    pub users: Users,
    /// Who may connect to the proxy; none: everybody.
    pub allow_from: Vec<Network>,
    /// The origins besides the node's own whose pages may change something, in lower case.
    pub allow_origin: Vec<String>,
    /// What they may do.
    pub policies: Arc<Policies>,
    /// The proxy's bounds.
    pub limits: Limits,
    /// What the agent gives up once it has started.
    pub sandbox: Sandbox,
    /// The files that settings name, those of secrets and users included.
    pub named: Vec<PathBuf>,
    /// Whether the agent exits when its Docker socket was replaced on the host and the mounted one is dead.
    pub exit_on_stale_socket: bool,
    /// The INI files that were read, the most specific first.
    pub files: Vec<PathBuf>,
    /// Every option's effective value as a Python dictionary, with secrets masked.
    pub arguments: String,
    /// Where the settings were read whose files or names are looked into only after the start.
    pub origins: Vec<(&'static str, String)>,
    /// Files that settings name and that may change while the agent runs.
    pub watched: Vec<PathBuf>,
    /// What is odd, but no error.
    pub warnings: Vec<String>,
}

/// What the agent gives up once it has started, where the kernel can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// New privileges; with it the others, which need it.
    pub on: bool,
    /// Files.
    pub landlock: bool,
    /// System calls.
    pub seccomp: bool,
}

/// The proxy's bounds in number and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections at a time; none: as many as there are descriptors for.
    pub max_connections: Option<usize>,
    /// Those of one address or IPv6 /64; none: three quarters of all.
    pub max_connections_per_address: Option<usize>,
    /// Requests until a connection is closed.
    pub max_requests_per_connection: u32,
    /// Bytes of a request's head.
    pub max_head: usize,
    /// Fields of a request's head.
    pub max_fields: usize,
    /// Bytes of a body that is judged.
    pub max_judged_body: usize,
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

/// What the command line asks for, once the settings are known to be good.
#[derive(Debug)]
pub enum Request {
    /// The help text, begun with that of a command where one is named.
    Help(Option<Command>),
    /// The version.
    Version,
    /// The hash of a password, which needs no settings.
    HashPassword,
    /// A question to a running agent, with the words behind the command; it needs none either.
    Ask(Ask, Vec<String>),
    /// A service is to be made.
    Install(Install),
    /// It is to be removed.
    Uninstall(Uninstall),
    /// A command with its settings.
    Run(Box<Config>),
}

/// Reads all settings of the process, whose arguments (without the program's name) were
/// `arguments`.
///
/// # Errors
/// A setting, or a file that one names, is wrong.
pub fn load(arguments: Vec<OsString>) -> Result<Request, ConfigError> {
    read(&Surroundings {
        arguments,
        variables: std::env::vars_os().collect(),
        // One that was deleted has no files either.
        directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
        etc: Path::new("/etc").to_path_buf(),
        pid1: crate::sys::process::is_pid1(),
    })
}

/// Reads all settings.
///
/// # Errors
/// A setting, or a file that one names, is wrong.
pub fn read(around: &Surroundings) -> Result<Request, ConfigError> {
    match arguments::parse(&around.arguments)? {
        CommandLine::Help(about) => Ok(Request::Help(about)),
        CommandLine::Version => Ok(Request::Version),
        CommandLine::Run(command, operands, flags) => match command {
            Command::HashPassword => Ok(Request::HashPassword),
            Command::Ask(ask) => Ok(Request::Ask(ask, operands)),
            Command::Install => install::install(flags).map(Request::Install),
            Command::Uninstall => install::uninstall(&flags).map(Request::Uninstall),
            Command::Task(task) => {
                let raw = RawConfig::read(flags, around)?;
                let mut config = resolve::config(task, raw, around.pid1)?;
                config.operands = operands;
                Ok(Request::Run(Box::new(config)))
            }
        },
    }
}

/// Where the secrets of a command line are: (index of the argument, first byte, behind the last).
pub fn secret_ranges(arguments: &[OsString]) -> Vec<(usize, usize, usize)> {
    raw::secret_ranges(arguments)
}

#[cfg(test)]
mod tests;
