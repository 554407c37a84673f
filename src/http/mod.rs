//! HTTP/1.1 messages (RFC 9110, RFC 9112).

pub mod body;
pub mod client;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod head;
