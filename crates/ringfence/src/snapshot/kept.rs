//! Regions and stacks that wait to be used again: few, and given back when nothing has run for a second.

use std::sync::{Mutex, MutexGuard};
use std::thread::{ThreadId, current};

use super::region_unsafe::Region;
use super::stack_unsafe::Stack;
use crate::process_unsafe::PerProcess;
use crate::sandbox::ticker;

/// Most regions that wait, of all images together, most that show nothing, and most stacks. What they keep resident stays under the 64 MiB that
/// a process may hold beyond what its guests were granted.
const MOST: usize = 12;

#[derive(Default)]
struct Kept {
    /// Each with the number of its image, the one used last at the end.
    regions: Vec<Waits<(u64, Region)>>,
    /// Each as the engine's own heaps begin: zeros, none of them resident.
    blanks: Vec<Waits<Region>>,
    stacks: Vec<Waits<Stack>>,
}

/// What waits, and who used it last: the caches of that thread's processor still hold it.
struct Waits<T> {
    by: ThreadId,
    what: T,
}

/// Takes what this thread used last, else what anybody did.
fn taken<T>(all: &mut Vec<Waits<T>>, fits: impl Fn(&T) -> bool) -> Option<T> {
    let me = current().id();
    let mine = all.iter().rposition(|each| each.by == me && fits(&each.what));
    let at = mine.or_else(|| all.iter().rposition(|each| fits(&each.what)))?;
    Some(all.remove(at).what)
}

static KEPT: PerProcess<Mutex<Kept>> = PerProcess::new();

fn kept() -> MutexGuard<'static, Kept> {
    KEPT.get().lock().unwrap_or_else(|broken| broken.into_inner())
}

/// A region of that image.
pub(super) fn take(image: u64) -> Option<Region> {
    taken(&mut kept().regions, |(of, _)| *of == image).map(|(_, region)| region)
}

/// Whether one more region may wait.
pub(super) fn has_room() -> bool {
    kept().regions.len() < MOST
}

/// Keeps a region that shows that image and nothing else.
pub(super) fn put(image: u64, region: Region) {
    keep(|kept| &mut kept.regions, (image, region));
}

/// Unmaps what waits for an image that is gone.
pub(super) fn forget(image: u64) {
    let mut gone = Vec::new();
    let mut kept = kept();
    while let Some(at) = kept.regions.iter().position(|each| each.what.0 == image) {
        gone.push(kept.regions.swap_remove(at));
    }
    drop(kept);
}

/// A region of `GC_HEAP_BYTES` zeros.
pub(super) fn take_blank() -> Option<Region> {
    taken(&mut kept().blanks, |_| true)
}

/// Keeps a region of so many zeros.
pub(super) fn put_blank(region: Region) {
    keep(|kept| &mut kept.blanks, region);
}

/// A stack of that length.
pub(super) fn take_stack(len: usize) -> Option<Stack> {
    taken(&mut kept().stacks, |stack| stack.len() == len)
}

/// Keeps a stack that nothing runs on.
pub(super) fn put_stack(stack: Stack) {
    keep(|kept| &mut kept.stacks, stack);
}

/// Keeps something where there is room, and frees it otherwise.
fn keep<T>(of: impl FnOnce(&mut Kept) -> &mut Vec<Waits<T>>, what: T) {
    let mut kept = kept();
    let all = of(&mut kept);
    let left = if all.len() < MOST {
        all.push(Waits { by: current().id(), what });
        None
    } else {
        Some(what)
    };
    drop(kept);
    drop(left);
    keep_for_a_while();
}

/// Whether nothing waits.
pub(crate) fn is_empty() -> bool {
    let kept = kept();
    kept.regions.is_empty() && kept.blanks.is_empty() && kept.stacks.is_empty()
}

/// Gives everything back. The ticker calls this when no guest has run for a second.
pub(crate) fn give_back() {
    let gone = std::mem::take(&mut *kept());
    drop(gone);
}

/// Sees to it that `give_back` is called: wakes the ticker, which does not sleep while something waits.
fn keep_for_a_while() {
    if ticker::Running::start().is_none() {
        give_back();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_thread_takes_what_it_used_last_and_otherwise_what_anybody_did() {
        let other = std::thread::spawn(|| current().id()).join().unwrap();
        let waits = |by, what| Waits { by, what };
        let me = current().id();
        let mut all = vec![waits(me, 1), waits(me, 2), waits(other, 3), waits(other, 4), waits(me, 5)];
        let mut take = |fits: fn(&i32) -> bool| taken(&mut all, fits);
        assert_eq!([Some(2), Some(5), Some(1)], [take(|what| *what < 5), take(|_| true), take(|_| true)]);
        assert_eq!([Some(3), None, Some(4)], [take(|what| *what < 4), take(|what| *what > 4), take(|_| true)]);
    }
}
