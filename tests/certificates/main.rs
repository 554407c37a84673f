//! Certificates, judged by the clients that will meet them: openssl, curl, the docker CLI (Go) and
//! Java, for the built-in root and for one that keytool made.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's helpers fail by panicking"
)]

mod build_script;
mod clients;
mod identity;
mod keys;
mod support;
