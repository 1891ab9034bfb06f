//! Which pages of a private mapping were written: the kernel knows (`PAGEMAP_SCAN`, Linux 6.7, else the map of pages).
#![allow(unsafe_code)]

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use super::entries;
use super::trial_unsafe::{Trial, sealed_file};
use crate::process_unsafe::PerProcess;

/// `_IOWR('f', 16, struct pm_scan_arg)`
const PAGEMAP_SCAN: libc::Ioctl = 0xc060_6610_u32 as libc::Ioctl;

/// The page belongs to a file, or to the kernel's cache of it: it was read at most.
const FILE: u64 = 1 << 2;
const PRESENT: u64 = 1 << 3;
const SWAPPED: u64 = 1 << 4;

/// Most ranges that are told at once; a run of CPython leaves about a hundred.
const MAX_RANGES: usize = 512;

/// More than a trial has.
const PAGES_OF_A_TRIAL: usize = 100;

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

/// Who tells which pages were written.
enum Teller {
    /// The kernel, asked for them.
    Scan(File),
    /// The map of pages, read from end to end: the kernel cannot be asked for them, and why.
    Entries(File, String),
    /// Nobody, and why.
    Nobody(String),
}

/// What this machine offers for memory that is used again, copied and compared; found out at first use.
pub(super) struct Offered {
    teller: Teller,
    /// Whether pages that are given back are their file's again, or why that is not relied on.
    gives_back: Result<(), String>,
    images: Result<(), String>,
}

/// What this process found out.
fn offered() -> &'static Offered {
    static OFFERED: PerProcess<Offered> = PerProcess::new();
    let Ok(offered) = OFFERED.get_or_try(|| Ok::<_, std::convert::Infallible>(Offered::try_out()));
    offered
}

impl Offered {
    fn try_out() -> Self {
        let images = sealed_file(|file| file.write_all_at(&[1], 0)).map(drop).map_err(|error| error.to_string());
        match Trial::new() {
            Ok(trial) => {
                let teller = Teller::chosen(&trial);
                let gives_back = trial.gives_back().then_some(()).ok_or("pages that are given back keep their bytes");
                Self { teller, gives_back: gives_back.map_err(str::to_owned), images }
            }
            Err(error) => {
                let why = format!("nothing to try it with: {error}");
                Self { teller: Teller::Nobody(why.clone()), gives_back: Err(why), images }
            }
        }
    }
}

impl Teller {
    fn chosen(trial: &Trial) -> Self {
        let file = match File::open("/proc/self/pagemap") {
            Ok(file) => file,
            Err(error) => return Self::Nobody(format!("/proc/self/pagemap: {error}")),
        };
        if trial.is_told_by(|range, each| scanned(&file, range, PAGES_OF_A_TRIAL, each)) {
            return Self::Scan(file);
        }
        let error = std::io::Error::last_os_error();
        if trial.is_told_by(|range, each| entries::written(&file, range, PAGES_OF_A_TRIAL, each)) {
            return Self::Entries(file, format!("PAGEMAP_SCAN: {error}"));
        }
        Self::Nobody("the map of pages does not say what was written".into())
    }
}

/// Opens what later calls need, and tries it out; in a process that will not be able to open anything.
pub(crate) fn is_there() -> bool {
    !matches!(offered().teller, Teller::Nobody(_))
}

/// How memory of languages is lent here, for people.
pub(crate) struct Told {
    /// How memory is reset, and what would mend it where it is not the fast way.
    pub(crate) reset: (String, Option<&'static str>),
    /// Why snapshots cannot become images in memory.
    pub(crate) images: Result<(), String>,
}

/// Tells it.
pub(crate) fn told() -> Told {
    let Offered { teller, gives_back, images } = offered();
    let newer = "use Linux 6.7 or newer, and a container that has `/proc` and allows `ioctl` on it: without, a fresh start of \
                 a language and a snapshot take longer, and hold as well";
    let reset = match (gives_back, teller) {
        (Err(why), _) => (
            format!("memory is not used again: {why}"),
            Some(
                "allow `madvise` in the container's seccomp profile: without, each run of a language begins with page faults",
            ),
        ),
        (_, Teller::Scan(_)) => ("memory is reset page by page".into(), None),
        (_, Teller::Entries(_, why)) => {
            (format!("memory is reset page by page, found in the map of pages ({why})"), Some(newer))
        }
        (_, Teller::Nobody(why)) => {
            (format!("memory is given back as a whole, and snapshots compare all of it ({why})"), Some(newer))
        }
    };
    Told { reset, images: images.clone() }
}

/// Whether pages that are given back are their file's again.
pub(super) fn gives_back() -> bool {
    offered().gives_back.is_ok()
}

/// Tells `each` the written ranges of a private mapping, at most `pages` pages in all, and gives the address up to which
/// the mapping was looked at. `None` where nobody says.
pub(super) fn written(range: Range<usize>, pages: usize, each: &mut dyn FnMut(Range<usize>)) -> Option<usize> {
    match &offered().teller {
        Teller::Scan(file) => scanned(file, range, pages, each),
        Teller::Entries(file, _) => entries::written(file, range, pages, each),
        Teller::Nobody(_) => None,
    }
}

fn scanned(file: &File, range: Range<usize>, pages: usize, each: &mut dyn FnMut(Range<usize>)) -> Option<usize> {
    let mut found = [PageRegion::default(); MAX_RANGES];
    let (count, end) = scan(file, range.clone(), pages, &mut found)?;
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
        // A page of zeros is told too: the kernel may have put its own in the place of one that was written full of them.
        category_inverted: FILE,
        category_mask: FILE,
        category_anyof_mask: PRESENT | SWAPPED,
        return_mask: 0,
    };
    // SAFETY: the argument has the layout of the kernel's `struct pm_scan_arg`, and the kernel writes only to it and to
    // the `vec_len` entries of `found`, which both outlive the call. It changes nothing in the range: no flag asks it to.
    let count = unsafe { libc::ioctl(file.as_raw_fd(), PAGEMAP_SCAN, &raw mut argument) };
    Some((usize::try_from(count).ok()?, usize::try_from(argument.walk_end).ok()?))
}
