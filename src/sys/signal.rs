//! Signals as events: `signalfd(2)`; and `eventfd(2)`, by which threads wake each other's loops.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::cvt;

/// The signals that are read: two that end the agent, and one that has it read its settings again.
const READ: [libc::c_int; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

/// What [`Signals::next`] calls the last of them.
pub const HANGUP: &str = "SIGHUP";

fn read_set() -> libc::sigset_t {
    // SAFETY: all-zero bytes are a valid sigset_t, which sigemptyset then sets up; both calls
    // only write to it, and the signal numbers are valid.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in READ {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

/// SIGTERM, SIGINT and SIGHUP, to be read when they come.
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks the signals for this thread and those it starts later, and makes them readable.
    /// To be called before the first thread is started: a thread that does not block a signal
    /// gets it, and its default action ends the process.
    ///
    /// # Errors
    /// `sigprocmask(2)`, `signalfd(2)`.
    pub fn take() -> io::Result<Signals> {
        let set = read_set();
        // SAFETY: `set` is a live, initialised sigset_t that both calls only read; the old mask
        // is not asked for. A descriptor that is returned belongs to nobody else.
        let fd = unsafe {
            let error =
                libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
            let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
            OwnedFd::from_raw_fd(cvt(libc::signalfd(-1, &raw const set, flags))?)
        };
        Ok(Signals(fd))
    }

    /// The name of the next signal that has come, if one has.
    pub fn next(&self) -> Option<&'static str> {
        // SAFETY: all-zero bytes are a valid signalfd_siginfo.
        let mut info: libc::signalfd_siginfo = unsafe { mem::zeroed() };
        let size = mem::size_of::<libc::signalfd_siginfo>();
        // SAFETY: the kernel writes at most `size` bytes to `info`, which has that many.
        let count = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size) };
        if count.cast_unsigned() != size {
            return None;
        }
        match info.ssi_signo.cast_signed() {
            libc::SIGINT => Some("SIGINT"),
            libc::SIGHUP => Some(HANGUP),
            _ => Some("SIGTERM"),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Wakes a loop from another thread.
pub struct Waker(OwnedFd);

impl Waker {
    /// Not yet woken.
    ///
    /// # Errors
    /// `eventfd(2)`.
    pub fn new() -> io::Result<Waker> {
        // SAFETY: takes no pointer; a descriptor that it returns belongs to nobody else.
        let fd = unsafe {
            let fd = cvt(libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC))?;
            OwnedFd::from_raw_fd(fd)
        };
        Ok(Waker(fd))
    }

    /// Makes the descriptor readable. That it already is (the counter is full) is as good.
    pub fn wake(&self) {
        let one: u64 = 1;
        // SAFETY: the kernel reads the 8 bytes of `one`.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// Makes it unreadable again.
    pub fn reset(&self) {
        let mut count: u64 = 0;
        // SAFETY: the kernel writes at most 8 bytes to `count`.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), 8) };
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
