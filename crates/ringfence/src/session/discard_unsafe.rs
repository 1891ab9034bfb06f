//! Giving back what an instance has written, when nobody will read it again.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};

/// Sessions that end between two trims: what they may leave in the allocator is about 11 MiB.
const ENDS_EACH_TRIM: usize = 128;

static ENDS: AtomicUsize = AtomicUsize::new(0);

/// Lets the kernel have every page of a linear memory that was written. What the memory holds afterwards is what it held
/// before anybody wrote: the image it was made from, or zeros.
///
/// The pool keeps up to 1 MiB of a slot resident for the next guest, as resetting that is cheaper than faulting it in
/// again. With thousands of sessions closed at once, nobody comes for it.
pub(super) fn discard(memory: &mut [u8]) {
    // SAFETY: the pages belong to this memory alone, which is borrowed mutably, and stay mapped; any bytes are valid ones
    // for it. It begins at a page, or the call does nothing but fail; its end may be rounded up to one, inside of the
    // memory's own reservation. On failure the pages are kept, which is only what would be without it.
    let _ = unsafe { libc::madvise(memory.as_mut_ptr().cast(), memory.len(), libc::MADV_DONTNEED) };
}

/// Dropped after an instance: now and then the allocator then gives back what it got of those before.
///
/// It keeps the 90 KiB of each between pieces that are still in use, for the next session. After thousands nobody comes
/// for that either. A trim walks over what is free, not over what is used, and takes about a millisecond.
pub(super) struct End;

impl Drop for End {
    fn drop(&mut self) {
        if ENDS.fetch_add(1, Ordering::Relaxed) % ENDS_EACH_TRIM == ENDS_EACH_TRIM - 1 {
            trim();
        }
    }
}

#[cfg(target_env = "gnu")]
fn trim() {
    // SAFETY: it takes the allocator's own locks, and touches only pages that nobody was given.
    let _ = unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn trim() {}
