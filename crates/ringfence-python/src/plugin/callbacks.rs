//! Functions of Python that a plugin imports, called with values of their types.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use ringfence::host::{Raised, Surrounding};
use ringfence::plugin::{Context, Imports, Tape, TypeId};

use super::plan::{Converter, Plan};
use super::read::read;
use super::write::write;
use super::wrong::{Wrong, name_of};
use crate::attach::attached;
use crate::imports::{in_context, surrounding};
use crate::yours::Functions;

/// One function that is imported.
pub struct Callback {
    pub title: String,
    pub params: Vec<TypeId>,
    pub result: Option<TypeId>,
}

/// All of them, in the order of the imports.
pub struct Callbacks {
    pub plan: Arc<Plan>,
    pub functions: Vec<Callback>,
    pub yours: Arc<Functions>,
    /// Waits for what an `async def` gave that did not look like one.
    pub wait: Py<PyAny>,
    /// Resources whose objects may have a `drop` that is not the guest's to call.
    pub dropped: Vec<bool>,
}

impl Imports for Callbacks {
    fn call(&self, index: usize, params: Tape) -> Result<Tape, Raised> {
        let Some(function) = self.functions.get(index) else { return Err(Raised::new("there is no such function")) };
        let done = attached(|py| {
            let answer = |args| match self.yours.get(py, index) {
                Some(yours) => self.waited(py, in_context(yours.bind(py), args)?),
                None => Err(PyTypeError::new_err("nobody has the plugin any more, or this function of its imports")),
            };
            function.answer(py, &self.plan, &params, answer).map_err(|error| {
                let why = format!("`{}` raised {}", function.title, kind_of(py, &error));
                Raised { why, payload: Some(Arc::new(error)) }
            })
        });
        done.unwrap_or_else(|| Err(Raised::new(format!("`{}` belongs to an interpreter that exits", function.title))))
    }

    fn is_stub(&self, index: usize) -> bool {
        !self.yours.is_given(index)
    }

    fn drop_object(&self, resource: usize, number: u32) -> Result<(), Raised> {
        let dropped = attached(|py| {
            let object = self.plan.objects.take(u32::try_from(resource).unwrap_or(u32::MAX), number)?;
            if !self.dropped.get(resource).copied().unwrap_or(false) {
                return None;
            }
            let drop = object.bind(py).getattr_opt(intern!(py, "drop")).transpose()?;
            let dropped = drop.and_then(|drop| self.waited(py, in_context(&drop, Vec::new())?));
            let error = dropped.err()?;
            let why = format!("`drop` raised {}", kind_of(py, &error));
            Some(Raised { why, payload: Some(Arc::new(error)) })
        });
        match dropped {
            Some(raised) => raised.map_or(Ok(()), Err),
            None => Err(Raised::new("an object belongs to an interpreter that exits")),
        }
    }

    fn beside(&self, context: Option<&Context>, call: &mut (dyn FnMut() + Send)) {
        // A context that one thread is in cannot be entered by another.
        let copied = context.and_then(|context| {
            let context = context.downcast_ref::<Py<PyAny>>()?;
            attached(|py| context.call_method0(py, intern!(py, "copy")).ok())?
        });
        surrounding(copied)(call);
    }

    fn around(&self, context: Option<&Context>) -> Surrounding {
        let context = context.and_then(|context| context.downcast_ref::<Py<PyAny>>());
        surrounding(context.and_then(|context| attached(|py| context.clone_ref(py))))
    }
}

impl Callbacks {
    /// What a function gave; what it gives in the end, if that was a coroutine.
    fn waited<'py>(&self, py: Python<'py>, answer: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        static COROUTINE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        if answer.is_none() || !answer.get_type().is(COROUTINE.import(py, "types", "CoroutineType")?) {
            return Ok(answer);
        }
        in_context(self.wait.bind(py), vec![answer])
    }
}

impl Callback {
    /// What the host answers, which is called with the values.
    fn answer<'py>(
        &self,
        py: Python<'py>,
        plan: &Plan,
        params: &Tape,
        call: impl FnOnce(Vec<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Tape> {
        let mut from = params.reader();
        let args = self.params.iter().map(|kind| read(py, plan, *kind, &mut from)).collect::<PyResult<Vec<_>>>()?;
        let answer = call(args);
        let mut tape = Tape::default();
        let written = match (self.result.map(|kind| (kind, plan.of(kind))), answer) {
            (Some((_, Converter::Result { error, .. })), Err(raised)) => {
                let value = raised.value(py);
                if !value.is_instance(plan.result_error.bind(py))? {
                    return Err(raised);
                }
                let value = value.getattr(&plan.value)?;
                tape.word(1);
                match error {
                    Some(kind) => write(plan, *kind, &value, &mut tape),
                    None => Ok(()),
                }
            }
            (_, Err(raised)) => return Err(raised),
            (None, Ok(answer)) if answer.is_none() => Ok(()),
            (None, Ok(answer)) => Err(Wrong::kind("None, as its import gives nothing", &answer)),
            (Some((kind, Converter::Result { ok, .. })), Ok(answer)) => {
                let class = answer.get_type();
                let is_inside = ok.is_some_and(|ok| matches!(plan.of(ok), Converter::Result { .. }));
                if is_inside || class.is(&plan.ok) || class.is(&plan.err) {
                    write(plan, kind, &answer, &mut tape)
                } else {
                    tape.word(0);
                    match ok {
                        Some(ok) => write(plan, *ok, &answer, &mut tape),
                        None if answer.is_none() => Ok(()),
                        None => Err(Wrong::kind("None, as its import gives nothing", &answer)),
                    }
                }
            }
            (Some((kind, _)), Ok(answer)) => write(plan, kind, &answer, &mut tape),
        };
        if written.is_err() {
            plan.objects.forget(tape.placed(), false);
        }
        written.map_err(|wrong| wrong.within(format!("what `{}` returned", self.title)).into_error())?;
        Ok(tape)
    }
}

/// What an exception is called.
fn kind_of(py: Python<'_>, error: &PyErr) -> String {
    name_of(error.value(py))
}
