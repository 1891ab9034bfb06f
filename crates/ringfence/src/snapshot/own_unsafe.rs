//! Which pages of a memory are its own, and no pages of the file that it shows; and how it becomes that file again.
#![allow(unsafe_code)]

use std::io::{Error, ErrorKind, Result};
use std::ops::Range;

use super::faults_unsafe::Faults;
use super::pagemap_unsafe::written;

/// Most that a memory keeps resident of its own pages while nobody uses it, in bytes.
pub(super) const KEPT_BYTES: usize = 2 << 20;

/// A page of the kernel is at least this long, in bytes.
pub(super) const PAGE_BYTES: usize = 4 << 10;

/// Tells the written ranges of a mapping, as [`written`] does.
pub(super) trait Written: FnOnce(Range<usize>, usize, &mut dyn FnMut(Range<usize>)) -> Option<usize> {}

impl<F: FnOnce(Range<usize>, usize, &mut dyn FnMut(Range<usize>)) -> Option<usize>> Written for F {}

/// All pages, by address, that differed from the file, or may have, when it was reset last; none where that is not known.
pub(super) struct Own(Option<Vec<Range<usize>>>);

impl Own {
    pub(super) const fn unknown() -> Self {
        Self(None)
    }

    /// Whether it can be told without the kernel what is to be overwritten.
    #[cfg(test)]
    pub(super) fn is_known(&self) -> bool {
        self.0.is_some()
    }

    /// Copies these pages, counted from its base, of a memory that shows the file and in which nothing was written yet: they
    /// are its own from now on, and no others.
    pub(super) fn fill(&mut self, memory: &mut [u8], view: &[u8], pages: &[Range<usize>]) -> Result<()> {
        let base = memory.as_ptr() as usize;
        let own: Vec<_> = pages.iter().map(|range| base + range.start..base + range.end).collect();
        self.0 = None;
        for range in &own {
            copy(memory, view, range.clone())?;
        }
        self.0 = Some(own);
        Ok(())
    }

    /// Its pages, counted from the base of its memory.
    pub(super) fn pages(&self, base: usize) -> Option<Vec<Range<usize>>> {
        let own = self.0.as_ref()?;
        own.iter().map(|range| Some(range.start.checked_sub(base)?..range.end.checked_sub(base)?)).collect()
    }

    /// Makes a memory be what `view` is and nothing else, whatever was written to it. The two are as long as each other,
    /// and the memory is a private mapping of the file that `view` shows.
    ///
    /// A page differs from the file only if it was written to, and a page that was written to is this mapping's own: it is
    /// no page of the file any more. Those are the pages that the kernel is asked for, and each is overwritten as a whole
    /// or given back, after which the file is what a reader finds.
    ///
    /// The first write to a page that is not this mapping's own is a fault. So the kernel need not be asked again where
    /// the only thread that can have written to it had none `since` it was reset: the same pages are its own as then.
    pub(super) fn reset(&mut self, memory: &mut [u8], view: &[u8], since: Option<&Faults>) -> Result<()> {
        match self.0.take() {
            Some(own) if since.is_some_and(Faults::none_since) => {
                for range in &own {
                    copy(memory, view, range.clone())?;
                }
                self.0 = Some(own);
                Ok(())
            }
            _ => self.reset_by(memory, view, written),
        }
    }

    /// The same, with a way to learn which pages were written.
    pub(super) fn reset_by(&mut self, memory: &mut [u8], view: &[u8], written: impl Written) -> Result<()> {
        self.0 = None;
        if memory.len() != view.len() {
            return Err(ErrorKind::InvalidInput.into());
        }
        let base = memory.as_ptr() as usize;
        let end = base + memory.len();
        let (mut own, mut copied) = (Vec::new(), Ok(()));
        let mut each = |range: Range<usize>| {
            if copied.is_ok() {
                copied = copy(memory, view, range.clone());
            }
            own.push(range);
        };
        let told = written(base..end, KEPT_BYTES / PAGE_BYTES, &mut each);
        copied?;
        let looked_at = told.unwrap_or(base);
        let rest = memory.get_mut(looked_at.saturating_sub(base)..).unwrap_or_default();
        // SAFETY: the range lies in the memory, which is borrowed mutably; given back, its pages are the file's again.
        if !rest.is_empty() && unsafe { libc::madvise(rest.as_mut_ptr().cast(), rest.len(), libc::MADV_DONTNEED) } != 0
        {
            return Err(Error::last_os_error());
        }
        self.0 = told.map(|_| own);
        Ok(())
    }
}

/// Makes a part of a memory what the view shows there.
fn copy(memory: &mut [u8], view: &[u8], range: Range<usize>) -> Result<()> {
    let base = memory.as_ptr() as usize;
    let range = range.start.checked_sub(base).zip(range.end.checked_sub(base)).map(|(start, end)| start..end);
    let parts = range.and_then(|range| Some((memory.get_mut(range.clone())?, view.get(range)?)));
    let (to, from) = parts.ok_or(ErrorKind::InvalidInput)?;
    to.copy_from_slice(from);
    Ok(())
}
