//! Every `unsafe` block of the project: thin, safe wrappers around system calls.
//!
//! One file a subject; each block carries the reason why it is sound. Nothing above this floor
//! names `libc`.

use std::io;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "arm"))]
mod calls;
mod copy;
pub mod epoll;
pub mod fs;
pub mod heap;
pub mod landlock;
pub mod limits;
pub mod net;
pub mod process;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod spawn;
pub mod stream;
pub mod terminal;
pub mod thread;
pub mod time;
#[cfg(all(panic = "abort", target_env = "musl"))]
mod unwind;

/// The one place where a system call's −1 becomes an [`io::Error`] made from `errno`.
pub(crate) fn cvt(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
