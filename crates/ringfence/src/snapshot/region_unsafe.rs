//! Regions: address space for one memory, which shows an image copied on write, grows, and can be reset.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{Error, Result};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;

use super::faults_unsafe::Faults;
use super::own_unsafe::Own;
use super::unmap_unsafe::unmap;

/// Address space of one memory, in bytes: all that 32 bits can name, so that compiled code need not check.
pub(super) const RESERVATION: usize = 4 << 30;

/// Inaccessible space after it, and before it, in bytes: where a constant offset leads beyond.
pub(super) const GUARD: usize = 32 << 20;

/// Address space of its own, unmapped when it is dropped.
pub(super) struct Region {
    start: usize,
    /// What the guest may use, from the base on.
    size: usize,
    own: Own,
}

/// A part of a file that regions show, mapped once to be read from.
pub(super) struct View {
    start: usize,
    len: usize,
}

impl Region {
    /// Space that is not accessible anywhere yet.
    pub(super) fn reserve() -> Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address that the kernel chooses touches nothing that is there.
        let start = unsafe { libc::mmap(null_mut(), GUARD + RESERVATION + GUARD, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        Ok(Self { start: start as usize, size: 0, own: Own::unknown() })
    }

    /// Shows a part of a file at its base; what is written stays in this region.
    pub(super) fn show(&mut self, file: &File, at: u64, len: usize) -> Result<()> {
        if self.size != 0 || len > RESERVATION {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let at = i64::try_from(at).map_err(Error::other)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE;
        // SAFETY: the range lies in this region, which nobody else has a pointer into: it has shown nothing yet.
        let shown = unsafe { libc::mmap(self.base().cast(), len, protection, flags, file.as_raw_fd(), at) };
        if shown == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        self.size = len;
        Ok(())
    }

    /// Where the memory begins.
    pub(super) fn base(&self) -> *mut u8 {
        (self.start + GUARD) as *mut u8
    }

    /// What the guest may use, in bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Makes more of it accessible, as zeros.
    pub(super) fn grow_to(&mut self, size: usize) -> Result<()> {
        let more = size.checked_sub(self.size).filter(|_| size <= RESERVATION);
        let more = more.ok_or_else(|| Error::from(std::io::ErrorKind::OutOfMemory))?;
        let end = (self.start + GUARD + self.size) as *mut libc::c_void;
        // SAFETY: the range lies in this region behind what is accessible, where it has never been written to since it was
        // reserved or cut.
        if unsafe { libc::mprotect(end, more, libc::PROT_READ | libc::PROT_WRITE) } != 0 {
            return Err(Error::last_os_error());
        }
        self.size = size;
        Ok(())
    }

    /// Writes to it, before anybody has it.
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        if at.checked_add(bytes.len()).is_none_or(|end| end > self.size) {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: the range is accessible and in this region, which is borrowed mutably; `bytes` is elsewhere.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.base().add(at), bytes.len()) };
        Ok(())
    }

    /// Makes it show what `view` shows and nothing else, whatever was done to it. To be called when no guest has it any
    /// more.
    pub(super) fn reset(&mut self, view: &View, since: Option<&Faults>) -> Result<()> {
        self.cut(view.len)?;
        // SAFETY: accessible, since what it shows is at least as long, and nobody else has a pointer into it.
        let memory = unsafe { std::slice::from_raw_parts_mut(self.base(), view.len) };
        self.own.reset(memory, view.bytes(), since)
    }

    /// Makes these pages its own before anybody needs them; it has been shown the file and never written to.
    pub(super) fn fill(&mut self, view: &View, pages: &[Range<usize>]) -> Result<()> {
        if self.size != view.len {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: accessible up to its size, and nobody else has a pointer into it.
        let memory = unsafe { std::slice::from_raw_parts_mut(self.base(), view.len) };
        self.own.fill(memory, view.bytes(), pages)
    }

    /// Makes all of it zeros again, none of them resident. To be called when no guest has it any more, and only where it
    /// has never shown a file.
    pub(super) fn wipe(&mut self) -> Result<()> {
        // SAFETY: the range is all of this region that is accessible; it is borrowed mutably, and no guest has it any more.
        match unsafe { libc::madvise(self.base().cast(), self.size, libc::MADV_DONTNEED) } {
            0 => Ok(()),
            _ => Err(Error::last_os_error()),
        }
    }

    /// Which pages were its own when it was reset last, counted from its base.
    pub(super) fn own_pages(&self) -> Option<Vec<Range<usize>>> {
        self.own.pages(self.base() as usize)
    }

    /// Throws away what it has grown by.
    fn cut(&mut self, len: usize) -> Result<()> {
        let Some(grown) = self.size.checked_sub(len) else { return Err(std::io::ErrorKind::InvalidInput.into()) };
        if grown == 0 {
            return Ok(());
        }
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
        let end = (self.start + GUARD + len) as *mut libc::c_void;
        // SAFETY: the range lies in this region, which is borrowed mutably and which no guest has any more. A new mapping
        // takes the place of what was there, pages and all.
        if unsafe { libc::mmap(end, grown, libc::PROT_NONE, flags, -1, 0) } == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        self.size = len;
        Ok(())
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nobody has a pointer into it when it is dropped: a memory that a
        // store uses holds its region until the store is done with it.
        unsafe { unmap(self.start, GUARD + RESERVATION + GUARD) };
    }
}

impl View {
    /// Maps a part of a file that stays as it is.
    pub(super) fn of(file: &File, at: u64, len: usize) -> Result<Self> {
        let at = i64::try_from(at).map_err(Error::other)?;
        // SAFETY: a new mapping at an address that the kernel chooses; it is read from only as raw bytes.
        let start = unsafe { libc::mmap(null_mut(), len, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), at) };
        if start == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        Ok(Self { start: start as usize, len })
    }

    /// What it shows.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: mapped and readable for the life of this value; nobody writes to the file.
        unsafe { std::slice::from_raw_parts(self.start as *const u8, self.len) }
    }

    /// How much it shows, in bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own; pointers into it live only inside of `reset`, which borrows it.
        unsafe { unmap(self.start, self.len) };
    }
}

#[cfg(test)]
#[path = "region_tests_unsafe.rs"]
mod tests;
