//! Asking Docker and the node for what is reported.

use super::Settings;
use super::payload::{Report, System};
use crate::docker::{self, Container, DockerError, Info};
use crate::metrics::{Collector, Snapshot};
use crate::sorted::Map;
use crate::sys::time;
use crate::tls;
use crate::zone::Zone;
use std::fmt;
use std::sync::Arc;

/// Who is nameless: the kernel always knows a name, if only this one.
const NO_NAME: &str = "localhost";

/// Gathers one report after the other.
pub struct Gatherer {
    settings: Arc<Settings>,
    zone: Arc<Zone>,
    collector: Collector,
    /// What Docker said last about itself. While it is away the node keeps its name, or a second
    /// one would appear at the master, and its labels.
    known: Option<Info>,
}

/// A report, and what is missing in it.
pub struct Gathered {
    /// What could be found out.
    pub report: Report,
    /// What could not.
    pub problems: Vec<Problem>,
}

/// Something that could not be found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What.
    pub subject: Subject,
    /// Why.
    pub why: String,
}

/// What a report is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Name, labels and containers.
    Docker,
    /// `cpuLoad`.
    CpuLoad,
    /// `memory`.
    Memory,
    /// `disks`.
    Disks,
    /// `net`.
    Network,
}

impl Subject {
    /// All of them.
    pub const ALL: [Subject; 5] = [
        Subject::Docker,
        Subject::CpuLoad,
        Subject::Memory,
        Subject::Disks,
        Subject::Network,
    ];
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Subject::Docker => "Docker",
            Subject::CpuLoad => "the CPU's load",
            Subject::Memory => "memory",
            Subject::Disks => "disks",
            Subject::Network => "network",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject {
            Subject::Docker => write!(f, "reports go without containers: {}", self.why),
            subject => write!(f, "reports go without {subject}: {}", self.why),
        }
    }
}

impl Gatherer {
    /// Asks nobody yet.
    pub fn new(settings: Arc<Settings>, zone: Arc<Zone>) -> Gatherer {
        let collector = Collector::new(&settings.root_path);
        Gatherer {
            settings,
            zone,
            collector,
            known: None,
        }
    }

    /// Asks for everything. Takes as long as Docker does, up to its time-outs.
    pub fn gather(&mut self) -> Gathered {
        let mut problems = Vec::new();
        let containers = self
            .ask_docker()
            .map_err(|error| {
                problems.push(Problem {
                    subject: Subject::Docker,
                    why: error.to_string(),
                });
            })
            .ok();
        let system = split(self.collector.sample(), &mut problems);
        let time = time::now();
        let report = Report {
            time,
            local: self.zone.local(time.secs),
            name: self.name(),
            address: self.settings.address.clone(),
            labels: self.labels(),
            containers,
            system,
        };
        Gathered { report, problems }
    }

    fn ask_docker(&mut self) -> Result<Vec<Container>, DockerError> {
        self.known = Some(docker::info(&self.settings.docker)?);
        docker::containers(&self.settings.docker)
    }

    /// Docker's name for the node, else the node's own.
    fn name(&self) -> String {
        self.known
            .as_ref()
            .map(|info| info.name.clone())
            .filter(|name| !name.is_empty())
            .or_else(|| tls::host_name(&self.settings.root_path))
            .unwrap_or_else(|| NO_NAME.to_owned())
    }

    /// A label without `=` has an empty value; a value may contain more of them.
    fn labels(&self) -> Map<String, String> {
        let labels = self.known.iter().flat_map(|info| &info.labels);
        labels
            .map(|label| {
                let (key, value) = label.split_once('=').unwrap_or((label, ""));
                (key.to_owned(), value.to_owned())
            })
            .collect()
    }
}

fn split(snapshot: Snapshot, problems: &mut Vec<Problem>) -> System {
    fn keep<T, E: fmt::Display>(
        result: Result<T, E>,
        subject: Subject,
        problems: &mut Vec<Problem>,
    ) -> Option<T> {
        result
            .map_err(|error| {
                let why = error.to_string();
                problems.push(Problem { subject, why });
            })
            .ok()
    }
    System {
        cpu_load: keep(snapshot.cpu_load, Subject::CpuLoad, problems),
        memory: keep(snapshot.memory, Subject::Memory, problems),
        disks: keep(snapshot.disks, Subject::Disks, problems),
        net: keep(snapshot.net, Subject::Network, problems),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TimeFormat;
    use crate::docker::Endpoint;
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    fn settings(root: &Path) -> Arc<Settings> {
        Arc::new(Settings {
            root_path: root.to_owned(),
            docker: Endpoint::Unix(root.join("no.sock")),
            masters: Vec::new(),
            secret: None,
            interval: Duration::from_secs(60),
            address: None,
            time_format: TimeFormat::Auto,
            ca: None,
        })
    }

    fn gatherer(root: &Path) -> Gatherer {
        Gatherer::new(settings(root), Arc::new(Zone::utc()))
    }

    #[test]
    fn without_docker_the_node_has_its_own_name_and_no_containers() {
        let gathered = gatherer(Path::new("/")).gather();
        let kernel = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(gathered.report.name, kernel.trim());
        assert_eq!(gathered.report.containers, None);
        let problem = gathered.problems.first().unwrap();
        assert_eq!(problem.subject, Subject::Docker);
        assert!(problem.to_string().contains("/no.sock"), "{problem}");
    }

    #[test]
    fn docker_that_is_away_leaves_the_node_its_name_and_labels() {
        let mut gatherer = gatherer(Path::new("/"));
        gatherer.known = Some(Info {
            name: "docker-name".to_owned(),
            labels: ["a=b=c", "bare", "e="].map(str::to_owned).to_vec(),
            server_version: String::new(),
        });
        let report = gatherer.gather().report;
        assert_eq!(report.name, "docker-name");
        let labels: Vec<_> = report
            .labels
            .iter()
            .map(|(k, v)| format!("{k}:{v}"))
            .collect();
        assert_eq!(labels, ["a:b=c", "bare:", "e:"]);
    }
}
