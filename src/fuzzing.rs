//! Whatever comes from outside, read from arbitrary bytes: a harness for each reader, which panics
//! where something does not hold that always has to. They are kept in the `fuzz.rs` of each room.
//!
//! `scripts/fuzz` lets cargo-fuzz (`tests/fuzz`) look for such bytes; the tests below run each
//! harness over its corpus and over what a small mutator makes of it.

pub use crate::auth::fuzz::{basic, htpasswd};
pub use crate::config::fuzz::ini;
pub use crate::docker::fuzz::docker_answer;
pub use crate::http::fuzz::{chunked_body, request_head, response_head};
pub use crate::metrics::fuzz::{mountinfo, proc};
pub use crate::policy::body::fuzz::body;
pub use crate::policy::fuzz::{policies, target_path};
pub use crate::proxy::conn::fuzz::conn;
pub use crate::tls::fuzz::{certificate, host_addresses, private_key};

#[cfg(test)]
mod tests;
