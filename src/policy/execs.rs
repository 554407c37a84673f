//! The execs that were made under a judged policy, so that nothing else is started under it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Execs that are remembered, for all users; then the oldest is forgotten, and cannot be started.
const MAX_EXECS: usize = 1024;

/// The longest ID; dockerd's have 64 digits.
const MAX_ID: usize = 64;

/// What all event loops share.
#[derive(Debug, Default)]
pub struct Execs {
    /// The oldest first.
    made: Mutex<VecDeque<Exec>>,
}

#[derive(Debug)]
struct Exec {
    id: Box<str>,
    user: Arc<str>,
    /// The policy that let it be made, in its own words.
    policy: Arc<str>,
}

impl Execs {
    /// `user` has made one, under this policy.
    pub fn remember(&self, id: &str, user: &Arc<str>, policy: &Arc<str>) {
        if id.len() > MAX_ID {
            return;
        }
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() == MAX_EXECS {
            made.pop_front();
        }
        made.push_back(Exec {
            id: id.into(),
            user: Arc::clone(user),
            policy: Arc::clone(policy),
        });
    }

    /// Whether `user` has made it under a policy with these words.
    pub fn knows(&self, id: &str, user: &str, policy: &str) -> bool {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.iter()
            .any(|exec| &*exec.id == id && &*exec.user == user && &*exec.policy == policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_to_who_made_it_under_the_same_policy() {
        let (execs, ann, words) = (Execs::default(), Arc::from("ann"), Arc::from("allow"));
        execs.remember("a1", &ann, &words);
        assert!(execs.knows("a1", "ann", "allow"));
        assert!(!execs.knows("a1", "bob", "allow"));
        assert!(!execs.knows("a1", "ann", "allow more"));
        assert!(!execs.knows("a", "ann", "allow"));
        execs.remember(&"a".repeat(65), &ann, &words);
        assert!(!execs.knows(&"a".repeat(65), "ann", "allow"));
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let (execs, ann, words) = (Execs::default(), Arc::from("ann"), Arc::from("allow"));
        for number in 0..=MAX_EXECS {
            execs.remember(&number.to_string(), &ann, &words);
        }
        assert!(!execs.knows("0", "ann", "allow"));
        assert!(execs.knows("1", "ann", "allow"));
        assert!(execs.knows(&MAX_EXECS.to_string(), "ann", "allow"));
    }
}
