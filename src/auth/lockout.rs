//! How long an address has to wait with its next password.
//!
//! An attempt is counted as failed when it is let in, and that is taken back if it was good: however
//! many an address makes at a time, no more than [`FREE`] of them are verified before it has to wait.
//! Only time forgives. If a good password did, somebody with one of their own could guess another's
//! at full speed.

use std::time::{Duration, Instant};

use crate::source::Source;

/// Attempts that fail before the first wait: people mistype.
pub(super) const FREE: u32 = 5;

/// The longest wait. The first is a second, and each failure doubles it.
const LONGEST: Duration = Duration::from_secs(60);

/// After that time without an attempt an address begins anew.
const FORGET: Duration = Duration::from_secs(15 * 60);

/// The most addresses that are known. Of a full table the one with the fewest failures goes, and of
/// those the one that has been quiet for longest. So a new address always finds a place, and nobody
/// is locked out for want of one. And to have his own failures forgotten an attacker needs as many
/// addresses as there are places, each with as many failures, every one of them paid with a bcrypt:
/// with so many addresses he can guess as fast as bcrypt goes without that.
pub(super) const MAX_SOURCES: usize = 4096;

/// The addresses of which attempts have failed, in their order.
#[derive(Default)]
pub(super) struct Lockout {
    /// At most [`MAX_SOURCES`].
    entries: Vec<Entry>,
}

struct Entry {
    source: Source,
    /// Those that are being verified among them.
    failures: u32,
    last: Instant,
}

impl Entry {
    fn is_forgotten(&self, now: Instant) -> bool {
        now >= self.last + FORGET
    }

    fn free_at(&self) -> Instant {
        match self.failures.checked_sub(FREE) {
            None => self.last,
            Some(more) => {
                let wait = 1u64.checked_shl(more).unwrap_or(u64::MAX);
                self.last + LONGEST.min(Duration::from_secs(wait))
            }
        }
    }
}

impl Lockout {
    /// How long `source` has to wait with its next attempt; none: it may make one.
    pub(super) fn wait(&self, source: Source, now: Instant) -> Option<Duration> {
        let entry = self.entries.get(self.place(source).ok()?)?;
        let wait = entry.free_at().saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }

    /// Counts an attempt as failed.
    pub(super) fn charge(&mut self, source: Source, now: Instant) {
        if let Ok(at) = self.place(source)
            && let Some(entry) = self.entries.get_mut(at)
        {
            if entry.is_forgotten(now) {
                entry.failures = 0;
            }
            entry.failures = entry.failures.saturating_add(1);
            entry.last = now;
            return;
        }
        self.make_room(now);
        let (Ok(at) | Err(at)) = self.place(source);
        let entry = Entry {
            source,
            failures: 1,
            last: now,
        };
        self.entries.insert(at, entry);
    }

    /// One of the attempts was good, or was not made.
    pub(super) fn refund(&mut self, source: Source) {
        let Ok(at) = self.place(source) else { return };
        let Some(entry) = self.entries.get_mut(at) else {
            return;
        };
        entry.failures = entry.failures.saturating_sub(1);
        if entry.failures == 0 {
            self.entries.remove(at);
        }
    }

    fn place(&self, source: Source) -> Result<usize, usize> {
        self.entries
            .binary_search_by_key(&source, |entry| entry.source)
    }

    fn make_room(&mut self, now: Instant) {
        self.entries.retain(|entry| !entry.is_forgotten(now));
        if self.entries.len() < MAX_SOURCES {
            return;
        }
        let entries = self.entries.iter().enumerate();
        if let Some((least, _)) = entries.min_by_key(|(_, entry)| (entry.failures, entry.last)) {
            self.entries.remove(least);
        }
    }
}

#[cfg(test)]
mod tests;
