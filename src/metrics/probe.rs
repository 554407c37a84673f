//! Asking a file system for its size with a bound on the wait.
//!
//! `stat` and `statvfs` of a file system in user space last for as long as its server likes, and
//! cannot be called off. Each such question gets a thread of its own; one that does not answer
//! in time keeps it, and the disk is not asked again until it has.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::sys::fs::{self, Device, Usage};
use crate::sys::thread::start_thread;

/// How long one file system is waited for.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// The most threads that may be stuck at a time; while so many are, no other slow disk is asked.
const MAX_STUCK: usize = 4;

/// The stack of such a thread: two system calls and a path.
const STACK_SIZE: usize = 64 * 1024;

pub(super) type Answer = io::Result<(Device, Usage)>;

/// What the file system at a path is on and holds.
pub(super) fn measure(path: &Path) -> Answer {
    Ok((fs::device(path)?, fs::usage(path)?))
}

/// Where an answer will be. (A channel of the standard library is three of them, and 8 KB.)
type Slot = Arc<Mutex<Option<Answer>>>;

fn lock(slot: &Slot) -> MutexGuard<'_, Option<Answer>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The questions that were not answered in time.
#[derive(Default)]
pub(super) struct Probes {
    /// At most [`MAX_STUCK`].
    stuck: Vec<(PathBuf, Slot)>,
}

impl Probes {
    /// The answer of `measure`, asked on a thread of its own. Fails with `TimedOut` when it takes
    /// longer than [`PATIENCE`], and at once while an earlier question is open.
    pub(super) fn ask(&mut self, path: &Path, measure: fn(&Path) -> Answer) -> Answer {
        // A late answer is an old one: it only frees the place.
        self.stuck.retain(|(_, slot)| lock(slot).is_none());
        let asked = self.stuck.iter().any(|(stuck, _)| stuck == path);
        if asked || self.stuck.len() >= MAX_STUCK {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let slot = Slot::default();
        let (asked, answered, asker) = (path.to_owned(), Arc::clone(&slot), thread::current());
        start_thread("statvfs", STACK_SIZE, move || {
            let answer = measure(&asked);
            *lock(&answered) = Some(answer);
            asker.unpark();
        })?;
        let end = Instant::now() + PATIENCE;
        loop {
            // A thread may be unparked for other reasons, or for none.
            if let Some(answer) = lock(&slot).take() {
                return answer;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
        }
        self.stuck.push((path.to_owned(), slot));
        Err(io::ErrorKind::TimedOut.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::Tree;
    use super::*;

    /// Answers when somebody writes to the pipe at `path`.
    fn measure_pipe(path: &Path) -> Answer {
        std::fs::read(path)?;
        measure(path)
    }

    fn pipe(tree: &Tree, name: &str) -> PathBuf {
        let path = tree.0.join(name);
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        path
    }

    fn timed_out(answer: Answer) -> bool {
        answer.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
    }

    #[test]
    fn an_answer_in_time_is_the_answer() {
        let mut probes = Probes::default();
        let root = Path::new("/");
        let (device, usage) = probes.ask(root, measure).unwrap();
        assert_eq!(device, fs::device(root).unwrap());
        assert!(usage.total > 0);
        let error = probes.ask(Path::new("/no/such"), measure).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(probes.stuck.is_empty());
    }

    #[test]
    fn a_silent_one_is_not_asked_again_until_it_has_answered() {
        let tree = Tree::new();
        let path = pipe(&tree, "slow");
        let mut probes = Probes::default();
        assert!(timed_out(probes.ask(&path, measure_pipe)));
        assert!(timed_out(probes.ask(&path, measure)), "at once");
        assert_eq!(probes.stuck.len(), 1);
        std::fs::write(&path, "now").unwrap();
        // It answers some time after the write.
        while timed_out(probes.ask(&path, measure)) {
            thread::sleep(Duration::from_millis(5));
        }
        assert!(probes.stuck.is_empty());
    }

    #[test]
    fn stuck_threads_are_bounded() {
        let tree = Tree::new();
        let mut probes = Probes::default();
        let mut paths = Vec::new();
        for number in 0..=MAX_STUCK {
            let path = pipe(&tree, &number.to_string());
            assert!(timed_out(probes.ask(&path, measure_pipe)));
            paths.push(path);
        }
        assert_eq!(probes.stuck.len(), MAX_STUCK);
        assert!(timed_out(probes.ask(Path::new("/"), measure)));
        paths.truncate(MAX_STUCK);
        for path in paths {
            std::fs::write(&path, "end").unwrap();
        }
        while timed_out(probes.ask(Path::new("/"), measure)) {
            thread::sleep(Duration::from_millis(5));
        }
    }
}
