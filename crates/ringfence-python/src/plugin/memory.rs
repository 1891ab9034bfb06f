//! Memories and globals of core modules: copies of bytes, and numbers.

use std::sync::Arc;

use pyo3::exceptions::{PyIndexError, PyMemoryError, PyTypeError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use pyo3::{PyTraverseError, PyVisit};
use ringfence::plugin::{Access, Accessed, GlobalExport, Number, Tape};

use super::Inner;
use super::numbers;
use super::read::{scalar as read, word};
use super::write::scalar as write;
use super::wrong::name_of;
use crate::enter::enter;
use crate::yours::Yours;

/// A memory that a plugin exports. No part of it is handed out, only copies.
#[pyclass(frozen, module = "ringfence._core")]
pub struct PluginMemory {
    pub inner: Arc<Inner>,
    pub index: usize,
    pub yours: Py<Yours>,
}

#[pymethods]
impl PluginMemory {
    /// Bytes that it has.
    #[getter]
    fn size(&self, py: Python<'_>) -> PyResult<u64> {
        match self.access(py, Access::Size)? {
            Accessed::Size(size) => Ok(size),
            other => Err(wrong(&other, 0, 0)),
        }
    }

    /// A copy of `length` bytes at `at`.
    fn read<'py>(&self, py: Python<'py>, at: i128, length: i128) -> PyResult<Bound<'py, PyBytes>> {
        let (at, length) = self.inside(py, at, length)?;
        match self.access(py, Access::Read { at, len: length })? {
            Accessed::Bytes(bytes) => Ok(PyBytes::new(py, &bytes)),
            other => Err(wrong(&other, at, length)),
        }
    }

    /// Copies bytes to `at`.
    fn write(&self, py: Python<'_>, at: i128, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let (bytes, _) = numbers::shown(Number::U8, data).map_err(|_| {
            let kind = name_of(data);
            PyTypeError::new_err(format!("a memory is written with bytes, not with {kind}\nhint: encode it"))
        })?;
        let bytes = PyBackedBytes::from(bytes);
        let (at, _) = self.inside(py, at, bytes.len() as i128)?;
        match self.access(py, Access::Write { at, bytes: &bytes })? {
            Accessed::Written => Ok(()),
            other => Err(wrong(&other, at, bytes.len() as u64)),
        }
    }

    /// Makes it longer by so many pages of 65,536 bytes; the bytes that it had before.
    fn grow(&self, py: Python<'_>, pages: u64) -> PyResult<u64> {
        match self.access(py, Access::Grow(pages))? {
            Accessed::Size(before) => Ok(before),
            other => Err(wrong(&other, 0, 0)),
        }
    }

    fn __repr__(&self) -> String {
        let name = self.inner.world.memories.get(self.index).map_or("", String::as_str);
        format!("<memory of a plugin, {}>", ringfence::text::quote(name))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.yours)
    }
}

impl PluginMemory {
    /// A place and a length that a memory may have.
    fn inside(&self, py: Python<'_>, at: i128, length: i128) -> PyResult<(u64, u64)> {
        match (u64::try_from(at), u64::try_from(length)) {
            (Ok(at), Ok(length)) => Ok((at, length)),
            _ => Err(outside(at, length, self.size(py)?)),
        }
    }

    fn access(&self, py: Python<'_>, access: Access<'_>) -> PyResult<Accessed> {
        enter(py, || self.inner.plugin.memory(self.index, access))
    }
}

fn outside(at: i128, len: i128, size: u64) -> PyErr {
    PyIndexError::new_err(format!(
        "{len} bytes at {at} are not inside of the memory, which has {size}\nhint: see its `size`"
    ))
}

fn wrong(what: &Accessed, at: u64, len: u64) -> PyErr {
    match what {
        Accessed::Outside(size) => outside(at.into(), len.into(), *size),
        _ => PyMemoryError::new_err(
            "the memory may not grow so far\nhint: raise `memory` in the policy's limits, or the module's own maximum",
        ),
    }
}

/// A number that a plugin exports.
#[pyclass(frozen, module = "ringfence._core")]
pub struct PluginGlobal {
    pub inner: Arc<Inner>,
    pub index: usize,
    pub yours: Py<Yours>,
}

#[pymethods]
impl PluginGlobal {
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let kind = self.export()?.kind;
        let tape = enter(py, || self.inner.plugin.global(self.index))?;
        read(py, kind, word(&mut tape.reader())?)
    }

    #[setter]
    fn set_value(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let global = self.export()?;
        if !global.mutable {
            let name = ringfence::text::quote(&global.name);
            return Err(PyTypeError::new_err(format!("the global `{name}` is a constant\nhint: leave it as it is")));
        }
        let mut tape = Tape::default();
        tape.word(write(global.kind, value).map_err(|wrong| wrong.within("value").into_error())?);
        enter(py, || self.inner.plugin.set_global(self.index, &tape))
    }

    fn __repr__(&self) -> PyResult<String> {
        let global = self.export()?;
        Ok(format!("<global of a plugin, {}: {}>", ringfence::text::quote(&global.name), global.kind.name()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.yours)
    }
}

impl PluginGlobal {
    fn export(&self) -> PyResult<&GlobalExport> {
        self.inner.world.globals.get(self.index).ok_or_else(|| PyIndexError::new_err("there is no such global"))
    }
}
