//! Who the server is: a key and a certificate that follows the host's addresses.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

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
    server: RwLock<Arc<Server>>,
    shown: Arc<Shown>,
    /// `None` where the operator's own certificate is shown.
    signed: Mutex<Option<Signed>>,
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
        let own = Own::new(settings)?;
        let shown = Arc::new(Shown(RwLock::new(own.certified)));
        let server = Server::new(&shown, Clients::load(settings)?)?;
        Ok(Arc::new(Identity {
            server: RwLock::new(server),
            shown,
            signed: Mutex::new(own.signed),
        }))
    }

    /// What new connections are met with. It stays the same when the certificate is signed anew:
    /// they are shown the new one.
    pub fn server(&self) -> Arc<Server> {
        Arc::clone(&self.server.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks for names and addresses that have changed, signs anew where they have, and says
    /// what then changed. **Blocks** on DNS where the settings have names resolved, for up to
    /// [`LOOKUP_TIME`](super::LOOKUP_TIME) and one look-up more.
    ///
    /// # Errors
    /// As [`Identity::new`]; the certificate so far stays.
    pub fn refresh(&self) -> Result<Option<Change>, TlsError> {
        let mut signed = self.signed();
        let Some(signed) = &mut *signed else {
            return Ok(None);
        };
        let Some((certified, change)) = signed.certify_if_changed()? else {
            return Ok(None);
        };
        self.shown.show(certified);
        Ok(Some(change))
    }

    /// Reads the files that `settings` name now, and makes of them what [`Identity::adopt`] takes
    /// into use. A certificate of the root stays as it is where nothing of it has changed.
    ///
    /// # Errors
    /// As [`Identity::new`]; nothing has changed.
    pub fn prepare(&self, settings: &Settings) -> Result<Renewal, TlsError> {
        let own = Own::renewed(settings, self.signed().as_ref())?;
        let clients = Clients::load(settings)?;
        // With tickets of its own: none of a session that others were let into is taken.
        let server = match clients.same(&self.server().clients) {
            true => None,
            false => Some(Server::new(&self.shown, clients)?),
        };
        Ok(Renewal { own, server })
    }

    /// Takes into use what was prepared. Connections that are open keep what they began with,
    /// and are to be judged by [`Identity::server`] as it is now.
    pub fn adopt(&self, renewal: Renewal) {
        if let Some(own) = renewal.own {
            let mut signed = self.signed();
            self.shown.show(own.certified);
            *signed = own.signed;
        }
        if let Some(server) = renewal.server {
            *self.server.write().unwrap_or_else(PoisonError::into_inner) = server;
        }
    }

    fn signed(&self) -> MutexGuard<'_, Option<Signed>> {
        self.signed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was read again, all of it good; none of it is in use.
pub struct Renewal {
    /// `None` where the certificate that is shown stays.
    own: Option<Own>,
    /// `None` where the same clients are let in as before.
    server: Option<Arc<Server>>,
}

/// The server's own certificate, and how it is signed again, if it is.
struct Own {
    certified: Arc<CertifiedKey>,
    signed: Option<Signed>,
}

impl Own {
    fn new(settings: &Settings) -> Result<Own, TlsError> {
        match Own::of_operator(settings)? {
            Some(own) => Ok(own),
            None => Own::signed(settings, Authority::load(settings)?),
        }
    }

    /// The same, unless it is what `present` has signed.
    fn renewed(settings: &Settings, present: Option<&Signed>) -> Result<Option<Own>, TlsError> {
        if let Some(own) = Own::of_operator(settings)? {
            return Ok(Some(own));
        }
        let root = Authority::load(settings)?;
        match present {
            Some(signed) if signed.is_by(&root, settings) => Ok(None),
            _ => Own::signed(settings, root).map(Some),
        }
    }

    fn of_operator(settings: &Settings) -> Result<Option<Own>, TlsError> {
        let files = both(
            ("tls_cert", settings.cert.as_deref()),
            ("tls_key", settings.key.as_deref()),
        )?;
        let own = |(cert, key)| {
            Ok(Own {
                certified: operators(cert, key)?,
                signed: None,
            })
        };
        files.map(own).transpose()
    }

    fn signed(settings: &Settings, root: Authority) -> Result<Own, TlsError> {
        let signed = Signed::new(settings, root)?;
        Ok(Own {
            certified: signed.certify(&signed.subjects)?,
            signed: Some(signed),
        })
    }
}

impl Server {
    fn new(shown: &Arc<Shown>, clients: Clients) -> Result<Arc<Server>, TlsError> {
        let config = Arc::new(server_config(Arc::clone(shown), &clients)?);
        Ok(Arc::new(Server { config, clients }))
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
    fn new(settings: &Settings, root: Authority) -> Result<Self, TlsError> {
        let configured = Configured::parse(&settings.names)?;
        let key = fresh_key()?;
        Ok(Signed {
            settings: settings.clone(),
            root,
            key_info: key.public_key().ok_or(TlsError::Random)?.to_vec(),
            key,
            lookups: Lookups::default(),
            subjects: Subjects::gather(settings, &configured)?,
            configured,
        })
    }

    /// Whether a certificate by this root, for these settings, is what is signed already.
    fn is_by(&self, root: &Authority, settings: &Settings) -> bool {
        self.root.certificate == root.certificate
            && self.settings.names == settings.names
            && self.settings.resolve == settings.resolve
            && self.settings.host_root == settings.host_root
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
