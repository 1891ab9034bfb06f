//! Giving back what an instance has written, when nobody will read it again.
#![allow(unsafe_code)]

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
