//! `daemon`: serves the proxy and registers the node, until told to stop.

use super::{Failure, begin};
use crate::auth::Authenticator;
use crate::config::{self, Config, Request};
use crate::control;
use crate::control::health::{Health, Reports};
use crate::log::Sink;
use crate::proxy::Proxy;
use crate::proxy::handle::Handle;
use crate::proxy::pulse::{self, Registration};
use crate::proxy::reload::Read;
use crate::report::{self, Reporter, Status};
use crate::sandbox::{self, Outcome};
use crate::service::notify;
use crate::sys::signal::Signals;
use crate::tls::{self, ClientAuth, Identity};
use crate::zone::Zone;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

pub fn run(config: Config, arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    // Before the first thread: each inherits that the ending signals are left to the main one.
    let signals = Signals::take().map_err(|error| Failure::Io("signals cannot be read", error))?;
    // Before the first thread as well, which is that of the log.
    let sandbox = sandbox::enter(&config);
    let config = Arc::new(config);
    let zone = Arc::new(begin(&config, Sink::Stdout)?);
    tell(&config, &sandbox);
    if let Some(ca) = &config.ca {
        // A file that is of no use is an error now, not at each report.
        tls::client_config(Some(ca)).map_err(|error| Failure::tls(&config, error))?;
    }
    let identity = match config.listen {
        Some(_) => Some(Identity::new(&config.tls).map_err(|error| Failure::tls(&config, error))?),
        None => None,
    };
    let auth = Authenticator::start(config.users.clone())
        .map_err(|error| Failure::Io("the auth thread cannot be started", error))?;
    let proxy = Proxy::bind(&config)?;
    let mut settings = report::Settings::from(&*config);
    // Where the kernel chose the port, or the service manager.
    if settings.address == config.listen.map(config::proxy_address) || settings.address.is_none() {
        settings.address = proxy.address().map(config::proxy_address);
    }
    let reporter = Reporter::spawn(settings, Arc::clone(&zone), identity.clone())
        .map_err(|error| Failure::Io("the reporter thread cannot be started", error))?;
    let status = reporter.status();
    let registration = registration(&config, Arc::clone(&status), zone);
    let answer_and_tell = |proxy: Handle| {
        pulse::start(&proxy, registration)?;
        control::server::start(health(&config, proxy, status));
        Ok(())
    };
    notify::ready(&config.listen_why);
    let read = read_again(arguments);
    let outcome = proxy.run(&config, identity, auth, signals, read, answer_and_tell);
    reporter.stop();
    outcome?;
    Ok(ExitCode::SUCCESS)
}

fn health(config: &Config, proxy: Handle, status: Arc<Status>) -> Health {
    let reports = Reports {
        status,
        interval: config.interval,
        since: Instant::now(),
    };
    Health {
        proxy,
        docker: config.docker.clone(),
        reports: (!config.masters.is_empty()).then_some(reports),
    }
}

/// How registration goes, for the service manager.
fn registration(config: &Config, status: Arc<Status>, zone: Arc<Zone>) -> Registration {
    let wanted = !config.masters.is_empty();
    Box::new(move || match (status.last_error(), status.last_success()) {
        _ if !wanted => "no master".to_owned(),
        (Some(error), _) => format!("not registered: {error}"),
        (None, Some(secs)) => {
            let at = zone.local(secs);
            let (hour, minute, second) = (at.hour, at.minute, at.second);
            format!("registered at {hour:02}:{minute:02}:{second:02}")
        }
        (None, None) => "not registered yet".to_owned(),
    })
}

/// Reads the settings as they were read at the start: the same arguments, the files as they are.
fn read_again(arguments: Vec<OsString>) -> Read {
    Box::new(move || match config::load(arguments.clone()) {
        Ok(Request::Run(config)) => Ok(*config),
        // The same arguments ask for the same.
        Ok(_) => Err("the settings ask for something else than the daemon".to_owned()),
        Err(error) => Err(error.to_string()),
    })
}

/// What an operator should know from the start.
fn tell(config: &Config, sandbox: &Outcome) {
    log::info!("{}", config.listen_why);
    if config.listen.is_some() {
        tell_of_the_proxy(config);
    }
    if let Some(hint) = tls::clock_hint() {
        log::warn!("{hint}");
    }
    if config.masters.is_empty() {
        log::info!("No master is given: the node is not registered");
    }
    sandbox.tell();
}

fn tell_of_the_proxy(config: &Config) {
    // Where a certificate is required, a password lets nobody in by itself.
    let by_password = config.tls.client_auth != ClientAuth::Required;
    if by_password && config.users.is_open() {
        log::warn!(
            "Authentication is off: whoever reaches the proxy is root on this node \
             (admin_password is empty)"
        );
    }
    if by_password && config.users.uses_default_password() {
        log::warn!(
            "The default password is in use: whoever reaches the proxy and knows the manual is \
             root on this node (set admin_password; haven-agent hash-password makes its hash)"
        );
    }
    if let Some(warning) = tls::warning(&config.tls) {
        log::warn!("{warning}");
    }
}
