//! One repair of private keys: Java writes EC keys without their public half.
//!
//! That half is optional in the standard (RFC 5915 §3), *ring* asks for it, and `openssl pkcs8`
//! leaves it out again; the certificate has it. `build.rs` includes this file too.

use super::der::{Reader, element, tag};

/// The content octets of id-ecPublicKey, 1.2.840.10045.2.1 (RFC 5480 §2.1.1).
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// The same key with `public_key` in it, where `pkcs8` is an EC key that lacks it; `None` for any
/// other key. Whether the two halves belong together is for the reader of the result to check.
pub fn with_public_key(pkcs8: &[u8], public_key: &[u8]) -> Option<Vec<u8>> {
    let mut key_info = Reader::new(Reader::new(pkcs8).expect(tag::SEQUENCE)?.contents);
    let version = key_info.expect(tag::INTEGER)?.whole;
    let algorithm = key_info.expect(tag::SEQUENCE)?;
    let key = key_info.expect(tag::OCTET_STRING)?.contents;
    if Reader::new(algorithm.contents).expect(tag::OID)?.contents != EC_PUBLIC_KEY {
        return None;
    }
    let mut fields = Reader::new(Reader::new(key).expect(tag::SEQUENCE)?.contents);
    let key_version = fields.expect(tag::INTEGER)?.whole;
    let secret = fields.expect(tag::OCTET_STRING)?.whole;
    fields.take_if(tag::CONTEXT_0);
    if fields.take_if(tag::CONTEXT_1).is_some() {
        return None;
    }
    let public = element(
        tag::CONTEXT_1,
        &[&element(tag::BIT_STRING, &[&[0], public_key])],
    );
    let key = element(tag::SEQUENCE, &[key_version, secret, &public]);
    Some(element(
        tag::SEQUENCE,
        &[
            version,
            algorithm.whole,
            &element(tag::OCTET_STRING, &[&key]),
        ],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_complete_or_no_ec_key_or_nothing_at_all_is_left_alone() {
        let complete = crate::tls::root::embedded_key();
        assert_eq!(with_public_key(complete, b"point"), None);
        for end in 0..complete.len() {
            assert_eq!(with_public_key(&complete[..end], b"point"), None);
        }
        let ed25519 = b"\x30\x0e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x02\x04\x00";
        assert_eq!(with_public_key(ed25519, b"point"), None);
    }
}
