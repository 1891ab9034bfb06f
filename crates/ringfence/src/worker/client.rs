//! The workers of one sandbox: taken from the pool, bound, given the program, and asked to run it.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Isolation;
use super::ask::{Asked, Next, Told, ask, without_answer};
use super::begun::{Begun, Until};
use super::binding::Binding;
use super::frame::Broken;
use super::functions::{Functions, NO_RUN};
use super::pool::{self, NotReady, Pool, Worker};
use super::process::not_started;
use super::protocol::{Answer, AsPlugin, Function, Load, Request, build};
use super::wall::Wall;
use crate::error::{Error, Result};
use crate::load::{Image, Kind, Program};
use crate::policy::{Limits, Policy, Seconds};
use crate::prepared::Prepared;
use crate::result::{Outcome, RunResult};
use crate::run::Run;
use crate::sandbox::files::{Changes, Grants, Space};
use crate::sandbox::soft::Soft;
use crate::sandbox::store::{Control, Outer};
use crate::text;

/// Time between two ticks, each of which may cost the caller's interpreter.
const TICK: Duration = Duration::from_millis(50);

/// How long a worker may take to start, to raise its wall, or to map code.
const PATIENCE: Duration = Duration::from_secs(10);

/// Workers that may be found dead before a run, until that is an error.
const ATTEMPTS: u32 = 3;

/// Programs that a worker has loaded at one time.
pub(super) const MAX_PROGRAMS: usize = 8;

/// The workers of one sandbox.
pub(crate) struct Client {
    pub(super) binding: Arc<Binding>,
    pub(super) program: Arc<Loadable>,
    pub(super) functions: Functions,
}

/// What a worker is told of a program. Equal ones are loaded once.
#[derive(Clone)]
pub(super) struct Loadable {
    pub(super) image: Arc<Image>,
    kind: Kind,
    digest: String,
    argv0: String,
    env: Vec<String>,
    functions: Vec<Function>,
    /// Of a plugin.
    plugin: Option<AsPlugin>,
    /// Where its runs begin.
    pub(super) begun: Option<Arc<Begun>>,
}

impl PartialEq for Loadable {
    fn eq(&self, other: &Self) -> bool {
        let same_code = self.kind == other.kind && self.digest == other.digest && self.argv0 == other.argv0;
        let same_begin = match (&self.begun, &other.begun) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            _ => false,
        };
        same_code
            && self.env == other.env
            && self.functions == other.functions
            && self.plugin == other.plugin
            && same_begin
    }
}

impl Client {
    /// What the workers of a sandbox are bound to; none where guests stay in this process.
    pub(crate) fn place(
        policy: &Policy,
        grants: &Arc<Grants>,
        isolation: Isolation,
        tenant: Option<String>,
        language: bool,
    ) -> Result<Option<Arc<Binding>>> {
        match isolation {
            Isolation::Wasm if tenant.is_none() => return Ok(None),
            Isolation::Wasm => {
                return Err(Error::policy(
                    "a tenant needs a process of its own",
                    "in this process the guests of all tenants share one address space",
                    "give `isolation=\"worker\"` or `reuse=\"tenant\"` too, or leave the tenant out",
                ));
            }
            Isolation::Process => {}
            Isolation::Worker => Wall::supported()?,
        }
        let binding = Binding::new(policy.clone(), grants.clone(), isolation, tenant, language)?;
        // It starts while the program is compiled.
        pool::of_this_process().warm(&binding);
        Ok(Some(Arc::new(binding)))
    }

    /// Workers bound so, for this program.
    pub(crate) fn new(binding: Arc<Binding>, program: &Program, image: Image, prepared: &Prepared) -> Self {
        Self::of(binding, program, image, prepared, None)
    }

    /// The same, for a plugin too.
    pub(super) fn of(
        binding: Arc<Binding>,
        program: &Program,
        image: Image,
        prepared: &Prepared,
        plugin: Option<AsPlugin>,
    ) -> Self {
        let variable = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes.strip_suffix(b"\0").unwrap_or(bytes)).into();
        let functions = Functions::of(prepared);
        let program = Loadable {
            image: Arc::new(image),
            kind: program.kind(),
            digest: program.digest().to_owned(),
            argv0: prepared.argv0.clone(),
            env: prepared.env.iter().map(variable).collect(),
            functions: functions.named(),
            plugin,
            begun: None,
        };
        Self { binding, program: Arc::new(program), functions }
    }

    /// Runs the program once in a worker.
    pub(crate) fn run(&self, run: Run<'_>, outer: Option<Arc<Outer>>) -> Result<RunResult> {
        self.run_until(run, outer, None)
    }

    /// The same up to where an export has returned, if that is what is wanted.
    pub(super) fn run_until(&self, run: Run<'_>, outer: Option<Arc<Outer>>, until: Option<Until>) -> Result<RunResult> {
        let Run { args, input, stdout, stderr, source, mut limits, cancelled, tick } = run;
        if let Some(outer) = &outer {
            limits.wall = limits.wall.min(Seconds(outer.deadline.saturating_duration_since(Instant::now())));
        }
        let mut no_tick = || true;
        let mut caller = Caller::new(cancelled, outer, tick.unwrap_or(&mut no_tick));
        let Some((mut taken, program)) = self.take(limits, &mut caller)? else {
            return Ok(without_answer(Outcome::Cancelled, Duration::ZERO));
        };
        let export = until.as_ref().map(|until| until.export.clone());
        taken.until = until;
        let secrets = self.secrets();
        let asked = Asked { program, args, input, source, stdout, stderr, limits, secrets, until: export };
        if self.functions.is_empty() {
            return taken.run(asked, &mut caller);
        }
        let Caller { cancelled, outer, tick, .. } = caller;
        self.functions.run(taken, asked, cancelled, outer, tick)
    }

    /// A worker for one run or one session, and its number for our program; none where the caller gave up.
    pub(super) fn take(&self, limits: Limits, caller: &mut Caller<'_>) -> Result<Option<(Taken, u32)>> {
        let pool = pool::of_this_process();
        let mut attempts = 0;
        let (worker, program) = loop {
            match self.ready(pool, caller) {
                Ok(ready) => break ready,
                Err(NotReady::GaveUp) => return Ok(None),
                Err(NotReady::Error(error)) => return Err(error),
                Err(NotReady::Died(why)) => {
                    attempts += 1;
                    if attempts == ATTEMPTS {
                        return Err(not_started(&why));
                    }
                }
            }
        };
        match self.binding.space(worker.home.as_ref()) {
            Ok(space) => Ok(Some((Taken { worker, space, limits, until: None }, program))),
            Err(error) => {
                pool.give_back(worker);
                Err(error)
            }
        }
    }

    /// Whether a session may go on in the workers of the other one: those of the same tenant, kept apart alike.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        self.binding.is_beside(&other.binding)
    }

    /// The limits of its runs, and of a session in all.
    pub(super) fn limits(&self) -> Limits {
        self.binding.policy.limits
    }

    /// The values of the policy's secrets, as they are now.
    pub(super) fn secrets(&self) -> Vec<Option<String>> {
        self.binding.policy.secrets.iter().map(|secret| std::env::var(&secret.env).ok()).collect()
    }

    /// A worker that is bound to our policy, and its number for our program.
    fn ready(&self, pool: &'static Pool, caller: &mut Caller<'_>) -> Result<(Worker, u32), NotReady> {
        let mut worker = pool.take(&self.binding, &mut || caller.look())?;
        let until = Instant::now() + PATIENCE;
        let mut look = || if Instant::now() < until { caller.look() } else { ControlFlow::Break(()) };
        let prepared = bind(&mut worker, &self.binding, &mut look)
            .and_then(|()| load(&mut worker, &self.program, self.binding.isolation == Isolation::Worker, &mut look));
        let why = match prepared {
            Ok(program) => return Ok((worker, program)),
            Err(Unready::Error(error)) => NotReady::Error(error),
            Err(Unready::Broken(Broken::GaveUp)) if Instant::now() < until => NotReady::GaveUp,
            Err(Unready::Broken(Broken::GaveUp)) => {
                NotReady::Died(format!("it did not answer for {} s", PATIENCE.as_secs()))
            }
            Err(Unready::Broken(Broken::Protocol(why))) => NotReady::Died(why),
            Err(Unready::Broken(Broken::Closed)) => NotReady::Died(worker.how_it_died()),
        };
        pool.bury(worker, Space::default());
        Err(why)
    }
}

/// A worker that was taken from the pool for one run.
pub(super) struct Taken {
    pub(super) worker: Worker,
    pub(super) space: Space,
    pub(super) limits: Limits,
    /// What is wanted of a run beside its result.
    pub(super) until: Option<Until>,
}

impl Taken {
    /// Runs there what calls no functions.
    fn run(mut self, asked: Asked, caller: &mut Caller<'_>) -> Result<RunResult> {
        let told = match asked.begin(&mut self.worker, &self.space, caller) {
            Ok(Ok(mut running)) => match running.next(&mut self.worker, caller) {
                Next::Over(told) => told,
                Next::Call(_) => running.broken(&self.worker, "it called a function, and was given none"),
                _ => running.broken(&self.worker, NO_RUN),
            },
            Ok(Err(told)) => told,
            Err(error) => {
                self.bury();
                return Err(error);
            }
        };
        self.give_back(told)
    }

    /// The run is over: the worker goes back to the pool if it can.
    pub(super) fn give_back(mut self, told: Told) -> Result<RunResult> {
        let told = match told {
            Told::Ended(mut result, _) => {
                if let Some(journal) = &self.worker.journal {
                    journal.trim(result.usage.output);
                }
                match self.changes() {
                    Ok(changes) => result.changes = changes,
                    Err(why) => {
                        let trap = Some(text::quote(&format!("the worker broke its protocol: {why}")));
                        let result =
                            RunResult { outcome: Outcome::Crashed, exit_code: None, limit: None, trap, ..*result };
                        return Ok(self.lost(result));
                    }
                }
                if let Err(why) = self.caught(&result) {
                    let trap = Some(text::quote(&why));
                    return Ok(self.lost(RunResult { outcome: Outcome::Crashed, exit_code: None, trap, ..*result }));
                }
                Ok(*result)
            }
            Told::Failed(error) => Err(error),
            Told::Lost(result) => return Ok(self.lost(*result)),
        };
        let Self { worker, space, .. } = self;
        // Before the next run finds something in it.
        drop(space);
        pool::of_this_process().give_back(worker);
        told
    }

    /// What the run changed in private layers, where it has any.
    fn changes(&mut self) -> std::result::Result<Option<Arc<Changes>>, String> {
        let (Some(dir), Some(bound)) = (self.space.layers.take(), &self.worker.bound_to) else { return Ok(None) };
        Changes::hear(&bound.grants, dir, &self.limits, Control::of_nobody()).map(|changes| Some(Arc::new(changes)))
    }

    /// The worker has to go, and with it what its run changed.
    fn lost(self, mut result: RunResult) -> RunResult {
        result.changes = self.unknown();
        self.bury();
        result
    }

    /// Changes that nobody can tell of, where the run may have made any.
    pub(super) fn unknown(&self) -> Option<Arc<Changes>> {
        let has_layers = self.worker.bound_to.as_ref().is_some_and(|bound| bound.grants.has_layers());
        has_layers.then(|| Arc::new(Changes::unknown("its worker was killed, and had not told of them")))
    }

    /// Kills the worker.
    pub(super) fn bury(self) {
        pool::of_this_process().bury(self.worker, self.space);
    }
}

/// Whoever waits for a run, and may give up on it.
pub(super) struct Caller<'a> {
    cancelled: Arc<AtomicBool>,
    outer: Option<Arc<Outer>>,
    tick: &'a mut dyn FnMut() -> bool,
    ticked: Instant,
    /// Where the guest can be asked to end by itself, it is before it is ended.
    soft: Option<Arc<Soft>>,
}

impl<'a> Caller<'a> {
    pub(super) fn new(
        cancelled: Arc<AtomicBool>,
        outer: Option<Arc<Outer>>,
        tick: &'a mut dyn FnMut() -> bool,
    ) -> Self {
        Self { cancelled, outer, tick, ticked: Instant::now(), soft: None }
    }

    /// One who waits for a turn.
    pub(super) fn of_turn(control: &Control, tick: &'a mut dyn FnMut() -> bool) -> Self {
        let Control { cancelled, outer, soft, .. } = control.clone();
        Self { soft, ..Self::new(cancelled, outer, tick) }
    }

    /// What else waits has its tick from here on.
    pub(super) fn into_tick(self) -> &'a mut dyn FnMut() -> bool {
        self.tick
    }

    /// Whether the guest is to be asked to end by itself.
    pub(super) fn is_interrupted(&self) -> bool {
        self.soft.as_ref().is_some_and(|soft| soft.is_interrupted())
    }

    /// Whether to go on waiting.
    pub(super) fn look(&mut self) -> ControlFlow<()> {
        if self.cancelled.load(Ordering::Relaxed) || self.outer.as_ref().is_some_and(|outer| outer.is_cancelled()) {
            return ControlFlow::Break(());
        }
        if self.ticked.elapsed() >= TICK {
            self.ticked = Instant::now();
            if !(self.tick)() && !self.soft.as_ref().is_some_and(|soft| soft.interrupt()) {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

enum Unready {
    Error(Error),
    Broken(Broken),
}

impl From<Broken> for Unready {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

fn unexpected(asked: &str) -> Unready {
    Unready::Broken(Broken::Protocol(format!("it answered something else than was asked: {asked}")))
}

type Look<'a> = &'a mut dyn FnMut() -> ControlFlow<()>;

/// Binds a worker that is not bound yet.
fn bind(worker: &mut Worker, binding: &Arc<Binding>, look: Look<'_>) -> Result<(), Unready> {
    if worker.bound_to.is_some() {
        return Ok(());
    }
    match worker.greeting(look)? {
        Answer::Ready(ready) if ready.build == build() => {}
        Answer::Ready(_) => return Err(Unready::Error(not_started("it is of another build of Ringfence"))),
        _ => return Err(unexpected("how it started")),
    }
    let journal = binding.journal().map_err(Unready::Error)?;
    let (handle, room) = journal.handle();
    let (request, mut descriptors) = binding.to_bind(room).map_err(Unready::Error)?;
    let home = binding.home().map_err(Unready::Error)?;
    descriptors.extend(home.as_ref().map(|home| home.handle()));
    descriptors.push(handle);
    let answer = ask(worker, &Request::Bind(request), &descriptors, look)?;
    worker.home = home;
    worker.journal = Some(journal);
    match answer {
        Answer::Bound => {
            worker.bound_to = Some(binding.clone());
            Ok(())
        }
        Answer::Failed(failed) => {
            Err(failed.into_error().map_or_else(|why| Broken::Protocol(why).into(), Unready::Error))
        }
        _ => Err(unexpected("to be bound")),
    }
}

/// Loads the program where it is not loaded yet, in place of the one that was not used for longest.
fn load(worker: &mut Worker, program: &Arc<Loadable>, is_walled: bool, look: Look<'_>) -> Result<u32, Unready> {
    let known = |(loaded, _): &(Arc<Loadable>, u32)| Arc::ptr_eq(loaded, program) || loaded == program;
    if let Some(at) = worker.loaded.iter().position(known) {
        let (loaded, number) = worker.loaded.remove(at);
        worker.loaded.push((loaded, number));
        return Ok(number);
    }
    let forgotten = (worker.loaded.len() == MAX_PROGRAMS).then(|| worker.loaded.remove(0));
    let number = worker.next_program;
    worker.next_program = number.wrapping_add(1);
    let request = Load {
        program: number,
        forget: forgotten.map(|(_, number)| number),
        kind: program.kind.name().to_owned(),
        argv0: program.argv0.clone(),
        env: program.env.clone(),
        functions: program.functions.clone(),
        plugin: program.plugin.clone(),
        after: program.begun.as_ref().map(|begun| begun.after()),
    };
    let image =
        if program.kind == Kind::Component && is_walled { program.image.copy() } else { Ok(program.image.file()) };
    let image = image.map_err(|why| Unready::Error(not_started(&why)))?;
    let carried = program.begun.as_ref().map(|begun| begun.file());
    let descriptors: Vec<BorrowedFd<'_>> = std::iter::once(image.as_fd()).chain(carried).collect();
    match ask(worker, &Request::Load(request), &descriptors, look)? {
        Answer::Loaded if program.image.is_unchanged() => {
            worker.loaded.push((program.clone(), number));
            Ok(number)
        }
        Answer::Loaded => Err(Unready::Error(not_started("the compiled code changed while it was mapped"))),
        Answer::Failed(failed) => {
            Err(failed.into_error().map_or_else(|why| Broken::Protocol(why).into(), Unready::Error))
        }
        _ => Err(unexpected("to load a program")),
    }
}
