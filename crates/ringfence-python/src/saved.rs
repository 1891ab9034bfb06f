//! Saved snapshots: files that were proven, on their way to snapshots.

use std::path::PathBuf;

use pyo3::prelude::*;
use ringfence::session::{SavedSnapshot, Saving, SnapshotKey};

use crate::enter::{enter, json};
use crate::sandbox::Sandbox;
use crate::session::Snapshot;

/// A file of a snapshot that was proven.
#[pyclass(frozen, module = "ringfence._core")]
pub struct Saved {
    saved: SavedSnapshot,
}

pub fn key_of(key: Option<&[u8]>) -> ringfence::Result<SnapshotKey> {
    key.map_or_else(SnapshotKey::of_installation, SnapshotKey::given)
}

#[pymethods]
impl Saved {
    #[new]
    fn new(py: Python<'_>, path: PathBuf, key: Option<&[u8]>) -> PyResult<Self> {
        enter(py, || Ok(Self { saved: SavedSnapshot::read(&path, &key_of(key)?)? }))
    }

    /// What it tells of itself, as JSON.
    fn facts(&self, py: Python<'_>) -> PyResult<String> {
        enter(py, || json(self.saved.facts()))
    }

    #[getter]
    fn file_bytes(&self) -> usize {
        self.saved.file_bytes()
    }

    fn check_program(&self, py: Python<'_>, digest: &str) -> PyResult<()> {
        enter(py, || self.saved.check_program(digest))
    }

    /// A snapshot for forks under the sandbox's policy; each is given its functions when it is made.
    fn open(&self, py: Python<'_>, sandbox: &Sandbox, allow_wider: bool) -> PyResult<Snapshot> {
        let snapshot = enter(py, || self.saved.open(&sandbox.sandbox, None, allow_wider))?;
        Ok(Snapshot { snapshot, room: sandbox.sandbox.policy().limits.host_bytes.0 })
    }
}

pub fn save(
    py: Python<'_>,
    snapshot: &ringfence::session::Snapshot,
    path: &std::path::Path,
    key: Option<&[u8]>,
    (language, pack, note): (&str, &str, &str),
) -> PyResult<()> {
    enter(py, || snapshot.save(path, &Saving { key: &key_of(key)?, language, pack, note }))
}

/// Where what lasts of this user's is kept.
#[pyfunction]
pub fn state_path() -> Option<PathBuf> {
    ringfence::load::state_path()
}
