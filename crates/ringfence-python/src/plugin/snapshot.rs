//! What a plugin was between two calls, for Python.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use ringfence::plugin::{Instances, SavedPlugin as Saved, Snapshot};

use super::Plugin;
use super::made::Made;
use crate::enter::{enter, json};
use crate::saved::key_of;
use crate::yours::Yours;

/// What plugins are forked from.
#[pyclass(frozen, module = "ringfence._core")]
pub struct PluginSnapshot {
    pub snapshot: Snapshot,
    pub made: Arc<Made>,
    pub yours: Py<Yours>,
}

#[pymethods]
impl PluginSnapshot {
    /// Writes it to a file.
    fn save(&self, py: Python<'_>, path: PathBuf, key: Option<&[u8]>) -> PyResult<()> {
        enter(py, || self.snapshot.save(&path, &key_of(key)?))
    }

    /// Plugins that go on from here.
    fn fork(&self, py: Python<'_>, count: usize) -> PyResult<Vec<Plugin>> {
        let forks = enter(py, || self.snapshot.fork(count));
        self.made.interrupt.check()?;
        forks?.into_iter().map(|fork| self.made.plugin(py, Instances::One(fork), &self.yours)).collect()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.yours)
    }
}

/// A file of a snapshot of a plugin that was proven.
#[pyclass(frozen, module = "ringfence._core")]
pub struct SavedPlugin {
    pub saved: Saved,
}

#[pymethods]
impl SavedPlugin {
    #[new]
    fn new(py: Python<'_>, path: PathBuf, key: Option<&[u8]>) -> PyResult<Self> {
        enter(py, || Ok(Self { saved: Saved::read(&path, &key_of(key)?)? }))
    }

    /// What it tells of itself, as JSON.
    fn facts(&self, py: Python<'_>) -> PyResult<String> {
        enter(py, || json(self.saved.facts()))
    }

    fn check_program(&self, py: Python<'_>, digest: &str) -> PyResult<()> {
        enter(py, || self.saved.check_program(digest))
    }
}

/// What forks of another source go on from.
#[derive(FromPyObject)]
pub enum Begun<'py> {
    Snapshot(PyRef<'py, PluginSnapshot>),
    Saved(PyRef<'py, SavedPlugin>),
}
