//! Which pages of a private mapping were written: the kernel knows (`PAGEMAP_SCAN`, Linux 6.7).
#![allow(unsafe_code)]

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;

use crate::process_unsafe::PerProcess;

/// `_IOWR('f', 16, struct pm_scan_arg)`
const PAGEMAP_SCAN: libc::Ioctl = 0xc060_6610_u32 as libc::Ioctl;

/// The page belongs to a file, or to the kernel's cache of it: it was read at most.
const FILE: u64 = 1 << 2;
const PRESENT: u64 = 1 << 3;
const SWAPPED: u64 = 1 << 4;
/// The one page of zeros that everybody shares.
const ZERO: u64 = 1 << 5;

/// Most ranges that are told at once; a run of CPython leaves about a hundred.
const MAX_RANGES: usize = 512;

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

#[repr(C)]
struct ScanArgument {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// This process's map of pages; none where it cannot be opened, or the kernel is too old to be asked this way.
fn pagemap() -> Option<&'static File> {
    static PAGEMAP: PerProcess<Option<File>> = PerProcess::new();
    let open = || -> Result<_, std::convert::Infallible> {
        let file = File::open("/proc/self/pagemap").ok();
        Ok(file.filter(|file| scan(file, 0..0, 1, &mut [PageRegion::default()]).is_some()))
    };
    let Ok(file) = PAGEMAP.get_or_try(open);
    file.as_ref()
}

/// Opens what later calls need; in a process that will not be able to open anything.
pub(crate) fn is_there() -> bool {
    pagemap().is_some()
}

/// Tells `each` the written ranges of a private mapping, at most `pages` pages in all, and gives the address up to which
/// the mapping was looked at. `None` where the kernel does not say.
pub(super) fn written(range: Range<usize>, pages: usize, each: &mut dyn FnMut(Range<usize>)) -> Option<usize> {
    let mut found = [PageRegion::default(); MAX_RANGES];
    let (count, end) = scan(pagemap()?, range.clone(), pages, &mut found)?;
    for region in found.get(..count)? {
        let region = usize::try_from(region.start).ok()?..usize::try_from(region.end).ok()?;
        if region.start < range.start || region.end > range.end || region.start > region.end {
            return None;
        }
        each(region);
    }
    (range.start..=range.end).contains(&end).then_some(end)
}

fn scan(file: &File, range: Range<usize>, pages: usize, found: &mut [PageRegion]) -> Option<(usize, usize)> {
    let mut argument = ScanArgument {
        size: size_of::<ScanArgument>() as u64,
        flags: 0,
        start: range.start as u64,
        end: range.end as u64,
        walk_end: 0,
        vec: found.as_mut_ptr() as u64,
        vec_len: found.len() as u64,
        max_pages: pages as u64,
        category_inverted: FILE | ZERO,
        category_mask: FILE | ZERO,
        category_anyof_mask: PRESENT | SWAPPED,
        return_mask: 0,
    };
    // SAFETY: the argument has the layout of the kernel's `struct pm_scan_arg`, and the kernel writes only to it and to
    // the `vec_len` entries of `found`, which both outlive the call. It changes nothing in the range: no flag asks it to.
    let count = unsafe { libc::ioctl(file.as_raw_fd(), PAGEMAP_SCAN, &raw mut argument) };
    Some((usize::try_from(count).ok()?, usize::try_from(argument.walk_end).ok()?))
}
