//! What an instance was at one moment: the pages that it had written, its size and its globals.

use std::fs::File;
use std::io::Result;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Weak};

use wasmtime::{AsContextMut, Global, Instance, Memory, Store, Val};

use super::image::Image;
use super::instrument::GLOBAL;
use super::memory_unsafe::Lent;
use super::pagemap_unsafe::written;
use super::trial_unsafe::sealed_file;

/// More than this, in bytes, is not copied for fork after fork: it becomes an image of its own, which forks map.
const COPIED_BYTES: usize = 4 << 20;

/// What is compared and kept at once, in bytes: no processor has smaller pages.
const PAGE_BYTES: usize = 4 << 10;

/// A page that differs from the image, and where it is. Captures of one instance share those that stayed as they were.
pub(super) type Page = (usize, Arc<[u8]>);

/// An instance between two calls, as data.
#[derive(Clone)]
pub(crate) struct Capture {
    image: Arc<Image>,
    /// What differs from the image, in the order of memory.
    pages: Arc<Vec<Page>>,
    /// How many pages were compared and had not changed since the capture before.
    idle: usize,
    /// How large its memory is by now, in bytes.
    size: usize,
    globals: Vec<Val>,
}

/// The last capture of an instance: as long as somebody has it, the next one holds only what changed since.
#[derive(Clone, Default)]
pub(crate) struct Before {
    pages: Weak<Vec<Page>>,
    count: usize,
}

impl Capture {
    /// Copies what an instance has written since its memory showed `image`, and shares what is as `before` had it. To be
    /// called while nothing runs in it.
    pub(crate) fn of<T: 'static>(
        store: &mut Store<T>,
        instance: &Instance,
        memory: Memory,
        image: &Arc<Image>,
        before: &Before,
    ) -> Self {
        let globals = globals(store, instance).into_iter().map(|global| global.get(&mut *store)).collect();
        let bytes = memory.data(&*store);
        let known = before.pages.upgrade();
        let (pages, idle) = differing(bytes, image.bytes(), known.as_deref().map_or(&[], Vec::as_slice));
        // Nobody knows any more: at most what there was may be as it was.
        let idle = if known.is_some() { idle } else { idle + pages.len().min(before.count) };
        Self { image: image.clone(), pages: Arc::new(pages), idle, size: bytes.len(), globals }
    }

    /// For the next capture of the same instance, or of a fork.
    pub(crate) fn as_before(&self) -> Before {
        Before { pages: Arc::downgrade(&self.pages), count: self.pages.len() }
    }

    /// How large its memory is, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// How much larger its memory is than its module asks for, in bytes.
    pub(crate) fn grown(&self) -> usize {
        self.size.saturating_sub(self.image.minimum())
    }

    /// The image that its forks show.
    pub(crate) fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// The memory of a fork, with a word that differs.
    pub(crate) fn memory(&self, word: Option<(u32, u32)>) -> Result<Lent> {
        let mut lent = Lent::of(&self.image)?;
        lent.grow(self.size)?;
        for (at, bytes) in self.pages.iter() {
            lent.write(*at, bytes)?;
        }
        if let Some((at, word)) = word {
            lent.write(at as usize, &word.to_le_bytes())?;
        }
        Ok(lent)
    }

    /// Gives a fork the globals.
    pub(crate) fn set_globals<T: 'static>(&self, store: &mut Store<T>, instance: &Instance) -> wasmtime::Result<()> {
        let theirs = globals(store, instance);
        wasmtime::ensure!(theirs.len() == self.globals.len(), "a fork has other globals");
        for (global, value) in theirs.into_iter().zip(&self.globals) {
            global.set(&mut *store, *value)?;
        }
        Ok(())
    }

    /// Whether what differs, copied for so many forks, is more than an image that they would map.
    pub(crate) fn is_large_for(&self, forks: usize) -> bool {
        self.pages.len().saturating_mul(PAGE_BYTES).saturating_mul(forks) > self.size.max(COPIED_BYTES)
    }

    /// Whether so much was compared in vain that the next captures had better begin from here. To write an image takes as
    /// long as it is large, so that a large one is written less often.
    pub(crate) fn is_due(&self) -> bool {
        self.idle * PAGE_BYTES > COPIED_BYTES.max(self.size / 4)
    }

    /// The same as an image of its own.
    pub(crate) fn rebased(&self) -> Result<Self> {
        let file = sealed_file(|file| self.write_to(file))?;
        let image = Arc::new(Image::of(file, 0, self.size, self.image.minimum())?);
        Ok(Self { image, pages: Arc::default(), idle: 0, ..self.clone() })
    }

    fn write_to(&self, file: &File) -> Result<()> {
        file.set_len(self.size as u64)?;
        let mut pages = self.pages.iter().peekable();
        for at in (0..self.size).step_by(PAGE_BYTES) {
            match pages.next_if(|(differs, _)| *differs == at) {
                Some((_, page)) => file.write_all_at(page, at as u64)?,
                None => match page_of(self.image.bytes(), at) {
                    Some(page) if *page != ZEROS => file.write_all_at(page, at as u64)?,
                    _ => {}
                },
            }
        }
        Ok(())
    }
}

/// What a capture is made of, for files.
pub(super) struct Parts<'a> {
    pub(super) image: &'a Arc<Image>,
    /// What differs from it, and where: whole pages, in order.
    pub(super) pages: Vec<(usize, &'a [u8])>,
    pub(super) size: usize,
    pub(super) globals: &'a [Val],
}

impl Capture {
    pub(super) fn parts(&self) -> Parts<'_> {
        let pages = self.pages.iter().map(|(at, bytes)| (*at, &**bytes)).collect();
        Parts { image: &self.image, pages, size: self.size, globals: &self.globals }
    }

    /// One that was made of these elsewhere.
    pub(super) fn of_parts(image: Arc<Image>, pages: Vec<Page>, size: usize, globals: Vec<Val>) -> Self {
        Self { image, pages: Arc::new(pages), idle: 0, size, globals }
    }
}

/// The mutable globals of an instance, always in the same order.
pub(super) fn globals<T: 'static>(store: &mut Store<T>, instance: &Instance) -> Vec<Global> {
    let mut found: Vec<(String, Global)> = instance
        .exports(store.as_context_mut())
        .filter(|export| export.name().starts_with(GLOBAL))
        .filter_map(|export| Some((export.name().to_owned(), export.into_global()?)))
        .collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found.into_iter().map(|(_, global)| global).collect()
}

/// What was written to, as the kernel tells.
fn told(bytes: &[u8]) -> Option<Vec<Range<usize>>> {
    let base = bytes.as_ptr() as usize;
    let (mut at, end, mut ranges) = (base, base + bytes.len(), Vec::<Range<usize>>::new());
    while at < end {
        let looked_at = written(at..end, 0, &mut |range| {
            let range = range.start - base..range.end - base;
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range),
            }
        })?;
        if looked_at <= at {
            return None;
        }
        at = looked_at;
    }
    Some(ranges)
}

const ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

fn page_of(bytes: &[u8], at: usize) -> Option<&[u8; PAGE_BYTES]> {
    bytes.get(at..)?.first_chunk()
}

/// The pages that differ from the image, or from zeros behind it, and how many were looked at in vain.
fn differing(bytes: &[u8], image: &[u8], before: &[Page]) -> (Vec<Page>, usize) {
    // Where nobody tells what was written to, everything may have been. What was written to may be as it was, too.
    let ranges = told(bytes).unwrap_or_else(|| std::iter::once(0..bytes.len()).collect());
    let (mut before, mut pages, mut idle) = (before.iter().peekable(), Vec::new(), 0);
    for at in ranges.into_iter().flat_map(|range| range.step_by(PAGE_BYTES)) {
        let Some(now) = page_of(bytes, at) else { continue };
        while before.next_if(|(earlier, _)| *earlier < at).is_some() {}
        match before.peek() {
            Some((same, page)) if *same == at && **page == *now => {
                idle += 1;
                pages.push((at, page.clone()));
            }
            _ if now == page_of(image, at).unwrap_or(&ZEROS) => idle += 1,
            _ => pages.push((at, Arc::from(now.as_slice()))),
        }
    }
    (pages, idle)
}

#[cfg(test)]
#[path = "capture_tests.rs"]
mod tests;
