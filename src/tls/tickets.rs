//! Session tickets without a store: the state travels with the client, sealed.
//!
//! rustls brings such a ticketer, which reads the wall clock by `SystemTime::now` (it ends in 2038
//! on 32-bit targets) and keeps its key for ever once a board's clock is set back. This one counts
//! time by the monotonic clock.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;

use super::error::TlsError;

/// How long one key seals tickets; it opens them as long again.
const KEY_LIFETIME: Duration = Duration::from_secs(6 * 60 * 60);

/// Octets of an AES-256 key.
const KEY_LEN: usize = 32;

/// The largest ticket that is made and opened: a session holds the client's certificates, of which
/// a long chain of RSA has 8 KiB. A client with more does a whole handshake each time.
const MAX_TICKET: usize = 16 * 1024;

/// Seals and opens tickets with a key that changes.
#[derive(Debug)]
pub(super) struct Tickets {
    keys: Mutex<Keys>,
}

#[derive(Debug)]
struct Keys {
    current: LessSafeKey,
    previous: Option<LessSafeKey>,
    since: Instant,
}

impl Tickets {
    /// With a fresh key.
    ///
    /// # Errors
    /// The kernel gives no random numbers.
    pub(super) fn new() -> Result<Self, TlsError> {
        let current = random_key().ok_or(TlsError::Random)?;
        Ok(Tickets {
            keys: Mutex::new(Keys {
                current,
                previous: None,
                since: Instant::now(),
            }),
        })
    }

    /// Does `work` with keys that are not too old at `now`; `None` where a new one is due and
    /// cannot be had.
    fn with_keys<T>(&self, now: Instant, work: impl FnOnce(&Keys) -> Option<T>) -> Option<T> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.saturating_duration_since(keys.since);
        if age >= KEY_LIFETIME {
            let retired = std::mem::replace(&mut keys.current, random_key()?);
            // A key that sealed nothing for a whole lifetime has no ticket left to open.
            keys.previous = (age < 2 * KEY_LIFETIME).then_some(retired);
            keys.since = now;
        }
        work(&keys)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        KEY_LIFETIME.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.with_keys(Instant::now(), |keys| seal(&keys.current, plain))
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.with_keys(Instant::now(), |keys| {
            open(&keys.current, cipher)
                .or_else(|| keys.previous.as_ref().and_then(|key| open(key, cipher)))
        })
    }
}

fn random_key() -> Option<LessSafeKey> {
    let mut key = [0; KEY_LEN];
    SystemRandom::new().fill(&mut key).ok()?;
    let key = UnboundKey::new(&AES_256_GCM, &key).ok()?;
    Some(LessSafeKey::new(key))
}

/// A random nonce, then the sealed text and its tag. 96 random bits do not repeat among the
/// tickets of six hours.
fn seal(key: &LessSafeKey, plain: &[u8]) -> Option<Vec<u8>> {
    if NONCE_LEN + plain.len() + AES_256_GCM.tag_len() > MAX_TICKET {
        return None;
    }
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).ok()?;
    let mut sealed = plain.to_vec();
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::empty(),
        &mut sealed,
    )
    .ok()?;
    Some([&nonce[..], &sealed].concat())
}

fn open(key: &LessSafeKey, ticket: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = ticket
        .split_first_chunk::<NONCE_LEN>()
        .filter(|_| ticket.len() <= MAX_TICKET)?;
    let mut text = sealed.to_vec();
    let plain = key
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::empty(),
            &mut text,
        )
        .ok()?;
    Some(plain.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_until_its_key_is_gone() {
        let tickets = Tickets::new().unwrap();
        let start = Instant::now();
        let at = |lifetimes: f64| start + KEY_LIFETIME.mul_f64(lifetimes);
        let sealed = tickets.encrypt(b"session").unwrap();
        assert_eq!(tickets.decrypt(&sealed).as_deref(), Some(&b"session"[..]));
        let opened = |lifetimes| {
            tickets.with_keys(at(lifetimes), |keys| {
                Some((
                    open(&keys.current, &sealed).is_some(),
                    keys.previous
                        .as_ref()
                        .is_some_and(|key| open(key, &sealed).is_some()),
                ))
            })
        };
        assert_eq!(opened(0.9), Some((true, false)));
        assert_eq!(opened(1.1), Some((false, true)));
        assert_eq!(opened(2.2), Some((false, false)));
    }

    #[test]
    fn a_key_that_is_far_too_old_opens_nothing() {
        let tickets = Tickets::new().unwrap();
        let late = Instant::now() + KEY_LIFETIME * 3;
        assert_eq!(
            tickets.with_keys(late, |keys| Some(keys.previous.is_none())),
            Some(true)
        );
    }

    #[test]
    fn what_was_not_sealed_here_is_refused() {
        let tickets = Tickets::new().unwrap();
        let mut sealed = tickets.encrypt(b"session").unwrap();
        for end in 0..sealed.len() {
            assert_eq!(tickets.decrypt(&sealed[..end]), None);
        }
        if let Some(last) = sealed.last_mut() {
            *last ^= 1;
        }
        assert_eq!(tickets.decrypt(&sealed), None);
        assert_eq!(tickets.decrypt(&vec![0; MAX_TICKET + 1]), None);
    }
}
