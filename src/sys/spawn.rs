//! Other programs: `posix_spawn(3)`, `waitpid(2)`.
//!
//! The standard library's `Command` can do more, and is 50 KB of the binary.

use std::ffi::{CString, c_char};
use std::fs::File;
use std::io::{self, Seek};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use super::cvt;
use super::fs::read_up_to;

unsafe extern "C" {
    /// This process's environment (environ(7)).
    static environ: *const *mut c_char;
}

/// Runs a program, which is searched for as a shell does, to its end, with nothing to read; gives whether it
/// says that it was successful, and up to `bound` bytes of what it wrote to standard output and error.
///
/// What it wrote is kept in memory and not sent through a pipe: a service that it leaves running
/// would hold the pipe open for ever.
///
/// # Errors
/// There is no such program, or no memory.
pub fn run(program: &str, arguments: &[&str], bound: usize) -> io::Result<(bool, Vec<u8>)> {
    let mut output = memory_file()?;
    let words = [&[program], arguments].concat();
    let words: Vec<CString> = words
        .into_iter()
        .map(CString::new)
        .collect::<Result<_, _>>()?;
    let mut argv: Vec<*mut c_char> = words.iter().map(|word| word.as_ptr().cast_mut()).collect();
    argv.push(ptr::null_mut());
    let child = spawn(&argv, &output)?;
    let mut status = 0;
    // SAFETY: `child` is this process's own and was not waited for; the call writes `status` only.
    while let Err(error) = cvt(unsafe { libc::waitpid(child, &raw mut status, 0) }) {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    output.rewind()?;
    let success = libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
    Ok((success, read_up_to(&output, bound)?))
}

fn memory_file() -> io::Result<File> {
    // SAFETY: the name is a string with its NUL; a descriptor that is returned belongs to nobody else.
    let file = unsafe {
        let descriptor = cvt(libc::memfd_create(c"output".as_ptr(), libc::MFD_CLOEXEC))?;
        OwnedFd::from_raw_fd(descriptor)
    };
    Ok(File::from(file))
}

/// `argv` ends with a null pointer; what comes before it lives.
fn spawn(argv: &[*mut c_char], output: &File) -> io::Result<libc::pid_t> {
    let mut child = 0;
    let mut actions = MaybeUninit::<libc::posix_spawn_file_actions_t>::zeroed();
    let actions = actions.as_mut_ptr();
    let program = argv.first().copied().unwrap_or(ptr::null_mut());
    let output = output.as_raw_fd();
    // SAFETY: `actions` is writable and initialised by the first call, before the others use it, and
    // destroyed by the last. The paths and words are strings with their NUL that live until the call has
    // returned, and both lists end with a null pointer; no other thread changes the environment.
    let answer = unsafe {
        libc::posix_spawn_file_actions_init(actions);
        libc::posix_spawn_file_actions_addopen(
            actions,
            0,
            c"/dev/null".as_ptr(),
            libc::O_RDONLY,
            0,
        );
        libc::posix_spawn_file_actions_adddup2(actions, output, 1);
        libc::posix_spawn_file_actions_adddup2(actions, output, 2);
        let answer = libc::posix_spawnp(
            &raw mut child,
            program,
            actions,
            ptr::null(),
            argv.as_ptr(),
            environ,
        );
        libc::posix_spawn_file_actions_destroy(actions);
        answer
    };
    match answer {
        0 => Ok(child),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_and_how_it_ends() {
        let ran = run("sh", &["-c", "cat; echo out; echo err >&2"], 100).unwrap();
        assert_eq!(ran, (true, b"out\nerr\n".to_vec()));
        assert_eq!(
            run("sh", &["-c", "echo no; exit 3"], 2).unwrap(),
            (false, b"no".to_vec())
        );
        assert!(!run("sh", &["-c", "kill -9 $$"], 2).unwrap().0);
        let none = run("no-such-program", &[], 2).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn one_that_goes_on_in_the_background_is_not_waited_for() {
        let ran = run("sh", &["-c", "sleep 60 & echo $!"], 100).unwrap();
        let id = String::from_utf8(ran.1).unwrap();
        assert!(run("kill", &[id.trim()], 0).unwrap().0, "{id}");
    }
}
