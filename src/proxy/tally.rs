//! Lines about those who are turned away, so many and no more: each address has a few lines a
//! minute of its own, and what follows is counted and told in one. Nobody fills a disk by knocking.

use std::time::{Duration, Instant};

use crate::source::Source;

/// Lines of one address in each [`INTERVAL`], before the rest is only counted.
pub const LINES: u32 = 5;

/// After which what was counted is told.
pub const INTERVAL: Duration = Duration::from_secs(60);

/// The most addresses that have lines of their own; all others share a last place.
const MAX_SOURCES: usize = 256;

/// What is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request without good credentials.
    Login,
    /// A connection from an address outside of `allow_from`.
    Stranger,
    /// A connection beyond `max_connections_per_address`.
    Crowd,
}

/// What was counted instead of being told.
#[derive(Debug, PartialEq, Eq)]
pub struct Summary {
    /// Whose they are; none: of many addresses.
    pub source: Option<Source>,
    /// What they are about.
    pub kind: Kind,
    /// How many there were.
    pub count: u64,
}

/// Lines and counts of the addresses at hand.
#[derive(Default)]
pub struct Tally {
    /// At most [`MAX_SOURCES`], and for each kind one that is shared.
    entries: Vec<Entry>,
}

struct Entry {
    source: Option<Source>,
    kind: Kind,
    since: Instant,
    lines: u32,
    count: u64,
}

impl Tally {
    /// Whether a line about `source` may be written now. If not, it was counted.
    pub fn admits(&mut self, source: Source, kind: Kind, now: Instant) -> bool {
        let known = self.find(Some(source), kind).is_some();
        let source = (known || self.entries.len() < MAX_SOURCES).then_some(source);
        if self.find(source, kind).is_none() {
            self.entries.push(Entry {
                source,
                kind,
                since: now,
                lines: 0,
                count: 0,
            });
        }
        let Some(entry) = self.find(source, kind) else {
            return false;
        };
        let admitted = entry.lines < LINES;
        match admitted {
            true => entry.lines += 1,
            false => entry.count += 1,
        }
        admitted
    }

    /// When [`take_due`](Tally::take_due) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let since = self.entries.iter().map(|entry| entry.since);
        since.min().map(|since| since + INTERVAL)
    }

    /// What is to be told by now. Who goes on has no lines until a whole interval was quiet.
    pub fn take_due(&mut self, now: Instant) -> Vec<Summary> {
        let mut summaries = Vec::new();
        self.entries.retain_mut(|entry| {
            if now < entry.since + INTERVAL {
                return true;
            }
            let count = std::mem::take(&mut entry.count);
            if count > 0 {
                summaries.push(Summary {
                    source: entry.source,
                    kind: entry.kind,
                    count,
                });
            }
            entry.since = now;
            count > 0
        });
        summaries
    }

    fn find(&mut self, source: Option<Source>, kind: Kind) -> Option<&mut Entry> {
        let mut entries = self.entries.iter_mut();
        entries.find(|entry| entry.source == source && entry.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Source = Source::V4(1);

    fn summary(source: Option<Source>, count: u64) -> Summary {
        let kind = Kind::Login;
        Summary {
            source,
            kind,
            count,
        }
    }

    #[test]
    fn the_first_are_told_and_the_rest_is_counted() {
        let (mut tally, mut now) = (Tally::default(), Instant::now());
        let told = (0..100).filter(|_| tally.admits(A, Kind::Login, now));
        assert_eq!(told.count(), 5);
        assert!(tally.admits(Source::V4(2), Kind::Login, now));
        assert!(tally.admits(A, Kind::Crowd, now));
        assert_eq!(tally.deadline(), Some(now + INTERVAL));
        assert_eq!(tally.take_due(now), []);
        now += INTERVAL;
        assert_eq!(tally.take_due(now), [summary(Some(A), 95)]);
        // Who goes on is counted only; after a quiet interval it begins anew.
        assert!(!tally.admits(A, Kind::Login, now));
        now += INTERVAL;
        assert_eq!(tally.take_due(now), [summary(Some(A), 1)]);
        now += INTERVAL;
        assert_eq!(tally.take_due(now), []);
        assert_eq!(tally.deadline(), None);
        assert!(tally.admits(A, Kind::Login, now));
    }

    #[test]
    #[cfg_attr(miri, ignore = "thousands of insertions")]
    fn many_addresses_share_a_last_place() {
        let (mut tally, now) = (Tally::default(), Instant::now());
        let many = 100_000;
        let told = (0..many).filter(|&number| tally.admits(Source::V4(number), Kind::Login, now));
        assert_eq!(told.count(), MAX_SOURCES + LINES as usize);
        assert_eq!(tally.entries.len(), MAX_SOURCES + 1);
        let rest = u64::from(many) - MAX_SOURCES as u64 - u64::from(LINES);
        assert_eq!(tally.take_due(now + INTERVAL), [summary(None, rest)]);
    }
}
