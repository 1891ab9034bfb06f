//! What is wrong with a value, and where in it.

use std::fmt::Write;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// Longest name of a type in a message, in characters.
const MAX_NAME_CHARS: usize = 100;

/// A value that is not what its type says. The path is put together on the way out, innermost first.
pub struct Wrong {
    why: Why,
    path: Vec<Step>,
}

enum Why {
    Type(String),
    Value(String),
    Raised(PyErr),
}

enum Step {
    Name(String),
    Index(usize),
}

pub type Checked<T = ()> = Result<T, Box<Wrong>>;

impl Wrong {
    /// Another type than this.
    pub fn kind(expected: &str, found: &Bound<'_, PyAny>) -> Box<Self> {
        let kind = name_of(found);
        if kind != expected {
            return Self::type_error(format!("expected {expected}, not {kind}"));
        }
        // Such as numpy's `bool`.
        let home = found.get_type().module().map(|module| module.to_string()).unwrap_or_default();
        Self::type_error(format!("expected {expected}, not {}.{kind}", ringfence::text::quote(&home)))
    }

    /// No value of this class; what goes before its name is for `format!`. Classes of one name are told apart by where
    /// they come from.
    pub fn class(before: &str, class: &Bound<'_, PyAny>, found: &Bound<'_, PyAny>) -> Box<Self> {
        let (expected, kind) = (class_name(class), name_of(found));
        if expected != kind {
            return Self::kind(&format!("{before}{expected}"), found);
        }
        let home = |class: &Bound<'_, PyAny>| {
            let module = class.getattr("__module__").map(|module| module.to_string()).unwrap_or_default();
            let home = module.strip_prefix("ringfence.plugin.").map_or(module.as_str(), |interface| interface);
            ringfence::text::quote(home)
        };
        let (of, not) = (home(class), home(found.get_type().as_any()));
        let (of, not) = if of == not { (of + ", of this plugin", not) } else { (of, not) };
        Self::type_error(format!("expected {before}{expected} of {of}, not {kind} of {not}"))
    }

    pub fn type_error(why: String) -> Box<Self> {
        Box::new(Self { why: Why::Type(why), path: Vec::new() })
    }

    pub fn value(why: impl Into<String>) -> Box<Self> {
        Box::new(Self { why: Why::Value(why.into()), path: Vec::new() })
    }

    /// An exception of Python's own, from looking at the value.
    pub fn raised(error: PyErr) -> Box<Self> {
        Box::new(Self { why: Why::Raised(error), path: Vec::new() })
    }

    /// It is in the field, or the parameter, of this name.
    pub fn within(mut self: Box<Self>, name: impl Into<String>) -> Box<Self> {
        self.path.push(Step::Name(name.into()));
        self
    }

    /// It is at this place of a list.
    pub fn at(mut self: Box<Self>, index: usize) -> Box<Self> {
        self.path.push(Step::Index(index));
        self
    }

    /// The exception.
    pub fn into_error(self) -> PyErr {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            match step {
                Step::Name(name) if path.is_empty() => path.push_str(name),
                Step::Name(name) => {
                    let _ = write!(path, ".{name}");
                }
                Step::Index(index) => {
                    let _ = write!(path, "[{index}]");
                }
            }
        }
        match self.why {
            Why::Type(why) => PyTypeError::new_err(format!("{path}: {why}")),
            Why::Value(why) => PyValueError::new_err(format!("{path}: {why}")),
            Why::Raised(error) => error,
        }
    }
}

/// The name of a class.
pub fn class_name(class: &Bound<'_, PyAny>) -> String {
    class.getattr("__qualname__").map_or_else(|_| name_of(class), |name| name.to_string())
}

/// The name of its type.
pub fn name_of(value: &Bound<'_, PyAny>) -> String {
    value
        .get_type()
        .name()
        .map_or_else(|_| "object".into(), |name| name.to_string_lossy().chars().take(MAX_NAME_CHARS).collect())
}
