//! Running a program: a new store each time, one supervisor around it.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::SemaphorePermit;
use wasmtime::{InstancePre, Store};

use crate::ending::Ending;
use crate::error::{Error, Parts, Result};
use crate::link::{self, Command, Start};
use crate::load::{self, Code, Program};
use crate::policy::{Limits, Net, Policy, WasiLevel};
use crate::result::{RunResult, Usage};
use crate::sandbox::clock::Clock;
use crate::sandbox::components::{self, ComponentState};
use crate::sandbox::denials::Denial;
use crate::sandbox::engine::{Engines, POOL_SLOTS, Profile};
use crate::sandbox::files::{Changes, Files, Grants};
use crate::sandbox::limits::Limiter;
use crate::sandbox::network::Network;
use crate::sandbox::random::Random;
use crate::sandbox::stdio::{Input, Output, Sink, Source};
use crate::sandbox::stop::{Limit, Stop};
use crate::sandbox::store::{Control, Cpu, State};
use crate::sandbox::ticker;
use crate::sandbox::wasi01::Descriptors;

/// Time between two looks at a waiting guest.
const LOOK: Duration = Duration::from_millis(50);

/// How long a caller waits for a free slot.
const SLOT_WAIT: Duration = Duration::from_secs(10);

/// A program compiled, linked and ready, under one policy. Runs may overlap on any number of threads.
pub struct Sandbox {
    policy: Policy,
    grants: Arc<Grants>,
    net: Arc<Net>,
    name_servers: Option<Arc<[SocketAddr]>>,
    env: Arc<Vec<Vec<u8>>>,
    argv0: String,
    engines: Arc<Engines>,
    engine: wasmtime::Engine,
    slots: u32,
    entry: Entry,
    /// Keeps the code in this process's memory of loaded programs.
    _code: Arc<Code>,
    from_cache: bool,
}

enum Entry {
    Module { linked: InstancePre<State>, start: Start },
    Component(Command),
}

/// One run: what goes in, where its output goes, and who may end it.
pub struct Run<'a> {
    /// Arguments after the program's own name.
    pub args: Vec<String>,
    /// Standard input.
    pub input: Source,
    /// Standard output.
    pub stdout: Sink,
    /// Standard error.
    pub stderr: Sink,
    /// The policy's limits, or narrower ones.
    pub limits: Limits,
    /// Set it from any thread to end the run within 100 ms.
    pub cancelled: Arc<AtomicBool>,
    /// Called about every 50 ms while the guest runs or waits; `false` ends the run.
    pub tick: Option<&'a mut dyn FnMut() -> bool>,
}

impl Sandbox {
    /// Compiles (or takes from the cache) and links a program under a policy whose grants are open.
    pub fn new(program: &Program, policy: Policy, grants: Arc<Grants>, watch: Option<load::Watch<'_>>) -> Result<Self> {
        let profile = Profile { fuel: policy.limits.fuel.is_some(), concurrency: policy.wasi == WasiLevel::V0_3 };
        let engines = Engines::of(profile)?;
        let loaded = load::load(program, &engines, policy.limits.compile.0, watch)?;
        let (entry, slots) = match &*loaded.code {
            Code::Module(module) => {
                let (linked, start) = link::module(&loaded.engine, module, program.name())?;
                (Entry::Module { linked, start }, slots(Some(module.resources_required())))
            }
            Code::Component(component) => {
                let command = link::component(&loaded.engine, component, program.name(), &policy)?;
                (Entry::Component(command), slots(component.resources_required()))
            }
        };
        let env = Arc::new(environment(&policy));
        let argv0 = argv0(program.name());
        let net = Arc::new(policy.net.clone());
        Ok(Self {
            policy,
            grants,
            net,
            name_servers: None,
            env,
            argv0,
            engines,
            engine: loaded.engine,
            slots,
            entry,
            _code: loaded.code,
            from_cache: loaded.from_cache,
        })
    }

    /// Asks these name servers for names instead of the system's, and no hosts file.
    pub fn with_name_servers(self, servers: &[SocketAddr]) -> Self {
        Self { name_servers: Some(servers.into()), ..self }
    }

    /// Whether nothing had to be compiled for it.
    pub fn from_cache(&self) -> bool {
        self.from_cache
    }

    /// The policy this sandbox enforces.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Runs the program once, on this thread, in a store of its own.
    pub fn run(&self, run: Run<'_>) -> Result<RunResult> {
        self.engines.check_process()?;
        let Some(_ticking) = ticker::Running::start() else {
            return Err(Error::host(
                "no thread to stop guests with",
                "the system starts no more threads for this process",
                "raise its limit (`ulimit -u`), or end some threads",
            ));
        };
        let runtime = runtime(!self.net.is_empty())?;
        let Run { args, input, stdout, stderr, limits, cancelled, tick } = run;
        let mut no_tick = || true;
        let tick = tick.unwrap_or(&mut no_tick);
        let _slot = self.slot(runtime, &cancelled, tick)?;

        let started = Instant::now();
        let cpu = Cpu::new(started, limits.cpu.map(|cpu| cpu.0));
        let output = Output::new(stdout, stderr, limits.output.0);
        let control = Control {
            // A hundred years at most, which every clock can add.
            deadline: started + limits.wall.0,
            cancelled,
            cpu: cpu.clone(),
            output: output.clone(),
            network: None,
        };
        let files = Files::new(self.grants.clone(), &self.policy, &limits, started, &control)?;
        let state = State {
            limiter: Limiter::new(limits.memory.0),
            control: control.clone(),
            descriptors: Descriptors::new(&files),
            files,
            input: Input::new(input),
            output: output.clone(),
            clock: Clock::new(self.policy.clock, started),
            random: Random::new(self.policy.random),
            args: arguments(&self.argv0, args)?,
            env: self.env.clone(),
            host_bytes: limits.host_bytes.0,
        };
        // A panic in a host function is our defect: the guest is gone, the caller is told, the process lives.
        let (ending, fuel, left) = match &self.entry {
            Entry::Module { linked, start } => {
                let mut store = self.store(state, &limits)?;
                let ended = catch_unwind(AssertUnwindSafe(|| {
                    runtime.block_on(supervise(module(&mut store, linked, *start), &control, tick))
                }));
                (ending(ended), burnt(&store, &limits), Left::of(store.data_mut()))
            }
            Entry::Component(command) => {
                let denials = state.files.denials.clone();
                let network = Network::new(self.net.clone(), &limits, denials, self.name_servers.clone());
                let control = Control { network: Some(network.clone()), ..control };
                let state = State { control: control.clone(), ..state };
                let state = ComponentState::new(state, network.clone(), self.policy.random);
                let mut store = self.store(state, &limits)?;
                components::bound_tasks(&mut store);
                let ended = catch_unwind(AssertUnwindSafe(|| {
                    runtime.block_on(supervise(component(&mut store, command), &control, tick))
                }));
                let ending = ending(ended);
                let ending = if network.is_spent() { ending.after_spent_network() } else { ending };
                (ending, burnt(&store, &limits), Left::of(store.data_mut().as_mut()))
            }
        };
        let ending = if left.memory_refused { ending.after_refused_memory() } else { ending };
        let written = output.take();
        let ending = if written.truncated { ending.after_cut_output() } else { ending };
        let usage =
            Usage { wall: started.elapsed(), cpu: cpu.used(), memory: left.memory_peak, output: written.bytes, fuel };
        Ok(RunResult {
            outcome: ending.outcome,
            exit_code: ending.exit_code,
            limit: ending.limit.map(Limit::name),
            trap: ending.trap,
            backtrace: ending.backtrace,
            stdout: written.stdout,
            stderr: written.stderr,
            truncated: written.truncated,
            usage,
            denials: left.denials,
            changes: left.changes,
        })
    }

    fn store<T: AsMut<State> + AsRef<State> + 'static>(&self, state: T, limits: &Limits) -> Result<Store<T>> {
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
    fn slot(
        &self,
        runtime: &Runtime,
        cancelled: &AtomicBool,
        tick: &mut dyn FnMut() -> bool,
    ) -> Result<Option<SemaphorePermit<'_>>> {
        let slots = self.engines.slots();
        if let Ok(slot) = slots.try_acquire_many(self.slots) {
            return Ok(Some(slot));
        }
        let until = Instant::now() + SLOT_WAIT;
        while Instant::now() < until && !cancelled.load(Ordering::Relaxed) && tick() {
            let waited = runtime.block_on(async { tokio::time::timeout(LOOK, slots.acquire_many(self.slots)).await });
            if let Ok(Ok(slot)) = waited {
                return Ok(Some(slot));
            }
        }
        Err(Error::Busy(Parts::new(
            "no free slot for this run",
            format!("{} guests run in this process already", POOL_SLOTS),
            "run fewer at one time, or spread them over several processes",
        )))
    }
}

/// What the state of a run still tells when the guest is gone.
struct Left {
    memory_peak: u64,
    memory_refused: bool,
    denials: Vec<Denial>,
    changes: Option<Arc<Changes>>,
}

impl Left {
    fn of(state: &mut State) -> Self {
        let refused = state.limiter.refused();
        let memory_peak = state.limiter.peak();
        let mut denials = state.files.denials.take();
        if let Some(refused) = refused {
            let what = format!("{} bytes in all", refused.wanted);
            let first = state.clock.since_start(refused.first);
            denials.push(Denial { kind: "memory", what, count: refused.count, first });
        }
        Self { memory_peak, memory_refused: refused.is_some(), denials, changes: state.files.changes().map(Arc::new) }
    }
}

/// Pool slots a program takes: the most of what it has several of. Unknown for a component that instantiates
/// what it imports, which ours cannot.
fn slots(resources: Option<wasmtime::ResourcesRequired>) -> u32 {
    resources.map_or(1, |resources| resources.num_memories.max(resources.num_tables).clamp(1, POOL_SLOTS))
}

/// The fuel that was burnt, where it was counted.
fn burnt<T: 'static>(store: &Store<T>, limits: &Limits) -> Option<u64> {
    // Asked only where it is counted: an engine that does not count answers with an error, which is slow to make.
    limits.fuel.and_then(|given| Some(given.saturating_sub(store.get_fuel().ok()?)))
}

async fn module(store: &mut Store<State>, linked: &InstancePre<State>, start: Start) -> wasmtime::Result<Ending> {
    let instance = linked.instantiate_async(&mut *store).await?;
    let entry = instance.get_typed_func::<(), ()>(&mut *store, start.export())?;
    entry.call_async(store, ()).await?;
    Ok(Ending::exited(0))
}

async fn component(store: &mut Store<ComponentState>, command: &Command) -> wasmtime::Result<Ending> {
    let returned = match command {
        Command::V0_2(linked) => {
            let instance = linked.instantiate_async(&mut *store).await?;
            instance.wasi_cli_run().call_run(store).await?
        }
        Command::V0_3(linked) => {
            let instance = linked.instantiate_async(&mut *store).await?;
            store.run_concurrent(async |store| instance.wasi_cli_run().call_run(store).await).await??
        }
    };
    Ok(Ending::exited(if returned.is_ok() { 0 } else { 1 }))
}

/// Polls a guest until it is done or has to be stopped; a stopped one is dropped where it stands.
async fn supervise(
    guest: impl Future<Output = wasmtime::Result<Ending>>,
    control: &Control,
    tick: &mut dyn FnMut() -> bool,
) -> wasmtime::Result<Ending> {
    let mut guest = pin!(guest);
    let next_look = || tokio::time::Instant::from_std(control.deadline.min(Instant::now() + LOOK));
    // Made at the first wait: most guests never wait.
    let mut alarm: Option<Pin<Box<tokio::time::Sleep>>> = None;
    poll_fn(|context| {
        loop {
            if let Poll::Ready(ended) = guest.as_mut().poll(context) {
                return Poll::Ready(ended);
            }
            if let Err(stop) = control.check() {
                return Poll::Ready(Err(stop.into()));
            }
            if let Some(network) = &control.network {
                network.push(context);
            }
            let alarm = alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next_look())));
            if alarm.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if !tick() {
                return Poll::Ready(Err(Stop::Cancelled.into()));
            }
            alarm.as_mut().reset(next_look());
        }
    })
    .await
}

fn ending(ended: std::thread::Result<wasmtime::Result<Ending>>) -> Ending {
    match ended {
        Ok(Ok(ending)) => ending,
        Ok(Err(error)) => Ending::of_error(&error),
        Err(panic) => {
            let why = panic.downcast_ref::<String>().map(String::as_str);
            Ending::crashed(why.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a host function panicked"))
        }
    }
}

/// The clockwork under every run: timers, and waits for descriptors; sockets only for runs that may have some, so
/// that all others neither open the system's queue of events nor pay for a thread that waits on it.
fn runtime(sockets: bool) -> Result<&'static Runtime> {
    static RUNTIMES: [OnceLock<std::result::Result<Runtime, String>>; 2] = [const { OnceLock::new() }; 2];
    let runtime = RUNTIMES[usize::from(sockets)].get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .worker_threads(1)
            .thread_name("ringfence")
            // A thread that waited for a descriptor is not kept long: an idle process has few.
            .thread_keep_alive(Duration::from_secs(1))
            .enable_time();
        if sockets {
            builder.enable_io();
        }
        builder.build().map_err(|error| error.to_string())
    });
    runtime.as_ref().map_err(|why| {
        Error::host("no threads for Ringfence", why.clone(), "raise this process's limits (`ulimit -u`, `ulimit -n`)")
    })
}

/// The program's own name as the guest sees it: no host path shows.
fn argv0(name: &str) -> String {
    let file = std::path::Path::new(name).file_name().map(|file| file.to_string_lossy().into_owned());
    file.unwrap_or_else(|| "program".into()).replace('\0', "")
}

fn arguments(argv0: &str, args: Vec<String>) -> Result<Vec<Vec<u8>>> {
    let all = std::iter::once(argv0.to_owned()).chain(args);
    all.map(|arg| {
        if arg.contains('\0') {
            return Err(Error::policy(
                "an argument cannot be handed to the guest",
                "it contains a NUL character, which ends arguments",
                "take the NUL out, or hand the data over as input",
            ));
        }
        let mut bytes = arg.into_bytes();
        bytes.push(0);
        Ok(bytes)
    })
    .collect()
}

fn environment(policy: &Policy) -> Vec<Vec<u8>> {
    let inherited = policy.inherit_env.iter().filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)));
    let mut all: Vec<(String, String)> =
        policy.env.iter().map(|(name, value)| (name.clone(), value.clone())).chain(inherited).collect();
    all.sort();
    all.into_iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("program", &self.argv0).finish_non_exhaustive()
    }
}
