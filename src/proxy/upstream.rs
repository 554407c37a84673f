//! Where Docker is, as the event loops see it: nothing here blocks.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::docker::{DockerError, Endpoint};
use crate::proxy::reply::Reply;
use crate::sys::socket::{Progress, Socket};

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 16;

/// Docker's endpoint, and the addresses of its name where it has one.
pub struct Upstream {
    endpoint: Endpoint,
    target: Target,
}

enum Target {
    Unix(PathBuf),
    Tcp {
        /// Looked up off the loops; empty until then.
        addresses: Mutex<Arc<[SocketAddr]>>,
        /// Where the next connection is tried: moved on by a failure.
        next: AtomicUsize,
    },
}

impl Upstream {
    /// For `endpoint`; a name in it is looked up by [`resolve`](Upstream::resolve).
    pub fn new(endpoint: Endpoint) -> Upstream {
        let target = match &endpoint {
            Endpoint::Unix(path) => Target::Unix(path.clone()),
            Endpoint::Tcp { .. } => Target::Tcp {
                addresses: Mutex::new(Arc::default()),
                next: AtomicUsize::new(0),
            },
        };
        Upstream { endpoint, target }
    }

    /// Looks the endpoint's name up, and keeps the old addresses where that fails. Blocks: not
    /// for a loop.
    pub fn resolve(&self) {
        let (Target::Tcp { addresses, .. }, Endpoint::Tcp { host, port }) =
            (&self.target, &self.endpoint)
        else {
            return;
        };
        let found: Arc<[SocketAddr]> = match (host.as_str(), *port).to_socket_addrs() {
            Ok(found) => found.take(MAX_ADDRESSES).collect(),
            Err(_) => return,
        };
        if !found.is_empty() {
            *addresses.lock().unwrap_or_else(PoisonError::into_inner) = found;
        }
    }

    /// Starts a connection.
    ///
    /// # Errors
    /// What is known at once; `WouldBlock` when the queue of a Unix socket is full.
    pub fn connect(&self) -> io::Result<(Socket, Progress)> {
        match &self.target {
            Target::Unix(path) => Ok((Socket::connect_unix(path)?, Progress::Connected)),
            Target::Tcp { addresses, next } => {
                let addresses =
                    Arc::clone(&addresses.lock().unwrap_or_else(PoisonError::into_inner));
                let turn = next.load(Ordering::Relaxed);
                let address = addresses.iter().cycle().nth(turn % addresses.len().max(1));
                let Some(address) = address else {
                    let text = "its name could not be looked up";
                    return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
                };
                let (socket, progress) = Socket::connect_tcp(*address)?;
                socket.set_tcp_options()?;
                Ok((socket, progress))
            }
        }
    }

    /// The answer to a request for which no connection could be made. The next attempt goes to
    /// the next address.
    pub fn explain(&self, error: io::Error) -> Reply {
        if let Target::Tcp { next, .. } = &self.target {
            next.fetch_add(1, Ordering::Relaxed);
        }
        let reason = DockerError::connecting(&self.endpoint, error);
        Reply::new(502, format!("haven-agent: {reason}"))
    }
}
