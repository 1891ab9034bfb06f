//! What the host keeps beside one guest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use super::clock::Clock;
use super::files::Files;
use super::limits::Limiter;
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
    /// The processor time of this thread at which the run is over.
    pub cpu_deadline: Option<Duration>,
    /// Looked at for output past its limit, which some streams cannot end the run for by themselves.
    pub output: Output,
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
        match self.cpu_deadline {
            Some(deadline) if thread_cpu() >= deadline => Err(Stop::Limit(Limit::Cpu)),
            _ => Ok(()),
        }
    }

    /// What a tick does to a computing guest: ends it, or lets the host look around and goes on.
    pub fn at_tick(&self) -> wasmtime::Result<UpdateDeadline> {
        self.check()?;
        Ok(UpdateDeadline::Yield(1))
    }
}

/// Processor time of this thread since it started.
pub fn thread_cpu() -> Duration {
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
