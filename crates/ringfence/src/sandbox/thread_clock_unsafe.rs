//! Processor time of a thread, asked for by another: the standard library has no word for it.
#![allow(unsafe_code)]

use std::time::Duration;

/// The clock of one thread.
#[derive(Clone, Copy, Debug)]
pub struct ThreadClock(libc::clockid_t);

impl ThreadClock {
    /// That of the calling thread.
    pub fn of_this_thread() -> Self {
        let mut clock = libc::CLOCK_THREAD_CPUTIME_ID;
        // SAFETY: `pthread_self` is always valid for its own thread, and `clock` is a place for the answer. On
        // failure `clock` stays what it is, the clock of whichever thread asks.
        let _ = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) };
        Self(clock)
    }

    /// The time it shows; zero when its thread is gone.
    pub fn read(self) -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a place for the answer; a clock that is gone is an error, which leaves it zero.
        let _ = unsafe { libc::clock_gettime(self.0, &raw mut time) };
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}
