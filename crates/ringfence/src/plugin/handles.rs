//! Handles that the host has of a guest's resources: each is given back once, or told to its guest once that it is not
//! wanted any more, whatever becomes of it on the host's side.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use wasmtime::component::ResourceAny;

/// What a handle means to whoever has its instance.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meant {
    /// To wasmtime, here.
    Here(ResourceAny),
    /// To a worker, by the number that it has for its parent.
    There(u64),
}

/// One instance's life. What the host lets go of is queued here, from any thread and without waiting: the guest hears of
/// it before its next call.
pub(crate) struct Life {
    dropped: Mutex<Vec<Meant>>,
    /// Whether any are queued: most calls of most plugins find none, and take no lock for that.
    is_waiting: AtomicBool,
    is_over: Arc<AtomicBool>,
}

impl Life {
    pub(crate) fn new(is_over: Arc<AtomicBool>) -> Arc<Self> {
        Arc::new(Self { dropped: Mutex::default(), is_waiting: AtomicBool::new(false), is_over })
    }

    /// Ends it: its handles are worth nothing from here on.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        let mut queue = self.queue();
        self.is_waiting.store(false, Ordering::Release);
        queue.clear();
    }

    /// Whether it is over, for what has nothing else to do with it.
    pub(super) fn over(&self) -> &Arc<AtomicBool> {
        &self.is_over
    }

    /// What the guest has to be told about.
    pub(super) fn take_dropped(&self) -> impl Iterator<Item = ResourceAny> + use<> {
        let here = |meant| if let Meant::Here(any) = meant { Some(any) } else { None };
        self.take().into_iter().filter_map(here)
    }

    /// The same of one in a worker, by their numbers.
    pub(crate) fn take_dropped_there(&self) -> Vec<u64> {
        let there = |meant| if let Meant::There(number) = meant { Some(number) } else { None };
        self.take().into_iter().filter_map(there).collect()
    }

    fn take(&self) -> Vec<Meant> {
        if !self.is_waiting.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut queue = self.queue();
        self.is_waiting.store(false, Ordering::Release);
        std::mem::take(&mut *queue)
    }

    pub(super) fn has_dropped(&self) -> bool {
        self.is_waiting.load(Ordering::Acquire)
    }

    fn queue(&self) -> MutexGuard<'_, Vec<Meant>> {
        self.dropped.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

/// A resource that the host owns.
pub(super) struct Owned {
    meant: Meant,
    life: Arc<Life>,
    /// Whether it is the guest's again.
    is_given: AtomicBool,
}

impl Owned {
    pub(super) fn new(meant: Meant, life: &Arc<Life>) -> Arc<Self> {
        Arc::new(Self { meant, life: life.clone(), is_given: AtomicBool::new(false) })
    }

    pub(super) fn meant(&self) -> &Meant {
        &self.meant
    }

    pub(super) fn give(&self) {
        self.is_given.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_of(&self, life: &Arc<Life>) -> bool {
        Arc::ptr_eq(&self.life, life)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if !self.is_given.load(Ordering::SeqCst) && !self.life.is_over.load(Ordering::SeqCst) {
            let mut queue = self.life.queue();
            queue.push(self.meant);
            self.life.is_waiting.store(true, Ordering::Release);
        }
    }
}

/// Where the host keeps a resource that it owns, until it lets go of it. Clones share the place.
#[derive(Clone)]
pub struct Handle(Arc<Mutex<Place>>);

enum Place {
    There(Arc<Owned>),
    Gone(Gone),
}

/// Why a handle cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The host let go of it.
    Dropped,
    /// It was given to the guest.
    Given,
    /// Another call is using it just now.
    Used,
    /// Its instance is no more.
    Over,
}

impl Gone {
    /// In words, after the name of what it is.
    pub fn why(self) -> &'static str {
        match self {
            Self::Dropped => "was dropped",
            Self::Given => "was given to the plugin, which owns it now",
            Self::Used => "is used by another call",
            Self::Over => "is of an instance that is gone: the plugin was restarted, or closed",
        }
    }
}

impl Handle {
    pub(super) fn new(owned: Arc<Owned>) -> Self {
        Self(Arc::new(Mutex::new(Place::There(owned))))
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Why it cannot be used, if it cannot.
    pub fn gone(&self) -> Option<Gone> {
        match &*self.place() {
            Place::There(owned) => owned.life.is_over.load(Ordering::SeqCst).then_some(Gone::Over),
            Place::Gone(gone) => Some(*gone),
        }
    }

    /// Lets go of it. A call that uses it just now still does.
    pub fn drop_resource(&self) {
        let mut place = self.place();
        if matches!(*place, Place::There(_)) {
            let old = std::mem::replace(&mut *place, Place::Gone(Gone::Dropped));
            drop(place);
            drop(old);
        }
    }

    /// For a call that borrows it.
    pub(super) fn borrowed(&self) -> Result<Arc<Owned>, Gone> {
        match &*self.place() {
            Place::There(owned) if owned.life.is_over.load(Ordering::SeqCst) => Err(Gone::Over),
            Place::There(owned) => Ok(owned.clone()),
            Place::Gone(gone) => Err(*gone),
        }
    }

    /// For a call that takes it; it comes back here when that is not made.
    pub(super) fn taken(&self) -> Result<Taken, Gone> {
        let mut place = self.place();
        match &*place {
            Place::There(owned) if owned.life.is_over.load(Ordering::SeqCst) => Err(Gone::Over),
            Place::There(owned) if Arc::strong_count(owned) > 1 => Err(Gone::Used),
            Place::There(owned) => {
                let owned = owned.clone();
                *place = Place::Gone(Gone::Given);
                Ok(Taken { owned, from: self.clone() })
            }
            Place::Gone(gone) => Err(*gone),
        }
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Handle").field(&self.gone()).finish()
    }
}

/// A resource on its way to the guest.
pub(super) struct Taken {
    pub(super) owned: Arc<Owned>,
    from: Handle,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.owned.is_given.load(Ordering::SeqCst) {
            *self.from.place() = Place::There(self.owned.clone());
        }
    }
}
