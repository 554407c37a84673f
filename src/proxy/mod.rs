//! The TLS proxy in front of Docker.

pub mod conn;
pub mod session;
pub mod tunnel;
