//! Which pages of a private mapping were written, from the map of pages that every Linux has: 8 bytes a page.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
/// The page belongs to a file: it was read at most.
const FILE: u64 = 1 << 61;

const ENTRY_BYTES: usize = 8;

/// Entries that are read at once.
const AT_ONCE: usize = 4096;

/// Does what `PAGEMAP_SCAN` does, a little slower.
pub(super) fn written(
    file: &File,
    range: Range<usize>,
    pages: usize,
    each: &mut dyn FnMut(Range<usize>),
) -> Option<usize> {
    let page = rustix::param::page_size();
    let (mut at, mut left, mut entries) = (range.start, pages, vec![0; AT_ONCE * ENTRY_BYTES]);
    while at < range.end {
        let count = AT_ONCE.min((range.end - at).div_ceil(page));
        let read = entries.get_mut(..count * ENTRY_BYTES)?;
        file.read_exact_at(read, (at / page * ENTRY_BYTES) as u64).ok()?;
        for entry in read.as_chunks().0 {
            let entry = u64::from_le_bytes(*entry);
            if entry & (PRESENT | SWAPPED) != 0 && entry & FILE == 0 {
                if pages > 0 && left == 0 {
                    return Some(at);
                }
                left = left.saturating_sub(1);
                each(at..range.end.min(at + page));
            }
            at += page;
        }
    }
    Some(range.end)
}
