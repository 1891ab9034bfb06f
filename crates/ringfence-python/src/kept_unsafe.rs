//! A state of the interpreter for each thread of guests: to make one takes longer than what most functions do.
//!
//! What a function leaves in `threading.local` stays as long as its thread, as in any pool of threads.
#![allow(unsafe_code)]

use std::cell::RefCell;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::attach::attached;

thread_local! {
    static KEPT: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

/// Keeps the state of this thread, which is none that Python made, until the thread ends.
pub fn keep(_py: Python<'_>) {
    KEPT.with_borrow_mut(|kept| {
        kept.get_or_insert_with(|| {
            // SAFETY: the thread is attached, as `_py` shows: this counts once more who uses its state, and takes nothing.
            Kept(unsafe { ffi::PyGILState_Ensure() })
        });
    });
}

struct Kept(ffi::PyGILState_STATE);

impl Drop for Kept {
    fn drop(&mut self) {
        // An interpreter that exits takes the states of its threads along.
        attached(|_| {
            // SAFETY: it was counted on this thread, whose variable this is, and `attached` counts it meanwhile: so it
            // is there, and only counted once less here. The thread stays attached, as it was when it was counted.
            unsafe { ffi::PyGILState_Release(self.0) }
        });
    }
}
