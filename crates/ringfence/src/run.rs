//! Running a program: a new store each time, one supervisor around it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Store;

use crate::after::Begin;
use crate::apart::{self, no_thread};
use crate::ending::Ending;
use crate::error::{Error, Result};
use crate::given::arguments;
use crate::host::HostFunctions;
use crate::link::Command;
use crate::load::{self, Program};
use crate::policy::{Limits, Policy};
use crate::prepared::{Entry, Prepared, Recipe};
use crate::process_unsafe::{Here, PerProcess};
use crate::ready::{Place, Shelf};
use crate::result::{Outcome, RunResult, Usage};
use crate::sandbox::clock::Clock;
use crate::sandbox::components::{self, ComponentState};
use crate::sandbox::denials::Denial;
use crate::sandbox::files::{Changes, Files, Grants, Space};
use crate::sandbox::host_calls::HostCalls;
use crate::sandbox::http::{Requests, Secrets};
use crate::sandbox::journal::Journal;
use crate::sandbox::language::Exchange;
use crate::sandbox::limits::Limiter;
use crate::sandbox::network::Network;
use crate::sandbox::random::Random;
use crate::sandbox::soft::Soft;
use crate::sandbox::stdio::{Input, Output, Sink, Source, Written};
use crate::sandbox::stop::{Limit, Stop};
use crate::sandbox::store::{Control, State};
use crate::sandbox::wasi01::Descriptors;
use crate::sandbox::{signals_unsafe, ticker};
use crate::supervisor::{Supervisor, runtime};
use crate::worker::Client;

/// A program compiled, linked and ready, under one policy. Runs may overlap on any number of threads.
pub struct Sandbox {
    recipe: Arc<Recipe>,
    /// What a child made by `fork` makes again at its first run.
    prepared: PerProcess<Arc<Prepared>>,
    name_servers: Option<Arc<[SocketAddr]>>,
    from_cache: bool,
    /// Where it runs instead of here.
    worker: Option<Arc<Client>>,
    /// Where its runs begin, if not at the program's own beginning.
    begin: Begin,
    /// What waits for its runs.
    shelf: Option<Arc<Shelf>>,
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
    /// The source text that a language pack runs instead of the file that its arguments name.
    pub source: Option<Bytes>,
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
        Self::with_functions(program, policy, grants, HostFunctions::default(), watch)
    }

    /// The same for a program that imports functions of its host.
    pub fn with_functions(
        program: &Program,
        policy: Policy,
        grants: Arc<Grants>,
        functions: HostFunctions,
        watch: Option<load::Watch<'_>>,
    ) -> Result<Self> {
        let recipe = Recipe { program: Some(program.clone()), policy, grants, functions };
        let (prepared, from_cache) = recipe.prepare(watch)?;
        Ok(Self::of(recipe, prepared, from_cache))
    }

    pub(crate) fn of(recipe: Recipe, prepared: Arc<Prepared>, from_cache: bool) -> Self {
        let (recipe, prepared) = (Arc::new(recipe), PerProcess::with(prepared));
        Self { recipe, prepared, name_servers: None, from_cache, worker: None, begin: Begin::default(), shelf: None }
    }

    /// The same program under the same policy, begun otherwise.
    pub(crate) fn beginning(&self, prepared: Arc<Prepared>, begin: Begin) -> Self {
        let shelf = self.shelf.as_ref().filter(|_| begin.is_lasting()).map(|shelf| shelf.another());
        if let Some(shelf) = &shelf {
            shelf.order(&prepared, &begin);
        }
        Self {
            recipe: self.recipe.clone(),
            prepared: PerProcess::with(prepared),
            name_servers: self.name_servers.clone(),
            from_cache: self.from_cache,
            worker: None,
            shelf,
            begin,
        }
    }

    /// What it is made of, and where its runs begin.
    pub(crate) fn made_of(&self) -> (&Recipe, &Begin) {
        (&self.recipe, &self.begin)
    }

    /// The same with what waits for its runs.
    pub(crate) fn with_shelf(self, shelf: Arc<Shelf>) -> Self {
        Self { shelf: Some(shelf), ..self }
    }

    /// What waits for its runs, if anything does.
    pub(crate) fn shelf(&self) -> Option<&Arc<Shelf>> {
        self.shelf.as_ref()
    }

    /// The same program in workers.
    pub(crate) fn in_worker(self, worker: Client) -> Self {
        Self { worker: Some(Arc::new(worker)), ..self }
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
        &self.recipe.policy
    }

    /// What it is made of.
    pub(crate) fn recipe(&self) -> &Arc<Recipe> {
        &self.recipe
    }

    /// Where its guests are instead of in this process.
    pub(crate) fn worker(&self) -> Option<&Arc<Client>> {
        self.worker.as_ref()
    }

    /// What its runs and sessions share in this process.
    pub(crate) fn prepared(&self) -> Result<Arc<Prepared>> {
        self.prepared.get_or_try(|| self.recipe.prepare(None).map(|(prepared, _)| prepared)).cloned()
    }

    /// The program's name, for messages.
    pub(crate) fn name(&self) -> &str {
        self.recipe.name()
    }

    /// Runs the program once, in a store of its own: on this thread, or where it may call functions of the host, on
    /// a thread that this one can leave behind; or in a worker.
    pub fn run(&self, run: Run<'_>) -> Result<RunResult> {
        if let Some(source) = &run.source {
            self.check_source(source, &run.limits)?;
        }
        match &self.worker {
            Some(worker) => worker.run(run, apart::outer()?),
            None => self.run_here(run, None),
        }
    }

    /// Refuses a source text that nobody would read, or that is too long to be held for the guest.
    fn check_source(&self, source: &[u8], limits: &Limits) -> Result<()> {
        let what = || format!("`{}` cannot be handed a source text", self.recipe.name());
        if !self.recipe.program.as_ref().is_some_and(Program::is_language) {
            let fix = "give the text's language too, or hand it over as input";
            return Err(Error::load(what(), "it is not a language pack", fix));
        }
        if source.len() as u64 > limits.host_bytes.0 {
            return Err(Error::policy(
                what(),
                format!("it is {} bytes long, more than the limit `host_bytes`", source.len()),
                "raise `host_bytes` in the policy's limits, or grant a directory and read the text from there",
            ));
        }
        Ok(())
    }

    /// Runs it in this process; in a worker on this thread, and with what its parent has given it for the run.
    pub(crate) fn run_here(&self, run: Run<'_>, inside: Option<InWorker<'_>>) -> Result<RunResult> {
        self.begin.check_process(self.recipe.name())?;
        let prepared = self.prepared.get_or_try(|| self.recipe.prepare(None).map(|(prepared, _)| prepared))?;
        let Run { args, input, stdout, stderr, source, limits, cancelled, tick } = run;
        let mut no_tick = || true;
        let tick = tick.unwrap_or(&mut no_tick);
        let outer = apart::outer()?;
        let slot = prepared.slot(runtime(false)?, &cancelled, tick)?;

        let started = Instant::now();
        let output = Output::new(stdout, stderr, limits.output.0);
        let control = Control {
            // A language pack hears of Ctrl-C; a program of another kind is ended by it.
            soft: prepared.hears().then(|| Arc::new(Soft::new(None, None))),
            ..Control::of_guest(started, &limits, Duration::ZERO, cancelled, output).inside(outer)
        };
        let (space, secrets, begins) = match inside {
            None => (Space::default(), self.begin.secrets(&prepared.policy.secrets)?, None),
            Some(InWorker { space, secrets, journal, begins }) => {
                if let Some((journal, number)) = journal {
                    control.output.keep_in(journal, number);
                }
                (space, self.begin.knowing(&prepared.policy.secrets, secrets)?, Some(begins))
            }
        };
        let guest = Guest {
            prepared: prepared.clone(),
            name_servers: self.name_servers.clone(),
            args,
            input,
            source,
            limits,
            control,
            host_calls: HostCalls::new(&prepared.functions),
            secrets,
            started,
            space,
            begin: self.begin.clone(),
            shelf: self.shelf.clone(),
            slot: Here::new(slot),
        };
        match begins {
            Some(begins) => {
                begins(&guest.control, &guest.host_calls);
                guest.run(tick)
            }
            None if prepared.functions.functions.is_empty() => guest.run(tick),
            None => guest.run_apart(tick),
        }
    }
}

/// What a worker has for one run.
pub(crate) struct InWorker<'a> {
    /// What it has on the disk.
    pub(crate) space: Space,
    /// The values of its secrets, which it cannot read for itself.
    pub(crate) secrets: Secrets,
    /// Where to keep its output for the parent, and its number there.
    pub(crate) journal: Option<(Journal, u64)>,
    /// Told just before the guest begins, for those who call the parent's functions for it.
    pub(crate) begins: &'a dyn Fn(&Control, &HostCalls),
}

/// One run with all that it needs, so that it can go to another thread.
struct Guest {
    prepared: Arc<Prepared>,
    name_servers: Option<Arc<[SocketAddr]>>,
    args: Vec<String>,
    input: Source,
    source: Option<Bytes>,
    limits: Limits,
    control: Control,
    host_calls: HostCalls,
    secrets: Secrets,
    started: Instant,
    space: Space,
    begin: Begin,
    shelf: Option<Arc<Shelf>>,
    slot: Here<OwnedSemaphorePermit>,
}

impl Guest {
    /// Runs it on a thread of its own.
    fn run_apart(self, tick: &mut dyn FnMut() -> bool) -> Result<RunResult> {
        let (control, host_calls, started) = (self.control.clone(), self.host_calls.clone(), self.started);
        let around = self.prepared.functions.around.as_ref().map(|around| around());
        apart::run(&control, around, move || self.run(&mut || true), tick, &mut |stop| {
            host_calls.abandon().map(|name| abandoned(stop, name, &control, &host_calls, started))
        })
    }

    /// Runs it on this thread.
    fn run(self, tick: &mut dyn FnMut() -> bool) -> Result<RunResult> {
        let Self {
            prepared,
            name_servers,
            args,
            input,
            source,
            limits,
            mut control,
            host_calls,
            secrets,
            started,
            space,
            begin,
            shelf,
            slot,
        } = self;
        let runtime = runtime(!prepared.net.is_empty())?;
        signals_unsafe::keep();
        let Some(_ticking) = ticker::Running::start() else {
            return Err(no_thread("the system starts no more threads for this process"));
        };
        let files = Files::new(prepared.grants.clone(), &prepared.policy, &limits, started, &control, space)?;
        let denials = files.denials.clone();
        let network = || Network::new(prepared.net.clone(), &limits, denials, name_servers);
        let env = secrets.added_to(&prepared.env);
        let args = arguments(&prepared.argv0, args)?;
        let state = |control: &Control| State {
            limiter: Limiter::new(limits.memory.0),
            control: control.clone(),
            descriptors: Descriptors::new(&files),
            files,
            input: Input::new(input),
            output: control.output.clone(),
            clock: Clock::new(prepared.policy.clock, started),
            random: Random::new(prepared.policy.random),
            args,
            env,
            host_bytes: limits.host_bytes.0,
            host_calls: host_calls.clone(),
            exchange: Exchange::new(source),
        };
        let (ending, fuel, left) = match &prepared.entry {
            Entry::Module { linked, start } => {
                control.network = prepared.may_ask().then(network);
                let mut place = Place::of(shelf.as_ref(), &prepared, &begin, state(&control), &secrets, &limits)?;
                let requests = control.network.clone().map(|net| Requests::new(net, secrets, limits.connections));
                place.state().exchange.offer(requests);
                let supervisor = Supervisor { runtime, control: &control, host_calls: &host_calls };
                let ending = supervisor.end(place.run((linked, *start), &begin, &prepared), tick);
                let ending = ending.after_network(control.network_stop());
                let (fuel, left) = (burnt(place.store(), &limits), Left::of(place.state()));
                let is_whole = ending.outcome == Outcome::Exited && !left.memory_refused && slot.is_ours();
                place.leave(shelf.as_ref().filter(|_| is_whole && !control.output.is_truncated()));
                (ending, fuel, left)
            }
            Entry::Plugin(_) | Entry::ModulePlugin(_) => {
                return Err(Error::load(
                    "a plugin cannot be run",
                    "its functions are called",
                    "give the program to a sandbox",
                ));
            }
            Entry::Component(command) => {
                let network = network();
                control.network = Some(network.clone());
                let state = ComponentState::new(state(&control), network, secrets, prepared.policy.random);
                let mut store = Here::new(prepared.store(state, &limits)?);
                components::bound_tasks(&mut store);
                let supervisor = Supervisor { runtime, control: &control, host_calls: &host_calls };
                let ending = supervisor.end(component(&mut store, command), tick).after_network(control.network_stop());
                (ending, burnt(&store, &limits), Left::of(store.data_mut().as_mut()))
            }
        };
        if !slot.is_ours() {
            return Err(Error::host(
                "this process was forked while this thread ran a guest",
                "the guest is in the parent process, and its threads are",
                "fork outside of runs: not in a signal handler, nor in a host function that returns in the child",
            ));
        }
        if let Some(error) = ending.host {
            return Err(error);
        }
        let ending = if left.memory_refused { ending.after_refused_memory() } else { ending };
        let written = control.output.take();
        let ending = if written.truncated { ending.after_cut_output() } else { ending };
        let wall = started.elapsed();
        let usage = Usage { wall, cpu: control.cpu.used(), memory: left.memory_peak, output: written.bytes, fuel };
        Ok(RunResult { changes: left.changes, ..result(ending, written, usage, left.denials, &host_calls) })
    }
}

fn result(ending: Ending, written: Written, usage: Usage, denials: Vec<Denial>, host_calls: &HostCalls) -> RunResult {
    RunResult {
        outcome: ending.outcome,
        exit_code: ending.exit_code,
        limit: ending.limit.map(Limit::name),
        trap: ending.trap,
        backtrace: ending.backtrace,
        stdout: written.stdout,
        stderr: written.stderr,
        truncated: written.truncated,
        usage,
        denials,
        changes: None,
        host_calls: host_calls.made(),
        raised: ending.raised,
        abandoned: None,
    }
}

/// What can be told of a run whose guest is still there, inside the function of that name.
fn abandoned(stop: Stop, name: String, control: &Control, host_calls: &HostCalls, started: Instant) -> RunResult {
    let written = control.output.take();
    let usage = Usage {
        wall: started.elapsed(),
        cpu: control.cpu.used(),
        memory: host_calls.memory_peak(),
        output: written.bytes,
        fuel: None,
    };
    RunResult { abandoned: Some(name), ..result(Ending::stopped(stop), written, usage, Vec::new(), host_calls) }
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
        let (memory_refused, denials) = (state.limiter.refused().is_some(), state.take_denials());
        let memory_peak = state.limiter.peak();
        Self { memory_peak, memory_refused, denials, changes: state.files.changes().map(Arc::new) }
    }
}

/// The fuel that was burnt, where it was counted.
fn burnt<T: 'static>(store: &Store<T>, limits: &Limits) -> Option<u64> {
    // Asked only where it is counted: an engine that does not count answers with an error, which is slow to make.
    limits.fuel.and_then(|given| Some(given.saturating_sub(store.get_fuel().ok()?)))
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

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("program", &self.recipe.name()).finish_non_exhaustive()
    }
}
