//! What every run of a sandbox shares: made from its recipe once in every process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::{InstancePre, Store};

use crate::error::{Error, Parts, Result};
use crate::host::HostFunctions;
use crate::link::{self, Command, Start};
use crate::link_functions;
use crate::load::{self, Code, Program};
use crate::policy::{Limits, Net, Policy, WasiLevel};
use crate::sandbox::engine::{Engines, POOL_SLOTS, Profile};
use crate::sandbox::files::Grants;
use crate::sandbox::store::State;
use crate::supervisor::LOOK;

/// How long a caller waits for a free slot.
const SLOT_WAIT: Duration = Duration::from_secs(10);

/// What a sandbox is made of.
pub(crate) struct Recipe {
    pub(crate) program: Program,
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
    engines: Arc<Engines>,
    engine: wasmtime::Engine,
    slots: u32,
    pub(crate) entry: Entry,
    pub(crate) functions: HostFunctions,
    /// Keeps the code in this process's memory of loaded programs.
    _code: Arc<Code>,
}

pub(crate) enum Entry {
    Module { linked: InstancePre<State>, start: Start },
    Component(Command),
}

impl Recipe {
    /// Compiles (or takes from the cache) and links; whether it was in the cache.
    pub(crate) fn prepare(&self, watch: Option<load::Watch<'_>>) -> Result<(Arc<Prepared>, bool)> {
        let Self { program, policy, grants, functions } = self;
        let profile = Profile { fuel: policy.limits.fuel.is_some(), concurrency: policy.wasi == WasiLevel::V0_3 };
        let engines = Engines::of(profile)?;
        let loaded = load::load(program, &engines, policy.limits.compile.0, watch)?;
        let (entry, slots) = match &*loaded.code {
            Code::Module(module) => {
                let (linked, start) = link::module(&loaded.engine, module, program.name(), functions)?;
                (Entry::Module { linked, start }, slots(Some(module.resources_required())))
            }
            Code::Component(component) => {
                link_functions::refuse_for_component(functions, program.name())?;
                let command = link::component(&loaded.engine, component, program.name(), policy)?;
                (Entry::Component(command), slots(component.resources_required()))
            }
        };
        let prepared = Prepared {
            env: Arc::new(environment(policy)),
            argv0: argv0(program.name()),
            net: Arc::new(policy.net.clone()),
            policy: policy.clone(),
            grants: grants.clone(),
            engines,
            engine: loaded.engine,
            slots,
            entry,
            functions: functions.clone(),
            _code: loaded.code,
        };
        Ok((Arc::new(prepared), loaded.from_cache))
    }
}

impl Prepared {
    pub(crate) fn store<T: AsMut<State> + AsRef<State> + 'static>(
        &self,
        state: T,
        limits: &Limits,
    ) -> Result<Store<T>> {
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.as_mut().limiter);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|context| context.data().as_ref().control.at_tick());
        store.set_hostcall_fuel(usize::try_from(limits.host_bytes.0).unwrap_or(usize::MAX));
        if let Some(fuel) = limits.fuel {
            store.set_fuel(fuel).map_err(|error| link::broken(&error))?;
        }
        Ok(store)
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
        Err(Error::Busy(Parts::new(
            "no free slot for this run",
            format!("{} guests run in this process already", POOL_SLOTS),
            "run fewer at one time, or spread them over several processes",
        )))
    }
}

/// Pool slots a program takes: the most of what it has several of. Unknown for a component that instantiates
/// what it imports, which ours cannot.
fn slots(resources: Option<wasmtime::ResourcesRequired>) -> u32 {
    resources.map_or(1, |resources| resources.num_memories.max(resources.num_tables).clamp(1, POOL_SLOTS))
}

/// The program's own name as the guest sees it: no host path shows.
fn argv0(name: &str) -> String {
    let file = std::path::Path::new(name).file_name().map(|file| file.to_string_lossy().into_owned());
    file.unwrap_or_else(|| "program".into()).replace('\0', "")
}

fn environment(policy: &Policy) -> Vec<Vec<u8>> {
    let inherited = policy.inherit_env.iter().filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)));
    let mut all: Vec<(String, String)> =
        policy.env.iter().map(|(name, value)| (name.clone(), value.clone())).chain(inherited).collect();
    all.sort();
    all.into_iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}
