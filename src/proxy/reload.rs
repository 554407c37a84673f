//! Settings and files that are read again while the proxy serves: on SIGHUP, and when a file that
//! a setting names has changed. All of it is taken into use, or nothing.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use crate::config::Config;
use crate::proxy::Shared;
use crate::proxy::mailbox::Message;
use crate::service::notify;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(3);

/// Reads the settings again as they were read at the start; else one line that says why not.
pub type Read = Box<dyn Fn() -> Result<Config, String> + Send>;

/// Tells the thread to read. A signal that comes before the one before it was answered is
/// answered with it.
pub type Bell = SyncSender<()>;

/// Starts the thread `reload`, which ends when the bell is dropped.
///
/// # Errors
/// No thread can be made.
pub(super) fn start(read: Read, watched: Vec<PathBuf>, shared: Arc<Shared>) -> io::Result<Bell> {
    let (bell, rung) = mpsc::sync_channel(1);
    let stamps = stamps(&watched);
    let reload = Reload {
        read,
        shared,
        tried: stamps.clone(),
        looked: stamps,
        watched,
    };
    thread::Builder::new()
        .name("reload".to_owned())
        .spawn(move || reload.run(&rung))?;
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
    fn run(mut self, rung: &Receiver<()>) {
        loop {
            match rung.recv_timeout(LOOK) {
                Ok(()) => self.reload("SIGHUP"),
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Reads again when files have changed and stand still: a certificate and its key, or a link
    /// and what it points to, are not changed at once.
    fn look(&mut self) {
        let now = stamps(&self.watched);
        let before = std::mem::replace(&mut self.looked, now);
        if self.looked == before && self.looked != self.tried {
            self.reload("files have changed");
        }
    }

    fn reload(&mut self, why: &str) {
        notify::reloading();
        self.tried = stamps(&self.watched);
        match self.take_over() {
            Ok(()) => {
                ::log::info!("{why}: users, policies, certificates and log level were read again")
            }
            Err(error) => ::log::error!("{why}: {error}; what was read before goes on"),
        }
        notify::reloaded();
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
