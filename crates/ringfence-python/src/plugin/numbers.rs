//! Rows of numbers, from and to memory of Python's: no object for each.

use pyo3::buffer::{Element, PyUntypedBuffer};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use ringfence::plugin::{Number, Tape};

use super::plan::Plan;
use super::wrong::{Checked, Wrong};

/// Copies what an object shows of its memory.
pub fn copy(number: Number, value: &Bound<'_, PyAny>, tape: &mut Tape) -> Checked {
    match number {
        Number::S8 => of::<i8, 1>(number, value, tape, i8::to_le_bytes),
        Number::U8 => of::<u8, 1>(number, value, tape, u8::to_le_bytes),
        Number::S16 => of::<i16, 2>(number, value, tape, i16::to_le_bytes),
        Number::U16 => of::<u16, 2>(number, value, tape, u16::to_le_bytes),
        Number::S32 | Number::I32 => of::<i32, 4>(number, value, tape, i32::to_le_bytes),
        Number::U32 => of::<u32, 4>(number, value, tape, u32::to_le_bytes),
        Number::S64 | Number::I64 => of::<i64, 8>(number, value, tape, i64::to_le_bytes),
        Number::U64 => of::<u64, 8>(number, value, tape, u64::to_le_bytes),
        Number::F32 => of::<f32, 4>(number, value, tape, f32::to_le_bytes),
        Number::F64 => of::<f64, 8>(number, value, tape, f64::to_le_bytes),
    }
}

fn of<T: Element, const N: usize>(
    number: Number,
    value: &Bound<'_, PyAny>,
    tape: &mut Tape,
    bytes_of: fn(T) -> [u8; N],
) -> Checked {
    let py = value.py();
    let expected = || match number {
        Number::U8 => Wrong::kind("bytes, or another object with bytes in a row", value),
        _ => Wrong::kind(&format!("a list of numbers, or an array of {}", number.name()), value),
    };
    let untyped = PyUntypedBuffer::get(value).map_err(|_| expected())?;
    // One that is empty may have no address that is aligned.
    if untyped.item_count() == 0 && untyped.item_size() == N {
        tape.bytes(&[]);
        return Ok(());
    }
    let buffer = untyped.into_typed::<T>().map_err(|_| expected())?;
    if buffer.dimensions() != 1 {
        return Err(Wrong::value(format!("expected one dimension, not {}", buffer.dimensions())));
    }
    let items = buffer.to_vec(py).map_err(Wrong::raised)?;
    tape.filled(|bytes| {
        bytes.reserve(items.len() * N);
        bytes.extend(items.iter().copied().flat_map(bytes_of));
    });
    Ok(())
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
