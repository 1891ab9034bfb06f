//! What the host keeps beside one guest.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use wasmtime::{StoreContextMut, UpdateDeadline};

use super::clock::Clock;
use super::denials::Denial;
use super::files::Files;
use super::host_calls::HostCalls;
use super::language::Exchange;
use super::limits::Limiter;
use super::network::Network;
use super::random::Random;
use super::soft::Soft;
use super::stdio::{Input, Output, Sink};
use super::stop::{Limit, Stop};
use super::thread_clock_unsafe::ThreadClock;
use super::wasi01::Descriptors;
use crate::policy::Limits;

/// The state of one run; a new one for each.
pub struct State {
    /// Memory as a total.
    pub limiter: Limiter,
    /// When and why to stop.
    pub control: Control,
    /// Files and what was refused.
    pub files: Files,
    /// Standard input.
    pub input: Input,
    /// Standard output and error.
    pub output: Output,
    /// Clocks.
    pub clock: Clock,
    /// Random numbers.
    pub random: Random,
    /// Arguments, each ending in NUL.
    pub args: Vec<Vec<u8>>,
    /// Variables as `NAME=value`, each ending in NUL.
    pub env: Arc<Vec<Vec<u8>>>,
    /// Memory the host may hold for the guest, in bytes.
    pub host_bytes: u64,
    /// Calls to functions of the host.
    pub host_calls: HostCalls,
    /// What a language pack may ask.
    pub exchange: Exchange,
    /// The descriptor table of WASI 0.1.
    pub descriptors: Descriptors,
}

/// What a store has that WASI 0.1 works on.
pub trait Holds: AsMut<State> + AsRef<State> + Send + 'static {}

impl<T: AsMut<State> + AsRef<State> + Send + 'static> Holds for T {}

/// When and why to stop: asked at every tick of a computing guest and inside long host calls.
#[derive(Clone, Debug)]
pub struct Control {
    /// When the run is over.
    pub deadline: Instant,
    /// Set by whoever gives up on the run.
    pub cancelled: Arc<AtomicBool>,
    /// Processor time of the guest, and what is allowed of it.
    pub cpu: Cpu,
    /// The run whose host function started this one: when that is over, so is this.
    pub outer: Option<Arc<Outer>>,
    /// Looked at for output past its limit, which some streams cannot end the run for by themselves.
    pub output: Output,
    /// Looked at where a run has network grants: its bytes are counted and its sends pushed on outside of any call.
    pub network: Option<Arc<Network>>,
    /// What the guest hears of before it is stopped.
    pub soft: Option<Arc<Soft>>,
}

impl Control {
    /// One of a guest that begins now, and may go on for so long after it has heard of the end of its time.
    pub(crate) fn of_guest(
        started: Instant,
        limits: &Limits,
        grace: Duration,
        cancelled: Arc<AtomicBool>,
        output: Output,
    ) -> Self {
        Self {
            // A hundred years at most, which every clock can add.
            deadline: started + limits.wall.0 + grace,
            cancelled,
            cpu: Cpu::new(started, limits.cpu.map(|cpu| cpu.0 + grace)),
            outer: None,
            output,
            network: None,
            soft: None,
        }
    }

    /// The same where another run's host function started it: it does not outlive that run.
    pub(crate) fn inside(self, outer: Option<Arc<Outer>>) -> Self {
        let deadline = outer.iter().map(|outer| outer.deadline).fold(self.deadline, Instant::min);
        Self { deadline, outer, ..self }
    }

    /// One for what no guest does.
    pub(crate) fn of_nobody() -> Self {
        let now = Instant::now();
        Self {
            deadline: now,
            cancelled: Arc::default(),
            outer: None,
            cpu: Cpu::new(now, None),
            output: Output::new(Sink::Discard, Sink::Discard, 0),
            network: None,
            soft: None,
        }
    }

    /// Whether the run has to end now.
    pub fn check(&self) -> Result<(), Stop> {
        self.cpu.look();
        self.check_from_outside()
    }

    /// The same, asked by a thread that the guest does not run on.
    pub fn check_from_outside(&self) -> Result<(), Stop> {
        if self.cancelled.load(Ordering::Relaxed) || self.outer.as_ref().is_some_and(|outer| outer.is_cancelled()) {
            return Err(Stop::Cancelled);
        }
        if Instant::now() >= self.deadline {
            return Err(Stop::Limit(Limit::Wall));
        }
        if self.soft.as_ref().is_some_and(|soft| soft.is_over()) {
            return Err(Stop::Cancelled);
        }
        if self.output.is_truncated() {
            return Err(Stop::Limit(Limit::Output));
        }
        if self.cpu.is_over() {
            return Err(Stop::Limit(Limit::Cpu));
        }
        self.network_stop().map_or(Ok(()), Err)
    }

    /// Why the run has to end, as far as its network knows.
    pub(crate) fn network_stop(&self) -> Option<Stop> {
        self.network.as_ref()?.stop()
    }

    /// Asks the guest to end by itself, after Ctrl-C; false when it cannot be asked, or was asked before.
    pub fn interrupt(&self) -> bool {
        self.soft.as_ref().is_some_and(|soft| soft.interrupt())
    }
}

/// A run that is inside a host function, seen from a run that was started there.
#[derive(Debug)]
pub struct Outer {
    /// When it is over.
    pub deadline: Instant,
    /// Runs around this one, itself included.
    pub depth: u32,
    cancelled: Arc<AtomicBool>,
    outer: Option<Arc<Outer>>,
}

impl Outer {
    /// That run, for those inside it.
    pub fn of(control: &Control) -> Self {
        let Control { deadline, cancelled, outer, .. } = control;
        let depth = outer.as_ref().map_or(0, |outer| outer.depth) + 1;
        Self { deadline: *deadline, depth, cancelled: cancelled.clone(), outer: outer.clone() }
    }

    /// Whether its caller gave up on it, or on a run around it.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.outer.as_ref().is_some_and(|outer| outer.is_cancelled())
    }
}

/// Processor time of the guest's thread.
///
/// Asking for it costs a system call, so it is first asked at the first look at the guest, which is at its first
/// wait or after 10 ms; until then the guest had the thread and its time is the time on the clock.
#[derive(Clone, Debug)]
pub struct Cpu {
    started: Instant,
    limit: Option<Duration>,
    looks: Arc<Looks>,
}

/// What was seen of it so far, by whoever looked.
#[derive(Debug, Default)]
struct Looks {
    first: OnceLock<FirstLook>,
    /// What was used before the guest went on on another thread, and the first look there.
    before: OnceLock<Duration>,
    moved: OnceLock<FirstLook>,
    /// What the run has used in another process, in nanoseconds.
    elsewhere: AtomicU64,
}

#[derive(Debug)]
struct FirstLook {
    /// Time on the clock before.
    before: Duration,
    /// The thread's clock, which any thread may read.
    clock: ThreadClock,
    /// What it showed then.
    thread: Duration,
}

impl Cpu {
    /// Counts from `started`, on this thread.
    pub fn new(started: Instant, limit: Option<Duration>) -> Self {
        Self { started, limit, looks: Arc::default() }
    }

    /// Counts from `started` again, on this thread, for the same guest's next call.
    pub(crate) fn restart(&mut self, started: Instant, limit: Option<Duration>) {
        self.started = started;
        self.limit = limit;
        match Arc::get_mut(&mut self.looks) {
            Some(looks) => *looks = Looks::default(),
            None => self.looks = Arc::default(),
        }
    }

    /// The guest is about to wait, or has computed for a while.
    pub fn look(&self) {
        if self.looks.moved.get().is_none() {
            self.looks.first.get_or_init(|| FirstLook::now(self.started.elapsed()));
        }
    }

    /// The guest has run on this thread, and goes on on another.
    pub fn leave(&self) {
        self.looks.before.get_or_init(|| self.used_here());
    }

    /// The guest begins now, or goes on, on this thread, which is not the one that waits for it.
    pub fn begin(&self) {
        self.looks.moved.get_or_init(|| FirstLook::now(self.looks.before.get().copied().unwrap_or_default()));
    }

    /// Notes what the run has used in another process so far.
    pub fn used_elsewhere(&self, time: Duration) {
        self.looks.elsewhere.store(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What the guest has used.
    pub fn used(&self) -> Duration {
        self.used_here().saturating_add(Duration::from_nanos(self.looks.elsewhere.load(Ordering::Relaxed)))
    }

    /// What of that was in this process.
    pub fn used_here(&self) -> Duration {
        match self.looks.moved.get().or(self.looks.first.get()) {
            Some(look) => look.before + look.clock.read().saturating_sub(look.thread),
            None => self.started.elapsed(),
        }
    }

    fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| self.used() >= limit)
    }
}

impl FirstLook {
    fn now(before: Duration) -> Self {
        let clock = ThreadClock::of_this_thread();
        Self { before, clock, thread: clock.read() }
    }
}

/// What a tick does to a computing guest: ends it, tells it to end, or lets the host look around and goes on.
pub fn at_tick<T: AsMut<State> + AsRef<State>>(
    mut context: StoreContextMut<'_, T>,
) -> wasmtime::Result<UpdateDeadline> {
    let state = context.data().as_ref();
    state.control.check()?;
    if state.control.soft.is_some()
        && let Some(memory) = state.descriptors.memory()
    {
        let (bytes, state) = memory.data_and_store_mut(&mut context);
        state.as_mut().soften(bytes);
    }
    Ok(UpdateDeadline::Yield(1))
}

impl State {
    /// What was refused since it was last asked, growths of memory last.
    pub fn take_denials(&mut self) -> Vec<Denial> {
        let mut denials = self.files.denials.take();
        if let Some(refused) = self.limiter.refused() {
            let what = format!("{} bytes in all", refused.wanted);
            let first = self.clock.since_start(refused.first);
            denials.push(Denial { kind: "memory", what, count: refused.count, first });
        }
        denials
    }

    /// Tells the guest what it has to be told by now; whether it did.
    pub fn soften(&mut self, memory: &mut [u8]) -> bool {
        self.control.soft.as_ref().is_some_and(|soft| soft.tell(memory, || self.control.cpu.used()))
    }
}

impl AsRef<Self> for State {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl AsMut<Self> for State {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn compute(time: Duration) {
        let clock = ThreadClock::of_this_thread();
        let end = clock.read() + time;
        while clock.read() < end {}
    }

    #[test]
    fn processor_time_of_both_threads_of_a_guest_counts() {
        for looked in [false, true] {
            let time = Duration::from_millis(20);
            let cpu = Cpu::new(Instant::now(), Some(2 * time));
            if looked {
                cpu.look();
            }
            compute(time);
            cpu.leave();
            let theirs = cpu.clone();
            let rest = std::thread::spawn(move || {
                theirs.begin();
                theirs.look();
                compute(time);
                (theirs.used(), theirs.is_over())
            });
            let (used, is_over) = rest.join().unwrap();
            assert!(used >= 2 * time && is_over, "{used:?}");
        }
    }
}
