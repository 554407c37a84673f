//! The root that signs the server's certificate: the embedded one or the operator's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{AlgorithmIdentifier, CertificateDer, PrivatePkcs8KeyDer, alg_id};
use rustls::sign::{Signer, SigningKey};

use super::error::TlsError;
use super::files::PemFile;
use super::x509::{Certificate, public_key};
use super::{Settings, both, pkcs8};

/// The certificate that `build.rs` made or was given.
const EMBEDDED_CERTIFICATE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/root_cert.der"));
/// Its key. Whoever has the binary has it too: a published one's protects nothing.
const EMBEDDED_KEY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/root_key.der"));

/// A root certificate, for clients to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The certificate in PEM, with a line feed at its end.
    pub pem: String,
    /// The SHA-256 of its DER, as `AB:CD:…`: what `openssl x509 -fingerprint -sha256` shows.
    pub sha256: String,
}

/// The certificate of the root that signs under these settings.
///
/// # Errors
/// `root_cert` cannot be read or holds no certificate.
pub fn root_certificate(settings: &Settings) -> Result<Root, TlsError> {
    let der = match &settings.root_cert {
        Some(path) => PemFile::read("root_cert", path)?.first_certificate()?,
        None => CertificateDer::from(EMBEDDED_CERTIFICATE),
    };
    Ok(Root {
        pem: pem(&der),
        sha256: fingerprint(&der),
    })
}

/// A root with its key.
#[derive(Debug)]
pub(super) struct Authority {
    /// How errors name it.
    pub name: String,
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    signer: Box<dyn Signer>,
    algorithm: AlgorithmIdentifier,
}

impl Authority {
    /// The root of `root_cert` and `root_key`, or the embedded one.
    ///
    /// # Errors
    /// A file cannot be read or used; the certificate is no authority's; the key is another's.
    pub(super) fn load(settings: &Settings) -> Result<Self, TlsError> {
        let given = both(
            ("root_cert", settings.root_cert.as_deref()),
            ("root_key", settings.root_key.as_deref()),
        )?;
        match given {
            Some((cert, key)) => Authority::given(
                &PemFile::read("root_cert", cert)?,
                &PemFile::read("root_key", key)?,
            ),
            None => Authority::embedded(),
        }
    }

    /// The embedded root, which `build.rs` has judged.
    fn embedded() -> Result<Self, TlsError> {
        let name = "the built-in root".to_owned();
        let key = any_supported_type(&PrivatePkcs8KeyDer::from(EMBEDDED_KEY).into())?;
        Authority::new(name, CertificateDer::from(EMBEDDED_CERTIFICATE), &*key)
    }

    /// The root of two files.
    fn given(cert: &PemFile<'_>, key: &PemFile<'_>) -> Result<Self, TlsError> {
        let certificate = cert.first_certificate()?;
        let parsed = Certificate::parse(&certificate)
            .ok_or_else(|| cert.fault("holds a certificate that cannot be read".to_owned()))?;
        parsed
            .may_issue()
            .map_err(|why| cert.fault(why.to_owned()))?;
        let secret = key.pkcs8_key()?;
        let secret = match pkcs8::with_public_key(secret.secret_der(), parsed.public_key) {
            Some(completed) => PrivatePkcs8KeyDer::from(completed).into(),
            None => secret,
        };
        let signing_key = any_supported_type(&secret)
            .map_err(|_| key.fault(format!("holds a key that cannot be used ({KEY_KINDS})")))?;
        let info = signing_key.public_key();
        if info.as_deref().and_then(public_key) != Some(parsed.public_key) {
            return Err(TlsError::Mismatch {
                cert: cert.name(),
                key: key.name(),
            });
        }
        Authority::new(cert.name(), certificate.clone(), &*signing_key)
    }

    fn new(
        name: String,
        certificate: CertificateDer<'static>,
        key: &dyn SigningKey,
    ) -> Result<Self, TlsError> {
        let signing = key.choose_scheme(&SCHEMES.map(|(scheme, _)| scheme));
        let signing = signing.and_then(|signer| {
            let known = SCHEMES
                .iter()
                .find(|(scheme, _)| *scheme == signer.scheme())?;
            Some((signer, known.1))
        });
        let Some((signer, algorithm)) = signing else {
            let why = format!("its key is of another kind ({KEY_KINDS})");
            return Err(TlsError::Root { root: name, why });
        };
        Ok(Authority {
            name,
            certificate,
            signer,
            algorithm,
        })
    }

    /// How it signs, as a certificate says it: the content octets of an AlgorithmIdentifier.
    pub(super) fn algorithm(&self) -> &[u8] {
        self.algorithm.as_ref()
    }

    /// Its signature of `message`.
    ///
    /// # Errors
    /// The key refuses, as one too short for the digest does.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TlsError> {
        Ok(self.signer.sign(message)?)
    }

    /// That it cannot sign for a reason found in its certificate.
    pub(super) fn fault(&self, why: String) -> TlsError {
        TlsError::Root {
            root: self.name.clone(),
            why,
        }
    }
}

/// What a root's key may be, for errors.
const KEY_KINDS: &str = "RSA of 2048 to 4096 bits, P-256, P-384 and Ed25519 are supported";

/// The signatures that a root makes: the digest follows from the key.
const SCHEMES: [(SignatureScheme, AlgorithmIdentifier); 4] = [
    (SignatureScheme::ECDSA_NISTP256_SHA256, alg_id::ECDSA_SHA256),
    (SignatureScheme::ECDSA_NISTP384_SHA384, alg_id::ECDSA_SHA384),
    (SignatureScheme::ED25519, alg_id::ED25519),
    (SignatureScheme::RSA_PKCS1_SHA256, alg_id::RSA_PKCS1_SHA256),
];

fn pem(der: &[u8]) -> String {
    /// Characters of a line (RFC 7468 §2).
    const LINE: usize = 64;
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut base64 = STANDARD.encode(der);
    while !base64.is_empty() {
        let rest = base64.split_off(base64.len().min(LINE));
        text.push_str(&base64);
        text.push('\n');
        base64 = rest;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

fn fingerprint(der: &[u8]) -> String {
    let octets: Vec<String> = digest::digest(&digest::SHA256, der)
        .as_ref()
        .iter()
        .map(|octet| format!("{octet:02X}"))
        .collect();
    octets.join(":")
}

/// The embedded certificate, for tests of other files.
#[cfg(test)]
pub(super) fn embedded_certificate() -> &'static [u8] {
    EMBEDDED_CERTIFICATE
}

/// The embedded key, for tests of other files.
#[cfg(test)]
pub(super) fn embedded_key() -> &'static [u8] {
    EMBEDDED_KEY
}
