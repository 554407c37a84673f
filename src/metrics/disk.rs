//! How full the disks are: the mounts that `psutil.disk_partitions()` lists, one for each
//! device, with what `statvfs(3)` says of them.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::mounts::{self, Mount};
use super::probe::{self, Probes};
use super::source::{self, SourceError};
use crate::sorted::{Map, Set};
use crate::sys::fs::{self, Usage};

/// The most that is read of a mount table: a host of a thousand containers has some 600 KB.
const MAX_MOUNTINFO: usize = 4 * 1024 * 1024;

/// The most that is read of `/proc/filesystems`; kernels write some 500 bytes.
const MAX_FILESYSTEMS: usize = 8 * 1024;

/// The most paths that are named in the log, each once.
const MAX_NAMED: usize = 256;

/// A file system on a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// All of it, with what is kept for root.
    pub total: u64,
    /// What is not free, even to root; as psutil and `df` count it.
    pub used: u64,
}

pub(super) struct Disks {
    root: PathBuf,
    filesystems: PathBuf,
    /// Where mount tables are read: the first that can be.
    tables: Vec<Table>,
    known: Option<Known>,
    probes: Probes,
    /// The mount points that the log has named, as they are on the host.
    named: Set<Vec<u8>>,
}

/// What a mount table said. It is read again only when the kernel says that it has changed:
/// writing it out is half of what a sample would cost.
struct Known {
    /// Held open, for its poll.
    table: File,
    /// Sorted as [`mounts::disks`] does.
    mounts: Vec<Mount>,
}

/// A mount table.
struct Table {
    path: PathBuf,
    /// Its paths are those of this process, which sees the root at another place than `/`.
    own: bool,
}

/// Why a disk is left out.
enum Omission {
    /// Asked, and not told.
    Unreachable(io::Error),
    /// Another file system is to be seen at its path.
    Covered,
}

impl Disks {
    /// Under `/`, the mount table is this process's own: what psutil reads, and what `statvfs`
    /// answers for. Under another root it is that of process 1, the host's; where that is hidden
    /// (hidepid, ProtectProc), one's own, of which only what is below the root matters.
    pub(super) fn new(root: &Path) -> Disks {
        let own = Table {
            path: root.join("proc/self/mountinfo"),
            own: root != Path::new("/"),
        };
        let first = Table {
            path: root.join("proc/1/mountinfo"),
            own: false,
        };
        Disks {
            root: root.to_owned(),
            filesystems: root.join("proc/filesystems"),
            tables: if own.own { vec![first, own] } else { vec![own] },
            known: None,
            probes: Probes::default(),
            named: Set::default(),
        }
    }

    pub(super) fn sample(&mut self) -> Result<Map<String, Disk>, SourceError> {
        let unchanged = |known: &Known| !fs::mounts_changed(&known.table);
        let known = match self.known.take().filter(unchanged) {
            Some(known) => known,
            None => self.read()?,
        };
        let mut disks = Map::default();
        for mounts in known.mounts.chunk_by(|one, two| one.device == two.device) {
            disks.extend(self.disk(mounts));
        }
        self.known = Some(known);
        Ok(disks)
    }

    fn read(&self) -> Result<Known, SourceError> {
        let mut filesystems = [0; MAX_FILESYSTEMS];
        let filesystems = source::read_once(&self.filesystems, &mut filesystems)
            .map_err(|error| SourceError::read(&self.filesystems, error))?;
        let (text, table, prefix) = self.read_table()?;
        let types = mounts::disk_types(filesystems);
        let mounts = mounts::disks(&text, &types, &prefix);
        Ok(Known { table, mounts })
    }

    /// The first table that can be read, and what its paths begin with: nothing, or where this
    /// process sees the root.
    fn read_table(&self) -> Result<(Vec<u8>, File, Vec<u8>), SourceError> {
        let mut failed = None;
        for table in &self.tables {
            match source::read_whole(&table.path, MAX_MOUNTINFO) {
                Ok((text, file)) if table.own => return Ok((text, file, self.prefix()?)),
                Ok((text, file)) => return Ok((text, file, Vec::new())),
                // The first one's error is the one to repair.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Err(failed.unwrap_or_else(|| SourceError::content(&self.root, "mount table")))
    }

    /// The root as the kernel writes it: without symbolic links.
    fn prefix(&self) -> Result<Vec<u8>, SourceError> {
        let real = self.root.canonicalize();
        let real = real.map_err(|error| SourceError::read(&self.root, error))?;
        Ok(real.as_os_str().as_bytes().to_vec())
    }

    /// The best of one device's mounts that can be asked.
    fn disk(&mut self, mounts: &[Mount]) -> Option<(String, Disk)> {
        let mut omission = None;
        for mount in mounts {
            match self.measure(mount) {
                Ok(Usage { total, used }) => {
                    let name = String::from_utf8_lossy(&mount.path).into_owned();
                    return Some((name, Disk { total, used }));
                }
                Err(why) => omission = omission.or(Some((mount, why))),
            }
        }
        if let Some((mount, why)) = omission {
            self.name_once(mount, &why);
        }
        None
    }

    fn measure(&mut self, mount: &Mount) -> Result<Usage, Omission> {
        let path = self.reached(&mount.path);
        let answer = if mount.may_hang {
            self.probes.ask(&path, probe::measure)
        } else {
            probe::measure(&path)
        };
        let (device, usage) = answer.map_err(Omission::Unreachable)?;
        // A disk that was mounted on the host after its root was mounted here is in the table
        // and not at the path: there, the file system that holds the mount point answers.
        if !mount.may_hold(device) {
            return Err(Omission::Covered);
        }
        Ok(usage)
    }

    /// Where this process finds what the host has at `path`.
    fn reached(&self, path: &[u8]) -> PathBuf {
        let relative = path.strip_prefix(b"/").unwrap_or(path);
        self.root
            .join(Path::new(std::ffi::OsStr::from_bytes(relative)))
    }

    /// One line in the log for each disk that is left out, not one for each sample.
    fn name_once(&mut self, mount: &Mount, why: &Omission) {
        if self.named.len() >= MAX_NAMED || !self.named.insert(mount.path.clone()) {
            return;
        }
        let path = String::from_utf8_lossy(&mount.path);
        let hint = match why {
            Omission::Covered if self.root != Path::new("/") => {
                " (mounted after the agent's container was started? mount the root with `ro,rslave`; \
                 where the host's / is private, start the agent again)"
            }
            _ => "",
        };
        ::log::warn!("disk {path:?} is left out of the reports: {why}{hint}");
    }
}

impl fmt::Display for Omission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Omission::Unreachable(error) if error.kind() == io::ErrorKind::TimedOut => {
                f.write_str("its file system does not answer")
            }
            Omission::Unreachable(error) => write!(f, "it cannot be reached: {error}"),
            Omission::Covered => f.write_str("another file system answers at its path"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::{Tree, fixture};
    use super::*;

    /// A root whose table says that `lines` (`MAJOR:MINOR PATH TYPE`, `@` for the device that the
    /// tree is really on) are mounted.
    fn host(lines: &[&str], table: &str) -> Tree {
        let tree = Tree::new();
        tree.write(
            "proc/filesystems",
            "nodev\tnfs\n\text4\n\tbtrfs\n\tfuseblk\n",
        );
        let device = fs::device(&tree.0).unwrap();
        let real = format!("{}:{}", device.major, device.minor);
        let mut text = String::new();
        for line in lines {
            let line = line.replacen('@', &real, 1);
            let [device, path, kind] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            text.push_str(&format!("1 0 {device} / {path} rw - {kind} /dev/x rw\n"));
        }
        tree.write(table, text);
        tree
    }

    fn names(disks: &mut Disks) -> Vec<String> {
        disks.sample().unwrap().keys().cloned().collect()
    }

    #[test]
    fn the_size_is_that_of_the_path_under_the_root() {
        let tree = host(&["@ / ext4", "0:1 /net nfs"], "proc/1/mountinfo");
        let disks = Disks::new(&tree.0).sample().unwrap();
        let usage = fs::usage(&tree.0).unwrap();
        assert_eq!(disks.len(), 1);
        let disk = disks.get(&"/".to_owned()).unwrap();
        assert_eq!(disk.total, usage.total);
        assert!(disk.used <= usage.total);
    }

    #[test]
    fn one_device_is_one_disk_by_its_best_path() {
        let tree = host(
            &["@ /long/bind ext4", "@ /b\\040c ext4", "@ /bc ext4"],
            "proc/1/mountinfo",
        );
        std::fs::create_dir_all(tree.0.join("long/bind")).unwrap();
        std::fs::create_dir_all(tree.0.join("b c")).unwrap();
        // The shortest is not there: the next best answers.
        assert_eq!(names(&mut Disks::new(&tree.0)), ["/b c"]);
        std::fs::create_dir_all(tree.0.join("bc")).unwrap();
        assert_eq!(names(&mut Disks::new(&tree.0)), ["/bc"]);
    }

    #[test]
    fn a_disk_that_is_not_at_its_path_is_left_out_and_named_once() {
        let tree = host(&["@ / ext4", "240:77 /late ext4"], "proc/1/mountinfo");
        std::fs::create_dir(tree.0.join("late")).unwrap();
        let mut disks = Disks::new(&tree.0);
        for _ in 0..3 {
            assert_eq!(names(&mut disks), ["/"]);
            assert_eq!(disks.named, Set::from([b"/late".to_vec()]));
        }
    }

    #[test]
    fn a_slow_disk_is_asked_as_well() {
        let tree = host(&["@ /ntfs fuseblk"], "proc/1/mountinfo");
        std::fs::create_dir(tree.0.join("ntfs")).unwrap();
        assert_eq!(names(&mut Disks::new(&tree.0)), ["/ntfs"]);
    }

    #[test]
    fn one_s_own_table_serves_where_that_of_process_1_is_hidden() {
        let tree = host(&[], "proc/self/mountinfo");
        let device = fs::device(&tree.0).unwrap();
        let (real, root) = (
            format!("{}:{}", device.major, device.minor),
            tree.0.display(),
        );
        tree.write(
            "proc/self/mountinfo",
            format!(
                "1 0 240:1 / / rw - ext4 /dev/a rw\n\
                 2 1 {real} / {root} rw - ext4 /dev/b rw\n\
                 3 2 {real} / {root}/proc rw - ext4 /dev/b rw\n"
            ),
        );
        assert_eq!(names(&mut Disks::new(&tree.0)), ["/"]);
        // A root with a symbolic link in it is the same root.
        let link = Tree::new();
        let linked = link.0.join("rootfs");
        std::os::unix::fs::symlink(&tree.0, &linked).unwrap();
        assert_eq!(names(&mut Disks::new(&linked)), ["/"]);
    }

    #[test]
    fn what_is_named_is_bounded() {
        let lines: Vec<String> = (0..MAX_NAMED + 10)
            .map(|number| format!("240:{number} /none{number} ext4"))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let tree = host(&lines, "proc/1/mountinfo");
        let mut disks = Disks::new(&tree.0);
        assert!(names(&mut disks).is_empty());
        assert_eq!(disks.named.len(), MAX_NAMED);
    }

    #[test]
    fn no_table_and_no_types_are_errors_that_name_the_file() {
        let tree = Tree::new();
        let error = Disks::new(&tree.0).sample().unwrap_err();
        assert!(error.to_string().contains("proc/filesystems"), "{error}");
        tree.write("proc/filesystems", "\text4\n");
        let error = Disks::new(&tree.0).sample().unwrap_err();
        assert!(error.to_string().contains("proc/1/mountinfo"), "{error}");
    }

    #[test]
    fn fixtures_are_sampled_without_their_disks() {
        // Their devices are not this machine's; whatever answers, it is not taken for them.
        for name in ["desktop", "raspberry-pi", "old-kernel", "container/rootfs"] {
            let disks = Disks::new(&fixture(name)).sample().unwrap();
            assert!(disks.keys().all(|path| path.starts_with('/')), "{name}");
        }
    }

    #[test]
    fn this_machine_s_own_disks_are_read() {
        let mut disks = Disks::new(Path::new("/"));
        let first = disks.sample().unwrap();
        for (path, disk) in &first {
            assert!(disk.used <= disk.total, "{path} {disk:?}");
        }
        let second = disks.sample().unwrap();
        assert!(first.keys().eq(second.keys()));
    }
}
