//! How much is held at a time of what clients have sent, of bodies that are judged and for clients whom nobody
//! knows yet: a connection's own bound times all connections would be more than a small node has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// In bytes, of each kind, of all connections of all event loops together.
pub const MOST_HELD: usize = 32 * 1024 * 1024;

/// What all event loops share.
#[derive(Debug, Default)]
pub struct Held(AtomicUsize);

/// A part of it, given back when dropped.
#[derive(Debug)]
pub struct Share {
    held: Arc<Held>,
    bytes: usize,
}

impl Share {
    /// Room for so many bytes, if there is some. One body always has it, however long it may be.
    pub fn of(held: &Arc<Held>, bytes: usize) -> Option<Share> {
        let more = |now: usize| {
            let all = now.saturating_add(bytes);
            (now == 0 || all <= MOST_HELD).then_some(all)
        };
        let taken = held
            .0
            .try_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Share {
            held: Arc::clone(held),
            bytes,
        })
    }

    /// Gives back what is not needed for so many bytes.
    pub fn shrink(&mut self, bytes: usize) {
        let spare = self.bytes.saturating_sub(bytes);
        self.held.0.fetch_sub(spare, Ordering::Relaxed);
        self.bytes -= spare;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_hold_no_more() {
        let held = Arc::new(Held::default());
        let half = Share::of(&held, MOST_HELD / 2).unwrap();
        let mut other = Share::of(&held, MOST_HELD / 2).unwrap();
        assert!(Share::of(&held, 1).is_none());
        other.shrink(1);
        let little = Share::of(&held, MOST_HELD / 2 - 1);
        assert!(little.is_some() && Share::of(&held, 1).is_none());
        drop((half, other, little));
        assert_eq!(held.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn one_always_has_room() {
        let held = Arc::new(Held::default());
        let long = Share::of(&held, usize::MAX);
        assert!(long.is_some() && Share::of(&held, 1).is_none());
        drop(long);
        assert!(Share::of(&held, 1).is_some());
    }
}
