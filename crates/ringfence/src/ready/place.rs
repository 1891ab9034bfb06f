//! The store of one run: a new one, or one whose instance waits already.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::{Instance, InstancePre, Store};

use super::shelf::Shelf;
use crate::after::Begin;
use crate::ending::Ending;
use crate::error::Result;
use crate::language::abi;
use crate::lasting;
use crate::link::Start;
use crate::policy::Limits;
use crate::prepared::{Entry, Prepared};
use crate::process_unsafe::Here;
use crate::sandbox::host_calls::HostCalls;
use crate::sandbox::http::Secrets;
use crate::sandbox::soft;
use crate::sandbox::store::{Control, State};
use crate::snapshot::{self, Faults, Lent, Rewind, Since};
use crate::supervisor::{Supervisor, runtime};

/// An instance in which nothing of any run is left.
pub(super) struct Ready {
    store: Here<Store<State>>,
    instance: Instance,
    left: Left,
    /// What it has taken of the limit of memory by being there, in bytes.
    pub(super) taken: u64,
    /// Keeps the code; dropped after the store.
    pub(super) prepared: Arc<Prepared>,
}

/// What becomes of an instance when its run has returned.
enum Left {
    /// It is rewound.
    Rewind(Rewind),
    /// It was made ahead, for one run, whose thread says here from when on it is used.
    Once(Since),
}

/// Where a run takes place.
pub(crate) struct Place {
    store: Here<Store<State>>,
    begun: Begun,
    /// Of this thread, on which the guest runs, before it did.
    since: Option<Faults>,
    taken: u64,
    prepared: Arc<Prepared>,
}

/// What a run finds in its store.
enum Begun {
    /// Nothing yet; the memory of its instance, where that is lent to it, and whether it is to be rewound.
    New(Option<Lent>, bool),
    Instance(Instance, Option<Rewind>),
    /// Its guest did not return, or cannot be rewound.
    Spoilt,
}

impl Place {
    /// A place for a run with that state.
    pub(crate) fn of(
        shelf: Option<&Arc<Shelf>>,
        prepared: &Arc<Prepared>,
        begin: &Begin,
        mut state: State,
        secrets: &Secrets,
        limits: &Limits,
    ) -> Result<Self> {
        let waits = shelf.and_then(|shelf| shelf.take(prepared, begin, limits));
        if let Some(Ready { mut store, instance, left, taken, prepared }) = waits
            && state.limiter.grow(usize::try_from(taken).unwrap_or(usize::MAX))
        {
            *store.data_mut() = state;
            prepared.begin(&mut store, limits)?;
            let (rewind, since) = match left {
                Left::Rewind(rewind) => (Some(rewind), Faults::so_far()),
                Left::Once(since) => {
                    Faults::so_far().map(|faults| since.set(faults));
                    (None, None)
                }
            };
            return Ok(Self { store, begun: Begun::Instance(instance, rewind), since, taken, prepared });
        }
        let lasts = shelf.is_some_and(|shelf| shelf.rewinds());
        let memory = begin.memory(prepared, &mut state, secrets, lasts)?;
        let store = Here::new(prepared.store(state, limits)?);
        let since = if lasts { Faults::so_far() } else { None };
        Ok(Self { store, begun: Begun::New(memory, lasts), since, taken: 0, prepared: prepared.clone() })
    }

    pub(crate) fn store(&self) -> &Store<State> {
        &self.store
    }

    pub(crate) fn state(&mut self) -> &mut State {
        self.store.data_mut()
    }

    /// Runs the guest, up to its own end.
    pub(crate) async fn run(
        &mut self,
        (linked, start): (&InstancePre<State>, Start),
        begin: &Begin,
        prepared: &Prepared,
    ) -> wasmtime::Result<Ending> {
        let store = &mut self.store;
        let (instance, mut rewind, is_lent) = match std::mem::replace(&mut self.begun, Begun::Spoilt) {
            Begun::New(memory, lasts) => {
                let is_lent = memory.is_some();
                let instance = snapshot::instantiate(store, linked, memory).await?;
                self.taken = store.data().limiter.taken();
                let image = begin.image(prepared).filter(|_| lasts);
                let rewind = image.and_then(|image| Rewind::of(store, &instance, image));
                (instance, rewind, is_lent)
            }
            Begun::Instance(instance, rewind) => (instance, rewind, true),
            Begun::Spoilt => return Err(wasmtime::Error::msg("a run begins twice")),
        };
        let ending = call(store, &instance, start, is_lent, (begin, prepared)).await?;
        // Only now: what did not return is not rewound, nor what has taken more than it began with.
        rewind = rewind.filter(|_| store.data().limiter.taken() == self.taken);
        self.begun = Begun::Instance(instance, rewind);
        Ok(ending)
    }

    /// Rewinds it for a later run where it can be, and closes it otherwise. Nothing of the run's state is kept.
    pub(crate) fn leave(self, shelf: Option<&Arc<Shelf>>) {
        let Self { mut store, begun, since, taken, prepared } = self;
        let (Some(shelf), Begun::Instance(instance, Some(mut rewind))) = (shelf, begun) else { return };
        drop(std::mem::replace(store.data_mut(), lasting::nobody(&prepared)));
        // What is left in a heap of the engine's cannot be reached any more; it takes no room from the next run either.
        if store.gc_heap_capacity() > 0 && store.gc(None).is_err() {
            return;
        }
        if rewind.back(&mut store, since.as_ref()).is_ok() {
            shelf.put(Ready { store, instance, left: Left::Rewind(rewind), taken, prepared });
        }
    }
}

impl Ready {
    /// One that is made ahead, for one run; none where there is no room for it, or no way to make it.
    pub(super) fn ahead(prepared: &Arc<Prepared>, begin: &Begin) -> Option<Self> {
        let Entry::Module { linked, .. } = &prepared.entry else { return None };
        let (memory, since) = Lent::ahead(begin.image(prepared)?).ok()?;
        let mut state = lasting::nobody(prepared);
        if !state.limiter.grow(begin.grown()) {
            return None;
        }
        let limits = &prepared.policy.limits;
        let control = Control::of_guest(Instant::now(), limits, Duration::ZERO, Arc::default(), state.output.clone());
        state.control = control.clone();
        let mut store = Here::new(prepared.store(state, limits).ok()?);
        let mut found = None;
        let made = async {
            found = Some(snapshot::instantiate(&mut store, linked, Some(memory)).await?);
            Ok(Ending::exited(0))
        };
        let host_calls = HostCalls::default();
        Supervisor { runtime: runtime(false).ok()?, control: &control, host_calls: &host_calls }
            .end(made, &mut || true);
        let taken = store.data().limiter.taken();
        Some(Self { instance: found?, store, left: Left::Once(since), taken, prepared: prepared.clone() })
    }
}

/// Calls what a program is started by.
async fn call(
    store: &mut Store<State>,
    instance: &Instance,
    start: Start,
    is_lent: bool,
    (begin, prepared): (&Begin, &Prepared),
) -> wasmtime::Result<Ending> {
    if let Some(ending) = begin.enter(store, instance, start, begin.image(prepared)).await? {
        return Ok(ending);
    }
    if let Some(soft) = store.data().control.soft.clone() {
        let words = match prepared.words.get() {
            Some(words) => {
                soft::know_memory(store, instance);
                *words
            }
            None => soft::words(store, instance).await?,
        };
        // Nothing of this guest has run yet: all that begin with this image say the same.
        if is_lent {
            let _ = prepared.words.set(words);
        }
        soft.set_words(words);
    }
    if start == Start::Snapshot {
        let run = instance.get_typed_func::<(), u32>(&mut *store, abi::RUN)?;
        return Ok(Ending::exited(run.call_async(store, ()).await?));
    }
    if start == Start::Unsnapshotted
        && let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut *store, abi::INITIALIZE)
    {
        initialize.call_async(&mut *store, ()).await?;
    }
    let entry = instance.get_typed_func::<(), ()>(&mut *store, start.export())?;
    entry.call_async(&mut *store, ()).await?;
    if start != Start::Unsnapshotted {
        return Ok(Ending::exited(0));
    }
    let run = instance.get_typed_func::<(), u32>(&mut *store, abi::RUN)?;
    Ok(Ending::exited(run.call_async(store, ()).await?))
}
