//! Network places as settings spell them: masters, where the proxy listens, this node's address.

use super::options::DEFAULT_PORT;
use crate::source::Network;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The most masters that are tried.
const MAX_MASTERS: usize = 16;
/// The most networks and origins that are listed.
const MAX_LISTED: usize = 256;
/// The longest name of a host (RFC 1035 §2.3.4), in bytes.
const MAX_HOST: usize = 253;

/// A manager to register with. `Display` gives its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Whether it is asked by HTTPS.
    pub tls: bool,
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// What precedes `/discovery/…` in the target: empty, or a path with a leading and without a
    /// trailing slash.
    pub path: String,
}

impl Master {
    /// `host:port`, with brackets around an IPv6 address.
    pub fn authority(&self) -> String {
        join(&self.host, self.port)
    }
}

impl fmt::Display for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

/// `host:port`, with brackets around an IPv6 address.
fn join(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// The masters of a list that is separated by commas or lines; an empty one has none.
///
/// # Errors
/// One is no master, or there are more than [`MAX_MASTERS`].
pub fn masters(text: &str) -> Result<Vec<Master>, String> {
    let parts = text.split([',', '\n']).map(str::trim);
    let masters = parts.filter(|part| !part.is_empty()).map(master);
    let masters: Vec<Master> = masters.collect::<Result<_, _>>()?;
    if masters.len() > MAX_MASTERS {
        return Err(format!("more than {MAX_MASTERS} masters"));
    }
    Ok(masters)
}

/// `host`, `host:port`, `http://…` or `https://…` (RFC 3986 §3). Nothing of a URL with user info is
/// shown: that is a password.
fn master(text: &str) -> Result<Master, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    if rest.contains('@') {
        return Err("a user or password in a URL is not supported".to_string());
    }
    let wrong = |what: &str| format!("`{}` {what}", text.escape_debug());
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => return Err(wrong("is neither host:port nor http://… nor https://…")),
    };
    if rest.contains(['?', '#']) {
        return Err(wrong("must not have a query (?) or a fragment (#)"));
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong("has a path with characters that a URL must not have"));
    }
    let (host, port) = host_and_port(authority).map_err(|what| wrong(&what))?;
    if port == Some(0) {
        return Err(wrong("has port 0"));
    }
    Ok(Master {
        tls,
        host,
        port: port.unwrap_or(if tls { 443 } else { 80 }),
        path: path.trim_end_matches('/').to_string(),
    })
}

/// `host`, `host:port`, `[IPv6]` or `[IPv6]:port`.
fn host_and_port(authority: &str) -> Result<(String, Option<u16>), String> {
    if authority.contains('%') {
        return Err(
            "has a zone (%), which is not supported: give an address that needs none, or a name"
                .to_string(),
        );
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']').ok_or("has no closing bracket")?;
            let ip: Result<Ipv6Addr, _> = host.parse();
            ip.map_err(|_| "has no IPv6 address in its brackets")?;
            let port = match behind {
                "" => None,
                _ => Some(
                    behind
                        .strip_prefix(':')
                        .ok_or("has no `:` behind its brackets")?,
                ),
            };
            (host, port)
        }
        None => match authority.split_once(':') {
            Some((_, more)) if more.contains(':') => {
                return Err("needs brackets around its IPv6 address".to_string());
            }
            Some((host, port)) => (host_name(host)?, Some(port)),
            None => (host_name(authority)?, None),
        },
    };
    Ok((host.to_string(), port.map(self::port).transpose()?))
}

fn host_name(host: &str) -> Result<&str, String> {
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if host.is_empty() {
        return Err("has no host".to_string());
    }
    if host.len() > MAX_HOST || !host.bytes().all(usual) {
        return Err("has a host that is none".to_string());
    }
    Ok(host)
}

/// Decimal digits only: `u16::from_str` takes a sign.
fn port(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|_| digits);
    port.ok_or_else(|| "has a port that is no number from 0 to 65535".to_string())
}

/// Where the proxy listens: `address:port`, `:port`, `port`, `[IPv6]:port`, an address alone;
/// `none`: it does not.
///
/// # Errors
/// It is none of these.
pub fn listen(text: &str) -> Result<Option<SocketAddr>, String> {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    if text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Some(address));
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(Some(SocketAddr::new(ip, DEFAULT_PORT)));
    }
    if let Ok(port) = port(text.strip_prefix(':').unwrap_or(text)) {
        return Ok(Some(SocketAddr::new(any, port)));
    }
    Err(format!(
        "`{}` is not where to listen: address:port, :port, [IPv6]:port or none",
        text.escape_debug()
    ))
}

/// The address that is registered, for one that was given. A bare `host:port` is the proxy's, by
/// HTTPS, or, without a proxy, Docker's own as the Python agent sends it.
///
/// # Errors
/// It is no address that a manager can use.
pub fn given_address(text: &str, proxy: bool) -> Result<String, String> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, text),
    };
    let wrong = |what: &str| format!("`{}` {what}", text.escape_debug());
    if rest.contains(['@', '?', '#']) {
        return Err("an address has no user, password, query or fragment".to_string());
    }
    let authority = rest.split('/').next().unwrap_or_default();
    host_and_port(authority).map_err(|what| wrong(&what))?;
    match scheme.map(str::to_ascii_lowercase).as_deref() {
        None if rest != authority => Err(wrong("has a path and no scheme")),
        None if proxy => Ok(format!("https://{text}")),
        None | Some("http" | "https" | "tcp") if rest.bytes().all(|b| b.is_ascii_graphic()) => {
            Ok(text.to_string())
        }
        _ => Err(wrong("is neither host:port nor a URL")),
    }
}

/// The address that is registered where none was given: that of the proxy. A master puts the
/// sender's own address in the place of `localhost`.
pub fn proxy_address(listen: SocketAddr) -> String {
    let port = listen.port();
    let ip = listen.ip();
    if ip.is_unspecified() || ip.is_loopback() {
        format!("https://localhost:{port}")
    } else {
        format!("https://{}", join(&ip.to_string(), port))
    }
}

/// The names of a list that is separated by commas or white space.
///
/// # Errors
/// One is neither a host name nor an address.
pub fn names(text: &str) -> Result<Vec<String>, String> {
    let names = list(text).map(|name| {
        let bare = name.strip_prefix("*.").unwrap_or(name);
        if name.parse::<IpAddr>().is_ok() || host_name(bare).is_ok() {
            return Ok(name.to_string());
        }
        let name = name.escape_debug();
        Err(format!("`{name}` is neither a host name nor an address"))
    });
    names.collect()
}

/// The networks of a list that is separated by commas or white space.
///
/// # Errors
/// One is no network, or there are more than [`MAX_LISTED`].
pub fn networks(text: &str) -> Result<Vec<Network>, String> {
    let networks: Vec<Network> = list(text).map(str::parse).collect::<Result<_, _>>()?;
    match networks.len() {
        0..=MAX_LISTED => Ok(networks),
        _ => Err(format!("more than {MAX_LISTED} networks")),
    }
}

/// The origins (RFC 6454 §6.2) of such a list, in lower case and without a port that is the
/// scheme's own, as browsers send them.
///
/// # Errors
/// One is no origin, or there are more than [`MAX_LISTED`].
pub fn origins(text: &str) -> Result<Vec<String>, String> {
    let origins: Vec<String> = list(text).map(origin).collect::<Result<_, _>>()?;
    match origins.len() {
        0..=MAX_LISTED => Ok(origins),
        _ => Err(format!("more than {MAX_LISTED} origins")),
    }
}

fn origin(text: &str) -> Result<String, String> {
    let wrong = || {
        let text = text.escape_debug();
        format!("`{text}` is no origin: https://host[:port] or http://host[:port], and no path")
    };
    let origin = text.to_ascii_lowercase();
    let (scheme, authority) = origin.split_once("://").ok_or_else(wrong)?;
    let default = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return Err(wrong()),
    };
    host_and_port(authority).map_err(|_| wrong())?;
    Ok(origin.strip_suffix(default).unwrap_or(&origin).to_string())
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(|character: char| character == ',' || character.is_whitespace());
    parts.filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masters_are_host_and_port_or_urls() {
        for (text, urls) in [
            ("172.31.0.3:8763", "http://172.31.0.3:8763"),
            ("master", "http://master:80"),
            ("http://master:8761", "http://master:8761"),
            ("HTTPS://master", "https://master:443"),
            ("https://master/", "https://master:443"),
            ("http://m_1.x:1/haven/", "http://m_1.x:1/haven"),
            ("[::1]:8761", "http://[::1]:8761"),
            ("http://[fd00::1]", "http://[fd00::1]:80"),
            ("a:1, https://b:2,", "http://a:1 https://b:2"),
            ("a:1,\nb:2", "http://a:1 http://b:2"),
            ("", ""),
        ] {
            let parsed: Vec<String> = masters(text)
                .unwrap()
                .iter()
                .map(Master::to_string)
                .collect();
            assert_eq!(parsed.join(" "), urls, "{text}");
        }
    }

    #[test]
    fn what_is_no_master_is_refused() {
        for (text, problem) in [
            (
                "ftp://x",
                "`ftp://x` is neither host:port nor http://… nor https://…",
            ),
            (
                "http://u:hunter2@x",
                "a user or password in a URL is not supported",
            ),
            (
                "http://x?q",
                "`http://x?q` must not have a query (?) or a fragment (#)",
            ),
            ("x:0", "`x:0` has port 0"),
            (
                "x:+1",
                "`x:+1` has a port that is no number from 0 to 65535",
            ),
            (
                "x:99999",
                "`x:99999` has a port that is no number from 0 to 65535",
            ),
            ("x:", "`x:` has a port that is no number from 0 to 65535"),
            (":1", "`:1` has no host"),
            ("::1", "`::1` needs brackets around its IPv6 address"),
            ("[::1", "`[::1` has no closing bracket"),
            ("[x]:1", "`[x]:1` has no IPv6 address in its brackets"),
            (
                "https://[fe80::1%eth0]:1/x",
                "`https://[fe80::1%eth0]:1/x` has a zone (%), which is not supported: give an \
                 address that needs none, or a name",
            ),
            (
                "fe80::1%eth0",
                "`fe80::1%eth0` has a zone (%), which is not supported: give an address that \
                 needs none, or a name",
            ),
            ("a b:1", "`a b:1` has a host that is none"),
            (
                "http://x/a b",
                "`http://x/a b` has a path with characters that a URL must not have",
            ),
        ] {
            assert_eq!(masters(text).unwrap_err(), problem);
        }
        assert!(masters(&"m,".repeat(17)).is_err());
    }

    #[test]
    fn the_proxy_listens_where_it_is_told() {
        for (text, address) in [
            ("0.0.0.0:8771", Some("0.0.0.0:8771")),
            (":9000", Some("0.0.0.0:9000")),
            ("9000", Some("0.0.0.0:9000")),
            ("10.0.0.1", Some("10.0.0.1:8771")),
            ("[::]:1", Some("[::]:1")),
            ("[::1]", Some("[::1]:8771")),
            ("127.0.0.1:0", Some("127.0.0.1:0")),
            ("None", None),
        ] {
            let parsed = listen(text).unwrap().map(|address| address.to_string());
            assert_eq!(parsed.as_deref(), address, "{text}");
        }
        for text in ["localhost:1", "x", ":", ":+1", "1.2.3.4:99999", "-1"] {
            assert!(listen(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_registered_address_follows_from_the_given_one() {
        for (text, proxy, address) in [
            ("10.0.0.5:8771", true, "https://10.0.0.5:8771"),
            ("node", true, "https://node"),
            ("10.0.0.5:2375", false, "10.0.0.5:2375"),
            ("http://x:1", true, "http://x:1"),
            ("https://[::1]:2/p", false, "https://[::1]:2/p"),
        ] {
            assert_eq!(given_address(text, proxy).unwrap(), address);
        }
        for text in ["u@x", "x/y", "ftp://x", "a b", "", "https://x/a b", "x:y"] {
            assert!(given_address(text, true).is_err(), "{text}");
        }
        for (listen, address) in [
            ("0.0.0.0:8771", "https://localhost:8771"),
            ("[::]:1", "https://localhost:1"),
            ("127.0.0.1:9", "https://localhost:9"),
            ("10.0.0.5:8771", "https://10.0.0.5:8771"),
            ("[fd00::1]:8771", "https://[fd00::1]:8771"),
        ] {
            assert_eq!(proxy_address(listen.parse().unwrap()), address);
        }
    }

    #[test]
    fn names_are_hosts_or_addresses() {
        assert_eq!(
            names("a.example, 10.0.0.1\n fd00::1,,*.b").unwrap(),
            ["a.example", "10.0.0.1", "fd00::1", "*.b"]
        );
        assert_eq!(
            names("a,b/c").unwrap_err(),
            "`b/c` is neither a host name nor an address"
        );
    }

    #[test]
    fn networks_and_origins_are_lists() {
        let networks = networks("10.0.0.0/8, fd00::/8\n::1,").unwrap();
        let texts: Vec<_> = networks.iter().map(Network::to_string).collect();
        assert_eq!(texts, ["10.0.0.0/8", "fd00::/8", "::1/128"]);
        assert!(super::networks("10.0.0.0/8, all").is_err());
        assert!(super::networks(&"::1,".repeat(MAX_LISTED + 1)).is_err());
        assert_eq!(
            origins("HTTPS://UI.example:443, http://ui:8080,https://[::1]:8443").unwrap(),
            ["https://ui.example", "http://ui:8080", "https://[::1]:8443"]
        );
        for text in [
            "null",
            "*",
            "ui.example",
            "https://ui/",
            "ftp://ui",
            "https://",
            "https://u@ui",
        ] {
            assert!(origins(text).is_err(), "{text}");
        }
    }
}
