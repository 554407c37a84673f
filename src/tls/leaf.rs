//! The server's certificate: what it says, in DER, and the check that clients will accept it.
//!
//! It is written here, field by field (RFC 5280 §4.1), since two of them must be the root's own to
//! the last byte: the issuer (Go compares raw names, and a certificate library that parses and
//! writes names again loses repeated attributes and rare string types) and the validity. That also
//! keeps an ASN.1 parser and writer, a calendar and their dependencies out of the binary.

use std::net::IpAddr;

use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

use super::clock::unix_time;
use super::der::{element, tag};
use super::error::TlsError;
use super::root::Authority;
use super::subjects::Subjects;
use super::x509::{Certificate, public_key};

/// Object identifiers, by their content octets.
mod oid {
    /// commonName, 2.5.4.3.
    pub const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    /// organizationName, 2.5.4.10.
    pub const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
    /// subjectKeyIdentifier, 2.5.29.14.
    pub const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
    /// keyUsage, 2.5.29.15.
    pub const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
    /// subjectAltName, 2.5.29.17.
    pub const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
    /// basicConstraints, 2.5.29.19.
    pub const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
    /// authorityKeyIdentifier, 2.5.29.35.
    pub const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];
    /// extKeyUsage, 2.5.29.37.
    pub const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
    /// id-kp-serverAuth, 1.3.6.1.5.5.7.3.1.
    pub const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
}

/// A certificate for `subjects` and the key of `key_info` (a SubjectPublicKeyInfo), signed by
/// `root` and valid as long as it.
///
/// # Errors
/// Clients that trust the root would not accept it (its key is another's, its name constraints
/// leave out one of the names); the kernel gives no random serial number.
pub(super) fn issue(
    root: &Authority,
    subjects: &Subjects,
    key_info: &[u8],
) -> Result<CertificateDer<'static>, TlsError> {
    let issuer = Certificate::parse(&root.certificate)
        .ok_or_else(|| root.fault("its certificate cannot be read".to_owned()))?;
    let algorithm = element(tag::SEQUENCE, &[root.algorithm()]);
    let to_be_signed = element(
        tag::SEQUENCE,
        &[
            &element(tag::CONTEXT_0, &[&element(tag::INTEGER, &[&[VERSION_3]])]),
            &element(tag::INTEGER, &[&random_serial()?]),
            &algorithm,
            issuer.subject,
            issuer.validity,
            &subject(&subjects.host),
            key_info,
            &extensions(subjects, key_info, issuer.key_id),
        ],
    );
    let signature = root.sign(&to_be_signed)?;
    let certificate = element(
        tag::SEQUENCE,
        &[
            &to_be_signed,
            &algorithm,
            &element(tag::BIT_STRING, &[&[0], &signature]),
        ],
    );
    let certificate = CertificateDer::from(certificate);
    verify(root, issuer.not_before(), &certificate)?;
    Ok(certificate)
}

/// The number of version 3, which counts from 0.
const VERSION_3: u8 = 2;

/// A serial number: positive, of 16 octets (RFC 5280 §4.1.2.2 allows 20), random.
fn random_serial() -> Result<[u8; 16], TlsError> {
    let mut serial = [0; 16];
    SystemRandom::new()
        .fill(&mut serial)
        .map_err(|_| TlsError::Random)?;
    // The sign bit clear, and the next one set: the first octet must not be a superfluous zero.
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

/// The subject's name. The organization keeps it apart from a root that is named like the host:
/// such a certificate would be taken for a self-signed one.
fn subject(host: &str) -> Vec<u8> {
    /// ub-common-name (RFC 5280, appendix A.1).
    const MAX_COMMON_NAME: usize = 64;
    let common_name: String = host.chars().take(MAX_COMMON_NAME).collect();
    let attribute = |id: &[u8], text: &str| {
        let id = element(tag::OID, &[id]);
        let text = element(tag::UTF8_STRING, &[text.as_bytes()]);
        element(tag::SET, &[&element(tag::SEQUENCE, &[&id, &text])])
    };
    element(
        tag::SEQUENCE,
        &[
            &attribute(oid::ORGANIZATION, "Haven agent"),
            &attribute(oid::COMMON_NAME, &common_name),
        ],
    )
}

fn extensions(subjects: &Subjects, key_info: &[u8], issuer_key_id: Option<&[u8]>) -> Vec<u8> {
    /// digitalSignature alone: bit 0 of a BIT STRING with 7 unused bits.
    const DIGITAL_SIGNATURE: &[u8] = &[7, 0x80];
    let extended_key_usage = element(tag::SEQUENCE, &[&element(tag::OID, &[oid::SERVER_AUTH])]);
    let mut list = vec![
        extension(
            oid::BASIC_CONSTRAINTS,
            Critical::Yes,
            &element(tag::SEQUENCE, &[]),
        ),
        extension(
            oid::KEY_USAGE,
            Critical::Yes,
            &element(tag::BIT_STRING, &[DIGITAL_SIGNATURE]),
        ),
        extension(oid::EXTENDED_KEY_USAGE, Critical::No, &extended_key_usage),
        extension(oid::SUBJECT_ALT_NAME, Critical::No, &alternatives(subjects)),
        extension(
            oid::SUBJECT_KEY_ID,
            Critical::No,
            &element(tag::OCTET_STRING, &[&key_id(key_info)]),
        ),
    ];
    // A root without an identifier is found by its name alone.
    if let Some(id) = issuer_key_id {
        let id = element(tag::IMPLICIT_0, &[id]);
        let value = element(tag::SEQUENCE, &[&id]);
        list.push(extension(oid::AUTHORITY_KEY_ID, Critical::No, &value));
    }
    let parts: Vec<&[u8]> = list.iter().map(Vec::as_slice).collect();
    element(tag::CONTEXT_3, &[&element(tag::SEQUENCE, &parts)])
}

/// Whether a client that does not know an extension must refuse the certificate.
enum Critical {
    Yes,
    No,
}

fn extension(id: &[u8], critical: Critical, value: &[u8]) -> Vec<u8> {
    let id = element(tag::OID, &[id]);
    let value = element(tag::OCTET_STRING, &[value]);
    match critical {
        Critical::Yes => {
            let yes = element(tag::BOOLEAN, &[&[0xff]]);
            element(tag::SEQUENCE, &[&id, &yes, &value])
        }
        Critical::No => element(tag::SEQUENCE, &[&id, &value]),
    }
}

/// GeneralNames: dNSName is `[2]`, iPAddress `[7]` (RFC 5280 §4.2.1.6).
fn alternatives(subjects: &Subjects) -> Vec<u8> {
    let names = subjects
        .names
        .iter()
        .map(|name| element(tag::IMPLICIT_2, &[name.as_bytes()]));
    let addresses = subjects.addresses.iter().map(|address| match address {
        IpAddr::V4(v4) => element(tag::IMPLICIT_7, &[&v4.octets()]),
        IpAddr::V6(v6) => element(tag::IMPLICIT_7, &[&v6.octets()]),
    });
    let all: Vec<Vec<u8>> = names.chain(addresses).collect();
    let parts: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
    element(tag::SEQUENCE, &parts)
}

/// The key's identifier: the first 160 bits of its SHA-256 (RFC 7093 §2).
fn key_id(key_info: &[u8]) -> Vec<u8> {
    const LENGTH: usize = 20;
    let hash = digest::digest(&digest::SHA256, public_key(key_info).unwrap_or(key_info));
    hash.as_ref().iter().copied().take(LENGTH).collect()
}

/// Judges what was signed as a client does that trusts the root and nothing else, at the moment
/// when both begin to be valid: this node's clock may stand anywhere.
fn verify(
    root: &Authority,
    not_before: Option<i64>,
    certificate: &CertificateDer<'_>,
) -> Result<(), TlsError> {
    let unusable = |error: &dyn std::fmt::Display| {
        root.fault(format!("clients would refuse what it signs: {error}"))
    };
    let mut trusted = RootCertStore::empty();
    trusted
        .add(root.certificate.clone())
        .map_err(|error| unusable(&error))?;
    let not_before =
        not_before.ok_or_else(|| root.fault("its validity cannot be read".to_owned()))?;
    let localhost = ServerName::try_from("localhost").map_err(|error| unusable(&error))?;
    let algorithms = super::provider::provider()
        .signature_verification_algorithms
        .all;
    let now = unix_time(not_before);
    ParsedCertificate::try_from(certificate)
        .and_then(|leaf| {
            verify_server_cert_signed_by_trust_anchor(&leaf, &trusted, &[], now, algorithms)?;
            verify_server_name(&leaf, &localhost)
        })
        .map_err(|error| unusable(&error))
}
