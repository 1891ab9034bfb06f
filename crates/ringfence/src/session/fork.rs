//! Forks: sessions that go on from where another one was, and snapshots that they are made of.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::captured::{self, Captured, Caught};
use super::{Functions, Instance, Seat, Session, Spent, Taken};
use crate::error::{Error, Result};
use crate::host::SessionFunctions;
use crate::process_unsafe::{Here, generation};

/// Forks of one snapshot whose memory is copied; for more of them it is mapped, where their copies were larger.
const COPIED_FORKS: usize = 4;

/// What a session was between two turns. Sessions that are forked from it know nothing of each other.
///
/// It holds no secret: their values are read again for each fork, and what its guest held instead stays the same.
pub struct Snapshot {
    name: String,
    captured: Captured,
    /// The same for many forks, made when there are many.
    for_many: OnceLock<Option<Captured>>,
    forked: AtomicUsize,
    functions: Option<Arc<dyn SessionFunctions>>,
    /// How many calls its guest had begun: it may still know their numbers.
    begun: u64,
    generation: u64,
}

/// How forks are made.
#[derive(Default)]
pub struct Forking<'a> {
    /// The functions of each fork, as many as there are forks; those of the session it was, where none are given.
    pub functions: Option<Vec<Option<Arc<dyn SessionFunctions>>>>,
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
            name: self.name.clone(),
            captured,
            for_many: OnceLock::new(),
            forked: AtomicUsize::new(0),
            functions: functions.map(|given| given.functions.clone()),
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
    /// Makes `count` sessions that go on from here.
    pub fn fork(&self, count: usize, forking: Forking<'_>) -> Result<Vec<Session>> {
        if self.generation != generation() {
            return Err(Error::session(
                format!("no fork of this snapshot of `{}`", self.name),
                "this process was forked, and the snapshot is in its parent",
                "take a snapshot here",
            ));
        }
        let Forking { functions, cancelled, tick } = forking;
        let mut no_tick = || true;
        let tick = tick.unwrap_or(&mut no_tick);
        let forks = self.forked.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        let is_large = forks > COPIED_FORKS && self.captured.is_large_for(forks);
        let for_many = is_large.then(|| self.for_many.get_or_init(|| self.captured.for_many()).as_ref());
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
            let live = captured.fork(cancelled.clone(), tick)?;
            forks.push(Session {
                name: self.name.clone(),
                limits: self.captured.prepared().policy.limits,
                functions: functions.map(|functions| Functions::new(functions, self.begun)),
                generation: generation(),
                closed: AtomicBool::new(false),
                seat: Here::new(Mutex::new(Seat::Free(Instance::Here(Box::new(live)), Spent::default()))),
            });
        }
        Ok(forks)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("name", &self.name).finish_non_exhaustive()
    }
}
