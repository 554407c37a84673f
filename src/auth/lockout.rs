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

/// The longest wait. It begins at one second and doubles with each failure.
const LONGEST: Duration = Duration::from_secs(60);

/// After that time without an attempt an address begins anew.
const FORGET: Duration = Duration::from_secs(15 * 60);

/// The most addresses that are known. Of a full table the one with the fewest failures goes, and of
/// those the one that has been quiet for longest. So a new address always finds a place; and to be
/// forgotten an attacker needs as many addresses as there are places, each with as many failures
/// as his own, every one of them paid with a bcrypt: with so many he could guess as fast without.
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
        if self.entries.len() < MAX_SOURCES {
            return;
        }
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
mod tests {
    use super::*;

    const A: Source = Source::V4(1);
    const B: Source = Source::V6(1);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// Fails as soon as it may; gives how long that took each time.
    fn failing(lockout: &mut Lockout, source: Source, now: &mut Instant, times: u32) -> Vec<u64> {
        let mut waits = Vec::new();
        for _ in 0..times {
            let wait = lockout.wait(source, *now).unwrap_or_default();
            *now += wait;
            assert_eq!(lockout.wait(source, *now), None);
            lockout.charge(source, *now);
            waits.push(wait.as_secs());
        }
        waits
    }

    #[test]
    fn waits_grow_to_a_cap_and_are_forgotten_in_time() {
        let (mut lockout, mut now) = (Lockout::default(), Instant::now());
        assert_eq!(
            failing(&mut lockout, A, &mut now, 14),
            [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
        );
        assert_eq!(lockout.wait(A, now), Some(LONGEST));
        assert_eq!(lockout.wait(B, now), None, "nobody else waits");
        now += FORGET;
        assert_eq!(failing(&mut lockout, A, &mut now, 6), [0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_failure_without_end_has_an_end() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        for _ in 0..200 {
            lockout.charge(A, now);
        }
        assert_eq!(lockout.wait(A, now), Some(LONGEST));
    }

    #[test]
    fn what_was_good_is_taken_back_and_forgives_nothing_else() {
        let (mut lockout, mut now) = (Lockout::default(), Instant::now());
        lockout.charge(A, now);
        lockout.refund(A);
        assert!(lockout.entries.is_empty());
        failing(&mut lockout, A, &mut now, 8);
        now += seconds(8);
        lockout.charge(A, now);
        lockout.refund(A);
        assert_eq!(lockout.wait(A, now), Some(seconds(8)));
        lockout.refund(B);
    }

    #[test]
    fn a_full_table_takes_newcomers_and_keeps_who_failed_most() {
        let (mut lockout, mut now) = (Lockout::default(), Instant::now());
        failing(&mut lockout, A, &mut now, 12);
        // Twice the table's size of addresses with two failures each; one of them stays quiet.
        for number in 10..10 + 2 * MAX_SOURCES as u32 {
            let source = Source::V4(number);
            assert_eq!(lockout.wait(source, now), None);
            lockout.charge(source, now);
            lockout.charge(source, now);
            now += Duration::from_millis(1);
        }
        assert_eq!(lockout.entries.len(), MAX_SOURCES);
        assert!(lockout.wait(A, now).is_some(), "A was not pushed out");
        // They are in order, so that each is found.
        assert!(lockout.entries.is_sorted_by_key(|entry| entry.source));
        now += FORGET;
        lockout.charge(B, now);
        assert_eq!(lockout.entries.len(), 1, "what is over makes room first");
    }
}
