//! Forks: sessions that go on from where another one was, and snapshots that they are made of.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::captured::{self, Captured, Caught};
use super::saved::names;
use super::{Back, Functions, Instance, Seat, Session, Spent, Taken};
use crate::error::{Error, Result};
use crate::host::SessionFunctions;
use crate::policy::wider;
use crate::prepared::Recipe;
use crate::process_unsafe::{self, generation};
use crate::run::Sandbox;
use crate::worker::{self, Carried, Client};

/// Forks of one snapshot whose memory is copied; for more of them it is mapped, where their copies were larger.
const COPIED_FORKS: usize = 4;

/// What a session was between two turns. Sessions that are forked from it know nothing of each other.
///
/// It holds no secret: their values are read again for each fork, and what its guest held instead stays the same.
pub struct Snapshot {
    recipe: Arc<Recipe>,
    worker: Option<Arc<Client>>,
    name: String,
    pub(super) kept: Kept,
    functions: Option<Arc<dyn SessionFunctions>>,
    /// The functions that its code knows, by name.
    pub(super) known: Vec<String>,
    /// How many calls its guest had begun: it may still know their numbers.
    pub(super) begun: u64,
    generation: u64,
}

/// What it is kept as.
pub(super) enum Kept {
    Here(Box<Here>),
    /// For workers to read: as one of them has written it, or as it was in a file.
    Apart(Carried),
}

/// A capture in this process.
pub(super) struct Here {
    pub(super) captured: Captured,
    /// The same for many forks, made when there are many.
    for_many: OnceLock<Option<Captured>>,
    forked: AtomicUsize,
}

impl Kept {
    pub(super) fn here(captured: Captured) -> Self {
        Self::Here(Box::new(Here { captured, for_many: OnceLock::new(), forked: AtomicUsize::new(0) }))
    }
}

impl Here {
    /// The capture for so many forks more.
    fn for_forks(&self, count: usize) -> &Captured {
        let forks = self.forked.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        let is_large = forks > COPIED_FORKS && self.captured.is_large_for(forks);
        let for_many = is_large.then(|| self.for_many.get_or_init(|| self.captured.for_many()).as_ref());
        for_many.flatten().unwrap_or(&self.captured)
    }
}

/// How forks are made.
#[derive(Default)]
pub struct Forking<'a> {
    /// The functions of each fork, as many as there are forks; those of the session it was, where none are given.
    pub functions: Option<Vec<Option<Arc<dyn SessionFunctions>>>>,
    /// A sandbox of the same program, whose policy the forks have; that of the session it was, where none is given.
    pub under: Option<&'a Sandbox>,
    /// Whether that policy may be wider.
    pub allow_wider: bool,
    /// Set it from any thread to give up.
    pub cancelled: Arc<AtomicBool>,
    /// Called about every 50 ms while they are made; `false` gives up.
    pub tick: Option<&'a mut dyn FnMut() -> bool>,
}

impl Session {
    /// Makes `count` sessions that go on from where this one is. No turn may be under way.
    pub fn fork(&self, count: usize, mut forking: Forking<'_>) -> Result<Vec<Self>> {
        let kept = self.captured(&mut forking)?;
        self.as_snapshot(kept).fork(count, forking)
    }

    /// Takes what this session is, to fork from later. No turn may be under way.
    pub fn snapshot(&self, mut forking: Forking<'_>) -> Result<Snapshot> {
        let kept = self.captured(&mut forking)?;
        Ok(self.as_snapshot(kept))
    }

    fn as_snapshot(&self, kept: Kept) -> Snapshot {
        let functions = self.functions.as_ref();
        Snapshot {
            recipe: self.recipe.clone(),
            worker: self.worker.clone(),
            name: self.name.clone(),
            kept,
            functions: functions.map(|given| given.functions.clone()),
            known: functions.map(|given| names(&given.functions.list())).unwrap_or_default(),
            begun: functions.map_or(0, |given| given.numbers.load(Ordering::SeqCst)),
            generation: self.generation,
        }
    }

    fn captured(&self, forking: &mut Forking<'_>) -> Result<Kept> {
        self.check_process()?;
        let Taken { instance, spent, back } = self.take()?;
        let mut no_tick = || true;
        let tick: &mut dyn FnMut() -> bool = match &mut forking.tick {
            Some(tick) => &mut **tick,
            None => &mut no_tick,
        };
        let cancelled = forking.cancelled.clone();
        let (instance, caught) = match instance {
            Instance::Here(mut live) => match captured::capture(&mut live, &self.name, cancelled, tick)? {
                Caught::Captured(captured) => (Instance::Here(live), Ok(Kept::here(captured))),
                Caught::Not(error) => (Instance::Here(live), Err(error)),
                Caught::Gone(why) => return Err(self.gone(back, why)),
            },
            Instance::Worker(remote) => match remote.capture(&self.name, cancelled, tick)? {
                worker::Taken::Carried(remote, carried) => (Instance::Worker(remote), Ok(Kept::Apart(carried))),
                worker::Taken::Not(remote, error) => (Instance::Worker(remote), Err(error)),
                worker::Taken::Gone(why) => return Err(self.gone(back, why)),
            },
        };
        back.put(Seat::Free(instance, spent));
        caught
    }

    /// The guest did not return while it was captured.
    fn gone(&self, back: Back<'_>, why: String) -> Error {
        let told = self.refused(&why, "call `restart()`: it begins anew, without what it had defined");
        back.put(Seat::Poisoned(why));
        told
    }
}

impl Snapshot {
    /// One that was read from a file.
    pub(super) fn loaded(
        sandbox: &Sandbox,
        kept: Kept,
        functions: Option<Arc<dyn SessionFunctions>>,
        known: Vec<String>,
        begun: u64,
    ) -> Self {
        let (recipe, worker) = (sandbox.recipe().clone(), sandbox.worker().cloned());
        let name = recipe.name().to_owned();
        Self { recipe, worker, name, kept, functions, known, begun, generation: generation() }
    }

    /// What its session was made of.
    pub(super) fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The functions that its code knows, by name.
    pub fn known(&self) -> &[String] {
        &self.known
    }

    /// Refuses what a child made by `fork` asks of its parent's.
    pub(super) fn check_process(&self, what: &str) -> Result<()> {
        if self.generation == generation() {
            return Ok(());
        }
        Err(Error::session(
            format!("{what} `{}`", self.name),
            "this process was forked, and the snapshot is in its parent",
            "take a snapshot here",
        ))
    }

    /// Makes `count` sessions that go on from here.
    pub fn fork(&self, count: usize, forking: Forking<'_>) -> Result<Vec<Session>> {
        self.check_process("no fork of this snapshot of")?;
        let Forking { functions, under, allow_wider, cancelled, tick } = forking;
        if let Some(sandbox) = under {
            self.check(sandbox, allow_wider)?;
        }
        let recipe = under.map_or(&self.recipe, Sandbox::recipe);
        let worker = under.map_or(self.worker.as_ref(), Sandbox::worker);
        let prepared = match (&self.kept, under) {
            (Kept::Here(_), Some(sandbox)) => Some(sandbox.prepared()?),
            _ => None,
        };
        let mut no_tick = || true;
        let tick = tick.unwrap_or(&mut no_tick);
        let here = match &self.kept {
            Kept::Here(here) => Some(here.for_forks(count)),
            Kept::Apart(_) => None,
        };
        let mut given = functions.map(Vec::into_iter);
        let mut forks = Vec::with_capacity(count.min(1000));
        for _ in 0..count {
            if cancelled.load(Ordering::Relaxed) {
                return Err(Error::session(
                    format!("no fork of `{}`", self.name),
                    "the caller gave up on it",
                    "fork it again",
                ));
            }
            let functions = match &mut given {
                Some(given) => given.next().flatten(),
                None => self.functions.clone(),
            };
            let instance = match (&self.kept, here, worker) {
                (_, Some(captured), None) => {
                    let prepared = prepared.as_ref().unwrap_or(captured.prepared());
                    let given = captured.given(prepared)?;
                    Instance::Here(Box::new(captured.fork(prepared, given, cancelled.clone(), tick)?))
                }
                (Kept::Apart(carried), _, Some(worker)) => {
                    let list = functions.as_ref().map(|functions| functions.list());
                    let remote = worker.open(&self.name, list, Some(carried), cancelled.clone(), Some(&mut *tick))?;
                    Instance::Worker(Box::new(remote))
                }
                _ => return Err(self.elsewhere()),
            };
            forks.push(Session {
                recipe: recipe.clone(),
                worker: worker.cloned(),
                name: self.name.clone(),
                functions: functions.map(|functions| Functions::new(functions, self.begun)),
                generation: generation(),
                closed: AtomicBool::new(false),
                seat: process_unsafe::Here::new(Mutex::new(Seat::Free(instance, Spent::default()))),
            });
        }
        Ok(forks)
    }

    fn elsewhere(&self) -> Error {
        Error::session(
            format!("no fork of `{}` under that policy", self.name),
            "its sandbox is of another program, or elsewhere",
            "make a sandbox of the program that is forked, with the same isolation and tenant",
        )
    }

    /// Refuses a sandbox of another program or place, and one whose policy is wider.
    fn check(&self, sandbox: &Sandbox, allow_wider: bool) -> Result<()> {
        let what = || format!("no fork of `{}` under that policy", self.name);
        let theirs = sandbox.recipe();
        let digest = |recipe: &Recipe| recipe.program.as_ref().map(|program| program.digest().to_owned());
        let is_beside = match (&self.worker, sandbox.worker()) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => theirs.is_beside(ours),
            _ => false,
        };
        if !is_beside || digest(theirs).is_none() || digest(theirs) != digest(&self.recipe) {
            return Err(self.elsewhere());
        }
        if allow_wider {
            return Ok(());
        }
        let wider = theirs.grants.wider_than(&theirs.policy, &self.recipe.grants, &self.recipe.policy);
        wider::refuse(what(), &wider)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("name", &self.name).finish_non_exhaustive()
    }
}
