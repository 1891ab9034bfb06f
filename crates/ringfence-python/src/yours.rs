//! What a guest reaches of its host's: functions and objects of Python's, which may lead back to its sandbox or plugin.

use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::plugin::Plan;

/// Functions for imports, by their places; none where nobody gave it, or once nobody has what is given it.
pub struct Functions {
    given: Mutex<Vec<Option<Py<PyAny>>>>,
    /// Which there were when it was loaded.
    is_given: Vec<bool>,
}

impl Functions {
    pub fn new(given: Vec<Option<Py<PyAny>>>) -> Self {
        let is_given = given.iter().map(Option::is_some).collect();
        Self { given: Mutex::new(given), is_given }
    }

    /// Whether somebody gave it.
    pub fn is_given(&self, index: usize) -> bool {
        self.is_given.get(index).copied().unwrap_or(false)
    }

    /// The function, while there is one.
    pub fn get(&self, py: Python<'_>, index: usize) -> Option<Py<PyAny>> {
        self.lock().get(index)?.as_ref().map(|function| function.clone_ref(py))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Py<PyAny>>>> {
        self.given.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    fn clear(&self) {
        let gone = std::mem::take(&mut *self.lock());
        // Their end may be code of anybody's, not under our lock.
        drop(gone);
    }
}

/// Shows Python's collector what the core has. Each of Python's objects that guests are run or called by has this one, and
/// it is the only one that shows it: what is shown twice would count as two references.
#[pyclass(frozen, weakref, module = "ringfence._core")]
pub struct Yours {
    functions: Arc<Functions>,
    /// Where the guest is a plugin's: it has objects, too.
    plan: Option<Arc<Plan>>,
}

impl Yours {
    pub fn new(functions: Arc<Functions>, plan: Option<Arc<Plan>>) -> Self {
        Self { functions, plan }
    }
}

#[pymethods]
impl Yours {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let functions = match self.functions.given.try_lock() {
            Ok(functions) => functions,
            Err(TryLockError::Poisoned(broken)) => broken.into_inner(),
            // What is not shown is not collected.
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        functions.iter().try_for_each(|function| visit.call(function))?;
        self.plan.as_ref().map_or(Ok(()), |plan| plan.objects.traverse(&visit))
    }

    fn __clear__(&self) {
        self.functions.clear();
        if let Some(plan) = &self.plan {
            plan.objects.clear();
        }
    }
}
