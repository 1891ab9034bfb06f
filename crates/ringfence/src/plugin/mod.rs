//! Plugins: components whose functions are called with values of their types.
//!
//! `load → world → open → call`. A plugin none of whose imports can wait is called on its caller's stack; another on a
//! fiber, that moves to a thread of its own at its first call of a function of the host. What ends a call other than by
//! a return leaves the instance in an unknown state: it is dropped, and the plugin is poisoned until it is restarted.

mod call;
mod handles;
mod lift;
mod link;
mod live;
mod lower;
mod stack_unsafe;
mod tape;
mod types;
mod values_unsafe;
mod world;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use wasmtime::component::Component;

use self::call::Called;
use self::live::Live;
use crate::error::{Error, Result};
use crate::host::{HostFunctions, Raised};
use crate::load::{self, Code, Loaded, Program};
use crate::policy::{Limits, Policy, WasiLevel};
use crate::prepared::{Prepared, Recipe, profile};
use crate::process_unsafe::{Here, generation};
use crate::result::RunResult;
use crate::sandbox::engine::Engines;
use crate::sandbox::files::Grants;
use crate::text;

pub use handles::{Gone, Handle};
pub use tape::{Held, MixedUp, Placed, Reader, Tape};
pub use types::{Number, Resource, Shape, TypeId, Types};
pub use world::{Function, Interface, World};

/// Called about every 50 ms while a guest computes: `false` ends it.
pub type Look = Arc<dyn Fn() -> bool + Send + Sync>;

/// The functions that a plugin imports from its host, by their place in [`World::imports`].
pub trait Imports: Send + Sync {
    /// One call, outside the guest's stack: the values of its parameters, and those of its result.
    fn call(&self, index: usize, params: Tape) -> Result<Tape, Raised>;

    /// The guest has let go of an object of the host's, of that resource and that number.
    fn drop_object(&self, resource: usize, number: u32) -> Result<(), Raised>;

    /// Surrounds the guest on a thread of its own: it must call what it is given, once.
    fn around(&self, guest: &mut (dyn FnMut() + Send)) {
        guest();
    }
}

/// A plugin's code, and what that says of itself. Nothing of it has run.
pub struct Source {
    recipe: Recipe,
    loaded: Loaded,
    engines: Arc<Engines>,
    world: Arc<World>,
    component: Component,
}

impl Source {
    /// Compiles it, or takes it from the cache.
    pub fn load(
        program: &Program,
        policy: Policy,
        grants: Arc<Grants>,
        watch: Option<load::Watch<'_>>,
    ) -> Result<Self> {
        let what = || format!("cannot load the plugin `{}`", program.name());
        if program.kind() != load::Kind::Component || program.is_language() {
            return Err(Error::load(
                what(),
                "it is no component: its functions have no types",
                "build a component of it (`wasm-tools component new`), or run it: `ringfence run`",
            ));
        }
        let engines = Engines::of(profile(&policy, false))?;
        let loaded = load::load(program, &engines, policy.limits.compile.0, watch)?;
        let Code::Component(component) = &*loaded.code else {
            return Err(Error::load(what(), "it is no component", "build a component of it"));
        };
        let component = component.clone();
        let world = Arc::new(World::of(&loaded.engine, &component, program.name())?);
        let functions = HostFunctions::default();
        let recipe = Recipe { program: Some(program.clone()), policy, grants, functions };
        Ok(Self { recipe, loaded, engines, world, component })
    }

    /// What it offers, and what it wants.
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Links it and makes an instance; `inline` keeps functions of the host on their caller's thread.
    pub fn open(self, imports: Option<Arc<dyn Imports>>, inline: bool, look: Look) -> Result<Plugin> {
        let Self { recipe, loaded, engines, world, component } = self;
        let name = text::quote(recipe.name());
        let linked = link::link(&loaded.engine, &component, &world, &name, &recipe.policy, imports.as_ref())?;
        drop(component);
        let prepared = recipe.plugin(loaded, engines, linked);
        let concurrent = recipe.policy.wasi == WasiLevel::V0_3;
        let waits = concurrent || !world.wasi.is_empty() || world.imports.iter().any(|import| world.wants(import));
        let shared = Arc::new(Shared { prepared, world, name, imports, inline, waits, concurrent, look });
        let live = shared.open()?;
        Ok(Plugin {
            shared,
            generation: generation(),
            closed: AtomicBool::new(false),
            seat: Here::new(Mutex::new(Seat::Free(Box::new(live), Usage::default()))),
        })
    }
}

/// What the instances of a plugin share, one after the other.
struct Shared {
    prepared: Arc<Prepared>,
    world: Arc<World>,
    name: String,
    imports: Option<Arc<dyn Imports>>,
    inline: bool,
    /// Whether an import can wait: those of WASI, and all of the host's.
    waits: bool,
    /// Whether its functions may be async, as the policy lets them.
    concurrent: bool,
    look: Look,
}

impl Shared {
    fn open(&self) -> Result<Live> {
        let look = self.look.clone();
        Live::open(self, &mut || look())
    }
}

/// What a plugin has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Usage {
    pub calls: u64,
    pub host_calls: u64,
    pub wall: Duration,
    pub last_wall: Duration,
    pub fuel: Option<u64>,
    pub last_fuel: Option<u64>,
    pub memory: u64,
}

impl Usage {
    fn add(&mut self, called: &Called, is_call: bool) {
        self.calls += u64::from(is_call);
        self.host_calls += called.host_calls;
        self.wall += called.wall;
        self.last_wall = called.wall;
        self.last_fuel = called.fuel;
        if let Some(fuel) = called.fuel {
            self.fuel = Some(self.fuel.unwrap_or(0).saturating_add(fuel));
        }
        self.memory = self.memory.max(called.memory);
    }
}

/// What a call gave.
#[derive(Debug)]
pub enum Returned {
    /// The values of its result.
    Values(Tape),
    /// It ended otherwise; the instance is gone.
    Ended(Box<RunResult>),
}

enum Seat {
    Free(Box<Live>, Usage),
    /// A call has it.
    Taken(Usage),
    /// It is gone, and why.
    Poisoned(String, Usage),
    Closed,
}

/// One live instance of a component.
pub struct Plugin {
    shared: Arc<Shared>,
    generation: u64,
    closed: AtomicBool,
    seat: Here<Mutex<Seat>>,
}

impl Plugin {
    /// Calls the function at that place among all that are exported.
    pub fn call(&self, index: usize, params: Tape) -> Result<Returned> {
        let (live, usage, mut back) = self.take()?;
        if !params.is_of(&live.life) {
            back.seat = Some(Seat::Free(live, usage));
            return Err(self.refused(
                "a resource that it is given is not its own, or of an instance that is gone",
                "give it resources that it made since it was last started",
            ));
        }
        self.work((live, usage, back), Some((index, params)))
    }

    /// Tells the guest what resources the host has let go of; what a call that is under way leaves is told before the
    /// next.
    pub fn settle(&self) -> Result<Option<Returned>> {
        let is_free =
            self.generation == generation() && matches!(&*self.seat(), Seat::Free(live, _) if live.life.has_dropped());
        let Some(taken) = is_free.then(|| self.take().ok()).flatten() else { return Ok(None) };
        self.work(taken, None).map(Some)
    }

    fn work(
        &self,
        (live, mut usage, mut back): (Box<Live>, Usage, Back<'_>),
        work: Option<(usize, Tape)>,
    ) -> Result<Returned> {
        let limits = &self.shared.prepared.policy.limits;
        let is_call = work.is_some();
        let life = live.life.clone();
        let (live, mut called) = self.called(live, limits, work)?;
        if let Returned::Values(tape) = &mut called.returned {
            tape.adopt(&life);
        }
        usage.add(&called, is_call);
        back.seat = Some(match (live, &called.returned) {
            (Some(live), _) => Seat::Free(live, usage),
            (None, Returned::Ended(result)) => Seat::Poisoned(why(result), usage),
            (None, Returned::Values(_)) => Seat::Poisoned("its instance is gone".into(), usage),
        });
        Ok(called.returned)
    }

    fn called(&self, live: Box<Live>, limits: &Limits, work: call::Work) -> Result<call::Done> {
        let look = &self.shared.look;
        match self.shared.waits {
            false => call::here(live, limits, work, &mut || look()),
            true => call::waiting(live, &self.shared, limits, work, &mut || look()),
        }
    }

    /// What it offers, and what it wants.
    pub fn world(&self) -> &Arc<World> {
        &self.shared.world
    }

    /// What was used so far.
    pub fn usage(&self) -> Usage {
        match self.generation == generation() {
            false => Usage::default(),
            true => match &*self.seat() {
                Seat::Free(_, usage) | Seat::Taken(usage) | Seat::Poisoned(_, usage) => *usage,
                Seat::Closed => Usage::default(),
            },
        }
    }

    /// Why it cannot be called any more, if it cannot.
    pub fn poisoned(&self) -> Option<String> {
        if self.generation != generation() {
            return Some("it is in the parent of this process".into());
        }
        match &*self.seat() {
            Seat::Poisoned(why, _) => Some(why.clone()),
            _ => None,
        }
    }

    /// Begins anew, with a new instance.
    pub fn restart(&self) -> Result<()> {
        self.check_process()?;
        {
            let mut seat = self.seat();
            let usage = match &*seat {
                Seat::Free(_, usage) | Seat::Poisoned(_, usage) => *usage,
                Seat::Taken(_) => return Err(self.busy()),
                Seat::Closed => return Err(self.gone()),
            };
            let old = std::mem::replace(&mut *seat, Seat::Taken(usage));
            drop(seat);
            drop(old);
        }
        let mut back = Back { plugin: self, usage: self.usage(), seat: None };
        let live = self.shared.open()?;
        back.seat = Some(Seat::Free(Box::new(live), back.usage));
        Ok(())
    }

    /// Frees everything. A call that is under way goes on, and is its last.
    pub fn close(&self) {
        if self.generation != generation() {
            return;
        }
        self.closed.store(true, Ordering::SeqCst);
        let mut seat = self.seat();
        if !matches!(*seat, Seat::Taken(_)) {
            let gone = std::mem::replace(&mut *seat, Seat::Closed);
            drop(seat);
            drop(gone);
        }
    }

    fn seat(&self) -> MutexGuard<'_, Seat> {
        self.seat.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    fn check_process(&self) -> Result<()> {
        if self.generation == generation() {
            return Ok(());
        }
        Err(self.refused("this process was forked, and the plugin is in its parent", "make a new one in this process"))
    }

    fn take(&self) -> Result<(Box<Live>, Usage, Back<'_>)> {
        self.check_process()?;
        let mut seat = self.seat();
        let usage = match &*seat {
            Seat::Free(_, usage) => *usage,
            Seat::Taken(_) => return Err(self.busy()),
            Seat::Poisoned(why, _) => {
                return Err(self.refused(why, "call `restart()`: it begins anew, without what it had"));
            }
            Seat::Closed => return Err(self.gone()),
        };
        match std::mem::replace(&mut *seat, Seat::Taken(usage)) {
            Seat::Free(live, usage) => Ok((live, usage, Back { plugin: self, usage, seat: None })),
            other => {
                *seat = other;
                Err(self.busy())
            }
        }
    }

    fn busy(&self) -> Error {
        self.refused(
            "a call is under way, and a plugin has one at a time",
            "wait for its end, or make one plugin for each thread and for each function that calls into it",
        )
    }

    fn gone(&self) -> Error {
        self.refused("it was closed", "make a new one")
    }

    fn refused(&self, why: &str, fix: &str) -> Error {
        Error::plugin(format!("no call of the plugin `{}`", self.shared.name), why, fix)
    }
}

/// Whatever happens to a call, its seat does not stay taken.
struct Back<'a> {
    plugin: &'a Plugin,
    usage: Usage,
    seat: Option<Seat>,
}

impl Drop for Back<'_> {
    fn drop(&mut self) {
        if self.plugin.generation != generation() {
            return;
        }
        let seat = self.seat.take();
        let seat = seat.unwrap_or_else(|| Seat::Poisoned("its last call could not be made".into(), self.usage));
        let is_closed = self.plugin.closed.load(Ordering::SeqCst);
        let gone = std::mem::replace(&mut *self.plugin.seat(), if is_closed { Seat::Closed } else { seat });
        drop(gone);
    }
}

/// Why a plugin is poisoned, after a call that ended so.
fn why(result: &RunResult) -> String {
    let how = match (&result.raised, &result.abandoned, result.limit, &result.trap) {
        (Some(raised), ..) => format!("ended as {}", raised.why),
        (_, Some(name), ..) => format!("was left inside `{name}`, which did not come back in time"),
        (_, _, Some(limit), _) => format!("reached the limit `{limit}`"),
        (_, _, _, Some(trap)) => format!("trapped: {trap}"),
        _ => format!("ended as {}", result.outcome.name()),
    };
    format!("its last call {how}")
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("name", &self.shared.name).finish_non_exhaustive()
    }
}
