//! What each command does.

mod ask;
mod check;
mod daemon;
mod hash_password;
mod policy;

use crate::config::{self, Config, ConfigError, Request, Task};
use crate::log::Sink;
use crate::proxy::ProxyError;
use crate::zone::Zone;
use crate::{log, report, service, tls};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// The exit status for wrong settings.
const WRONG_SETTINGS: u8 = 2;

/// Why a command ends early. `Display` is one line.
#[derive(Debug)]
pub enum Failure {
    /// The settings are wrong.
    Config(ConfigError),
    /// The certificates are, or cannot be made.
    Tls {
        /// What is wrong.
        error: tls::TlsError,
        /// Where the setting was read that is at fault.
        origin: Option<String>,
    },
    /// The password cannot be hashed.
    Password(crate::auth::PasswordError),
    /// The proxy cannot run.
    Proxy(ProxyError),
    /// The service cannot be installed or removed.
    Service(service::Error),
    /// Something of the system: what was tried, and why it failed.
    Io(&'static str, io::Error),
}

impl Failure {
    /// 2 where the operator's settings or files are wrong, else 1.
    pub fn status(&self) -> ExitCode {
        use tls::TlsError::{Interfaces, Random, Rustls};
        match self {
            Failure::Tls {
                error: Interfaces(_) | Random | Rustls(_),
                ..
            } => ExitCode::FAILURE,
            Failure::Service(error) if !error.is_of_settings() => ExitCode::FAILURE,
            Failure::Config(_) | Failure::Tls { .. } | Failure::Service(_) => {
                ExitCode::from(WRONG_SETTINGS)
            }
            Failure::Password(_) | Failure::Proxy(_) | Failure::Io(..) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Config(error) => error.fmt(f),
            Failure::Tls {
                error,
                origin: Some(origin),
            } => write!(f, "{error} (set by {origin})"),
            Failure::Tls { error, .. } => error.fmt(f),
            Failure::Password(error) => error.fmt(f),
            Failure::Proxy(error) => error.fmt(f),
            Failure::Service(error) => error.fmt(f),
            Failure::Io(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::Config(error)
    }
}

impl From<ProxyError> for Failure {
    fn from(error: ProxyError) -> Self {
        Failure::Proxy(error)
    }
}

impl Failure {
    /// Of a certificate, with the place where its setting was read.
    fn tls(config: &Config, error: tls::TlsError) -> Failure {
        let mut origins = config.origins.iter();
        let origin = origins.find(|(name, _)| error.setting() == Some(name));
        Failure::Tls {
            origin: origin.map(|(_, origin)| origin.clone()),
            error,
        }
    }
}

/// Does what was asked for by `arguments`. `wiped`: no secret is left in the process list.
///
/// # Errors
/// What ended it early.
pub fn run(request: Request, wiped: bool, arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    let mut config = match request {
        Request::Help(about) => return print(&config::help(about)),
        Request::Version => {
            return print(concat!("haven-agent ", env!("CARGO_PKG_VERSION"), "\n"));
        }
        Request::HashPassword => return hash_password::run(),
        Request::Ask(what, operands) => return ask::run(what, &operands),
        Request::Install(wanted) => return done(service::install(wanted)),
        Request::Uninstall(wanted) => return done(service::uninstall(&wanted)),
        Request::Run(config) => *config,
    };
    if !wiped {
        let warning = "a secret of the command line is still in the process list: use secret_file";
        config.warnings.push(warning.to_string());
    }
    match config.task {
        Task::Daemon => daemon::run(config, arguments),
        Task::Check => check::run(&config),
        Task::Report => report(&config),
        Task::RootCert => root_cert(&config),
        Task::Policy => policy::run(&config),
    }
}

/// What came of a command that has told its steps.
fn done(outcome: Result<(), service::Error>) -> Result<ExitCode, Failure> {
    outcome
        .map(|()| ExitCode::SUCCESS)
        .map_err(Failure::Service)
}

/// Starts the log, tells what was read and what is odd about it, and gives the node's time zone.
fn begin(config: &Config, to: Sink) -> Result<Zone, Failure> {
    let (zone, why) = Zone::load(&config.root_path);
    log::init(config.level, zone.clone(), to)
        .map_err(|error| Failure::Io("the log cannot be started", error))?;
    // The daemon's first line is documented; of other commands the result is what matters.
    let level = match to {
        Sink::Stdout => ::log::Level::Info,
        Sink::Stderr => ::log::Level::Debug,
    };
    ::log::log!(level, "Configs: {}", files(config));
    ::log::debug!(target: log::CONTINUED, "Arguments: {}", config.arguments);
    for warning in config.warnings.iter().chain(&why) {
        ::log::warn!("{warning}");
    }
    Ok(zone)
}

/// The INI files that were read, the one that wins first.
fn files(config: &Config) -> String {
    let files = config.files.iter().map(|file| file.display().to_string());
    let files = files.collect::<Vec<_>>().join(", ");
    if files.is_empty() {
        "none".to_string()
    } else {
        files
    }
}

/// `report`: the JSON that would be sent.
fn report(config: &Config) -> Result<ExitCode, Failure> {
    let zone = begin(config, Sink::Stderr)?;
    let json = report::collect_once(&report::Settings::from(config), &zone);
    print(&format!("{json}\n"))
}

/// `root-cert`: the root as PEM and, beside it, its fingerprint.
fn root_cert(config: &Config) -> Result<ExitCode, Failure> {
    let root = tls::root_certificate(&config.tls).map_err(|error| Failure::tls(config, error))?;
    eprintln!("SHA-256 fingerprint: {}", root.sha256);
    print(&root.pem)
}

/// Writes a command's result. A reader that has seen enough is no failure.
fn print(text: &str) -> Result<ExitCode, Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Io("cannot write to standard output", error))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
