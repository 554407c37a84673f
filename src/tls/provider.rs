//! The cryptography of all TLS here: ring's, in the agent's own order of preference.

use std::sync::Arc;

use rustls::crypto::ring::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384,
};
use rustls::crypto::ring::{ALL_KX_GROUPS, sign};
use rustls::crypto::{
    CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms,
};
use rustls::pki_types::{PrivateKeyDer, SignatureVerificationAlgorithm};
use rustls::sign::SigningKey;
use rustls::{SignatureScheme, SupportedCipherSuite};
use webpki::ring::{
    ECDSA_P256_SHA256, ECDSA_P256_SHA384, ECDSA_P384_SHA256, ECDSA_P384_SHA384, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
    RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    RSA_PSS_2048_8192_SHA256_LEGACY_KEY, RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
};

/// AES with 128 bits first: as strong as the curves that agree on its key, every TLS 1.3 client
/// has it (RFC 8446 §9.1), and its SHA-256 is an instruction of most processors where SHA-384 is
/// none: a handshake with it costs four fifths, a gigabyte nine tenths.
const AES: [SupportedCipherSuite; 6] = [
    TLS13_AES_128_GCM_SHA256,
    TLS13_AES_256_GCM_SHA384,
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
];

/// What servers and clients here can do. It differs from rustls's own in the suites alone; naming
/// that one would link its suites, too.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: cipher_suites(),
        kx_groups: ALL_KX_GROUPS.to_vec(),
        signature_verification_algorithms: SIGNATURES,
        secure_random: &Ring,
        key_provider: &Ring,
    })
}

/// ChaCha20-Poly1305 takes 50 KB of code on x86_64, and serves nobody there: its processors have
/// had AES instructions for longer than TLS 1.3 has been.
#[cfg(target_arch = "x86_64")]
fn cipher_suites() -> Vec<SupportedCipherSuite> {
    AES.to_vec()
}

/// ChaCha20-Poly1305 comes first where the processor has no AES instructions.
#[cfg(not(target_arch = "x86_64"))]
fn cipher_suites() -> Vec<SupportedCipherSuite> {
    use rustls::crypto::ring::cipher_suite::{
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        TLS13_CHACHA20_POLY1305_SHA256,
    };
    let chacha = [
        TLS13_CHACHA20_POLY1305_SHA256,
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    match has_aes_instructions() {
        true => [&AES[..], &chacha].concat(),
        false => [&chacha[..], &AES].concat(),
    }
}

#[cfg(target_arch = "aarch64")]
fn has_aes_instructions() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes_instructions() -> bool {
    false
}

/// ring's random numbers and keys.
#[derive(Debug)]
struct Ring;

impl SecureRandom for Ring {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        let system = ring::rand::SystemRandom::new();
        ring::rand::SecureRandom::fill(&system, bytes).map_err(|_| GetRandomFailed)
    }
}

impl KeyProvider for Ring {
    fn load_private_key(
        &self,
        key: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        sign::any_supported_type(&key)
    }
}

/// The signatures that certificates and handshakes may carry: all that webpki knows by ring.
static SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        ECDSA_P256_SHA256,
        ECDSA_P256_SHA384,
        ECDSA_P384_SHA256,
        ECDSA_P384_SHA384,
        ED25519,
        RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_2048_8192_SHA384,
        RSA_PKCS1_2048_8192_SHA512,
        RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
        RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
        RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    ],
    mapping: MAPPING,
};

/// What each scheme of a handshake may mean, the likeliest first. TLS 1.2's do not fix the curve.
const MAPPING: &[(SignatureScheme, &[&dyn SignatureVerificationAlgorithm])] = &[
    (
        SignatureScheme::ECDSA_NISTP384_SHA384,
        &[ECDSA_P384_SHA384, ECDSA_P256_SHA384],
    ),
    (
        SignatureScheme::ECDSA_NISTP256_SHA256,
        &[ECDSA_P256_SHA256, ECDSA_P384_SHA256],
    ),
    (SignatureScheme::ED25519, &[ED25519]),
    (
        SignatureScheme::RSA_PSS_SHA512,
        &[RSA_PSS_2048_8192_SHA512_LEGACY_KEY],
    ),
    (
        SignatureScheme::RSA_PSS_SHA384,
        &[RSA_PSS_2048_8192_SHA384_LEGACY_KEY],
    ),
    (
        SignatureScheme::RSA_PSS_SHA256,
        &[RSA_PSS_2048_8192_SHA256_LEGACY_KEY],
    ),
    (
        SignatureScheme::RSA_PKCS1_SHA512,
        &[RSA_PKCS1_2048_8192_SHA512],
    ),
    (
        SignatureScheme::RSA_PKCS1_SHA384,
        &[RSA_PKCS1_2048_8192_SHA384],
    ),
    (
        SignatureScheme::RSA_PKCS1_SHA256,
        &[RSA_PKCS1_2048_8192_SHA256],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// But for the suites and their order, the provider is rustls's own.
    #[test]
    fn nothing_of_rustls_own_provider_is_missing() {
        let (ours, theirs) = (provider(), rustls::crypto::ring::default_provider());
        let ours_verify = ours.signature_verification_algorithms;
        let theirs_verify = theirs.signature_verification_algorithms;
        assert_eq!(
            ours_verify.supported_schemes(),
            theirs_verify.supported_schemes()
        );
        let ids = |algorithms: &[&dyn SignatureVerificationAlgorithm]| {
            let ids = algorithms
                .iter()
                .map(|known| (known.public_key_alg_id(), known.signature_alg_id()));
            ids.collect::<Vec<_>>()
        };
        assert_eq!(ids(ours_verify.all), ids(theirs_verify.all));
        for ((_, ours), (_, theirs)) in ours_verify.mapping.iter().zip(theirs_verify.mapping) {
            assert_eq!(ids(ours), ids(theirs));
        }
        let groups = |groups: &[&dyn rustls::crypto::SupportedKxGroup]| {
            groups.iter().map(|group| group.name()).collect::<Vec<_>>()
        };
        assert_eq!(groups(&ours.kx_groups), groups(&theirs.kx_groups));
        let chacha = |suite: &&SupportedCipherSuite| format!("{suite:?}").contains("CHACHA20");
        for suite in theirs.cipher_suites.iter().filter(|suite| !chacha(suite)) {
            assert!(ours.cipher_suites.contains(suite), "{suite:?}");
        }
    }
}
