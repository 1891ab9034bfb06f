//! Trees of files in memory, which grants begin with.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use ringfence::sandbox::files;

use crate::enter::enter;

/// Files by their paths, sealed.
#[pyclass(frozen, module = "ringfence._core")]
pub struct Tree(pub Arc<files::Tree>);

/// A path, and a file's bytes; a directory has none.
type Entry<'py> = (String, Option<Bound<'py, PyBytes>>);

#[pymethods]
impl Tree {
    #[new]
    #[pyo3(signature = (entries, /))]
    fn new(py: Python<'_>, entries: Vec<(String, Option<Vec<u8>>)>) -> PyResult<Self> {
        enter(py, || Ok(Self(Arc::new(files::Tree::new(entries)?))))
    }

    #[staticmethod]
    #[pyo3(signature = (data, /))]
    fn of_file(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        enter(py, || Ok(Self(Arc::new(files::Tree::of_file(data)?))))
    }

    fn digest(&self, py: Python<'_>) -> PyResult<String> {
        enter(py, || Ok(self.0.digest()?.to_owned()))
    }

    fn entries<'py>(&self, py: Python<'py>) -> PyResult<Vec<Entry<'py>>> {
        let entries = enter(py, || self.0.entries())?;
        Ok(entries.into_iter().map(|(path, bytes)| (path, bytes.map(|bytes| PyBytes::new(py, &bytes)))).collect())
    }

    fn __eq__(&self, py: Python<'_>, other: PyRef<'_, Self>) -> PyResult<bool> {
        let other = &other.0;
        enter(py, || Ok(self.0.digest()? == other.digest()?))
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<u64> {
        let mut hasher = DefaultHasher::new();
        self.digest(py)?.hash(&mut hasher);
        Ok(hasher.finish())
    }

    fn __repr__(&self) -> String {
        format!("<Tree: {} names, {} bytes>", self.0.names(), self.0.size())
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let (py, tree) = (slf.py(), slf.get());
        let mut entries = tree.entries(py)?;
        match &entries[..] {
            [(path, Some(data))] if path.is_empty() => {
                let data = data.clone();
                Ok((slf.get_type().getattr("of_file")?, (data,).into_pyobject(py)?.into_any()))
            }
            _ => {
                let entries = std::mem::take(&mut entries);
                Ok((slf.get_type().into_any(), (entries,).into_pyobject(py)?.into_any()))
            }
        }
    }
}
