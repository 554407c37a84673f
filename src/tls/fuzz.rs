//! Harnesses for certificates, keys and the host's addresses (see `fuzzing`).
#![allow(clippy::unwrap_used, reason = "a harness fails by a panic")]

use std::path::Path;

use super::addresses::{fib_trie_addresses, if_inet6_addresses};
use super::client_name::client_name;
use super::der::{Reader, element, tag};
use super::files::PemFile;
use super::keyform::{KeyForm, certificate_complaint, shell_word};
use super::pkcs8::with_public_key;
use super::x509::Certificate;

/// DER: elements are written as they were read (but for lengths that are longer than needed), what is
/// cut short is no certificate, and a name is one that a log and a policy may carry.
pub fn certificate(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let mut left = bytes.len();
    while let Some(read) = reader.next() {
        assert!(left >= read.whole.len() && read.whole.ends_with(read.contents));
        left -= read.whole.len();
        let written = element(read.tag, &[read.contents]);
        assert!(written.len() <= read.whole.len());
        let again = Reader::new(&written).next().unwrap();
        assert_eq!((again.tag, again.contents), (read.tag, read.contents));
    }
    if let Some(certificate) = Certificate::parse(bytes) {
        for end in [bytes.len() - 1, bytes.len() / 2] {
            assert!(Certificate::parse(&bytes[..end]).is_none());
        }
        let _ = (certificate.may_issue(), certificate.not_before());
        assert!(
            Reader::new(certificate.subject)
                .expect(tag::SEQUENCE)
                .is_some()
        );
    }
    if let Some(name) = client_name(bytes) {
        let usual = |c: char| c.is_alphanumeric() || "-._@+%".contains(c);
        assert!(!name.is_empty() && name.chars().all(usual), "{name:?}");
    }
}

/// A file that should hold a key or certificates: taken, or refused with a command that a shell reads
/// as it is meant.
pub fn private_key(bytes: &[u8]) {
    let path = String::from_utf8_lossy(bytes.get(..40).unwrap_or(bytes));
    assert_eq!(words(&shell_word(&path)), [&*path]);
    let _ = (
        KeyForm::of(bytes).complaint(&path),
        certificate_complaint(bytes, &path),
    );
    let file = PemFile::of("tls_key", Path::new("key.pem"), bytes);
    let _ = (file.certificates().is_ok(), file.revocation_lists().is_ok());
    let key = file.key();
    if let Ok(key) = file.pkcs8_key() {
        assert_eq!(KeyForm::of(bytes), KeyForm::Pkcs8);
        repair(key.secret_der());
    }
    if let Ok(key) = key {
        repair(key.secret_der());
    }
    repair(bytes);
}

/// A key that was given its public half has it, and needs no other.
fn repair(key: &[u8]) {
    if let Some(whole) = with_public_key(key, b"\x04public") {
        assert!(with_public_key(&whole, b"\x04public").is_none());
        assert!(whole.windows(7).any(|part| part == b"\x04public"));
    }
}

/// What a shell makes of words in single quotes or none.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted) = (vec![String::new()], false);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let word = words.last_mut().unwrap();
        match character {
            '\'' => quoted = !quoted,
            _ if quoted => word.push(character),
            '\\' => word.extend(characters.next()),
            c if c.is_ascii_whitespace() || "$`\"&|;<>()*?[]{}~#!".contains(c) => {
                words.push(String::new());
            }
            _ => word.push(character),
        }
    }
    assert!(!quoted);
    words
}

/// `fib_trie` and `if_inet6`: no more addresses than lines.
pub fn host_addresses(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().count();
    assert!(fib_trie_addresses(&text).iter().count() <= lines);
    assert!(if_inet6_addresses(&text, Path::new("/nowhere")).count() <= lines);
}
