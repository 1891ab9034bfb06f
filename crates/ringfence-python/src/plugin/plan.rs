//! How the values of a plugin's types are made of Python's and back: planned once, when it is loaded.

use std::iter::zip;
use std::sync::{OnceLock, Weak};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple, PyWeakrefReference};
use ringfence::plugin::{Element, Number, Shape, TypeId, Types};

use super::Inner;
use super::objects::Objects;

/// How values of one type are made. Types inside it are in the same plan, by their number.
pub enum Converter {
    Bool,
    Number(Number),
    Char,
    String,
    Numbers(Number),
    List(TypeId),
    /// A list of so many numbers, or of so many of anything.
    Fixed {
        item: TypeId,
        number: Option<Number>,
        len: usize,
    },
    Map(TypeId, TypeId),
    Record {
        class: Class,
        fields: Vec<Field>,
    },
    Tuple(Vec<TypeId>),
    Variant {
        name: String,
        cases: Vec<Case>,
    },
    Enum {
        class: Py<PyAny>,
        members: Vec<Py<PyAny>>,
    },
    Flags {
        class: Py<PyAny>,
        count: usize,
    },
    /// What may be absent; in a `Some` of its own where what is inside may be absent too.
    Option {
        inner: TypeId,
        wrapped: bool,
    },
    Result {
        ok: Option<TypeId>,
        error: Option<TypeId>,
    },
    /// A resource that the guest makes.
    Made {
        class: Class,
        name: String,
        is_owned: bool,
    },
    /// One that the host makes: an object of Python's, of that class where one was given.
    Object {
        resource: u32,
        class: Option<Py<PyAny>>,
        name: String,
        is_owned: bool,
    },
    /// A stream, or a future, of such values: `home` makes Python's objects for it, and tells what comes from those.
    Stream {
        element: Element,
        item: Option<TypeId>,
        is_future: bool,
        home: Py<PyAny>,
    },
}

/// A field of a record, as Python spells it.
pub struct Field {
    pub name: Py<PyString>,
    pub kind: TypeId,
}

/// A case of a variant, and its only value where it carries nothing.
pub struct Case {
    pub class: Class,
    pub unit: Option<Py<PyAny>>,
    pub carries: Option<TypeId>,
}

/// A class whose values are made.
pub enum Class {
    Kept(Py<PyAny>),
    /// One that leads back to the plugin, which has this plan: that of a resource has methods, and that of values with
    /// resources inside is annotated with it. The plugin's functions keep both.
    Found(Py<PyWeakrefReference>),
}

impl Class {
    fn new(class: &Bound<'_, PyAny>, is_shared: bool) -> PyResult<Self> {
        Ok(match is_shared {
            true => Self::Kept(class.clone().unbind()),
            false => Self::Found(PyWeakrefReference::new(class)?.unbind()),
        })
    }

    /// Whether that is the class.
    pub fn is(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> bool {
        match self {
            Self::Kept(class) => other.is(class),
            Self::Found(_) => self.get(py).is_ok_and(|class| other.is(&class)),
        }
    }

    /// The class, while the plugin has functions.
    pub fn get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Kept(class) => Ok(class.bind(py).clone()),
            Self::Found(class) => {
                let class = class.bind(py).upgrade();
                class.ok_or_else(|| PyRuntimeError::new_err("the class of a plugin's values is gone"))
            }
        }
    }
}

/// The class of a case, and its only value.
type Cased<'py> = (Bound<'py, PyAny>, Option<Bound<'py, PyAny>>);

/// The converters of a plugin, by the numbers of its types.
pub struct Plan {
    converters: Vec<Converter>,
    pub ok: Py<PyAny>,
    pub err: Py<PyAny>,
    pub some: Py<PyAny>,
    /// `array.array`
    pub array: Py<PyAny>,
    pub value: Py<PyString>,
    /// The base of the errors that are a guest's results.
    pub result_error: Py<PyAny>,
    /// Objects that the guest has handles of.
    pub objects: Objects,
    /// The plugin that this is the plan of.
    pub inner: OnceLock<Weak<Inner>>,
    /// What the plugins of this plan have of their host's, weakly.
    pub yours: OnceLock<Py<PyWeakrefReference>>,
    /// What makes an object of the class of a resource: `_of`.
    pub of: Py<PyString>,
    /// Where such an object has its handle: `_handle`.
    pub handle: Py<PyString>,
}

impl Plan {
    /// Of the types of a plugin, with the classes that Python has for them.
    pub fn new(py: Python<'_>, types: &Types, classes: &Bound<'_, PyAny>) -> PyResult<Self> {
        static ARRAY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let home = py.import("ringfence._plugin_values")?;
        let mut converters = Vec::with_capacity(types.shapes().len());
        let given: Vec<Bound<'_, PyAny>> = classes.getattr("given")?.extract()?;
        let shared: Vec<bool> = classes.getattr("shared")?.extract()?;
        for ((shape, class), is_shared) in zip(zip(types.shapes(), given), shared) {
            converters.push(converter(types, shape, &class, is_shared)?);
        }
        Ok(Self {
            converters,
            ok: home.getattr("Ok")?.unbind(),
            err: home.getattr("Err")?.unbind(),
            some: home.getattr("Some")?.unbind(),
            array: ARRAY.import(py, "array", "array")?.clone().unbind(),
            value: PyString::intern(py, "value").unbind(),
            objects: Objects::default(),
            inner: OnceLock::new(),
            yours: OnceLock::new(),
            of: PyString::intern(py, "_of").unbind(),
            handle: PyString::intern(py, "_handle").unbind(),
            result_error: py.import("ringfence.errors")?.getattr("ResultError")?.unbind(),
        })
    }

    pub fn of(&self, kind: TypeId) -> &Converter {
        // Every number was given out with its converter.
        self.converters.get(kind.0 as usize).unwrap_or(&Converter::Bool)
    }
}

fn converter(types: &Types, shape: &Shape, class: &Bound<'_, PyAny>, is_shared: bool) -> PyResult<Converter> {
    Ok(match shape {
        Shape::Bool => Converter::Bool,
        Shape::Number(number) => Converter::Number(*number),
        Shape::Char => Converter::Char,
        Shape::String => Converter::String,
        Shape::List(item) => types.numbers(*item).map_or(Converter::List(*item), Converter::Numbers),
        Shape::Fixed(item, len) => Converter::Fixed { item: *item, number: types.numbers(*item), len: *len as usize },
        Shape::Map(key, value) => Converter::Map(*key, *value),
        Shape::Record(fields) => {
            let (class, names): (Bound<'_, PyAny>, Vec<Bound<'_, PyString>>) = class.extract()?;
            let fields =
                names.into_iter().zip(fields).map(|(name, (_, kind))| Field { name: name.unbind(), kind: *kind });
            Converter::Record { class: Class::new(&class, is_shared)?, fields: fields.collect() }
        }
        Shape::Tuple(kinds) => Converter::Tuple(kinds.clone()),
        Shape::Variant(cases) => {
            let (base, classes): (Bound<'_, PyAny>, Vec<Cased<'_>>) = class.extract()?;
            let cases = zip(classes, cases).map(|((class, unit), (_, carries))| {
                let class = Class::new(&class, is_shared)?;
                Ok(Case { class, unit: unit.map(Bound::unbind), carries: *carries })
            });
            let name = base.getattr("__qualname__")?.extract()?;
            Converter::Variant { name, cases: cases.collect::<PyResult<_>>()? }
        }
        Shape::Enum(_) => {
            let (class, members): (Bound<'_, PyAny>, Bound<'_, PyTuple>) = class.extract()?;
            Converter::Enum { class: class.unbind(), members: members.iter().map(Bound::unbind).collect() }
        }
        Shape::Flags(names) => Converter::Flags { class: class.clone().unbind(), count: names.len() },
        Shape::Option(inner) => {
            let wrapped = matches!(types.shape(*inner), Shape::Option(_));
            Converter::Option { inner: *inner, wrapped }
        }
        Shape::Result(ok, error) => Converter::Result { ok: *ok, error: *error },
        Shape::Stream(item) | Shape::Future(item) => {
            let is_future = matches!(shape, Shape::Future(_));
            let element = types.element(*item).unwrap_or(Element::Nothing);
            Converter::Stream { element, item: *item, is_future, home: class.clone().unbind() }
        }
        Shape::Own(at) | Shape::Borrow(at) => {
            let is_owned = matches!(shape, Shape::Own(_));
            let resource = types.resources().get(*at as usize);
            let name = resource.map_or_else(String::new, |resource| ringfence::text::quote(&resource.name));
            if resource.is_some_and(|resource| resource.is_hosts) {
                let class = (!class.is_none()).then(|| class.clone().unbind());
                return Ok(Converter::Object { resource: *at, class, name, is_owned });
            }
            Converter::Made { class: Class::new(class, false)?, name, is_owned }
        }
    })
}
