//! Harnesses for credentials and users' files (see `fuzzing`).
#![allow(clippy::unwrap_used, reason = "a harness fails by a panic")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::basic::Credentials;
use super::{Users, parse_htpasswd};

/// The value of `Authorization`: no two spellings of the base64 are the same credentials.
pub fn basic(bytes: &[u8]) {
    let Some(credentials) = Credentials::parse(bytes) else {
        return;
    };
    let (name, password) = (credentials.name(), credentials.password());
    assert!(!name.contains(':') && !name.contains(char::is_control));
    let password = std::str::from_utf8(password).unwrap();
    assert!(!password.contains(char::is_control));
    let token = STANDARD.encode([name, ":", password].concat());
    assert!(bytes.ends_with(token.as_bytes()));
    let again = Credentials::parse(format!("Basic {token}").as_bytes()).unwrap();
    assert_eq!(
        (again.name(), again.password()),
        (name, password.as_bytes())
    );
    let scheme = &bytes[..bytes.len() - token.len()];
    assert!(scheme.trim_ascii_end().eq_ignore_ascii_case(b"Basic"));
}

/// A users' file in htpasswd's format: what it gives are users, each once.
pub fn htpasswd(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let read = match parse_htpasswd(text) {
        Ok(read) => read,
        Err((line, error)) => {
            assert!((1..=text.lines().count().max(1)).contains(&line));
            assert!(!error.to_string().contains(char::is_control));
            return;
        }
    };
    let mut users = Users::open();
    let mut written = String::new();
    for (name, hash) in &read {
        users.add(name, hash).unwrap();
        assert!(users.has(name) && super::users::cost(hash) <= super::MAX_COST);
        written += &format!("{name}:{hash}\n");
    }
    assert!(!users.is_open());
    assert_eq!(parse_htpasswd(&written).unwrap(), read);
}
