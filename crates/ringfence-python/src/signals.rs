//! Ctrl-C while a guest runs: Python's to handle, on the thread that waits.

use std::sync::Mutex;

use pyo3::prelude::*;

use crate::attach::attached;

/// What a signal handler raised.
#[derive(Default)]
pub struct Signals(Mutex<Option<PyErr>>);

impl Signals {
    /// Lets handlers run; false once one has raised something.
    pub fn look(&self) -> bool {
        match attached(|py| py.check_signals()) {
            Some(Ok(())) | None => true,
            Some(Err(error)) => {
                *self.0.lock().unwrap_or_else(|broken| broken.into_inner()) = Some(error);
                false
            }
        }
    }

    /// Raises it.
    pub fn raise(self) -> PyResult<()> {
        self.0.into_inner().unwrap_or_else(|broken| broken.into_inner()).map_or(Ok(()), Err)
    }
}
