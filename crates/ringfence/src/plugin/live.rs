//! The instance behind a plugin: opened, and kept between calls.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::{Func, TypedFunc};
use wasmtime::{Store, StoreContextMut, UpdateDeadline};

use super::handles::Life;
use super::modules::{Kept, ModuleInstance, Showing};
use super::tape::Tape;
use super::values_unsafe::{Lifted, Lowered, MAX_FLAT};
use super::world::World;
use super::{Look, Shared};
use crate::apart::no_thread;
use crate::ending::Ending;
use crate::error::{Error, Result};
use crate::lasting;
use crate::prepared::Entry;
use crate::process_unsafe::Here;
use crate::result::Outcome;
use crate::sandbox::components::{self, ComponentState};
use crate::sandbox::extism::Kernel;
use crate::sandbox::files::Space;
use crate::sandbox::host_calls::HostCalls;
use crate::sandbox::http::Secrets;
use crate::sandbox::stdio::{Output, Sink};
use crate::sandbox::store::Control;
use crate::sandbox::views_unsafe::Views;
use crate::sandbox::{signals_unsafe, ticker};
use crate::session::Given;
use crate::snapshot::{self, Lent};
use crate::supervisor::{Supervisor, runtime};

/// Ticks between two looks at what the caller wants, such as an end after Ctrl-C.
const TICKS_TO_LOOK: u32 = 5;

/// A function that the guest exports.
pub(super) enum Export {
    Plain(TypedFunc<Lowered<MAX_FLAT>, Lifted<1>>),
    /// One that may be async, and then gives up to sixteen numbers directly: wasmtime knows how many by its type.
    Counted(Box<dyn Counted>),
}

/// What a call of one is under way as.
type Calling<'a> = Pin<Box<dyn Future<Output = wasmtime::Result<Tape>> + Send + 'a>>;

/// A function that gives so many numbers.
pub(super) trait Counted: Send + Sync {
    fn call<'a>(&'a self, store: &'a mut Store<ComponentState>, tape: Tape) -> Calling<'a>;
}

impl<const N: usize> Counted for TypedFunc<Lowered<MAX_FLAT>, Lifted<N>> {
    fn call<'a>(&'a self, store: &'a mut Store<ComponentState>, tape: Tape) -> Calling<'a> {
        Box::pin(async move { self.call_async(store, Lowered(tape)).await.map(|Lifted(tape)| tape) })
    }
}

impl Export {
    fn of(function: &Func, store: &Store<ComponentState>, count: Option<usize>) -> wasmtime::Result<Self> {
        macro_rules! by_count {
            ($($count:literal)*) => {
                match count {
                    None => Self::Plain(function.typed(store)?),
                    $(Some($count) => {
                        Self::Counted(Box::new(function.typed::<Lowered<MAX_FLAT>, Lifted<$count>>(store)?))
                    })*
                    Some(_) => Self::Counted(Box::new(function.typed::<Lowered<MAX_FLAT>, Lifted<1>>(store)?)),
                }
            };
        }
        Ok(by_count!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16))
    }

    /// Calls it, and waits for as long as it does.
    pub(super) async fn call(&self, store: &mut Store<ComponentState>, tape: Tape) -> wasmtime::Result<Tape> {
        match self {
            Self::Plain(function) => function.call_async(store, Lowered(tape)).await.map(|Lifted(tape)| tape),
            Self::Counted(function) => function.call(store, tape).await,
        }
    }
}

/// What a plugin has between its calls.
pub(super) struct Live {
    pub(super) store: Here<Store<ComponentState>>,
    pub(super) exports: Vec<Export>,
    /// Instead of those, of a core module.
    pub(super) module: Option<ModuleInstance>,
    /// What it may take of memory.
    pub(super) limit: u64,
    /// What its guest writes to between calls.
    pub(super) nowhere: Output,
    /// Of calls that nobody gives up on.
    pub(super) patient: Arc<AtomicBool>,
    /// When its last call on its caller's stack was over.
    pub(super) ended: Option<Instant>,
    /// What the host's handles of its resources hang on.
    pub(super) life: Arc<Life>,
    /// What its memory shows, where it can be captured.
    pub(super) showing: Option<Showing>,
    /// What its guest holds instead of secrets, in the order of the policy.
    pub(super) placeholders: Vec<Arc<str>>,
    pub(super) _slot: Here<OwnedSemaphorePermit>,
}

/// How an instance begins.
pub(super) enum Beginning<'a> {
    New,
    /// The same with what a worker was handed for it.
    Handed(Given),
    /// It goes on from what was kept of another one, and nothing of the guest runs.
    From(&'a Kept),
}

impl Drop for Live {
    fn drop(&mut self) {
        self.life.end();
    }
}

impl Live {
    /// Makes an instance, within the limits of a call.
    pub(super) fn open(
        shared: &Shared,
        views: &Arc<Views>,
        beginning: Beginning<'_>,
        tick: &mut dyn FnMut() -> bool,
    ) -> Result<Self> {
        let Shared { prepared, world, waits, concurrent, look, name, .. } = shared;
        let runtime = runtime(!prepared.net.is_empty())?;
        let slot = prepared.slot(runtime, &Arc::default(), tick)?;
        signals_unsafe::keep();
        let Some(_ticking) = ticker::Running::start() else {
            return Err(no_thread("the system starts no more threads for this process"));
        };
        let started = Instant::now();
        let limits = prepared.policy.limits;
        let nowhere = Output::new(Sink::Discard, Sink::Discard, limits.output.0);
        let output = Output::new(Sink::Capture(Vec::new()), Sink::Capture(Vec::new()), limits.output.0);
        let control = Control::of_guest(started, &limits, Duration::ZERO, Arc::default(), output);
        let secrets = || Secrets::from_environment(&prepared.policy.secrets);
        let (space, secrets, from) = match beginning {
            Beginning::New => (Space::default(), secrets()?, None),
            Beginning::Handed(Given { space, secrets }) => (space, secrets, None),
            Beginning::From(kept) => (Space::default(), kept.knowing(secrets()?)?, Some(kept)),
        };
        let placeholders = secrets.placeholders();
        let (mut state, network) = lasting::state(prepared, (space, &secrets), &limits, &control, started)?;
        let control = state.control.clone();
        let memory = match from {
            Some(kept) => Some(kept.memory(name, &limits, &mut state)?),
            None => prepared.memory()?,
        };
        let showing = Showing::of(memory.as_ref(), from);
        let state = ComponentState::new(state, network, secrets, prepared.policy.random);
        let mut store = Here::new(prepared.store(state, &limits)?);
        components::bound_tasks(&mut store);
        store.data_mut().views.clone_from(views);
        store.data_mut().kernel = shared.extism.clone().map(|settings| Box::new(Kernel::new(settings)));
        let mut found = None;
        let ending = if *waits {
            let host_calls = HostCalls::of_plugin();
            store.data_mut().state.host_calls = host_calls.clone();
            if let Some(begins) = &shared.begins {
                begins(&control, &host_calls);
            }
            let supervisor = Supervisor { runtime, control: &control, host_calls: &host_calls };
            let opened = async {
                found = Some(begin(&mut store, &prepared.entry, world, *concurrent, (memory, from)).await?);
                Ok(Ending::exited(0))
            };
            supervisor.end(opened, tick)
        } else {
            store.epoch_deadline_callback(ticked(look.clone()));
            match begin_here(&mut store, &prepared.entry, world, (memory, from)) {
                Ok(opened) => {
                    found = Some(opened);
                    Ending::exited(0)
                }
                Err(error) => Ending::of_error(&error),
            }
        };
        let state = &mut store.data_mut().state;
        let ending = if state.limiter.refused().is_some() { ending.after_refused_memory() } else { ending };
        state.output = nowhere.clone();
        state.control.output = nowhere.clone();
        match found {
            Some((exports, module)) => {
                let (patient, life) = (Arc::default(), Life::new(store.data().over.clone()));
                let limit = limits.memory.0;
                Ok(Self {
                    store,
                    exports,
                    module,
                    limit,
                    nowhere,
                    patient,
                    ended: None,
                    life,
                    showing,
                    placeholders,
                    _slot: Here::new(slot),
                })
            }
            None => Err(not_opened(name, &ending)),
        }
    }
}

/// The memory of an instance where it is lent to it, and what it goes on from.
type Lending<'a> = (Option<Lent>, Option<&'a Kept>);

/// What is called of an instance.
type Opened = (Vec<Export>, Option<ModuleInstance>);

fn no_plugin() -> wasmtime::Error {
    wasmtime::Error::msg("it was linked as something else: please report this as a bug")
}

/// Makes an instance that nothing of can wait.
fn begin_here(
    store: &mut Store<ComponentState>,
    entry: &Entry,
    world: &World,
    (memory, from): Lending<'_>,
) -> wasmtime::Result<Opened> {
    match entry {
        Entry::Plugin(linked) => {
            let instance = linked.instantiate(&mut *store)?;
            Ok((exports(store, &instance, world, false)?, None))
        }
        Entry::ModulePlugin(linked) => {
            let instance = snapshot::instantiate_here(store, linked, memory)?;
            let module = ModuleInstance::of(store, &instance, world)?;
            match from {
                Some(kept) => kept.restore(store, &instance)?,
                None => module.begin(store)?,
            }
            Ok((Vec::new(), Some(module)))
        }
        _ => Err(no_plugin()),
    }
}

/// The same where an import may wait.
async fn begin(
    store: &mut Store<ComponentState>,
    entry: &Entry,
    world: &World,
    concurrent: bool,
    (memory, from): Lending<'_>,
) -> wasmtime::Result<Opened> {
    match entry {
        Entry::Plugin(linked) => {
            let instance = linked.instantiate_async(&mut *store).await?;
            Ok((exports(store, &instance, world, concurrent)?, None))
        }
        Entry::ModulePlugin(linked) => {
            let instance = snapshot::instantiate(store, linked, memory).await?;
            let module = ModuleInstance::of(store, &instance, world)?;
            match from {
                Some(kept) => kept.restore(store, &instance)?,
                None => module.begin_async(store).await?,
            }
            Ok((Vec::new(), Some(module)))
        }
        _ => Err(no_plugin()),
    }
}

fn exports(
    store: &mut Store<ComponentState>,
    instance: &wasmtime::component::Instance,
    world: &World,
    concurrent: bool,
) -> wasmtime::Result<Vec<Export>> {
    let missing = || wasmtime::Error::msg("an export is gone");
    let mut exports = Vec::new();
    for interface in &world.exports {
        let within = match interface.name.as_str() {
            "" => None,
            name => Some(instance.get_export_index(&mut *store, None, name).ok_or_else(missing)?),
        };
        for function in &interface.functions {
            let index = instance.get_export_index(&mut *store, within.as_ref(), &function.name);
            let found = instance.get_func(&mut *store, index.ok_or_else(missing)?).ok_or_else(missing)?;
            let count = concurrent.then(|| world.types.count(function.result));
            exports.push(Export::of(&found, store, count)?);
        }
    }
    Ok(exports)
}

/// What a tick does to a guest that computes on its caller's thread.
fn ticked(
    look: Look,
) -> impl FnMut(StoreContextMut<'_, ComponentState>) -> wasmtime::Result<UpdateDeadline> + Send + Sync + 'static {
    let mut ticks: u32 = 0;
    move |context: StoreContextMut<'_, ComponentState>| {
        let control = &context.data().state.control;
        control.check()?;
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(TICKS_TO_LOOK) && !look() {
            return Err(crate::sandbox::stop::Stop::Cancelled.into());
        }
        Ok(UpdateDeadline::Continue(1))
    }
}

fn not_opened(name: &str, ending: &Ending) -> Error {
    if let Some(error) = &ending.host {
        return error.clone();
    }
    let what = format!("no instance of the plugin `{name}`");
    match (ending.outcome, ending.limit, &ending.trap) {
        (_, Some(limit), _) => Error::policy(
            what,
            format!("it reached the limit `{}` while it was set up", limit.name()),
            format!("raise `{}` in the policy's limits", limit.name()),
        ),
        (Outcome::Cancelled, _, _) => Error::plugin(what, "the caller gave up on it", "make it again"),
        (_, _, Some(trap)) => {
            Error::load(what, format!("it ended while it was set up: {trap}"), "build it again, or ask who built it")
        }
        (outcome, _, _) => Error::load(
            what,
            format!("it {} while it was set up", outcome.name()),
            "build it again, or ask who built it",
        ),
    }
}
