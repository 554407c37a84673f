//! Landlock, by which a process gives up the file system but for what it names: landlock(7), the
//! kernel's `Documentation/userspace-api/landlock.rst`, and `linux/landlock.h`, whose names these are.
//!
//! It binds the calling thread and what that makes from then on. What is open already stays open.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// `LANDLOCK_CREATE_RULESET_VERSION`: asks for the ABI alone.
const VERSION: u32 = 1;
/// `LANDLOCK_RULE_PATH_BENEATH`.
const PATH_BENEATH: libc::c_int = 1;

/// `LANDLOCK_ACCESS_FS_READ_FILE`.
const READ_FILE: u64 = 1 << 2;
/// `LANDLOCK_ACCESS_FS_READ_DIR`.
const READ_DIR: u64 = 1 << 3;

/// How many `LANDLOCK_ACCESS_FS_…` bits an ABI has, from the lowest on, for each ABI that brought
/// some: from `EXECUTE` to `MAKE_SYM`; `REFER`; `TRUNCATE`; `IOCTL_DEV`. What has no bit (`stat`,
/// `chmod`, `utimensat` …) Landlock leaves alone.
const RIGHTS: [(u32, u32); 4] = [(1, 13), (2, 14), (3, 15), (5, 16)];
/// The first ABI with scopes.
const SCOPES: u32 = 6;

/// `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET`: no connection to a socket without a file.
const ABSTRACT_SOCKET: u64 = 1 << 0;
/// `LANDLOCK_SCOPE_SIGNAL`: no signal to a process outside.
const SIGNAL: u64 = 1 << 1;

/// `struct landlock_ruleset_attr`. An older kernel takes a longer one than it knows if the rest is 0.
#[repr(C)]
struct Attributes {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct Beneath {
    allowed_access: u64,
    parent_fd: libc::c_int,
}

/// The version of what the kernel has, from 1 on.
///
/// # Errors
/// `ENOSYS`: the kernel has none; `EOPNOTSUPP`: it is not among the kernel's `lsm=`; `EPERM`:
/// a filter of system calls refuses it.
pub fn abi() -> io::Result<u32> {
    // SAFETY: no attributes and length 0 are what asking for the version takes; nothing is read or
    // written.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<Attributes>(),
            0_usize,
            VERSION,
        )
    };
    number(answer)
}

/// What may still be read, before it holds.
pub struct Ruleset(OwnedFd);

impl Ruleset {
    /// Nothing may be read, written or executed, no process outside be signalled and no socket without
    /// a file outside be connected to, as far as `abi` knows how to say so.
    ///
    /// # Errors
    /// `landlock_create_ruleset(2)`.
    pub fn new(abi: u32) -> io::Result<Ruleset> {
        let attributes = Attributes {
            handled_access_fs: handled(abi),
            handled_access_net: 0,
            scoped: scopes(abi),
        };
        // SAFETY: `attributes` is live, of the structure's layout, and as long as is said; the
        // call only reads it.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_landlock_create_ruleset,
                &raw const attributes,
                size_of::<Attributes>(),
                0_u32,
            )
        };
        let descriptor = number(answer)?.cast_signed();
        // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
        Ok(Ruleset(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// Lets files be read at `place` and, if that is a directory, below it: by whatever name, now or
    /// later, since it is the directory itself that is remembered.
    ///
    /// # Errors
    /// `open(2)` of the path, `landlock_add_rule(2)`.
    pub fn allow_reading(&self, place: &Path) -> io::Result<()> {
        let place = open_path(place)?;
        let directories = if place.metadata()?.is_dir() {
            READ_DIR
        } else {
            0
        };
        let beneath = Beneath {
            allowed_access: READ_FILE | directories,
            parent_fd: place.as_raw_fd(),
        };
        // SAFETY: both descriptors are open for as long as the call lasts; `beneath` is live and of
        // the structure's layout, and is only read.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_landlock_add_rule,
                self.0.as_raw_fd(),
                PATH_BENEATH,
                &raw const beneath,
                0_u32,
            )
        };
        number(answer).map(|_| ())
    }

    /// From now on it holds for this thread and all that it makes. Needs `no_new_privs`.
    ///
    /// # Errors
    /// `landlock_restrict_self(2)`.
    pub fn restrict_self(self) -> io::Result<()> {
        // SAFETY: the descriptor is open, and the call takes no memory.
        let answer =
            unsafe { libc::syscall(libc::SYS_landlock_restrict_self, self.0.as_raw_fd(), 0_u32) };
        number(answer).map(|_| ())
    }
}

/// Every right of the file system that `abi` knows: each that is not allowed is denied.
fn handled(abi: u32) -> u64 {
    let known = RIGHTS.iter().rev().find(|(since, _)| *since <= abi);
    known.map_or(0, |(_, bits)| (1 << bits) - 1)
}

/// Every scope that `abi` knows.
fn scopes(abi: u32) -> u64 {
    if abi < SCOPES {
        0
    } else {
        ABSTRACT_SOCKET | SIGNAL
    }
}

/// Opens a path without the right to read it.
fn open_path(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_CLOEXEC);
    options.open(path)
}

/// A call's −1 as the error; any other answer of these calls is a small number.
fn number(answer: libc::c_long) -> io::Result<u32> {
    u32::try_from(answer).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn each_abi_denies_what_it_knows() {
        assert_eq!(handled(0), 0);
        assert_eq!(handled(1), 0x1fff);
        assert_eq!(handled(2), 0x3fff);
        assert_eq!(handled(4), 0x7fff);
        assert_eq!(handled(5), 0xffff);
        assert_eq!(handled(99), 0xffff);
        assert_eq!((scopes(5), scopes(6)), (0, 3));
    }

    /// In a thread of its own, which alone is bound.
    fn restricted(to: &[&Path], then: impl FnOnce() + Send) {
        let Ok(abi) = abi() else { return };
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                super::super::process::forbid_new_privileges().unwrap();
                let ruleset = Ruleset::new(abi).unwrap();
                for place in to {
                    ruleset.allow_reading(place).unwrap();
                }
                ruleset.restrict_self().unwrap();
                then();
            });
            thread.join().unwrap();
        });
    }

    fn denied<T>(result: io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    #[test]
    fn what_is_named_is_read_and_nothing_else() {
        let base = std::env::temp_dir().join(format!("haven-landlock-{}", std::process::id()));
        let (open, shut) = (base.join("open"), base.join("shut"));
        for directory in [&open, &shut] {
            fs::create_dir_all(directory).unwrap();
            fs::write(directory.join("file"), "text").unwrap();
        }
        let alone = shut.join("alone");
        fs::write(&alone, "text").unwrap();
        restricted(&[&open, &alone], || {
            assert_eq!(fs::read(open.join("file")).unwrap(), b"text");
            assert_eq!(fs::read_dir(&open).unwrap().count(), 1);
            assert_eq!(fs::read(&alone).unwrap(), b"text");
            assert!(denied(fs::read(shut.join("file"))));
            assert!(denied(fs::read_dir(&shut)));
            assert!(denied(fs::write(open.join("file"), "other")));
            assert!(denied(fs::write(open.join("new"), "other")));
            assert!(denied(fs::remove_file(open.join("file"))));
            assert!(denied(std::process::Command::new("/bin/true").status()));
            // What needs no right goes on: `stat`, links, and what Docker and the disks need.
            assert!(fs::metadata(shut.join("file")).is_ok());
            assert!(super::super::fs::usage(Path::new("/")).is_ok());
        });
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn a_unix_socket_is_connected_to_wherever_it_is() {
        let path = std::env::temp_dir().join(format!("haven-landlock-{}.sock", std::process::id()));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        restricted(&[], || {
            std::os::unix::net::UnixStream::connect(&path).unwrap();
        });
        drop(listener);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_socket_without_a_file_is_out_of_reach() {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
        let name = format!("haven-landlock-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        UnixStream::connect_addr(&address).unwrap();
        restricted(&[], || {
            let connected = UnixStream::connect_addr(&address);
            assert_eq!(denied(connected), scopes(abi().unwrap()) != 0);
        });
        drop(listener);
    }

    #[test]
    fn no_other_process_is_to_be_looked_into() {
        let mut other = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let proc = Path::new("/proc");
        let path = proc.join(other.id().to_string());
        fs::File::open(path.join("mem")).unwrap();
        restricted(&[proc], || {
            // (`environ` and `maps` an agent with CAP_PERFMON reads still: mm_access() of newer
            // kernels asks no one else then.)
            assert!(denied(fs::File::open(path.join("mem"))));
            assert!(denied(fs::read(path.join("root/etc/hostname"))));
            // What the metrics of the host are read from.
            assert!(fs::read(path.join("mountinfo")).is_ok());
            assert!(fs::read(path.join("net/dev")).is_ok());
            assert!(fs::read("/proc/self/mountinfo").is_ok());
        });
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
