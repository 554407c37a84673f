//! A bounded byte buffer: allocated when first used, released when empty.
//!
//! A connection that is idle holds no buffer, and a busy one does not go to the allocator for
//! each request, nor clears memory that is about to be written: chunks come from and return to a
//! small pool of the thread.

use std::cell::RefCell;

/// Bytes of one chunk: the largest TLS record that may arrive (RFC 5246 §6.2.3: 5 + 2^14 + 2048),
/// so that one chunk always holds one record, sealed or open.
pub const CHUNK: usize = 5 + (1 << 14) + 2048;

/// Bytes of one batch: so much of a stream is moved at a time, where there is so much.
pub const BATCH: usize = 4 * CHUNK;

/// A buffer whose limit is not above that has memory for just the limit: a request's head, which
/// is held until its answer comes.
const SMALL: usize = 2048;

/// Spare buffers of each size that a thread keeps; beyond that they go back to the allocator.
const POOL_LIMIT: usize = 8;

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool::new()) };
}

/// Memory for buffers to come, at most [`POOL_LIMIT`] of each size.
struct Pool {
    chunks: Vec<Box<[u8]>>,
    batches: Vec<Box<[u8]>>,
}

impl Pool {
    const fn new() -> Pool {
        Pool {
            chunks: Vec::new(),
            batches: Vec::new(),
        }
    }

    /// Where memory of `size` bytes is kept, if it is.
    fn of_size(&mut self, size: usize) -> Option<&mut Vec<Box<[u8]>>> {
        match size {
            CHUNK => Some(&mut self.chunks),
            BATCH => Some(&mut self.batches),
            _ => None,
        }
    }
}

/// A queue of bytes: filled at the back, emptied at the front, never longer than its limit.
///
/// Invariants: `start <= end <= bytes.len() <= max(limit, BATCH)`; at most `limit` bytes are held;
/// `start == end` only with `bytes` empty (released).
pub struct Buf {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    limit: usize,
}

impl Buf {
    /// An empty buffer, without memory, that will hold at most `limit` bytes.
    pub fn new(limit: usize) -> Buf {
        Buf {
            bytes: Box::default(),
            start: 0,
            end: 0,
            limit,
        }
    }

    /// The same bytes under another limit.
    pub fn with_limit(mut self, limit: usize) -> Buf {
        self.limit = limit;
        self
    }

    /// The bytes held, oldest first.
    pub fn data(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// The bytes held, to be changed in place (TLS opens records where they lie).
    pub fn data_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// How many bytes are held.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How many more bytes the limit allows.
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.len())
    }

    /// Takes all that `other` holds without copying it; for an empty buffer whose limit allows it.
    pub fn take_over(&mut self, other: &mut Buf) {
        debug_assert!(self.is_empty() && other.len() <= self.limit);
        self.bytes = std::mem::take(&mut other.bytes);
        (self.start, self.end) = (other.start, other.end);
        (other.start, other.end) = (0, 0);
    }

    /// Removes `count` bytes (at most all) from the front.
    pub fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.is_empty() {
            self.release();
        }
    }

    /// Removes everything and gives the memory back.
    pub fn clear(&mut self) {
        self.end = self.start;
        self.release();
    }

    /// Appends as much of `bytes` as the limit allows; says how much that was.
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        let Some((taken, _)) = bytes.split_at_checked(count) else {
            return 0;
        };
        if let Some(space) = self.space_for(count).get_mut(..count) {
            space.copy_from_slice(taken);
            self.commit(count);
        }
        count
    }

    /// Free space of at least `count` bytes behind what is held, as far as the limit allows.
    /// What is written there counts once [`commit`](Buf::commit) is called.
    pub fn space_for(&mut self, count: usize) -> &mut [u8] {
        let count = count.min(self.room());
        if self.bytes.len() - self.end < count {
            self.make_space(count);
        }
        let stop = self.bytes.len().min(self.start + self.limit);
        self.bytes.get_mut(self.end..stop).unwrap_or_default()
    }

    /// Declares `count` bytes of the space to be held; releases the memory if that leaves none.
    pub fn commit(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.bytes.len());
        if self.is_empty() {
            self.release();
        }
    }

    /// Moves what is held to the front, or to a larger allocation where that does not suffice.
    fn make_space(&mut self, count: usize) {
        let needed = self.len() + count;
        if needed <= self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
        } else {
            let mut larger = allocate(self.capacity_for(needed));
            let held = self.data();
            if let Some(front) = larger.get_mut(..held.len()) {
                front.copy_from_slice(held);
            }
            recycle(std::mem::replace(&mut self.bytes, larger));
        }
        self.end -= self.start;
        self.start = 0;
    }

    /// Bytes to allocate for `needed` of them: one of the usual sizes, or twice what there was.
    fn capacity_for(&self, needed: usize) -> usize {
        if self.limit <= SMALL {
            self.limit
        } else if needed <= CHUNK {
            CHUNK
        } else if needed <= BATCH {
            BATCH
        } else {
            needed.max(self.bytes.len() * 2).min(self.limit)
        }
    }

    fn release(&mut self) {
        self.start = 0;
        self.end = 0;
        recycle(std::mem::take(&mut self.bytes));
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        self.release();
    }
}

/// A buffer is a sink for `write!`; what exceeds the limit is an error.
impl std::fmt::Write for Buf {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.put(text.as_bytes()) == text.len() {
            Ok(())
        } else {
            Err(std::fmt::Error)
        }
    }
}

/// `size` bytes, of the pool where it has some.
fn allocate(size: usize) -> Box<[u8]> {
    POOL.with_borrow_mut(|pool| pool.of_size(size).and_then(Vec::pop))
        .unwrap_or_else(|| vec![0; size].into_boxed_slice())
}

/// Keeps memory of a usual size for the next buffer; anything else goes back to the allocator.
fn recycle(bytes: Box<[u8]>) {
    if bytes.is_empty() {
        return;
    }
    // A thread that is ending has no pool any more; its memory is simply freed.
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if let Some(spare) = pool.of_size(bytes.len())
            && spare.len() < POOL_LIMIT
        {
            spare.push(bytes);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_no_memory_until_used_and_none_when_empty() {
        let mut buf = Buf::new(100);
        assert!(buf.bytes.is_empty());
        assert_eq!(buf.put(b"hello"), 5);
        assert!(!buf.bytes.is_empty());
        buf.consume(5);
        assert!(buf.bytes.is_empty());
        buf.space_for(10);
        buf.commit(0);
        assert!(buf.bytes.is_empty());
    }

    #[test]
    fn never_holds_more_than_its_limit() {
        let mut buf = Buf::new(8);
        assert_eq!(buf.put(b"0123456789"), 8);
        assert_eq!(buf.put(b"x"), 0);
        buf.consume(3);
        assert_eq!(buf.room(), 3);
        assert_eq!(buf.space_for(100).len(), 3);
        assert_eq!(buf.put(b"abcdef"), 3);
        assert_eq!(buf.data(), b"34567abc");
    }

    #[test]
    #[cfg_attr(miri, ignore = "a hundred thousand bytes, one by one")]
    fn grows_past_a_chunk_where_the_limit_allows() {
        let mut buf = Buf::new(CHUNK * 4);
        let bytes: Vec<u8> = (0..CHUNK * 3).map(|i| (i % 251) as u8).collect();
        for part in bytes.chunks(1000) {
            assert_eq!(buf.put(part), part.len());
        }
        assert_eq!(buf.data(), bytes);
        buf.consume(CHUNK);
        assert_eq!(buf.put(&bytes), CHUNK * 2);
        assert_eq!(buf.data()[..CHUNK * 2], bytes[CHUNK..]);
    }

    #[test]
    fn what_is_held_survives_any_mixture_of_calls() {
        let mut buf = Buf::new(CHUNK);
        let (mut written, mut read) = (0u32, 0u32);
        let mut step = 1usize;
        for round in 0..if cfg!(miri) { 10 } else { 5000 } {
            step = (step * 7919 + round) % 3001;
            for _ in 0..step.min(buf.room()) {
                assert_eq!(buf.put(&[written as u8]), 1);
                written += 1;
            }
            let take = (step * 31) % (buf.len() + 1);
            for byte in &buf.data()[..take] {
                assert_eq!(*byte, read as u8);
                read += 1;
            }
            buf.consume(take);
        }
        assert_eq!((written - read) as usize, buf.len());
    }

    #[test]
    fn the_pool_is_bounded() {
        let full: Vec<Buf> = (0..POOL_LIMIT * 3)
            .map(|_| {
                let mut buf = Buf::new(CHUNK);
                buf.put(b"x");
                buf
            })
            .collect();
        drop(full);
        assert_eq!(POOL.with_borrow(|pool| pool.chunks.len()), POOL_LIMIT);
    }
}
