//! The name of a client's certificate, as policies and the log write it.
//!
//! It is the first e-mail address (rfc822Name) or DNS name of the subject's alternative names;
//! where there is none, the subject's common name, if it has exactly one. Letters, digits and
//! `-._@+` stand for themselves, the letters of a DNS name in lower case; each byte (UTF-8) of any
//! other character is written `%XX`. So two names are never written alike, and none can forge a
//! field of a log line or a section of a file.

use std::fmt::Write as _;

use super::der::{Element, Reader, tag};
use super::x509::Certificate;

/// The longest name, in bytes as it stands in the certificate.
const MAX_NAME: usize = 255;

/// commonName, 2.5.4.3, by the content octets of its OID.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The name in a certificate (DER) that has been verified; `None` where there is none that can be
/// used.
pub(super) fn client_name(der: &[u8]) -> Option<String> {
    let certificate = Certificate::parse(der)?;
    if let Some(name) = certificate.alternatives.and_then(first_alternative) {
        let text = text(name.contents)?;
        return Some(match name.tag {
            tag::IMPLICIT_2 => written(&text.to_ascii_lowercase()),
            _ => written(text),
        });
    }
    common_name(certificate.subject).map(written)
}

/// The first of the GeneralNames (RFC 5280 §4.2.1.6) that is an e-mail address or a DNS name.
fn first_alternative(names: &[u8]) -> Option<Element<'_>> {
    let mut names = Reader::new(Reader::new(names).expect(tag::SEQUENCE)?.contents);
    std::iter::from_fn(|| names.next())
        .find(|name| matches!(name.tag, tag::IMPLICIT_1 | tag::IMPLICIT_2))
}

/// The one common name of a Name (RFC 5280 §4.1.2.4): of several, none is taken.
fn common_name(subject: &[u8]) -> Option<&str> {
    let mut sets = Reader::new(Reader::new(subject).expect(tag::SEQUENCE)?.contents);
    let mut found = None;
    while !sets.is_empty() {
        let mut attributes = Reader::new(sets.expect(tag::SET)?.contents);
        while !attributes.is_empty() {
            let mut attribute = Reader::new(attributes.expect(tag::SEQUENCE)?.contents);
            if attribute.expect(tag::OID)?.contents != COMMON_NAME {
                continue;
            }
            if found.replace(attribute.next()?).is_some() {
                return None;
            }
        }
    }
    let name = found?;
    let readable = matches!(
        name.tag,
        tag::UTF8_STRING | tag::PRINTABLE_STRING | tag::IA5_STRING
    );
    text(name.contents).filter(|_| readable)
}

fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (1..=MAX_NAME).contains(&text.len()).then_some(text)
}

fn written(name: &str) -> String {
    let mut written = String::new();
    for character in name.chars() {
        if character.is_alphanumeric() || "-._@+".contains(character) {
            written.push(character);
            continue;
        }
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            // Writing to a string cannot fail.
            let _ = write!(written, "%{byte:02X}");
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::der::element;

    fn name(attributes: &[(&[u8], u8, &[u8])]) -> Vec<u8> {
        let sets: Vec<Vec<u8>> = attributes
            .iter()
            .map(|(id, kind, text)| {
                let (id, text) = (element(tag::OID, &[id]), element(*kind, &[text]));
                element(tag::SET, &[&element(tag::SEQUENCE, &[&id, &text])])
            })
            .collect();
        let parts: Vec<&[u8]> = sets.iter().map(Vec::as_slice).collect();
        element(tag::SEQUENCE, &parts)
    }

    fn made(common_names: &[&str], alternatives: Vec<rcgen::SanType>) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for text in common_names {
            params
                .distinguished_name
                .push(rcgen::DnType::CommonName, *text);
        }
        params.subject_alt_names = alternatives;
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn an_alternative_name_comes_before_the_common_name() {
        let email = rcgen::SanType::Rfc822Name("a.b@Example.org".try_into().unwrap());
        let dns = rcgen::SanType::DnsName("CI.Example".try_into().unwrap());
        let ip = rcgen::SanType::IpAddress("192.0.2.1".parse().unwrap());
        for (alternatives, expected) in [
            (vec![], "alice"),
            (vec![ip.clone()], "alice"),
            (vec![ip, dns.clone(), email.clone()], "ci.example"),
            (vec![email, dns], "a.b@Example.org"),
        ] {
            assert_eq!(
                client_name(&made(&["alice"], alternatives)).as_deref(),
                Some(expected)
            );
        }
    }

    #[test]
    fn what_names_nobody_or_two_is_no_name() {
        assert_eq!(client_name(&made(&[], vec![])), None);
        assert_eq!(client_name(b"\x30\x00"), None);
        let utf8 = tag::UTF8_STRING;
        let alone = name(&[(COMMON_NAME, utf8, b"alice")]);
        assert_eq!(common_name(&alone), Some("alice"));
        let two = name(&[(COMMON_NAME, utf8, b"alice"), (COMMON_NAME, utf8, b"bob")]);
        assert_eq!(common_name(&two), None);
        // A BMPString's bytes are not what they seem to be.
        assert_eq!(common_name(&name(&[(COMMON_NAME, 0x1e, b"alice")])), None);
        assert_eq!(common_name(&name(&[(COMMON_NAME, utf8, b"\xff")])), None);
        assert_eq!(common_name(&name(&[(COMMON_NAME, utf8, b"")])), None);
        let long = [b'a'; MAX_NAME + 1];
        assert_eq!(common_name(&name(&[(COMMON_NAME, utf8, &long)])), None);
        for end in 0..alone.len() {
            assert_eq!(common_name(&alone[..end]), None, "at {end}");
        }
    }

    #[test]
    fn nothing_in_a_name_looks_like_something_else() {
        assert_eq!(written("Jürgen Doe"), "Jürgen%20Doe");
        assert_eq!(
            written("a\" \"b%20:*[]#\0\u{202e}"),
            "a%22%20%22b%2520%3A%2A%5B%5D%23%00%E2%80%AE"
        );
        assert_eq!(written("a-b._c+d@e.f"), "a-b._c+d@e.f");
    }
}
