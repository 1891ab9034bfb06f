//! Page faults of a thread: where there were none, no page was written that was not this process's own before.
#![allow(unsafe_code)]

use std::ptr::null_mut;
use std::thread::ThreadId;

use crate::process_unsafe::PerProcess;

/// A page of the kernel is at most this long, in bytes.
const PAGE_BYTES: usize = 64 << 10;

/// A thread, and how often the kernel had to step in for it until then.
#[derive(Debug)]
pub(crate) struct Faults {
    thread: ThreadId,
    count: libc::c_long,
}

impl Faults {
    /// Those of this thread until now; none where the kernel does not count them.
    pub(crate) fn so_far() -> Option<Self> {
        are_counted().then(Self::now).flatten()
    }

    fn now() -> Option<Self> {
        // SAFETY: a `rusage` of zeros is a valid one, and the call only writes to it.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            if libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) != 0 {
                return None;
            }
            usage
        };
        let count = usage.ru_minflt.wrapping_add(usage.ru_majflt);
        Some(Self { thread: std::thread::current().id(), count })
    }

    /// Whether this is the same thread, and it had no fault since.
    pub(super) fn none_since(&self) -> bool {
        Self::now().is_some_and(|now| now.thread == self.thread && now.count == self.count)
    }
}

/// Whether the first write to a page is counted, tried out once: not every kernel does it.
fn are_counted() -> bool {
    static COUNTED: PerProcess<bool> = PerProcess::new();
    let counted: Result<_, std::convert::Infallible> = COUNTED.get_or_try(|| Ok(is_write_counted() == Some(true)));
    let Ok(counted) = counted;
    *counted
}

fn is_write_counted() -> Option<bool> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address that the kernel chooses touches nothing that is there.
    let page = unsafe { libc::mmap(null_mut(), PAGE_BYTES, protection, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    let before = Faults::now();
    // SAFETY: the mapping is writable, and nobody else knows of it.
    unsafe { page.cast::<u8>().write_volatile(1) };
    let counted = before.map(|before| !before.none_since());
    // SAFETY: the mapping is ours, and no longer used.
    let _ = unsafe { libc::munmap(page, PAGE_BYTES) };
    counted
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_fault_of_another_thread_or_none_is_told_apart_from_one_of_this() {
        let mut pages = vec![0_u8; 64 << 20];
        let Some(before) = Faults::so_far() else { return };
        std::hint::black_box(&mut pages)[1 << 19] = 1;
        assert!(!before.none_since());
        let theirs = std::thread::spawn(|| Faults::so_far().unwrap()).join().unwrap();
        assert!(!theirs.none_since());
        // A test of its own may be interrupted: once in a while nothing happens between the two.
        assert!((0..1000).any(|_| Faults::so_far().unwrap().none_since()));
    }
}
