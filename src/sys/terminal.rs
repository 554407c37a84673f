//! A terminal that does not show what is typed.

use super::cvt;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// While it lives, the terminal shows nothing of what is typed and sends no signals, as
/// getpass(3) has it: an interrupt would leave the terminal silent.
pub struct Silence<'a> {
    terminal: BorrowedFd<'a>,
    before: libc::termios,
}

impl<'a> Silence<'a> {
    /// Silences a terminal.
    ///
    /// # Errors
    /// `tcgetattr(3)`, `tcsetattr(3)`: not a terminal.
    pub fn begin(terminal: &'a impl AsFd) -> io::Result<Silence<'a>> {
        let terminal = terminal.as_fd();
        // SAFETY: all-zero bytes are a valid termios; the call only writes to it.
        let before = unsafe {
            let mut before: libc::termios = mem::zeroed();
            cvt(libc::tcgetattr(terminal.as_raw_fd(), &raw mut before))?;
            before
        };
        let mut silent = before;
        silent.c_lflag &= !(libc::ECHO | libc::ISIG);
        set(terminal, &silent)?;
        Ok(Silence { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // There is nothing to be done about a terminal that is gone.
        let _ = set(self.terminal, &self.before);
    }
}

fn set(terminal: BorrowedFd<'_>, to: &libc::termios) -> io::Result<()> {
    // SAFETY: `to` is a live termios that the call only reads.
    cvt(unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSAFLUSH, to) }).map(|_| ())
}
