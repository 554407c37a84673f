//! The node's health: CPU, memory, disks and network, read by hand from `/proc`, `/sys` and
//! `statvfs` under a root of one's choice.
//!
//! One file a source. A source that fails is an error of its own; the others stand.

use crate::sorted::Map;
use std::path::Path;

mod cpu;
mod disk;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod memory;
mod mounts;
mod network;
mod probe;
mod source;

pub use cpu::BASELINE;
pub use disk::Disk;
pub use memory::Memory;
pub use network::Traffic;
pub use probe::PATIENCE;
pub use source::SourceError;

/// Files that are held open from one sample to the next, at the most: two of a network interface, and the table of mounts.
pub const MAX_FILES: usize = 2 * network::MAX_OPEN + 1;

/// Reads the sources. Keeps what one sample leaves for the next: the CPU's counters, buffers,
/// and which mounts were named in the log.
pub struct Collector {
    cpu: cpu::Cpu,
    memory: memory::Source,
    disks: disk::Disks,
    network: network::Network,
}

/// One reading of all sources.
#[derive(Debug)]
pub struct Snapshot {
    /// How busy the machine was since the previous sample, all CPUs together, in percent:
    /// finite, 0 to 100.
    pub cpu_load: Result<f32, SourceError>,
    /// Physical memory.
    pub memory: Result<Memory, SourceError>,
    /// Disks by the path of their mount point on the host (not under the collector's root).
    pub disks: Result<Map<String, Disk>, SourceError>,
    /// Network interfaces by name, without the loopback.
    pub net: Result<Map<String, Traffic>, SourceError>,
}

impl Collector {
    /// A collector of what is mounted at `root`: `/`, or where a container sees its host's root.
    /// Reads nothing yet.
    pub fn new(root: &Path) -> Collector {
        Collector {
            cpu: cpu::Cpu::new(root),
            memory: memory::Source::new(root),
            disks: disk::Disks::new(root),
            network: network::Network::new(root),
        }
    }

    /// Reads all sources.
    ///
    /// Blocks: the first sample waits [`BASELINE`] for a CPU load that means something, and
    /// a disk behind a user-space file system is waited for up to [`PATIENCE`].
    pub fn sample(&mut self) -> Snapshot {
        Snapshot {
            cpu_load: self.cpu.sample(),
            memory: self.memory.sample(),
            disks: self.disks.sample(),
            net: self.network.sample(),
        }
    }
}
