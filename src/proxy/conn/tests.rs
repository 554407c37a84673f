//! The machine as its shell drives it: every case whole, byte by byte, and with trailing bytes.

use super::shell;

mod answers;
mod case;
mod ends;
mod judged;
mod policies;
mod random;
mod requests;
mod tunnels;
mod upstream;
mod wire;
