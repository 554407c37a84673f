//! Users, Basic credentials and their verification.
//!
//! - `users`: who may come in: names and bcrypt hashes, the htpasswd format, new hashes;
//! - `basic`: the `Authorization` field's `Basic` form (RFC 7617);
//! - `remembered`: credentials that were verified before;
//! - `authenticator`: the verdict on a request, and the thread that runs bcrypt.
//!
//! Nothing here reads a file, a socket or a clock: text comes in, verdicts go out.

mod authenticator;
mod basic;
mod remembered;
mod users;

pub use authenticator::{Authenticator, MAX_QUEUED, MAX_WAITING, NOBODY, Reply, Verdict};
pub use basic::MAX_AUTHORIZATION;
pub use users::{
    DEFAULT_PASSWORD_HASH, DEFAULT_USER, HashError, MAX_COST, PasswordError, Users, hash_password,
    parse_htpasswd,
};
