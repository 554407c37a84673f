//! The allocator: spare blocks of an event loop's thread in front of the C library's `malloc(3)`.
//!
//! musl's allocator takes a lock for every block, and gives a group of slots back to the kernel as
//! soon as its last one is free: a TLS record's 16 KiB cost an `mmap(2)`, its page faults and a
//! `munmap(2)` each. A thread that asks for it (see [`keep_spare_blocks`]) therefore keeps what it
//! frees in lists by size, up to a bound, and takes from them first. Any other thread, and any
//! block that is large, goes to the C library at once.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;

/// Blocks above that are the C library's alone: a TLS record with its header is the largest that
/// comes and goes.
const LARGEST: usize = 32 * 1024;

/// What `malloc` guarantees; anything stricter is the C library's alone.
const ALIGN: usize = 2 * size_of::<usize>();

/// Sizes: 16, 32, 48 and 64 bytes, then four between each power of two and the next.
const CLASSES: usize = 4 + 4 * (LARGEST.ilog2() as usize - 6);

/// Bytes of spare blocks that a thread keeps at most: some twenty records, or the handshakes of as
/// many clients at once.
const MOST_SPARE: usize = 512 * 1024;

/// Makes this thread keep blocks that it frees for its next ones, until it gives them back
/// ([`give_spare_blocks_back`]). For threads that live as long as the process: what they keep at
/// their end is lost.
pub fn keep_spare_blocks() {
    SPARE.with(|spare| spare.allowed.set(MOST_SPARE));
}

/// Gives the C library all that this thread has kept. A few blocks hold the pages around them, so
/// that a thread with nothing to do may hold several times [`MOST_SPARE`] without this.
pub fn give_spare_blocks_back() {
    SPARE.with(Spare::give_back);
}

thread_local! {
    static SPARE: Spare = const { Spare::none() };
}

/// The allocator of the whole program.
pub struct Heap;

/// A free block: its first bytes point to the next one of its size.
struct Block {
    next: *mut Block,
}

/// The spare blocks of one thread.
///
/// Invariant: a block in list `i` is valid for reads and writes of class `i`'s size, aligned to
/// [`ALIGN`], and in no other hands.
struct Spare {
    lists: [Cell<*mut Block>; CLASSES],
    held: Cell<usize>,
    allowed: Cell<usize>,
}

/// The sizes that `layout` may be served by: the number of the list, and the size of its blocks.
fn class(layout: Layout) -> Option<(usize, usize)> {
    let size = layout.size();
    if size > LARGEST || layout.align() > ALIGN {
        return None;
    }
    if size <= 64 {
        let index = size.saturating_sub(1) / 16;
        return Some((index, (index + 1) * 16));
    }
    let power = (size - 1).ilog2() as usize;
    let step = (size - 1) >> (power - 2); // 4 to 7
    Some((4 * (power - 6) + step, (step + 1) << (power - 2)))
}

impl Spare {
    const fn none() -> Spare {
        Spare {
            lists: [const { Cell::new(ptr::null_mut()) }; CLASSES],
            held: Cell::new(0),
            allowed: Cell::new(0),
        }
    }

    /// A block of class `index`, or null.
    fn take(&self, index: usize, size: usize) -> *mut u8 {
        let Some(list) = self.lists.get(index) else {
            return ptr::null_mut();
        };
        let block = list.get();
        if !block.is_null() {
            // SAFETY: by the invariant the block is ours and begins with what `keep` wrote there.
            list.set(unsafe { (*block).next });
            self.held.set(self.held.get() - size);
        }
        block.cast()
    }

    /// Whether the block has been kept.
    ///
    /// # Safety
    /// `block` is of class `index`, which has `size` bytes, and nobody uses it any more.
    unsafe fn keep(&self, index: usize, size: usize, block: *mut u8) -> bool {
        let held = self.held.get() + size;
        let Some(list) = self.lists.get(index) else {
            return false;
        };
        if held > self.allowed.get() {
            return false;
        }
        let block = block.cast::<Block>();
        // SAFETY: every class has room for a pointer, at the alignment of `malloc`.
        unsafe { block.write(Block { next: list.get() }) };
        list.set(block);
        self.held.set(held);
        true
    }

    fn give_back(&self) {
        for index in 0..CLASSES {
            let size = size_of_class(index);
            loop {
                let block = self.take(index, size);
                if block.is_null() {
                    break;
                }
                // SAFETY: `alloc` took it from System with this layout.
                unsafe { System.dealloc(block, whole(size)) };
            }
        }
    }
}

/// The size of the blocks of list `index`: the inverse of [`class`].
fn size_of_class(index: usize) -> usize {
    if index < 4 {
        return (index + 1) * 16;
    }
    let (doublings, step) = (index / 4 - 1, index % 4);
    (5 + step) << (4 + doublings)
}

/// A block of a class as the C library knows it.
fn whole(size: usize) -> Layout {
    // SAFETY: ALIGN is a power of two, and no class exceeds LARGEST.
    unsafe { Layout::from_size_align_unchecked(size, ALIGN) }
}

// SAFETY: each block comes from `System` with the layout that `class` says, whichever thread
// allocates it, and goes back with the same; in between it is handed out to one owner at a time,
// for lists are a thread's own.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((index, size)) = class(layout) else {
            // SAFETY: the caller's promises are System's.
            return unsafe { System.alloc(layout) };
        };
        let spare = SPARE.with(|spare| spare.take(index, size));
        if !spare.is_null() {
            return spare;
        }
        // SAFETY: the size is not zero.
        unsafe { System.alloc(whole(size)) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some((index, size)) = class(layout) else {
            // SAFETY: the caller's promises are System's.
            return unsafe { System.dealloc(block, layout) };
        };
        // SAFETY: `alloc` gave the block out for the same layout, so it has the class's size.
        let kept = SPARE.with(|spare| unsafe { spare.keep(index, size, block) });
        if !kept {
            // SAFETY: `alloc` took it from System with this layout.
            unsafe { System.dealloc(block, whole(size)) };
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if class(layout).is_none() {
            // The C library knows which pages are zero anyway.
            // SAFETY: the caller's promises are System's.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: the caller's promises are ours, and the block has at least the layout's size.
        unsafe {
            let block = self.alloc(layout);
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that this is a valid layout.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (class(layout), class(new)) {
            // SAFETY: both are System's alone.
            (None, None) => unsafe { System.realloc(block, layout, new_size) },
            (Some(old), Some(new)) if old == new => block,
            // SAFETY: both blocks are valid for the smaller of the sizes, and do not overlap.
            _ => unsafe {
                let moved = self.alloc(new);
                if !moved.is_null() {
                    ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
                    self.dealloc(block, layout);
                }
                moved
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of(size: usize) -> Option<(usize, usize)> {
        class(Layout::from_size_align(size, 1).unwrap())
    }

    #[test]
    fn every_size_has_the_smallest_class_that_holds_it() {
        let mut last = (0, 0);
        for size in 1..=LARGEST {
            let (index, rounded) = class_of(size).unwrap();
            assert!(index < CLASSES && rounded >= size, "{size}");
            assert!(rounded - size < 16.max(size / 4), "{size}: {rounded}");
            assert_eq!(size_of_class(index), rounded, "{size}");
            assert!(last == (index, rounded) || size == last.1 + 1, "{size}");
            last = (index, rounded);
        }
        assert_eq!(last, (CLASSES - 1, LARGEST));
        assert_eq!(class_of(LARGEST + 1), None);
        assert_eq!(class(Layout::from_size_align(8, 4096).unwrap()), None);
    }

    #[test]
    fn what_is_freed_is_kept_up_to_the_bound_and_handed_out_again() {
        std::thread::spawn(|| {
            keep_spare_blocks();
            let held = || SPARE.with(|spare| spare.held.get());
            let blocks: Vec<Vec<u8>> = (0..200).map(|_| vec![1; 20_000]).collect();
            let places: Vec<_> = blocks.iter().map(|block| block.as_ptr()).collect();
            drop(blocks);
            assert!(held() <= MOST_SPARE && held() > MOST_SPARE - 20_480);
            let again = vec![0_u8; 20_000];
            assert!(places.contains(&again.as_ptr()));
            assert!(again.iter().all(|&byte| byte == 0));
            give_spare_blocks_back();
            assert_eq!(held(), 0);
            drop(again);
            assert_eq!(held(), 20_480);
            give_spare_blocks_back();
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_thread_that_did_not_ask_keeps_nothing() {
        std::thread::spawn(|| {
            drop(vec![1_u8; 1000]);
            assert_eq!(SPARE.with(|spare| spare.held.get()), 0);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn contents_survive_growing_and_shrinking() {
        let pattern: Vec<u8> = (0..250).collect();
        let mut bytes = Vec::new();
        for _ in 0..400 {
            bytes.extend_from_slice(&pattern);
        }
        for size in [70_000, 40_000, 32_768, 20_000, 300, 17, 1] {
            bytes.truncate(size);
            bytes.shrink_to_fit();
            let (whole, rest) = bytes.as_chunks::<250>();
            assert!(whole.iter().all(|part| part[..] == pattern), "{size}");
            assert!(pattern.starts_with(rest), "{size}");
        }
    }
}
