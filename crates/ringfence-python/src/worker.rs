//! Workers: the child processes that guests run in.

use pyo3::prelude::*;
use ringfence::worker;

/// What a worker runs: guests, for the process that started it.
#[pyfunction]
pub fn worker_child(py: Python<'_>) -> i32 {
    py.detach(worker::serve)
}

/// The command that starts a worker.
#[pyfunction]
pub fn set_worker(command: Vec<String>) {
    worker::set_worker(command.into_iter().map(Into::into).collect());
}

/// Ends the workers that run nothing.
#[pyfunction]
pub fn close_workers(py: Python<'_>) {
    py.detach(worker::close);
}
