//! Rows of numbers, from and to memory of Python's: no object for each.

use pyo3::exceptions::{PyBufferError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyMemoryView, PyString};
use ringfence::plugin::{Number, Tape};

use super::plan::Plan;
use super::write::COPIED_BYTES;
use super::wrong::{Checked, Wrong, name_of};

/// Copies what an object shows of its memory, which may have gaps, any alignment, and either order of bytes.
///
/// PyO3's own typed buffers take those of the other order for ones of this machine's, and refuse `<` (0.30.1).
pub fn copy(number: Number, value: &Bound<'_, PyAny>, tape: &mut Tape) -> Checked {
    let (bytes, is_swapped) = shown(number, value)?;
    let of_all = bytes.as_bytes();
    if is_swapped {
        tape.filled(|into| into.extend(of_all.chunks(number.size()).flat_map(|item| item.iter().rev())));
    } else if of_all.len() < COPIED_BYTES {
        tape.bytes(of_all);
    } else {
        tape.hold(Box::new(PyBackedBytes::from(bytes)));
    }
    Ok(())
}

/// The bytes of a row of such numbers, and whether those of each are in the order that this machine has not.
pub fn shown<'py>(number: Number, value: &Bound<'py, PyAny>) -> Checked<(Bound<'py, PyBytes>, bool)> {
    let py = value.py();
    let expected = |of: &str| {
        let kind = name_of(value);
        Wrong::type_error(match number {
            Number::U8 => format!("expected bytes, or another object with bytes in a row, not {kind}{of}"),
            _ => format!("expected a list of numbers, or an array of {}, not {kind}{of}", number.name()),
        })
    };
    let view = PyMemoryView::from(value).map_err(|error| {
        if error.is_instance_of::<PyTypeError>(py) {
            return expected("");
        }
        let is_told = error.is_instance_of::<PyValueError>(py) || error.is_instance_of::<PyBufferError>(py);
        if is_told { Wrong::value(format!("{}: {}", name_of(value), error.value(py))) } else { Wrong::raised(error) }
    })?;
    let attribute = |name: &Bound<'py, PyString>| view.getattr(name).map_err(Wrong::raised);
    let format: String = attribute(intern!(py, "format"))?.extract().map_err(Wrong::raised)?;
    let size: usize = attribute(intern!(py, "itemsize"))?.extract().map_err(Wrong::raised)?;
    let (order, code) = match format.as_bytes() {
        [code] => (b'@', *code),
        [order @ (b'@' | b'=' | b'<' | b'>' | b'!'), code] => (*order, *code),
        _ => (b'@', b' '),
    };
    let is_of_its_kind = match number {
        Number::F32 | Number::F64 => b"fd".contains(&code),
        Number::S8 | Number::S16 | Number::S32 | Number::S64 => b"bhilqn".contains(&code),
        Number::U8 => b"Bc".contains(&code),
        Number::U16 | Number::U32 | Number::U64 => b"HILQN".contains(&code),
        Number::I32 | Number::I64 => b"ilqnILQN".contains(&code),
    };
    if !is_of_its_kind || size != number.size() {
        let shown: String = format.chars().take(20).collect();
        return Err(expected(&format!(" of `{}`", ringfence::text::quote(&shown))));
    }
    let dimensions: usize = attribute(intern!(py, "ndim"))?.extract().map_err(Wrong::raised)?;
    if dimensions != 1 {
        return Err(Wrong::value(format!("expected one dimension, not {dimensions}")));
    }
    let bytes = view.call_method0(intern!(py, "tobytes")).map_err(Wrong::raised)?;
    let bytes = bytes.cast_into::<PyBytes>().map_err(|_| expected(""))?;
    let is_native = match order {
        b'<' => cfg!(target_endian = "little"),
        b'>' | b'!' => cfg!(target_endian = "big"),
        _ => true,
    };
    Ok((bytes, !is_native && size > 1))
}

/// An array of them, or bytes.
pub fn read<'py>(py: Python<'py>, plan: &Plan, number: Number, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let code = match number {
        Number::U8 => return Ok(PyBytes::new(py, bytes).into_any()),
        Number::S8 => "b",
        Number::S16 => "h",
        Number::U16 => "H",
        Number::S32 | Number::I32 => "i",
        Number::U32 => "I",
        Number::S64 | Number::I64 => "q",
        Number::U64 => "Q",
        Number::F32 => "f",
        Number::F64 => "d",
    };
    let array = plan.array.bind(py).call1((code,))?;
    // In the order of this machine's bytes, which is the guest's on every machine that is supported.
    array.call_method1("frombytes", (PyBytes::new(py, bytes),))?;
    Ok(array)
}
