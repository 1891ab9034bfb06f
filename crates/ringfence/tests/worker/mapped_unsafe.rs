//! What a fallen worker does with a file that it was handed.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, OwnedFd};

/// Keeps the first page of a file mapped, to write to it whenever it likes.
pub fn hold(file: &OwnedFd) {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: a new mapping, which nobody points into and which stays until this process ends.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, file.as_raw_fd(), 0) };
    assert_ne!(libc::MAP_FAILED, at);
}
