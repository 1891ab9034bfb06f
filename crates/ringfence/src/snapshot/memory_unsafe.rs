//! Regions as memories of wasmtime: lent to one store, and taken back when it is dropped.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::future::poll_fn;
use std::mem::ManuallyDrop;
use std::pin::pin;
use std::sync::{Arc, OnceLock};

use wasmtime::{Instance, InstancePre, LinearMemory, MemoryCreator, MemoryType, StackCreator, StackMemory, Store};

use super::faults_unsafe::Faults;
use super::image::Image;
use super::kept;
use super::region_unsafe::{GUARD, RESERVATION, Region};
use super::shown_unsafe::Shown;
use super::stack_unsafe::LentStack;
use crate::process_unsafe::generation;
use crate::sandbox::engine::GC_HEAP_BYTES;

/// How an error begins of a memory for which the system had no room: wasmtime takes text here, and no more.
pub(crate) const NO_ROOM: &str = "no room for a memory: ";

thread_local! {
    /// The region for the memory that is about to be made on this thread.
    static OFFERED: Cell<Option<Lent>> = const { Cell::new(None) };
}

/// The faults of the only thread that writes to a memory, from before it first did; nobody's where that is not known.
pub(crate) type Since = Arc<OnceLock<Faults>>;

/// A region that one store uses.
pub(crate) struct Lent {
    region: ManuallyDrop<Region>,
    /// Where it goes back to; none of a memory that shows nothing.
    shown: Option<Shown>,
    /// Of the only thread that uses it.
    since: Since,
    generation: u64,
}

impl Lent {
    /// A region that shows an image, and that nothing but the image can be seen in.
    pub(crate) fn of(image: &Arc<Image>) -> std::io::Result<Self> {
        Ok(Self::new(image.region()?, Some(image.clone())))
    }

    /// The same ahead of a run, for a store that lives and ends on the thread that says so before anything runs in it.
    pub(crate) fn ahead(image: &Arc<Image>) -> std::io::Result<(Self, Since)> {
        let lent = Self::new(image.region_ahead()?, Some(image.clone()));
        let since = lent.since.clone();
        Ok((lent, since))
    }

    /// The same for a store that lives and ends on this thread, and whose memory no other thread is handed: what did not
    /// fault here was not written to.
    pub(crate) fn of_this_thread(image: &Arc<Image>) -> std::io::Result<Self> {
        let lent = Self::new(image.region()?, Some(image.clone()));
        if let Some(faults) = Faults::so_far() {
            let _ = lent.since.set(faults);
        }
        Ok(lent)
    }

    /// What it shows, for whoever captures the instance that it is lent to.
    pub(crate) fn shown(&self) -> Option<Shown> {
        self.shown.clone()
    }

    /// Makes it as large as that, before a store has it.
    pub(super) fn grow(&mut self, size: usize) -> std::io::Result<()> {
        if size == self.region.size() { Ok(()) } else { self.region.grow_to(size) }
    }

    /// Writes to it, before a store has it.
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) -> std::io::Result<()> {
        self.region.write(at, bytes)
    }

    fn is_of(&self, minimum: usize) -> bool {
        self.shown.as_ref().and_then(Shown::image).is_some_and(|image| image.minimum() == minimum)
    }

    /// Zeros.
    fn blank(size: usize) -> std::io::Result<Self> {
        if size == GC_HEAP_BYTES
            && let Some(region) = kept::take_blank()
        {
            return Ok(Self::new(region, None));
        }
        let mut region = Region::reserve()?;
        region.grow_to(size)?;
        Ok(Self::new(region, None))
    }

    fn new(region: Region, image: Option<Arc<Image>>) -> Self {
        let shown = image.map(Shown::new);
        Self { region: ManuallyDrop::new(region), shown, since: Since::default(), generation: generation() }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // A child made by `fork` leaves what its parent's stores use alone.
        if self.generation != generation() {
            return;
        }
        // SAFETY: taken once, here, and not used afterwards.
        let mut region = unsafe { ManuallyDrop::take(&mut self.region) };
        match &self.shown {
            Some(shown) => {
                if let Some(image) = shown.image() {
                    image.take_back(region, self.since.get());
                }
            }
            // One that cannot be wiped is unmapped.
            None if region.size() == GC_HEAP_BYTES && region.wipe().is_ok() => kept::put_blank(region),
            None => {}
        }
    }
}

// SAFETY: the region has the reservation and the guards that were asked for, its base never moves, and everything up to
// `byte_size` is accessible. It is this value's own until it is dropped.
unsafe impl LinearMemory for Lent {
    fn byte_size(&self) -> usize {
        self.region.size()
    }

    fn byte_capacity(&self) -> usize {
        RESERVATION
    }

    fn grow_to(&mut self, size: usize) -> wasmtime::Result<()> {
        Ok(self.region.grow_to(size)?)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.region.base()
    }
}

/// Makes memories and stacks of an engine: of what is offered, else new ones.
pub(crate) struct Creator;

// SAFETY: see `LinearMemory` above. wasmtime asks for zeros because it adds a module's data to them. A region that shows
// an image is offered only to a module whose data were taken out, and is what its memory would be with them.
unsafe impl MemoryCreator for Creator {
    fn new_memory(
        &self,
        kind: MemoryType,
        minimum: usize,
        _: Option<usize>,
        reservation: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        if reservation.is_none_or(|reservation| reservation > RESERVATION) || guard > GUARD {
            return Err("a memory of this kind is not made here".into());
        }
        // A heap of the engine's own may be made first: it has no maximum, and memories that are offered have one.
        let offered = kind.maximum().and_then(|_| OFFERED.take());
        let lent = match offered {
            Some(lent) if lent.is_of(minimum) => Ok(lent),
            _ => Lent::blank(minimum),
        };
        Ok(Box::new(lent.map_err(|error| format!("{NO_ROOM}{error}"))?))
    }
}

// SAFETY: see `StackMemory` of what it gives.
unsafe impl StackCreator for Creator {
    fn new_stack(&self, size: usize, zeroed: bool) -> Result<Box<dyn StackMemory>, wasmtime::Error> {
        Ok(Box::new(LentStack::of(size, zeroed)?))
    }
}

/// Instantiates a module; where its data are in an image, with a region that shows it as its memory.
pub(crate) async fn instantiate<T: Send + 'static>(
    store: &mut Store<T>,
    linked: &InstancePre<T>,
    memory: Option<Lent>,
) -> wasmtime::Result<Instance> {
    let Some(memory) = memory else { return linked.instantiate_async(store).await };
    let base = memory.as_ptr();
    let instance = {
        let mut offered = Some(memory);
        let mut instantiating = pin!(linked.instantiate_async(&mut *store));
        let instance = poll_fn(|context| {
            // For this poll only, however it ends: the thread may do other things before the next one.
            let offer = Offer::new(offered.take());
            let polled = instantiating.as_mut().poll(context);
            offered = offer.take_back();
            polled
        });
        instance.await?
    };
    shows(store, instance, base)
}

/// The same where nothing of the module waits.
pub(crate) fn instantiate_here<T: 'static>(
    store: &mut Store<T>,
    linked: &InstancePre<T>,
    memory: Option<Lent>,
) -> wasmtime::Result<Instance> {
    let Some(memory) = memory else { return linked.instantiate(store) };
    let base = memory.as_ptr();
    let offer = Offer::new(Some(memory));
    let instance = linked.instantiate(&mut *store);
    drop(offer.take_back());
    shows(store, instance?, base)
}

fn shows<T: 'static>(store: &mut Store<T>, instance: Instance, base: *mut u8) -> wasmtime::Result<Instance> {
    let memory = instance.get_memory(&mut *store, "memory").map(|memory| memory.data_ptr(&*store));
    wasmtime::ensure!(memory == Some(base), "the memory of an instance is not the one that was made for it");
    Ok(instance)
}

/// A region in the thread's hands, for as long as this lives.
struct Offer;

impl Offer {
    fn new(lent: Option<Lent>) -> Self {
        OFFERED.set(lent);
        Self
    }

    fn take_back(self) -> Option<Lent> {
        OFFERED.take()
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        drop(OFFERED.take());
    }
}

#[cfg(test)]
#[path = "memory_tests_unsafe.rs"]
mod tests;
