//! An authority that signs and revokes clients' certificates, by openssl.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::TempDir;
use super::agent::{Agent, Setup};
use super::process::{clean, run};
use super::upstream::Upstream;

/// An authority of openssl's, and what it has signed, in a directory of its own.
pub struct Authority(TempDir);

impl Authority {
    pub fn new() -> Authority {
        let authority = Authority(TempDir::new("ca"));
        authority.openssl(
            "printf '%s\n' '[ca]' 'default_ca=d' '[d]' 'database=index' 'crlnumber=number' \
             'default_md=sha256' 'default_crl_days=30' 'new_certs_dir=.' 'policy=p' 'rand_serial=yes' \
             '[p]' 'commonName=supplied' >conf && touch index && echo 01 >number && \
             openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
             -subj /CN=Clients -addext keyUsage=critical,keyCertSign,cRLSign \
             -keyout ca.key -out ca.pem",
        );
        authority
    }

    /// Signs `NAME.pem` for a subject, with further extensions and options.
    pub fn sign(&self, name: &str, subject: &str, extensions: &str, options: &str) {
        self.openssl(&format!(
            "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
             -subj '{subject}' -keyout {name}.key -out {name}.csr && \
             printf 'extendedKeyUsage=clientAuth\n{extensions}\n' >{name}.ext && \
             openssl x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
             -extfile {name}.ext {options} -out {name}.pem"
        ));
    }

    /// A certificate of this common name, for a month.
    pub fn client(&self, name: &str) {
        self.sign(name, &format!("/CN={name}"), "", "-days 30");
    }

    /// The same for some seconds.
    pub fn short_lived_client(&self, name: &str, seconds: u32) {
        self.client(name);
        self.openssl(&format!(
            "openssl ca -config conf -batch -notext -in {name}.csr -extfile {name}.ext \
             -startdate 20200101000000Z -enddate $(date -u -d '+{seconds} seconds' +%Y%m%d%H%M%SZ) \
             -cert ca.pem -keyfile ca.key -out {name}.pem"
        ));
    }

    /// Makes `crl.pem` of all that were revoked, by way of another file.
    pub fn list(&self) {
        self.openssl(
            "openssl ca -config conf -gencrl -cert ca.pem -keyfile ca.key -out new.crl && \
             mv new.crl crl.pem",
        );
    }

    pub fn revoke(&self, name: &str) {
        self.openssl(&format!(
            "openssl ca -config conf -revoke {name}.pem -cert ca.pem -keyfile ca.key"
        ));
        self.list();
    }

    pub fn openssl(&self, line: &str) {
        let mut shell = clean("sh");
        shell.args(["-ec", line]).current_dir(self.0.path());
        run(&mut shell, b"").ok();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// An agent that trusts this authority; some of its clients may do anything.
    pub fn setup(&self, upstream: &Upstream) -> Setup {
        const FULL: &str = "cert:alice:full, cert:bob:full, cert:carol:full, cert:admin:full, \
             cert:alice@example.org:full, cert:Alice%20%22Doe:full";
        let ca = self.text("ca.pem");
        Setup::new()
            .docker(&upstream.socket())
            .args(&["--client-ca", &ca, "--policy", FULL, "-vv"])
    }

    /// What curl is told to show a certificate.
    pub fn shown(&self, name: &str) -> Vec<String> {
        let (cert, key) = (format!("{name}.pem"), format!("{name}.key"));
        ["--cert", &self.text(&cert), "--key", &self.text(&key)]
            .map(str::to_owned)
            .to_vec()
    }

    /// A TLS client with a certificate.
    pub fn config(
        &self,
        agent: &Agent,
        name: &str,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let root = fs::read(&agent.root).unwrap();
        roots
            .add(CertificateDer::from_pem_slice(&root).unwrap())
            .unwrap();
        let chain = CertificateDer::pem_file_iter(self.path(&format!("{name}.pem")))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .unwrap()
    }
}
