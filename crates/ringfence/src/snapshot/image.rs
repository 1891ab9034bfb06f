//! An image: the bytes that a memory begins with, in a file that nobody writes to any more.

use std::fs::File;
use std::io::Result;
use std::ops::Range;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::faults_unsafe::Faults;
use super::kept;
use super::pagemap_unsafe::gives_back;
use super::region_unsafe::{Region, View};

/// The bytes that a memory begins with. Regions that show it go back to it, and to no other.
pub(crate) struct Image {
    file: File,
    at: u64,
    view: View,
    /// What the module asks for, in bytes: its memory may be larger by now.
    minimum: usize,
    digest: OnceLock<blake3::Hash>,
    /// What one of its runs wrote to, for those that prepare memory for another one.
    usual: OnceLock<Vec<Range<usize>>>,
    /// Tells images apart: a number is used once in a process and in its children.
    pub(super) number: u64,
}

impl Image {
    /// A part of a file, which has to stay as it is for the life of this value.
    pub(crate) fn of(file: File, at: u64, len: usize, minimum: usize) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let view = View::of(&file, at, len)?;
        let digest = OnceLock::new();
        Ok(Self {
            file,
            at,
            view,
            minimum,
            digest,
            usual: OnceLock::new(),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// How many bytes a memory begins with.
    pub(crate) fn len(&self) -> usize {
        self.view.len()
    }

    /// What its module asks for, in bytes.
    pub(super) fn minimum(&self) -> usize {
        self.minimum
    }

    /// Reads a part of it, as a file: what is a hole there takes no memory then.
    pub(super) fn read_at(&self, into: &mut [u8], at: usize) -> Result<()> {
        self.file.read_exact_at(into, self.at + at as u64)
    }

    /// Tells what it shows from what any other image does.
    pub(crate) fn digest(&self) -> &blake3::Hash {
        self.digest.get_or_init(|| blake3::hash(self.bytes()))
    }

    /// The file that it is in, and where it begins there.
    pub(super) fn source(&self) -> (RawFd, u64) {
        (self.file.as_raw_fd(), self.at)
    }

    /// What it shows.
    pub(super) fn bytes(&self) -> &[u8] {
        self.view.bytes()
    }

    /// A region that shows it: one that waits to be used again, or a new one.
    pub(super) fn region(&self) -> Result<Region> {
        if let Some(region) = kept::take(self.number) {
            return Ok(region);
        }
        let mut region = Region::reserve()?;
        region.show(&self.file, self.at, self.len())?;
        Ok(region)
    }

    /// Resets a region that was taken from here, and keeps it for the next one where there is room.
    pub(super) fn take_back(&self, mut region: Region, since: Option<&Faults>) {
        // One that cannot be reset is unmapped.
        if gives_back() && kept::has_room() && region.reset(&self.view, since).is_ok() {
            if self.usual.get().is_none()
                && let Some(pages) = region.own_pages()
            {
                let _ = self.usual.set(pages);
            }
            kept::put(self.number, region);
        }
    }

    /// A region that shows it, in which the pages that a run writes to are its own already, where they are known.
    pub(super) fn region_ahead(&self) -> Result<Region> {
        if let Some(region) = kept::take(self.number) {
            return Ok(region);
        }
        let mut region = self.region()?;
        if let Some(pages) = self.usual.get() {
            region.fill(&self.view, pages)?;
        }
        Ok(region)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        kept::forget(self.number);
    }
}
