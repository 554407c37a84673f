//! The thread that reports, and when it does.

use super::Settings;
use super::gather::{Gatherer, Problem, Subject};
use super::payload::Report;
use super::registrar::Registrar;
use crate::sys::thread::{STACK_SIZE, start_thread};
use crate::sys::time;
use crate::tls;
use crate::zone::Zone;
use ring::rand::{SecureRandom, SystemRandom};
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The wait after a first failure; it doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(2);
/// Reports of nodes that were started together shall not stay together: the interval varies by so
/// many thousandths either way.
const JITTER_MILLI: u64 = 100;
/// The most reasons that are told for something that stays missing.
const MAX_REASONS: usize = 4;
/// How long [`Reporter::stop`] waits for a report that is under way.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// The reporter thread.
pub struct Reporter {
    shared: Arc<Shared>,
}

/// How registration goes, for whoever asks.
#[derive(Debug, Default)]
pub struct Status {
    last_success: AtomicI64,
    /// The same moment by the clock that nobody sets.
    taken: Mutex<Option<Instant>>,
    last_error: Mutex<Option<String>>,
}

impl Status {
    /// When a master last took a report, in seconds since the Unix epoch.
    pub fn last_success(&self) -> Option<i64> {
        match self.last_success.load(Ordering::Relaxed) {
            0 => None,
            secs => Some(secs),
        }
    }

    /// For how long no master has taken a report; none where none ever did.
    pub fn age(&self) -> Option<Duration> {
        lock(&self.taken).map(|taken| taken.elapsed())
    }

    /// Why the last report was not taken; none where it was.
    pub fn last_error(&self) -> Option<String> {
        lock(&self.last_error).clone()
    }

    fn record(&self, outcome: &Result<(), String>) {
        if outcome.is_ok() {
            self.last_success
                .store(time::now().secs.max(1), Ordering::Relaxed);
            *lock(&self.taken) = Some(Instant::now());
        }
        *lock(&self.last_error) = outcome.as_ref().err().cloned();
    }
}

/// Between two looks at the host's addresses, where reports are further apart.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(30);

/// What the thread and its owner tell each other.
struct Shared {
    phase: Mutex<Phase>,
    changed: Condvar,
    status: Arc<Status>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Stopping,
    Ended,
}

impl Shared {
    fn is_stopping(&self) -> bool {
        *lock(&self.phase) != Phase::Running
    }

    fn enter(&self, phase: Phase) {
        *lock(&self.phase) = phase;
        self.changed.notify_all();
    }

    /// Waits until `until`, or for as long as the thread is in `phase`.
    fn wait(&self, phase: Phase, until: Instant) {
        let mut guard = lock(&self.phase);
        while *guard == phase {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            guard = self
                .changed
                .wait_timeout(guard, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// What is guarded here is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reporter {
    /// Starts the thread, which reports at once. `identity` is refreshed at each interval.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn spawn(
        settings: Settings,
        zone: Arc<Zone>,
        identity: Option<Arc<tls::Identity>>,
    ) -> io::Result<Reporter> {
        let shared = Arc::new(Shared {
            phase: Mutex::new(Phase::Running),
            changed: Condvar::new(),
            status: Arc::default(),
        });
        let settings = Arc::new(settings);
        let work = Work {
            gatherer: Gatherer::new(Arc::clone(&settings), zone),
            registrar: Registrar::new(Arc::clone(&settings)),
            settings,
            identity,
            troubles: Vec::new(),
            identity_trouble: None,
            shared: Arc::clone(&shared),
        };
        start_thread("reporter", STACK_SIZE, move || work.run())?;
        Ok(Reporter { shared })
    }

    /// How registration goes.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.shared.status)
    }

    /// Ends the thread. One that waits ends at once; a report that is under way is waited for
    /// only for a moment, and then left to end with the process.
    pub fn stop(self) {
        let mut phase = lock(&self.shared.phase);
        if *phase == Phase::Running {
            *phase = Phase::Stopping;
        }
        drop(phase);
        self.shared.changed.notify_all();
        self.shared
            .wait(Phase::Stopping, Instant::now() + STOP_PATIENCE);
    }
}

/// What the thread works with.
struct Work {
    settings: Arc<Settings>,
    gatherer: Gatherer,
    registrar: Registrar,
    identity: Option<Arc<tls::Identity>>,
    /// What the log was told is missing.
    troubles: Vec<Problem>,
    /// What the log was told about the certificate.
    identity_trouble: Option<String>,
    shared: Arc<Shared>,
}

impl Work {
    fn run(mut self) {
        let mut failures = 0;
        while !self.shared.is_stopping() {
            let started = Instant::now();
            let delivered = self.report();
            self.renew_certificate();
            failures = if delivered { 0 } else { failures + 1 };
            let wait = next_wait(self.settings.interval, failures, random_milli());
            self.wait_until(started + wait);
        }
        self.shared.enter(Phase::Ended);
    }

    /// Waits for the next report. An address that comes in between (DHCP) is in the certificate
    /// soon, however long the interval.
    fn wait_until(&mut self, next_report: Instant) {
        loop {
            let renewal = Instant::now() + RENEWAL_INTERVAL;
            self.shared.wait(Phase::Running, next_report.min(renewal));
            if self.shared.is_stopping() || next_report <= renewal {
                return;
            }
            self.renew_certificate();
        }
    }

    /// Whether a master took the report, or there is none to take it.
    fn report(&mut self) -> bool {
        let gathered = self.gatherer.gather();
        self.tell_troubles(&gathered.problems);
        if self.settings.masters.is_empty() {
            log::info!("{}", summary(&gathered.report));
            return true;
        }
        let shared = &self.shared;
        let outcome = self
            .registrar
            .deliver(&gathered.report, || shared.is_stopping());
        self.shared.status.record(&outcome);
        outcome.is_ok()
    }

    /// One line when something is missing, and one when it is there again. New reasons are told as
    /// they come, but a reason that has a new text each time fills no log.
    fn tell_troubles(&mut self, problems: &[Problem]) {
        for subject in Subject::ALL {
            let told = self
                .troubles
                .iter()
                .filter(|told| told.subject == subject)
                .count();
            match problems.iter().find(|problem| problem.subject == subject) {
                Some(problem) if self.troubles.contains(problem) => {}
                Some(problem) if told < MAX_REASONS => {
                    log::warn!("{problem}");
                    self.troubles.push(problem.clone());
                }
                None if told > 0 => {
                    log::info!("reports have {subject} again");
                    self.troubles.retain(|told| told.subject != subject);
                }
                _ => {}
            }
        }
    }

    /// The node's addresses may have changed.
    fn renew_certificate(&mut self) {
        let Some(identity) = &self.identity else {
            return;
        };
        match identity.refresh() {
            Ok(change) => {
                self.identity_trouble = None;
                if let Some(change) = change {
                    log::info!("the certificate was signed anew, {change}");
                }
            }
            Err(error) => {
                let why = Some(error.to_string());
                if self.identity_trouble != why {
                    log::warn!("the certificate cannot be signed anew: {error}");
                    self.identity_trouble = why;
                }
            }
        }
    }
}

/// How long after the start of one report the next one starts: the interval, more or less; after
/// failures sooner, with a wait that doubles from [`FIRST_RETRY`] up to the interval.
fn next_wait(interval: Duration, failures: u32, random_milli: u64) -> Duration {
    let base = match failures.checked_sub(1) {
        None => interval,
        Some(doublings) => {
            let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
            FIRST_RETRY.saturating_mul(factor).min(interval)
        }
    };
    let milli = 1000 - JITTER_MILLI + random_milli % (2 * JITTER_MILLI + 1);
    let wait = base.as_nanos().saturating_mul(u128::from(milli)) / 1000;
    let wait = Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX));
    if failures == 0 {
        wait
    } else {
        wait.min(interval)
    }
}

/// Without randomness the interval does not vary.
fn random_milli() -> u64 {
    let mut bytes = [0; 8];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => JITTER_MILLI,
    }
}

/// What the log says where no master is told.
fn summary(report: &Report) -> String {
    let mut parts = Vec::new();
    let system = &report.system;
    parts.extend(system.cpu_load.map(cpu_text));
    parts.extend(system.memory.as_ref().map(|memory| {
        let (used, total) = (mebibytes(memory.used), mebibytes(memory.total));
        format!("memory {used} of {total} MiB")
    }));
    for (path, disk) in system.disks.iter().flatten() {
        let (used, total) = (mebibytes(disk.used), mebibytes(disk.total));
        parts.push(format!("{path} {used} of {total} MiB"));
    }
    parts.push(match &report.containers {
        Some(containers) => format!("{} containers", containers.len()),
        None => "no answer from Docker".to_owned(),
    });
    format!("{}: {}", report.name, parts.join(", "))
}

/// In whole tenths: the library's formatting of floats is 20 KB of the binary, and used nowhere else.
fn cpu_text(load: f32) -> String {
    let tenths = (load * 10.0).round() as u32; // saturates; NaN is 0
    format!("CPU {}.{} %", tenths / 10, tenths % 10)
}

fn mebibytes(bytes: u64) -> u64 {
    bytes >> 20
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_interval_varies_by_a_tenth_either_way() {
        let secs = |random| next_wait(MINUTE, 0, random).as_secs_f64();
        assert_eq!((secs(0), secs(100), secs(200)), (54.0, 60.0, 66.0));
        assert!((54.0..=66.0).contains(&secs(random_milli())));
    }

    #[test]
    fn retries_come_soon_and_never_later_than_the_interval() {
        let waits: Vec<_> = (1..8)
            .map(|n| next_wait(MINUTE, n, 100).as_secs())
            .collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(next_wait(MINUTE, u32::MAX, 200), MINUTE);
        let second = Duration::from_secs(1);
        assert_eq!(next_wait(second, 1, 200), second);
    }
}
