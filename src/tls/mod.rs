//! Server identity and client trust.

use std::path::PathBuf;

/// What the operator decides about the server's certificate.
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
    /// Names and addresses that the certificate shall carry besides the host's own.
    pub names: Vec<String>,
    /// Whether names that the host's addresses resolve to are added (by `Identity::refresh`).
    pub resolve: bool,
    /// Where the host's root directory is mounted: `/` outside a container. Empty means `/`.
    pub host_root: PathBuf,
}
