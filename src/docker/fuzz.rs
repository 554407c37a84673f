//! The harness for Docker's answers to the agent itself (see `fuzzing`).

use std::io::{self, Read, Write};
use std::path::Path;

use miniserde::json;

use super::error::shows_deleted;
use super::{Container, RawContainer, RawInfo, message};
use crate::http::client::{self, Request, Response};

/// The most bytes of an answer here.
const MOST: usize = 256;

/// An answer: read alike in any steps, bounded, and whatever its JSON says is understood or refused.
pub fn docker_answer(bytes: &[u8]) {
    for method in ["GET", "HEAD", "POST"] {
        let whole = exchange(bytes, usize::MAX, method);
        for step in [1, 7] {
            assert_eq!(exchange(bytes, step, method), whole);
        }
        let Some(answer) = whole else { continue };
        assert!(answer.body.len() <= MOST && (200..=599).contains(&answer.status));
        assert!(answer.headers.iter().all(|(name, _)| name.is_ascii()));
        understand(&answer.body);
    }
    understand(bytes);
    // The mount table is asked where no answer comes.
    shows_deleted(bytes, Path::new("/run/docker.sock"));
}

fn understand(body: &[u8]) {
    let Ok(text) = std::str::from_utf8(body) else {
        return;
    };
    let _ = message(text);
    let _ = json::from_str::<RawInfo>(text);
    let containers = json::from_str::<Option<Vec<RawContainer>>>(text);
    for container in containers.ok().flatten().unwrap_or_default() {
        let container = Container::from(container);
        assert!(!container.name.is_empty() || container.id.is_empty());
        assert!(!container.name.contains('/') || container.id.contains('/'));
    }
}

fn exchange(bytes: &[u8], step: usize, method: &str) -> Option<Response> {
    let request = Request {
        method,
        target: "/info",
        host: "docker",
        headers: &[],
        body: b"",
    };
    let mut peer = Peer { bytes, step };
    client::exchange(&mut peer, &request, MOST).ok()
}

/// Says `bytes`, so many of them a time, and takes whatever it is told.
struct Peer<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl Read for Peer<'_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.len().min(self.step).min(space.len());
        let (now, later) = self.bytes.split_at(count);
        space[..count].copy_from_slice(now);
        self.bytes = later;
        Ok(count)
    }
}

impl Write for Peer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
