//! The only place that makes a Python exception.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use ringfence::{Error, Parts};

use crate::call_unsafe::call;

/// The exception for an error of the core, by its code.
pub fn raise(py: Python<'_>, error: &Error) -> PyErr {
    static FROM_CODE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let Parts { what, why, fix } = error.parts();
    FROM_CODE
        .import(py, "ringfence.errors", "from_code")
        .and_then(|from_code| call(from_code, &(error.code(), what, why, fix).into_pyobject(py)?))
        .map_or_else(|broken| broken, PyErr::from_value)
}
