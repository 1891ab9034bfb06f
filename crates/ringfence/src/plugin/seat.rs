//! Where a plugin's instance sits between calls: one call at a time takes it, and puts it back or leaves why it is gone.

use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::place::Instance;
use super::{Plugin, Usage};
use crate::error::{Error, Result};
use crate::process_unsafe::generation;
use crate::result::RunResult;

/// How long a call waits for an instance that is being told of what was dropped.
const SETTLING_WAIT: Duration = Duration::from_millis(500);

/// An instance that was taken, what it has used, and where it goes back to.
pub(super) type Had<'a> = (Instance, Usage, Back<'a>);

/// What is where a plugin's instance sits.
pub(super) enum Seat {
    Free(Instance, Usage),
    /// A call has it.
    Taken(Usage),
    /// It is gone, and why.
    Poisoned(String, Usage),
    Closed,
}

impl Plugin {
    pub(super) fn seat(&self) -> MutexGuard<'_, Seat> {
        self.seat.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    pub(super) fn check_process(&self) -> Result<()> {
        if self.generation == generation() {
            return Ok(());
        }
        Err(self.refused("this process was forked, and the plugin is in its parent", "make a new one in this process"))
    }

    /// Takes the instance; one that is being told of what was dropped is waited for, but not for ever: what it does then
    /// may call functions of the host that ask for it.
    pub(super) fn take(&self) -> Result<Had<'_>> {
        self.once_told(|| self.take_now())
    }

    /// Asks, and again as long as the answer is that the instance is being told.
    pub(super) fn once_told<T>(&self, ask: impl Fn() -> Result<Option<T>>) -> Result<T> {
        if let Some(had) = ask()? {
            return Ok(had);
        }
        let until = Instant::now() + SETTLING_WAIT;
        // Nobody else begins to tell it meanwhile: whoever has it next does that first.
        self.wanted.fetch_add(1, Ordering::SeqCst);
        let had = loop {
            match ask() {
                Ok(None) if Instant::now() < until => std::thread::yield_now(),
                Ok(None) => break Err(self.busy()),
                Ok(Some(had)) => break Ok(had),
                Err(error) => break Err(error),
            }
        };
        self.wanted.fetch_sub(1, Ordering::SeqCst);
        had
    }

    /// Takes the instance to tell it of what was dropped, if it is free, there is anything to tell, and nobody waits.
    pub(super) fn take_to_tell(&self) -> Option<Had<'_>> {
        let mut seat = self.seat();
        let usage = match &*seat {
            Seat::Free(live, usage) if live.life().has_dropped() => *usage,
            _ => return None,
        };
        if self.wanted.load(Ordering::SeqCst) > 0 {
            return None;
        }
        // Told with the seat in hand, so that who finds that taken knows by whom.
        self.settling.fetch_add(1, Ordering::SeqCst);
        match std::mem::replace(&mut *seat, Seat::Taken(usage)) {
            Seat::Free(live, usage) => Some((live, usage, Back { plugin: self, usage, seat: None })),
            other => {
                *seat = other;
                self.settling.fetch_sub(1, Ordering::SeqCst);
                None
            }
        }
    }

    /// Takes the instance; none where it is being told of what was dropped.
    fn take_now(&self) -> Result<Option<Had<'_>>> {
        self.take_unless(|| if self.is_told() { Ok(None) } else { Err(self.busy()) })
    }

    /// Takes the instance; none where anybody has it.
    pub(super) fn take_free(&self) -> Result<Option<Had<'_>>> {
        self.take_unless(|| Ok(None))
    }

    /// Takes the instance, or asks with the seat in hand what it is that somebody has it.
    fn take_unless<'a>(&'a self, taken: impl FnOnce() -> Result<Option<Had<'a>>>) -> Result<Option<Had<'a>>> {
        self.check_process()?;
        let mut seat = self.seat();
        let usage = match &*seat {
            Seat::Free(_, usage) => *usage,
            Seat::Taken(_) => return taken(),
            Seat::Poisoned(why, _) => {
                return Err(self.refused(why, "call `restart()`: it begins anew, without what it had"));
            }
            Seat::Closed => return Err(self.gone()),
        };
        match std::mem::replace(&mut *seat, Seat::Taken(usage)) {
            Seat::Free(live, usage) => Ok(Some((live, usage, Back { plugin: self, usage, seat: None }))),
            other => {
                *seat = other;
                Err(self.busy())
            }
        }
    }

    /// Whether the instance, if it is taken, is being told of what was dropped.
    pub(super) fn is_told(&self) -> bool {
        self.settling.load(Ordering::SeqCst) > 0
    }

    pub(super) fn busy(&self) -> Error {
        self.refused(
            "a call is under way, and a plugin has one at a time",
            "wait for its end, or make one plugin for each thread and for each function that calls into it",
        )
    }

    pub(super) fn gone(&self) -> Error {
        self.refused("it was closed", "make a new one")
    }

    pub(super) fn refused(&self, why: &str, fix: &str) -> Error {
        Error::plugin(format!("no call of the plugin `{}`", self.shared.name), why, fix)
    }
}

/// Whatever happens to a call, its seat does not stay taken.
pub(super) struct Back<'a> {
    pub(super) plugin: &'a Plugin,
    pub(super) usage: Usage,
    pub(super) seat: Option<Seat>,
}

impl Back<'_> {
    /// Nothing was done with it.
    pub(super) fn put_back(&mut self, live: Instance, usage: Usage) {
        self.seat = Some(Seat::Free(live, usage));
    }
}

impl Drop for Back<'_> {
    fn drop(&mut self) {
        if self.plugin.generation != generation() {
            return;
        }
        let seat = self.seat.take();
        let seat = seat.unwrap_or_else(|| Seat::Poisoned("its last call could not be made".into(), self.usage));
        let is_closed = self.plugin.closed.load(Ordering::SeqCst);
        let gone = std::mem::replace(&mut *self.plugin.seat(), if is_closed { Seat::Closed } else { seat });
        drop(gone);
    }
}

/// Why a plugin is poisoned, after a call that ended so.
pub(super) fn why(result: &RunResult) -> String {
    let how = match (&result.raised, &result.abandoned, result.limit, &result.trap) {
        (Some(raised), ..) => format!("ended as {}", raised.why),
        (_, Some(name), ..) => format!("was left inside `{name}`, which did not come back in time"),
        (_, _, Some(limit), _) => format!("reached the limit `{limit}`"),
        (_, _, _, Some(trap)) => format!("trapped: {trap}"),
        _ => format!("ended as {}", result.outcome.name()),
    };
    format!("its last call {how}")
}
