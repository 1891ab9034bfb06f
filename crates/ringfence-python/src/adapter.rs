//! What makes a component of a module that asks for WASI 0.1.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;

/// Wasmtime's own, as a module: it answers with WASI 0.2.
#[pyfunction]
pub fn wasi_adapter(py: Python<'_>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
}
