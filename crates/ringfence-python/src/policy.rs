//! Policies: text in, a validated and opened policy out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::prelude::*;
use ringfence::load::cache_path;
use ringfence::policy::Document;
use ringfence::sandbox::files::Grants;

use crate::enter::enter;

/// A validated policy, its directories open.
#[pyclass(frozen, module = "ringfence._core")]
pub struct Policy {
    pub policy: ringfence::Policy,
    pub grants: Arc<Grants>,
}

/// What no guest may see.
fn private() -> Vec<PathBuf> {
    cache_path().into_iter().collect()
}

#[pymethods]
impl Policy {
    #[new]
    fn new(py: Python<'_>, document: &str, base: &str) -> PyResult<Self> {
        enter(py, || {
            let policy = ringfence::Policy::from_json(document, Path::new(base))?;
            let grants = Grants::open(&policy, &private())?;
            Ok(Self { policy, grants })
        })
    }

    #[staticmethod]
    fn from_toml(py: Python<'_>, text: &str, file: &str) -> PyResult<Self> {
        enter(py, || {
            let document = Document::from_toml(text, file)?;
            let grants = Grants::open_document(&document, &private())?;
            Ok(Self { policy: document.policy, grants })
        })
    }

    fn document(&self, py: Python<'_>) -> PyResult<String> {
        enter(py, || self.policy.to_json())
    }

    fn to_toml(&self, py: Python<'_>) -> PyResult<String> {
        enter(py, || self.policy.to_toml())
    }
}

/// The JSON schema of a policy.
#[pyfunction]
pub fn policy_schema() -> String {
    ringfence::Policy::schema()
}
