//! Which addresses and which name the host has, seen from the host or from a container on it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use super::Settings;
use crate::sys::net;

/// How much of a kernel table is read: the routes of a node, not those of an internet router.
const MAX_TABLE: u64 = 8 * 1024 * 1024;

/// Every address of the host whose root directory is at `root`, loopback included.
///
/// Under a root of its own (a container with the host's mounted) the host's addresses are those
/// of its process 1. Where that cannot be seen they are this network namespace's own, and
/// [`warning`] says so.
///
/// # Errors
/// The kernel does not list this namespace's interfaces.
pub fn host_addresses(root: &Path) -> io::Result<BTreeSet<IpAddr>> {
    let addresses = match table_addresses(root) {
        Some(Ok(addresses)) => addresses,
        None | Some(Err(_)) => net::interface_addresses()?.into_iter().collect(),
    };
    Ok(addresses
        .into_iter()
        .filter(|address| !address.is_unspecified())
        .collect())
}

/// The host's own name: what its `etc/hostname` says under a `root` that is not this one (the
/// kernel's own entry there answers with the reader's name), else `uname(2)`'s.
pub fn host_name(root: &Path) -> Option<String> {
    let mounted = is_elsewhere(root)
        .then(|| read_host_name(&root.join("etc/hostname")))
        .flatten();
    mounted.or_else(|| net::host_name().ok())
}

/// A sentence for the start where the certificate will lack the host's addresses, since only those
/// of a container's own network are to be seen.
pub fn warning(settings: &Settings) -> Option<String> {
    /// What to do about it.
    const REMEDY: &str = "name the host's names and addresses in dm.agent.server.names";
    if settings.cert.is_some() || !settings.names.is_empty() {
        return None;
    }
    match table_addresses(&settings.host_root) {
        Some(Ok(_)) => None,
        Some(Err(error)) => Some(format!(
            "the host's addresses cannot be read ({error}), the certificate has only this \
             container's: {REMEDY}"
        )),
        None => sees_only_a_bridge(Path::new("/")).then(|| {
            format!(
                "only the addresses of this container's bridge network are to be seen, and the \
                 certificate lacks the host's: mount the host's root (rootPath), or {REMEDY}"
            )
        }),
    }
}

/// Whether `root` is another root directory than ours.
fn is_elsewhere(root: &Path) -> bool {
    root != Path::new("") && root != Path::new("/")
}

/// The addresses in the tables of process 1 under another root; `None` for our own root.
fn table_addresses(root: &Path) -> Option<io::Result<BTreeSet<IpAddr>>> {
    if !is_elsewhere(root) {
        return None;
    }
    let net = root.join("proc/1/net");
    let v4 = read_table(net.join("fib_trie"), fib_trie_addresses);
    // A kernel without IPv6 has no such table.
    let v6 = read_table(net.join("if_inet6"), if_inet6_addresses).unwrap_or_default();
    Some(v4.map(|mut addresses| {
        addresses.extend(v6);
        addresses
    }))
}

fn read_table(
    path: PathBuf,
    parse: impl FnOnce(&mut dyn Iterator<Item = String>) -> BTreeSet<IpAddr>,
) -> io::Result<BTreeSet<IpAddr>> {
    let file = File::open(&path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    let mut lines = BufReader::new(file.take(MAX_TABLE))
        .lines()
        .map_while(Result::ok);
    Ok(parse(&mut lines))
}

/// The local addresses in `/proc/net/fib_trie`, the kernel's routes as a tree: a leaf line
/// `|-- 192.0.2.2`, under it a line for each of its routes, `/32 host LOCAL` where the address is
/// the machine's own. (`/proc/net/route`, `dev` and `arp` do not have them.)
fn fib_trie_addresses(lines: &mut dyn Iterator<Item = String>) -> BTreeSet<IpAddr> {
    let mut addresses = BTreeSet::new();
    let mut leaf: Option<Ipv4Addr> = None;
    for line in lines {
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.trim_end().parse().ok();
        } else if line.starts_with("/32 host LOCAL") {
            addresses.extend(leaf.map(IpAddr::V4));
        }
    }
    addresses
}

/// The addresses in `/proc/net/if_inet6`: 32 hexadecimal digits at the start of each line.
fn if_inet6_addresses(lines: &mut dyn Iterator<Item = String>) -> BTreeSet<IpAddr> {
    lines
        .filter_map(|line| {
            let digits = line.split_ascii_whitespace().next()?;
            let bits = u128::from_str_radix(digits, 16).ok()?;
            (digits.len() == 32).then_some(IpAddr::V6(Ipv6Addr::from_bits(bits)))
        })
        .collect()
}

/// The first line of an `etc/hostname` that is neither empty nor a comment (hostname(5)).
fn read_host_name(path: &Path) -> Option<String> {
    /// A name has at most 64 bytes; the rest of the file would be comments.
    const MAX_FILE: u64 = 4096;
    let mut text = String::new();
    File::open(path)
        .ok()?
        .take(MAX_FILE)
        .read_to_string(&mut text)
        .ok()?;
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
}

/// Whether we are in a container that has a network of its own: every interface but loopback is
/// one half of a pair whose other half (`iflink`) is in another namespace. With the host's network
/// at least one interface is whole.
fn sees_only_a_bridge(root: &Path) -> bool {
    let in_container = [".dockerenv", "run/.containerenv"]
        .iter()
        .any(|mark| root.join(mark).exists());
    let Ok(interfaces) = fs::read_dir(root.join("sys/class/net")) else {
        return in_container;
    };
    in_container
        && interfaces
            .flatten()
            .map(|interface| interface.path())
            .filter(|path| !path.ends_with("lo"))
            .all(|path| is_half_of_a_pair(&path))
}

fn is_half_of_a_pair(interface: &Path) -> bool {
    let index = |name: &str| fs::read_to_string(interface.join(name)).ok();
    match (index("ifindex"), index("iflink")) {
        (Some(own), Some(link)) => own.trim() != link.trim(),
        _ => false,
    }
}
