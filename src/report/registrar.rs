//! Several masters, both generations of them, and what is told of the outcome.
//!
//! A master that works is kept; where it fails the next is tried. What a master reads of the two
//! forms of time is remembered for each. The log gets one line when the state changes, and one for
//! each new reason while it does not.

use super::Settings;
use super::master::{self, Kind, RegisterError, Registration};
use super::payload::{Report, TimeForm};
use crate::config::{Master, TimeFormat};
use std::sync::Arc;
use std::time::Duration;

/// A registration holds for so many intervals: one may be lost.
const TTL_INTERVALS: u32 = 2;
/// Managers read whole seconds, and a registration that holds for none is none.
const SHORTEST_TTL: Duration = Duration::from_secs(2);

/// Delivers reports.
pub struct Registrar {
    settings: Arc<Settings>,
    /// The form of time that each master understood last.
    forms: Vec<TimeForm>,
    /// The index of the master that worked last.
    current: usize,
    state: State,
}

/// Whether the node is registered, as the log was told.
enum State {
    /// Nothing was tried.
    New,
    Registered {
        master: usize,
    },
    /// The reasons that were told since then.
    Failing {
        told: Vec<(usize, Kind)>,
    },
}

impl Registrar {
    /// Knows nothing of the masters yet.
    pub fn new(settings: Arc<Settings>) -> Registrar {
        let forms = vec![settings.first_form(); settings.masters.len()];
        Registrar {
            settings,
            forms,
            current: 0,
            state: State::New,
        }
    }

    /// Registers with the first master that takes the report, beginning with the one that did so
    /// last; gives up between two of them when `stopping` says so.
    ///
    /// # Errors
    /// Why no master took it.
    pub fn deliver(&mut self, report: &Report, stopping: impl Fn() -> bool) -> Result<(), String> {
        let settings = Arc::clone(&self.settings);
        let count = settings.masters.len();
        let order = (0..count).map(|step| (self.current + step) % count);
        let mut failures = Vec::new();
        for index in order.collect::<Vec<_>>() {
            if stopping() {
                break;
            }
            let Some(master) = settings.masters.get(index) else {
                continue;
            };
            match self.register(index, master, report) {
                Ok(()) => {
                    self.tell_registered(index, master, &report.name);
                    return Ok(());
                }
                Err(error) => failures.push((index, master, error)),
            }
        }
        Err(self.tell_failing(&failures))
    }

    /// Tries the form of time that this master understood last, and, where both are allowed, the
    /// other one if it does not understand the first.
    pub fn register(
        &mut self,
        index: usize,
        master: &Master,
        report: &Report,
    ) -> Result<(), RegisterError> {
        let first = self.forms.get(index).copied();
        let form = first.unwrap_or_else(|| self.settings.first_form());
        let outcome = self.send(master, report, form);
        let may_retry = self.settings.time_format == TimeFormat::Auto;
        if !matches!(outcome, Err(RegisterError::NotUnderstood(_))) || !may_retry {
            return outcome;
        }
        if self.send(master, report, form.other()).is_ok() {
            log::debug!("{master} reads the time as {:?}", form.other());
            if let Some(remembered) = self.forms.get_mut(index) {
                *remembered = form.other();
            }
            return Ok(());
        }
        outcome
    }

    fn send(&self, master: &Master, report: &Report, form: TimeForm) -> Result<(), RegisterError> {
        let json = report.to_json(form);
        log::debug!("do registration with {json}");
        let node = Registration {
            name: &report.name,
            ttl: ttl(self.settings.interval),
            secret: self.settings.secret.as_ref(),
            ca: self.settings.ca.as_deref(),
            json: &json,
        };
        let outcome = master::register(master, &node);
        if let Err(error) = &outcome {
            log::debug!("{master}: {error}");
        }
        outcome
    }

    fn tell_registered(&mut self, index: usize, master: &Master, name: &str) {
        match self.state {
            State::Registered { master } if master == index => {}
            State::Failing { .. } => log::info!("registered again as {name} at {master}"),
            _ => log::info!("registered as {name} at {master}"),
        }
        self.current = index;
        self.state = State::Registered { master: index };
    }

    /// Tells what was not told since the node was registered last; gives the whole story.
    fn tell_failing(&mut self, failures: &[(usize, &Master, RegisterError)]) -> String {
        let story = failures
            .iter()
            .map(|(_, master, error)| format!("{master}: {error}"))
            .collect::<Vec<_>>()
            .join("; ");
        let kinds = failures
            .iter()
            .map(|(index, _, error)| (*index, error.kind()));
        match &mut self.state {
            _ if failures.is_empty() => {}
            State::Failing { told } => {
                let new: Vec<_> = kinds.filter(|kind| !told.contains(kind)).collect();
                if !new.is_empty() {
                    log::warn!("still not registered: {story}");
                    told.extend(new);
                }
            }
            state => {
                match state {
                    State::New => log::warn!("not registered: {story}"),
                    _ => log::warn!("registration lost: {story}"),
                }
                *state = State::Failing {
                    told: kinds.collect(),
                };
            }
        }
        story
    }
}

fn ttl(interval: Duration) -> Duration {
    interval.saturating_mul(TTL_INTERVALS).max(SHORTEST_TTL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_holds_for_two_intervals() {
        for (interval, expected) in [(60, 120), (1, 2), (0, 2)] {
            let ttl = ttl(Duration::from_secs(interval));
            assert_eq!(ttl, Duration::from_secs(expected));
        }
    }
}
