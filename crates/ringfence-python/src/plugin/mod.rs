//! Plugins: components with their types as Python's, functions of both sides.

mod arguments;
mod callbacks;
mod function;
mod made;
mod memory;
mod numbers;
mod objects;
mod plan;
mod read;
mod resource;
mod snapshot;
mod source;
mod stream;
mod succession;
mod vectorcall_unsafe;
mod write;
mod wrong;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, ThreadId};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::{PyTraverseError, PyVisit};
use ringfence::RunResult;
use ringfence::plugin::{Asked, Instances, Returned, Tape, World};

use self::made::Made;
use self::succession::Calls;
use crate::call_unsafe::call;
use crate::enter::enter;
use crate::imports;
use crate::result::Result;
use crate::yours::Yours;

pub use function::PluginFunction;
pub use memory::{PluginGlobal, PluginMemory};
pub use plan::Plan;
pub use resource::{PluginHandle, PluginMethod};
pub use snapshot::{PluginSnapshot, SavedPlugin};
pub use source::PluginSource;
pub use stream::PluginStream;

/// What a signal handler raised while a plugin's guest computed, and on which thread.
#[derive(Default)]
pub struct Interrupt {
    /// So that a call need not lock what is empty: whoever raised it for a thread is that thread.
    is_there: AtomicBool,
    raised: Mutex<Option<(ThreadId, PyErr)>>,
}

impl Interrupt {
    fn put(&self, error: PyErr) {
        *self.lock() = Some((thread::current().id(), error));
        self.is_there.store(true, Ordering::Relaxed);
    }

    /// Raises it, on its thread. Another thread's is left for it.
    fn check(&self) -> PyResult<()> {
        if !self.is_there.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut raised = self.lock();
        let mine = raised.take_if(|(thread, _)| *thread == thread::current().id());
        self.is_there.store(raised.is_some(), Ordering::Relaxed);
        mine.map_or(Ok(()), |(_, error)| Err(error))
    }

    fn lock(&self) -> MutexGuard<'_, Option<(ThreadId, PyErr)>> {
        self.raised.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

/// What all functions of a plugin share.
pub struct Inner {
    pub plugin: Instances,
    pub plan: Arc<Plan>,
    pub world: Arc<World>,
    pub interrupt: Arc<Interrupt>,
    pub calls: Calls,
}

impl Inner {
    /// Frees its instances. Calls that are under way go on, and are the last.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.plugin.close());
        self.plan.objects.clear();
    }

    fn call(&self, py: Python<'_>, index: usize, tape: Tape, asked: &Asked) -> PyResult<Returned> {
        let placed = tape.placed().to_vec();
        let returned = enter(py, || self.plugin.call(index, tape, asked));
        match &returned {
            Ok(Returned::Values(_)) => self.plan.objects.forget(&placed, true),
            Ok(Returned::Ended(_)) => self.plan.objects.clear(),
            Err(_) => self.plan.objects.forget(&placed, false),
        }
        self.interrupt.check()?;
        returned
    }

    /// Tells the guest of resources that were dropped, if it can be told now.
    fn settle(&self, py: Python<'_>) -> PyResult<()> {
        let returned = enter(py, || self.plugin.settle());
        if let Ok(Some(Returned::Ended(_))) = &returned {
            self.plan.objects.clear();
        }
        self.interrupt.check()?;
        match returned? {
            Some(Returned::Ended(result)) => Err(self.ended(py, *result)),
            Some(Returned::Values(_)) | None => Ok(()),
        }
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

/// The live instances of a component: one, or a pool.
#[pyclass(frozen, module = "ringfence._core")]
pub struct Plugin {
    inner: Arc<Inner>,
    functions: Vec<Py<PluginFunction>>,
    /// What a copy of it is made of, where there may be one.
    made: Option<Arc<Made>>,
    yours: Py<Yours>,
}

#[pymethods]
impl Plugin {
    /// Every function that it exports, in the order of its interfaces.
    fn functions(&self, py: Python<'_>) -> Vec<Py<PluginFunction>> {
        self.functions.iter().map(|function| function.clone_ref(py)).collect()
    }

    /// Every memory that it exports, in their order.
    fn memories(&self, py: Python<'_>) -> Vec<PluginMemory> {
        let of = |index| PluginMemory { inner: self.inner.clone(), index, yours: self.yours.clone_ref(py) };
        (0..self.inner.world.memories.len()).map(of).collect()
    }

    /// Every global that it exports and that is a number, in their order.
    fn globals(&self, py: Python<'_>) -> Vec<PluginGlobal> {
        let of = |index| PluginGlobal { inner: self.inner.clone(), index, yours: self.yours.clone_ref(py) };
        (0..self.inner.world.globals.len()).map(of).collect()
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

    /// Takes what it is, to fork from later.
    fn snapshot(&self, py: Python<'_>) -> PyResult<PluginSnapshot> {
        let snapshot = enter(py, || self.inner.plugin.snapshot())?;
        let made = self.made.clone();
        let made = made.ok_or_else(|| PyRuntimeError::new_err("a snapshot of what is no module"))?;
        Ok(PluginSnapshot { snapshot, made, yours: self.yours.clone_ref(py) })
    }

    fn restart(&self, py: Python<'_>) -> PyResult<()> {
        let restarted = enter(py, || self.inner.plugin.restart());
        if restarted.is_ok() {
            self.inner.plan.objects.clear();
        }
        self.inner.interrupt.check()?;
        restarted
    }

    fn close(&self, py: Python<'_>) {
        self.inner.close(py);
    }

    #[getter]
    fn closed(&self) -> bool {
        self.inner.plugin.is_closed()
    }

    /// Has calls of its functions go to these, those that have begun excepted, and closes it after the last of them.
    fn retire(&self, py: Python<'_>, after: Vec<Option<Py<PluginFunction>>>) -> PyResult<()> {
        for (function, next) in self.functions.iter().zip(after) {
            if let Some(next) = next {
                function.get().followed_by(py, next)?;
            }
        }
        self.inner.retire();
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        self.functions.iter().try_for_each(|function| visit.call(function))?;
        visit.call(&self.yours)
    }
}
