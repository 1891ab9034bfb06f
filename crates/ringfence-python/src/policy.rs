//! Policies: text in, a validated and opened policy out.

use std::path::Path;
use std::sync::Arc;

use pyo3::prelude::*;
use ringfence::load::cache_path;
use ringfence::sandbox::files::Grants;

use crate::enter::enter;

/// A validated policy, its directories open.
#[pyclass(frozen, module = "ringfence._core")]
pub struct Policy {
    pub policy: ringfence::Policy,
    pub grants: Arc<Grants>,
}

impl Policy {
    fn open(policy: ringfence::Policy) -> ringfence::Result<Self> {
        let private: Vec<_> = cache_path().into_iter().collect();
        let grants = Grants::open(&policy, &private)?;
        Ok(Self { policy, grants })
    }
}

#[pymethods]
impl Policy {
    #[new]
    fn new(py: Python<'_>, document: &str, base: &str) -> PyResult<Self> {
        enter(py, || Self::open(ringfence::Policy::from_json(document, Path::new(base))?))
    }

    #[staticmethod]
    fn from_toml(py: Python<'_>, text: &str, file: &str) -> PyResult<Self> {
        enter(py, || Self::open(ringfence::Policy::from_toml(text, file)?))
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
