//! Credentials that were verified before, known by a keyed digest: a kept-alive client pays
//! bcrypt once, and no password stays in memory.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use ring::hmac;
use ring::rand::SystemRandom;
use subtle::ConstantTimeEq;

/// The most credentials that are remembered; the one that was verified longest ago makes room.
/// A node has one manager and a few people, and each look-up compares with all of them.
pub(super) const MAX_REMEMBERED: usize = 64;

const TAG_LENGTH: usize = 32;

/// A random HMAC-SHA256 key that lives as long as the process.
///
/// Keyed, since a plain digest of a password could be guessed from a memory image at full speed
/// without the image's key, and an attacker could not be kept from choosing what it collides
/// with.
pub(super) struct Key(hmac::Key);

/// The digest of an `Authorization` value.
#[derive(Clone, Copy)]
pub(super) struct Tag([u8; TAG_LENGTH]);

impl Key {
    /// # Errors
    /// The system gave no randomness.
    pub(super) fn random() -> io::Result<Key> {
        hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map(Key)
            .map_err(|_| io::Error::other("the system gave no random bytes for a key"))
    }

    pub(super) fn tag(&self, value: &[u8]) -> Tag {
        let mut tag = [0; TAG_LENGTH];
        let digest = hmac::sign(&self.0, value);
        for (to, from) in tag.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Tag(tag)
    }
}

impl Tag {
    /// Equal, in a time that does not depend on where they differ.
    pub(super) fn same(&self, other: &Tag) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// Good credentials and whose they are, oldest first.
#[derive(Default)]
pub(super) struct Remembered {
    /// At most [`MAX_REMEMBERED`].
    entries: VecDeque<(Tag, Arc<str>)>,
}

impl Remembered {
    /// Whose credentials these are. Looks at all entries, whichever it is.
    pub(super) fn find(&self, tag: &Tag) -> Option<Arc<str>> {
        let mut found = None;
        for (known, user) in &self.entries {
            if known.same(tag) {
                found = Some(user);
            }
        }
        found.map(Arc::clone)
    }

    pub(super) fn insert(&mut self, tag: Tag, user: Arc<str>) {
        if self.entries.len() >= MAX_REMEMBERED {
            self.entries.pop_front();
        }
        self.entries.push_back((tag, user));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_until_it_is_pushed_out() {
        let key = Key::random().unwrap();
        let mut remembered = Remembered::default();
        let value = |number: usize| format!("Basic {number}").into_bytes();
        for number in 0..=MAX_REMEMBERED {
            remembered.insert(key.tag(&value(number)), number.to_string().into());
        }
        assert_eq!(remembered.entries.len(), MAX_REMEMBERED);
        assert!(remembered.find(&key.tag(&value(0))).is_none());
        for number in 1..=MAX_REMEMBERED {
            let user = remembered.find(&key.tag(&value(number)));
            assert_eq!(user.as_deref(), Some(number.to_string().as_str()));
        }
        assert!(remembered.find(&key.tag(b"Basic")).is_none());
    }

    #[test]
    fn another_process_has_another_key() {
        let (one, two) = (Key::random().unwrap(), Key::random().unwrap());
        assert!(one.tag(b"Basic YTpi").same(&one.tag(b"Basic YTpi")));
        assert!(!one.tag(b"Basic YTpi").same(&two.tag(b"Basic YTpi")));
        assert!(!one.tag(b"Basic YTpi").same(&one.tag(b"Basic YTpj")));
    }

    #[test]
    fn a_tag_is_the_whole_digest() {
        assert_eq!(
            hmac::HMAC_SHA256.digest_algorithm().output_len(),
            TAG_LENGTH
        );
    }
}
