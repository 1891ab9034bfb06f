//! Plugins: components with their types as Python's, functions of both sides.

mod callbacks;
mod function;
mod numbers;
mod objects;
mod plan;
mod read;
mod resource;
mod source;
mod write;
mod wrong;

use std::sync::{Arc, Mutex};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use ringfence::RunResult;
use ringfence::plugin::{Returned, Tape};

use self::plan::Plan;
use crate::call_unsafe::call;
use crate::enter::enter;
use crate::imports;
use crate::result::Result;

pub use function::PluginFunction;
pub use resource::{PluginHandle, PluginMethod};
pub use source::PluginSource;

/// What a signal handler raised while a plugin's guest computed.
pub type Interrupt = Arc<Mutex<Option<PyErr>>>;

/// What all functions of a plugin share.
pub struct Inner {
    pub plugin: ringfence::plugin::Plugin,
    pub plan: Arc<Plan>,
    pub interrupt: Interrupt,
}

impl Inner {
    fn call(&self, py: Python<'_>, index: usize, tape: Tape) -> PyResult<Returned> {
        let placed = tape.placed().to_vec();
        let returned = enter(py, || self.plugin.call(index, tape));
        match &returned {
            Ok(Returned::Values(_)) => self.plan.objects.forget(&placed, true),
            Ok(Returned::Ended(_)) => self.plan.objects.clear(),
            Err(_) => self.plan.objects.forget(&placed, false),
        }
        self.interrupted()?;
        returned
    }

    /// Tells the guest of resources that were dropped, if it can be told now.
    fn settle(&self, py: Python<'_>) -> PyResult<()> {
        let returned = enter(py, || self.plugin.settle());
        if let Ok(Some(Returned::Ended(_))) = &returned {
            self.plan.objects.clear();
        }
        self.interrupted()?;
        match returned? {
            Some(Returned::Ended(result)) => Err(self.ended(py, *result)),
            Some(Returned::Values(_)) | None => Ok(()),
        }
    }

    /// Raises what a signal handler has raised meanwhile.
    fn interrupted(&self) -> PyResult<()> {
        let taken = self.interrupt.lock().unwrap_or_else(|broken| broken.into_inner()).take();
        taken.map_or(Ok(()), Err)
    }

    /// The exception for a call that did not end well: that of a function of the host, or what became of the guest.
    fn ended(&self, py: Python<'_>, result: RunResult) -> PyErr {
        static FAILED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        if let Some(exception) = result.raised.as_ref().and_then(|raised| imports::exception(py, raised)) {
            return exception;
        }
        if let Some(name) = &result.abandoned
            && let Err(warning) = imports::warn_abandoned(py, name)
        {
            return warning;
        }
        let made = FAILED.import(py, "ringfence._plugin", "failed").and_then(|failed| {
            let result = Bound::new(py, Result::of(py, result)?)?;
            call(failed, &(result,).into_pyobject(py)?)
        });
        made.map_or_else(|broken| broken, PyErr::from_value)
    }
}

/// One live instance of a component.
#[pyclass(frozen, module = "ringfence._core")]
pub struct Plugin {
    inner: Arc<Inner>,
    functions: Vec<Py<PluginFunction>>,
}

#[pymethods]
impl Plugin {
    /// Every function that it exports, in the order of its interfaces.
    fn functions(&self, py: Python<'_>) -> Vec<Py<PluginFunction>> {
        self.functions.iter().map(|function| function.clone_ref(py)).collect()
    }

    #[getter]
    fn poisoned(&self) -> Option<String> {
        self.inner.plugin.poisoned()
    }

    /// Calls, calls of the host, seconds in all and of the last, fuel in all and of the last, and most memory.
    fn usage(&self) -> (u64, u64, f64, f64, Option<u64>, Option<u64>, u64) {
        let usage = self.inner.plugin.usage();
        let (wall, last) = (usage.wall.as_secs_f64(), usage.last_wall.as_secs_f64());
        (usage.calls, usage.host_calls, wall, last, usage.fuel, usage.last_fuel, usage.memory)
    }

    fn restart(&self, py: Python<'_>) -> PyResult<()> {
        let restarted = enter(py, || self.inner.plugin.restart());
        if restarted.is_ok() {
            self.inner.plan.objects.clear();
        }
        self.inner.interrupted()?;
        restarted
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.inner.plugin.close());
        self.inner.plan.objects.clear();
    }
}
