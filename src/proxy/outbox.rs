//! What is on its way to Docker, held for a second try where one may be needed.

use crate::buf::{BATCH, Buf, CHUNK};

/// For how long a request is kept whole, to be sent on another connection if Docker closes this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Not at all.
    No,
    /// Until a byte of it has been taken: Docker may act on it from then on.
    UntilSent,
    /// Until Docker answers: to do it twice is no harm.
    UntilAnswered,
}

/// Bytes for Docker. What has been sent stays as well where it is held until the answer.
///
/// Invariant: `sent <= bytes.len()`, and `sent == 0` unless `hold` is [`Hold::UntilAnswered`].
pub struct Outbox {
    bytes: Buf,
    sent: usize,
    hold: Hold,
    limit: usize,
}

impl Outbox {
    /// Empty, for at most `limit` bytes.
    pub fn new(limit: usize) -> Outbox {
        Outbox {
            bytes: Buf::new(limit),
            sent: 0,
            hold: Hold::No,
            limit,
        }
    }

    /// Starts a request with its head, and its body where that was held so far.
    pub fn start(&mut self, head: Buf, hold: Hold) {
        let limit = self.limit.max(head.len());
        self.bytes = head.with_limit(limit);
        self.sent = 0;
        self.hold = hold;
    }

    /// What is still to be written.
    pub fn pending(&self) -> &[u8] {
        self.bytes.data().get(self.sent..).unwrap_or_default()
    }

    /// `count` more bytes have been written.
    pub fn sent(&mut self, count: usize) {
        match self.hold {
            Hold::UntilAnswered => self.sent = (self.sent + count).min(self.bytes.len()),
            Hold::UntilSent if count == 0 => {}
            Hold::UntilSent | Hold::No => {
                self.hold = Hold::No;
                self.bytes.consume(count);
            }
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
        if self.bytes.room() < CHUNK {
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
        self.hold = Hold::No;
        self.bytes.consume(std::mem::take(&mut self.sent));
    }

    /// Whether all that was ever put in is still here.
    pub fn is_whole(&self) -> bool {
        self.hold != Hold::No
    }

    /// Sends everything again, for the last time.
    pub fn rewind(&mut self) {
        self.sent = 0;
        self.hold = Hold::No;
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
        self.hold = Hold::No;
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
        outbox.start(head(b"head"), Hold::UntilAnswered);
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
    fn what_is_held_until_it_is_sent_is_whole_only_so_long() {
        let mut outbox = Outbox::new(4 * CHUNK);
        outbox.start(head(b"head"), Hold::UntilSent);
        outbox.sent(0);
        assert!(outbox.is_whole());
        assert_eq!(outbox.put(b"body"), 4);
        outbox.sent(1);
        assert!(!outbox.is_whole());
        assert_eq!(outbox.pending(), b"eadbody");
        outbox.start(head(b"next"), Hold::UntilSent);
        outbox.rewind();
        assert_eq!(outbox.pending(), b"next");
        assert!(!outbox.is_whole());
    }

    #[test]
    fn what_is_forgotten_is_not_held() {
        let mut outbox = Outbox::new(4 * CHUNK);
        outbox.start(head(b"head"), Hold::UntilAnswered);
        outbox.sent(3);
        outbox.forget();
        assert_eq!(outbox.pending(), b"d");
        assert!(!outbox.is_whole());
    }

    #[test]
    fn a_body_too_long_to_hold_is_let_go_and_bounded() {
        let limit = 6 * CHUNK;
        let mut outbox = Outbox::new(limit);
        outbox.start(head(b"head"), Hold::UntilAnswered);
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
