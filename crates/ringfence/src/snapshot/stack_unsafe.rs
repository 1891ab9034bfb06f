//! Stacks of guests, used again: mapping one costs as much as a short run.
#![allow(unsafe_code)]

use std::io::{Error, Result};
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr::null_mut;

use wasmtime::StackMemory;

use super::kept;
use super::unmap_unsafe::unmap;
use crate::process_unsafe::generation;

/// Inaccessible space below a stack, in bytes.
const GUARD: usize = 64 << 10;

/// What a stack keeps resident while nothing runs on it, in bytes.
const KEPT_BYTES: usize = 128 << 10;

/// A stack on which nothing runs.
///
/// What a guest left there stays: a guest has no way to read its stack, only its locals, which are set before they are
/// read.
pub(super) struct Stack {
    start: usize,
    /// With the guard.
    len: usize,
}

/// A stack that a guest runs on.
pub(super) struct LentStack {
    stack: ManuallyDrop<Stack>,
    generation: u64,
}

impl Stack {
    fn map(len: usize) -> Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
        // SAFETY: a new mapping at an address that the kernel chooses touches nothing that is there.
        let start = unsafe { libc::mmap(null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        let stack = Self { start: start as usize, len };
        let usable = (stack.start + GUARD) as *mut libc::c_void;
        // SAFETY: the range lies in the mapping that was just made.
        if unsafe { libc::mprotect(usable, len - GUARD, libc::PROT_READ | libc::PROT_WRITE) } != 0 {
            return Err(Error::last_os_error());
        }
        Ok(stack)
    }

    /// With its guard, in bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Gives back all but its upper end.
    fn shrink(&self, keep: usize) -> Result<()> {
        let len = (self.len - GUARD).saturating_sub(keep);
        // SAFETY: the range lies in the mapping, above its guard, and nothing runs on it.
        match unsafe { libc::madvise((self.start + GUARD) as *mut libc::c_void, len, libc::MADV_DONTNEED) } {
            0 => Ok(()),
            _ => Err(Error::last_os_error()),
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing runs on it.
        unsafe { unmap(self.start, self.len) };
    }
}

impl LentStack {
    /// A stack of at least `size` bytes.
    pub(super) fn of(size: usize, zeroed: bool) -> Result<Self> {
        let len = size.checked_next_multiple_of(GUARD).and_then(|size| size.checked_add(GUARD));
        let len = len.ok_or_else(|| Error::from(std::io::ErrorKind::OutOfMemory))?;
        let stack = match kept::take_stack(len) {
            Some(stack) if !zeroed => stack,
            _ => Stack::map(len)?,
        };
        Ok(Self { stack: ManuallyDrop::new(stack), generation: generation() })
    }
}

impl Drop for LentStack {
    fn drop(&mut self) {
        if self.generation != generation() {
            return;
        }
        // SAFETY: taken once, here, and not used afterwards.
        let stack = unsafe { ManuallyDrop::take(&mut self.stack) };
        if stack.shrink(KEPT_BYTES).is_ok() {
            kept::put_stack(stack);
        }
    }
}

// SAFETY: the range is page aligned, accessible, and this value's own until it is dropped; below it lies a guard that is
// never accessible.
unsafe impl StackMemory for LentStack {
    fn top(&self) -> *mut u8 {
        (self.stack.start + self.stack.len) as *mut u8
    }

    fn range(&self) -> Range<usize> {
        self.stack.start + GUARD..self.stack.start + self.stack.len
    }

    fn guard_range(&self) -> Range<*mut u8> {
        self.stack.start as *mut u8..(self.stack.start + GUARD) as *mut u8
    }
}
