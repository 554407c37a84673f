//! `hash-password`: the bcrypt hash for `admin_password`, of the password on standard input.

use super::{Failure, print};
use crate::auth;
use crate::sys::terminal::Silence;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::process::ExitCode;

/// The most bytes that are read; a password of that length is refused.
const MAX_INPUT: u64 = 4096;

pub fn run() -> Result<ExitCode, Failure> {
    let input = io::stdin();
    let password = if input.is_terminal() {
        ask()
    } else {
        read(input)
    };
    let password = password.map_err(|error| Failure::Io("cannot read the password", error))?;
    let line = password.strip_suffix(b"\n").unwrap_or(&password);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let hash = auth::hash_password(line).map_err(Failure::Password)?;
    print(&format!("{hash}\n"))
}

fn read(input: io::Stdin) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.lock().take(MAX_INPUT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Asks for one line that the terminal does not show.
fn ask() -> io::Result<Vec<u8>> {
    let input = io::stdin();
    let silence = Silence::begin(&input)?;
    eprint!("Password: ");
    let mut bytes = Vec::new();
    let line = BufReader::new(input.lock().take(MAX_INPUT)).read_until(b'\n', &mut bytes);
    drop(silence);
    eprintln!();
    line.map(|_| bytes)
}
