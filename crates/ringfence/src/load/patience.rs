//! How long a caller waits for compiled code, and how it can give up sooner.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::load::Program;

/// Called about every 50 ms while a program compiles, with the time since it began; breaking abandons the wait.
pub type Watch<'a> = &'a dyn Fn(Duration) -> ControlFlow<()>;

/// Time between two looks at the clock and the caller.
pub(super) const STEP: Duration = Duration::from_millis(50);

/// A language is installed by the user, not brought by a stranger, and is larger than any program: of it the limit
/// `compile` is taken so many times.
const OF_A_LANGUAGE: u32 = 10;

/// One wait for compiled code: its program, its deadline and its watcher.
pub(super) struct Patience<'a> {
    program: &'a Program,
    limit: Duration,
    started: Instant,
    watch: Option<Watch<'a>>,
}

impl<'a> Patience<'a> {
    pub(super) fn new(program: &'a Program, limit: Duration, watch: Option<Watch<'a>>) -> Self {
        let limit = if program.is_language() { limit.saturating_mul(OF_A_LANGUAGE) } else { limit };
        Self { program, limit, started: Instant::now(), watch }
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// How long to wait before asking again; an error once the time is up or the caller has had enough.
    pub(super) fn next(&self) -> Result<Duration> {
        let waited = self.started.elapsed();
        let left = self.limit.saturating_sub(waited);
        if left.is_zero() {
            return Err(self.used_up());
        }
        match self.watch.map_or(ControlFlow::Continue(()), |watch| watch(waited)) {
            ControlFlow::Continue(()) => Ok(left.min(STEP)),
            ControlFlow::Break(()) => Err(Error::host(
                format!("compiling `{}` was abandoned", self.program.name()),
                "the caller asked for it",
                "run it again: what was compiled before is kept",
            )),
        }
    }

    /// The error for a program that takes too long.
    pub(super) fn used_up(&self) -> Error {
        let (times, of) = if self.program.is_language() { (OF_A_LANGUAGE, "ten times ") } else { (1, "") };
        let own = self.limit / times;
        let more = (own.as_secs_f64() * 2.0).ceil().max(1.0);
        Error::load(
            format!("cannot compile `{}`", self.program.name()),
            format!("it takes longer than {of}the limit `compile` of {own:?}"),
            format!("if you trust the program to be that large, raise the limit: `--compile {more}s`"),
        )
    }
}
