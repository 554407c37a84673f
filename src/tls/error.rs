//! Why there is no identity, no trust, no root.

use std::path::PathBuf;
use std::{fmt, io};

/// What went wrong with certificates and keys, and what to do about it. Holds no key material.
#[derive(Debug)]
pub enum TlsError {
    /// A file cannot be read.
    Read {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A file does not hold what its setting asks for.
    File {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, as the end of a sentence that begins with the file.
        why: String,
    },
    /// One of two settings that go together is missing.
    Alone {
        /// The one that is given.
        set: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// A certificate and a key that do not belong together.
    Mismatch {
        /// The setting and path of the certificate.
        cert: String,
        /// The setting and path of the key.
        key: String,
    },
    /// A configured name that no certificate can carry.
    Name {
        /// As it was written.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Which root was to sign, and why clients would not accept what it signed.
    Root {
        /// The root: its setting and path, or that it is the built-in one.
        root: String,
        /// Why not.
        why: String,
    },
    /// The kernel does not list the host's addresses.
    Interfaces(io::Error),
    /// The kernel gives no random numbers.
    Random,
    /// rustls refused the configuration.
    Rustls(rustls::Error),
}

impl TlsError {
    /// The setting whose file or value is at fault, where it is one.
    pub fn setting(&self) -> Option<&'static str> {
        match self {
            TlsError::Read { setting, .. } | TlsError::File { setting, .. } => Some(setting),
            TlsError::Name { .. } => Some("names"),
            _ => None,
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Read {
                setting,
                path,
                error,
            } => write!(f, "{setting}: {} cannot be read: {error}", path.display()),
            TlsError::File { setting, path, why } => {
                write!(f, "{setting}: {} {why}", path.display())
            }
            TlsError::Alone { set, missing } => write!(
                f,
                "{set} is set and {missing} is not: a certificate goes with its key, set both or none"
            ),
            TlsError::Mismatch { cert, key } => write!(
                f,
                "the key of {key} is not that of the certificate of {cert} \
                 (the server's own certificate must come first in its file)"
            ),
            TlsError::Name { name, why } => {
                write!(f, "dm.agent.server.names: `{name}` {why}")
            }
            TlsError::Root { root, why } => write!(f, "{root} cannot sign certificates: {why}"),
            TlsError::Interfaces(error) => {
                write!(
                    f,
                    "the interfaces of this host cannot be listed: {error} (under systemd, \
                     RestrictAddressFamilies has to include AF_NETLINK)"
                )
            }
            TlsError::Random => f.write_str("the kernel gives no random numbers for keys"),
            TlsError::Rustls(error) => write!(f, "TLS cannot be set up: {error}"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TlsError::Read { error, .. } | TlsError::Interfaces(error) => Some(error),
            TlsError::Rustls(error) => Some(error),
            _ => None,
        }
    }
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        TlsError::Rustls(error)
    }
}
