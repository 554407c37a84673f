//! What is on its way to Docker, held for a second try where one may be needed.

use crate::buf::{BATCH, Buf, CHUNK};

/// Bytes for Docker. While `held`, what has been sent stays, so that a request that meets a
/// connection Docker has just closed can be sent again.
///
/// Invariant: `sent <= bytes.len()`, and `sent == 0` unless `held`.
pub struct Outbox {
    bytes: Buf,
    sent: usize,
    held: bool,
    limit: usize,
}

impl Outbox {
    /// Empty, for at most `limit` bytes.
    pub fn new(limit: usize) -> Outbox {
        Outbox {
            bytes: Buf::new(limit),
            sent: 0,
            held: false,
            limit,
        }
    }

    /// Starts a request with its head, and its body where that was held so far; `hold` keeps what is
    /// sent for a second try.
    pub fn start(&mut self, head: Buf, hold: bool) {
        let limit = self.limit.max(head.len());
        self.bytes = head.with_limit(limit);
        self.sent = 0;
        self.held = hold;
    }

    /// What is still to be written.
    pub fn pending(&self) -> &[u8] {
        self.bytes.data().get(self.sent..).unwrap_or_default()
    }

    /// `count` more bytes have been written.
    pub fn sent(&mut self, count: usize) {
        if self.held {
            self.sent = (self.sent + count).min(self.bytes.len());
        } else {
            self.bytes.consume(count);
        }
    }

    /// Whether more may be added: a batch is not exceeded by what waits and a chunk.
    pub fn has_room(&self) -> bool {
        self.pending().len() + CHUNK <= BATCH
    }

    /// Where a body is to be put, if there is room. A body too long to be held is let go.
    pub fn body_space(&mut self) -> Option<&mut Buf> {
        if !self.has_room() {
            return None;
        }
        if self.held && self.bytes.room() < CHUNK {
            self.forget();
        }
        Some(&mut self.bytes)
    }

    /// Appends bytes of a stream; says how many.
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        self.body_space().map_or(0, |space| space.put(bytes))
    }

    /// Docker has begun to answer: there will be no second try.
    pub fn forget(&mut self) {
        if self.held {
            self.held = false;
            self.bytes.consume(std::mem::take(&mut self.sent));
        }
    }

    /// Whether all that was ever put in is still here.
    pub fn is_whole(&self) -> bool {
        self.held
    }

    /// Sends everything again, for the last time.
    pub fn rewind(&mut self) {
        self.sent = 0;
        self.held = false;
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
        self.held = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &[u8]) -> Buf {
        let mut head = Buf::new(1000);
        head.put(text);
        head
    }

    #[test]
    fn what_is_held_can_be_sent_again() {
        let mut outbox = Outbox::new(4 * CHUNK);
        outbox.start(head(b"head"), true);
        outbox.sent(4);
        assert_eq!(outbox.put(b"body"), 4);
        outbox.sent(2);
        assert_eq!(outbox.pending(), b"dy");
        assert!(outbox.is_whole());
        outbox.rewind();
        assert_eq!(outbox.pending(), b"headbody");
        outbox.sent(8);
        assert!(!outbox.is_whole());
        assert!(outbox.pending().is_empty());
    }

    #[test]
    fn what_is_forgotten_is_not_held() {
        let mut outbox = Outbox::new(4 * CHUNK);
        outbox.start(head(b"head"), true);
        outbox.sent(3);
        outbox.forget();
        assert_eq!(outbox.pending(), b"d");
        assert!(!outbox.is_whole());
    }

    #[test]
    fn a_body_too_long_to_hold_is_let_go_and_bounded() {
        let limit = 6 * CHUNK;
        let mut outbox = Outbox::new(limit);
        outbox.start(head(b"head"), true);
        let part = [b'x'; 1000];
        for _ in 0..200 {
            assert_eq!(outbox.put(&part), part.len());
            let pending = outbox.pending().len();
            outbox.sent(pending);
        }
        assert!(!outbox.is_whole());
        let mut total = 0;
        while outbox.has_room() {
            total += outbox.put(&part);
        }
        assert!(total <= BATCH);
        assert_eq!(outbox.put(&part), 0);
    }
}
