//! What comes after the instances of a plugin that new code was loaded for: calls of their functions go there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::{Inner, PluginFunction};

/// Beside the number of calls: whether any more begin.
const RETIRED: usize = 1 << (usize::BITS - 1);

/// How many calls are under way or wait for their turn, and whether more may begin.
#[derive(Default)]
pub struct Calls(AtomicUsize);

/// A call that has begun. The last one of instances that are retired closes them.
pub struct Begun<'a>(&'a Inner);

impl Inner {
    /// Begins a call, unless these instances are retired.
    pub fn begin(&self) -> Option<Begun<'_>> {
        let begun = Begun(self);
        (self.calls.0.fetch_add(1, Ordering::SeqCst) & RETIRED == 0).then_some(begun)
    }

    /// Lets no more calls begin; they are closed when the last of those that have has ended.
    pub fn retire(&self) {
        let begun = Begun(self);
        self.calls.0.fetch_add(1, Ordering::SeqCst);
        self.calls.0.fetch_or(RETIRED, Ordering::SeqCst);
        drop(begun);
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if self.0.calls.0.fetch_sub(1, Ordering::SeqCst) == RETIRED | 1 {
            Python::attach(|py| self.0.close(py));
        }
    }
}

/// The newest of a plugin's functions of one name. All that came before have this one object, so that none of them keeps
/// what came between.
#[pyclass(frozen, module = "ringfence._core")]
pub struct Newest(Mutex<Option<Py<PluginFunction>>>);

impl Newest {
    fn lock(&self) -> MutexGuard<'_, Option<Py<PluginFunction>>> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

#[pymethods]
impl Newest {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.0.try_lock() {
            Ok(function) => visit.call(&*function),
            Err(TryLockError::Poisoned(broken)) => visit.call(&*broken.into_inner()),
            // What is not shown is not collected.
            Err(TryLockError::WouldBlock) => Ok(()),
        }
    }

    fn __clear__(&self) {
        let gone = self.lock().take();
        drop(gone);
    }
}

impl PluginFunction {
    /// Has calls go to that one from the end of these instances on.
    pub fn followed_by(&self, py: Python<'_>, next: Py<PluginFunction>) -> PyResult<()> {
        let newest = match self.newest.get() {
            Some(newest) => newest.clone_ref(py),
            None => {
                let made = Py::new(py, Newest(Mutex::new(None)))?;
                self.newest.get_or_init(|| made).clone_ref(py)
            }
        };
        let _ = next.get().newest.set(newest.clone_ref(py));
        let before = newest.get().lock().replace(next);
        drop(before);
        Ok(())
    }

    /// What is called instead, where these instances are retired.
    pub fn newer(&self, py: Python<'_>) -> Option<Py<PluginFunction>> {
        let newest = self.newest.get()?.get().lock().as_ref().map(|newest| newest.clone_ref(py));
        newest.filter(|newest| !std::ptr::eq(newest.get(), self))
    }
}
