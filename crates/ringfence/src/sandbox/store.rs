//! What the host keeps beside one guest.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use super::clock::Clock;
use super::files::Files;
use super::limits::Limiter;
use super::network::Network;
use super::random::Random;
use super::stdio::{Input, Output};
use super::stop::{Limit, Stop};
use super::wasi01::Descriptors;

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
    /// The descriptor table of WASI 0.1.
    pub descriptors: Descriptors,
}

/// When and why to stop: asked at every tick of a computing guest and inside long host calls.
#[derive(Clone, Debug)]
pub struct Control {
    /// When the run is over.
    pub deadline: Instant,
    /// Set by whoever gives up on the run.
    pub cancelled: Arc<AtomicBool>,
    /// Processor time of the guest, and what is allowed of it.
    pub cpu: Cpu,
    /// Looked at for output past its limit, which some streams cannot end the run for by themselves.
    pub output: Output,
    /// Looked at where a run has network grants: its bytes are counted and its sends pushed on outside of any call.
    pub network: Option<Arc<Network>>,
}

impl Control {
    /// Whether the run has to end now.
    pub fn check(&self) -> Result<(), Stop> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Stop::Cancelled);
        }
        if Instant::now() >= self.deadline {
            return Err(Stop::Limit(Limit::Wall));
        }
        if self.output.is_truncated() {
            return Err(Stop::Limit(Limit::Output));
        }
        if self.cpu.is_over() {
            return Err(Stop::Limit(Limit::Cpu));
        }
        if let Some(stop) = self.network.as_ref().and_then(|network| network.stop()) {
            return Err(stop);
        }
        Ok(())
    }

    /// What a tick does to a computing guest: ends it, or lets the host look around and goes on.
    pub fn at_tick(&self) -> wasmtime::Result<UpdateDeadline> {
        self.check()?;
        Ok(UpdateDeadline::Yield(1))
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
    first_look: Arc<OnceLock<FirstLook>>,
}

#[derive(Debug)]
struct FirstLook {
    /// Time on the clock before.
    before: Duration,
    /// The thread's time then.
    thread: Duration,
}

impl Cpu {
    /// Counts from `started`, on this thread.
    pub fn new(started: Instant, limit: Option<Duration>) -> Self {
        Self { started, limit, first_look: Arc::default() }
    }

    /// The guest is about to wait, or has computed for a while.
    pub fn look(&self) {
        self.first_look.get_or_init(|| FirstLook { before: self.started.elapsed(), thread: thread_cpu() });
    }

    /// What the guest has used.
    pub fn used(&self) -> Duration {
        match self.first_look.get() {
            Some(look) => look.before + thread_cpu().saturating_sub(look.thread),
            None => self.started.elapsed(),
        }
    }

    fn is_over(&self) -> bool {
        self.look();
        self.limit.is_some_and(|limit| self.used() >= limit)
    }
}

/// Processor time of this thread since it started.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
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
