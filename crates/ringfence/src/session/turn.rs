//! One turn of a session.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Runtime;

use super::Functions;
use super::live::{Exports, Live};
use super::result::{TurnError, TurnOutcome, TurnResult, TurnValue};
use crate::apart::{self, no_thread};
use crate::ending::Ending;
use crate::error::{Error, Result};
use crate::language::abi::{self, status};
use crate::language::value::cost;
use crate::policy::{Limits, LimitsPatch};
use crate::result::{Outcome, Usage};
use crate::sandbox::host_calls::{HostCalls, Relay};
use crate::sandbox::journal::Journal;
use crate::sandbox::soft::{GRACE, Notice, Soft};
use crate::sandbox::stdio::{Output, Sink, Written};
use crate::sandbox::stop::{Limit, Stop};
use crate::sandbox::store::{Control, Outer, State};
use crate::sandbox::{signals_unsafe, ticker};
use crate::supervisor::{Far, Guest, Supervisor, runtime};

/// Longest text of an error that is taken, in bytes.
const MAX_ERROR_BYTES: u32 = 1 << 20;

/// One turn: what to run, where its output goes, and who may end it.
pub struct Turn<'a> {
    /// The source text.
    pub source: Bytes,
    /// Standard output.
    pub stdout: Sink,
    /// Standard error.
    pub stderr: Sink,
    /// Limits of this turn, narrower than the session's.
    pub limits: LimitsPatch,
    /// Set it from any thread to end the turn within 100 ms, and the session with it.
    pub cancelled: Arc<AtomicBool>,
    /// Called about every 50 ms; `false` interrupts the guest as Ctrl-C does, and a second `false` ends it.
    pub tick: Option<&'a mut dyn FnMut() -> bool>,
}

/// What a turn is bound by, once it has begun.
struct Bounds {
    limits: Limits,
    control: Control,
    soft: Arc<Soft>,
    calls: HostCalls,
    started: Instant,
}

/// What the guest said at the end of a turn.
struct Said {
    status: u32,
    code: u32,
    value: Vec<u8>,
    error: Vec<u8>,
    /// The value was too large to be taken.
    too_large: bool,
}

type Done = (Option<Box<Live>>, TurnResult);

impl Bounds {
    /// Those of a turn that begins now, and calls no functions.
    fn new(
        live: &Live,
        limits: Limits,
        [stdout, stderr]: [Sink; 2],
        cancelled: Arc<AtomicBool>,
        outer: Option<Arc<Outer>>,
    ) -> Self {
        let started = Instant::now();
        let grace = if live.hears() { GRACE } else { Duration::ZERO };
        let soft = Arc::new(Soft::new(Some(started + limits.wall.0), limits.cpu.map(|cpu| cpu.0)));
        soft.set_words(live.exports.words);
        let output = Output::new(stdout, stderr, limits.output.0);
        let control = Control {
            network: live.store.data().control.network.clone(),
            soft: Some(soft.clone()),
            ..Control::of_guest(started, &limits, grace, cancelled, output).inside(outer)
        };
        Self { limits, control, soft, calls: HostCalls::default(), started }
    }
}

/// A turn that is under way, whatever thread its guest is on.
struct Underway {
    bounds: Bounds,
    runtime: &'static Runtime,
    desk: Arc<Mutex<Desk>>,
    _ticking: ticker::Running,
}

/// Where the instance is put when its guest is gone, with what that said last.
#[derive(Default)]
struct Desk {
    live: Option<Box<Live>>,
    said: Option<Said>,
}

/// The instance while its guest runs. However that ends, it comes back.
struct Lent {
    live: Option<Box<Live>>,
    said: Option<Said>,
    desk: Arc<Mutex<Desk>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        *desk(&self.desk) = Desk { live: self.live.take(), said: self.said.take() };
    }
}

fn desk(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(|broken| broken.into_inner())
}

/// Runs a turn on this thread; from its first call of a function of the host on, on one that this can leave behind.
pub(super) fn run(
    live: Box<Live>,
    functions: Option<&Functions>,
    limits: Limits,
    turn: Turn<'_>,
    outer: Option<Arc<Outer>>,
) -> Result<Done> {
    let Turn { source, stdout, stderr, cancelled, tick, .. } = turn;
    let mut no_tick = || true;
    let tick = tick.unwrap_or(&mut no_tick);
    let mut bounds = Bounds::new(&live, limits, [stdout, stderr], cancelled, outer);
    bounds.calls = functions.map_or_else(HostCalls::default, Functions::calls);
    let started = bounds.started;
    let (underway, guest) = Underway::begin(live, source, bounds)?;
    let guest = match underway.supervisor().begin(guest, tick) {
        Far::Ended(ending) => return underway.end(ending),
        Far::Calls(guest) => guest,
    };
    let Bounds { control, calls, .. } = &underway.bounds;
    let (control, calls) = (control.clone(), calls.clone());
    let around = functions.map(|given| given.functions.clone().around());
    control.cpu.leave();
    let rest = move || {
        let ending = underway.supervisor().go_on(guest, &mut || true);
        underway.end(ending)
    };
    apart::run(&control, around, rest, tick, &mut |stop| {
        calls.abandon().map(|name| (None, abandoned(stop, name, &control, &calls, started)))
    })
}

/// What the turn of a worker's session has from its parent.
pub(crate) struct InWorker<'a> {
    /// When it has to be over whatever the guest hears.
    pub(crate) ends: Instant,
    /// Where to keep its output for the parent, and its number there.
    pub(crate) journal: Option<(Journal, u64)>,
    /// Told just before the guest begins, for those who call the parent's functions for it.
    pub(crate) begins: &'a dyn Fn(&Control, &HostCalls),
}

/// Runs it in a worker: on this thread, which asks the parent for each call.
pub(super) fn in_worker(
    live: Box<Live>,
    functions: Option<Arc<dyn Relay>>,
    limits: Limits,
    turn: Turn<'_>,
    inside: InWorker<'_>,
) -> Result<Done> {
    let Turn { source, stdout, stderr, cancelled, tick, .. } = turn;
    let mut bounds = Bounds::new(&live, limits, [stdout, stderr], cancelled, None);
    bounds.control.deadline = bounds.control.deadline.min(inside.ends);
    bounds.calls = functions.map_or_else(HostCalls::default, HostCalls::relayed);
    if let Some((journal, number)) = inside.journal {
        bounds.control.output.keep_in(journal, number);
    }
    (inside.begins)(&bounds.control, &bounds.calls);
    let (underway, guest) = Underway::begin(live, source, bounds)?;
    let mut no_tick = || true;
    let tick = tick.unwrap_or(&mut no_tick);
    let ending = underway.supervisor().through(guest, tick);
    underway.end(ending)
}

/// A turn whose source the guest has no memory for, and that is not handed to it.
pub(crate) fn no_memory() -> TurnResult {
    returned(Said::no_memory(), None, false)
}

impl Underway {
    /// Hands the turn's bounds to the instance, and makes its guest.
    fn begin(
        mut live: Box<Live>,
        source: Bytes,
        bounds: Bounds,
    ) -> Result<(Self, Guest<impl Future<Output = wasmtime::Result<Ending>> + Send + 'static>)> {
        let runtime = runtime(!live.prepared.net.is_empty())?;
        signals_unsafe::keep();
        let Some(ticking) = ticker::Running::start() else {
            return Err(no_thread("the system starts no more threads for this process"));
        };
        let Bounds { limits, control, calls, .. } = &bounds;
        let store = &mut live.store;
        let state = store.data_mut();
        state.limiter.begin(limits.memory.0);
        state.output = control.output.clone();
        state.host_calls = calls.clone();
        state.control = control.clone();
        if let Some(fuel) = limits.fuel {
            store.set_fuel(fuel).map_err(|error| crate::link::broken(&error))?;
        }
        store.set_epoch_deadline(1);
        let desk = Arc::new(Mutex::default());
        let mut lent = Lent { live: Some(live), said: None, desk: desk.clone() };
        let guest = Guest::new(async move {
            let Lent { live, said, .. } = &mut lent;
            if let Some(Live { store, exports, .. }) = live.as_deref_mut() {
                *said = Some(eval(store, exports, &source).await?);
            }
            Ok(Ending::exited(0))
        });
        Ok((Self { bounds, runtime, desk, _ticking: ticking }, guest))
    }

    fn supervisor(&self) -> Supervisor<'_> {
        let Bounds { control, calls, .. } = &self.bounds;
        Supervisor { runtime: self.runtime, control, host_calls: calls }
    }

    /// What came of it.
    fn end(self, ending: Ending) -> Result<Done> {
        let Bounds { limits, control, soft, calls, started } = self.bounds;
        let Desk { live, said } = std::mem::take(&mut *desk(&self.desk));
        let ending = ending.after_network(control.network_stop());
        let Some(mut live) = live.filter(|live| live.store.is_ours()) else {
            return Err(Error::host(
                "this process was forked while this thread ran a guest",
                "the guest is in the parent process, and its threads are",
                "fork outside of turns: not in a signal handler, nor in a function that returns in the child",
            ));
        };
        let Live { store, exports, nowhere, .. } = &mut *live;
        let fuel = limits.fuel.map(|given| given.saturating_sub(store.get_fuel().unwrap_or(0)));
        let state = store.data_mut();
        let refused = state.limiter.refused().is_some();
        let (memory, denials) = (state.limiter.peak(), state.take_denials());
        soft.take_back(exports.memory.data_mut(&mut **store));
        forget(store.data_mut(), nowhere);
        let written = control.output.take();
        let usage = Usage { wall: started.elapsed(), cpu: control.cpu.used(), memory, output: written.bytes, fuel };
        let told = told(&soft, &limits, &usage);
        let result = match said {
            Some(said) if ending.outcome == Outcome::Exited && !written.truncated => {
                returned(said, told, soft.is_interrupted())
            }
            _ => {
                let ending = if refused { ending.after_refused_memory() } else { ending };
                ended(if written.truncated { ending.after_cut_output() } else { ending })
            }
        };
        let result = TurnResult { denials, ..with(result, written, usage, &calls) };
        Ok(((!result.poisoned).then_some(live), result))
    }
}

/// Lets go of what was the turn's alone: an idle session holds little, and nobody's pipe open.
fn forget(state: &mut State, nowhere: &Output) {
    state.output = nowhere.clone();
    state.control.output = nowhere.clone();
    state.host_calls = HostCalls::default();
    state.control.soft = None;
    state.control.outer = None;
    state.exchange.forget();
}

/// The limit of time that the guest was told of.
fn told(soft: &Soft, limits: &Limits, usage: &Usage) -> Option<&'static str> {
    match soft.told()? {
        Notice::Deadline if usage.wall >= limits.wall.0 => Some(Limit::Wall.name()),
        Notice::Deadline => Some(Limit::Cpu.name()),
        Notice::Interrupt => None,
    }
}

/// The guest came to an end of its own.
fn returned(said: Said, limit: Option<&'static str>, is_interrupted: bool) -> TurnResult {
    let mut result = TurnResult { limit, ..nothing(TurnOutcome::Returned) };
    match said.status {
        status::NONE => {}
        status::VALUE if said.too_large => {
            result.outcome = TurnOutcome::Raised;
            result.error = Some(TurnError {
                name: "ValueError".into(),
                message: "the value of the last expression is too large to hand over".into(),
                traceback: String::new(),
            });
        }
        status::VALUE if said.code != abi::ENCODED => {
            result.value = Some(TurnValue::Text(String::from_utf8_lossy(&said.value).into_owned()));
        }
        status::VALUE if cost(&said.value).is_ok() => result.value = Some(TurnValue::Encoded(said.value)),
        status::ERROR => {
            result.error = Some(TurnError::read(&said.error));
            result.outcome = match limit {
                Some(_) => TurnOutcome::Ended(Outcome::Limited),
                None if is_interrupted => TurnOutcome::Ended(Outcome::Cancelled),
                None => TurnOutcome::Raised,
            };
        }
        status::EXIT => {
            result.outcome = TurnOutcome::Ended(Outcome::Exited);
            result.exit_code = Some(said.code);
        }
        _ => {
            result.outcome = TurnOutcome::Ended(Outcome::Trapped);
            result.trap = Some("the pack broke the guest ABI".into());
            result.poisoned = true;
        }
    }
    result
}

/// The guest was stopped, or stopped itself: what it leaves is of no use.
fn ended(ending: Ending) -> TurnResult {
    TurnResult {
        exit_code: ending.exit_code,
        limit: ending.limit.map(Limit::name),
        trap: ending.trap,
        backtrace: ending.backtrace,
        raised: ending.raised,
        poisoned: true,
        ..nothing(TurnOutcome::Ended(ending.outcome))
    }
}

/// What can be told of a turn whose guest is still there, inside the function of that name.
fn abandoned(stop: Stop, name: String, control: &Control, calls: &HostCalls, started: Instant) -> TurnResult {
    let written = control.output.take();
    let usage = Usage {
        wall: started.elapsed(),
        cpu: control.cpu.used(),
        memory: calls.memory_peak(),
        output: written.bytes,
        fuel: None,
    };
    TurnResult { abandoned: Some(name), ..with(ended(Ending::stopped(stop)), written, usage, calls) }
}

fn with(result: TurnResult, written: Written, usage: Usage, calls: &HostCalls) -> TurnResult {
    TurnResult {
        stdout: written.stdout,
        stderr: written.stderr,
        truncated: written.truncated,
        usage,
        calls: calls.made(),
        calls_took: calls.took(),
        ..result
    }
}

fn nothing(outcome: TurnOutcome) -> TurnResult {
    TurnResult {
        outcome,
        value: None,
        error: None,
        exit_code: None,
        limit: None,
        trap: None,
        backtrace: None,
        stdout: Vec::new(),
        stderr: Vec::new(),
        truncated: false,
        usage: Usage::default(),
        calls: 0,
        calls_took: Duration::ZERO,
        denials: Vec::new(),
        raised: None,
        abandoned: None,
        poisoned: false,
    }
}

/// Hands the source in, runs it, and takes what the guest says: every pointer of it is checked.
async fn eval(store: &mut wasmtime::Store<State>, exports: &Exports, source: &Bytes) -> wasmtime::Result<Said> {
    let buffer = exports.buffer(source.len());
    let at = match buffer {
        Some(buffer) => buffer,
        None => {
            let len = u32::try_from(source.len()).map_err(|_| Stop::Limit(Limit::HostBytes))?;
            exports.alloc.call_async(&mut *store, len).await?
        }
    };
    let place =
        exports.memory.data_mut(&mut *store).get_mut(at as usize..).and_then(|rest| rest.get_mut(..source.len()));
    match place {
        Some(place) if at != 0 => place.copy_from_slice(source),
        // It has no memory for the source; nothing was touched.
        _ => return Ok(Said::no_memory()),
    }
    let result = exports.eval.call_async(&mut *store, (at, source.len() as u32, abi::WANT_VALUE)).await?;
    let said = Said::read(exports.memory.data(&*store), result, store.data().host_bytes);
    if buffer.is_none() {
        exports.free.call_async(&mut *store, at).await?;
    }
    said.ok_or_else(|| wasmtime::Error::msg("the pack broke the guest ABI"))
}

impl Said {
    fn read(memory: &[u8], at: u32, room: u64) -> Option<Self> {
        if at == 0 {
            return None;
        }
        let words = memory.get(at as usize..)?.first_chunk::<24>()?;
        let word = |index: usize| words.get(4 * index..4 * index + 4)?.first_chunk().map(|b| u32::from_le_bytes(*b));
        let piece = |at: u32, len: u32| memory.get(at as usize..)?.get(..len as usize);
        let (status, code) = (word(0)?, word(1)?);
        let mut said = Self { status, code, value: Vec::new(), error: Vec::new(), too_large: false };
        if status == status::VALUE {
            let value = piece(word(2)?, word(3)?)?;
            said.too_large =
                value.len() as u64 > room || (code == abi::ENCODED && cost(value).is_ok_and(|cost| cost > room));
            if !said.too_large {
                said.value = value.to_vec();
            }
        }
        if status == status::ERROR {
            said.error = piece(word(4)?, word(5)?.min(MAX_ERROR_BYTES))?.to_vec();
        }
        Some(said)
    }

    fn no_memory() -> Self {
        let error = b"MemoryError: there is no memory for the source text".to_vec();
        Self { status: status::ERROR, code: 1, value: Vec::new(), error, too_large: false }
    }
}
