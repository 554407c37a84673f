//! What the end-to-end tests share: the built agent as a child process, the real Docker engine and
//! its command lines, a scripted engine for faults, and a raw TLS client.
//!
//! Every test file is a crate of its own that uses a part of this, hence the `allow`.
#![allow(dead_code)]

pub mod agent;
pub mod authority;
pub mod client;
pub mod docker;
pub mod pair;
pub mod process;
pub mod upstream;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a test waits for what is bound to happen. Far above what a loaded machine needs: it
/// turns a hang into a failure and measures nothing.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition that cannot be waited for is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// A name no other test of this or another process uses. Everything that tests leave with Docker
/// or in the file system starts with `haven-test-`, so that `scripts/test` can sweep it up.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("haven-test-{}-{number}-{what}", std::process::id())
}

/// A directory that is removed with all in it when dropped.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new(what: &str) -> Self {
        let path = std::env::temp_dir().join(unique(what));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Looks at `condition` until it holds or `PATIENCE` is over; says whether it held.
pub fn eventually(condition: impl FnMut() -> bool) -> bool {
    within(PATIENCE, condition)
}

/// The same with a bound of the caller's.
pub fn within(bound: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + bound;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(GLANCE);
    }
}

/// Says that a test was not run. Written past the test harness, which would swallow it; `scripts/test`
/// repeats these lines at its end.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    let _ = writeln!(io::stderr(), "SKIPPED: {test} ({why})");
}

/// `len` bytes that do not compress and are the same in every run (xorshift64).
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// SHA-256 in hex, as `sha256sum` prints it.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
