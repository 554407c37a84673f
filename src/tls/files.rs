//! Certificates and keys in the operator's files.

use std::fs::File;
use std::io;
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::error::TlsError;
use super::keyform::{KeyForm, certificate_complaint};
use crate::sys::fs::read_up_to;

/// The largest file that is read; the bundle of all public authorities has 220 KB.
const MAX_FILE: usize = 4 * 1024 * 1024;

/// A file that a setting names, read.
pub(super) struct PemFile<'a> {
    setting: &'static str,
    path: &'a Path,
    bytes: Vec<u8>,
}

impl<'a> PemFile<'a> {
    /// Reads the file at `path`, which `setting` names.
    ///
    /// # Errors
    /// It cannot be read, or is larger than any certificate's file.
    pub(super) fn read(setting: &'static str, path: &'a Path) -> Result<Self, TlsError> {
        let bytes = read_bounded(path).map_err(|error| TlsError::Read {
            setting,
            path: path.to_owned(),
            error,
        })?;
        Ok(PemFile {
            setting,
            path,
            bytes,
        })
    }

    /// What a file with these bytes would be.
    #[cfg(any(test, fuzzing))]
    pub(super) fn of(setting: &'static str, path: &'a Path, bytes: &[u8]) -> Self {
        PemFile {
            setting,
            path,
            bytes: bytes.to_vec(),
        }
    }

    /// The setting and the path, as errors name them.
    pub(super) fn name(&self) -> String {
        format!("{} ({})", self.setting, self.path.display())
    }

    /// What the file holds.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Every certificate of the file, at least one.
    ///
    /// # Errors
    /// There is none, or one cannot be read.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let certificates = CertificateDer::pem_slice_iter(&self.bytes)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| self.fault(format!("holds a damaged PEM section: {error}")))?;
        if certificates.is_empty() {
            let path = self.path.to_string_lossy();
            return Err(self.fault(certificate_complaint(&self.bytes, &path)));
        }
        Ok(certificates)
    }

    /// The first certificate of the file.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub(super) fn first_certificate(&self) -> Result<CertificateDer<'static>, TlsError> {
        self.certificates().map(|mut all| all.swap_remove(0))
    }

    /// Every certificate revocation list of the file, at least one.
    ///
    /// # Errors
    /// There is none, or one cannot be read.
    pub(super) fn revocation_lists(
        &self,
    ) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
        let lists = CertificateRevocationListDer::pem_slice_iter(&self.bytes)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| self.fault(format!("holds a damaged PEM section: {error}")))?;
        if lists.is_empty() {
            let path = self.path.display();
            return Err(self.fault(format!(
                "holds no certificate revocation list in PEM, which this makes of one in DER: \
                 openssl crl -inform DER -in {path} -out {path}.pem"
            )));
        }
        Ok(lists)
    }

    /// The first private key of the file, in any form that rustls reads.
    ///
    /// # Errors
    /// There is none in such a form.
    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|error| {
            let complaint = KeyForm::of(&self.bytes).complaint(&self.path.to_string_lossy());
            self.fault(complaint.unwrap_or_else(|| format!("holds a damaged key: {error}")))
        })
    }

    /// The file's key if it is PKCS#8: what a root's key must be, as at build time.
    ///
    /// # Errors
    /// It is not; the error names the command that converts it.
    pub(super) fn pkcs8_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        match KeyForm::of(&self.bytes).complaint(&self.path.to_string_lossy()) {
            Some(complaint) => Err(self.fault(complaint)),
            None => self.key(),
        }
    }

    /// An error about this file.
    pub(super) fn fault(&self, why: String) -> TlsError {
        TlsError::File {
            setting: self.setting,
            path: self.path.to_owned(),
            why,
        }
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = read_up_to(&File::open(path)?, MAX_FILE + 1)?;
    if bytes.len() > MAX_FILE {
        return Err(io::Error::other("it is larger than 4 MiB"));
    }
    Ok(bytes)
}
