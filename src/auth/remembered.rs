//! Credentials that were verified before, known by a keyed digest: a kept-alive client pays
//! bcrypt once, and no password stays in memory.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use ring::digest::{self, SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The most credentials that are remembered; the one that was verified longest ago makes room.
/// A node has one manager and a few people, and each look-up compares with all of them.
pub(super) const MAX_REMEMBERED: usize = 64;

/// SHA-256 that has taken one block of random bytes; it lives as long as the process.
///
/// Keyed, since a plain digest of a password could be guessed from a memory image at full speed
/// without the image's key, and an attacker could not be kept from choosing what it collides
/// with. A key in front is enough here, where HMAC (RFC 2104) would cost twice as much of each
/// request: HMAC's second pass is for those who see a digest and would extend it, and no digest
/// leaves the process; besides, half of it is left out, as SHA-512/256 does for the same end.
pub(super) struct Key(digest::Context);

/// Bytes that SHA-256 takes at a time (FIPS 180-4 §1).
const BLOCK: usize = 64;

/// The first 128 bits of the digest of an `Authorization` value, as two words.
#[derive(Clone, Copy)]
pub(super) struct Tag([u64; 2]);

impl Key {
    /// # Errors
    /// The system gave no randomness.
    pub(super) fn random() -> io::Result<Key> {
        let mut block = Zeroizing::new([0; BLOCK]);
        SystemRandom::new()
            .fill(&mut *block)
            .map_err(|_| io::Error::other("the system gave no random bytes for a key"))?;
        let mut keyed = digest::Context::new(&SHA256);
        keyed.update(&*block);
        Ok(Key(keyed))
    }

    pub(super) fn tag(&self, value: &[u8]) -> Tag {
        let mut keyed = self.0.clone();
        keyed.update(value);
        let digest = keyed.finish();
        let (words, _) = digest.as_ref().as_chunks();
        let mut tag = [0; 2];
        for (to, from) in tag.iter_mut().zip(words) {
            *to = u64::from_ne_bytes(*from);
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
    fn a_tag_is_half_of_a_whole_digest() {
        let digest = digest::digest(&SHA256, &[&[0; BLOCK][..], b"Basic"].concat());
        let mut keyed = digest::Context::new(&SHA256);
        keyed.update(&[0; BLOCK]);
        let tag = Key(keyed).tag(b"Basic").0.map(u64::to_ne_bytes).concat();
        assert_eq!(tag, digest.as_ref()[..digest::SHA256_OUTPUT_LEN / 2]);
        assert_eq!(SHA256.block_len(), BLOCK);
    }
}
