//! Whom the server's certificate is made out to: the names and addresses it shall carry.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Settings;
use super::addresses::{host_addresses, host_name, is_link_local};
use super::error::TlsError;
use crate::sorted::Set;
use crate::sys::net;

/// How many addresses a certificate carries at most. A node has one for each network and, of the
/// link-local kind, one for each running container; those are the first to be left out.
const MAX_ADDRESSES: usize = 256;

/// The names and addresses of one certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subjects {
    /// The host's own name, as it is; it may be none that DNS allows.
    pub host: String,
    /// Lower-case names, valid in DNS.
    pub names: Set<String>,
    /// The most useful first.
    pub addresses: Vec<IpAddr>,
}

/// What the operator has named, checked once.
#[derive(Debug, Default)]
pub(super) struct Configured {
    names: Set<String>,
    addresses: Set<IpAddr>,
}

impl Configured {
    /// Sorts the configured names into names and addresses; empty ones are passed over.
    ///
    /// # Errors
    /// One of them is neither.
    pub(super) fn parse(configured: &[String]) -> Result<Self, TlsError> {
        let mut parsed = Configured::default();
        for name in configured.iter().map(|name| name.trim()) {
            if let Ok(address) = name.parse() {
                parsed.addresses.insert(address);
            } else if let Some(dns) = dns_name(name) {
                parsed.names.insert(dns);
            } else if !name.is_empty() {
                return Err(TlsError::Name {
                    name: name.to_owned(),
                    why: why_no_name(name),
                });
            }
        }
        Ok(parsed)
    }
}

impl Subjects {
    /// Gathers the configured names and addresses and the host's own of this moment.
    ///
    /// # Errors
    /// The kernel does not list the interfaces.
    pub(super) fn gather(settings: &Settings, configured: &Configured) -> Result<Self, TlsError> {
        let host = host_name(&settings.host_root).unwrap_or_else(|| "localhost".to_owned());
        // In a container started with --hostname that is the name which it is known by.
        let own = net::host_name().ok();
        let mut names = configured.names.clone();
        names.insert("localhost".to_owned());
        names.extend(dns_name(&host));
        names.extend(own.as_deref().and_then(dns_name));
        let mut addresses = host_addresses(&settings.host_root).map_err(TlsError::Interfaces)?;
        addresses.extend(configured.addresses.iter().copied());
        addresses.insert(Ipv4Addr::LOCALHOST.into());
        addresses.insert(Ipv6Addr::LOCALHOST.into());
        Ok(Subjects {
            host,
            names,
            addresses: most_useful(&addresses, &configured.addresses),
        })
    }
}

/// At most [`MAX_ADDRESSES`] of them in a stable order: what the operator named, then what is
/// reached from afar, link-local ones last.
fn most_useful(addresses: &Set<IpAddr>, configured: &Set<IpAddr>) -> Vec<IpAddr> {
    let class = |address: &IpAddr| (configured.contains(address), is_link_local(*address));
    [(true, false), (true, true), (false, false), (false, true)]
        .iter()
        .flat_map(|wanted| addresses.iter().filter(|address| class(address) == *wanted))
        .copied()
        .take(MAX_ADDRESSES)
        .collect()
}

/// `name` as a certificate carries it, in lower case and without the root's dot; `None` where DNS
/// does not allow it (RFC 1123 §2.1, and underscores, which clients accept). `*.` may come first.
pub(super) fn dns_name(name: &str) -> Option<String> {
    /// RFC 1035 §2.3.4, without the length octets that a message has.
    const MAX_NAME: usize = 253;
    const MAX_LABEL: usize = 63;
    let name = name.strip_suffix('.').unwrap_or(name);
    let labels = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    // Digits alone in the last label would be taken for an IPv4 address.
    let last_is_number = labels
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    let valid = name.len() <= MAX_NAME && !last_is_number && labels.split('.').all(is_label);
    valid.then(|| name.to_ascii_lowercase())
}

/// What is most likely wrong with a configured name that is none.
fn why_no_name(name: &str) -> &'static str {
    if name.contains("://") || name.contains('/') {
        "is not a name or an address: write it without a scheme, path or prefix length"
    } else if name.contains('%') {
        "has a zone, which a certificate cannot carry: write the address alone"
    } else if name.contains(':') || name.starts_with('[') {
        "is not a name or an address: write it without brackets and port"
    } else if !name.is_ascii() {
        "is not a name in ASCII: write its xn-- form"
    } else {
        "is neither an IP address nor a name that DNS allows \
         (letters, digits and hyphens, labels of up to 63 and names of up to 253 characters)"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_dns() {
        let long = "a".repeat(64);
        for good in [
            "Host",
            "a.b-c.example.",
            "*.example.com",
            "x_y",
            "1.example",
        ] {
            assert!(dns_name(good).is_some(), "{good}");
        }
        for bad in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "*",
            "a.*.b",
            "bücher.de",
            "a b",
            "1.2.3.4",
            "12",
            &long,
        ] {
            assert_eq!(dns_name(bad), None, "{bad}");
        }
        assert_eq!(dns_name("Node.Example."), Some("node.example".to_owned()));
    }

    #[test]
    fn configured_names_are_sorted_and_a_wrong_one_is_named() {
        let names = ["10.0.0.5", " node.example ", "", "fd00::5"].map(str::to_owned);
        let parsed = Configured::parse(&names).unwrap();
        assert_eq!(parsed.names.len(), 1);
        assert_eq!(parsed.addresses.len(), 2);
        for (wrong, hint) in [
            ("https://node:8771", "scheme"),
            ("node:8771", "port"),
            ("[fd00::5]", "brackets"),
            ("fe80::1%eth0", "zone"),
            ("bücher.example", "xn--"),
            ("300.1.1.1", "neither"),
        ] {
            let error = Configured::parse(&[wrong.to_owned()])
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(wrong)
                    && error.contains(hint)
                    && error.contains("dm.agent.server.names"),
                "{error}"
            );
        }
    }

    #[test]
    fn too_many_addresses_cost_the_link_local_ones_first() {
        let link_local = (0..300u16).map(|i| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, i).into());
        let far: IpAddr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).into();
        let named: IpAddr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, 1).into();
        let mut all: Set<IpAddr> = link_local.collect();
        all.extend([far, named]);
        let kept = most_useful(&all, &Set::from([named]));
        assert_eq!(kept.len(), MAX_ADDRESSES);
        assert_eq!(kept[..2], [named, far]);
    }
}
