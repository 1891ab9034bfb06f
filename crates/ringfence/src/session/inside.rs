//! The session of a worker, which its parent drives by messages.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::captured::{self, Caught};
use super::handed;
use super::live::Live;
use super::turn::{self, InWorker};
use super::{Given, Turn, TurnResult};
use crate::error::{Error, Result};
use crate::policy::Limits;
use crate::run::Sandbox;
use crate::sandbox::host_calls::Relay;

/// What came of writing a session to a file.
pub(crate) enum Handed {
    /// So much was written.
    Written(u64),
    /// It cannot be captured; it goes on.
    Not(Error),
    /// Its guest did not return, and why.
    Gone(String),
}

/// One live instance; the limits of each of its turns, and the totals, are for the parent to know.
pub(crate) struct Inside {
    name: String,
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
        Ok(Self { name: name.to_owned(), live: Some(Box::new(live)), functions })
    }

    /// Opens one that goes on from where another worker's was, as that has written it to a file.
    pub(crate) fn copy(
        sandbox: &Sandbox,
        name: &str,
        (file, length): (BorrowedFd<'_>, u64),
        given: Given,
        functions: Option<Arc<dyn Relay>>,
        tick: &mut dyn FnMut() -> bool,
    ) -> Result<Self> {
        let prepared = sandbox.prepared()?;
        let captured = handed::handed(prepared.clone(), name, file, length).map_err(|error| {
            if error.raw_os_error().is_some() {
                return captured::no_memory(&error);
            }
            Error::policy(
                format!("no fork of this session of `{name}`"),
                error.to_string(),
                "raise `memory` in the policy's limits, or open a session",
            )
        })?;
        let given = Given { secrets: captured.knowing(given.secrets)?, ..given };
        let live = captured.fork(&prepared, given, Arc::default(), tick)?;
        Ok(Self { name: name.to_owned(), live: Some(Box::new(live)), functions })
    }

    /// Writes what it is to a file that has so much room.
    pub(crate) fn capture(
        &mut self,
        (file, room): (BorrowedFd<'_>, u64),
        tick: &mut dyn FnMut() -> bool,
    ) -> Result<Handed> {
        let Some(live) = self.live.as_deref_mut() else { return Ok(Handed::Gone("its instance is gone".into())) };
        match captured::capture(live, &self.name, Arc::default(), tick)? {
            Caught::Not(error) => Ok(Handed::Not(error)),
            Caught::Gone(why) => {
                self.live = None;
                Ok(Handed::Gone(why))
            }
            Caught::Captured(captured) => Ok(match handed::hand_over(&captured, file, room) {
                Ok(length) => Handed::Written(length),
                Err(error) => Handed::Not(Error::session(
                    format!("no fork of this session of `{}`", self.name),
                    error.to_string(),
                    "free some memory, or hold less in the session",
                )),
            }),
        }
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
