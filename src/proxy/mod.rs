//! The TLS proxy in front of Docker.

pub mod conn;
pub mod outbox;
pub mod reply;
pub mod session;
pub mod tunnel;
