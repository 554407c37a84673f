//! Registration with the master: what the node is, what it has and how it is, again and again.
//!
//! | file | owns |
//! | --- | --- |
//! | `payload.rs` | what is reported, and its JSON |
//! | `gather.rs` | asking Docker and the node for it |
//! | `master.rs` | one registration: the request, and what its answer means |
//! | `registrar.rs` | several masters and both generations of them; what is told of the outcome |
//! | `reporter.rs` | the thread, when it reports, and what it tells the log |

pub mod gather;
pub mod master;
pub mod payload;
mod registrar;
mod reporter;

pub use reporter::{Reporter, Status};

use crate::config::{Config, Master, TimeFormat};
use crate::docker::Endpoint;
use crate::secret::Secret;
use crate::zone::Zone;
use gather::Gatherer;
use master::RegisterError;
use payload::TimeForm;
use registrar::Registrar;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What of the configuration concerns reports.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the host's root directory is mounted.
    pub root_path: PathBuf,
    /// The Docker that is asked.
    pub docker: Endpoint,
    /// The masters, in the order in which they are tried; none: no registration.
    pub masters: Vec<Master>,
    /// Sent to the master as `X-Auth-Node`.
    pub secret: Option<Secret>,
    /// Between two reports.
    pub interval: Duration,
    /// Where the master reaches Docker on this node; none: not known, and not reported.
    pub address: Option<String>,
    /// The form of the report's `time`.
    pub time_format: TimeFormat,
    /// The certificates (PEM) that an `https` master's is checked with, instead of the usual ones.
    pub ca: Option<PathBuf>,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Settings {
        Settings {
            root_path: config.root_path.clone(),
            docker: config.docker.clone(),
            masters: config.masters.clone(),
            secret: config.secret.clone(),
            interval: config.interval,
            address: config.address.clone(),
            time_format: config.time_format,
            ca: config.ca.clone(),
        }
    }
}

impl Settings {
    /// The form of the time that is tried first.
    fn first_form(&self) -> TimeForm {
        match self.time_format {
            TimeFormat::Auto | TimeFormat::Offset => TimeForm::Offset,
            TimeFormat::Local => TimeForm::Local,
        }
    }
}

/// Registers the node with every master once, and says how each took it.
pub fn try_masters(settings: &Settings, zone: &Zone) -> Vec<(Master, Result<(), RegisterError>)> {
    let settings = Arc::new(settings.clone());
    let gathered = Gatherer::new(Arc::clone(&settings), Arc::new(zone.clone())).gather();
    let mut registrar = Registrar::new(Arc::clone(&settings));
    let masters = settings.masters.iter().enumerate();
    masters
        .map(|(index, master)| {
            let outcome = registrar.register(index, master, &gathered.report);
            (master.clone(), outcome)
        })
        .collect()
}

/// Gathers one report, tells in the log what could not be found out, and gives the JSON that
/// would be sent.
pub fn collect_once(settings: &Settings, zone: &Zone) -> String {
    let mut gatherer = Gatherer::new(Arc::new(settings.clone()), Arc::new(zone.clone()));
    let gathered = gatherer.gather();
    for problem in &gathered.problems {
        log::warn!("{problem}");
    }
    gathered.report.to_json(settings.first_form())
}
