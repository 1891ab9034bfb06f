//! Forks: sessions that go on from where another one was, and snapshots that they are made of.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::captured::{self, Captured, Caught};
use super::saved::names;
use super::{Functions, Instance, Seat, Session, Spent, Taken};
use crate::error::{Error, Result};
use crate::host::SessionFunctions;
use crate::policy::wider;
use crate::prepared::Recipe;
use crate::process_unsafe::{Here, generation};
use crate::run::Sandbox;

/// Forks of one snapshot whose memory is copied; for more of them it is mapped, where it is large.
const COPIED_FORKS: usize = 4;

/// What a session was between two turns. Sessions that are forked from it know nothing of each other.
///
/// It holds no secret: their values are read again for each fork, and what its guest held instead stays the same.
pub struct Snapshot {
    recipe: Arc<Recipe>,
    name: String,
    pub(super) captured: Captured,
    /// The same for many forks, made when there are many.
    for_many: OnceLock<Option<Captured>>,
    forked: AtomicUsize,
    functions: Option<Arc<dyn SessionFunctions>>,
    /// The functions that its code knows, by name.
    pub(super) known: Vec<String>,
    /// How many calls its guest had begun: it may still know their numbers.
    pub(super) begun: u64,
    generation: u64,
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
        let captured = self.captured(&mut forking)?;
        self.as_snapshot(captured).fork(count, forking)
    }

    /// Takes what this session is, to fork from later. No turn may be under way.
    pub fn snapshot(&self, mut forking: Forking<'_>) -> Result<Snapshot> {
        let captured = self.captured(&mut forking)?;
        Ok(self.as_snapshot(captured))
    }

    fn as_snapshot(&self, captured: Captured) -> Snapshot {
        let functions = self.functions.as_ref();
        Snapshot {
            recipe: self.recipe.clone(),
            name: self.name.clone(),
            captured,
            for_many: OnceLock::new(),
            forked: AtomicUsize::new(0),
            functions: functions.map(|given| given.functions.clone()),
            known: functions.map(|given| names(&given.functions.list())).unwrap_or_default(),
            begun: functions.map_or(0, |given| given.numbers.load(Ordering::SeqCst)),
            generation: self.generation,
        }
    }

    fn captured(&self, forking: &mut Forking<'_>) -> Result<Captured> {
        self.check_process()?;
        let Taken { instance, spent, back } = self.take()?;
        let mut live = match instance {
            Instance::Here(live) => live,
            instance @ Instance::Worker(_) => {
                back.put(Seat::Free(instance, spent));
                return Err(Error::session(
                    format!("no fork of this session of `{}`", self.name),
                    "its interpreter is in a process of its own, and cannot be captured there yet",
                    "leave `isolation` out for sessions that are forked",
                ));
            }
        };
        let mut no_tick = || true;
        let tick: &mut dyn FnMut() -> bool = match &mut forking.tick {
            Some(tick) => &mut **tick,
            None => &mut no_tick,
        };
        match captured::capture(&mut live, &self.name, forking.cancelled.clone(), tick)? {
            Caught::Captured(captured) => {
                back.put(Seat::Free(Instance::Here(live), spent));
                Ok(captured)
            }
            Caught::Not(error) => {
                back.put(Seat::Free(Instance::Here(live), spent));
                Err(error)
            }
            Caught::Gone(why) => {
                let told = self.refused(&why, "call `restart()`: it begins anew, without what it had defined");
                back.put(Seat::Poisoned(why));
                Err(told)
            }
        }
    }
}

impl Snapshot {
    /// One that was read from a file.
    pub(super) fn loaded(
        recipe: Arc<Recipe>,
        captured: Captured,
        functions: Option<Arc<dyn SessionFunctions>>,
        known: Vec<String>,
        begun: u64,
    ) -> Self {
        Self {
            name: recipe.name().to_owned(),
            recipe,
            captured,
            for_many: OnceLock::new(),
            forked: AtomicUsize::new(0),
            functions,
            known,
            begun,
            generation: generation(),
        }
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
        let (recipe, prepared) = match under {
            None => (self.recipe.clone(), self.captured.prepared().clone()),
            Some(sandbox) => {
                self.check(sandbox, allow_wider)?;
                (sandbox.recipe().clone(), sandbox.prepared()?)
            }
        };
        let mut no_tick = || true;
        let tick = tick.unwrap_or(&mut no_tick);
        let is_one_of_many = self.forked.fetch_add(count, Ordering::Relaxed).saturating_add(count) > COPIED_FORKS;
        let for_many = is_one_of_many.then(|| self.for_many.get_or_init(|| self.captured.for_many()).as_ref());
        let captured = for_many.flatten().unwrap_or(&self.captured);
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
            let live = captured.fork(&prepared, cancelled.clone(), tick)?;
            forks.push(Session {
                recipe: recipe.clone(),
                name: self.name.clone(),
                functions: functions.map(|functions| Functions::new(functions, self.begun)),
                generation: generation(),
                closed: AtomicBool::new(false),
                seat: Here::new(Mutex::new(Seat::Free(Instance::Here(Box::new(live)), Spent::default()))),
            });
        }
        Ok(forks)
    }

    /// Refuses a sandbox of another program, and one whose policy is wider.
    fn check(&self, sandbox: &Sandbox, allow_wider: bool) -> Result<()> {
        let what = || format!("no fork of `{}` under that policy", self.name);
        let theirs = sandbox.recipe();
        let digest = |recipe: &Recipe| recipe.program.as_ref().map(|program| program.digest().to_owned());
        if sandbox.worker().is_some() || digest(theirs).is_none() || digest(theirs) != digest(&self.recipe) {
            return Err(Error::session(
                what(),
                "its sandbox is of another program, or elsewhere",
                "make a sandbox of the program that is forked, with the same isolation",
            ));
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
