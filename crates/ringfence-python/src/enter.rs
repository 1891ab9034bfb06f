//! The only place that lets go of the interpreter.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::marker::Ungil;
use pyo3::prelude::*;
use ringfence::Error;
use serde_json::to_string;

use crate::raise::raise;

/// Works without the interpreter; an error or a panic of ours comes back as an exception.
pub fn enter<T: Ungil + Send>(
    py: Python<'_>,
    work: impl FnOnce() -> ringfence::Result<T> + Ungil + Send,
) -> PyResult<T> {
    let done = py.detach(|| catch_unwind(AssertUnwindSafe(work)));
    done.unwrap_or_else(|_| Err(defect())).map_err(|error| raise(py, &error))
}

/// For a panic of ours.
pub fn defect() -> Error {
    Error::host("Ringfence failed", "a defect of its own made it panic", "please report this as a bug")
}

/// A report as JSON text.
pub fn json(report: &(impl serde::Serialize + ?Sized)) -> ringfence::Result<String> {
    to_string(report)
        .map_err(|error| Error::host("a report cannot be told", error.to_string(), "please report this as a bug"))
}
