//! Captures as bytes, and back: the pages that differ from their program's own image, compressed.
//!
//! The pages are runs: where it begins and how long it is, in pages, then so many pages; one of no pages ends them. What
//! they are together is cut into blocks of at most 1 MiB, each compressed for itself, so that nobody ever has to make
//! room for more than the next block, whatever the bytes say.

use std::fs::File;
use std::io::{Error, Result};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};
use rustix::fs::{MemfdFlags, SealFlags};
use wasmtime::{Val, ValType};

use super::capture::{Capture, Page, Parts};
use super::image::Image;
use super::instrument::GLOBAL;

const PAGE_BYTES: usize = 4 << 10;

/// What is compressed at once, at most, in bytes.
const BLOCK_BYTES: usize = 1 << 20;

/// Pages of one run, at most.
const MAX_RUN: usize = 256;

/// More than this, in bytes, is not kept as pages, which are mapped when they are forked often, but as an image at once.
const MAPPED_BYTES: usize = 16 << 20;

/// A page of WebAssembly, in bytes.
const WASM_PAGE_BYTES: u64 = 64 << 10;

/// A global by its name: its type, and its bits in hexadecimal.
pub(crate) type SavedGlobal = (String, String, String);

impl Capture {
    /// Its globals, by name.
    pub(crate) fn saved_globals(&self, module: &wasmtime::Module) -> Result<Vec<SavedGlobal>> {
        let globals = self.parts().globals;
        let names = globals_of(module);
        if names.len() != globals.len() {
            return Err(Error::other("it has other globals than its program"));
        }
        names.into_iter().zip(globals).map(|((name, _), value)| written(name, value)).collect()
    }

    /// Tells `each` piece of what differs from the image of its program, compressed.
    pub(crate) fn save(&self, base: &Arc<Image>, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut runs = Runs { run: None, block: Vec::with_capacity(BLOCK_BYTES), compressed: Vec::new(), each };
        let Parts { image, pages, size, .. } = self.parts();
        if Arc::ptr_eq(image, base) {
            for (at, bytes) in pages {
                for (page, at) in bytes.chunks(PAGE_BYTES).zip((at..).step_by(PAGE_BYTES)) {
                    runs.differing(base, at, page)?;
                }
            }
            return runs.finish();
        }
        let (mut pages, mut buffer) = (pages.into_iter().peekable(), vec![0; BLOCK_BYTES]);
        for from in (0..size).step_by(BLOCK_BYTES) {
            let window = &mut buffer[..BLOCK_BYTES.min(size - from)];
            window.fill(0);
            let shown = image.len().saturating_sub(from).min(window.len());
            image.read_at(&mut window[..shown], from)?;
            // What differs from the image may begin in one window and end in a later one.
            while let Some((at, bytes)) = pages.peek().copied() {
                let (begin, end) = (at.max(from), (at + bytes.len()).min(from + window.len()));
                if begin >= end {
                    break;
                }
                window[begin - from..end - from].copy_from_slice(&bytes[begin - at..end - at]);
                if at + bytes.len() > from + window.len() {
                    break;
                }
                pages.next();
            }
            for (page, at) in window.chunks(PAGE_BYTES).zip((from..).step_by(PAGE_BYTES)) {
                runs.differing(base, at, page)?;
            }
        }
        runs.finish()
    }

    /// Makes sure that [`Capture::load`] can make one of these, and makes none.
    pub(crate) fn check(
        base: &Arc<Image>,
        module: &wasmtime::Module,
        (size, globals, body): (u64, &[SavedGlobal], &[u8]),
    ) -> Result<()> {
        let size = checked(size, base, module)?;
        restored(module, globals)?;
        read_pages(body, size, &mut |_, _| Ok(()))
    }

    /// What was saved, over the image of its program: nothing larger than `size`, whatever the bytes say.
    pub(crate) fn load(
        base: &Arc<Image>,
        module: &wasmtime::Module,
        (size, globals, body): (u64, &[SavedGlobal], &[u8]),
    ) -> Result<Self> {
        let size = checked(size, base, module)?;
        let globals = restored(module, globals)?;
        let mut memory = Memory { base, size, pages: Vec::new(), bytes: 0, file: None };
        read_pages(body, size, &mut |at, bytes| memory.put(at, bytes))?;
        memory.finish(globals)
    }
}

/// Collects pages that differ, run by run, and compresses what it has as soon as it is a block.
struct Runs<'a> {
    run: Option<(usize, Vec<u8>)>,
    block: Vec<u8>,
    compressed: Vec<u8>,
    each: &'a mut dyn FnMut(&[u8]) -> Result<()>,
}

impl Runs<'_> {
    fn differing(&mut self, base: &Image, at: usize, page: &[u8]) -> Result<()> {
        let same = match base.bytes().get(at..at + page.len()) {
            Some(before) => before == page,
            None => page.iter().all(|byte| *byte == 0),
        };
        if same {
            return Ok(());
        }
        match &mut self.run {
            Some((from, bytes)) if *from + bytes.len() == at && bytes.len() < MAX_RUN * PAGE_BYTES => {
                bytes.extend_from_slice(page);
                Ok(())
            }
            _ => {
                self.end_run()?;
                self.run = Some((at, page.to_vec()));
                Ok(())
            }
        }
    }

    fn end_run(&mut self) -> Result<()> {
        let Some((at, bytes)) = self.run.take() else { return Ok(()) };
        self.run_of(at, &bytes)
    }

    fn run_of(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        for number in [at / PAGE_BYTES, bytes.len() / PAGE_BYTES] {
            let number = u32::try_from(number).map_err(Error::other)?;
            self.push(&number.to_le_bytes())?;
        }
        self.push(bytes)
    }

    fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == BLOCK_BYTES {
                self.end_block()?;
            }
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        self.compressed.resize(get_maximum_output_size(self.block.len()), 0);
        let len = compress_into(&self.block, &mut self.compressed).map_err(Error::other)?;
        let mut head = [0; 8];
        head[..4].copy_from_slice(&(self.block.len() as u32).to_le_bytes());
        head[4..].copy_from_slice(&(len as u32).to_le_bytes());
        (self.each)(&head)?;
        (self.each)(&self.compressed[..len])?;
        self.block.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.end_run()?;
        self.run_of(0, &[])?;
        self.end_block()
    }
}

/// Memory that is being put together: few pages as pages, many as an image of their own.
struct Memory<'a> {
    base: &'a Arc<Image>,
    size: usize,
    pages: Vec<Page>,
    bytes: usize,
    file: Option<File>,
}

impl Memory<'_> {
    fn put(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        if let Some(file) = &self.file {
            return file.write_all_at(bytes, at as u64);
        }
        self.bytes += bytes.len();
        if self.bytes <= MAPPED_BYTES {
            let pages = bytes.chunks(PAGE_BYTES).zip((at..).step_by(PAGE_BYTES));
            self.pages.extend(pages.map(|(page, at)| (at, page.into())));
            return Ok(());
        }
        let file = File::from(rustix::fs::memfd_create(
            "ringfence-snapshot",
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
        )?);
        file.set_len(self.size as u64)?;
        let (base, mut from) = (self.base.bytes(), 0);
        while from < base.len() {
            let pages = base[from..].chunks(PAGE_BYTES).take(MAX_RUN);
            let run = pages.take_while(|page| page.iter().any(|byte| *byte != 0)).map(<[u8]>::len).sum::<usize>();
            file.write_all_at(&base[from..from + run], from as u64)?;
            from += run.max(PAGE_BYTES);
        }
        for (at, bytes) in self.pages.drain(..) {
            file.write_all_at(&bytes, at as u64)?;
        }
        file.write_all_at(bytes, at as u64)?;
        self.file = Some(file);
        Ok(())
    }

    fn finish(self, globals: Vec<Val>) -> Result<Capture> {
        let Some(file) = self.file else {
            return Ok(Capture::of_parts(self.base.clone(), self.pages, self.size, globals));
        };
        rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        let image = Arc::new(Image::of(file, 0, self.size, self.base.minimum())?);
        Ok(Capture::of_parts(image, Vec::new(), self.size, globals))
    }
}

/// Tells `each` run of pages in order, all of them inside of a memory of this size.
pub(crate) fn read_pages(mut body: &[u8], size: usize, each: &mut dyn FnMut(usize, &[u8]) -> Result<()>) -> Result<()> {
    let (mut runs, mut after, mut block) = (Vec::new(), 0, Vec::new());
    let mut has_ended = false;
    while !body.is_empty() {
        if has_ended {
            return Err(Error::other("something follows its last page"));
        }
        let raw = taken(&mut body)?;
        let len = taken(&mut body)?;
        if raw == 0 || raw > BLOCK_BYTES || len > get_maximum_output_size(raw) || len > body.len() {
            return Err(Error::other("a block of it has a length that it cannot have"));
        }
        let (compressed, rest) = body.split_at(len);
        body = rest;
        block.resize(raw, 0);
        if decompress_into(compressed, &mut block).map_err(Error::other)? != raw {
            return Err(Error::other("a block of it is shorter than it says"));
        }
        runs.extend_from_slice(&block);
        let mut read = 0;
        while let Some((head, rest)) = runs.get(read..).and_then(|rest| rest.split_first_chunk::<8>()) {
            let (mut head, rest): (&[u8], &[u8]) = (head, rest);
            let (first, count) = (taken(&mut head)?, taken(&mut head)?);
            if count == 0 {
                has_ended = first == 0 && rest.is_empty();
                if !has_ended {
                    return Err(Error::other("its last run of pages is none"));
                }
                break;
            }
            let at = first.checked_mul(PAGE_BYTES).filter(|at| *at >= after);
            let end = at.and_then(|at| at.checked_add(count * PAGE_BYTES)).filter(|end| *end <= size);
            let (Some(at), Some(end), true) = (at, end, count <= MAX_RUN) else {
                return Err(Error::other("a run of its pages lies where none can be"));
            };
            let Some(pages) = rest.get(..end - at) else { break };
            each(at, pages)?;
            after = end;
            read += 8 + pages.len();
        }
        runs.drain(..read);
    }
    if has_ended { Ok(()) } else { Err(Error::other("its last page is missing")) }
}

fn taken(bytes: &mut &[u8]) -> Result<usize> {
    let (number, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| Error::other("it ends in a number"))?;
    *bytes = rest;
    Ok(u32::from_le_bytes(*number) as usize)
}

/// A size that a memory of this module can have.
fn checked(size: u64, base: &Image, module: &wasmtime::Module) -> Result<usize> {
    let most = match module.get_export("memory") {
        Some(wasmtime::ExternType::Memory(memory)) => memory.maximum().unwrap_or(u64::MAX).min(1 << 16),
        _ => 0,
    };
    let bytes = usize::try_from(size).map_err(Error::other)?;
    if bytes < base.minimum() || !size.is_multiple_of(WASM_PAGE_BYTES) || size / WASM_PAGE_BYTES > most {
        return Err(Error::other("its memory has a size that its program's cannot have"));
    }
    Ok(bytes)
}

/// The mutable globals of a module, in the order of captures.
fn globals_of(module: &wasmtime::Module) -> Vec<(String, ValType)> {
    let mut found: Vec<_> = module
        .exports()
        .filter(|export| export.name().starts_with(GLOBAL))
        .filter_map(|export| Some((export.name().to_owned(), export.ty().global()?.content().clone())))
        .collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

fn written(name: String, value: &Val) -> Result<SavedGlobal> {
    let (kind, bits) = match value {
        Val::I32(number) => ("i32", format!("{number:x}")),
        Val::I64(number) => ("i64", format!("{number:x}")),
        Val::F32(bits) => ("f32", format!("{bits:x}")),
        Val::F64(bits) => ("f64", format!("{bits:x}")),
        Val::V128(bits) => ("v128", format!("{:x}", bits.as_u128())),
        _ => return Err(Error::other("a global of it holds a reference")),
    };
    Ok((name, kind.to_owned(), bits))
}

/// The values of saved globals, if they are those of the module.
fn restored(module: &wasmtime::Module, saved: &[SavedGlobal]) -> Result<Vec<Val>> {
    let wrong = || Error::other("its globals are not those of its program");
    let theirs = globals_of(module);
    if theirs.len() != saved.len() {
        return Err(wrong());
    }
    let value = |((name, kind), (saved, saved_kind, bits)): ((String, ValType), &SavedGlobal)| {
        let bits = u128::from_str_radix(bits, 16).ok().filter(|_| name == *saved && kind.to_string() == *saved_kind)?;
        Some(match kind {
            ValType::I32 => Val::I32(u32::try_from(bits).ok()?.cast_signed()),
            ValType::I64 => Val::I64(u64::try_from(bits).ok()?.cast_signed()),
            ValType::F32 => Val::F32(u32::try_from(bits).ok()?),
            ValType::F64 => Val::F64(u64::try_from(bits).ok()?),
            ValType::V128 => Val::V128(bits.into()),
            ValType::Ref(_) => return None,
        })
    };
    theirs.into_iter().zip(saved).map(|pair| value(pair).ok_or_else(wrong)).collect()
}

#[cfg(test)]
#[path = "saved_tests.rs"]
mod tests;
