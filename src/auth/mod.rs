//! Users, Basic credentials and their verification.
//!
//! - `users`: who may come in: names and bcrypt hashes, the htpasswd format, new hashes;
//! - `basic`: the `Authorization` field's `Basic` form (RFC 7617);
//! - `remembered`: credentials that were verified before;
//! - `lockout`: how long an address waits after passwords that were wrong;
//! - `authenticator`: the verdict on a request, and the thread that runs bcrypt.
//!
//! Nothing here reads a file, a socket or a clock: text comes in, verdicts go out.

mod authenticator;
mod basic;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod lockout;
mod remembered;
mod users;

pub use authenticator::{Authenticator, NOBODY, Reply, Verdict};
pub use basic::MAX_AUTHORIZATION;
pub use users::{
    DEFAULT_PASSWORD_HASH, DEFAULT_USER, HashError, MAX_COST, PasswordError, Users, hash_password,
    parse_htpasswd,
};
