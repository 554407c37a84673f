//! Users, Basic credentials and their verification.
//!
//! - `users`: who may come in: names and bcrypt hashes, the htpasswd format, new hashes;
//! - `basic`: the `Authorization` field's `Basic` form (RFC 7617).
//!
//! Nothing here reads a file or a clock: text comes in, verdicts go out.

mod users;

pub use users::{
    DEFAULT_PASSWORD_HASH, DEFAULT_USER, HashError, MAX_COST, PasswordError, Users, hash_password,
    parse_htpasswd,
};
