//! Sandboxes in workers whose runs begin where an export returned: one worker calls it and writes what it left, others go
//! on from there. What is between them is the file of a session on its way, with the same checks.

use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::ask::GRACE;
use super::carried::{Carried, Wrote, carry};
use super::client::{Client, Taken};
use super::protocol::After;
use crate::apart;
use crate::error::{Error, Result};
use crate::given::environment;
use crate::load::{self, Watch};
use crate::prepared::{Prepared, Recipe, profile};
use crate::result::{Outcome, RunResult};
use crate::run::Run;
use crate::sandbox::engine::{Engines, Profile};
use crate::text::quote;

/// What an export left, and what every run calls that goes on from there.
pub(super) struct Begun {
    carried: Carried,
    entry: String,
}

impl Begun {
    pub(super) fn after(&self) -> After {
        After { entry: self.entry.clone(), length: self.carried.handle().1 }
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.carried.handle().0
    }
}

/// What became of a capture, once its run has returned.
type Caught = Arc<Mutex<Option<Result<Carried>>>>;

/// A run that is captured where an export has returned.
pub(super) struct Until {
    pub(super) export: String,
    /// The program's name.
    name: String,
    caught: Caught,
}

impl Client {
    /// The same workers for the same program, compiled to be captured; and what is known of that here.
    pub(crate) fn capturing(&self, recipe: &Recipe, watch: Option<Watch<'_>>) -> Result<(Self, Arc<Prepared>)> {
        let Some(program) = &recipe.program else {
            return Err(Error::host(
                "no snapshot in a worker",
                "its program is not there",
                "please report this as a bug",
            ));
        };
        let engines = Engines::of(Profile { captured: true, concurrency: false, ..profile(&recipe.policy, false) })?;
        let (loaded, image) = load::load_for_worker(program, &engines, recipe.policy.limits.compile.0, watch)?;
        let prepared = recipe.link(loaded, engines, program.name(), environment(&recipe.policy))?;
        let binding = Arc::new(self.binding.capturing());
        Ok((Self::of(binding, program, image, &prepared, None), prepared))
    }

    /// What every run calls, where they begin after something.
    pub(crate) fn entry(&self) -> Option<&str> {
        self.program.begun.as_ref().map(|begun| &*begun.entry)
    }

    /// Runs an export of the program of that name, and gives what it left where it returned.
    pub(crate) fn catch(
        &self,
        (name, export): (&str, String),
        run: Run<'_>,
    ) -> Result<(RunResult, Option<Result<Carried>>)> {
        let caught = Caught::default();
        let until = Until { export, name: name.to_owned(), caught: caught.clone() };
        let result = self.run_until(run, apart::outer()?, Some(until))?;
        let caught = caught.lock().unwrap_or_else(|broken| broken.into_inner()).take();
        Ok((result, caught))
    }

    /// The same program, whose runs go on from what was left and call that export.
    pub(crate) fn beginning(&self, carried: Carried, entry: String) -> Self {
        let begun = Some(Arc::new(Begun { carried, entry }));
        let mut program = (*self.program).clone();
        program.begun = begun;
        let program = Arc::new(program);
        Self { binding: self.binding.clone(), program, functions: self.functions.clone() }
    }
}

impl Taken {
    /// Has the worker write what the run left, where that is wanted and it returned; why the worker has to go otherwise.
    pub(super) fn caught(&mut self, result: &RunResult) -> std::result::Result<(), String> {
        let Some(Until { export, name, caught }) = self.until.take() else { return Ok(()) };
        if result.outcome != Outcome::Exited || result.exit_code != Some(0) {
            return Ok(());
        }
        let until = Instant::now() + self.limits.wall.0 + GRACE;
        let mut look = || match Instant::now() < until {
            true => std::ops::ControlFlow::Continue(()),
            false => std::ops::ControlFlow::Break(()),
        };
        let what = || format!("no snapshot of `{name}` after `{}`", quote(&export));
        let done = match carry(&mut self.worker, self.limits.memory.0, &mut look) {
            Wrote::Carried(carried) => Ok(carried),
            Wrote::Not(why, fix) => Err(Error::load(what(), why, fix)),
            Wrote::Failed(error) => Err(error),
            Wrote::Gone(why) => return Err(why),
        };
        *caught.lock().unwrap_or_else(|broken| broken.into_inner()) = Some(done);
        Ok(())
    }
}
