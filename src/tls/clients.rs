//! Clients' certificates: who must show one, whose they are, and whether they still hold.

use std::sync::Arc;

use ring::digest::{self, Digest, SHA256};
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};

use super::Settings;
use super::client_name::client_name;
use super::clock::unix_time;
use super::error::TlsError;
use super::files::PemFile;
use super::provider::provider;
use super::trust::authorities;
use crate::sys::time;

/// Before the name of a certificate's user. A colon cannot be in the name of a password's user
/// (RFC 7617 §2 ends it there), so that neither is ever taken for the other.
const CERTIFIED: &str = "cert:";

/// Whether a certificate, and nothing else, may make somebody this user.
pub fn is_certified(user: &str) -> bool {
    user.strip_prefix(CERTIFIED)
        .is_some_and(|name| !name.is_empty())
}

/// Who has to show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Nobody is asked for one.
    #[default]
    Off,
    /// Who shows a good one needs no password, who shows none needs one.
    Optional,
    /// Without a good one the handshake fails.
    Required,
}

/// Who the client of a connection is, as far as certificates say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// It has shown none, and need not: its password decides.
    Unknown,
    /// The user: `cert:` and the certificate's name.
    Certified(Arc<str>),
    /// It may not ask for anything on this connection, and why.
    Refused(String),
}

/// Which certificates let clients in.
#[derive(Debug)]
pub struct Clients {
    auth: ClientAuth,
    /// `None` where nobody is asked for a certificate.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Of all that decides: who has to show one, and the files.
    digest: Digest,
}

impl Clients {
    /// Reads the files that `settings` name.
    ///
    /// # Errors
    /// A file cannot be read, or does not hold what it should.
    pub(super) fn load(settings: &Settings) -> Result<Clients, TlsError> {
        let mut digest = digest::Context::new(&SHA256);
        digest.update(&[settings.client_auth as u8]);
        let mut verifier = None;
        if let Some(ca) = &settings.client_ca {
            let ca = PemFile::read("client_ca", ca)?;
            let crl = settings.client_crl.as_deref();
            let crl = crl
                .map(|path| PemFile::read("client_crl", path))
                .transpose()?;
            for file in [Some(&ca), crl.as_ref()] {
                let bytes = file.map(PemFile::bytes).unwrap_or_default();
                digest.update(&(bytes.len() as u64).to_be_bytes());
                digest.update(bytes);
            }
            verifier = Some(certificate_verifier(
                settings.client_auth,
                &ca,
                crl.as_ref(),
            )?);
        }
        Ok(Clients {
            auth: settings.client_auth,
            // The files have to be good all the same: they are what switching it on would use.
            verifier: verifier.filter(|_| settings.client_auth != ClientAuth::Off),
            digest: digest.finish(),
        })
    }

    /// Whether the same certificates are let in as by `other`.
    pub(super) fn same(&self, other: &Clients) -> bool {
        self.digest.as_ref() == other.digest.as_ref()
    }

    /// What a handshake asks for.
    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        match &self.verifier {
            Some(verifier) => Arc::clone(verifier),
            None => WebPkiClientVerifier::no_client_auth(),
        }
    }

    /// Who the client is that has shown `chain`, its own certificate first: judged by what holds
    /// now. A handshake is not enough: one that resumes a session verifies nothing, and a
    /// connection may outlive its certificate, or what was trusted when it began.
    pub fn judge(&self, chain: Option<&[CertificateDer<'_>]>) -> Client {
        match (&self.verifier, chain.and_then(<[_]>::split_first)) {
            (_, None) if self.auth == ClientAuth::Required => {
                Client::Refused("a client certificate is required".to_owned())
            }
            (_, None) => Client::Unknown,
            (None, Some(_)) => Client::Refused("client certificates are switched off".to_owned()),
            (Some(verifier), Some((own, others))) => {
                let now = unix_time(time::now().secs);
                match verifier.verify_client_cert(own, others, now) {
                    Ok(_) => certified(own),
                    Err(error) => Client::Refused(error.to_string()),
                }
            }
        }
    }
}

fn certified(certificate: &[u8]) -> Client {
    match client_name(certificate) {
        Some(name) => Client::Certified([CERTIFIED, &name].concat().into()),
        None => Client::Refused(
            "its certificate names nobody: it has neither an e-mail address nor a DNS name, \
             and not one common name"
                .to_owned(),
        ),
    }
}

/// Chains have to end at a certificate of `ca`. With a revocation list nothing is let in of which
/// the lists do not say, or no longer say, that it is not revoked: each certificate of a chain
/// but the last, and by a list that is not past its nextUpdate.
fn certificate_verifier(
    auth: ClientAuth,
    ca: &PemFile<'_>,
    crl: Option<&PemFile<'_>>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = Arc::new(authorities(ca)?);
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .enforce_revocation_expiration();
    if let Some(crl) = crl {
        builder = builder.with_crls(crl.revocation_lists()?);
    }
    if auth != ClientAuth::Required {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| {
        let file = match (&error, crl) {
            (VerifierBuilderError::InvalidCrl(_), Some(crl)) => crl,
            _ => ca,
        };
        file.fault(format!("cannot be used: {error}"))
    })
}
