//! Traffic of the network interfaces, from `/sys/class/net/*/statistics` (sysfs; the kernel's
//! `Documentation/ABI/testing/sysfs-class-net-statistics`).
//!
//! A sysfs shows the network namespace of who mounted it (network_namespaces(7)), so the host's
//! `/sys` under a root shows the host's interfaces even to a container. Where there is no sysfs,
//! `/proc/PID/net/dev` (proc_pid_net(5)) serves: of process 1 under a root, else our own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::source::{self, SourceError};

/// The most interfaces that are reported; a host of many containers has some hundreds.
const MAX_INTERFACES: usize = 4096;

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

type Interfaces = BTreeMap<String, Traffic>;

pub(super) struct Network {
    class: PathBuf,
    net_dev: PathBuf,
    /// An interface's directory, then its attributes; kept for its memory.
    path: PathBuf,
}

impl Network {
    pub(super) fn new(root: &Path) -> Network {
        let process = if root == Path::new("/") { "self" } else { "1" };
        Network {
            class: root.join("sys/class/net"),
            net_dev: root.join("proc").join(process).join("net/dev"),
            path: PathBuf::new(),
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
        let mut interfaces = Interfaces::new();
        for entry in entries.flatten().take(MAX_INTERFACES) {
            let name = entry.file_name();
            if let Some(traffic) = self.interface(&name) {
                interfaces.insert(name.to_string_lossy().into_owned(), traffic);
            }
        }
        interfaces
    }

    fn interface(&mut self, name: &OsStr) -> Option<Traffic> {
        self.path.clear();
        self.path.push(&self.class);
        self.path.push(name);
        if self.attribute("type")? == LOOPBACK {
            return None;
        }
        self.path.push("statistics");
        Some(Traffic {
            bytes_in: self.attribute("rx_bytes")?,
            bytes_out: self.attribute("tx_bytes")?,
        })
    }

    /// A number in a file of the directory in `self.path`.
    fn attribute(&mut self, name: &str) -> Option<u64> {
        self.path.push(name);
        let mut buffer = [0; MAX_ATTRIBUTE];
        let text = source::read_once(&self.path, &mut buffer).ok();
        let number = text.and_then(|text| source::number(text.strip_suffix(b"\n")?));
        self.path.pop();
        number
    }
}

fn in_net_dev(path: &Path) -> Result<Interfaces, SourceError> {
    let mut text = Vec::new();
    source::read_whole(path, MAX_NET_DEV, &mut text)?;
    let lines = source::whole_lines(&text).take(MAX_INTERFACES);
    Ok(lines.filter_map(parse_net_dev).collect())
}

/// `  eth0: 1500 12 0 0 0 0 0 0 900 7 …`: eight fields received, then eight sent, bytes first.
/// The two heading lines have no colon. There is no type here: the loopback goes by its name.
fn parse_net_dev(line: &[u8]) -> Option<(String, Traffic)> {
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
        let rows = interfaces.into_iter();
        rows.map(|(name, traffic)| (name, traffic.bytes_in, traffic.bytes_out))
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
