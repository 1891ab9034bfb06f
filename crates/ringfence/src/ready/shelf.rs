//! What waits for the runs of one sandbox.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use super::place::Ready;
use super::spares;
use crate::after::Begin;
use crate::policy::Limits;
use crate::prepared::Prepared;
use crate::process_unsafe::PerProcess;

/// Most instances of one sandbox that wait to be used again. Each keeps up to 2 MiB of its own pages, and its stack.
const MOST: usize = 4;

/// Spares are closed when their sandbox has run nothing for so long.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How long nothing has to have begun before the last of them are made.
pub(super) const NAP: Duration = Duration::from_millis(3);

/// How runs of a sandbox began in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Starts {
    /// In a new store.
    pub fresh: u64,
    /// In one that waited.
    pub ready: u64,
    /// How many wait now.
    pub waiting: usize,
}

/// The instances that wait for one sandbox: of one program, one policy and one tenant, and nobody else's.
pub(crate) struct Shelf {
    /// How many are made ahead, each for one run; none where they are used again instead.
    spares: usize,
    held: PerProcess<Mutex<Held>>,
    fresh: AtomicU64,
    used: AtomicU64,
}

#[derive(Default)]
struct Held {
    /// The one used last at the end.
    ready: Vec<Ready>,
    /// What spares are made of, and when the last of them was asked for.
    order: Option<(Arc<Prepared>, Begin, Instant)>,
}

/// Those of all sandboxes that are used again, for the ticker.
static SHELVES: PerProcess<Mutex<Vec<Weak<Shelf>>>> = PerProcess::new();

fn shelves() -> MutexGuard<'static, Vec<Weak<Shelf>>> {
    SHELVES.get().lock().unwrap_or_else(|broken| broken.into_inner())
}

impl Shelf {
    /// One for instances that are used again.
    pub(super) fn rewinding() -> Self {
        Self::of(0)
    }

    /// One for so many instances that are made ahead.
    pub(super) fn of(spares: usize) -> Self {
        Self { spares, held: PerProcess::new(), fresh: AtomicU64::new(0), used: AtomicU64::new(0) }
    }

    /// One of the same kind, with nothing in it.
    pub(crate) fn another(&self) -> Arc<Self> {
        Arc::new(Self::of(self.spares))
    }

    /// Whether its instances are used again.
    pub(super) fn rewinds(&self) -> bool {
        self.spares == 0
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.get().lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// One that fits the limits, if there is one.
    pub(super) fn take(self: &Arc<Self>, prepared: &Arc<Prepared>, begin: &Begin, limits: &Limits) -> Option<Ready> {
        let fits = |ready: &Ready| Arc::ptr_eq(&ready.prepared, prepared) && ready.taken <= limits.memory.0;
        let mut held = self.held();
        let at = held.ready.iter().rposition(fits);
        let found = at.map(|at| held.ready.remove(at));
        let is_low = held.ready.len() <= self.spares / 2;
        if !self.rewinds() {
            match &mut held.order {
                Some((_, _, last)) => *last = Instant::now(),
                order => *order = Some((prepared.clone(), begin.clone(), Instant::now())),
            }
        }
        drop(held);
        if !self.rewinds() && (is_low || spares::is_resting()) {
            spares::wake(self);
        }
        let count = if found.is_some() { &self.used } else { &self.fresh };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Asks for spares before anything runs.
    pub(crate) fn order(self: &Arc<Self>, prepared: &Arc<Prepared>, begin: &Begin) {
        if !self.rewinds() {
            self.held().order.get_or_insert_with(|| (prepared.clone(), begin.clone(), Instant::now()));
            spares::wake(self);
        }
    }

    /// Keeps one that was rewound, where there is room.
    pub(super) fn put(self: &Arc<Self>, one: Ready) {
        let mut held = self.held();
        if held.ready.len() >= MOST {
            drop(held);
            drop(one);
            return;
        }
        held.ready.push(one);
        if held.ready.len() == 1 {
            drop(held);
            let mut shelves = shelves();
            shelves.retain(|shelf| shelf.strong_count() > 0);
            if !shelves.iter().any(|shelf| std::ptr::eq(shelf.as_ptr(), Arc::as_ptr(self))) {
                shelves.push(Arc::downgrade(self));
            }
        }
    }

    /// Makes spares until there are as many as there should be; how long they may wait from now on, if there are any.
    pub(super) fn fill(&self) -> Option<Duration> {
        loop {
            let mut held = self.held();
            let (prepared, begin, last) = held.order.clone()?;
            let left = PATIENCE.saturating_sub(last.elapsed());
            if left.is_zero() {
                let gone = std::mem::take(&mut *held);
                drop(held);
                drop(gone);
                return None;
            }
            if held.ready.len() >= self.spares {
                return Some(left);
            }
            // Runs follow each other, and there are enough for some more: it would only be in their way.
            if held.ready.len() > self.spares / 2 && last.elapsed() < NAP {
                return Some(NAP);
            }
            drop(held);
            // Where one cannot be made, the next run finds none, and tells why it has no memory.
            let Some(one) = Ready::ahead(&prepared, &begin) else { return Some(left) };
            let mut held = self.held();
            if held.ready.len() < self.spares {
                held.ready.insert(0, one);
            }
        }
    }

    /// How runs began.
    pub(crate) fn starts(&self) -> Starts {
        let waiting = self.held().ready.len();
        Starts { fresh: self.fresh.load(Ordering::Relaxed), ready: self.used.load(Ordering::Relaxed), waiting }
    }
}

/// Whether nothing waits to be used again.
pub(crate) fn is_empty() -> bool {
    shelves().iter().filter_map(Weak::upgrade).all(|shelf| shelf.held().ready.is_empty())
}

/// Closes all that wait to be used again. The ticker calls this when no guest has run for a second.
pub(crate) fn give_back() {
    let shelves: Vec<_> = shelves().iter().filter_map(Weak::upgrade).collect();
    for shelf in shelves {
        let gone = std::mem::take(&mut shelf.held().ready);
        drop(gone);
    }
}
