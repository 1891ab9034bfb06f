//! Calling a Python function on a thread that Python may end.
#![allow(unsafe_code)]

use std::hint::black_box;

use pyo3::exceptions::PySystemError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

type Object = *mut ffi::PyObject;

unsafe extern "C-unwind" {
    // PyO3 declares it as a function that never unwinds.
    fn PyObject_Call(function: Object, args: Object, keywords: Object) -> Object;
}

/// Calls it; what it raises is the error.
///
/// An interpreter older than 3.14 that exits ends every other thread that is at work in it, by unwinding its stack.
/// That would go through frames of Rust, which abort the process then: instead the thread stays here for ever, as it
/// does from 3.14 on.
pub fn call<'py>(function: &Bound<'py, PyAny>, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    // By its address: where both declarations come into one unit of code, that it never unwinds holds for both.
    let call_object: unsafe extern "C-unwind" fn(Object, Object, Object) -> Object = black_box(PyObject_Call);
    let stay = Stay;
    // SAFETY: both are objects that live through the call, on a thread that is attached; no keywords is a null. The
    // answer is a new reference, or null with an exception set. Unwinding ends in `stay`.
    let answer = unsafe {
        let answer = call_object(function.as_ptr(), args.as_ptr(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_opt(py, answer)
    };
    std::mem::forget(stay);
    answer.ok_or_else(|| {
        PyErr::take(py).unwrap_or_else(|| PySystemError::new_err("a function failed without an exception"))
    })
}

/// Never lets the thread out of its scope but by being forgotten.
struct Stay;

impl Drop for Stay {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}
