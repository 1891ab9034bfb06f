//! One call of a plugin: on its caller's thread, and from its first call of a function of the host on, on one that its
//! caller can leave behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::live::{Export, Live};
use super::stack_unsafe;
use super::streams::Inbox;
use super::tape::Tape;
use super::values_unsafe::{Lifted, Lowered};
use super::{Asked, Returned, Shared};
use crate::apart::{self, no_thread};
use crate::ending::Ending;
use crate::error::{Error, Result};
use crate::policy::Limits;
use crate::result::{Outcome, RunResult, Usage};
use crate::sandbox::host_calls::HostCalls;
use crate::sandbox::stdio::{Output, Sink};
use crate::sandbox::stop::{Limit, Stop};
use crate::sandbox::store::Control;
use crate::sandbox::{signals_unsafe, ticker};
use crate::supervisor::{Far, Guest, Supervisor, runtime};

/// A call that follows another at once finds the handlers of signals as they were: looking at them is a system call, a
/// fifth of a call. Nobody installs any in less time than this.
const AT_ONCE: Duration = Duration::from_micros(1);

/// What came of a call, and the instance unless it is gone.
pub(super) type Done = (Option<Box<Live>>, Called);

/// What an instance runs for.
pub(super) enum Work {
    /// To be told of what was dropped.
    Settle,
    /// The function to call, and the values of its parameters.
    Call(usize, Tape),
    /// More of a stream that it writes.
    Pull(Arc<Inbox>),
}

/// What a call gave and used.
pub(crate) struct Called {
    pub(crate) returned: Returned,
    pub(crate) wall: Duration,
    pub(crate) fuel: Option<u64>,
    pub(crate) memory: u64,
    pub(crate) host_calls: u64,
}

/// Calls a function of a plugin that has no imports: nothing in it can wait.
pub(super) fn here(
    mut live: Box<Live>,
    limits: &Limits,
    work: Work,
    asked: &Asked,
    tick: &mut dyn FnMut() -> bool,
) -> Result<Done> {
    let outer = apart::outer()?;
    let Some(ticking) = ticker::Running::start() else {
        return Err(no_thread("the system starts no more threads for this process"));
    };
    let started = Instant::now();
    if live.ended.is_none_or(|ended| started.saturating_duration_since(ended) > AT_ONCE) {
        signals_unsafe::keep();
    }
    let state = &mut live.store.data_mut().state;
    state.limiter.begin(limits.memory.0);
    state.control.deadline = outer.iter().map(|outer| outer.deadline).fold(started + limits.wall.0, Instant::min);
    state.control.outer = outer;
    let cancelled = asked.cancelled.as_ref().unwrap_or(&live.patient);
    if !Arc::ptr_eq(cancelled, &state.control.cancelled) {
        state.control.cancelled.clone_from(cancelled);
    }
    state.control.cpu.restart(started, limits.cpu.map(|cpu| cpu.0));
    if stack_unsafe::has_room() {
        let ended = begin(&mut live, limits, work);
        drop(ticking);
        return ended_here(live, limits, started, ended);
    }
    let control = live.store.data().state.control.clone();
    let limits = *limits;
    let rest = move || {
        let ended = begin(&mut live, &limits, work);
        drop(ticking);
        ended_here(live, &limits, started, ended)
    };
    apart::run(&control, None, rest, tick, &mut |_| None)
}

fn begin(live: &mut Live, limits: &Limits, work: Work) -> wasmtime::Result<Tape> {
    let Live { store, exports, module, life, .. } = live;
    store.set_epoch_deadline(1);
    if let Some(fuel) = limits.fuel {
        store.set_fuel(fuel)?;
    }
    let called = catch_unwind(AssertUnwindSafe(|| {
        for dropped in life.take_dropped() {
            dropped.resource_drop(&mut **store)?;
        }
        let Work::Call(index, tape) = work else { return Ok(Tape::default()) };
        if let Some(module) = module {
            return module.call(store, index, &tape);
        }
        let Some(Export::Plain(export)) = exports.get(index) else {
            return Err(wasmtime::Error::msg("there is no such function"));
        };
        export.call(&mut **store, Lowered(tape)).map(|Lifted(tape)| tape)
    }));
    match called {
        Ok(called) => called,
        Err(_) => Err(wasmtime::Error::msg("Ringfence panicked in a call")),
    }
}

fn ended_here(mut live: Box<Live>, limits: &Limits, started: Instant, ended: wasmtime::Result<Tape>) -> Result<Done> {
    if !live.store.is_ours() {
        return Err(forked());
    }
    let now = Instant::now();
    live.ended = Some(now);
    let wall = now.saturating_duration_since(started);
    let fuel = burnt(&live, limits);
    let memory = live.store.data().state.limiter.peak();
    match ended {
        Ok(tape) => {
            let returned = Returned::Values(tape);
            Ok((Some(live), Called { returned, wall, fuel, memory, host_calls: 0 }))
        }
        Err(error) => {
            let state = &mut live.store.data_mut().state;
            let ending = Ending::of_error(&error);
            let ending = if state.limiter.refused().is_some() { ending.after_refused_memory() } else { ending };
            let cpu = state.control.cpu.used();
            let result = RunResult {
                denials: state.take_denials(),
                usage: Usage { wall, cpu, memory, output: 0, fuel },
                ..nothing(ending)
            };
            Ok((None, Called { returned: Returned::Ended(Box::new(result)), wall, fuel, memory, host_calls: 0 }))
        }
    }
}

/// A call that is under way, whatever thread its guest is on.
struct Underway {
    shared: Arc<Shared>,
    limits: Limits,
    control: Control,
    calls: HostCalls,
    started: Instant,
    desk: Arc<Mutex<Desk>>,
    _ticking: ticker::Running,
}

/// Where the instance is put when its guest is gone, with what that returned.
#[derive(Default)]
struct Desk {
    live: Option<Box<Live>>,
    said: Option<Tape>,
}

/// The instance while its guest runs. However that ends, it comes back.
struct Lent {
    live: Option<Box<Live>>,
    said: Option<Tape>,
    desk: Arc<Mutex<Desk>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        *lock(&self.desk) = Desk { live: self.live.take(), said: self.said.take() };
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(|broken| broken.into_inner())
}

/// Calls a function of a plugin whose imports may wait.
pub(super) fn waiting(
    mut live: Box<Live>,
    shared: &Arc<Shared>,
    limits: &Limits,
    work: Work,
    asked: &Asked,
    tick: &mut dyn FnMut() -> bool,
) -> Result<Done> {
    let outer = apart::outer()?;
    let runtime = runtime(!shared.prepared.net.is_empty())?;
    signals_unsafe::keep();
    let Some(ticking) = ticker::Running::start() else {
        return Err(no_thread("the system starts no more threads for this process"));
    };
    let started = Instant::now();
    let output = Output::new(Sink::Capture(Vec::new()), Sink::Capture(Vec::new()), limits.output.0);
    let cancelled = asked.cancelled.clone().unwrap_or_default();
    let control = Control {
        network: live.store.data().state.control.network.clone(),
        ..Control::of_guest(started, limits, Duration::ZERO, cancelled, output).inside(outer)
    };
    let calls = HostCalls::of_plugin();
    live.store.data_mut().context.clone_from(&asked.context);
    let state = &mut live.store.data_mut().state;
    state.limiter.begin(limits.memory.0);
    state.output = control.output.clone();
    state.host_calls = calls.clone();
    state.control = control.clone();
    if let Some(fuel) = limits.fuel {
        live.store.set_fuel(fuel).map_err(|error| crate::link::broken(&error))?;
    }
    live.store.set_epoch_deadline(1);
    if let Some(begins) = &shared.begins {
        begins(&control, &calls);
    }
    let desk: Arc<Mutex<Desk>> = Arc::default();
    let mut lent = Lent { live: Some(live), said: None, desk: desk.clone() };
    let mut work = Some(work);
    let guest = Guest::new(async move {
        let Lent { live, said, .. } = &mut lent;
        if let (Some(live), Some(work)) = (live.as_deref_mut(), work.take()) {
            let Live { store, exports, module, life, .. } = live;
            for dropped in life.take_dropped() {
                dropped.resource_drop_async(&mut **store).await?;
            }
            *said = Some(match work {
                Work::Settle => Tape::default(),
                Work::Pull(inbox) => {
                    store.run_concurrent(async |_| inbox.arrival().await).await?;
                    Tape::default()
                }
                Work::Call(index, mut tape) => match module {
                    Some(module) => module.call_async(store, index, &tape).await?,
                    None => {
                        let export = exports.get(index);
                        let export = export.ok_or_else(|| wasmtime::Error::msg("there is no such function"))?;
                        tape.open(&mut **store)?;
                        let mut said = export.call(store, tape).await?;
                        said.pipe(&mut **store, life.over())?;
                        said
                    }
                },
            });
        }
        Ok(Ending::exited(0))
    });
    let underway =
        Underway { shared: shared.clone(), limits: *limits, control, calls, started, desk, _ticking: ticking };
    let supervisor = Supervisor { runtime, control: &underway.control, host_calls: &underway.calls };
    if shared.inline {
        let ending = supervisor.through(guest, tick);
        return underway.end(ending);
    }
    let guest = match supervisor.begin(guest, tick) {
        Far::Ended(ending) => return underway.end(ending),
        Far::Calls(guest) => guest,
    };
    let (control, calls) = (underway.control.clone(), underway.calls.clone());
    let around = shared.imports.as_ref().map(|imports| imports.around(asked.context.as_ref()));
    control.cpu.leave();
    let rest = move || {
        let supervisor = Supervisor { runtime, control: &underway.control, host_calls: &underway.calls };
        let ending = supervisor.go_on(guest, &mut || true);
        underway.end(ending)
    };
    apart::run(&control, around, rest, tick, &mut |stop| {
        calls.abandon().map(|name| (None, abandoned(stop, name, &control, &calls, started)))
    })
}

impl Underway {
    /// What came of it.
    fn end(self, ending: Ending) -> Result<Done> {
        let Self { shared: _shared, limits, control, calls, started, desk, .. } = self;
        let Desk { live, said } = std::mem::take(&mut *lock(&desk));
        let ending = ending.after_network(control.network_stop());
        let Some(mut live) = live.filter(|live| live.store.is_ours()) else { return Err(forked()) };
        calls.leave();
        let fuel = burnt(&live, &limits);
        let nowhere = live.nowhere.clone();
        live.store.data_mut().context = None;
        let state = &mut live.store.data_mut().state;
        let refused = state.limiter.refused().is_some();
        let memory = state.limiter.peak();
        let denials = state.take_denials();
        state.output = nowhere.clone();
        state.control.output = nowhere;
        state.control.outer = None;
        state.host_calls = HostCalls::default();
        let wall = started.elapsed();
        let host_calls = calls.made();
        let written = control.output.take();
        let (ended, returned) = match said {
            Some(said) if ending.outcome == Outcome::Exited && !written.truncated => (None, Returned::Values(said)),
            _ => {
                let ending = if refused { ending.after_refused_memory() } else { ending };
                let ending = if written.truncated { ending.after_cut_output() } else { ending };
                let usage = Usage { wall, cpu: control.cpu.used(), memory, output: written.bytes, fuel };
                let result = RunResult {
                    stdout: written.stdout,
                    stderr: written.stderr,
                    truncated: written.truncated,
                    usage,
                    denials,
                    host_calls,
                    ..nothing(ending)
                };
                (Some(()), Returned::Ended(Box::new(result)))
            }
        };
        Ok((ended.is_none().then_some(live), Called { returned, wall, fuel, memory, host_calls }))
    }
}

/// What can be told of a call whose guest is still there, inside the function of that name.
fn abandoned(stop: Stop, name: String, control: &Control, calls: &HostCalls, started: Instant) -> Called {
    let written = control.output.take();
    let wall = started.elapsed();
    let memory = calls.memory_peak();
    let result = RunResult {
        stdout: written.stdout,
        stderr: written.stderr,
        truncated: written.truncated,
        usage: Usage { wall, cpu: control.cpu.used(), memory, output: written.bytes, fuel: None },
        host_calls: calls.made(),
        abandoned: Some(name),
        ..nothing(Ending::stopped(stop))
    };
    Called { returned: Returned::Ended(Box::new(result)), wall, fuel: None, memory, host_calls: calls.made() }
}

/// The result of a call that ended so, without what it used.
pub(crate) fn nothing(ending: Ending) -> RunResult {
    RunResult {
        outcome: ending.outcome,
        exit_code: ending.exit_code,
        limit: ending.limit.map(Limit::name),
        trap: ending.trap,
        backtrace: ending.backtrace,
        stdout: Vec::new(),
        stderr: Vec::new(),
        truncated: false,
        usage: Usage::default(),
        denials: Vec::new(),
        changes: None,
        host_calls: 0,
        raised: ending.raised,
        abandoned: None,
    }
}

fn burnt(live: &Live, limits: &Limits) -> Option<u64> {
    limits.fuel.and_then(|given| Some(given.saturating_sub(live.store.get_fuel().ok()?)))
}

fn forked() -> Error {
    Error::host(
        "this process was forked while this thread ran a guest",
        "the guest is in the parent process, and its threads are",
        "fork outside of calls: not in a signal handler, nor in a host function that returns in the child",
    )
}
