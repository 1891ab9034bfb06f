//! Functions of this process that a guest in a worker calls: on a thread that the caller of the run can leave behind.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::ask::{Asked, Next, Running};
use super::client::{Caller, Taken};
use super::place::{Inside, Place, State};
use super::protocol::{Call, Function, Request, Returned};
use crate::apart::{self, no_thread};
use crate::error::Result;
use crate::host::{HostFunction, HostFunctions, Raised, Signature, Value};
use crate::link_functions;
use crate::prepared::{Entry, Prepared};
use crate::process_unsafe::{Here, leave};
use crate::result::{Outcome, RunResult};
use crate::sandbox::stdio::{Output, Sink};
use crate::sandbox::stop::Stop;
use crate::sandbox::store::{Control, Outer};
use crate::text;

/// Why a worker goes that speaks of something else than a run.
pub(super) const NO_RUN: &str = "it spoke of a session or a plugin, and this is a run";

/// The functions that a program was linked with.
#[derive(Clone)]
pub(super) struct Functions {
    given: HostFunctions,
    signatures: Arc<[Signature]>,
}

impl Functions {
    pub(super) fn of(prepared: &Prepared) -> Self {
        let given = prepared.functions.clone();
        let signatures = match &prepared.entry {
            Entry::Module { linked, .. } => link_functions::signatures(&given, linked.module()),
            Entry::Component(_) | Entry::Plugin(_) | Entry::ModulePlugin(_) => Vec::new(),
        };
        Self { given, signatures: signatures.into() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.given.functions.is_empty()
    }

    /// What a worker is told of them.
    pub(super) fn named(&self) -> Vec<Function> {
        let function =
            |function: &HostFunction| Function { module: function.module.clone(), name: function.name.clone() };
        self.given.functions.iter().map(function).collect()
    }

    /// Runs there what calls them.
    pub(super) fn run(
        &self,
        taken: Taken,
        asked: Asked,
        cancelled: Arc<AtomicBool>,
        outer: Option<Arc<Outer>>,
        tick: &mut dyn FnMut() -> bool,
    ) -> Result<RunResult> {
        let started = Instant::now();
        // What the guest writes is for the worker to look at.
        let output = Output::new(Sink::Discard, Sink::Discard, 0);
        let control = Control { outer, ..Control::of_guest(started, &asked.limits, Duration::ZERO, cancelled, output) };
        let place = Place::new(taken);
        let talk = Talk { functions: self.clone(), control: control.clone(), place: place.clone(), made: 0 };
        let guest = move || talk.run(asked);
        let around = self.given.around.as_ref().map(|around| around());
        let done = apart::run(&control, around, guest, tick, &mut |stop| self.abandon(&place, stop, &control));
        place.bury_waiting();
        done
    }

    /// Gives up on a guest that is inside a function: its worker is killed, and what is known of its run is told.
    fn abandon(&self, place: &Place<usize>, stop: Stop, control: &Control) -> Option<RunResult> {
        let Inside { taken, running, call: index, memory, made } = place.take_inside(State::GivenUp)?;
        let mut result = running.without_answer(&taken.worker, Outcome::Cancelled);
        result.changes = taken.unknown();
        taken.bury();
        result.outcome = Outcome::Cancelled;
        if let Stop::Limit(limit) = stop {
            (result.outcome, result.limit) = (Outcome::Limited, Some(limit.name()));
        }
        result.usage.cpu = control.cpu.used();
        result.usage.memory = memory;
        result.host_calls = made;
        result.abandoned = self.given.functions.get(index).map(HostFunction::title);
        Some(result)
    }
}

/// Whoever talks to the worker, on the thread that functions are called on.
struct Talk {
    functions: Functions,
    control: Control,
    place: Place<usize>,
    made: u64,
}

impl Talk {
    fn run(mut self, asked: Asked) -> Result<RunResult> {
        let Some(mut taken) = self.place.begin() else { return Err(no_thread("its worker is gone")) };
        let Control { cancelled, outer, .. } = self.control.clone();
        let mut tick = || true;
        let mut caller = Caller::new(cancelled, outer, &mut tick);
        let mut running = match asked.begin(&mut taken.worker, &taken.space, &mut caller) {
            Ok(Ok(running)) => running,
            Ok(Err(told)) => return taken.give_back(told),
            Err(error) => {
                taken.bury();
                return Err(error);
            }
        };
        let (mut raised, mut over) = (None, None);
        loop {
            let call = match running.next(&mut taken.worker, &mut caller) {
                Next::Call(call) => call,
                Next::Over(told) => return taken.give_back(told).map(|result| self.complete(result, raised, over)),
                _ => {
                    let told = running.broken(&taken.worker, NO_RUN);
                    return taken.give_back(told).map(|result| self.complete(result, raised, over));
                }
            };
            // Late calls are not made: their caller would find the guest inside of one, and give up on it.
            if let Err(stop) = self.control.check_from_outside() {
                over = Some(stop);
                running.cancel(&taken.worker, Instant::now());
                continue;
            }
            let called = match call.of(&self.functions.signatures) {
                Ok(called) if raised.is_none() => Ok(called),
                Ok(_) => Err(running.broken(&taken.worker, "it went on after a function broke")),
                Err(why) => Err(running.broken(&taken.worker, &why)),
            };
            let called = match called {
                Ok(called) => called,
                Err(told) => return taken.give_back(told).map(|result| self.complete(result, raised, over)),
            };
            let returned;
            (taken, running, returned) = match self.call(taken, running, &call, called) {
                Some(back) => back,
                // Nobody waits for the result.
                None => return Err(no_thread("its caller has given up on it")),
            };
            let values = match returned {
                Ok(values) => Some(values.into_iter().map(Into::into).collect()),
                Err(why) => {
                    raised = Some(why);
                    None
                }
            };
            let cpu_nanos = u64::try_from(self.control.cpu.used_here().as_nanos()).unwrap_or(u64::MAX);
            let back = Request::Returned(Returned { values, cpu_nanos });
            if let Err(told) = running.go_on(&mut taken.worker, &back, &[], &[]) {
                return taken.give_back(told).map(|result| self.complete(result, raised, over));
            }
        }
    }

    /// Calls a function; gives nothing back when the caller of the run went on without it.
    fn call(
        &mut self,
        taken: Taken,
        running: Running,
        call: &Call,
        (index, params): (usize, Vec<Value>),
    ) -> Option<(Taken, Running, std::result::Result<Vec<Value>, Raised>)> {
        let (function, signature) = (self.functions.given.functions.get(index)?, self.functions.signatures.get(index)?);
        self.made += 1;
        self.control.cpu.used_elsewhere(Duration::from_nanos(call.cpu_nanos));
        self.place.enter(Inside { taken, running, call: index, memory: call.memory_bytes, made: self.made });
        let here = Here::new(());
        let returned = function.answer(&params, &signature.results);
        if !here.is_ours() {
            leave("a host function forked, and this child came back from it: its caller is in the parent");
        }
        let Inside { taken, running, .. } = self.place.take_inside(State::Talking)?;
        Some((taken, running, returned))
    }

    /// The result with what a worker does not know.
    fn complete(&self, mut result: RunResult, raised: Option<Raised>, over: Option<Stop>) -> RunResult {
        result.host_calls = self.made;
        if let (Outcome::Cancelled, Some(Stop::Limit(limit))) = (result.outcome, over) {
            (result.outcome, result.limit) = (Outcome::Limited, Some(limit.name()));
        }
        if let Some(raised) = raised {
            (result.outcome, result.exit_code, result.limit) = (Outcome::Crashed, None, None);
            (result.trap, result.backtrace) = (Some(text::quote(&raised.why)), None);
            result.raised = Some(raised);
        }
        result
    }
}
