//! Functions of Python that a plugin imports, called with values of their types.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use ringfence::host::{Raised, Surrounding};
use ringfence::plugin::{Context, Imports, Tape, TypeId};

use super::plan::{Converter, Plan};
use super::read::read;
use super::write::write;
use super::wrong::{Wrong, name_of};
use crate::attach::attached;
use crate::call_unsafe::call;
use crate::imports::{in_context, surrounding};

/// One function that is imported.
pub struct Callback {
    pub title: String,
    /// None where nobody gave it: a call of it is a trap.
    pub function: Option<Py<PyAny>>,
    pub params: Vec<TypeId>,
    pub result: Option<TypeId>,
}

/// All of them, in the order of the imports.
pub struct Callbacks {
    pub plan: Arc<Plan>,
    pub functions: Vec<Callback>,
    /// Resources whose objects may have a `drop` that is not the guest's to call.
    pub dropped: Vec<bool>,
}

impl Imports for Callbacks {
    fn call(&self, index: usize, params: Tape) -> Result<Tape, Raised> {
        let Some(function) = self.functions.get(index) else { return Err(Raised::new("there is no such function")) };
        let done = attached(|py| {
            function.answer(py, &self.plan, &params).map_err(|error| {
                let why = format!("`{}` raised {}", function.title, kind_of(py, &error));
                Raised { why, payload: Some(Arc::new(error)) }
            })
        });
        done.unwrap_or_else(|| Err(Raised::new(format!("`{}` belongs to an interpreter that exits", function.title))))
    }

    fn is_stub(&self, index: usize) -> bool {
        self.functions.get(index).is_some_and(|function| function.function.is_none())
    }

    fn drop_object(&self, resource: usize, number: u32) -> Result<(), Raised> {
        let dropped = attached(|py| {
            let object = self.plan.objects.take(u32::try_from(resource).unwrap_or(u32::MAX), number)?;
            if !self.dropped.get(resource).copied().unwrap_or(false) {
                return None;
            }
            let drop = object.bind(py).getattr_opt(intern!(py, "drop")).transpose()?;
            let error = drop.and_then(|drop| call(&drop, &PyTuple::empty(py))).err()?;
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

impl Callback {
    /// Calls it, in the context of the plugin's caller if it gave one.
    fn called<'py>(&self, py: Python<'py>, args: Vec<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        let Some(function) = &self.function else { return Err(PyTypeError::new_err("nobody gave this function")) };
        in_context(function.bind(py), args)
    }

    fn answer(&self, py: Python<'_>, plan: &Plan, params: &Tape) -> PyResult<Tape> {
        let mut from = params.reader();
        let args = self.params.iter().map(|kind| read(py, plan, *kind, &mut from)).collect::<PyResult<Vec<_>>>()?;
        let answer = self.called(py, args);
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
            (Some((kind, _)), Ok(answer)) => {
                let written = write(plan, kind, &answer, &mut tape);
                if written.is_err() && answer.get_type().name().is_ok_and(|name| name == "coroutine") {
                    // One that nobody awaits would complain about that too, later and elsewhere.
                    let _ = answer.call_method0("close");
                }
                written
            }
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
