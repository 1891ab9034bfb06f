//! Python functions as functions of the host: numbers in, numbers out, exceptions as themselves.

use std::cell::RefCell;
use std::sync::Arc;

use pyo3::exceptions::{PyOverflowError, PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyTuple};
use ringfence::host::{HostCall, Raised, Signature, Surrounding, Value, ValueType};
use ringfence::{HostFunction, HostFunctions};

use crate::attach::attached;
use crate::call_unsafe::call;
use crate::kept_unsafe::keep;
use crate::yours::{Functions, Yours};

/// Module, name and function of each import.
pub type Given = Vec<(String, String, Py<PyAny>)>;

/// Host functions of Python functions, and what shows those to the collector.
pub fn functions(py: Python<'_>, given: Given) -> PyResult<(HostFunctions, Py<Yours>)> {
    let (names, functions): (Vec<_>, Vec<_>) =
        given.into_iter().map(|(module, name, function)| ((module, name), Some(function))).unzip();
    let yours = Arc::new(Functions::new(functions));
    let functions = names.into_iter().enumerate().map(|(index, (module, name))| {
        let title = format!("{module}.{name}");
        HostFunction::new(module, name, Callback { title, index, yours: yours.clone() })
    });
    let functions = HostFunctions { functions: functions.collect(), around: Some(Arc::new(|| surrounding(None))) };
    Ok((functions, Py::new(py, Yours::new(yours, None))?))
}

/// The thread's state stays for all of a run, whose functions are called in this context, or in a copy of the caller's.
pub fn surrounding(context: Option<Py<PyAny>>) -> Surrounding {
    let context = context.or_else(|| attached(|py| callers(py).ok())?);
    Box::new(move |run| {
        attached(|py| {
            keep(py);
            let _within = Within::enter(context);
            py.detach(run);
        });
    })
}

/// A copy of this thread's context: no two threads can be in one.
fn callers(py: Python<'_>) -> PyResult<Py<PyAny>> {
    static COPY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Ok(COPY.import(py, "contextvars", "copy_context")?.call0()?.unbind())
}

thread_local! {
    /// What the functions are called in that this thread's guest calls.
    static CONTEXT: RefCell<Option<Py<PyAny>>> = const { RefCell::new(None) };
}

/// While a guest is on this thread. Dropped with the interpreter, as what it holds is.
struct Within;

impl Within {
    fn enter(context: Option<Py<PyAny>>) -> Self {
        CONTEXT.set(context);
        Self
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        CONTEXT.set(None);
    }
}

/// Calls a function of the host in the context of whoever called its guest.
pub fn in_context<'py>(function: &Bound<'py, PyAny>, args: Vec<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    // Nobody enters a context twice: a guest that this function calls on this thread finds it entered.
    let Some(context) = CONTEXT.take() else { return call(function, &PyTuple::new(py, args)?) };
    let args = std::iter::once(function.clone()).chain(args).collect::<Vec<_>>();
    let run = context.bind(py).getattr(intern!(py, "run"));
    let answer = run.and_then(|run| call(&run, &PyTuple::new(py, args)?));
    CONTEXT.set(Some(context));
    answer
}

/// The exception that a host function raised, as the same object.
pub fn exception(py: Python<'_>, raised: &Raised) -> Option<PyErr> {
    let payload = raised.payload.as_ref()?.downcast_ref::<PyErr>()?;
    Some(payload.clone_ref(py))
}

/// Warns that a function was left to itself.
pub fn warn_abandoned(py: Python<'_>, name: &str) -> PyResult<()> {
    static ABANDONED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    call(ABANDONED.import(py, "ringfence._imports", "abandoned")?, &(name,).into_pyobject(py)?).map(drop)
}

struct Callback {
    title: String,
    index: usize,
    yours: Arc<Functions>,
}

impl HostCall for Callback {
    fn accepts(&self, signature: &Signature) -> Result<(), String> {
        static ACCEPTS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        Python::attach(|py| {
            let why: Option<String> = ACCEPTS
                .import(py, "ringfence._imports", "refusal")
                .and_then(|refusal| call(refusal, &(self.function(py)?, signature.params.len()).into_pyobject(py)?))
                .and_then(|why| why.extract())
                .map_err(|error| error.to_string())?;
            why.map_or(Ok(()), Err)
        })
    }

    fn call(&self, params: &[Value], results: &[ValueType]) -> Result<Vec<Value>, Raised> {
        let done = attached(|py| {
            self.answer(py, params, results).map_err(|error| {
                let why = format!("`{}` raised {}", self.title, error.get_type(py));
                Raised { why, payload: Some(Arc::new(error)) }
            })
        });
        done.unwrap_or_else(|| Err(Raised::new(format!("`{}` belongs to an interpreter that exits", self.title))))
    }
}

impl Callback {
    fn function<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let function =
            self.yours.get(py, self.index).ok_or_else(|| PyRuntimeError::new_err("nobody has its sandbox any more"));
        Ok(function?.into_bound(py))
    }

    fn answer(&self, py: Python<'_>, params: &[Value], results: &[ValueType]) -> PyResult<Vec<Value>> {
        let args = params.iter().map(|value| to_python(py, *value)).collect::<PyResult<Vec<_>>>()?;
        let answer = in_context(&self.function(py)?, args)?;
        match results {
            [] if answer.is_none() => Ok(Vec::new()),
            [] => Err(self.wrong(&answer, "its import gives nothing: return None")),
            [kind] => Ok(vec![self.of_python(&answer, *kind, 1)?]),
            kinds => {
                let several: Vec<Bound<'_, PyAny>> = if let Ok(tuple) = answer.cast::<PyTuple>() {
                    tuple.iter().collect()
                } else if let Ok(list) = answer.cast::<PyList>() {
                    list.iter().collect()
                } else {
                    Vec::new()
                };
                if several.len() != kinds.len() {
                    return Err(self.wrong(&answer, &format!("its import gives a tuple of {}", kinds.len())));
                }
                several
                    .iter()
                    .zip(kinds)
                    .enumerate()
                    .map(|(at, (value, kind))| self.of_python(value, *kind, at + 1))
                    .collect()
            }
        }
    }

    fn wrong(&self, answer: &Bound<'_, PyAny>, expected: &str) -> PyErr {
        // A coroutine that nobody awaits would complain about that too, later and elsewhere.
        if is_coroutine(answer) {
            let _ = answer.call_method0("close");
        }
        let kind = answer.get_type().name().map_or_else(|_| "object".into(), |name| name.to_string());
        PyTypeError::new_err(format!("`{}` returned {kind}, and {expected}", self.title))
    }

    fn of_python(&self, value: &Bound<'_, PyAny>, kind: ValueType, position: usize) -> PyResult<Value> {
        let expected = || format!("result {position} of its import is {}", kind.name());
        let too_large = || {
            let what = format!("`{}` returned a number that is too large, and {}", self.title, expected());
            PyOverflowError::new_err(what)
        };
        match kind {
            ValueType::I32 | ValueType::I64 => {
                let Ok(number) = value.cast::<PyInt>() else { return Err(self.wrong(value, &expected())) };
                let number: i64 = number.extract().map_err(|_| too_large())?;
                Ok(match kind {
                    ValueType::I32 => Value::I32(i32::try_from(number).map_err(|_| too_large())?),
                    _ => Value::I64(number),
                })
            }
            ValueType::F32 | ValueType::F64 => {
                let is_number = value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyInt>();
                if !is_number || value.is_instance_of::<PyBool>() {
                    return Err(self.wrong(value, &expected()));
                }
                let number: f64 = value.extract().map_err(|_| too_large())?;
                if kind == ValueType::F64 {
                    return Ok(Value::F64(number.to_bits()));
                }
                let narrow = number as f32;
                if number.is_finite() && !narrow.is_finite() {
                    Err(too_large())
                } else {
                    Ok(Value::F32(narrow.to_bits()))
                }
            }
        }
    }
}

fn is_coroutine(answer: &Bound<'_, PyAny>) -> bool {
    answer.get_type().name().is_ok_and(|name| name == "coroutine")
}

fn to_python<'py>(py: Python<'py>, value: Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::I32(number) => number.into_pyobject(py)?.into_any(),
        Value::I64(number) => number.into_pyobject(py)?.into_any(),
        Value::F32(bits) => f64::from(f32::from_bits(bits)).into_pyobject(py)?.into_any(),
        Value::F64(bits) => f64::from_bits(bits).into_pyobject(py)?.into_any(),
    })
}
