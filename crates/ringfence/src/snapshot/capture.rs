//! What an instance was at one moment: the pages that it had written, its size and its globals.

use std::fs::File;
use std::io::Result;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags};
use wasmtime::{AsContextMut, Global, Instance, Memory, Store, Val};

use super::image::Image;
use super::instrument::GLOBAL;
use super::memory_unsafe::Lent;
use super::pagemap_unsafe::written;

/// More than this, in bytes, is not copied for each fork: it becomes an image of its own, which forks map.
const REBASED_BYTES: usize = 4 << 20;

/// What is compared at once where the kernel does not tell what was written, in bytes.
const PAGE_BYTES: usize = 4 << 10;

/// An instance between two calls, as data.
pub(crate) struct Capture {
    image: Arc<Image>,
    /// What differs from the image, and where.
    pages: Vec<(usize, Box<[u8]>)>,
    /// How large its memory is by now, in bytes.
    size: usize,
    globals: Vec<Val>,
}

impl Capture {
    /// Copies what an instance has written since its memory showed `image`. To be called while nothing runs in it.
    pub(crate) fn of<T: 'static>(
        store: &mut Store<T>,
        instance: &Instance,
        memory: Memory,
        image: &Arc<Image>,
    ) -> Self {
        let globals = globals(store, instance).into_iter().map(|global| global.get(&mut *store)).collect();
        let bytes = memory.data(&*store);
        let ranges = told(bytes).unwrap_or_else(|| compared(bytes, image));
        let pages = ranges.into_iter().map(|range| (range.start, bytes[range].into())).collect();
        Self { image: image.clone(), pages, size: bytes.len(), globals }
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
        for (at, bytes) in &self.pages {
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

    /// Makes one that is forked often cheap to fork: much that differs becomes an image.
    pub(crate) fn settled(self) -> Result<Self> {
        if self.pages.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() <= REBASED_BYTES {
            return Ok(self);
        }
        self.rebased()
    }

    /// Makes all that differs an image of its own: regions that are used again then go back to it.
    pub(crate) fn rebased(self) -> Result<Self> {
        let file = File::from(rustix::fs::memfd_create(
            "ringfence-snapshot",
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
        )?);
        file.set_len(self.size as u64)?;
        for (chunk, at) in self.image.bytes().chunks(PAGE_BYTES).zip((0..).step_by(PAGE_BYTES)) {
            if chunk.iter().any(|byte| *byte != 0) {
                file.write_all_at(chunk, at)?;
            }
        }
        for (at, bytes) in &self.pages {
            file.write_all_at(bytes, *at as u64)?;
        }
        rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        let image = Arc::new(Image::of(file, 0, self.size, self.image.minimum())?);
        Ok(Self { image, pages: Vec::new(), ..self })
    }
}

/// The mutable globals of an instance, always in the same order.
fn globals<T: 'static>(store: &mut Store<T>, instance: &Instance) -> Vec<Global> {
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

/// What differs from the image, or from zeros behind it.
fn compared(bytes: &[u8], image: &Image) -> Vec<Range<usize>> {
    let (before, mut ranges) = (image.bytes(), Vec::new());
    for (chunk, at) in bytes.chunks(PAGE_BYTES).zip((0..).step_by(PAGE_BYTES)) {
        let is_same = match before.get(at..at + chunk.len()) {
            Some(before) => chunk == before,
            None => chunk.iter().all(|byte| *byte == 0),
        };
        if !is_same {
            ranges.push(at..at + chunk.len());
        }
    }
    ranges
}
