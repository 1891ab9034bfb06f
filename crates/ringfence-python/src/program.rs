//! Programs: bytes in, what they are out.

use pyo3::prelude::*;
use ringfence::load::{Kind, Wasi};

use crate::enter::{enter, json};
use crate::sandbox::watched;

/// A program nobody has compiled yet.
#[pyclass(frozen, module = "ringfence._core")]
pub struct Program {
    pub program: ringfence::Program,
}

#[pymethods]
impl Program {
    #[staticmethod]
    #[pyo3(signature = (path, language = None, sha256 = None, component = false))]
    fn from_file(
        py: Python<'_>,
        path: std::path::PathBuf,
        language: Option<&str>,
        sha256: Option<&str>,
        component: bool,
    ) -> PyResult<Self> {
        enter(py, || {
            let program = match (language, sha256) {
                (Some(name), Some(sha256)) => {
                    let kind = if component { Kind::Component } else { Kind::Module };
                    ringfence::Program::pack(path, name, sha256, kind)?
                }
                (Some(name), None) => ringfence::Program::language_from_file(path, name)?,
                (None, _) => ringfence::Program::from_file(path)?,
            };
            Ok(Self { program })
        })
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8], name: &str) -> PyResult<Self> {
        enter(py, || Ok(Self { program: ringfence::Program::from_bytes(data, name)? }))
    }

    #[getter]
    fn name(&self) -> &str {
        self.program.name()
    }

    #[getter]
    fn kind(&self) -> &'static str {
        match self.program.kind() {
            Kind::Module => "module",
            Kind::Component => "component",
        }
    }

    #[getter]
    fn is_language(&self) -> bool {
        self.program.is_language()
    }

    #[getter]
    fn digest(&self) -> &str {
        self.program.digest()
    }

    #[getter]
    fn size(&self) -> usize {
        self.program.size()
    }

    fn wit(&self, py: Python<'_>, wasi: bool) -> PyResult<String> {
        let wasi = if wasi { Wasi::Written } else { Wasi::Named };
        watched(py, None, |watch| self.program.wit(wasi, Some(watch)))
    }

    fn inspect(&self, py: Python<'_>) -> PyResult<String> {
        enter(py, || json(&self.program.inspect()?))
    }
}
