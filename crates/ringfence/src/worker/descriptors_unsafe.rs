//! Closing what a child process was left with.
#![allow(unsafe_code)]

use std::os::fd::{FromRawFd, OwnedFd};

/// Closes every descriptor but the standard ones.
///
/// To be called first thing in a process of its own, while nothing in it holds a descriptor.
pub(super) fn close_inherited() -> std::io::Result<()> {
    // SAFETY: `close_range` takes numbers. A descriptor that somebody still held would be closed under them; the
    // worker calls this before it has opened anything, and whatever is open beyond 2 came from the parent process.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
    if closed == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Takes standard input as a descriptor to own, once in a process.
pub(super) fn take_stdin() -> Option<OwnedFd> {
    use std::sync::atomic::{AtomicBool, Ordering};
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return None;
    }
    // SAFETY: 0 is open, as the caller's parent made it, and this makes one owner of it only: the flag above is set
    // once. Nothing else in a worker reads standard input or closes it.
    Some(unsafe { OwnedFd::from_raw_fd(0) })
}
