//! Harnesses for heads, chunked bodies and what arrives in answers (see `fuzzing`).
#![allow(clippy::unwrap_used, reason = "a harness fails by a panic")]

use super::body::{Body, ChunkDecoder, ChunkError, Coding, Framing, Part};
use super::head::{Connection, HeadFinder, HeadLimits, MAX_FIELDS, RequestHead, ResponseHead};
use crate::buf::Buf;

/// As `max_fields` may be more than usual, and what is written has a little more than what was read.
const ANY: HeadLimits = HeadLimits {
    bytes: usize::MAX,
    fields: usize::MAX,
};

/// A request's head: what goes on is read again as what was judged, and is its own canonical form.
pub fn request_head(bytes: &[u8]) {
    let Some(head) = find(bytes) else { return };
    let Ok(judged) = RequestHead::parse(head, ANY) else {
        return;
    };
    let canonical = canonical(&judged);
    assert_eq!(find(&canonical), Some(&*canonical));
    let sent = RequestHead::parse(&canonical, ANY).unwrap();
    assert_eq!(
        (sent.method, sent.target, sent.framing, sent.upgrade),
        (judged.method, judged.target, judged.framing, judged.upgrade)
    );
    assert_eq!(sent.authority, judged.authority);
    assert_ne!(sent.framing, Framing::UntilClose);
    assert!(sent.authorization.is_none() && sent.keep_alive);
    // A field that `Connection` names is judged and does not go on: no more is sent than was judged.
    assert!(sent.is_form <= judged.is_form && sent.is_cross_site <= judged.is_cross_site);
    assert!(sent.origin.is_none() || sent.origin == judged.origin);
    assert_eq!(self::canonical(&sent), canonical);
}

fn canonical(head: &RequestHead<'_>) -> Vec<u8> {
    let mut out = Buf::new(head.canonical_room());
    head.write_canonical(head.target, "", &mut out).unwrap();
    out.data().to_vec()
}

/// An answer's head: what the client gets is read again as what Docker said.
pub fn response_head(bytes: &[u8]) {
    let Some(head) = find(bytes) else { return };
    for to_head in [false, true] {
        let Ok(said) = ResponseHead::parse(head, to_head) else {
            continue;
        };
        let connection = said.upgrade.map_or(Connection::Keep, Connection::Upgrade);
        let room = RequestHead::canonical_bound(head.len());
        let written = written(&said, connection, room);
        assert_eq!(find(&written), Some(&*written));
        let Ok(got) = ResponseHead::parse(&written, to_head) else {
            // One field more than may come, of those that are written anew.
            assert!(head.iter().filter(|&&byte| byte == b'\n').count() > MAX_FIELDS - 2);
            continue;
        };
        assert_eq!(
            (got.status, got.framing, got.upgrade),
            (said.status, said.framing, said.upgrade)
        );
        assert!(got.content_type.is_empty() || got.content_type == said.content_type);
        assert_eq!(self::written(&got, connection, room), written);
    }
}

fn written(head: &ResponseHead<'_>, connection: Connection<'_>, room: usize) -> Vec<u8> {
    let mut out = Buf::new(room);
    head.write(&mut out, head.framing, connection).unwrap();
    out.data().to_vec()
}

/// The head at the start of `bytes`, which is found at the same place however they come.
fn find(bytes: &[u8]) -> Option<&[u8]> {
    let whole = HeadFinder::default().find(bytes).ok().flatten();
    let mut finder = HeadFinder::default();
    let mut ends = 1..=bytes.len();
    let stepwise = ends.find_map(|end| match finder.find(&bytes[..end]) {
        Ok(None) => None,
        found => Some(found.ok().flatten()),
    });
    assert_eq!(stepwise.flatten(), whole);
    bytes.get(..whole?)
}

/// A chunked body: read alike in any steps; what goes on is its own canonical form with the same data.
pub fn chunked_body(bytes: &[u8]) {
    let whole = decode(bytes, bytes.len());
    for step in [1, 2, 7] {
        assert_eq!(decode(bytes, step), whole);
    }
    let canonical = forward(bytes, Coding::Chunked, usize::MAX);
    for step in [1, 5, 64] {
        assert_eq!(forward(bytes, Coding::Chunked, step), canonical);
        assert_eq!(pass(bytes, step), canonical);
    }
    if whole.end != Ok(true) {
        return;
    }
    let (canonical, _) = canonical;
    let again = decode(&canonical, canonical.len());
    assert_eq!(
        (&again.data, again.used, again.end),
        (&whole.data, canonical.len(), Ok(true))
    );
    assert_eq!(forward(&canonical, Coding::Chunked, 64).0, canonical);
    assert_eq!(forward(bytes, Coding::Identity, 64).0, whole.data);
}

#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    data: Vec<u8>,
    used: usize,
    /// Whether the body has ended.
    end: Result<bool, ChunkError>,
}

fn decode(bytes: &[u8], step: usize) -> Decoded {
    let mut decoder = ChunkDecoder::new();
    let (mut data, mut used) = (Vec::new(), 0);
    for part in bytes.chunks(step.max(1)) {
        let mut at = 0;
        while at < part.len() && !decoder.is_done() {
            let piece = match decoder.decode(&part[at..]) {
                Ok(piece) => piece,
                Err(error) => {
                    let end = Err(error);
                    // How far into the input depends on the steps.
                    return Decoded { data, used: 0, end };
                }
            };
            assert!(piece.consumed > 0, "no progress");
            if let Part::Data(range) = piece.part {
                data.extend_from_slice(&part[at..][range]);
            }
            at += piece.consumed;
        }
        used += at;
    }
    let end = Ok(decoder.is_done());
    Decoded { data, used, end }
}

/// What is written for `bytes` that come in steps, into a buffer that is small, and whether all went well.
fn forward(bytes: &[u8], coding: Coding, step: usize) -> (Vec<u8>, bool) {
    /// Of the longest line, and a little more.
    const ROOM: usize = 20;
    let mut body = Body::new(Framing::Chunked).unwrap();
    let mut written = Vec::new();
    let mut out = Buf::new(ROOM);
    for part in bytes.chunks(step.min(bytes.len()).max(1)) {
        let mut at = 0;
        while at < part.len() {
            let Ok(forwarded) = body.forward(&part[at..], coding, &mut out) else {
                written.extend(out.data());
                return (written, false);
            };
            assert!(out.len() <= ROOM && forwarded.consumed > 0);
            written.extend(out.data());
            out.clear();
            at += forwarded.consumed;
            if forwarded.done {
                return (written, true);
            }
        }
    }
    (written, true)
}

/// The same where pieces that may go on as they are do so.
fn pass(bytes: &[u8], step: usize) -> (Vec<u8>, bool) {
    let mut body = Body::new(Framing::Chunked).unwrap();
    let mut written = Vec::new();
    let mut out = Buf::new(usize::MAX);
    for part in bytes.chunks(step) {
        if let Some(payload) = body.pass_whole(part, Coding::Chunked) {
            assert!(payload <= part.len());
            written.extend(part);
            continue;
        }
        let Ok(forwarded) = body.forward(part, Coding::Chunked, &mut out) else {
            written.extend(out.data());
            return (written, false);
        };
        written.extend(out.data());
        out.clear();
        if forwarded.done {
            break;
        }
        assert_eq!(forwarded.consumed, part.len());
    }
    (written, true)
}
