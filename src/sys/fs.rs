//! Bounded reading of files; sizes and devices of file systems.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::cvt;

/// `open(2)`: a link in the place of the file itself is an error.
pub const NO_FOLLOW: i32 = libc::O_NOFOLLOW;

/// The bytes of `file` from where it stands, up to `bound` of them.
///
/// # Errors
/// What `read(2)` fails with.
pub fn read_up_to(file: &File, bound: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bound as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a file system holds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// `f_blocks` × `f_frsize`: all of it, with what is kept for root.
    pub total: u64,
    /// (`f_blocks` − `f_bfree`) × `f_frsize`: what is not free, even to root.
    pub used: u64,
}

/// The numbers of a device, as `mountinfo` writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// The driver's number; 0 where no block device is behind the file system.
    pub major: u32,
    /// The driver's own numbering.
    pub minor: u32,
}

/// What the file system at `path` holds (`statvfs(3)`). May block for as long as a network or
/// user-space file system does not answer.
///
/// # Errors
/// What `statvfs` fails with, and `InvalidInput` for a path with a NUL byte.
pub fn usage(path: &Path) -> io::Result<Usage> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut answer = MaybeUninit::<libc::statvfs64>::zeroed();
    // SAFETY: `path` is a NUL-terminated string and `answer` is writable and of the type that
    // the call fills; both live until it returns.
    cvt(unsafe { libc::statvfs64(path.as_ptr(), answer.as_mut_ptr()) })?;
    // SAFETY: the structure is integers only, for which all bits zero is a valid value, and the
    // call has filled it since.
    let answer = unsafe { answer.assume_init() };
    Ok(scaled(answer.f_blocks, answer.f_bfree, block_size(&answer)))
}

/// `f_frsize`, the unit of the block counts; 32 or 64 bits wide.
fn block_size(answer: &libc::statvfs64) -> u64 {
    #[allow(clippy::useless_conversion, reason = "32 bits on some targets")]
    u64::from(answer.f_frsize)
}

/// Block counts in bytes. The counts are the file system's own word: a FUSE server may say
/// anything.
fn scaled(blocks: u64, free: u64, size: u64) -> Usage {
    Usage {
        total: blocks.saturating_mul(size),
        used: blocks.saturating_sub(free).saturating_mul(size),
    }
}

/// The device that the file at `path` is on (`st_dev` of `stat(2)`). May block like [`usage`].
///
/// # Errors
/// What `stat` fails with.
pub fn device(path: &Path) -> io::Result<Device> {
    let number = std::fs::metadata(path)?.dev();
    Ok(Device {
        major: libc::major(number),
        minor: libc::minor(number),
    })
}

/// Whether mounts came or went since `table`, an open `mountinfo`, was opened or this was last
/// asked (`POLLPRI`, proc_pid_mounts(5)). True when that cannot be known; false for a file that
/// is none of the kernel's tables.
pub fn mounts_changed(table: &File) -> bool {
    let mut entry = libc::pollfd {
        fd: table.as_raw_fd(),
        events: libc::POLLPRI,
        revents: 0,
    };
    // SAFETY: `entry` is one live, writable `pollfd`, as the count says, and its descriptor is
    // open for as long as `table` is borrowed. A timeout of 0 never blocks.
    let asked = cvt(unsafe { libc::poll(&raw mut entry, 1, 0) });
    asked.is_err() || entry.revents != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_has_a_size_and_a_device() {
        let root = Path::new("/");
        let usage = usage(root).unwrap();
        assert!(usage.total > 0 && usage.used <= usage.total, "{usage:?}");
        assert_eq!(device(root).unwrap(), device(root).unwrap());
    }

    #[test]
    fn sizes_agree_with_stat_of_coreutils() {
        let path = Path::new("/proc");
        assert_eq!(
            usage(path).unwrap(),
            Usage { total: 0, used: 0 },
            "procfs has no blocks"
        );
        let said = std::process::Command::new("stat")
            .args(["-f", "-c", "%b %S", "/"])
            .output()
            .unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let (blocks, size) = said.trim().split_once(' ').unwrap();
        let total = blocks.parse::<u64>().unwrap() * size.parse::<u64>().unwrap();
        assert_eq!(usage(Path::new("/")).unwrap().total, total);
    }

    #[test]
    fn what_cannot_be_reached_is_an_error() {
        let missing = Path::new("/no/such/path");
        assert_eq!(usage(missing).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(device(missing).unwrap_err().kind(), io::ErrorKind::NotFound);
        let odd = Path::new("/a\0b");
        assert_eq!(usage(odd).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn nonsense_counts_do_not_overflow() {
        assert_eq!(
            scaled(u64::MAX, 0, u64::MAX),
            Usage {
                total: u64::MAX,
                used: u64::MAX
            }
        );
        assert_eq!(
            scaled(1, 2, 4096),
            Usage {
                total: 4096,
                used: 0
            }
        );
        // 32 TiB: more blocks of 4 KiB than 32 bits count.
        assert_eq!(scaled(1 << 33, 1 << 32, 4096).used, 1 << 44);
    }

    #[test]
    fn an_untouched_table_has_not_changed() {
        // Other tests mount nothing; what else runs on this machine may, once in a while.
        let table = File::open("/proc/self/mountinfo").unwrap();
        let quiet = (0..100).any(|_| !mounts_changed(&table));
        assert!(quiet);
        assert!(!mounts_changed(&File::open("/proc/self/exe").unwrap()));
    }
}
