//! What other threads ask of a proxy that runs.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::proxy::Shared;
use crate::proxy::reload::{Bell, Outcome};

/// Between two looks at whether the loops have answered.
const GLANCE: Duration = Duration::from_millis(5);

/// A proxy that runs, from outside.
pub struct Handle {
    pub(super) shared: Arc<Shared>,
    reload: Bell,
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>, reload: Bell) -> Handle {
        Handle { shared, reload }
    }

    /// Whether each event loop turns, for which it gets so long. Blocks.
    ///
    /// # Errors
    /// The number of one that does not, and since when it is known.
    pub fn loops(&self, patience: Duration) -> Result<(), (usize, Duration)> {
        let asked = Instant::now();
        self.shared.ask_loops(asked);
        loop {
            let now = Instant::now();
            match self.shared.silence(now) {
                None => return Ok(()),
                Some(owed) if now.duration_since(asked) >= patience => return Err(owed),
                Some(_) => thread::sleep(GLANCE),
            }
        }
    }

    /// For how long each place for a client has been taken, and how many there are; none: one is free.
    pub fn full(&self) -> Option<(usize, Duration)> {
        self.shared.full(Instant::now())
    }

    /// Has settings and files read again, and waits so long for what comes of it.
    ///
    /// # Errors
    /// Why what was read before goes on.
    pub fn reload(&self, patience: Duration) -> Outcome {
        self.reload.ask(patience)
    }
}
