//! Plugins: components whose functions are called with values of their types, and core modules with numbers.
//!
//! `load → world → open → call`. A plugin none of whose imports can wait is called on its caller's stack; another on a
//! fiber, that moves to a thread of its own at its first call of a function of the host. What ends a call other than by
//! a return leaves the instance in an unknown state: it is dropped, and the plugin is poisoned until it is restarted.

mod call;
mod handles;
mod holdings;
mod inside;
mod layout;
mod lift;
mod link;
mod live;
mod lower;
mod modules;
mod place;
mod pool;
mod seat;
mod stack_unsafe;
mod streams;
mod tape;
mod types;
mod usage;
mod values_unsafe;
mod wire;
mod world;

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wasmtime::Module;
use wasmtime::component::Component;

use self::call::Work;
use self::inside::Hooks;
use self::live::Beginning;
use self::modules::{COMPONENT, Kept, compiled};
use self::place::Instance;
use self::seat::{Back, Had, Seat, why};
use crate::error::{Error, Result};
use crate::given::environment;
use crate::host::{HostFunctions, Raised, Surrounding};
use crate::load::{self, Code, Kind, Loaded, Program, TypeNames};
use crate::policy::{Limits, Policy, Seconds, WasiLevel};
use crate::prepared::{Entry, Prepared, Recipe, profile};
use crate::process_unsafe::{Here, generation};
use crate::result::RunResult;
use crate::sandbox::engine::Engines;
use crate::sandbox::extism::Settings;
use crate::sandbox::files::Grants;
use crate::sandbox::views_unsafe::Views;
use crate::text;
use crate::worker::{self, Isolation, Place};

pub use crate::sandbox::access::{Access, Accessed};
pub use crate::sandbox::extism::Settings as Extism;
pub use handles::{Gone, Handle};
pub use modules::{GlobalExport, PluginFacts, SavedPlugin, Snapshot};
pub use pool::{Instances, Pool};
pub use streams::{Element, Feed, Items, Pulled, Stream};
pub use tape::{Held, MixedUp, Placed, Reader, Tape};
pub use types::{Number, Resource, Shape, TypeId, Types};
pub use usage::Usage;
pub use world::{Function, Interface, World};

pub(crate) use call::{Called, nothing};
pub(crate) use handles::Life;
pub(crate) use holdings::Holdings;
pub(crate) use inside::{Begins, Inside, Linked, Telling};
pub(crate) use wire::Counts;

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
        self.around(context)(call);
    }

    /// What surrounds the guest on a thread of its own, of a call by this thread with this context.
    fn around(&self, _context: Option<&Context>) -> Surrounding {
        Box::new(|guest| guest())
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
    /// The longest that it may take, where that is less than the policy's `wall`.
    pub wall: Option<Duration>,
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
    /// Where its instances are, unless they are here.
    place: Option<Place>,
    name: String,
    env: Vec<Vec<u8>>,
}

/// Compiled code.
enum Made {
    Component(Component),
    Module(Module),
}

impl Source {
    /// Compiles it, or takes it from the cache; its instances are where `isolation` and the tenant say. A core module is
    /// compiled so that its instances can be captured if it is `lasting`, and can be at all.
    pub fn load(
        program: &Program,
        policy: Policy,
        grants: Arc<Grants>,
        extism: Option<Settings>,
        lasting: bool,
        watch: Option<load::Watch<'_>>,
        (isolation, tenant): (Isolation, Option<String>),
    ) -> Result<Self> {
        if program.is_language() {
            return Err(Error::load(
                cannot_load(program.name()),
                "it is a language pack, whose code is text",
                "open a session: `ringfence.Session`",
            ));
        }
        let mut uncaptured = (program.kind() == Kind::Component).then(|| COMPONENT.to_owned());
        let binding = worker::Client::place(&policy, &grants, isolation, tenant, false)?;
        let (engines, loaded, place) = match binding {
            None => {
                let (engines, loaded, why) = compiled(program, &policy, lasting, watch)?;
                uncaptured = why;
                (engines, loaded, None)
            }
            Some(binding) => {
                let engines = Engines::of(profile(&policy, false))?;
                let (loaded, image) = load::load_for_worker(program, &engines, policy.limits.compile.0, watch)?;
                (engines, loaded, Some(Place { binding, image }))
            }
        };
        let (functions, env) = (HostFunctions::default(), environment(&policy));
        let recipe = Recipe { program: Some(program.clone()), policy, grants, functions };
        let source = Self::of(recipe, (loaded, engines), program.name(), env, extism)?;
        match place.is_some().then(|| inside::refused(&source)).flatten() {
            Some(why) => Err(Error::load(cannot_load(program.name()), why, "load it without `isolation`")),
            None => Ok(Self { place, uncaptured, ..source }),
        }
    }

    /// What compiled code says of itself.
    fn of(
        recipe: Recipe,
        (loaded, engines): (Loaded, Arc<Engines>),
        name: &str,
        env: Vec<Vec<u8>>,
        extism: Option<Settings>,
    ) -> Result<Self> {
        let (made, world) = match &*loaded.code {
            Code::Component(..) if extism.is_some() => {
                return Err(Error::load(
                    cannot_load(name),
                    "it is a component, and Extism's are core modules",
                    "load it as a `Plugin`",
                ));
            }
            Code::Component(component, names) => {
                let names = TypeNames::read(names);
                (Made::Component(component.clone()), World::of(&loaded.engine, component, &names, name)?)
            }
            Code::Module(module) => {
                (Made::Module(module.clone()), World::of_module(module, false, name, extism.as_ref())?)
            }
            Code::Imaged(module, _) => {
                (Made::Module(module.clone()), World::of_module(module, true, name, extism.as_ref())?)
            }
            Code::Uncaptured(why) => return Err(Error::load(cannot_load(name), why, "load it anew")),
        };
        let (world, name) = (Arc::new(world), name.to_owned());
        Ok(Self { recipe, loaded, engines, world, made, extism, uncaptured: None, place: None, name, env })
    }

    /// What it offers, and what it wants.
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Links it and makes an instance; `inline` keeps functions of the host on their caller's thread.
    pub fn open(self, imports: Option<Arc<dyn Imports>>, inline: bool, look: Look) -> Result<Plugin> {
        Plugin::open(&Arc::new(self.link(imports, inline, Hooks::of(look))?), &Arc::default(), Beginning::New)
    }

    /// Links it for so many instances, of which one is made now; and whether there is a new one for each call.
    pub fn pool(
        self,
        imports: Option<Arc<dyn Imports>>,
        inline: bool,
        look: Look,
        instances: (usize, bool),
    ) -> Result<Pool> {
        if !self.world.types.resources().is_empty() || self.world.types.have_streams() {
            let of = self.world.types.resources().first();
            let has = of.map_or("streams".into(), |of| format!("the resource `{}`", text::quote(&of.name)));
            return Err(Error::load(
                format!("cannot make a pool of `{}`", text::quote(&self.name)),
                format!("it has {has}: each belongs to one instance, and a call comes to any"),
                "make a `Plugin` for each thread that calls, kept in a `threading.local()`: they share their compiled code",
            ));
        }
        self.pooled(imports, inline, look, instances, None)
    }

    fn pooled(
        self,
        imports: Option<Arc<dyn Imports>>,
        inline: bool,
        look: Look,
        instances: (usize, bool),
        from: Option<Kept>,
    ) -> Result<Pool> {
        let (imports, number) = pool::marked(imports);
        Pool::open(self.link(imports, inline, Hooks::of(look))?, number, instances, from)
    }

    fn link(self, imports: Option<Arc<dyn Imports>>, inline: bool, hooks: Hooks) -> Result<Shared> {
        let Self { recipe, loaded, engines, world, made, extism, uncaptured, place, name: program, env } = self;
        let name = text::quote(&program);
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
        let prepared = recipe.joined(loaded, engines, entry, &program, env);
        let concurrent = prepared.policy.wasi == WasiLevel::V0_3;
        let waits = concurrent || !world.wasi.is_empty() || world.imports.iter().any(|import| world.wants(import));
        let worker = match (place, &recipe.program) {
            (Some(place), Some(program)) => {
                let granted = (stubs(&world, imports.as_ref()), extism.clone());
                Some(place.client(program, &prepared, granted))
            }
            _ => None,
        };
        let Hooks { look, begins } = hooks;
        Ok(Shared {
            prepared,
            world,
            name,
            imports,
            inline,
            waits,
            concurrent,
            look,
            begins,
            extism,
            uncaptured,
            worker,
        })
    }
}

fn cannot_load(program: &str) -> String {
    format!("cannot load the plugin `{program}`")
}

/// Which functions nobody gave, of those that are imported; nothing where none is.
fn stubs(world: &World, imports: Option<&Arc<dyn Imports>>) -> Option<Vec<bool>> {
    imports.map(|imports| (0..world.imported_count()).map(|index| imports.is_stub(index)).collect())
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
    /// Told of each call that begins, and may wait.
    begins: Option<Begins>,
    /// What a plugin for Extism is granted.
    extism: Option<Settings>,
    /// Why its instances cannot be captured, where they cannot.
    uncaptured: Option<String>,
    /// Where its instances are, unless they are here.
    worker: Option<worker::Client>,
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
    /// How many threads tell it what was dropped, which no caller has asked for.
    settling: AtomicU32,
    /// How many callers wait for the end of that.
    wanted: AtomicU32,
    seat: Here<Mutex<Seat>>,
    /// Memories of its guest, of a core module, while that is inside of a function of the host; of all of a pool.
    views: Arc<Views>,
}

impl Plugin {
    fn open(shared: &Arc<Shared>, views: &Arc<Views>, beginning: Beginning<'_>) -> Result<Self> {
        Ok(Self::with(shared, views, Seat::Free(shared.open(views, beginning, None)?, Usage::default())))
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
            wanted: AtomicU32::new(0),
            seat: Here::new(Mutex::new(seat)),
            views: views.clone(),
        }
    }

    /// Calls the function at that place among all that are exported.
    pub fn call(&self, index: usize, params: Tape, asked: &Asked) -> Result<Returned> {
        let (live, usage, mut back) = self.take()?;
        if !params.is_of(live.life()) {
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
        if self.generation != generation() {
            return Ok(None);
        }
        let Some(had) = self.take_to_tell() else { return Ok(None) };
        let settled = self.work(had, Work::Settle, &Asked::default());
        self.settling.fetch_sub(1, Ordering::SeqCst);
        settled.map(Some)
    }

    fn work(&self, (live, mut usage, mut back): Had<'_>, work: Work, asked: &Asked) -> Result<Returned> {
        let limits = self.shared.prepared.policy.limits;
        let limits = Limits { wall: asked.wall.map_or(limits.wall, |wall| limits.wall.min(Seconds(wall))), ..limits };
        let is_call = matches!(work, Work::Call(..));
        let (live, mut called) = self.called(live, &limits, work, asked)?;
        if let (Some(live), Returned::Values(tape)) = (&live, &mut called.returned) {
            tape.adopt(live.life());
        }
        usage.add(&called, is_call);
        back.seat = Some(match (live, &called.returned) {
            (Some(live), _) => Seat::Free(live, usage),
            (None, Returned::Ended(result)) => Seat::Poisoned(why(result), usage),
            (None, Returned::Values(_)) => Seat::Poisoned("its instance is gone".into(), usage),
        });
        Ok(called.returned)
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
        self.begin(Beginning::New)
    }

    /// Puts an instance that begins so in the place of the one that it has.
    fn begin(&self, beginning: Beginning<'_>) -> Result<()> {
        self.check_process()?;
        let before = self.once_told(|| {
            let mut seat = self.seat();
            let usage = match &*seat {
                Seat::Free(_, usage) | Seat::Poisoned(_, usage) => *usage,
                Seat::Taken(_) if self.is_told() => return Ok(None),
                Seat::Taken(_) => return Err(self.busy()),
                Seat::Closed => return Err(self.gone()),
            };
            let old = std::mem::replace(&mut *seat, Seat::Taken(usage));
            drop(seat);
            Ok(Some(if let Seat::Free(instance, _) = old { Some(instance) } else { None }))
        })?;
        let mut back = Back { plugin: self, usage: self.usage(), seat: None };
        let live = self.shared.open(&self.views, beginning, before)?;
        back.seat = Some(Seat::Free(live, back.usage));
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
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("name", &self.shared.name).finish_non_exhaustive()
    }
}
