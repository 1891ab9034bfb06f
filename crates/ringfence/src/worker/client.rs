//! The workers of one sandbox: taken from the pool, bound, given the program, and asked to run it.

use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Isolation;
use super::ask::{Asked, Told, ask, without_answer};
use super::binding::Binding;
use super::frame::Broken;
use super::pool::{self, NotReady, Pool, Worker};
use super::process::not_started;
use super::protocol::{Answer, Load, Request, build};
use super::wall::Wall;
use crate::error::{Error, Result};
use crate::load::{Image, Kind, Program};
use crate::policy::Policy;
use crate::result::{Outcome, RunResult};
use crate::run::Run;
use crate::sandbox::files::Grants;

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
    binding: Arc<Binding>,
    program: Arc<Loadable>,
}

/// What a worker is told of a program. Equal ones are loaded once.
pub(super) struct Loadable {
    image: Image,
    kind: Kind,
    digest: String,
    argv0: String,
    env: Vec<String>,
}

impl PartialEq for Loadable {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.digest, &self.argv0, &self.env) == (other.kind, &other.digest, &other.argv0, &other.env)
    }
}

impl Client {
    /// What the workers of a sandbox are bound to; none where guests stay in this process.
    pub(crate) fn place(
        policy: &Policy,
        grants: &Arc<Grants>,
        isolation: Isolation,
        tenant: Option<String>,
    ) -> Result<Option<Arc<Binding>>> {
        match isolation {
            Isolation::Wasm if tenant.is_none() => return Ok(None),
            Isolation::Wasm => {
                return Err(Error::policy(
                    "a tenant needs a process of its own",
                    "in this process the guests of all tenants share one address space",
                    "give `isolation=\"worker\"` too, or leave the tenant out",
                ));
            }
            Isolation::Process => {}
            Isolation::Worker => Wall::supported()?,
        }
        let binding = Binding::new(policy.clone(), grants.clone(), isolation, tenant)?;
        // It starts while the program is compiled.
        pool::of_this_process().warm(&binding);
        Ok(Some(Arc::new(binding)))
    }

    /// Workers bound so, for this program.
    pub(crate) fn new(binding: Arc<Binding>, program: &Program, image: Image, argv0: &str, env: &[Vec<u8>]) -> Self {
        let variable = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes.strip_suffix(b"\0").unwrap_or(bytes)).into();
        let program = Loadable {
            image,
            kind: program.kind(),
            digest: program.digest().to_owned(),
            argv0: argv0.to_owned(),
            env: env.iter().map(variable).collect(),
        };
        Self { binding, program: Arc::new(program) }
    }

    /// Runs the program once in a worker.
    pub(crate) fn run(&self, run: Run<'_>) -> Result<RunResult> {
        let Run { args, input, stdout, stderr, limits, cancelled, tick } = run;
        let mut no_tick = || true;
        let mut caller = Caller { cancelled, tick: tick.unwrap_or(&mut no_tick), ticked: Instant::now() };
        let pool = pool::of_this_process();
        let mut attempts = 0;
        let (mut worker, program) = loop {
            match self.ready(pool, &mut caller) {
                Ok(ready) => break ready,
                Err(NotReady::GaveUp) => return Ok(without_answer(Outcome::Cancelled, Duration::ZERO)),
                Err(NotReady::Error(error)) => return Err(error),
                Err(NotReady::Died(why)) => {
                    attempts += 1;
                    if attempts == ATTEMPTS {
                        return Err(not_started(&why));
                    }
                }
            }
        };
        let tmp = match worker.home.as_ref().map(|home| home.tmp()).transpose() {
            Ok(tmp) => tmp,
            Err(error) => {
                pool.give_back(worker);
                return Err(error);
            }
        };
        let asked = Asked { program, args, input, stdout, stderr, tmp: tmp.as_ref(), limits };
        match asked.run(&mut worker, &mut caller) {
            Ok(Told::Ended(result)) => {
                // Before the next run finds something in it.
                drop(tmp);
                pool.give_back(worker);
                Ok(*result)
            }
            Ok(Told::Failed(error)) => {
                drop(tmp);
                pool.give_back(worker);
                Err(error)
            }
            Ok(Told::Lost(result)) => {
                pool.bury(worker, tmp);
                Ok(*result)
            }
            Err(error) => {
                pool.bury(worker, tmp);
                Err(error)
            }
        }
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
        pool.bury(worker, None);
        Err(why)
    }
}

/// Whoever waits for a run, and may give up on it.
pub(super) struct Caller<'a> {
    cancelled: Arc<AtomicBool>,
    tick: &'a mut dyn FnMut() -> bool,
    ticked: Instant,
}

impl Caller<'_> {
    /// Whether to go on waiting.
    pub(super) fn look(&mut self) -> ControlFlow<()> {
        if self.cancelled.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        if self.ticked.elapsed() >= TICK {
            self.ticked = Instant::now();
            if !(self.tick)() {
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
    let (request, mut descriptors) = binding.to_bind().map_err(Unready::Error)?;
    let home = binding.home().map_err(Unready::Error)?;
    descriptors.extend(home.as_ref().map(|home| home.handle()));
    let answer = ask(worker, &Request::Bind(request), &descriptors, look)?;
    worker.home = home;
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
    };
    let image =
        if program.kind == Kind::Component && is_walled { program.image.copy() } else { Ok(program.image.file()) };
    let image = image.map_err(|why| Unready::Error(not_started(&why)))?;
    match ask(worker, &Request::Load(request), &[image.as_fd()], look)? {
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
