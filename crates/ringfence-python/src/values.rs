//! Plain values of Python in the encoding of the guest ABI, and back.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use ringfence::language::value::{ITEM_BYTES, Item, MAX_DEPTH, MAX_NUMBER_BYTES, Reader, Writer};

/// Reads the next value, which was checked to be one.
pub fn read<'py>(py: Python<'py>, reader: &mut Reader<'_>) -> PyResult<Bound<'py, PyAny>> {
    let item = reader.item().map_err(|_| PyValueError::new_err("a guest's value is malformed"))?;
    Ok(match item {
        Item::Null => py.None().into_bound(py),
        Item::Bool(is) => PyBool::new(py, is).to_owned().into_any(),
        Item::Whole { negative: false, number } => number.into_pyobject(py)?.into_any(),
        Item::Whole { negative: true, number } => (-1 - i128::from(number)).into_pyobject(py)?.into_any(),
        Item::Large { negative, bytes } => large(py, negative, bytes)?,
        Item::Float(number) => PyFloat::new(py, number).into_any(),
        Item::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Item::Text(text) => PyString::new(py, text).into_any(),
        Item::List(count) => {
            let list = PyList::empty(py);
            for _ in 0..count {
                list.append(read(py, reader)?)?;
            }
            list.into_any()
        }
        Item::Map(count) => {
            let map = PyDict::new(py);
            for _ in 0..count {
                let key = read(py, reader)?;
                map.set_item(key, read(py, reader)?)?;
            }
            map.into_any()
        }
    })
}

fn large<'py>(py: Python<'py>, negative: bool, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let number = py.get_type::<PyInt>().call_method1("from_bytes", (PyBytes::new(py, bytes), "big"))?;
    if negative { number.neg()?.sub(1) } else { Ok(number) }
}

/// Writes values, as long as they are plain and there is room.
pub struct Plain {
    writer: Writer,
    items: u64,
    room: u64,
}

impl Plain {
    pub fn new(room: u64) -> Self {
        Self { writer: Writer::default(), items: 0, room }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.writer.into_bytes()
    }

    pub fn item(&mut self, item: Item<'_>) -> PyResult<()> {
        let own = match item {
            Item::Bytes(bytes) => bytes.len(),
            Item::Text(text) => text.len(),
            _ => 0,
        };
        self.items += 1;
        if (self.writer.len() as u64).saturating_add(own as u64).saturating_add(self.items * ITEM_BYTES) > self.room {
            return Err(PyValueError::new_err("the value is too large: it takes more than the limit `host_bytes`"));
        }
        self.writer.item(item);
        Ok(())
    }

    pub fn value(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.nested(value, 0)
    }

    fn nested(&mut self, value: &Bound<'_, PyAny>, depth: u32) -> PyResult<()> {
        if self.scalar(value)? {
            return Ok(());
        }
        if depth >= MAX_DEPTH {
            return Err(PyValueError::new_err(format!("the value is nested deeper than {MAX_DEPTH} levels")));
        }
        if let Ok(list) = value.cast::<PyList>() {
            self.item(Item::List(list.len()))?;
            // Its length is written: what changes meanwhile, in another thread, must not change that.
            return list.to_tuple().iter().try_for_each(|inner| self.nested(&inner, depth + 1));
        }
        if let Ok(tuple) = value.cast::<PyTuple>() {
            self.item(Item::List(tuple.len()))?;
            return tuple.iter().try_for_each(|inner| self.nested(&inner, depth + 1));
        }
        if let Ok(map) = value.cast::<PyDict>() {
            let pairs = map.items().to_tuple();
            self.item(Item::Map(pairs.len()))?;
            for pair in pairs.iter() {
                let (key, inner): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract()?;
                let is_key = key.is_instance_of::<PyString>() || key.is_instance_of::<PyInt>();
                if !is_key || key.is_instance_of::<PyBool>() || !self.scalar(&key)? {
                    return Err(PyTypeError::new_err(format!(
                        "a key of type {} is not plain: str and int are",
                        name_of(&key)
                    )));
                }
                self.nested(&inner, depth + 1)?;
            }
            return Ok(());
        }
        Err(PyTypeError::new_err(format!(
            "a value of type {} is not plain: None, bool, int, float, str, bytes, list and dict are",
            name_of(value)
        )))
    }

    /// Writes what has nothing inside; false where it has.
    fn scalar(&mut self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        if value.is_none() {
            self.item(Item::Null)?;
        } else if let Ok(is) = value.cast::<PyBool>() {
            self.item(Item::Bool(is.is_true()))?;
        } else if let Ok(text) = value.cast::<PyString>() {
            let text = text.to_str().map_err(|_| PyValueError::new_err("a text with lone surrogates is not plain"))?;
            self.item(Item::Text(text))?;
        } else if let Ok(number) = value.cast::<PyInt>() {
            self.whole(number)?;
        } else if let Ok(number) = value.cast::<PyFloat>() {
            self.item(Item::Float(number.value()))?;
        } else if let Ok(bytes) = value.cast::<PyBytes>() {
            self.item(Item::Bytes(bytes.as_bytes()))?;
        } else if let Ok(bytes) = value.cast::<PyByteArray>() {
            self.item(Item::Bytes(&bytes.to_vec()))?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn whole(&mut self, number: &Bound<'_, PyInt>) -> PyResult<()> {
        if let Ok(number) = number.extract::<i64>() {
            let negative = number < 0;
            let number = if negative { !number } else { number };
            return self.item(Item::Whole { negative, number: number.cast_unsigned() });
        }
        let negative = number.lt(0)?;
        let below = if negative { number.add(1)?.neg()? } else { number.clone().into_any() };
        let bits: u64 = below.call_method0("bit_length")?.extract()?;
        let len = bits.div_ceil(8);
        if len > MAX_NUMBER_BYTES as u64 {
            return Err(PyValueError::new_err(format!("a whole number of {bits} bits is too large")));
        }
        if let Ok(number) = below.extract::<u64>() {
            return self.item(Item::Whole { negative, number });
        }
        let bytes = below.call_method1("to_bytes", (len, "big"))?;
        self.item(Item::Large { negative, bytes: bytes.cast::<PyBytes>()?.as_bytes() })
    }
}

fn name_of(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "object".into(), |name| name.to_string())
}

/// The base of exceptions that a guest may be told of.
pub fn exception_type(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static EXCEPTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    EXCEPTION.import(py, "builtins", "Exception")
}
