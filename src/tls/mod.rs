//! Server identity and client trust.
//!
//! The server shows a certificate that the agent signs at its start with a root (`root`, `leaf`)
//! for the names and addresses of its host (`subjects`, `addresses`, `lookups`), or the
//! operator's own; [`Identity`] holds it and signs anew when the addresses change. Which clients
//! are let in by a certificate, and as whom, [`Clients`] says. A client of masters trusts what
//! [`client_config`] says.

use std::path::{Path, PathBuf};

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

mod addresses;
mod change;
mod client_name;
mod clients;
mod clock;
mod der;
mod error;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod identity;
mod keyform;
mod leaf;
mod lookups;
mod pkcs8;
mod provider;
mod root;
mod subjects;
mod tickets;
mod trust;
mod x509;

pub use addresses::{host_name, warning};
pub use change::Change;
pub use clients::{Client, ClientAuth, Clients, is_certified};
pub use clock::clock_hint;
pub use error::TlsError;
pub use identity::{Identity, Renewal, Server};
pub use lookups::LOOKUP_TIME;
pub use root::{Root, root_certificate};
pub use trust::client_config;

/// The protocols that are spoken over TLS (RFC 7301 §6), the better one first. A client that
/// offers none is taken to mean one of them; `curl --http1.0` offers nothing but the second.
const ALPN: [&[u8]; 2] = [b"http/1.1", b"http/1.0"];

/// The protocol versions of servers and clients.
static VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Both of two settings that go together, or none.
fn both<'a>(
    (first, one): (&'static str, Option<&'a Path>),
    (second, other): (&'static str, Option<&'a Path>),
) -> Result<Option<(&'a Path, &'a Path)>, TlsError> {
    let alone = |set, missing| Err(TlsError::Alone { set, missing });
    match (one, other) {
        (Some(one), Some(other)) => Ok(Some((one, other))),
        (None, None) => Ok(None),
        (Some(_), None) => alone(first, second),
        (None, Some(_)) => alone(second, first),
    }
}

/// What the operator decides about the server's certificate and its clients'.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The operator's own certificate chain (PEM, leaf first); with `key` it replaces the signed one.
    pub cert: Option<PathBuf>,
    /// The key of `cert` (PEM: PKCS#8, SEC1 or PKCS#1).
    pub key: Option<PathBuf>,
    /// Another root certificate than the built-in one (PEM); goes with `root_key`.
    pub root_cert: Option<PathBuf>,
    /// The key of `root_cert` (PEM: PKCS#8).
    pub root_key: Option<PathBuf>,
    /// The authorities (PEM) of clients' certificates.
    pub client_ca: Option<PathBuf>,
    /// Who has to show one; goes with `client_ca`.
    pub client_auth: ClientAuth,
    /// Lists (PEM) of the certificates that were revoked; goes with `client_ca`.
    pub client_crl: Option<PathBuf>,
    /// Names and addresses that the certificate shall carry besides the host's own.
    pub names: Vec<String>,
    /// Whether names that the host's addresses resolve to are added (by [`Identity::refresh`]).
    pub resolve: bool,
    /// Where the host's root directory is mounted: `/` outside a container. Empty means `/`.
    pub host_root: PathBuf,
}
