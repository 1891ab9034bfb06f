//! Which interpreter of the process this is.
#![allow(unsafe_code)]

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;

/// Refuses every interpreter but the main one: objects and threads of several would meet in our statics.
pub fn check_main(_py: Python<'_>) -> PyResult<()> {
    // SAFETY: the thread is attached, as `_py` shows, and so has an interpreter.
    let id = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    if id == 0 {
        return Ok(());
    }
    Err(PyImportError::new_err(
        "Ringfence cannot be used in a subinterpreter: its native module belongs to the main interpreter\n\
         hint: run guests from threads of the main interpreter, they do not hold it up; or from processes",
    ))
}
