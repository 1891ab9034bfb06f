//! Standard input as a descriptor to own.
#![allow(unsafe_code)]

use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Takes standard input, once in a process.
pub(super) fn take_stdin() -> Option<OwnedFd> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return None;
    }
    // SAFETY: 0 is open, as the parent made it, and this makes one owner of it only: the flag above is set once.
    // Nothing else in a worker reads standard input or closes it.
    Some(unsafe { OwnedFd::from_raw_fd(0) })
}
