//! The thread that makes instances ahead of need, for all sandboxes of a process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::thread::Thread;

use super::shelf::{NAP, Shelf};
use crate::process_unsafe::PerProcess;

/// Its stack, in bytes.
const STACK_BYTES: usize = 1 << 20;

#[derive(Default)]
struct Maker {
    shelves: Mutex<Vec<Weak<Shelf>>>,
    thread: OnceLock<Option<Thread>>,
    /// It sleeps for longer than a nap.
    resting: AtomicBool,
}

static MAKER: PerProcess<Maker> = PerProcess::new();

impl Maker {
    fn shelves(&self) -> MutexGuard<'_, Vec<Weak<Shelf>>> {
        self.shelves.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

/// Whether it has to be woken to look at a shelf soon.
pub(super) fn is_resting() -> bool {
    MAKER.get().resting.load(Ordering::SeqCst)
}

/// Sees to it that this shelf is filled soon. Without a thread nothing waits, and every run begins in a new store.
pub(super) fn wake(shelf: &Arc<Shelf>) {
    let maker = MAKER.get();
    let mut shelves = maker.shelves();
    if !shelves.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(shelf))) {
        shelves.retain(|known| known.strong_count() > 0);
        shelves.push(Arc::downgrade(shelf));
    }
    drop(shelves);
    let start = || {
        let named = std::thread::Builder::new().name("ringfence-spares".into()).stack_size(STACK_BYTES);
        named.spawn(move || make_for_ever(maker)).ok().map(|handle| handle.thread().clone())
    };
    if let Some(thread) = maker.thread.get_or_init(start) {
        thread.unpark();
    }
}

fn make_for_ever(maker: &'static Maker) {
    loop {
        let shelves: Vec<_> = maker.shelves().clone();
        // Longest that the one may wait which has to be looked at first.
        let mut patience = None;
        for shelf in shelves {
            let left = shelf.upgrade().and_then(|shelf| shelf.fill());
            patience = match (patience, left) {
                (Some(first), Some(left)) => Some(std::cmp::min(first, left)),
                (first, left) => first.or(left),
            };
        }
        maker.resting.store(patience.is_none_or(|patience| patience > NAP), Ordering::SeqCst);
        match patience {
            Some(patience) => std::thread::park_timeout(patience),
            None => std::thread::park(),
        }
        maker.resting.store(false, Ordering::SeqCst);
    }
}
