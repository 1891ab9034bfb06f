//! What a plugin was between two calls, for Python.

use std::sync::Arc;

use pyo3::prelude::*;
use ringfence::plugin::{Instances, Snapshot};

use super::made::Made;
use super::{Plugin, interrupted};
use crate::enter::enter;

/// What plugins are forked from.
#[pyclass(frozen, module = "ringfence._core")]
pub struct PluginSnapshot {
    pub snapshot: Snapshot,
    pub made: Arc<Made>,
}

#[pymethods]
impl PluginSnapshot {
    /// Plugins that go on from here.
    fn fork(&self, py: Python<'_>, count: usize) -> PyResult<Vec<Plugin>> {
        let forks = enter(py, || self.snapshot.fork(count));
        interrupted(&self.made.interrupt)?;
        forks?.into_iter().map(|fork| self.made.plugin(py, Instances::One(fork))).collect()
    }
}
