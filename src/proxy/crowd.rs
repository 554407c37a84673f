//! How many connections each address has.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::source::Source;

/// The connections of each address that has some: as many entries at most as there are connections.
pub struct Crowd {
    most: usize,
    /// In the order of the addresses.
    counts: Mutex<Vec<(Source, usize)>>,
}

impl Crowd {
    /// Nobody yet; `most` for each address.
    pub fn new(most: usize) -> Crowd {
        Crowd {
            most,
            counts: Mutex::default(),
        }
    }

    /// Counts one more connection of `source` in, if it has not too many.
    pub fn enter(&self, source: Source) -> bool {
        let mut counts = self.lock();
        match place(&counts, source) {
            Ok(at) => {
                let Some((_, count)) = counts.get_mut(at).filter(|(_, n)| *n < self.most) else {
                    return false;
                };
                *count += 1;
            }
            Err(at) => counts.insert(at, (source, 1)),
        }
        true
    }

    /// Counts one out that was counted in.
    pub fn leave(&self, source: Source) {
        let mut counts = self.lock();
        let Ok(at) = place(&counts, source) else {
            return;
        };
        if let Some((_, count)) = counts.get_mut(at) {
            *count -= 1;
            if *count == 0 {
                counts.remove(at);
            }
        }
        if counts.is_empty() {
            counts.shrink_to_fit();
        }
    }

    /// Each change is a single one: a panic leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, Vec<(Source, usize)>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(counts: &[(Source, usize)], source: Source) -> Result<usize, usize> {
    counts.binary_search_by_key(&source, |&(known, _)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_places() {
        let (a, b) = (Source::V4(9), Source::V6(9));
        let crowd = Crowd::new(2);
        assert!(crowd.enter(a) && crowd.enter(a) && crowd.enter(b));
        assert!(!crowd.enter(a), "one too many");
        assert!(crowd.enter(b));
        crowd.leave(a);
        assert!(crowd.enter(a), "a place was given back");
        for source in [a, a, b, b, b] {
            crowd.leave(source);
        }
        assert!(crowd.lock().is_empty());
    }
}
