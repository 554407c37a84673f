//! What the service manager learns while the agent runs: that each event loop turns, for its watchdog,
//! and how it goes. A thread of its own, `service`, where there is such a manager.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::proxy::Shared;
use crate::proxy::handle::Handle;
use crate::service::notify;
use crate::sys::thread::{STACK_SIZE, start_thread};

/// Between two looks, and so between two messages, where the watchdog's patience leaves that much.
const LOOK: Duration = Duration::from_secs(5);

/// So many looks fit into the watchdog's patience: a loop that is busy for one is not dead.
const LOOKS: u32 = 4;

/// A loop may owe an answer for so long: `health` may have asked it just now.
const BRIEF: Duration = Duration::from_secs(1);

/// How registration with the master goes, in a few words.
pub type Registration = Box<dyn Fn() -> String + Send>;

/// Starts the thread, if there is somebody to be told. It ends with the process.
///
/// # Errors
/// No thread can be made.
pub fn start(proxy: &Handle, registration: Registration) -> io::Result<()> {
    if notify::is_wanted() {
        let pulse = Pulse {
            shared: Arc::clone(&proxy.shared),
            registration,
            told: String::new(),
            missed: false,
        };
        start_thread("service", STACK_SIZE, move || pulse.run())?;
    }
    Ok(())
}

struct Pulse {
    shared: Arc<Shared>,
    registration: Registration,
    /// The last status.
    told: String,
    /// The log was told of a loop that does not turn.
    missed: bool,
}

impl Pulse {
    fn run(mut self) {
        let patience = notify::patience();
        let look = patience.map_or(LOOK, |patience| LOOK.min(patience / LOOKS));
        loop {
            if patience.is_some() {
                let now = Instant::now();
                self.feed(now);
                self.shared.ask_loops(now);
            }
            self.tell();
            thread::sleep(look);
        }
    }

    /// Only if every loop has turned since it was last asked.
    fn feed(&mut self, now: Instant) {
        let owed = self.shared.silence(now);
        match owed.filter(|(_, silence)| *silence > BRIEF) {
            None => {
                self.missed = false;
                notify::turning();
            }
            Some((number, silence)) => {
                if !std::mem::replace(&mut self.missed, true) {
                    let secs = silence.as_secs();
                    ::log::warn!("event loop {number} has not turned for {secs} s");
                }
            }
        }
    }

    /// Only what has changed.
    fn tell(&mut self) {
        let connections = self.shared.connections.load(Ordering::Relaxed);
        let status = format!("{}; {connections} connections", (self.registration)());
        if self.told != status {
            notify::status(&status);
            self.told = status;
        }
    }
}
