//! Unmapping that is made up for: at the limit of mappings even giving one back may need one more.
#![allow(unsafe_code)]

use std::sync::{Mutex, PoisonError};

use crate::process_unsafe::PerProcess;

/// Mappings that nobody uses and that could not be unmapped yet, with their lengths.
static LEFT: PerProcess<Mutex<Vec<(usize, usize)>>> = PerProcess::new();

/// Unmaps what is the caller's own and what nobody has a pointer into, now or when the next one is unmapped. What was
/// written there is gone in any case.
///
/// # Safety
///
/// The range is one or several whole mappings, which belong to the caller and are not used afterwards.
pub(super) unsafe fn unmap(start: usize, len: usize) {
    if !unmapped((start, len)) {
        // SAFETY: the caller's own, as above; whatever was there is of no use to anybody.
        let _ = unsafe { libc::madvise(start as *mut libc::c_void, len, libc::MADV_DONTNEED) };
        left(|left| left.push((start, len)));
        return;
    }
    let again = left(std::mem::take);
    if again.is_empty() {
        return;
    }
    let still: Vec<_> = again.into_iter().filter(|mapping| !unmapped(*mapping)).collect();
    left(|left| left.extend(still));
}

fn unmapped((start, len): (usize, usize)) -> bool {
    // SAFETY: a mapping that was handed to `unmap`, and that is on no list any more.
    unsafe { libc::munmap(start as *mut libc::c_void, len) == 0 }
}

fn left<T>(act: impl FnOnce(&mut Vec<(usize, usize)>) -> T) -> T {
    act(&mut LEFT.get().lock().unwrap_or_else(PoisonError::into_inner))
}
