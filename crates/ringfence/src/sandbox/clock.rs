//! Clocks: coarse unless granted precise, and never the host's uptime.

use std::time::{Duration, Instant, SystemTime};

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use crate::policy;

/// Step of a coarse clock.
pub const COARSE_STEP: Duration = Duration::from_millis(1);

/// The clocks of one run; the monotonic one starts with it, a step above zero: Go's runtime takes zero for a broken clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    step: u64,
}

impl Clock {
    /// Clocks as granted.
    pub fn new(grant: policy::Clock, started: Instant) -> Self {
        let step = match grant {
            policy::Clock::Coarse => COARSE_STEP.as_nanos() as u64,
            policy::Clock::Precise => 1,
        };
        Self { started, step }
    }

    /// The smallest visible step, in nanoseconds.
    pub fn resolution(&self) -> u64 {
        self.step
    }

    /// Time since a moment before the run started, in nanoseconds.
    pub fn monotonic(&self) -> u64 {
        self.coarsen(self.started.elapsed() + COARSE_STEP)
    }

    /// How long after the start of the run something was.
    pub fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.started)
    }

    /// Time since 1970, in nanoseconds.
    pub fn wall(&self) -> u64 {
        self.coarsen(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
    }

    fn coarsen(&self, time: Duration) -> u64 {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        nanos - nanos % self.step
    }
}

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(self.step)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.wall())
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        self.step
    }

    fn now(&self) -> u64 {
        self.monotonic()
    }
}
