//! Where Docker is, as the event loops see it: nothing here waits.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::docker::{DockerError, Endpoint};
use crate::proxy::reply::Reply;
use crate::sys::socket::{Progress, Socket};
use crate::sys::thread::{STACK_SIZE, start_thread};

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 16;

/// So long one answer is good for all whose connections fail alike: to find the reason may take the table of
/// all mounts.
const EXPLAINED_FOR: Duration = Duration::from_secs(1);

/// Between two look-ups of one name.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(30);

/// Docker's endpoint, and the addresses of its name where it has one.
pub struct Upstream {
    endpoint: Endpoint,
    target: Target,
    explained: Mutex<Option<Explained>>,
}

/// Why connections fail.
struct Explained {
    until: Instant,
    kind: io::ErrorKind,
    text: String,
}

enum Target {
    Unix(PathBuf),
    Tcp {
        /// Looked up off the loops; empty until then.
        addresses: Mutex<Arc<[SocketAddr]>>,
        /// The turn of the next connection, which says at which address it is tried.
        next: AtomicUsize,
    },
}

impl Upstream {
    /// For `endpoint`. A name in it is looked up on a thread of its own, now and again later:
    /// look-ups block, and an address may change.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn start(endpoint: Endpoint) -> io::Result<Arc<Upstream>> {
        let target = match &endpoint {
            Endpoint::Unix(path) => Target::Unix(path.clone()),
            Endpoint::Tcp { .. } => Target::Tcp {
                addresses: Mutex::default(),
                next: AtomicUsize::new(0),
            },
        };
        let upstream = Arc::new(Upstream {
            endpoint,
            target,
            explained: Mutex::default(),
        });
        if let Endpoint::Tcp { host, port } = &upstream.endpoint {
            let name = (host.clone(), *port);
            if name.0.parse::<IpAddr>().is_ok() {
                upstream.resolve(&name); // a literal address is no look-up
            } else {
                let upstream = Arc::clone(&upstream);
                start_thread("names", STACK_SIZE, move || upstream.keep_resolved(&name))?;
            }
        }
        Ok(upstream)
    }

    fn keep_resolved(&self, name: &(String, u16)) {
        loop {
            self.resolve(name);
            thread::sleep(RESOLVE_INTERVAL);
        }
    }

    /// Looks the name up; keeps the old addresses where that fails.
    fn resolve(&self, (host, port): &(String, u16)) {
        let Target::Tcp { addresses, .. } = &self.target else {
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

    /// Starts a connection; says for [`pass_by`](Upstream::pass_by) whose turn it was.
    ///
    /// # Errors
    /// What is known at once; `WouldBlock` when the queue of a Unix socket is full.
    pub fn connect(&self) -> io::Result<(Socket, Progress, usize)> {
        match &self.target {
            Target::Unix(path) => Ok((Socket::connect_unix(path)?, Progress::Connected, 0)),
            Target::Tcp { addresses, next } => {
                let addresses =
                    Arc::clone(&addresses.lock().unwrap_or_else(PoisonError::into_inner));
                let turn = next.load(Ordering::Relaxed);
                let address = addresses.iter().cycle().nth(turn % addresses.len().max(1));
                let Some(address) = address else {
                    let text = "its name could not be looked up";
                    return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
                };
                let (socket, progress) =
                    Socket::connect_tcp(*address).inspect_err(|_| self.pass_by(turn))?;
                socket.set_tcp_options()?;
                Ok((socket, progress, turn))
            }
        }
    }

    /// The address of that `turn` has refused a connection, or not answered: the next one goes to the
    /// next address. Once, however many waited for the same.
    pub fn pass_by(&self, turn: usize) {
        if let Target::Tcp { next, .. } = &self.target {
            let passed = turn.wrapping_add(1);
            let _ = next.compare_exchange(turn, passed, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// The answer to a request for which no connection could be made.
    pub fn explain(&self, error: io::Error, now: Instant) -> Reply {
        let kind = error.kind();
        let mut explained = (self.explained.lock()).unwrap_or_else(PoisonError::into_inner);
        let fresh = explained
            .take()
            .filter(|known| known.kind == kind && now < known.until);
        let known = explained.insert(fresh.unwrap_or_else(|| Explained {
            until: now + EXPLAINED_FOR,
            kind,
            text: format!(
                "haven-agent: {}",
                DockerError::connecting(&self.endpoint, error)
            ),
        }));
        Reply::new(502, known.text.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buf::Buf;
    use crate::sys::socket::Listener;

    #[test]
    fn an_address_is_passed_by_once() {
        let listener = || Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listeners = [listener(), listener()];
        let addresses: Arc<[SocketAddr]> =
            listeners.iter().map(|one| one.address().unwrap()).collect();
        let upstream = Upstream {
            endpoint: Endpoint::Tcp {
                host: "docker".to_owned(),
                port: 2375,
            },
            target: Target::Tcp {
                addresses: Mutex::new(addresses),
                next: AtomicUsize::new(usize::MAX - 1),
            },
            explained: Mutex::default(),
        };
        let turn = || upstream.connect().unwrap().2;
        let first = turn();
        assert_eq!(turn(), first, "what works is used again");
        // Two that were tried at the same time.
        upstream.pass_by(first);
        upstream.pass_by(first);
        let second = turn();
        assert_eq!(second, first + 1);
        upstream.pass_by(second);
        assert_eq!(turn(), 0);
    }
    #[test]
    fn one_reason_is_good_for_all_that_fail_alike_for_a_second() {
        let path = PathBuf::from("/no/such/socket");
        let upstream = Upstream::start(Endpoint::Unix(path)).unwrap();
        let begun = Instant::now();
        let explain = |kind, text: &'static str, after| {
            upstream.explain(io::Error::new(kind, text), begun + after)
        };
        let second = EXPLAINED_FOR;
        let said = |reply: Reply| {
            let mut out = Buf::new(4096);
            reply.write(&mut out, false, true);
            String::from_utf8_lossy(out.data()).into_owned()
        };
        let one = said(explain(io::ErrorKind::Other, "one", Duration::ZERO));
        assert!(one.contains("cannot be reached: one"), "{one}");
        assert_eq!(said(explain(io::ErrorKind::Other, "two", second / 2)), one);
        let missing = said(explain(io::ErrorKind::NotFound, "", second / 2));
        assert!(missing.contains("there is no Docker socket"), "{missing}");
        let late = said(explain(io::ErrorKind::NotFound, "", second));
        assert_eq!(late, missing);
        let three = said(explain(io::ErrorKind::Other, "three", second));
        assert!(three.contains("cannot be reached: three"), "{three}");
    }
}
