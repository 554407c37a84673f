//! What is healthy: the event loops turn, a client finds room, Docker answers, and a master has the
//! node's report.

use super::Answer;
use crate::docker::{self, Endpoint};
use crate::proxy::handle::Handle;
use crate::report::Status;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For an event loop to come back from what it does; a turn takes milliseconds.
const LOOP_PATIENCE: Duration = Duration::from_secs(2);

/// Clients may find no room for so long: a crowd comes and goes.
const FULL_PATIENCE: Duration = Duration::from_secs(10);

/// For Docker to answer a question that costs it nothing.
const DOCKER_PATIENCE: Duration = Duration::from_secs(3);

/// A report may be so many intervals old: one may be lost, and the next be late.
const MAX_INTERVALS: u32 = 3;

/// And in any case so old: asking a busy Docker takes its time.
const SHORTEST_AGE: Duration = Duration::from_secs(10);

/// What is looked at.
pub struct Health {
    /// The loops.
    pub proxy: Handle,
    /// Docker.
    pub docker: Endpoint,
    /// Reports; none where the node is not registered with any master.
    pub reports: Option<Reports>,
}

/// How reports are judged.
pub struct Reports {
    /// How registration goes.
    pub status: Arc<Status>,
    /// Between two of them.
    pub interval: Duration,
    /// When the first was about to be made.
    pub since: Instant,
}

impl Health {
    /// Whether the event loops turn.
    ///
    /// # Errors
    /// Which of them does not.
    pub fn live(&self) -> Answer {
        summary(&[self.loops()])
    }

    /// Whether all is well.
    ///
    /// # Errors
    /// What is not.
    pub fn all(&self) -> Answer {
        let mut checks = vec![self.loops(), self.docker()];
        checks.extend(self.full().map(Err));
        checks.extend(self.reports.as_ref().map(Reports::check));
        summary(&checks)
    }

    fn loops(&self) -> Answer {
        match self.proxy.loops(LOOP_PATIENCE) {
            Ok(()) => Ok("the event loops turn".to_owned()),
            Err((number, silence)) => Err(format!(
                "event loop {number} has not turned for {} s",
                silence.as_secs()
            )),
        }
    }

    /// Not what a restart mends: the same clients would come again. Descriptors that have run out need
    /// no look of their own, for neither could this be asked then, nor Docker.
    fn full(&self) -> Option<String> {
        let (most, since) = self.proxy.full()?;
        (since >= FULL_PATIENCE).then(|| {
            format!(
                "all {most} connections are taken for {} s: no client comes in (max_connections)",
                since.as_secs()
            )
        })
    }

    fn docker(&self) -> Answer {
        match docker::ping(&self.docker, DOCKER_PATIENCE) {
            Ok(()) => Ok("Docker answers".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Reports {
    fn check(&self) -> Answer {
        let status = &self.status;
        judge(
            status.age(),
            self.since.elapsed(),
            self.interval,
            status.last_error(),
        )
    }
}

/// Of several masters the next is tried when one fails: that one of them has the report is enough.
fn judge(
    age: Option<Duration>,
    uptime: Duration,
    interval: Duration,
    error: Option<String>,
) -> Answer {
    let most = interval.saturating_mul(MAX_INTERVALS).max(SHORTEST_AGE);
    let (age, known) = match age {
        Some(age) => (age, format!("registered {} s ago", age.as_secs())),
        None => (uptime, "not registered yet".to_owned()),
    };
    if age <= most {
        return Ok(known);
    }
    let why = error.unwrap_or_else(|| "a report is still under way".to_owned());
    Err(format!("not registered for {} s: {why}", age.as_secs()))
}

/// What is well where all is; else what is not.
fn summary(checks: &[Answer]) -> Answer {
    let problems: Vec<&str> = checks
        .iter()
        .filter_map(|check| check.as_ref().err())
        .map(String::as_str)
        .collect();
    if !problems.is_empty() {
        return Err(problems.join("; "));
    }
    let well: Vec<&str> = checks.iter().flatten().map(String::as_str).collect();
    Ok(well.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_report_may_be_three_intervals_old() {
        let judged = |age| judge(Some(secs(age)), secs(9999), MINUTE, None);
        assert_eq!(judged(0), Ok("registered 0 s ago".to_owned()));
        assert_eq!(judged(180), Ok("registered 180 s ago".to_owned()));
        let late = "not registered for 181 s: a report is still under way";
        assert_eq!(judged(181), Err(late.to_owned()));
        let why = judge(Some(secs(200)), secs(9999), MINUTE, Some("refused".into()));
        assert_eq!(why, Err("not registered for 200 s: refused".to_owned()));
    }

    #[test]
    fn the_first_report_gets_as_long() {
        let judged = |uptime| judge(None, secs(uptime), MINUTE, Some("refused".into()));
        assert_eq!(judged(180), Ok("not registered yet".to_owned()));
        let late = "not registered for 181 s: refused";
        assert_eq!(judged(181), Err(late.to_owned()));
    }

    #[test]
    fn short_intervals_are_not_taken_at_their_word() {
        assert!(judge(Some(secs(10)), secs(99), secs(1), None).is_ok());
        assert!(judge(Some(secs(11)), secs(99), secs(1), None).is_err());
    }

    #[test]
    fn one_problem_is_enough_and_all_are_told() {
        let (well, bad) = (|text: &str| Ok(text.into()), |text: &str| Err(text.into()));
        assert_eq!(summary(&[well("a"), well("b")]), Ok("a, b".into()));
        assert_eq!(
            summary(&[well("a"), bad("b"), bad("c")]),
            Err("b; c".into())
        );
    }
}
