//! Regions and stacks that wait to be used again: few, and given back when nothing has run for a second.

use std::sync::{Mutex, MutexGuard};

use super::region_unsafe::Region;
use super::stack_unsafe::Stack;
use crate::process_unsafe::PerProcess;
use crate::sandbox::ticker;

/// Most regions that wait, of all images together, and most stacks. What they keep resident stays under the 64 MiB that
/// a process may hold beyond what its guests were granted.
const MOST: usize = 12;

#[derive(Default)]
struct Kept {
    /// Each with the number of its image, the one used last at the end.
    regions: Vec<(u64, Region)>,
    stacks: Vec<Stack>,
}

static KEPT: PerProcess<Mutex<Kept>> = PerProcess::new();

fn kept() -> MutexGuard<'static, Kept> {
    KEPT.get().lock().unwrap_or_else(|broken| broken.into_inner())
}

/// A region of that image.
pub(super) fn take(image: u64) -> Option<Region> {
    let mut kept = kept();
    let at = kept.regions.iter().rposition(|(of, _)| *of == image)?;
    Some(kept.regions.remove(at).1)
}

/// Whether one more region may wait.
pub(super) fn has_room() -> bool {
    kept().regions.len() < MOST
}

/// Keeps a region that shows that image and nothing else.
pub(super) fn put(image: u64, region: Region) {
    let mut regions = kept();
    if regions.regions.len() < MOST {
        regions.regions.push((image, region));
    }
    drop(regions);
    keep_for_a_while();
}

/// Unmaps what waits for an image that is gone.
pub(super) fn forget(image: u64) {
    let mut gone = Vec::new();
    let mut kept = kept();
    while let Some(at) = kept.regions.iter().position(|(of, _)| *of == image) {
        gone.push(kept.regions.swap_remove(at));
    }
    drop(kept);
}

/// A stack of that length.
pub(super) fn take_stack(len: usize) -> Option<Stack> {
    let mut kept = kept();
    let at = kept.stacks.iter().rposition(|stack| stack.len() == len)?;
    Some(kept.stacks.remove(at))
}

/// Keeps a stack that nothing runs on.
pub(super) fn put_stack(stack: Stack) {
    let mut stacks = kept();
    if stacks.stacks.len() < MOST {
        stacks.stacks.push(stack);
    }
    drop(stacks);
}

/// Gives everything back. The ticker calls this when no guest has run for a second.
pub(crate) fn give_back() {
    let gone = std::mem::take(&mut *kept());
    drop(gone);
}

/// Sees to it that `give_back` is called.
fn keep_for_a_while() {
    if ticker::Running::start().is_none() {
        give_back();
    }
}
