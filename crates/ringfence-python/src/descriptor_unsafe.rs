//! File descriptors as Python knows them: numbers.
#![allow(unsafe_code)]

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use ringfence::{Error, Result};

/// A descriptor of our own for the same open file, closed on exec; the caller keeps its own.
pub fn duplicate(number: RawFd) -> Result<OwnedFd> {
    let refused = |why: String| {
        Error::host(format!("cannot use file descriptor {number}"), why, "hand over one that is open: `file.fileno()`")
    };
    if number < 0 {
        return Err(refused("it is negative".into()));
    }
    // SAFETY: the number is borrowed for the one call below and only handed to `fcntl`, which answers EBADF
    // for a number that is not open; -1, the one value a `BorrowedFd` must not have, is refused above.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    borrowed.try_clone_to_owned().map_err(|error| refused(error.to_string()))
}
