//! Tries out, on a few pages, what is relied on for all memory: kernels and what stands in for them differ.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{Error, Result};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::ptr::null_mut;

use rustix::fs::{MemfdFlags, SealFlags};

const PAGES: usize = 6;

/// A file of a few pages, mapped as an image is: one page was read, two were written to.
pub(super) struct Trial {
    start: usize,
    page: usize,
    is_mapped_right: bool,
}

/// A file in memory that cannot change any more, as images of captures are.
pub(super) fn sealed_file(write: impl FnOnce(&File) -> Result<()>) -> Result<File> {
    let file =
        File::from(rustix::fs::memfd_create("ringfence-snapshot", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    write(&file)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}

impl Trial {
    pub(super) fn new() -> Result<Self> {
        let page = rustix::param::page_size();
        let write = |file: &File| file.write_all_at(&vec![1; PAGES * page], 0);
        let file = match sealed_file(write) {
            Ok(file) => file,
            Err(_) => {
                let file = tempfile::tempfile()?;
                write(&file)?;
                file
            }
        };
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_NORESERVE);
        // SAFETY: a new mapping at an address that the kernel chooses touches nothing that is there.
        let start = unsafe { libc::mmap(null_mut(), PAGES * page, protection, flags, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        let mut trial = Self { start: start as usize, page, is_mapped_right: false };
        let first = trial.at(0);
        trial.put(2);
        trial.put(3);
        trial.is_mapped_right = [first, trial.at(2), trial.at(3), trial.at(4)] == [1, 2, 2, 1];
        Ok(trial)
    }

    fn range(&self) -> Range<usize> {
        self.start..self.start + PAGES * self.page
    }

    fn at(&self, page: usize) -> u8 {
        // SAFETY: one of the pages that are mapped and readable; as the kernel may change what is there, it is read anew.
        unsafe { ((self.start + page * self.page) as *const u8).read_volatile() }
    }

    fn put(&mut self, page: usize) {
        // SAFETY: one of the pages that are mapped and writable, which nobody else knows of.
        unsafe { ((self.start + page * self.page) as *mut u8).write_volatile(2) };
    }

    /// Whether that names the pages that were written to, and no other.
    pub(super) fn is_told_by(
        &self,
        written: impl FnOnce(Range<usize>, &mut dyn FnMut(Range<usize>)) -> Option<usize>,
    ) -> bool {
        let mut told = Vec::new();
        let end = written(self.range(), &mut |range| told.extend(range.step_by(self.page)));
        end == Some(self.range().end) && told == [2, 3].map(|page| self.start + page * self.page)
    }

    /// Whether a page that is given back is the file's again.
    pub(super) fn gives_back(&self) -> bool {
        let advised = |range: Range<usize>| {
            // SAFETY: in this mapping, which nobody has a reference into.
            unsafe { libc::madvise(range.start as *mut libc::c_void, range.len(), libc::MADV_DONTNEED) == 0 }
        };
        self.is_mapped_right && advised(self.range()) && (0..PAGES).all(|page| self.at(page) == 1)
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own.
        let _ = unsafe { libc::munmap(self.start as *mut libc::c_void, self.range().len()) };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::entries;
    use super::*;

    #[test]
    fn the_map_of_pages_names_what_was_written_and_no_more_than_asked_for() {
        let (trial, file) = (Trial::new().unwrap(), File::open("/proc/self/pagemap").unwrap());
        assert!(trial.is_told_by(|range, each| entries::written(&file, range, 100, each)));
        let mut told = Vec::new();
        let end = entries::written(&file, trial.range(), 1, &mut |range| told.push(range.start));
        assert_eq!((Some(trial.start + 3 * trial.page), vec![trial.start + 2 * trial.page]), (end, told));
    }

    #[test]
    fn a_kernel_that_names_too_little_or_too_much_is_not_believed() {
        let trial = Trial::new().unwrap();
        let (page, end) = (trial.page, trial.range().end);
        for lie in [vec![], vec![2], vec![2, 3, 4], vec![0, 1, 2, 3, 4, 5]] {
            let tell = |range: Range<usize>, each: &mut dyn FnMut(Range<usize>)| {
                lie.iter().for_each(|at| each(range.start + at * page..range.start + (at + 1) * page));
                Some(end)
            };
            assert!(!trial.is_told_by(tell), "{lie:?}");
        }
        assert!(trial.gives_back());
    }
}
