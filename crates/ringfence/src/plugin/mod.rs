//! Plugins: components whose functions are called with values of their types, and core modules with numbers.
//!
//! `load → world → open → call`. A plugin none of whose imports can wait is called on its caller's stack; another on a
//! fiber, that moves to a thread of its own at its first call of a function of the host. What ends a call other than by
//! a return leaves the instance in an unknown state: it is dropped, and the plugin is poisoned until it is restarted.

mod call;
mod handles;
mod layout;
mod lift;
mod link;
mod live;
mod lower;
mod modules;
mod pool;
mod seat;
mod stack_unsafe;
mod streams;
mod tape;
mod types;
mod usage;
mod values_unsafe;
mod world;

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use wasmtime::Module;
use wasmtime::component::Component;

use self::call::Work;
use self::live::Live;
use self::modules::Kept;
use self::seat::{Back, Seat, why};
use crate::error::{Error, Result};
use crate::host::{HostFunctions, Raised};
use crate::load::{self, Code, Kind, Loaded, Program};
use crate::policy::{Limits, Policy, WasiLevel};
use crate::prepared::{Entry, Prepared, Recipe, profile};
use crate::process_unsafe::{Here, generation};
use crate::result::RunResult;
use crate::sandbox::engine::{Engines, Profile};
use crate::sandbox::extism::Settings;
use crate::sandbox::files::Grants;
use crate::sandbox::views_unsafe::Views;
use crate::text;

pub use crate::sandbox::extism::Settings as Extism;
pub use handles::{Gone, Handle};
pub use modules::{Access, Accessed, GlobalExport, Snapshot};
pub use pool::{Instances, Pool};
pub use streams::{Element, Feed, Items, Pulled, Stream};
pub use tape::{Held, MixedUp, Placed, Reader, Tape};
pub use types::{Number, Resource, Shape, TypeId, Types};
pub use usage::Usage;
pub use world::{Function, Interface, World};

/// Called about every 50 ms while a guest computes: `false` ends it.
pub type Look = Arc<dyn Fn() -> bool + Send + Sync>;

/// The functions that a plugin imports from its host, by their place in [`World::imports`].
pub trait Imports: Send + Sync {
    /// One call, outside the guest's stack: the values of its parameters, and those of its result.
    fn call(&self, index: usize, params: Tape) -> Result<Tape, Raised>;

    /// Whether nobody gave this one: a call of it is a trap.
    fn is_stub(&self, _index: usize) -> bool {
        false
    }

    /// The guest has let go of an object of the host's, of that resource and that number.
    fn drop_object(&self, resource: usize, number: u32) -> Result<(), Raised>;

    /// Surrounds one call on a thread of its own, while the guest goes on.
    fn beside(&self, context: Option<&Context>, call: &mut (dyn FnMut() + Send)) {
        self.around(context, call);
    }

    /// Surrounds the guest on a thread of its own, of a call with this context: it must call what it is given, once.
    fn around(&self, _context: Option<&Context>, guest: &mut (dyn FnMut() + Send)) {
        guest();
    }
}

/// What the functions of the host find again that a call makes: whatever its caller gave.
pub type Context = Arc<dyn Any + Send + Sync>;

/// How a call is made, beside its values.
#[derive(Clone, Default)]
pub struct Asked {
    /// Set by whoever gives up on it.
    pub cancelled: Option<Arc<AtomicBool>>,
    /// For the functions of the host.
    pub context: Option<Context>,
}

/// A plugin's code, and what that says of itself. Nothing of it has run.
pub struct Source {
    recipe: Recipe,
    loaded: Loaded,
    engines: Arc<Engines>,
    world: Arc<World>,
    made: Made,
    extism: Option<Settings>,
    /// Why its instances cannot be captured, where they cannot.
    uncaptured: Option<String>,
}

/// Compiled code.
enum Made {
    Component(Component),
    Module(Module),
}

impl Source {
    /// Compiles it, or takes it from the cache; a core module so that its instances can be captured if it is `lasting`,
    /// and can be at all.
    pub fn load(
        program: &Program,
        policy: Policy,
        grants: Arc<Grants>,
        extism: Option<Settings>,
        lasting: bool,
        watch: Option<load::Watch<'_>>,
    ) -> Result<Self> {
        let what = || format!("cannot load the plugin `{}`", program.name());
        if program.is_language() {
            return Err(Error::load(
                what(),
                "it is a language pack, whose code is text",
                "open a session: `ringfence.Session`",
            ));
        }
        let (engines, loaded, uncaptured) = compiled(program, &policy, lasting, watch)?;
        let (made, world) = match &*loaded.code {
            Code::Component(_) if extism.is_some() => {
                return Err(Error::load(
                    what(),
                    "it is a component, and Extism's are core modules",
                    "load it as a `Plugin`",
                ));
            }
            Code::Component(component) => {
                let world = World::of(&loaded.engine, component, program.name())?;
                (Made::Component(component.clone()), world)
            }
            Code::Module(module) => {
                let world = World::of_module(module, false, program.name(), extism.as_ref())?;
                (Made::Module(module.clone()), world)
            }
            Code::Imaged(module, _) => {
                let world = World::of_module(module, true, program.name(), extism.as_ref())?;
                (Made::Module(module.clone()), world)
            }
            Code::Uncaptured(why) => return Err(Error::load(what(), why, "load it anew")),
        };
        let world = Arc::new(world);
        let functions = HostFunctions::default();
        let recipe = Recipe { program: Some(program.clone()), policy, grants, functions };
        Ok(Self { recipe, loaded, engines, world, made, extism, uncaptured })
    }

    /// What it offers, and what it wants.
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Links it and makes an instance; `inline` keeps functions of the host on their caller's thread.
    pub fn open(self, imports: Option<Arc<dyn Imports>>, inline: bool, look: Look) -> Result<Plugin> {
        Plugin::open(&Arc::new(self.link(imports, inline, look)?), &Arc::default(), None)
    }

    /// Links it for so many instances, of which one is made now; `fresh` makes a new one for each call.
    pub fn pool(
        self,
        imports: Option<Arc<dyn Imports>>,
        inline: bool,
        look: Look,
        count: usize,
        fresh: bool,
    ) -> Result<Pool> {
        if !self.world.types.resources().is_empty() || self.world.types.have_streams() {
            return Err(Error::load(
                format!("cannot make a pool of `{}`", text::quote(self.recipe.name())),
                "it has resources or streams, and each belongs to one instance",
                "load it as a `Plugin`",
            ));
        }
        let (imports, number) = pool::marked(imports);
        Pool::open(self.link(imports, inline, look)?, number, count, fresh)
    }

    fn link(self, imports: Option<Arc<dyn Imports>>, inline: bool, look: Look) -> Result<Shared> {
        let Self { recipe, loaded, engines, world, made, extism, uncaptured } = self;
        let name = text::quote(recipe.name());
        let entry = match &made {
            Made::Component(component) => {
                let policy = &recipe.policy;
                Entry::Plugin(link::link(&loaded.engine, component, &world, &name, policy, imports.as_ref())?)
            }
            Made::Module(module) => Entry::ModulePlugin(modules::link(
                &loaded.engine,
                module,
                &world,
                &name,
                imports.as_ref(),
                extism.as_ref(),
            )?),
        };
        drop(made);
        let prepared = recipe.plugin(loaded, engines, entry);
        let concurrent = prepared.policy.wasi == WasiLevel::V0_3;
        let waits = concurrent || !world.wasi.is_empty() || world.imports.iter().any(|import| world.wants(import));
        Ok(Shared { prepared, world, name, imports, inline, waits, concurrent, look, extism, uncaptured })
    }
}

/// The code of a program; where it was to be such that its instances can be captured and is not, the reason.
fn compiled(
    program: &Program,
    policy: &Policy,
    lasting: bool,
    watch: Option<load::Watch<'_>>,
) -> Result<(Arc<Engines>, Loaded, Option<String>)> {
    let (usual, limit) = (profile(policy, false), policy.limits.compile.0);
    let mut uncaptured = None;
    if program.kind() == Kind::Component {
        uncaptured = Some("it is a component, and only core modules are captured".to_owned());
    } else if lasting {
        let engines = Engines::of(Profile { captured: true, concurrency: false, ..usual })?;
        let loaded = load::load_to_capture(program, &engines, limit, watch)?;
        match &*loaded.code {
            Code::Uncaptured(why) => uncaptured = Some(why.clone()),
            _ => return Ok((engines, loaded, None)),
        }
    }
    let engines = Engines::of(usual)?;
    let loaded = load::load(program, &engines, limit, watch)?;
    Ok((engines, loaded, uncaptured))
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
    /// What a plugin for Extism is granted.
    extism: Option<Settings>,
    /// Why its instances cannot be captured, where they cannot.
    uncaptured: Option<String>,
}

impl Shared {
    /// Makes an instance, which goes on from what was kept of another one, if anything was.
    fn open(&self, views: &Arc<Views>, from: Option<&Kept>) -> Result<Live> {
        let look = self.look.clone();
        Live::open(self, views, from, &mut || look())
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

/// One live instance of a component.
pub struct Plugin {
    shared: Arc<Shared>,
    generation: u64,
    closed: AtomicBool,
    /// How many threads are about to tell it what was dropped, which no caller has asked for.
    settling: AtomicU32,
    seat: Here<Mutex<Seat>>,
    /// Memories of its guest, of a core module, while that is inside of a function of the host; of all of a pool.
    views: Arc<Views>,
}

impl Plugin {
    fn open(shared: &Arc<Shared>, views: &Arc<Views>, from: Option<&Kept>) -> Result<Self> {
        let live = shared.open(views, from)?;
        Ok(Self::with(shared, views, Seat::Free(Box::new(live), Usage::default())))
    }

    /// One without an instance, until it is restarted.
    fn empty(shared: &Arc<Shared>, views: &Arc<Views>) -> Self {
        Self::with(shared, views, Seat::Poisoned("it has not begun".into(), Usage::default()))
    }

    fn with(shared: &Arc<Shared>, views: &Arc<Views>, seat: Seat) -> Self {
        Self {
            shared: shared.clone(),
            generation: generation(),
            closed: AtomicBool::new(false),
            settling: AtomicU32::new(0),
            seat: Here::new(Mutex::new(seat)),
            views: views.clone(),
        }
    }

    /// Calls the function at that place among all that are exported.
    pub fn call(&self, index: usize, params: Tape, asked: &Asked) -> Result<Returned> {
        let (live, usage, mut back) = self.take()?;
        if !params.is_of(&live.life) {
            back.put_back(live, usage);
            return Err(self.refused(
                "a resource that it is given is not its own, or of an instance that is gone",
                "give it resources that it made since it was last started",
            ));
        }
        self.work((live, usage, back), Work::Call(index, params), asked)
    }

    /// Tells the guest what resources the host has let go of; what a call that is under way leaves is told before the
    /// next.
    pub fn settle(&self) -> Result<Option<Returned>> {
        let is_free =
            self.generation == generation() && matches!(&*self.seat(), Seat::Free(live, _) if live.life.has_dropped());
        if !is_free {
            return Ok(None);
        }
        self.settling.fetch_add(1, Ordering::SeqCst);
        let taken = self.take_now().ok();
        let settled = taken.map(|taken| self.work(taken, Work::Settle, &Asked::default()));
        self.settling.fetch_sub(1, Ordering::SeqCst);
        settled.transpose()
    }

    fn work(
        &self,
        (live, mut usage, mut back): (Box<Live>, Usage, Back<'_>),
        work: Work,
        asked: &Asked,
    ) -> Result<Returned> {
        let limits = &self.shared.prepared.policy.limits;
        let is_call = matches!(work, Work::Call(..));
        let life = live.life.clone();
        let (live, mut called) = self.called(live, limits, work, asked)?;
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

    fn called(&self, live: Box<Live>, limits: &Limits, work: Work, asked: &Asked) -> Result<call::Done> {
        let look = &self.shared.look;
        match self.shared.waits {
            false => call::here(live, limits, work, asked, &mut || look()),
            true => call::waiting(live, &self.shared, limits, work, asked, &mut || look()),
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
        let live = self.shared.open(&self.views, None)?;
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

    /// Whether a call is under way.
    fn is_taken(&self) -> bool {
        self.generation == generation() && matches!(*self.seat(), Seat::Taken(_))
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

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("name", &self.shared.name).finish_non_exhaustive()
    }
}
