//! The cache of compiled programs, and the child process that compiles.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use ringfence::load::{self, Cache};
use ringfence::sandbox::engine::{Engines, Profile};

use crate::enter::{enter, json};
use crate::program::Program;

/// Where the cache is and what it holds, as JSON.
#[pyfunction]
pub fn cache_info(py: Python<'_>) -> PyResult<String> {
    enter(py, || json(&Cache::standard()?.info()))
}

/// Removes what was used least recently, as JSON what that gave back.
#[pyfunction]
pub fn cache_prune(py: Python<'_>, keep_bytes: u64) -> PyResult<String> {
    enter(py, || json(&Cache::standard()?.prune(keep_bytes)))
}

/// Whether a language's first run finds its code compiled.
#[pyfunction]
pub fn is_compiled(py: Python<'_>, program: &Program) -> PyResult<bool> {
    let profile = Profile { language: true, ..Profile::default() };
    enter(py, || load::is_compiled(&program.program, &*Engines::of(profile)?))
}

/// What a compiler of the language packs made, by the digest of all that it was given.
#[pyfunction]
pub fn made<'py>(py: Python<'py>, key: &str) -> PyResult<Option<Bound<'py, PyBytes>>> {
    Ok(enter(py, || Cache::standard()?.made(key))?.map(|bytes| PyBytes::new(py, &bytes)))
}

/// Keeps what it made.
#[pyfunction]
pub fn keep_made(py: Python<'_>, key: &str, data: &[u8]) -> PyResult<()> {
    enter(py, || Cache::standard()?.keep_made(key, data))
}

/// What the compiler child runs: a program on standard input, compiled code on standard output.
#[pyfunction]
pub fn compile_child(py: Python<'_>) -> i32 {
    py.detach(load::compile_child)
}

/// The command that starts the compiler child.
#[pyfunction]
pub fn set_compiler(command: Vec<String>) {
    load::set_compiler(command.into_iter().map(Into::into).collect());
}
