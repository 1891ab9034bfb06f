//! Resources of a guest's as Python has them, and their methods.

use std::sync::Weak;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use ringfence::plugin::Handle;

use super::arguments::Arguments;
use super::function::stays;
use super::{Inner, PluginFunction};

/// What an object of a resource's class holds. The guest hears of it when it is dropped, or collected.
#[pyclass(frozen, module = "ringfence._core")]
pub struct PluginHandle {
    pub inner: Weak<Inner>,
    pub handle: Handle,
}

#[pymethods]
impl PluginHandle {
    /// Lets go of it: at once where the plugin is free, otherwise before its next call.
    fn drop(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.drop_resource();
        match self.inner.upgrade() {
            Some(inner) => inner.settle(py),
            None => Ok(()),
        }
    }

    /// Lets go of it before the plugin's next call.
    fn let_go(&self) {
        self.handle.drop_resource();
    }

    /// Why it cannot be used any more, or None while it can.
    #[getter]
    fn gone(&self) -> Option<&'static str> {
        self.handle.gone().map(ringfence::plugin::Gone::why)
    }
}

/// A method of a resource, of one object or, in its class, of none.
#[pyclass(frozen, module = "ringfence._core")]
pub struct PluginMethod {
    function: Py<PluginFunction>,
    of: Option<Py<PyAny>>,
}

#[pymethods]
impl PluginMethod {
    #[new]
    fn new(function: Py<PluginFunction>) -> Self {
        Self { function, of: None }
    }

    fn __get__(&self, py: Python<'_>, of: Option<Py<PyAny>>, kind: Option<&Bound<'_, PyAny>>) -> Self {
        let _ = kind;
        Self { function: self.function.clone_ref(py), of }
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.function.get().call(py, &self.with(py, args, kwargs))
    }

    /// Calls it, and gives `Ok(…)` or `Err(…)` instead of raising an error that is its result.
    #[pyo3(signature = (*args, **kwargs))]
    fn result<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.function.get().call_whole(py, &self.with(py, args, kwargs))
    }

    #[getter(__name__)]
    fn name(&self) -> &str {
        &self.function.get().name
    }

    #[getter]
    fn signature(&self) -> &str {
        &self.function.get().signature
    }

    /// For `inspect.signature`, without the object where it has one.
    #[getter]
    fn __signature__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.told(py, "__signature__")
    }

    /// The same for `typing.get_type_hints`.
    #[getter]
    fn __annotations__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.told(py, "__annotations__")
    }

    /// The class of what is raised for an error that is its result.
    #[getter(Error)]
    fn error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.function.get().error.as_ref().map(|error| error.clone_ref(py))
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(stays(&self.__repr__()))
    }

    fn __repr__(&self) -> String {
        format!("<method of a plugin's resource, {}>", self.function.get().signature)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)?;
        visit.call(&self.of)
    }
}

impl PluginMethod {
    /// What Python's own way of standing between a function and an object tells of them.
    fn told<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let between = py.import("ringfence._plugin_functions")?.getattr("Method")?;
        between.call1((&self.function, self.of.as_ref()))?.getattr(name)
    }

    fn with<'a, 'py>(
        &'a self,
        py: Python<'py>,
        args: &'a Bound<'py, PyTuple>,
        kwargs: Option<&'a Bound<'py, PyDict>>,
    ) -> Arguments<'a, 'py> {
        Arguments::of(self.of.as_ref().map(|of| of.bind_borrowed(py)), args, kwargs)
    }
}
