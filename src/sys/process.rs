//! This process: its place in the process tree and its line in the process list.

use std::ffi::{OsString, c_char};
use std::io;
use std::os::unix::ffi::OsStrExt;

use super::cvt;

/// What a wiped byte is shown as.
const WIPED: u8 = b'*';

unsafe extern "C" {
    /// `argv[0]` as the kernel placed it (glibc and musl; program_invocation_name(3)).
    static program_invocation_name: *mut c_char;
}

/// Whether this is process 1: a container's, which its restart policy watches.
pub fn is_pid1() -> bool {
    std::process::id() == 1
}

/// The user as whom this process does what it does.
pub fn effective_uid() -> u32 {
    // SAFETY: the call takes nothing, touches no memory and cannot fail (getuid(2)).
    unsafe { libc::geteuid() }
}

/// What this process makes from now on has the mode that it is made with, but for what group and others may write (umask(2)).
pub fn set_usual_umask() {
    // SAFETY: the call takes a number, touches no memory and cannot fail.
    unsafe { libc::umask(0o022) };
}

/// No program that this thread, and what it makes, may ever execute gets rights by its set-user-ID
/// bit or its file's capabilities (`PR_SET_NO_NEW_PRIVS`, prctl(2)).
///
/// # Errors
/// `prctl(2)`: `EINVAL` before Linux 3.5.
pub fn forbid_new_privileges() -> io::Result<()> {
    let (on, unused): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: the call takes numbers alone, and touches no memory of the process.
    let answer = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, on, unused, unused, unused) };
    cvt(answer).map(|_| ())
}

/// Overwrites parts of the command line where the process list shows it (proc_pid_cmdline(5)):
/// `ranges` are an argument's index in `arguments`, its first byte and the byte behind its last.
/// `arguments` is the whole command line, as `std::env::args_os` gave it; that function gives the
/// wiped one afterwards.
///
/// False if something was to be wiped and the memory does not hold what it should, which is left
/// alone then.
pub fn wipe_arguments(arguments: &[OsString], ranges: &[(usize, usize, usize)]) -> bool {
    if ranges.is_empty() {
        return true;
    }
    let mut expected = Vec::new();
    let mut starts = Vec::new();
    for argument in arguments {
        starts.push(expected.len());
        expected.extend_from_slice(argument.as_bytes());
        expected.push(0);
    }
    // SAFETY: the C library sets this pointer before main and nothing in this program sets it
    // again; it is only copied here.
    let first = unsafe { program_invocation_name }.cast::<u8>();
    if first.is_null() || arguments.is_empty() || !holds(first, &expected) {
        return false;
    }
    for &(index, start, end) in ranges {
        let Some((&at, argument)) = starts.get(index).zip(arguments.get(index)) else {
            return false;
        };
        for offset in start..end.min(argument.len()) {
            // SAFETY: `at + offset` lies inside the argument's string, which is inside the
            // `expected.len()` bytes that `holds` has read through this pointer. The memory is the
            // process's own stack, writable (POSIX: the argv strings "shall be modifiable by the
            // program"), and no reference into it lives: std copies arguments out. main calls
            // this before there is another thread.
            unsafe { first.add(at + offset).write_volatile(WIPED) };
        }
    }
    true
}

/// Whether the bytes from `first` on are `expected`: the argument strings one behind the other,
/// each with its NUL, as execve(2) lays them out.
fn holds(first: *const u8, expected: &[u8]) -> bool {
    expected.iter().enumerate().all(|(offset, &byte)| {
        // SAFETY: `first` is argv[0], the beginning of the strings that the kernel places without
        // a gap: arguments, environment, file name. All bytes before `offset` were those of the
        // arguments up to here, so this byte is still an argument's, or, had they been moved, at
        // the latest a string's NUL at which the comparison ends.
        unsafe { first.add(offset).read_volatile() == byte }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_are_not_the_processs_own_are_not_touched() {
        let before: Vec<OsString> = std::env::args_os().collect();
        let strange = vec![OsString::from("not"), OsString::from("ours")];
        assert!(!wipe_arguments(&strange, &[(1, 0, 4)]));
        assert!(wipe_arguments(&strange, &[]));
        assert_eq!(std::env::args_os().collect::<Vec<_>>(), before);
    }
}
