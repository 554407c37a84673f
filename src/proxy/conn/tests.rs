//! The machine as its shell drives it: every case whole, byte by byte, and with trailing bytes.

mod answers;
mod case;
mod ends;
mod policies;
mod random;
mod requests;
mod shell;
mod tunnels;
mod upstream;
mod wire;
