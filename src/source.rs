//! Where connections come from: whom an address counts as, and networks of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Bits of an IPv6 address that tell one client from another: whoever has a link has at least a
/// /64 of addresses (RFC 6177 §2, RFC 4291 §2.5.1), and counts as one however many of them it uses.
const CLIENT_BITS: u32 = 64;

/// Whom an address counts as: itself (IPv4), or the /64 that it is in (IPv6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// An IPv4 address, as such or mapped into IPv6 (RFC 4291 §2.5.5.2).
    V4(u32),
    /// The upper half of an IPv6 address.
    V6(u64),
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Source {
        match address.to_canonical() {
            IpAddr::V4(v4) => Source::V4(v4.to_bits()),
            IpAddr::V6(v6) => Source::V6((v6.to_bits() >> CLIENT_BITS) as u64),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Source::V4(bits) => write!(f, "{}", std::net::Ipv4Addr::from_bits(bits)),
            Source::V6(upper) => {
                let first = Ipv6Addr::from_bits(u128::from(upper) << CLIENT_BITS);
                write!(f, "{first}/{CLIENT_BITS}")
            }
        }
    }
}

/// The addresses that begin with the same bits: `10.0.0.0/8`, `2001:db8::/32`, or one address
/// (RFC 4632 §3.1, RFC 4291 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    /// At most 32, or 128.
    prefix: u32,
}

impl Network {
    /// Whether `address` is one of them. One mapped into IPv6 is an IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4()
            && behind(bits(address) ^ bits(self.first), 0, self.prefix) == 0
    }
}

/// The bits of an address, the first one of either family in the same place.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The bits `from..to` of 128, counted from the first, and nothing else.
fn behind(bits: u128, from: u32, to: u32) -> u128 {
    let upto = |count: u32| u128::MAX.checked_shl(128 - count).unwrap_or(0);
    bits & upto(to) & !upto(from)
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let wrong = |what: &str| format!("`{}` {what}", text.escape_debug());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let first: IpAddr = address
            .parse()
            .map_err(|_| wrong("is neither an address nor a network (10.0.0.0/8, fd00::/8)"))?;
        let width = if first.is_ipv4() { 32 } else { 128 };
        if first != first.to_canonical() {
            return Err(wrong("is an IPv4 address inside of IPv6: give it as IPv4"));
        }
        let digits = |prefix: &str| {
            let plain = prefix.bytes().all(|byte| byte.is_ascii_digit());
            prefix.parse().ok().filter(|&n| plain && n <= width)
        };
        let prefix = match prefix {
            None => width,
            Some(prefix) => digits(prefix)
                .ok_or_else(|| wrong(&format!("has a prefix that is no number up to {width}")))?,
        };
        if behind(bits(first), prefix, 128) != 0 {
            return Err(wrong(
                "has bits behind its prefix: a wrong address, or a wrong length",
            ));
        }
        Ok(Network { first, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> Source {
        Source::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn an_ipv6_client_is_its_64_and_a_mapped_one_is_ipv4() {
        assert_eq!(source("10.0.0.9"), source("::ffff:10.0.0.9"));
        assert_ne!(source("10.0.0.9"), source("10.0.0.8"));
        assert_eq!(source("2001:db8:0:1::1"), source("2001:db8:0:1:ffff::2"));
        assert_ne!(source("2001:db8:0:1::1"), source("2001:db8:0:2::1"));
        assert_ne!(source("::1"), source("0.0.0.0"));
        assert_eq!(source("::ffff:10.0.0.9").to_string(), "10.0.0.9");
        assert_eq!(source("2001:db8:0:1::9").to_string(), "2001:db8:0:1::/64");
    }

    #[test]
    fn a_network_has_those_who_share_its_first_bits() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::a00:1"),
            ("10.0.0.9", "10.0.0.9", "10.0.0.8"),
            ("10.0.0.8/31", "10.0.0.9", "10.0.0.10"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"),
            ("::1", "::1", "::2"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(
                parsed.contains(inside.parse().unwrap()),
                "{network} {inside}"
            );
            assert!(
                !parsed.contains(outside.parse().unwrap()),
                "{network} {outside}"
            );
        }
        assert_eq!(
            "10.0.0.9".parse::<Network>().unwrap().to_string(),
            "10.0.0.9/32"
        );
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0.1/8",
            "10/8",
            "::/129",
            "fd00::1/8",
            "::ffff:10.0.0.0/104",
            "fe80::%1/64",
            "example/8",
            " 10.0.0.0/8",
            "10.0.0.0/0008x",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
