//! Closing what a process inherited.
#![allow(unsafe_code)]

use std::io::{Error, Result};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Closes every descriptor of this process except these and the standard three.
///
/// To be called first in a process: whoever already holds a descriptor that is not named here would go on with a
/// number that is closed, or later someone else's.
pub fn close_all_but(kept: &[BorrowedFd<'_>]) -> Result<()> {
    let mut kept: Vec<u32> = kept.iter().map(|fd| fd.as_raw_fd().unsigned_abs()).chain(0..3).collect();
    kept.sort_unstable();
    kept.dedup();
    let mut from = 0;
    for fd in kept {
        if from < fd {
            close(from, fd - 1)?;
        }
        from = fd + 1;
    }
    close(from, u32::MAX)
}

fn close(from: u32, to: u32) -> Result<()> {
    // SAFETY: no memory is touched. Numbers that someone still holds are the caller's to name, as said above: a
    // descriptor closed under its holder gives errors or another file, and the doc asks for a process without any.
    match unsafe { libc::syscall(libc::SYS_close_range, from, to, 0u32) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}
