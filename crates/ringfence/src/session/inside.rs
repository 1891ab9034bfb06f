//! The session of a worker, which its parent drives by messages.

use std::sync::Arc;

use super::live::Live;
use super::turn::{self, InWorker};
use super::{Given, Turn, TurnResult};
use crate::error::{Error, Result};
use crate::policy::Limits;
use crate::run::Sandbox;
use crate::sandbox::host_calls::Relay;

/// One live instance; the limits of each of its turns, and the totals, are for the parent to know.
pub(crate) struct Inside {
    live: Option<Box<Live>>,
    functions: Option<Arc<dyn Relay>>,
}

impl Inside {
    /// Opens it; `name` is what the parent calls its language.
    pub(crate) fn open(
        sandbox: &Sandbox,
        name: &str,
        given: Given,
        functions: Option<Arc<dyn Relay>>,
        tick: &mut dyn FnMut() -> bool,
    ) -> Result<Self> {
        let live = Live::open(&sandbox.prepared()?, name, given, Arc::default(), Some(tick))?;
        Ok(Self { live: Some(Box::new(live)), functions })
    }

    /// Whether its guest hears of its end before it comes.
    pub(crate) fn hears(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.hears())
    }

    /// Runs one turn.
    pub(crate) fn eval(&mut self, turn: Turn<'_>, limits: Limits, inside: InWorker<'_>) -> Result<TurnResult> {
        let live = self.live.take().ok_or_else(|| {
            Error::host("no turn in this session", "its instance is gone", "please report this as a bug")
        })?;
        let (live, result) = turn::in_worker(live, self.functions.clone(), limits, turn, inside)?;
        self.live = live;
        Ok(result)
    }
}
