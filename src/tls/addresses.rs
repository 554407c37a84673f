//! Which addresses and which name the host has, seen from the host or from a container on it.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::Settings;
use crate::sorted::Set;
use crate::sys::fs::read_up_to;
use crate::sys::net;

/// How much of a kernel table is read: the routes of a node, not those of an internet router.
const MAX_TABLE: usize = 8 * 1024 * 1024;

/// Every address of the host whose root directory is at `root`, loopback included. Left out are
/// the link-local ones of a bridge's ports, which the bridge answers for and nobody can reach:
/// each running container has one, and the certificate would change with every start of one.
///
/// Under a root of its own (a container with the host's mounted) the host's addresses are those
/// of its process 1. Where that cannot be seen they are this network namespace's own, and
/// [`warning`] says so.
///
/// # Errors
/// The kernel does not list this namespace's interfaces.
pub fn host_addresses(root: &Path) -> io::Result<Set<IpAddr>> {
    let own = Path::new("/");
    match table_addresses(root) {
        Some(Ok(addresses)) => Ok(addresses),
        None | Some(Err(_)) => Ok(net::interface_addresses()?
            .into_iter()
            .filter(|(interface, address)| is_reachable(own, interface, *address))
            .map(|(_, address)| address)
            .collect()),
    }
}

/// Whether an address of `interface` is more than a bridge port's link-local one.
fn is_reachable(root: &Path, interface: &str, address: IpAddr) -> bool {
    let port = Path::new("sys/class/net").join(interface).join("brport");
    !(is_link_local(address) && root.join(port).exists())
}

/// Whether an address means something on its own link only.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
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
fn table_addresses(root: &Path) -> Option<io::Result<Set<IpAddr>>> {
    if !is_elsewhere(root) {
        return None;
    }
    let net = root.join("proc/1/net");
    let v4 = read_table(&net.join("fib_trie"));
    // A kernel without IPv6 has no such table.
    let v6 = read_table(&net.join("if_inet6")).unwrap_or_default();
    Some(v4.map(|v4| {
        let mut addresses = fib_trie_addresses(&v4);
        addresses.extend(if_inet6_addresses(&v6, root));
        addresses
    }))
}

fn read_table(path: &Path) -> io::Result<String> {
    read_text(path, MAX_TABLE)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn read_text(path: &Path, bound: usize) -> io::Result<String> {
    let bytes = read_up_to(&File::open(path)?, bound)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The local addresses in `/proc/net/fib_trie`, the kernel's routes as a tree: a leaf line
/// `|-- 192.0.2.2`, under it a line for each of its routes, `/32 host LOCAL` where the address is
/// the machine's own. (`/proc/net/route`, `dev` and `arp` do not have them.)
pub(super) fn fib_trie_addresses(table: &str) -> Set<IpAddr> {
    let mut addresses = Set::default();
    let mut leaf: Option<Ipv4Addr> = None;
    for line in table.lines().map(str::trim_start) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.trim_end().parse().ok();
        } else if line.starts_with("/32 host LOCAL") {
            addresses.extend(leaf.map(IpAddr::V4));
        }
    }
    addresses
}

/// The addresses in `/proc/net/if_inet6`: 32 hexadecimal digits at the start of each line, the
/// interface's name at its end.
pub(super) fn if_inet6_addresses(table: &str, root: &Path) -> impl Iterator<Item = IpAddr> {
    table.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let digits = fields.next().filter(|digits| digits.len() == 32)?;
        let bits = u128::from_str_radix(digits, 16).ok()?;
        let address = IpAddr::V6(Ipv6Addr::from_bits(bits));
        is_reachable(root, fields.last()?, address).then_some(address)
    })
}

/// The first line of an `etc/hostname` that is neither empty nor a comment (hostname(5)).
fn read_host_name(path: &Path) -> Option<String> {
    /// A name has at most 64 bytes; the rest of the file would be comments.
    const MAX_FILE: usize = 4096;
    let bytes = read_up_to(&File::open(path).ok()?, MAX_FILE).ok()?;
    let text = String::from_utf8(bytes).ok()?;
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
    /// A number and a line end.
    const MAX_INDEX: usize = 32;
    let index = |name: &str| read_text(&interface.join(name), MAX_INDEX).ok();
    match (index("ifindex"), index("iflink")) {
        (Some(own), Some(link)) => own.trim() != link.trim(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::process;

    fn fixture(host: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/hosts")
            .join(host)
    }

    fn set(addresses: &[&str]) -> Set<IpAddr> {
        addresses.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// A directory that goes with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("haven-{name}-{}", process::id()));
            fs::create_dir_all(&path).unwrap();
            Scratch(path)
        }

        fn write(&self, file: &str, text: &str) {
            let path = self.0.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_servers_addresses_are_read_under_its_root() {
        assert_eq!(
            host_addresses(&fixture("server")).unwrap(),
            set(&[
                "127.0.0.1",
                "172.17.0.1",
                "172.18.0.1",
                "192.0.2.2",
                "::1",
                "fd00::2",
                "fe80::fc:ff:fe00:1",
                "fe80::f803:f3ff:fee4:73ff",
                "fe80::42:b0ff:fe14:9ad",
            ])
        );
        assert_eq!(host_name(&fixture("server")).as_deref(), Some("server-7"));
    }

    #[test]
    fn a_boards_addresses_are_read_where_policy_routes_split_the_tables() {
        assert_eq!(
            host_addresses(&fixture("board")).unwrap(),
            set(&[
                "127.0.0.1",
                "172.17.0.1",
                "192.168.178.23",
                "192.168.178.57",
                "::1",
                "2001:db8:1:2:ba27:ebff:fe12:3456",
                "fe80::ba27:ebff:fe12:3456",
                "fe80::ba27:ebff:fe65:4321",
                "fe80::6c71:e1ff:feff:dda",
            ])
        );
        assert_eq!(host_name(&fixture("board")).as_deref(), Some("raspberrypi"));
    }

    #[test]
    fn link_local_addresses_of_bridge_ports_are_left_out() {
        let root = Scratch::new("ports");
        root.write("proc/1/net/fib_trie", "");
        root.write(
            "proc/1/net/if_inet6",
            "fe8000000000000064dcfbfffec8964b 33 40 20 c0 veth0\n\
             fe8000000000000064dcfbfffec8964c 34 40 20 c0 eth0\n\
             20010db8000000000000000000000001 33 40 00 c0 veth0\n",
        );
        root.write("sys/class/net/veth0/brport/state", "3\n");
        assert_eq!(
            host_addresses(&root.0).unwrap(),
            set(&["fe80::64dc:fbff:fec8:964c", "2001:db8::1"])
        );
    }

    #[test]
    fn rubbish_in_the_tables_is_passed_over() {
        let root = Scratch::new("rubbish");
        root.write(
            "proc/1/net/fib_trie",
            "|-- 300.1.1.1\n/32 host LOCAL\n/32 host LOCAL\n|-- \n|-- 10.0.0.1\n",
        );
        root.write(
            "proc/1/net/if_inet6",
            "zz\n\n+0000000000000000000000000000001 x lo\n",
        );
        let read = host_addresses(&root.0).unwrap();
        assert!(read.iter().all(|address| address.is_loopback()), "{read:?}");
    }

    #[test]
    fn tables_that_cannot_be_seen_leave_our_own_addresses_and_a_warning() {
        let root = Scratch::new("hidden");
        let own = host_addresses(&root.0).unwrap();
        assert!(own.contains(&Ipv4Addr::LOCALHOST.into()), "{own:?}");
        let mut settings = Settings {
            host_root: root.0.clone(),
            ..Settings::default()
        };
        let told = warning(&settings).unwrap();
        assert!(
            told.contains("dm.agent.server.names") && told.contains("fib_trie"),
            "{told}"
        );
        settings.names = vec!["10.0.0.5".to_owned()];
        assert_eq!(warning(&settings), None);
        settings.names.clear();
        settings.host_root = fixture("server");
        assert_eq!(warning(&settings), None);
    }

    #[test]
    fn a_bridge_is_told_from_the_hosts_network() {
        let root = Scratch::new("bridge");
        root.write("sys/class/net/lo/ifindex", "1\n");
        root.write("sys/class/net/lo/iflink", "1\n");
        root.write("sys/class/net/eth0/ifindex", "50\n");
        root.write("sys/class/net/eth0/iflink", "51\n");
        assert!(!sees_only_a_bridge(&root.0), "not in a container");
        root.write(".dockerenv", "");
        assert!(sees_only_a_bridge(&root.0), "a container's pair");
        root.write("sys/class/net/eth1/ifindex", "2\n");
        root.write("sys/class/net/eth1/iflink", "2\n");
        assert!(!sees_only_a_bridge(&root.0), "the host's network");
    }

    #[test]
    fn without_a_host_name_file_the_kernels_name_serves() {
        let root = Scratch::new("nameless");
        assert_eq!(host_name(&root.0), net::host_name().ok());
        assert_eq!(host_name(Path::new("")), net::host_name().ok());
    }
}
