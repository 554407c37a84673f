//! Traffic of the network interfaces, from `/sys/class/net/*/statistics` (sysfs; the kernel's
//! `Documentation/ABI/testing/sysfs-class-net-statistics`).
//!
//! A sysfs shows the network namespace of who mounted it (network_namespaces(7)), so the host's
//! `/sys` under a root shows the host's interfaces even to a container. Where there is no sysfs,
//! `/proc/PID/net/dev` (proc_pid_net(5)) serves: of process 1 under a root, else our own.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::{DirEntryExt, FileExt};
use std::path::{Path, PathBuf};

use super::source::{self, SourceError};
use crate::sorted::Map;

/// The most interfaces that are reported; a host of many containers has some hundreds.
const MAX_INTERFACES: usize = 4096;

/// The most interfaces whose two counters are held open; any more are opened for each sample.
pub(super) const MAX_OPEN: usize = 32;

/// The most that is read of a sysfs attribute: a number of 20 digits fits.
const MAX_ATTRIBUTE: usize = 32;

/// The most that is read of `net/dev`; a line has some 130 bytes.
const MAX_NET_DEV: usize = 1024 * 1024;

/// `ARPHRD_LOOPBACK` of `linux/if_arp.h`, what the `type` of a loopback says, by any name.
const LOOPBACK: u64 = 772;

/// Bytes since the interface came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Received.
    pub bytes_in: u64,
    /// Sent.
    pub bytes_out: u64,
}

type Interfaces = Map<String, Traffic>;

pub(super) struct Network {
    class: PathBuf,
    net_dev: PathBuf,
    /// The interfaces of the previous sample, at most [`MAX_OPEN`], by the inode of their entry
    /// in the class: it stays with an interface that is renamed, where a name may change hands.
    open: Map<u64, Interface>,
}

/// An interface whose counters are held open: to find a sysfs file by its path costs ten times
/// as much as to read it again. They can no more be read when the interface has gone.
enum Interface {
    Loopback,
    Counters { bytes_in: File, bytes_out: File },
}

impl Network {
    pub(super) fn new(root: &Path) -> Network {
        let process = if root == Path::new("/") { "self" } else { "1" };
        Network {
            class: root.join("sys/class/net"),
            net_dev: root.join("proc").join(process).join("net/dev"),
            open: Map::default(),
        }
    }

    pub(super) fn sample(&mut self) -> Result<Interfaces, SourceError> {
        match fs::read_dir(&self.class) {
            Ok(entries) => Ok(self.in_sysfs(entries)),
            // What the user is to repair is the sysfs: its error is the one that is told.
            Err(error) => {
                in_net_dev(&self.net_dev).map_err(|_| SourceError::read(&self.class, error))
            }
        }
    }

    /// Whatever cannot be read is left out: an interface that has gone since it was listed, and
    /// `bonding_masters`, which is no interface.
    fn in_sysfs(&mut self, entries: fs::ReadDir) -> Interfaces {
        let mut interfaces = Interfaces::default();
        let mut before = std::mem::take(&mut self.open);
        for entry in entries.flatten().take(MAX_INTERFACES) {
            let name = entry.file_name();
            let old = before.remove(&entry.ino());
            let read = old.and_then(|old| old.read().map(|traffic| (old, traffic)));
            let Some((interface, traffic)) = read.or_else(|| self.read_new(&name)) else {
                continue;
            };
            if let Some(traffic) = traffic {
                interfaces.insert(name.to_string_lossy().into_owned(), traffic);
            }
            if self.open.len() < MAX_OPEN {
                self.open.insert(entry.ino(), interface);
            }
        }
        interfaces
    }

    fn read_new(&self, name: &OsStr) -> Option<(Interface, Option<Traffic>)> {
        let interface = Interface::open(self.class.join(name))?;
        let traffic = interface.read()?;
        Some((interface, traffic))
    }
}

impl Interface {
    /// `None` when it is none, or gone.
    fn open(mut path: PathBuf) -> Option<Interface> {
        path.push("type");
        if attribute(&File::open(&path).ok()?)? == LOOPBACK {
            return Some(Interface::Loopback);
        }
        path.set_file_name("statistics/rx_bytes");
        let bytes_in = File::open(&path).ok()?;
        path.set_file_name("tx_bytes");
        let bytes_out = File::open(&path).ok()?;
        Some(Interface::Counters {
            bytes_in,
            bytes_out,
        })
    }

    /// `None` when it is gone; no traffic for the loopback.
    fn read(&self) -> Option<Option<Traffic>> {
        match self {
            Interface::Loopback => Some(None),
            Interface::Counters {
                bytes_in,
                bytes_out,
            } => Some(Some(Traffic {
                bytes_in: attribute(bytes_in)?,
                bytes_out: attribute(bytes_out)?,
            })),
        }
    }
}

/// The number in a sysfs file, read from its beginning.
fn attribute(file: &File) -> Option<u64> {
    let mut buffer = [0; MAX_ATTRIBUTE];
    let length = file.read_at(&mut buffer, 0).ok()?;
    source::number(buffer.get(..length)?.strip_suffix(b"\n")?)
}

fn in_net_dev(path: &Path) -> Result<Interfaces, SourceError> {
    let (text, _) = source::read_whole(path, MAX_NET_DEV)?;
    let mut interfaces = Interfaces::default();
    for line in source::whole_lines(&text).take(MAX_INTERFACES) {
        interfaces.extend(parse_net_dev(line));
    }
    Ok(interfaces)
}

/// `  eth0: 1500 12 0 0 0 0 0 0 900 7 …`: eight fields received, then eight sent, bytes first.
/// The two heading lines have no colon. There is no type here: the loopback goes by its name.
pub(super) fn parse_net_dev(line: &[u8]) -> Option<(String, Traffic)> {
    // The last colon: old kernels list aliases such as `eth0:1`.
    let colon = line.iter().rposition(|&b| b == b':')?;
    let (name, counters) = line.split_at(colon);
    let name = name.trim_ascii();
    if name.is_empty() || name == b"lo" {
        return None;
    }
    let mut counters = source::fields(counters.strip_prefix(b":")?);
    let traffic = Traffic {
        bytes_in: source::number(counters.next()?)?,
        bytes_out: source::number(counters.nth(7)?)?,
    };
    Some((String::from_utf8_lossy(name).into_owned(), traffic))
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::{Tree, fixture};
    use super::*;

    fn sample(root: &Path) -> Vec<(String, u64, u64)> {
        let interfaces = Network::new(root).sample().unwrap();
        let rows = interfaces.iter();
        rows.map(|(name, traffic)| (name.clone(), traffic.bytes_in, traffic.bytes_out))
            .collect()
    }

    fn row(name: &str, bytes_in: u64, bytes_out: u64) -> (String, u64, u64) {
        (name.to_owned(), bytes_in, bytes_out)
    }

    #[test]
    fn a_desktop_s_interfaces_are_read_without_the_loopback() {
        assert_eq!(
            sample(&fixture("desktop")),
            [
                row("docker0", 48_812, 1_839_471),
                row("enp3s0", 9_284_710_336, 1_204_837_120),
                row("veth3f1c2ab", 49_022, 1_840_113),
                row("wlp2s0", 0, 0),
            ]
        );
    }

    #[test]
    fn the_host_s_sysfs_shows_the_host_s_interfaces() {
        assert_eq!(
            sample(&fixture("container/rootfs")),
            [row("ens18", 77_120_044_910, 18_446_744_073_709_551_615)]
        );
    }

    #[test]
    fn without_sysfs_the_first_process_s_table_serves() {
        assert_eq!(
            sample(&fixture("old-kernel")),
            [row("eth0", 3_203_180_012, 882_311_904), row("eth0:1", 1, 2)]
        );
    }

    #[test]
    fn neither_is_an_error_that_names_sysfs() {
        let tree = Tree::new();
        let error = Network::new(&tree.0).sample().unwrap_err();
        assert!(error.to_string().contains("sys/class/net"), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let tree = Tree::new();
        let good = |name: &str| {
            tree.write(&format!("sys/class/net/{name}/type"), "1\n");
            tree.write(&format!("sys/class/net/{name}/statistics/rx_bytes"), "5\n");
            tree.write(&format!("sys/class/net/{name}/statistics/tx_bytes"), "6\n");
        };
        good("eth0");
        good("cut");
        tree.write("sys/class/net/cut/statistics/tx_bytes", "6");
        good("odd");
        tree.write("sys/class/net/odd/statistics/rx_bytes", "-5\n");
        good("long");
        tree.write("sys/class/net/long/statistics/rx_bytes", "1".repeat(400));
        good("renamed-loopback");
        tree.write("sys/class/net/renamed-loopback/type", "772\n");
        tree.write("sys/class/net/gone/type", "1\n");
        tree.write("sys/class/net/bonding_masters", "bond0\n");
        assert_eq!(sample(&tree.0), [row("eth0", 5, 6)]);
    }

    #[test]
    fn an_interface_that_comes_goes_or_counts_is_seen() {
        let tree = Tree::new();
        let write = |name: &str, bytes: usize| {
            let counter = format!("sys/class/net/{name}/statistics/");
            tree.write(&format!("sys/class/net/{name}/type"), "1\n");
            tree.write(&format!("{counter}rx_bytes"), format!("{bytes}\n"));
            tree.write(&format!("{counter}tx_bytes"), "7\n");
        };
        let mut network = Network::new(&tree.0);
        let mut received = || {
            let interfaces = network.sample().unwrap();
            let rows = interfaces
                .iter()
                .map(|(name, traffic)| format!("{name}={}", traffic.bytes_in));
            rows.collect::<Vec<_>>().join(" ")
        };
        write("eth0", 1);
        assert_eq!(received(), "eth0=1");
        write("eth0", 10);
        write("veth1", 2);
        assert_eq!(received(), "eth0=10 veth1=2");
        std::fs::remove_dir_all(tree.0.join("sys/class/net/veth1")).unwrap();
        assert_eq!(received(), "eth0=10");
        write("veth1", 3);
        assert_eq!(received(), "eth0=10 veth1=3");
    }

    #[test]
    fn more_interfaces_than_are_held_open_are_read_too() {
        let tree = Tree::new();
        for number in 0..MAX_OPEN + 3 {
            tree.write(&format!("sys/class/net/v{number}/type"), "1\n");
            for counter in ["rx_bytes", "tx_bytes"] {
                let path = format!("sys/class/net/v{number}/statistics/{counter}");
                tree.write(&path, "5\n");
            }
        }
        let mut network = Network::new(&tree.0);
        for _ in 0..2 {
            assert_eq!(network.sample().unwrap().len(), MAX_OPEN + 3);
            assert_eq!(network.open.len(), MAX_OPEN);
        }
    }

    #[test]
    fn cut_and_garbled_lines_are_left_out() {
        let whole = b"  eth0: 1500 12 0 0 0 0 0 0 900 7 0 0 0 0 0 0";
        assert!(parse_net_dev(whole).is_some());
        for end in 0..whole.len() {
            let _ = parse_net_dev(&whole[..end]);
            for byte in [0, b':', b' ', b'x', 0xff] {
                let mut broken = whole.to_vec();
                broken[end] = byte;
                let _ = parse_net_dev(&broken);
            }
        }
        assert_eq!(parse_net_dev(b"eth0: 1 2 3"), None);
        assert_eq!(parse_net_dev(b": 1 2 3 4 5 6 7 8 9"), None);
    }
}
