//! Whom the agent trusts when it speaks to a master over TLS.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};

use super::clock::WallClock;
use super::error::TlsError;
use super::files::PemFile;
use super::provider::provider;
use super::{ALPN, VERSIONS};

/// Masters whose sessions are kept for resumption: each takes a few KiB.
const RESUMABLE_MASTERS: usize = 4;

/// How the agent speaks to `https://` masters: the public authorities of webpki-roots are trusted,
/// or those of the `ca` file alone.
///
/// # Errors
/// The file cannot be read, or holds no certificate that can be trusted.
pub fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_details(provider(), Arc::new(WallClock))
        .with_protocol_versions(VERSIONS)?
        .with_root_certificates(trusted(ca)?)
        .with_no_client_auth();
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    config.resumption = Resumption::in_memory_sessions(RESUMABLE_MASTERS);
    Ok(Arc::new(config))
}

fn trusted(ca: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let Some(path) = ca else {
        return Ok(RootCertStore::from_iter(
            webpki_roots::TLS_SERVER_ROOTS.iter().cloned(),
        ));
    };
    authorities(&PemFile::read("ca", path)?)
}

/// The certificates of a file, each of which is trusted to sign others.
///
/// # Errors
/// There is none, or one of them cannot be trusted.
pub(super) fn authorities(file: &PemFile<'_>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for (index, certificate) in file.certificates()?.into_iter().enumerate() {
        store.add(certificate).map_err(|error| {
            file.fault(format!(
                "holds a certificate (number {}) that cannot be trusted: {error}",
                index + 1
            ))
        })?;
    }
    Ok(store)
}
