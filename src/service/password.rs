//! The password that `admin` gets in a new configuration: a random one, told once, or that of a file.

use super::{Error, failed, tell};
use crate::auth;
use crate::sys::fs::read_up_to;
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::File;
use std::path::Path;

/// Letters and digits that look like no other; 32, so that each is as likely.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// The characters of a new password: 120 bits.
const LENGTH: usize = 24;
/// The most that is read of the file of a password, in bytes.
const MAX_FILE: usize = 4096;

/// A new one.
///
/// # Errors
/// The system has no random numbers.
pub fn random() -> Result<String, Error> {
    let mut bytes = [0; LENGTH];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        return failed(
            "the system has no random numbers for a password: give one by --password-file"
                .to_owned(),
        );
    }
    let letter = |byte: &u8| {
        ALPHABET
            .get(usize::from(byte % 32))
            .copied()
            .map(char::from)
    };
    Ok(bytes.iter().filter_map(letter).collect())
}

/// The first line of a file.
///
/// # Errors
/// It cannot be read, or an editor has put into it what nobody would type.
pub fn of_file(path: &Path) -> Result<String, Error> {
    let read = File::open(path).and_then(|file| read_up_to(&file, MAX_FILE));
    let bytes = read
        .map_err(|error| Error::of_settings(format!("cannot read {}: {error}", path.display())))?;
    match str::from_utf8(&bytes) {
        Ok(text) if !text.starts_with('\u{feff}') => {
            Ok(text.lines().next().unwrap_or_default().to_owned())
        }
        _ => Err(Error::of_settings(format!(
            "{}:1: not UTF-8 without a byte order mark: save it as that",
            path.display()
        ))),
    }
}

/// Its hash, which is the setting.
///
/// # Errors
/// It is no password.
pub fn hash(password: &str) -> Result<String, Error> {
    auth::hash_password(password.as_bytes()).map_err(|error| Error::of_settings(error.to_string()))
}

/// Tells it, before it is the one that holds: what nobody has read would be lost.
///
/// # Errors
/// Standard output cannot be written to.
pub fn show(password: &str) -> Result<(), Error> {
    tell(format_args!(
        "admin's password, shown this once: {password}\n\
         in the manager, which has one for all its agents, set: dm.agent.client.password={password}\n\
         (several nodes share one by --password-file)"
    ))
    .map_err(|error| {
        Error::of_system(format!(
            "cannot tell admin's new password, so it was not set: {error}: give one by --password-file, or set \
             admin_password later (haven-agent hash-password)"
        ))
    })
}
