//! `check`: tries what the daemon would use, without registering, and says what works.

use super::{Failure, begin, files, print};
use crate::config::{Config, Master};
use crate::docker;
use crate::http::client::Request;
use crate::log::Sink;
use crate::report::master::{self, RegisterError};
use crate::sandbox;
use crate::tls::{self, ClientAuth, Identity};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

/// The most bytes of a master's answer.
const MAX_ANSWER: usize = 1024 * 1024;

/// What one trial gave: what works, or what does not.
type Outcome = Result<String, String>;

pub fn run(config: &Config) -> Result<ExitCode, Failure> {
    begin(config, Sink::Stderr)?;
    let mut all_well = true;
    // One at a time, so that a slow one does not hide those before it.
    let trials = trials(config);
    for (subject, trial) in trials {
        let (mark, text) = match trial() {
            Ok(text) => ("ok  ", text),
            Err(text) => {
                all_well = false;
                ("FAIL", text)
            }
        };
        print(&format!("{mark} {subject}: {text}\n"))?;
    }
    Ok(if all_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

type Trial<'a> = (String, Box<dyn Fn() -> Outcome + 'a>);

fn trials(config: &Config) -> Vec<Trial<'_>> {
    let settings = || Ok(format!("good (configuration files: {})", files(config)));
    let mut trials: Vec<Trial<'_>> = vec![("settings".to_string(), Box::new(settings))];
    let proxy = || Ok(config.listen_why.clone());
    trials.push(("proxy".to_string(), Box::new(proxy)));
    if let Some(listen) = config.listen {
        trials.push(("users".to_string(), Box::new(|| users(config))));
        trials.push((
            "certificate".to_string(),
            Box::new(|| certificate(&config.tls)),
        ));
        trials.push((format!("port {listen}"), Box::new(move || port(listen))));
    }
    let docker = config.docker.to_string();
    trials.push((
        format!("docker {docker}"),
        Box::new(|| docker_answers(config)),
    ));
    if config.masters.is_empty() {
        let none = || Ok("none is given, the node is not registered".to_string());
        trials.push(("master".to_string(), Box::new(none)));
    }
    for master in &config.masters {
        let trial = || master_answers(master, config);
        trials.push((format!("master {master}"), Box::new(trial)));
    }
    trials.push(("sandbox".to_string(), Box::new(|| sandbox(config))));
    trials
}

/// Enters it, in a thread of its own, which alone is bound by it. What is missing is no failure: the
/// agent starts without it.
fn sandbox(config: &Config) -> Outcome {
    let outcome = std::thread::scope(|scope| scope.spawn(|| sandbox::enter(config)).join());
    let outcome = outcome.map_err(|_| "it cannot be tried".to_string())?;
    Ok(outcome.line)
}

fn users(config: &Config) -> Outcome {
    let users = &config.users;
    let text = match config.tls.client_auth {
        ClientAuth::Required => "a client certificate is required of each",
        _ if users.is_open() => "authentication is off: nobody is asked for a password",
        _ if users.uses_default_password() => "the default password is in use: set admin_password",
        _ => "each has a password of its own",
    };
    Ok(text.to_string())
}

fn certificate(settings: &tls::Settings) -> Outcome {
    Identity::new(settings).map_err(|error| error.to_string())?;
    Ok(match (&settings.cert, &settings.root_cert) {
        (Some(path), _) => format!("{} and its key", path.display()),
        (None, Some(path)) => format!("can be signed by {}", path.display()),
        (None, None) => "can be signed by the built-in root".to_string(),
    })
}

fn port(listen: SocketAddr) -> Outcome {
    match TcpListener::bind(listen) {
        Ok(_) => Ok("free".to_string()),
        Err(error) => Err(format!("{error} (does an agent run already?)")),
    }
}

fn docker_answers(config: &Config) -> Outcome {
    let info = docker::info(&config.docker).map_err(|error| error.to_string())?;
    let containers = docker::containers(&config.docker).map_err(|error| error.to_string())?;
    Ok(format!(
        "{}, Docker {}, {} containers",
        info.name,
        info.server_version,
        containers.len()
    ))
}

/// Asks for the master's front page; any answer in HTTP is one.
fn master_answers(master: &Master, config: &Config) -> Outcome {
    let (target, host) = (format!("{}/", master.path), master.authority());
    let request = Request {
        method: "GET",
        target: &target,
        host: &host,
        headers: &[],
        body: b"",
    };
    match master::exchange(master, config.ca.as_deref(), &request, MAX_ANSWER) {
        Ok(answer) => Ok(format!(
            "answers HTTP {} (nothing was registered)",
            answer.status
        )),
        // Behind the master's URL the system's own words are enough.
        Err(RegisterError::Connect(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
