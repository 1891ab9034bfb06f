//! Functions of plugins that Python calls with the values where they lie, and makes no tuple of them.
//!
//! The stable ABI says how from Python 3.12 on, for types that PyO3 does not make. So the type of these objects is made
//! here, of PyO3's: at the end of each object stands one pointer more, to the function that is called.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_uint, c_ulong};
use std::mem::size_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Mutex;

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::PluginFunction;
use super::arguments::Arguments;
use crate::enter::defect;
use crate::raise::raise;

type Object = *mut ffi::PyObject;
type Vectorcall = unsafe extern "C" fn(Object, *const Object, usize, Object) -> Object;

/// `Py_TPFLAGS_HAVE_VECTORCALL`: this bit in every Python from 3.9 on, but in the headers of the stable ABI from 3.12 on.
const HAVE_VECTORCALL: c_ulong = 1 << 11;
/// `PY_VECTORCALL_ARGUMENTS_OFFSET`, as above: a bit of the count that says that one more place may be written to.
const MAY_BE_WRITTEN: usize = 1 << (usize::BITS - 1);

/// What a function is made of, for its constructor; no other can be called from Python.
#[pyclass(frozen)]
pub struct Seed(Mutex<Option<PluginFunction>>);

impl Seed {
    /// What it holds, once.
    pub fn taken(&self) -> PyResult<PluginFunction> {
        let taken = self.0.lock().unwrap_or_else(|broken| broken.into_inner()).take();
        taken.ok_or_else(|| PyTypeError::new_err("functions of plugins are made by plugins only"))
    }
}

/// The type of these objects, and how far into them the pointer lies.
struct Kind {
    kind: Py<PyType>,
    offset: usize,
}

/// Makes the object of a function.
pub fn callable(py: Python<'_>, function: PluginFunction) -> PyResult<Py<PluginFunction>> {
    static KIND: PyOnceLock<Kind> = PyOnceLock::new();
    let Kind { kind, offset } = KIND.get_or_try_init(py, || kind(py))?;
    let seed = Bound::new(py, Seed(Mutex::new(Some(function))))?;
    let made = kind.bind(py).call1((seed,))?.cast_into::<PluginFunction>()?;
    // SAFETY: the object is of the type made below, whose size ends with this pointer at this offset. Nobody else has
    // the object yet, so nobody reads it meanwhile; until now it was null, which means that there is none.
    unsafe { made.as_ptr().byte_add(*offset).cast::<Option<Vectorcall>>().write(Some(vectorcall)) };
    Ok(made.unbind())
}

/// Makes the type: PyO3's, with a pointer behind it.
fn kind(py: Python<'_>) -> PyResult<Kind> {
    let base = py.get_type::<PluginFunction>();
    let offset: usize = base.getattr("__basicsize__")?.extract()?;
    let too_large = |_| PyRuntimeError::new_err("the type of plugins' functions is too large");
    let at = ffi::Py_ssize_t::try_from(offset).map_err(|_| too_large(()))?;
    let basicsize = c_int::try_from(offset + size_of::<Option<Vectorcall>>()).map_err(|_| too_large(()))?;
    if !offset.is_multiple_of(align_of::<Option<Vectorcall>>()) {
        return Err(PyRuntimeError::new_err("the type of plugins' functions has no place for a pointer"));
    }
    // SAFETY: a live type made by PyO3, which gives each type that can be called this slot.
    let call = unsafe { ffi::PyType_GetSlot(base.as_type_ptr(), ffi::Py_tp_call) };
    let mut members = [
        ffi::PyMemberDef {
            name: c"__vectorcalloffset__".as_ptr(),
            type_code: ffi::Py_T_PYSSIZET,
            offset: at,
            flags: ffi::Py_READONLY,
            doc: ptr::null(),
        },
        // SAFETY: all zeros are null pointers and numbers that are zero, and the end of the members.
        unsafe { std::mem::zeroed() },
    ];
    let mut slots = [
        ffi::PyType_Slot { slot: ffi::Py_tp_members, pfunc: members.as_mut_ptr().cast() },
        ffi::PyType_Slot { slot: ffi::Py_tp_call, pfunc: call },
        ffi::PyType_Slot { slot: 0, pfunc: ptr::null_mut() },
    ];
    let flags = ffi::Py_TPFLAGS_DEFAULT | HAVE_VECTORCALL;
    let mut spec = ffi::PyType_Spec {
        name: c"ringfence._core.PluginFunction".as_ptr(),
        basicsize,
        itemsize: 0,
        flags: c_uint::try_from(flags).map_err(|_| too_large(()))?,
        slots: slots.as_mut_ptr(),
    };
    let bases = PyTuple::new(py, [base])?;
    // SAFETY: `spec` ends with its empty slot, the members with theirs, and Python copies both. The size is the base's
    // and one pointer, which lies where the member says; objects are made by the base's constructor, in memory that is
    // zeroed, and dropped by the base's destructor, to which the pointer is nothing. The name is there for ever.
    let kind =
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpecWithBases(&raw mut spec, bases.as_ptr()))? };
    Ok(Kind { kind: kind.cast_into::<PyType>()?.unbind(), offset })
}

/// What Python calls: with the values of `count` places, then those that have names, in the order of the names.
unsafe extern "C" fn vectorcall(function: Object, values: *const Object, count: usize, names: Object) -> Object {
    let called = catch_unwind(AssertUnwindSafe(|| {
        Python::attach(|py| {
            // SAFETY: Python calls this on an attached thread, for an object that it found this pointer in, so for one
            // of our type; with so many values and one more for each of the names, which are a tuple, or null where
            // there are none. All of them live through the call.
            let answer = unsafe { answer(py, function, values, count & !MAY_BE_WRITTEN, names) };
            answer.map_or_else(|error| failed(py, error), Bound::into_ptr)
        })
    }));
    called.unwrap_or_else(|_| Python::attach(|py| failed(py, raise(py, &defect()))))
}

/// Calls the function.
///
/// # Safety
///
/// It is one of ours; there are `count` values and one for each of the names, which are a tuple or null; all live on.
unsafe fn answer<'py>(
    py: Python<'py>,
    function: Object,
    values: *const Object,
    count: usize,
    names: Object,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: as the caller says, for every `at` below.
    let value = |at| unsafe { Borrowed::from_ptr(py, *values.add(at)) };
    // SAFETY: as the caller says.
    let (function, names) = unsafe {
        let function = Borrowed::from_ptr(py, function).cast_unchecked::<PluginFunction>();
        (function, Borrowed::from_ptr_or_opt(py, names))
    };
    let named = names.map(|names| {
        let named = PyDict::new(py);
        for (at, name) in names.cast::<PyTuple>()?.iter_borrowed().enumerate() {
            named.set_item(name, value(count + at))?;
        }
        PyResult::Ok(named)
    });
    let named = named.transpose()?;
    function.get().call(py, &Arguments { values: (0..count).map(value).collect(), named: named.as_ref() })
}

fn failed(py: Python<'_>, error: PyErr) -> Object {
    error.restore(py);
    ptr::null_mut()
}
