//! What the machine has and what it lacks.

use pyo3::prelude::*;

use crate::enter::{enter, json};

/// Every finding, as JSON.
#[pyfunction]
pub fn doctor(py: Python<'_>) -> PyResult<String> {
    enter(py, || json(&ringfence::doctor::findings()))
}
