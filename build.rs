//! What is made at build time: the root certificate that the agent carries, and the build's time.
//!
//! Without a wish of the builder's it is the checkout's own root, made once (`src/tls/kept.rs`). With
//! `HAVEN_ROOT_CERT` and `HAVEN_ROOT_KEY` (PEM files) it is that one, so that a manager and its
//! agents share it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PublicKeyData, date_time_ymd,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

#[path = "src/tls/der.rs"]
#[allow(dead_code, reason = "the agent writes DER as well")]
mod der;
#[path = "src/tls/kept.rs"]
mod kept;
#[path = "src/tls/keyform.rs"]
mod keyform;
#[path = "src/tls/pkcs8.rs"]
mod pkcs8;
#[path = "src/tls/x509.rs"]
#[allow(dead_code, reason = "the agent reads more of a certificate")]
mod x509;

const CERT_VARIABLE: &str = "HAVEN_ROOT_CERT";
const KEY_VARIABLE: &str = "HAVEN_ROOT_KEY";

/// How long a root made here is valid, as the original's.
const VALID_DAYS: u32 = 3560;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn main() {
    if let Err(why) = run() {
        println!("cargo::error={why}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), String> {
    for variable in [CERT_VARIABLE, KEY_VARIABLE, "SOURCE_DATE_EPOCH"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo has not set OUT_DIR")?);
    let root = match (given(CERT_VARIABLE), given(KEY_VARIABLE)) {
        (Some(cert), Some(key)) => given_root(&cert, &key)?,
        (None, None) => kept_root(&out_dir)?,
        (Some(_), None) => return Err(alone(CERT_VARIABLE, KEY_VARIABLE)),
        (None, Some(_)) => return Err(alone(KEY_VARIABLE, CERT_VARIABLE)),
    };
    let write = |name: &str, bytes: &[u8]| {
        let path = out_dir.join(name);
        kept::write_private(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))
    };
    write("root_cert.der", &root.cert)?;
    write("root_key.der", &root.key)?;
    write("built_at.in", built_at().as_secs().to_string().as_bytes())
}

/// A variable that is set to something.
fn given(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn alone(set: &str, missing: &str) -> String {
    format!("{set} is set and {missing} is not: a root is embedded with its key, set both or none")
}

/// A root as it is embedded: certificate and key (PKCS#8) in DER.
struct Root {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// The root of the two files that the builder gave.
fn given_root(cert: &Path, key: &Path) -> Result<Root, String> {
    let cert_name = format!("{CERT_VARIABLE} ({})", cert.display());
    let key_name = format!("{KEY_VARIABLE} ({})", key.display());
    let cert_bytes = read(&cert_name, cert)?;
    let key_bytes = read(&key_name, key)?;
    if let Some(complaint) = keyform::KeyForm::of(&key_bytes).complaint(&key.to_string_lossy()) {
        return Err(format!("{key_name} {complaint}"));
    }
    parse_root(&cert_bytes, &key_bytes, &cert_name, &key_name).map_err(|why| match why {
        Fault::NoCertificate => format!(
            "{cert_name} {}",
            keyform::certificate_complaint(&cert_bytes, &cert.to_string_lossy())
        ),
        Fault::Other(why) => why,
    })
}

fn read(name: &str, path: &Path) -> Result<Vec<u8>, String> {
    println!("cargo::rerun-if-changed={}", path.display());
    fs::read(path).map_err(|error| format!("{name} cannot be read: {error}"))
}

/// The checkout's own root, made now if this is its first build.
fn kept_root(out_dir: &Path) -> Result<Root, String> {
    let variable = |name| env::var(name).map_err(|_| format!("cargo has not set {name}"));
    let path = kept::place(out_dir, &variable("HOST")?, &variable("TARGET")?);
    let bytes = kept::read_or_make(&path, make_root)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    println!("cargo::rerun-if-changed={}", path.display());
    let name = path.display().to_string();
    parse_root(&bytes, &bytes, &name, &name).map_err(|why| {
        let why = match why {
            Fault::NoCertificate => format!("{name} holds no certificate"),
            Fault::Other(why) => why,
        };
        format!("{why}; remove it, and the next build makes another root")
    })
}

/// Why two files are not a root.
enum Fault {
    NoCertificate,
    Other(String),
}

/// The first certificate of `cert` and the key of `key`, judged: an authority, and its key.
fn parse_root(cert: &[u8], key: &[u8], cert_name: &str, key_name: &str) -> Result<Root, Fault> {
    let other = |why: String| Fault::Other(why);
    let cert = CertificateDer::from_pem_slice(cert).map_err(|_| Fault::NoCertificate)?;
    let parsed = x509::Certificate::parse(&cert).ok_or_else(|| {
        other(format!(
            "{cert_name} holds a certificate that cannot be read"
        ))
    })?;
    parsed
        .may_issue()
        .map_err(|why| other(format!("{cert_name} {why}")))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
        other(format!(
            "{key_name} holds a key that cannot be read: {error}"
        ))
    })?;
    let key = pkcs8::with_public_key(key.secret_der(), parsed.public_key)
        .unwrap_or_else(|| key.secret_der().to_vec());
    let pair = KeyPair::try_from(key.as_slice())
        .map_err(|error| other(format!("{key_name} cannot be used: {error} ({KEY_KINDS})")))?;
    if pair.der_bytes() != parsed.public_key {
        return Err(other(format!(
            "{key_name} is not the key of {cert_name}: their public keys differ"
        )));
    }
    Ok(Root {
        cert: cert.to_vec(),
        key,
    })
}

/// What a root's key may be.
const KEY_KINDS: &str = "RSA of 2048 to 4096 bits, P-256, P-384 and Ed25519 are supported";

/// A new root, certificate and key, in PEM.
fn make_root() -> Result<String, String> {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "codeabovelab.com");
    name.push(DnType::OrganizationName, "Code Above Lab LLC");
    name.push(DnType::CountryName, "US");
    // A day of grace for nodes whose clock is a little behind.
    let start = built_at().saturating_sub(DAY);
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(1970, 1, 1) + start;
    params.not_after = params.not_before + DAY * VALID_DAYS;
    let key = KeyPair::generate().map_err(|error| format!("no key could be made: {error}"))?;
    let cert = params
        .self_signed(&key)
        .map_err(|error| format!("no root could be made: {error}"))?;
    Ok(cert.pem() + &key.serialize_pem())
}

/// The time of the build since 1970: `SOURCE_DATE_EPOCH` (reproducible-builds.org) or the
/// builder's clock.
fn built_at() -> Duration {
    env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .map(Duration::from_secs)
        .or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).ok())
        .unwrap_or_default()
}
