//! From Python's values to a tape, everything checked before a guest sees any of it.

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use ringfence::plugin::{Number, Placed, Tape, TypeId};

use super::PluginHandle;
use super::numbers;
use super::plan::{Case, Class, Converter, Field, Plan};
use super::stream::feed;
use super::wrong::{Checked, Wrong, class_name};

/// What is longer is not copied, but held until the guest has it.
pub const COPIED_BYTES: usize = 4096;

/// Writes a value of that type.
pub fn write(plan: &Plan, kind: TypeId, value: &Bound<'_, PyAny>, tape: &mut Tape) -> Checked {
    let py = value.py();
    match plan.of(kind) {
        Converter::Bool => match value.cast::<PyBool>() {
            Ok(is) => tape.word(u64::from(is.is_true())),
            Err(_) => return Err(Wrong::kind("bool", value)),
        },
        Converter::Number(number) => tape.word(scalar(*number, value)?),
        Converter::Char => tape.word(u64::from(u32::from(character(value)?))),
        Converter::String => text(value, tape)?,
        Converter::Numbers(number) => return row(*number, value, tape),
        Converter::List(item) => return list(plan, *item, None, value, tape),
        Converter::Fixed { item, number: None, len } => return list(plan, *item, Some(*len), value, tape),
        Converter::Fixed { number: Some(number), len, .. } => {
            row(*number, value, tape)?;
            let given = tape.last_piece() / number.size();
            return if given == *len { Ok(()) } else { Err(length(*len, given)) };
        }
        Converter::Map(key, kind) => return map(plan, *key, *kind, value, tape),
        Converter::Record { class, fields } => return record(plan, class, fields, value, tape),
        Converter::Tuple(kinds) => {
            let Ok(tuple) = value.cast::<PyTuple>() else { return Err(Wrong::kind("tuple", value)) };
            if tuple.len() != kinds.len() {
                return Err(Wrong::type_error(format!("expected a tuple of {}, not of {}", kinds.len(), tuple.len())));
            }
            for (at, (kind, item)) in kinds.iter().zip(tuple.iter_borrowed()).enumerate() {
                write(plan, *kind, &item, tape).map_err(|wrong| wrong.at(at))?;
            }
        }
        Converter::Variant { name, cases } => return variant(plan, name, cases, value, tape),
        Converter::Enum { class, members } => {
            let at = members.iter().position(|member| member.is(value));
            match at {
                Some(at) => tape.word(at as u64),
                None => return Err(Wrong::class("a member of ", class.bind(py), value)),
            }
        }
        Converter::Flags { class, count } => return flags(class.bind(py), *count, value, tape),
        Converter::Option { inner, wrapped } => {
            if value.is_none() {
                tape.word(0);
                return Ok(());
            }
            tape.word(1);
            if !wrapped {
                return write(plan, *inner, value, tape);
            }
            if !value.get_type().is(&plan.some) {
                return Err(Wrong::kind("None or Some(…), as an option inside an option", value));
            }
            let inside = value.getattr(&plan.value).map_err(Wrong::raised)?;
            return write(plan, *inner, &inside, tape).map_err(|wrong| wrong.within("value"));
        }
        Converter::Result { ok, error } => {
            let class = value.get_type();
            let (case, carries) = if class.is(&plan.ok) {
                (0, ok)
            } else if class.is(&plan.err) {
                (1, error)
            } else {
                return Err(Wrong::kind("Ok(…) or Err(…)", value));
            };
            tape.word(case);
            return carried(plan, *carries, value, tape);
        }
        Converter::Made { class, name, is_owned } => {
            let expected = || Wrong::kind(&format!("a resource `{name}` of this plugin"), value);
            let class = class.get(py).map_err(|_| expected())?;
            if !value.is_instance(&class).map_err(Wrong::raised)? {
                return Err(expected());
            }
            let handle = value.getattr(&plan.handle).map_err(|_| expected())?;
            let handle = handle.cast::<PluginHandle>().map_err(|_| expected())?;
            let handle = &handle.get().handle;
            let passed = if *is_owned { tape.give(handle) } else { tape.lend(handle) };
            return passed.map_err(|gone| Wrong::value(format!("this `{name}` {}", gone.why())));
        }
        Converter::Stream { element, item, is_future, home } => {
            return feed(plan, (*element, *item, *is_future), home, value, tape);
        }
        Converter::Object { resource, class, name, is_owned } => {
            if let Some(class) = class
                && !value.is_instance(class.bind(py)).map_err(Wrong::raised)?
            {
                let expected = class_name(class.bind(py));
                return Err(Wrong::kind(&format!("{expected}, which was given for `{name}`"), value));
            }
            let number = plan.objects.put(*resource, value);
            let number = number.ok_or_else(|| Wrong::value("the plugin has more objects than it may have"))?;
            tape.place(Placed { number, is_lent: !is_owned, resource: *resource });
        }
    }
    Ok(())
}

/// What a case carries: the attribute `value`.
fn carried(plan: &Plan, carries: Option<TypeId>, value: &Bound<'_, PyAny>, tape: &mut Tape) -> Checked {
    let inside = value.getattr(&plan.value).map_err(Wrong::raised)?;
    match carries {
        Some(kind) => write(plan, kind, &inside, tape).map_err(|wrong| wrong.within("value")),
        None if inside.is_none() => Ok(()),
        None => Err(Wrong::kind("None, as this case carries nothing", &inside).within("value")),
    }
}

pub fn scalar(number: Number, value: &Bound<'_, PyAny>) -> Checked<u64> {
    let Some((least, greatest)) = number.range() else { return float(number, value) };
    let whole = || Wrong::kind(&format!("int, for {}", number.name()), value);
    let index;
    let int = match value.cast::<PyInt>() {
        Ok(_) if value.is_instance_of::<PyBool>() => return Err(whole()),
        Ok(int) => int,
        Err(_) if value.is_instance_of::<PyFloat>() => return Err(whole()),
        Err(_) => {
            let of = value.getattr_opt(intern!(value.py(), "__index__")).map_err(Wrong::raised)?.ok_or_else(whole)?;
            index = of.call0().map_err(Wrong::raised)?;
            index.cast::<PyInt>().map_err(|_| whole())?
        }
    };
    let out = || Wrong::value(format!("{} is not from {least} to {greatest}, as {} is", shown(int), number.name()));
    if number == Number::U64 {
        return int.extract::<u64>().map_err(|_| out());
    }
    if number == Number::I64
        && let Ok(word) = int.extract::<u64>()
    {
        return Ok(word);
    }
    let small: i64 = int.extract().map_err(|_| out())?;
    let wide = i128::from(small);
    if wide < least || wide > greatest {
        return Err(out());
    }
    Ok(small.cast_unsigned())
}

fn float(number: Number, value: &Bound<'_, PyAny>) -> Checked<u64> {
    let wrong = || Wrong::kind(&format!("float, for {}", number.name()), value);
    let wide = match value.cast::<PyFloat>() {
        Ok(float) => float.value(),
        Err(_) if value.is_instance_of::<PyBool>() => return Err(wrong()),
        Err(_) if value.is_instance_of::<PyInt>() => {
            value.extract().map_err(|_| Wrong::value(format!("{} is too large for {}", shown(value), number.name())))?
        }
        Err(_) => value.extract().map_err(|error: PyErr| {
            // What has no number says so with a TypeError.
            if error.is_instance_of::<PyTypeError>(value.py()) { wrong() } else { Wrong::raised(error) }
        })?,
    };
    if number == Number::F64 {
        return Ok(wide.to_bits());
    }
    let narrow = wide as f32;
    if wide.is_finite() && !narrow.is_finite() {
        return Err(Wrong::value(format!("{} is too large for f32", shown(value))));
    }
    Ok(u64::from(narrow.to_bits()))
}

/// A number in a message; some have a million digits.
fn shown(value: &Bound<'_, PyAny>) -> String {
    match value.str() {
        Ok(text) => {
            let text = text.to_string_lossy().into_owned();
            if text.len() > 40 { "a number that long".into() } else { text }
        }
        // One of so many digits that Python writes none.
        Err(_) => "a number that long".into(),
    }
}

fn character(value: &Bound<'_, PyAny>) -> Checked<char> {
    let Ok(text) = value.cast::<PyString>() else { return Err(Wrong::kind("a str of one character", value)) };
    if text.len().map_err(Wrong::raised)? != 1 {
        return Err(Wrong::value("expected one character"));
    }
    let text = text.to_str().map_err(|_| surrogate())?;
    text.chars().next().ok_or_else(|| Wrong::value("expected one character"))
}

fn surrogate() -> Box<Wrong> {
    Wrong::value("a lone surrogate is no character of Unicode text")
}

fn text(value: &Bound<'_, PyAny>, tape: &mut Tape) -> Checked {
    let Ok(text) = value.cast::<PyString>() else { return Err(Wrong::kind("str", value)) };
    let utf8 = text.to_str().map_err(|_| surrogate())?;
    if utf8.len() < COPIED_BYTES {
        tape.bytes(utf8.as_bytes());
        return Ok(());
    }
    tape.hold(Box::new(PyBackedStr::try_from(text.clone()).map_err(Wrong::raised)?));
    Ok(())
}

/// A list of numbers, from whatever has them in a row in memory, or from one object for each.
pub fn row(number: Number, value: &Bound<'_, PyAny>, tape: &mut Tape) -> Checked {
    if number == Number::U8
        && let Ok(bytes) = value.cast::<PyBytes>()
    {
        let held = bytes.as_bytes();
        if held.len() < COPIED_BYTES {
            tape.bytes(held);
        } else {
            tape.hold(Box::new(PyBackedBytes::from(bytes.clone())));
        }
        return Ok(());
    }
    if let Some(items) = items(value) {
        let items = items.map_err(Wrong::raised)?;
        return tape.filled(|bytes| {
            for (at, item) in items.iter_borrowed().enumerate() {
                let word = scalar(number, &item).map_err(|wrong| wrong.at(at))?;
                bytes.extend_from_slice(word.to_le_bytes().get(..number.size()).unwrap_or_default());
            }
            Ok(())
        });
    }
    numbers::copy(number, value, tape)
}

/// The items of a list or a tuple; what another thread does to the list meanwhile does not matter.
fn items<'py>(value: &Bound<'py, PyAny>) -> Option<PyResult<Bound<'py, PyTuple>>> {
    if let Ok(list) = value.cast::<PyList>() {
        return Some(Ok(list.to_tuple()));
    }
    value.cast::<PyTuple>().ok().map(|tuple| Ok(tuple.clone()))
}

fn list(plan: &Plan, item: TypeId, len: Option<usize>, value: &Bound<'_, PyAny>, tape: &mut Tape) -> Checked {
    let Some(items) = items(value) else { return Err(Wrong::kind("list", value)) };
    let items = items.map_err(Wrong::raised)?;
    match len {
        Some(len) if len != items.len() => return Err(length(len, items.len())),
        Some(_) => {}
        None => tape.word(items.len() as u64),
    }
    for (at, inside) in items.iter_borrowed().enumerate() {
        write(plan, item, &inside, tape).map_err(|wrong| wrong.at(at))?;
    }
    Ok(())
}

fn length(expected: usize, found: usize) -> Box<Wrong> {
    Wrong::value(format!("expected a list of {expected}, not of {found}"))
}

/// A map from a dict, which another thread may change meanwhile: it is copied first.
fn map(plan: &Plan, key: TypeId, kind: TypeId, value: &Bound<'_, PyAny>, tape: &mut Tape) -> Checked {
    let Ok(dict) = value.cast::<PyDict>() else { return Err(Wrong::kind("dict", value)) };
    let items = dict.items();
    tape.word(items.len() as u64);
    for (at, item) in items.iter().enumerate() {
        let (name, inside): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract().map_err(Wrong::raised)?;
        write(plan, key, &name, tape).map_err(|wrong| wrong.within("key").at(at))?;
        write(plan, kind, &inside, tape).map_err(|wrong| wrong.within("value").at(at))?;
    }
    Ok(())
}

fn record(plan: &Plan, class: &Class, fields: &[Field], value: &Bound<'_, PyAny>, tape: &mut Tape) -> Checked {
    let py = value.py();
    let class = &class.get(py).map_err(Wrong::raised)?;
    if !value.get_type().is(class) {
        if let Ok(map) = value.cast::<PyDict>() {
            return mapping(plan, class, fields, map, tape);
        }
        if !value.is_instance(class).map_err(Wrong::raised)? {
            return Err(Wrong::class("", class, value));
        }
    }
    for field in fields {
        let inside = value.getattr(&field.name).map_err(Wrong::raised)?;
        write(plan, field.kind, &inside, tape).map_err(|wrong| wrong.within(spelled(py, field)))?;
    }
    Ok(())
}

/// A record as a dict: every field, and no other key.
fn mapping(
    plan: &Plan,
    class: &Bound<'_, PyAny>,
    fields: &[Field],
    map: &Bound<'_, PyDict>,
    tape: &mut Tape,
) -> Checked {
    let py = map.py();
    for field in fields {
        let inside = map.get_item(&field.name).map_err(Wrong::raised)?;
        let inside = inside.ok_or_else(|| {
            Wrong::value(format!("a dict for {} without this key", class_name(class))).within(spelled(py, field))
        })?;
        write(plan, field.kind, &inside, tape).map_err(|wrong| wrong.within(spelled(py, field)))?;
    }
    if map.len() != fields.len() {
        let extra = map.keys().iter().find(|key| !fields.iter().any(|field| key.eq(&field.name).unwrap_or(false)));
        let extra = extra.and_then(|key| key.repr().ok()).map_or_else(String::new, |key| key.to_string());
        let extra: String = extra.chars().take(60).collect();
        return Err(Wrong::value(format!("{} has no field {extra}", class_name(class))));
    }
    Ok(())
}

fn spelled(py: Python<'_>, field: &Field) -> String {
    field.name.bind(py).to_string_lossy().into_owned()
}

fn variant(plan: &Plan, name: &str, cases: &[Case], value: &Bound<'_, PyAny>, tape: &mut Tape) -> Checked {
    let (py, class) = (value.py(), value.get_type());
    let Some(at) = cases.iter().position(|case| case.class.is(py, &class)) else {
        if cases.iter().any(|case| case.class.is(py, value)) {
            return Err(Wrong::type_error(format!("expected a case of {name}, not the class of one: call that")));
        }
        return Err(Wrong::kind(&format!("a case of {name}"), value));
    };
    tape.word(at as u64);
    match cases.get(at).and_then(|case| case.carries) {
        Some(kind) => carried(plan, Some(kind), value, tape),
        None => Ok(()),
    }
}

fn flags(class: &Bound<'_, PyAny>, count: usize, value: &Bound<'_, PyAny>, tape: &mut Tape) -> Checked {
    if !value.is_instance(class).map_err(Wrong::raised)? {
        return Err(Wrong::class("", class, value));
    }
    let bits = value.getattr("value").map_err(Wrong::raised)?;
    let bits = bits.call_method1("to_bytes", (count.div_ceil(32) * 4, "little")).map_err(Wrong::raised)?;
    let bytes = bits.cast::<PyBytes>().map_err(|_| Wrong::kind("bytes", &bits))?;
    for word in bytes.as_bytes().chunks(4) {
        tape.word(word.first_chunk().map_or(0, |word| u64::from(u32::from_le_bytes(*word))));
    }
    Ok(())
}
