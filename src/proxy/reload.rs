//! Settings and files that are read again while the proxy serves: on SIGHUP, and when a file that
//! a setting names has changed. All of it is taken into use, or nothing.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::Config;
use crate::proxy::Shared;
use crate::proxy::mailbox::Message;
use crate::service::notify;
use crate::sys::thread::{STACK_SIZE, start_thread};

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(3);

/// Reads the settings again as they were read at the start; else one line that says why not.
pub type Read = Box<dyn Fn() -> Result<Config, String> + Send>;

/// What came of it, in a line: taken into use, or not.
pub type Outcome = Result<String, String>;

/// Tells the thread to read.
#[derive(Clone)]
pub struct Bell(Arc<Desk>);

/// What the thread and those who ring share.
#[derive(Default)]
struct Desk {
    orders: Mutex<Orders>,
    changed: Condvar,
}

#[derive(Default)]
struct Orders {
    /// For whom; none: nobody has rung since the thread looked.
    rung: Option<Why>,
    /// Rings so far of those who wait, and how many of these were answered.
    asked: u64,
    answered: u64,
    /// The last answer.
    outcome: Option<Outcome>,
}

/// Why settings are read again, as the log has it.
type Why = &'static str;

impl Bell {
    /// For a signal. One that comes before the one before it was answered is answered with it.
    pub fn ring(&self) {
        self.0.orders().rung = Some("SIGHUP");
        self.0.changed.notify_all();
    }

    /// For somebody who wants to know what comes of it, and waits for so long.
    ///
    /// # Errors
    /// Why what was read before goes on, or that nothing is known yet.
    pub fn ask(&self, patience: Duration) -> Outcome {
        let desk = &self.0;
        let mut orders = desk.orders();
        orders.asked += 1;
        orders.rung = Some("reload");
        let mine = orders.asked;
        desk.changed.notify_all();
        // One reading may answer several.
        let unanswered = |orders: &mut Orders| orders.answered < mine;
        let waited = desk
            .changed
            .wait_timeout_while(orders, patience, unanswered);
        let (orders, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        match &orders.outcome {
            Some(outcome) if !timeout.timed_out() => outcome.clone(),
            _ => Err(format!(
                "not done within {} s; the log will say what came of it",
                patience.as_secs()
            )),
        }
    }
}

impl Desk {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was rung for, and up to which of those who wait, where that happens within `patience`.
    fn wait(&self, patience: Duration) -> Option<(Why, u64)> {
        let silent = |orders: &mut Orders| orders.rung.is_none();
        let waited = self
            .changed
            .wait_timeout_while(self.orders(), patience, silent);
        let (mut orders, _) = waited.unwrap_or_else(PoisonError::into_inner);
        orders.rung.take().map(|why| (why, orders.asked))
    }

    fn answer(&self, asked: u64, outcome: Outcome) {
        let mut orders = self.orders();
        orders.answered = asked;
        orders.outcome = Some(outcome);
        self.changed.notify_all();
    }
}

/// Starts the thread `reload`, which ends with the process.
///
/// # Errors
/// No thread can be made.
pub(super) fn start(read: Read, watched: Vec<PathBuf>, shared: Arc<Shared>) -> io::Result<Bell> {
    let desk = Arc::new(Desk::default());
    let stamps = stamps(&watched);
    let reload = Reload {
        read,
        shared,
        tried: stamps.clone(),
        looked: stamps,
        watched,
    };
    let bell = Bell(Arc::clone(&desk));
    start_thread("reload", STACK_SIZE, move || reload.run(&desk))?;
    Ok(bell)
}

struct Reload {
    read: Read,
    shared: Arc<Shared>,
    watched: Vec<PathBuf>,
    /// As the files were when they were read last, for better or worse.
    tried: Vec<Stamp>,
    /// As they were at the last look.
    looked: Vec<Stamp>,
}

/// By what a file that was changed or replaced is known; `None` where there is none. What a
/// symbolic link points to counts: certbot and Kubernetes turn links.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    files.iter().map(|file| stamp(file)).collect()
}

fn stamp(file: &Path) -> Stamp {
    let meta = fs::metadata(file).ok()?;
    Some((
        meta.dev(),
        meta.ino(),
        meta.size(),
        meta.mtime(),
        meta.mtime_nsec(),
    ))
}

impl Reload {
    fn run(mut self, desk: &Desk) {
        loop {
            match desk.wait(LOOK) {
                Some((why, asked)) => desk.answer(asked, self.reload(why)),
                None => self.look(),
            }
        }
    }

    /// Reads again when files have changed and stand still: a certificate and its key, or a link
    /// and what it points to, are not changed at once.
    fn look(&mut self) {
        let now = stamps(&self.watched);
        let before = std::mem::replace(&mut self.looked, now);
        if self.looked == before && self.looked != self.tried {
            drop(self.reload("files have changed"));
        }
    }

    fn reload(&mut self, why: &str) -> Outcome {
        notify::reloading();
        self.tried = stamps(&self.watched);
        let outcome = match self.take_over() {
            Ok(()) => Ok("users, policies, certificates and log level were read again".to_owned()),
            Err(error) => Err(format!("{error}; what was read before goes on")),
        };
        match &outcome {
            Ok(text) => ::log::info!("{why}: {text}"),
            Err(text) => ::log::error!("{why}: {text}"),
        }
        notify::reloaded();
        outcome
    }

    /// What may fail comes first; then nothing does.
    fn take_over(&mut self) -> Result<(), String> {
        let config = (self.read)()?;
        let identity = self.shared.identity.as_ref();
        let renewal = identity
            .map(|identity| identity.prepare(&config.tls))
            .transpose()
            .map_err(|error| error.to_string())?;
        let replaced = self.shared.auth.replace(config.users);
        replaced.map_err(|error| format!("the auth thread cannot be started: {error}"))?;
        if let (Some(identity), Some(renewal)) = (identity, renewal) {
            identity.adopt(renewal);
        }
        for warning in &config.warnings {
            ::log::warn!("{warning}");
        }
        self.shared.set_policies(config.policies);
        ::log::set_max_level(config.level);
        if self.watched != config.watched {
            self.watched = config.watched;
            // They may have changed since they were read: they are, once more, at the next look.
            self.tried = Vec::new();
        }
        self.shared.tell_all(|| Message::Reloaded);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn one_reading_answers_all_who_asked_before_it() {
        let bell = Bell(Arc::default());
        let askers = [(); 2].map(|()| {
            let bell = bell.clone();
            thread::spawn(move || bell.ask(Duration::from_secs(20)))
        });
        while bell.0.orders().asked < 2 {
            thread::yield_now();
        }
        let (_, asked) = bell.0.wait(Duration::ZERO).unwrap();
        bell.0.answer(asked, Ok("read".to_owned()));
        for asker in askers {
            assert_eq!(asker.join().unwrap(), Ok("read".to_owned()));
        }
        assert!(bell.0.wait(Duration::ZERO).is_none());
    }
}
