//! An allocator for embeddings: large memory that has to be zero comes from the kernel and goes back to it.
//!
//! Each instance of a large program has a table and a list of its functions, of megabytes, in which it touches a few pages.
//! The system's allocator hands them out from what was used before, and writes zeros to all of it.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The least that is large, in bytes.
const LARGE: usize = 256 << 10;

/// A page of the kernel is at least this long, in bytes.
const PAGE_BYTES: usize = 4 << 10;

/// The largest that is kept to be used again, in bytes: of one instance after the other, whose pages are there already.
const LARGEST_KEPT: usize = 2 << 20;

/// What is kept: few, so that a process that had thousands of instances gives back what they had.
static KEPT: [AtomicPtr<u8>; 8] = [const { AtomicPtr::new(null_mut()) }; 8];

/// The system's allocator, but for large memory that has to be zero: that is mapped.
///
/// For embeddings to name as their `#[global_allocator]`, where thousands of instances of large programs live.
///
/// Whether a large block was mapped is told by its address: mapped ones begin with a page, and those of the system's
/// allocator that do are exchanged for mapped ones.
pub struct Allocator;

fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE && layout.align() <= PAGE_BYTES
}

fn begins_a_page(block: *mut u8) -> bool {
    block.addr().is_multiple_of(PAGE_BYTES)
}

fn is_mapped(block: *mut u8, layout: Layout) -> bool {
    is_large(layout) && begins_a_page(block)
}

/// Zeros from the kernel; null where it has none.
fn map(size: usize) -> *mut u8 {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address that the kernel chooses touches nothing that is there.
    let block = unsafe { libc::mmap(null_mut(), size, protection, flags, -1, 0) };
    if block == libc::MAP_FAILED {
        return null_mut();
    }
    // SAFETY: the mapping that was just made. Where huge pages are given unasked, one touched byte would take two megabytes.
    let _ = unsafe { libc::madvise(block, size, libc::MADV_NOHUGEPAGE) };
    block.cast()
}

/// A mapped block of that size that was kept, cleared; null where none is.
fn kept(size: usize) -> *mut u8 {
    for place in &KEPT {
        let block = place.swap(null_mut(), Ordering::Acquire);
        if block.is_null() {
            continue;
        }
        // SAFETY: a mapped block that nobody else has any more, with its size at its beginning, as `keep` left it.
        let its_size = unsafe { block.cast::<usize>().read() };
        if its_size == size {
            // SAFETY: as long as that.
            unsafe { block.write_bytes(0, size) };
            return block;
        }
        if place.compare_exchange(null_mut(), block, Ordering::Release, Ordering::Relaxed).is_err() {
            unmap(block, its_size);
        }
    }
    null_mut()
}

/// Keeps a mapped block that nobody has any more, where there is room; whether it did.
fn keep(block: *mut u8, size: usize) -> bool {
    if size > LARGEST_KEPT {
        return false;
    }
    // SAFETY: page aligned, longer than that, and nobody else has it.
    unsafe { block.cast::<usize>().write(size) };
    KEPT.iter().any(|place| place.compare_exchange(null_mut(), block, Ordering::Release, Ordering::Relaxed).is_ok())
}

/// Gives a mapped block back that nobody has any more.
fn unmap(block: *mut u8, size: usize) {
    // SAFETY: the mapping is the caller's. At the limit of mappings it may have to stay: then its pages go.
    unsafe {
        if libc::munmap(block.cast(), size) != 0 {
            let _ = libc::madvise(block.cast(), size, libc::MADV_DONTNEED);
        }
    }
}

/// A block of the system's allocator that does not begin with a page, so that it is not taken for a mapped one.
///
/// # Safety
///
/// `layout` is not of size zero, and `make` gives blocks of `System` of that layout.
unsafe fn unmistakable(layout: Layout, make: impl Fn() -> *mut u8) -> *mut u8 {
    let first = make();
    if first.is_null() || !begins_a_page(first) {
        return first;
    }
    let second = make();
    // SAFETY: made by `System` of this layout, and nobody has it.
    unsafe { System.dealloc(first, layout) };
    if second.is_null() || !begins_a_page(second) {
        return second;
    }
    // SAFETY: as the first.
    unsafe { System.dealloc(second, layout) };
    null_mut()
}

/// A mapped block in the place of one of the system's allocator that would be taken for one; null for null.
///
/// # Safety
///
/// `block` is null, or `System`'s of that layout, and is not used afterwards.
unsafe fn exchanged(block: *mut u8, layout: Layout) -> *mut u8 {
    if block.is_null() {
        return block;
    }
    let mapped = map(layout.size());
    if mapped.is_null() {
        // What it was is gone, and what it became cannot be told from a mapping. Who has no memory left is ended anyway.
        std::process::abort();
    }
    // SAFETY: two different blocks of that size; the one is not used afterwards.
    unsafe {
        std::ptr::copy_nonoverlapping(block, mapped, layout.size());
        System.dealloc(block, layout);
    }
    mapped
}

// SAFETY: a block is either `System`'s, or a mapping of its own of at least its size; which of them is told by its address
// and its layout alone, as above, so that it is given back to where it came from. Mappings are page aligned, and layouts
// that want more are left to `System`. Nothing here unwinds.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !is_large(layout) {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        }
        // SAFETY: the caller's promise, twice.
        let block = unsafe { unmistakable(layout, || System.alloc(layout)) };
        if block.is_null() { map(layout.size()) } else { block }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !is_large(layout) {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc_zeroed(layout) };
        }
        let mut block = kept(layout.size());
        if block.is_null() {
            block = map(layout.size());
        }
        if !block.is_null() {
            return block;
        }
        // SAFETY: the caller's promise, twice. A process that may map nothing more may have room in its heap.
        unsafe { unmistakable(layout, || System.alloc_zeroed(layout)) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !is_mapped(block, layout) {
            // SAFETY: the caller's promise, and it is `System`'s.
            return unsafe { System.dealloc(block, layout) };
        }
        if !keep(block, layout.size()) {
            unmap(block, layout.size());
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise: `size`, rounded up to the alignment, is no overflow.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (is_mapped(block, layout), is_large(wanted)) {
            // SAFETY: the caller's promise, and it is `System`'s.
            (false, false) => return unsafe { System.realloc(block, layout, size) },
            (false, true) => {
                // SAFETY: as before.
                let moved = unsafe { System.realloc(block, layout, size) };
                // SAFETY: `System`'s, of the layout that is wanted.
                return if begins_a_page(moved) { unsafe { exchanged(moved, wanted) } } else { moved };
            }
            (true, true) => {
                // SAFETY: a mapping of that size, which nobody else has a pointer into while it is exchanged.
                let moved = unsafe { libc::mremap(block.cast(), layout.size(), size, libc::MREMAP_MAYMOVE) };
                return if moved == libc::MAP_FAILED { null_mut() } else { moved.cast() };
            }
            (true, false) => {}
        }
        // SAFETY: the caller's promise; `size` is not zero.
        let other = unsafe { self.alloc(wanted) };
        if !other.is_null() {
            // SAFETY: both are at least as long as the shorter, and different blocks; the old one is not used afterwards.
            unsafe {
                std::ptr::copy_nonoverlapping(block, other, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        other
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]

    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 16).expect("a size that is possible")
    }

    fn filled(size: usize, zeroed: bool) -> *mut u8 {
        // SAFETY: the size is not zero; the block is as long as what is written.
        unsafe {
            let block = if zeroed { Allocator.alloc_zeroed(layout(size)) } else { Allocator.alloc(layout(size)) };
            assert!(!block.is_null());
            if zeroed {
                assert!(std::slice::from_raw_parts(block, size) == vec![0; size]);
            }
            for at in (0..size).step_by(997) {
                block.add(at).write((at % 251) as u8);
            }
            block
        }
    }

    fn is_whole(block: *mut u8, size: usize) -> bool {
        // SAFETY: as long as that, and written to at these places.
        (0..size).step_by(997).all(|at| unsafe { block.add(at).read() } == (at % 251) as u8)
    }

    #[test]
    fn what_has_to_be_zero_is_zero_whatever_was_there_before() {
        for round in 0..20 {
            for size in [LARGE - 1, LARGE, LARGE + 1, 3 << 20] {
                let block = filled(size, true);
                assert!(is_whole(block, size), "{round} {size}");
                // SAFETY: of this layout, and not used afterwards.
                unsafe { Allocator.dealloc(block, layout(size)) };
            }
        }
    }

    #[test]
    fn blocks_of_many_threads_are_zero_and_nobody_elses() {
        let work = |seed: usize| {
            for round in 0..40 {
                let sizes = [LARGE + seed % 3 * 8, 1 << 20, 3 << 20];
                let blocks = sizes.map(|size| (filled(size, true), size));
                for (block, size) in blocks {
                    assert!(is_whole(block, size), "{seed} {round}");
                    // SAFETY: of this layout, and not used afterwards.
                    unsafe { Allocator.dealloc(block, layout(size)) };
                }
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|seed| drop(scope.spawn(move || work(seed)))));
    }

    #[test]
    fn a_block_keeps_its_bytes_however_its_size_changes() {
        let sizes = [100, LARGE - 1, LARGE, 5 << 20, LARGE + 4097, 64, 2 << 20, 1 << 20, LARGE - 4096];
        for zeroed in [false, true] {
            for (from, to) in sizes.iter().flat_map(|from| sizes.iter().map(move |to| (*from, *to))) {
                let block = filled(from, zeroed);
                // SAFETY: of this layout; the old block is not used afterwards.
                let block = unsafe { Allocator.realloc(block, layout(from), to) };
                assert!(!block.is_null() && is_whole(block, from.min(to)), "{from} to {to}");
                // SAFETY: of this layout, and not used afterwards.
                unsafe { Allocator.dealloc(block, layout(to)) };
            }
        }
    }

    #[test]
    fn a_block_that_begins_a_page_is_always_a_mapped_one() {
        let blocks: Vec<_> = (0..600).map(|at| (filled(LARGE + at * 16, false), LARGE + at * 16)).collect();
        assert!(blocks.iter().all(|(block, size)| is_whole(*block, *size)));
        for (block, size) in blocks {
            // SAFETY: of this layout, and not used afterwards.
            unsafe { Allocator.dealloc(block, layout(size)) };
        }
    }
}
