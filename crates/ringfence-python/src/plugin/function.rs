//! A function that a plugin exports, as Python calls it.

use std::sync::{Arc, OnceLock};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use ringfence::plugin::{Asked, Returned, Tape, TypeId};

use super::Inner;
use super::arguments::Arguments;
use super::plan::Converter;
use super::read::{optional, read, word};
use super::succession::Newest;
use super::vectorcall_unsafe::Seed;
use super::write::write;
use crate::sandbox::Kill;
use crate::yours::Yours;

/// Called with the values of its parameters, by place or by name.
#[pyclass(frozen, subclass, module = "ringfence._core")]
pub struct PluginFunction {
    pub inner: Arc<Inner>,
    pub index: usize,
    #[pyo3(get, name = "__name__")]
    pub name: String,
    #[pyo3(get)]
    pub signature: String,
    pub params: Vec<(String, TypeId)>,
    pub result: Option<TypeId>,
    /// The class of what is raised for an error that is its result.
    #[pyo3(get, name = "Error")]
    pub error: Option<Py<PyAny>>,
    /// The classes of its values, and what those are annotated with: some are kept by nothing else that lives as long.
    pub classes: Py<PyAny>,
    pub yours: Py<Yours>,
    /// That of the newest code that its plugin was reloaded with.
    pub newest: OnceLock<Py<Newest>>,
}

#[pymethods]
impl PluginFunction {
    #[new]
    fn new(seed: &Seed) -> PyResult<Self> {
        seed.taken()
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.call(py, &Arguments::new(args, kwargs))
    }

    /// Calls it for somebody who may give up, and with a context that functions of the host are run in.
    fn awaited<'py>(
        &self,
        py: Python<'py>,
        kill: &Kill,
        context: Py<PyAny>,
        whole: bool,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let begun = self.inner.begin();
        if begun.is_none()
            && let Some(newer) = self.newer(py)
        {
            return newer.get().awaited(py, kill, context, whole, args, kwargs);
        }
        let asked = Asked { cancelled: Some(kill.cancelled.clone()), context: Some(Arc::new(context)), wall: None };
        let tape = self.called(py, &Arguments::new(args, Some(kwargs)), &asked)?;
        if whole { self.whole(py, &tape) } else { self.given(py, &tape) }
    }

    /// Calls it, and gives `Ok(…)` or `Err(…)` instead of raising an error that is its result.
    #[pyo3(signature = (*args, **kwargs))]
    fn result<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.call_whole(py, &Arguments::new(args, kwargs))
    }

    /// For `inspect.signature`: its parameters and what it gives, in Python's types.
    #[getter]
    fn __signature__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (names, kinds): (Vec<_>, Vec<_>) = self.params.iter().map(|(name, kind)| (name, kind.0)).unzip();
        self.classes.bind(py).call_method1("signature", (names, kinds, self.result.map(|kind| kind.0)))
    }

    /// The same for `typing.get_type_hints`.
    #[getter]
    fn __annotations__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.classes.bind(py).call_method1("annotations", (self.__signature__(py)?,))
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(stays(&self.__repr__()))
    }

    fn __repr__(&self) -> String {
        format!("<function of a plugin, {}>", self.signature)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.error)?;
        visit.call(&self.classes)?;
        visit.call(&self.yours)?;
        self.newest.get().map_or(Ok(()), |newest| visit.call(newest))
    }
}

/// Why it is not in a copy or in another process, and what to do.
pub fn stays(shown: &str) -> PyErr {
    PyTypeError::new_err(format!("{shown} cannot be copied or pickled\nhint: load the plugin where it is called"))
}

impl PluginFunction {
    /// Calls it; an error that is its result is raised.
    pub fn call<'py>(&self, py: Python<'py>, given: &Arguments<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let begun = self.inner.begin();
        if begun.is_none()
            && let Some(newer) = self.newer(py)
        {
            return newer.get().call(py, given);
        }
        let tape = self.called(py, given, &Asked::default())?;
        self.given(py, &tape)
    }

    /// The same as `Ok(…)` or `Err(…)`.
    pub fn call_whole<'py>(&self, py: Python<'py>, given: &Arguments<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let begun = self.inner.begin();
        if begun.is_none()
            && let Some(newer) = self.newer(py)
        {
            return newer.get().call_whole(py, given);
        }
        let tape = self.called(py, given, &Asked::default())?;
        self.whole(py, &tape)
    }

    /// What it gave; an error that is its result is raised.
    fn given<'py>(&self, py: Python<'py>, tape: &Tape) -> PyResult<Bound<'py, PyAny>> {
        let plan = &self.inner.plan;
        let mut from = tape.reader();
        let Some(kind) = self.result else { return Ok(py.None().into_bound(py)) };
        let Converter::Result { ok, error } = plan.of(kind) else { return read(py, plan, kind, &mut from) };
        if word(&mut from)? == 0 {
            return optional(py, plan, *ok, &mut from);
        }
        let value = optional(py, plan, *error, &mut from)?;
        let class = self.error.as_ref().unwrap_or(&plan.result_error);
        Err(PyErr::from_value(class.bind(py).call1((&self.name, value))?))
    }

    /// The same as `Ok(…)` or `Err(…)`.
    fn whole<'py>(&self, py: Python<'py>, tape: &Tape) -> PyResult<Bound<'py, PyAny>> {
        let value = optional(py, &self.inner.plan, self.result, &mut tape.reader())?;
        let is_result = self.result.is_some_and(|kind| matches!(self.inner.plan.of(kind), Converter::Result { .. }));
        if is_result { Ok(value) } else { self.inner.plan.ok.bind(py).call1((value,)) }
    }

    fn called(&self, py: Python<'_>, given: &Arguments<'_, '_>, asked: &Asked) -> PyResult<Tape> {
        let mut tape = Tape::default();
        if let Err(wrong) = self.written(given, &mut tape) {
            self.inner.plan.objects.forget(tape.placed(), false);
            return Err(wrong);
        }
        match self.inner.call(py, self.index, tape, asked)? {
            Returned::Values(tape) => Ok(tape),
            Returned::Ended(result) => Err(self.inner.ended(py, *result)),
        }
    }

    fn written(&self, given: &Arguments<'_, '_>, tape: &mut Tape) -> PyResult<()> {
        let values = &given.values;
        match given.named {
            Some(named) if !named.is_empty() => self.named(values, named, tape),
            _ if values.len() == self.params.len() => {
                for ((name, kind), value) in self.params.iter().zip(values) {
                    self.parameter(name, *kind, value, tape)?;
                }
                Ok(())
            }
            _ => Err(PyTypeError::new_err(format!(
                "{}() takes {} argument{}, and was given {}\nhint: it is `{}`",
                self.name,
                self.params.len(),
                if self.params.len() == 1 { "" } else { "s" },
                values.len(),
                self.signature
            ))),
        }
    }

    fn named(&self, values: &[Borrowed<'_, '_, PyAny>], named: &Bound<'_, PyDict>, tape: &mut Tape) -> PyResult<()> {
        let mut used = 0;
        for (at, (name, kind)) in self.params.iter().enumerate() {
            let by_name = named.get_item(name)?;
            used += usize::from(by_name.is_some());
            let value = match (values.get(at), &by_name) {
                (Some(_), Some(_)) => Err(format!("{}() was given `{name}` twice", self.name)),
                (Some(value), None) => Ok(&**value),
                (None, Some(value)) => Ok(value),
                (None, None) => Err(format!("{}() was not given `{name}`", self.name)),
            };
            let value =
                value.map_err(|why| PyTypeError::new_err(format!("{why}\nhint: it is `{}`", self.signature)))?;
            self.parameter(name, *kind, value, tape)?;
        }
        if used == named.len() && values.len() <= self.params.len() {
            return Ok(());
        }
        Err(PyTypeError::new_err(format!(
            "{}() was given arguments that it does not have\nhint: it is `{}`",
            self.name, self.signature
        )))
    }

    fn parameter(&self, name: &str, kind: TypeId, value: &Bound<'_, PyAny>, tape: &mut Tape) -> PyResult<()> {
        write(&self.inner.plan, kind, value, tape).map_err(|wrong| wrong.within(name).into_error())
    }
}
