//! From a tape to Python's values.

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use ringfence::plugin::{MixedUp, Number, Reader, TypeId};

use super::numbers;
use super::plan::{Converter, Plan};
use super::{PluginHandle, PluginStream};

/// Reads a value of that type.
pub fn read<'py>(py: Python<'py>, plan: &Plan, kind: TypeId, from: &mut Reader<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match plan.of(kind) {
        Converter::Bool => PyBool::new(py, word(from)? != 0).to_owned().into_any(),
        Converter::Number(number) => scalar(py, *number, word(from)?)?,
        Converter::Char => {
            let character =
                u32::try_from(word(from)?).ok().and_then(char::from_u32).ok_or_else(|| mixed_up(MixedUp))?;
            PyString::new(py, character.encode_utf8(&mut [0; 4])).into_any()
        }
        Converter::String => {
            let text = std::str::from_utf8(from.piece().map_err(mixed_up)?).map_err(|_| mixed_up(MixedUp))?;
            PyString::new(py, text).into_any()
        }
        Converter::Numbers(number) => numbers::read(py, plan, *number, from.piece().map_err(mixed_up)?)?,
        Converter::List(item) => {
            let count = from.count().map_err(mixed_up)?;
            list(py, plan, *item, count, from)?
        }
        Converter::Fixed { number: Some(number), .. } => {
            numbers::read(py, plan, *number, from.piece().map_err(mixed_up)?)?
        }
        Converter::Fixed { item, len, .. } => list(py, plan, *item, *len, from)?,
        Converter::Map(key, value) => {
            let count = from.count().map_err(mixed_up)?;
            let map = PyDict::new(py);
            for _ in 0..count {
                let key = read(py, plan, *key, from)?;
                map.set_item(key, read(py, plan, *value, from)?)?;
            }
            map.into_any()
        }
        Converter::Record { class, fields } => {
            let values = fields.iter().map(|field| read(py, plan, field.kind, from)).collect::<PyResult<Vec<_>>>()?;
            class.get(py)?.call1(PyTuple::new(py, values)?)?
        }
        Converter::Tuple(kinds) => {
            let values = kinds.iter().map(|kind| read(py, plan, *kind, from)).collect::<PyResult<Vec<_>>>()?;
            PyTuple::new(py, values)?.into_any()
        }
        Converter::Variant { cases, .. } => {
            let case = cases.get(from.count().map_err(mixed_up)?).ok_or_else(|| mixed_up(MixedUp))?;
            match (case.carries, &case.unit) {
                (Some(kind), _) => case.class.get(py)?.call1((read(py, plan, kind, from)?,))?,
                (None, Some(unit)) => unit.bind(py).clone(),
                (None, None) => case.class.get(py)?.call0()?,
            }
        }
        Converter::Enum { members, .. } => {
            let at = from.count().map_err(mixed_up)?;
            members.get(at).ok_or_else(|| mixed_up(MixedUp))?.bind(py).clone()
        }
        Converter::Flags { class, count } => {
            let mut bits: Vec<u8> = Vec::new();
            for _ in 0..count.div_ceil(32) {
                bits.extend((word(from)? as u32).to_le_bytes());
            }
            let bits = py.get_type::<PyInt>().call_method1("from_bytes", (bits.as_slice(), "little"))?;
            class.bind(py).call1((bits,))?
        }
        Converter::Option { inner, wrapped } => match word(from)? {
            0 => py.None().into_bound(py),
            _ if *wrapped => plan.some.bind(py).call1((read(py, plan, *inner, from)?,))?,
            _ => read(py, plan, *inner, from)?,
        },
        Converter::Result { ok, error } => match word(from)? {
            0 => plan.ok.bind(py).call1((optional(py, plan, *ok, from)?,))?,
            _ => plan.err.bind(py).call1((optional(py, plan, *error, from)?,))?,
        },
        Converter::Made { class, .. } => {
            let handle = from.handle().map_err(mixed_up)?;
            let inner = plan.inner.get().cloned().unwrap_or_default();
            class.get(py)?.call_method1(&plan.of, (PluginHandle { inner, handle },))?
        }
        Converter::Stream { element, item, is_future, home } => {
            let stream = from.stream().map_err(mixed_up)?;
            let inner = plan.inner.get().and_then(std::sync::Weak::upgrade);
            let yours = plan.yours.get().and_then(|yours| yours.bind(py).upgrade()).map(Bound::unbind);
            let native = PluginStream { inner, yours, stream, element: *element, item: *item };
            home.bind(py).call_method1(intern!(py, "made"), (native, is_future))?
        }
        Converter::Object { resource, is_owned, name, .. } => {
            let number = u32::try_from(word(from)?).map_err(|_| mixed_up(MixedUp))?;
            let objects = &plan.objects;
            let object = if *is_owned { objects.take(*resource, number) } else { objects.get(py, *resource, number) };
            let gone = || PyRuntimeError::new_err(format!("an object that is a `{name}` to the plugin is gone"));
            object.ok_or_else(gone)?.into_bound(py)
        }
    })
}

fn list<'py>(
    py: Python<'py>,
    plan: &Plan,
    item: TypeId,
    count: usize,
    from: &mut Reader<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    let list = PyList::empty(py);
    for _ in 0..count {
        list.append(read(py, plan, item, from)?)?;
    }
    Ok(list.into_any())
}

/// A value that is None where there is no type.
pub fn optional<'py>(
    py: Python<'py>,
    plan: &Plan,
    kind: Option<TypeId>,
    from: &mut Reader<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    kind.map_or_else(|| Ok(py.None().into_bound(py)), |kind| read(py, plan, kind, from))
}

/// A number by its word.
pub fn scalar(py: Python<'_>, number: Number, word: u64) -> PyResult<Bound<'_, PyAny>> {
    Ok(match number {
        Number::F32 => PyFloat::new(py, f64::from(f32::from_bits(word as u32))).into_any(),
        Number::F64 => PyFloat::new(py, f64::from_bits(word)).into_any(),
        Number::U8 | Number::U16 | Number::U32 | Number::U64 => word.into_pyobject(py)?.into_any(),
        Number::I32 => (word as u32).cast_signed().into_pyobject(py)?.into_any(),
        Number::S8 | Number::S16 | Number::S32 | Number::S64 | Number::I64 => {
            word.cast_signed().into_pyobject(py)?.into_any()
        }
    })
}

pub fn word(from: &mut Reader<'_>) -> PyResult<u64> {
    from.word().map_err(mixed_up)
}

pub fn mixed_up(error: MixedUp) -> PyErr {
    PyRuntimeError::new_err(format!("{error}: please report this as a bug"))
}
