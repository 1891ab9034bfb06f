//! What every run of a sandbox shares: made from its recipe once in every process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::{InstancePre, Store, component};

use crate::error::{Error, Parts, ROOM, Result};
use crate::given::{argv0, environment};
use crate::host::HostFunctions;
use crate::language::abi;
use crate::link::{self, Command, Start};
use crate::link_functions;
use crate::load::{self, Code, Loaded, Program};
use crate::policy::{Limits, Net, Policy, WasiLevel};
use crate::process_unsafe::EndsWhole;
use crate::sandbox::components::ComponentState;
use crate::sandbox::engine::{Engines, Profile};
use crate::sandbox::files::Grants;
use crate::sandbox::soft::Words;
use crate::sandbox::store::{State, at_tick};
use crate::snapshot::{Image, Lent};
use crate::supervisor::LOOK;

/// How long a caller waits for a free slot.
const SLOT_WAIT: Duration = Duration::from_secs(10);

/// What a sandbox is made of.
#[derive(Clone)]
pub(crate) struct Recipe {
    /// None in a worker, which is given the code and does not fork.
    pub(crate) program: Option<Program>,
    pub(crate) policy: Policy,
    pub(crate) grants: Arc<Grants>,
    pub(crate) functions: HostFunctions,
}

/// What every run of a sandbox shares; one that was abandoned may outlive the sandbox.
pub(crate) struct Prepared {
    pub(crate) policy: Policy,
    pub(crate) grants: Arc<Grants>,
    pub(crate) net: Arc<Net>,
    pub(crate) env: Arc<Vec<Vec<u8>>>,
    pub(crate) argv0: String,
    program: Option<Program>,
    engines: Arc<Engines>,
    engine: wasmtime::Engine,
    slots: u32,
    pub(crate) entry: Entry,
    /// What the guest's memory begins with, where that is not in its code.
    image: Option<Arc<Image>>,
    /// How its instances are interrupted: the same for all that begin with one image.
    pub(crate) words: OnceLock<[Option<Words>; 2]>,
    pub(crate) functions: HostFunctions,
    /// Keeps the code in this process's memory of loaded programs; the last field, since what is above uses it.
    _code: EndsWhole<Arc<Code>>,
}

pub(crate) enum Entry {
    Module {
        linked: InstancePre<State>,
        start: Start,
    },
    Component(Command),
    /// Nothing that is run: its functions are called.
    Plugin(component::InstancePre<ComponentState>),
    /// The same of a core module.
    ModulePlugin(InstancePre<ComponentState>),
}

impl Recipe {
    /// Compiles (or takes from the cache) and links; whether it was in the cache.
    pub(crate) fn prepare(&self, watch: Option<load::Watch<'_>>) -> Result<(Arc<Prepared>, bool)> {
        let language = self.program.as_ref().is_some_and(Program::is_language);
        self.prepare_as(profile(&self.policy, language), watch)
    }

    /// The same for the engine of a profile.
    pub(crate) fn prepare_as(&self, profile: Profile, watch: Option<load::Watch<'_>>) -> Result<(Arc<Prepared>, bool)> {
        let Some(program) = &self.program else {
            return Err(Error::host(
                "a worker was forked",
                "the code it runs came from its parent, once",
                "please report this as a bug",
            ));
        };
        let engines = Engines::of(profile)?;
        let loaded = load::load(program, &engines, self.policy.limits.compile.0, watch)?;
        let from_cache = loaded.from_cache;
        Ok((self.link(loaded, engines, program.name(), environment(&self.policy))?, from_cache))
    }

    /// Links what was loaded.
    pub(crate) fn link(
        &self,
        loaded: Loaded,
        engines: Arc<Engines>,
        name: &str,
        env: Vec<Vec<u8>>,
    ) -> Result<Arc<Prepared>> {
        let Self { policy, functions, .. } = self;
        let language = engines.profile().language;
        let entry = match &*loaded.code {
            Code::Module(module) | Code::Imaged(module, _) => {
                let (linked, start) = link::module(&loaded.engine, module, name, functions, language)?;
                Entry::Module { linked, start }
            }
            Code::Component(component, _) => {
                link_functions::refuse_for_component(functions, name)?;
                Entry::Component(link::component(&loaded.engine, component, name, policy, language)?)
            }
            Code::Uncaptured(why) => return Err(link::broken(&wasmtime::Error::msg(why.clone()))),
        };
        Ok(self.joined(loaded, engines, entry, name, env))
    }

    /// What all runs, or all instances of a plugin, share of code that was linked.
    pub(crate) fn joined(
        &self,
        loaded: Loaded,
        engines: Arc<Engines>,
        entry: Entry,
        name: &str,
        env: Vec<Vec<u8>>,
    ) -> Arc<Prepared> {
        let Self { policy, grants, functions, .. } = self;
        let image = match &*loaded.code {
            Code::Imaged(_, image) => Some(image.clone()),
            Code::Module(_) | Code::Component(..) | Code::Uncaptured(_) => None,
        };
        Arc::new(Prepared {
            env: Arc::new(env),
            argv0: argv0(name),
            program: self.program.clone(),
            net: Arc::new(policy.net.clone()),
            policy: policy.clone(),
            grants: grants.clone(),
            slots: loaded.code.needs().min(engines.size()),
            engines,
            engine: loaded.engine,
            entry,
            image,
            words: OnceLock::new(),
            functions: functions.clone(),
            _code: EndsWhole::new(loaded.code),
        })
    }

    /// The program's name, for messages.
    pub(crate) fn name(&self) -> &str {
        self.program.as_ref().map_or("a worker's", Program::name)
    }
}

/// The engine that a policy asks for, for a language pack or any other program.
pub(crate) fn profile(policy: &Policy, language: bool) -> Profile {
    let concurrency = policy.wasi == WasiLevel::V0_3 && !language;
    Profile { fuel: policy.limits.fuel.is_some(), concurrency, language, captured: false }
}

impl Prepared {
    /// Whether the guest may ask for requests of HTTP, granted or not.
    pub(crate) fn may_ask(&self) -> bool {
        self.engines.profile().language || !self.net.is_empty()
    }

    /// Whether the guest can hear of its end before it comes.
    pub(crate) fn hears(&self) -> bool {
        match &self.entry {
            Entry::Module { linked, start: Start::Command | Start::Snapshot } if self.engines.profile().language => {
                linked.module().get_export(abi::INTERRUPT).is_some()
            }
            _ => false,
        }
    }

    pub(crate) fn store<T: AsMut<State> + AsRef<State> + 'static>(
        &self,
        state: T,
        limits: &Limits,
    ) -> Result<Store<T>> {
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.as_mut().limiter);
        store.epoch_deadline_callback(at_tick);
        self.begin(&mut store, limits)?;
        Ok(store)
    }

    /// Gives a store the time, the fuel and the room of one run.
    pub(crate) fn begin<T: 'static>(&self, store: &mut Store<T>, limits: &Limits) -> Result<()> {
        store.set_epoch_deadline(1);
        store.set_hostcall_fuel(usize::try_from(limits.host_bytes.0).unwrap_or(usize::MAX));
        if let Some(fuel) = limits.fuel {
            store.set_fuel(fuel).map_err(|error| link::broken(&error))?;
        }
        Ok(())
    }

    /// Whether the guest's memory is lent to it.
    pub(crate) fn lends(&self) -> bool {
        self.image.is_some()
    }

    /// The image that a new instance shows, where its memory is lent to it.
    pub(crate) fn image(&self) -> Option<&Arc<Image>> {
        self.image.as_ref()
    }

    /// SHA-256 of its program; none in a worker, which does not know it.
    pub(crate) fn program_digest(&self) -> Option<&str> {
        self.program.as_ref().map(Program::digest)
    }

    /// What its code was compiled with.
    pub(crate) fn build(&self) -> String {
        load::Build::of(self.engines.profile(), &self.engine).to_hex()
    }

    /// Memory for a new store; none where the engine makes it.
    pub(crate) fn memory(&self) -> Result<Option<Lent>> {
        self.memory_by(Lent::of)
    }

    /// The same for a store that lives and ends on this thread.
    pub(crate) fn memory_here(&self) -> Result<Option<Lent>> {
        self.memory_by(Lent::of_this_thread)
    }

    fn memory_by(&self, lend: impl FnOnce(&Arc<Image>) -> std::io::Result<Lent>) -> Result<Option<Lent>> {
        let lent = self.image.as_ref().map(lend).transpose();
        lent.map_err(|error| Error::system("no memory for a guest", &error, ROOM))
    }

    /// Waits, but not for ever, until the pool has room for one more run.
    pub(crate) fn slot(
        &self,
        runtime: &Runtime,
        cancelled: &AtomicBool,
        tick: &mut dyn FnMut() -> bool,
    ) -> Result<OwnedSemaphorePermit> {
        let slots = self.engines.slots();
        if let Ok(slot) = slots.clone().try_acquire_many_owned(self.slots) {
            return Ok(slot);
        }
        let until = Instant::now() + SLOT_WAIT;
        while Instant::now() < until && !cancelled.load(Ordering::Relaxed) && tick() {
            let slot = slots.clone().acquire_many_owned(self.slots);
            if let Ok(Ok(slot)) = runtime.block_on(async { tokio::time::timeout(LOOK, slot).await }) {
                return Ok(slot);
            }
        }
        let size = self.engines.size();
        let (what, why, fix) = match (self.engines.profile().language, &self.entry) {
            (true, _) => (
                "no free slot for this run or session",
                format!("{size} of languages are open in this process already, which is all there may be"),
                "close sessions and forks that nobody uses, or spread them over several processes",
            ),
            (false, Entry::Plugin(_) | Entry::ModulePlugin(_)) => (
                "no free slot for this plugin",
                format!("{size} plugins and runs are open in this process already, which is all there may be"),
                "close plugins that nobody calls, or spread them over several processes",
            ),
            (false, _) => (
                "no free slot for this run",
                format!("{size} guests run in this process already, which is all that may"),
                "run fewer at one time, or spread them over several processes",
            ),
        };
        Err(Error::Busy(Parts::new(what, why, fix)))
    }
}
