//! Who the server is: a key and a certificate that follows the host's addresses.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{InconsistentKeys, ServerConfig};

use super::change::Change;
use super::clients::Clients;
use super::clock::WallClock;
use super::error::TlsError;
use super::files::PemFile;
use super::lookups::Lookups;
use super::provider::provider;
use super::root::Authority;
use super::subjects::{Configured, Subjects};
use super::tickets::Tickets;
use super::{ALPN, Settings, VERSIONS, both, leaf};
use crate::sys::net;

/// The server's identity, shared by all of its connections.
#[derive(Debug)]
pub struct Identity {
    server: Arc<Server>,
    shown: Arc<Shown>,
    /// `None` where the operator's own certificate is shown.
    signed: Option<Mutex<Signed>>,
}

/// What new connections are met with.
#[derive(Debug)]
pub struct Server {
    /// How they are spoken to.
    pub config: Arc<ServerConfig>,
    /// Which clients are let in by a certificate.
    pub clients: Clients,
}

impl Identity {
    /// Reads the files that `settings` name and signs a certificate for the names and addresses
    /// that the host has now. Asks no DNS: that is for [`Identity::refresh`].
    ///
    /// # Errors
    /// A file or a name is wrong, or the root cannot sign; see [`TlsError`].
    pub fn new(settings: &Settings) -> Result<Arc<Self>, TlsError> {
        let own = both(
            ("tls_cert", settings.cert.as_deref()),
            ("tls_key", settings.key.as_deref()),
        )?;
        let (certified, signed) = match own {
            Some((cert, key)) => (operators(cert, key)?, None),
            None => {
                let signed = Signed::new(settings)?;
                let certified = signed.certify(&signed.subjects)?;
                (certified, Some(Mutex::new(signed)))
            }
        };
        let shown = Arc::new(Shown(RwLock::new(certified)));
        let clients = Clients::load(settings)?;
        Ok(Arc::new(Identity {
            server: Arc::new(Server {
                config: Arc::new(server_config(Arc::clone(&shown), &clients)?),
                clients,
            }),
            shown,
            signed,
        }))
    }

    /// What new connections are met with. It stays the same when the certificate is signed anew:
    /// they are shown the new one.
    pub fn server(&self) -> Arc<Server> {
        Arc::clone(&self.server)
    }

    /// Looks for names and addresses that have changed, signs anew where they have, and says
    /// what then changed. **Blocks** on DNS where the settings have names resolved, for up to
    /// [`LOOKUP_TIME`](super::LOOKUP_TIME) and one look-up more.
    ///
    /// # Errors
    /// As [`Identity::new`]; the certificate so far stays.
    pub fn refresh(&self) -> Result<Option<Change>, TlsError> {
        let Some(signed) = &self.signed else {
            return Ok(None);
        };
        let mut signed = signed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((certified, change)) = signed.certify_if_changed()? else {
            return Ok(None);
        };
        self.shown.show(certified);
        Ok(Some(change))
    }
}

/// The certificate that is shown at the moment.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl Shown {
    fn show(&self, certified: Arc<CertifiedKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certified;
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&shown))
    }
}

fn server_config(shown: Arc<Shown>, clients: &Clients) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_details(provider(), Arc::new(WallClock))
        .with_protocol_versions(VERSIONS)?
        .with_client_cert_verifier(clients.verifier())
        .with_cert_resolver(shown);
    // The suites are in our order (see `provider`), not the client's.
    config.ignore_client_order = true;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Arc::new(Tickets::new()?);
    // One ticket resumes a session as well as two do, and costs half the bytes and sealing.
    config.send_tls13_tickets = 1;
    config.max_early_data_size = 0;
    Ok(config)
}

/// The operator's own certificate chain and key.
fn operators(cert: &Path, key: &Path) -> Result<Arc<CertifiedKey>, TlsError> {
    let cert = PemFile::read("tls_cert", cert)?;
    let key = PemFile::read("tls_key", key)?;
    let chain = cert.certificates()?;
    let certified = CertifiedKey::from_der(chain, key.key()?, &provider());
    certified.map(Arc::new).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch {
            cert: cert.name(),
            key: key.name(),
        },
        rustls::Error::InvalidCertificate(why) => {
            cert.fault(format!("holds a certificate that cannot be used: {why:?}"))
        }
        error => key.fault(format!("holds a key that cannot be used: {error}")),
    })
}

/// What it takes to sign the server's certificate again.
#[derive(Debug)]
struct Signed {
    settings: Settings,
    configured: Configured,
    root: Authority,
    key: Arc<dyn SigningKey>,
    /// The SubjectPublicKeyInfo of `key`.
    key_info: Vec<u8>,
    lookups: Lookups,
    /// Those of the certificate that is shown.
    subjects: Subjects,
}

impl Signed {
    fn new(settings: &Settings) -> Result<Self, TlsError> {
        let configured = Configured::parse(&settings.names)?;
        let key = fresh_key()?;
        Ok(Signed {
            settings: settings.clone(),
            root: Authority::load(settings)?,
            key_info: key.public_key().ok_or(TlsError::Random)?.to_vec(),
            key,
            lookups: Lookups::default(),
            subjects: Subjects::gather(settings, &configured)?,
            configured,
        })
    }

    /// A certificate for `subjects`. The root goes with it, for clients to see.
    fn certify(&self, subjects: &Subjects) -> Result<Arc<CertifiedKey>, TlsError> {
        let certificate = leaf::issue(&self.root, subjects, &self.key_info)?;
        let chain = vec![certificate, self.root.certificate.clone()];
        Ok(Arc::new(CertifiedKey::new(chain, Arc::clone(&self.key))))
    }

    /// A new certificate if the subjects are others than those of the last one.
    fn certify_if_changed(&mut self) -> Result<Option<(Arc<CertifiedKey>, Change)>, TlsError> {
        let mut subjects = Subjects::gather(&self.settings, &self.configured)?;
        if self.settings.resolve {
            self.lookups.update(&subjects.addresses, net::name_of);
            subjects.names.extend(self.lookups.names());
        }
        if subjects == self.subjects {
            return Ok(None);
        }
        let certified = self.certify(&subjects)?;
        let change = Change::new(&self.subjects, &subjects);
        self.subjects = subjects;
        Ok(Some((certified, change)))
    }
}

/// A P-256 key that this process alone has.
fn fresh_key() -> Result<Arc<dyn SigningKey>, TlsError> {
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| TlsError::Random)?;
    let key = PrivatePkcs8KeyDer::from(document.as_ref());
    Ok(any_supported_type(&key.into())?)
}
