//! Where Docker listens.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The port of a `tcp://` endpoint that names none: Docker's registered port without TLS.
pub const DEFAULT_TCP_PORT: u16 = 2375;

/// Docker's socket, in the order in which the default is looked for. `/var/run` is a link to
/// `/run` on a usual system; a container made from scratch has only what was mounted.
const DEFAULT_SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/docker.sock"];

/// Where Docker listens: a socket file, or a TCP port without TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The absolute path of a Unix socket.
    Unix(PathBuf),
    /// A TCP port.
    Tcp {
        /// A name, an IPv4 address, or an IPv6 address without its brackets.
        host: String,
        /// Never 0.
        port: u16,
    },
}

impl Endpoint {
    /// The first of `/var/run/docker.sock` and `/run/docker.sock` that exists; the first where
    /// neither does, since Docker may start later.
    pub fn default_endpoint() -> Endpoint {
        let [usual, _] = DEFAULT_SOCKETS;
        let socket = DEFAULT_SOCKETS
            .into_iter()
            .find(|path| Path::new(path).exists())
            .unwrap_or(usual);
        Endpoint::Unix(PathBuf::from(socket))
    }

    /// `host:port` of a TCP endpoint, with brackets around an IPv6 address: what the Python agent
    /// registers as the node's address. `None` for a socket file.
    pub fn authority(&self) -> Option<String> {
        match self {
            Endpoint::Unix(_) => None,
            Endpoint::Tcp { host, port } => Some(join_host_port(host, *port)),
        }
    }
}

/// `host:port`, with brackets around an IPv6 address (RFC 3986 §3.2.2).
fn join_host_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

impl fmt::Display for Endpoint {
    /// The form that [`FromStr`] reads: `unix:///path` or `tcp://host:port`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Unix(path) => write!(f, "unix://{}", path.display()),
            Endpoint::Tcp { host, port } => write!(f, "tcp://{}", join_host_port(host, *port)),
        }
    }
}

/// Why a text is no Docker endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointError {
    /// Nothing was given.
    Empty,
    /// A scheme other than `unix` and `tcp`.
    Scheme(String),
    /// A socket's path that does not begin with `/`.
    RelativePath(String),
    /// No port, where none can be assumed.
    NoPort(String),
    /// A port that is not a number from 1 to 65535.
    Port(String),
    /// An IPv6 address without brackets, or brackets around something else.
    Ipv6(String),
    /// An IPv6 address with a zone (`%eth0`).
    Zone(String),
    /// A host that cannot be one.
    Host(String),
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndpointError::Empty => f.write_str("the Docker endpoint is empty"),
            EndpointError::Scheme(scheme) => write!(
                f,
                "'{scheme}://' is not supported for Docker: \
                 give unix:///path, tcp://host:port or host:port"
            ),
            EndpointError::RelativePath(path) => write!(
                f,
                "Docker's socket '{path}' is not an absolute path: give unix:///path"
            ),
            EndpointError::NoPort(text) => {
                write!(f, "'{text}' names no port: give host:port or unix:///path")
            }
            EndpointError::Port(port) => {
                write!(f, "'{port}' is not a port: give a number from 1 to 65535")
            }
            EndpointError::Ipv6(text) => write!(
                f,
                "'{text}' is not an IPv6 address in brackets: give [address]:port"
            ),
            EndpointError::Zone(text) => write!(
                f,
                "'{text}' has a zone (%), which is not supported: \
                 give an address that needs none, or a name"
            ),
            EndpointError::Host(host) => write!(f, "'{host}' is not a host name or address"),
        }
    }
}

impl std::error::Error for EndpointError {}

impl FromStr for Endpoint {
    type Err = EndpointError;

    /// Reads `unix:///path`, `/path`, `tcp://host:port`, `tcp://host` and `host:port`.
    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(EndpointError::Empty);
        }
        if text.starts_with('/') {
            return parse_unix(text);
        }
        match text.split_once("://") {
            Some(("unix", path)) => parse_unix(path),
            Some(("tcp", authority)) => parse_tcp(
                authority.strip_suffix('/').unwrap_or(authority),
                Some(DEFAULT_TCP_PORT),
            ),
            Some((scheme, _)) => Err(EndpointError::Scheme(scheme.to_owned())),
            None => parse_tcp(text, None),
        }
    }
}

fn parse_unix(path: &str) -> Result<Endpoint, EndpointError> {
    if path.starts_with('/') {
        Ok(Endpoint::Unix(PathBuf::from(path)))
    } else {
        Err(EndpointError::RelativePath(path.to_owned()))
    }
}

/// Splits `host:port`, `[IPv6]:port`, and either without a port where `default_port` is given.
fn parse_tcp(authority: &str, default_port: Option<u16>) -> Result<Endpoint, EndpointError> {
    if authority.contains('%') {
        return Err(EndpointError::Zone(authority.to_owned()));
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => split_brackets(authority, rest)?,
        None => split_name(authority)?,
    };
    let port = match port {
        Some(digits) => parse_port(digits)?,
        None => default_port.ok_or_else(|| EndpointError::NoPort(authority.to_owned()))?,
    };
    Ok(Endpoint::Tcp {
        host: host.to_owned(),
        port,
    })
}

/// `rest` is what follows the opening bracket of `whole`.
fn split_brackets<'a>(
    whole: &str,
    rest: &'a str,
) -> Result<(&'a str, Option<&'a str>), EndpointError> {
    let wrong = || EndpointError::Ipv6(whole.to_owned());
    let (address, after) = rest.split_once(']').ok_or_else(wrong)?;
    address.parse::<Ipv6Addr>().map_err(|_| wrong())?;
    match after.strip_prefix(':') {
        Some(port) => Ok((address, Some(port))),
        None if after.is_empty() => Ok((address, None)),
        None => Err(wrong()),
    }
}

fn split_name(authority: &str) -> Result<(&str, Option<&str>), EndpointError> {
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    if port.is_some_and(|port| port.contains(':')) {
        return Err(EndpointError::Ipv6(authority.to_owned()));
    }
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() || !host.chars().all(sound) {
        return Err(EndpointError::Host(host.to_owned()));
    }
    Ok((host, port))
}

/// Digits only: `u16::from_str` alone would take a leading `+`.
fn parse_port(digits: &str) -> Result<u16, EndpointError> {
    let wrong = || EndpointError::Port(digits.to_owned());
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    match digits.parse() {
        Ok(0) | Err(_) => Err(wrong()),
        Ok(port) => Ok(port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Endpoint {
        Endpoint::Tcp {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn every_form_is_read() {
        let unix = Endpoint::Unix(PathBuf::from("/run/docker.sock"));
        for (text, expected) in [
            ("unix:///run/docker.sock", unix.clone()),
            ("/run/docker.sock", unix),
            ("tcp://10.0.0.5:2376", tcp("10.0.0.5", 2376)),
            ("tcp://node-1.example", tcp("node-1.example", 2375)),
            ("tcp://node:2375/", tcp("node", 2375)),
            (" 172.31.0.11:2375 ", tcp("172.31.0.11", 2375)),
            ("[::1]:2375", tcp("::1", 2375)),
            ("tcp://[fe80::1]", tcp("fe80::1", 2375)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "is empty"),
            ("unix://run/docker.sock", "not an absolute path"),
            ("ssh://host", "'ssh://' is not supported"),
            ("https://host:2376", "'https://' is not supported"),
            ("docker", "names no port"),
            ("host:", "not a port"),
            ("host:0", "not a port"),
            ("host:+80", "not a port"),
            ("host:65536", "not a port"),
            (":2375", "not a host name"),
            ("a b:2375", "not a host name"),
            ("user@host:2375", "not a host name"),
            ("tcp://host/path", "not a host name"),
            ("::1:2375", "in brackets"),
            ("[::1", "in brackets"),
            ("[::1]2375", "in brackets"),
            ("[host]:2375", "in brackets"),
            ("[fe80::1%eth0]:2375", "has a zone (%), which is not"),
            ("tcp://[fe80::1%25eth0]", "has a zone (%), which is not"),
            ("fe80::1%eth0", "has a zone (%), which is not"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for text in [
            "unix:///run/docker.sock",
            "tcp://node:2375",
            "tcp://[::1]:1",
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), text);
        }
    }

    #[test]
    fn the_address_of_a_tcp_endpoint_is_host_and_port() {
        assert_eq!(tcp("::1", 2375).authority(), Some("[::1]:2375".to_owned()));
        assert_eq!(
            tcp("10.0.0.5", 2375).authority(),
            Some("10.0.0.5:2375".to_owned())
        );
        assert_eq!(Endpoint::Unix(PathBuf::from("/s")).authority(), None);
    }
}
