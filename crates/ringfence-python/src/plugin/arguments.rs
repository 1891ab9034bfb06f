//! What a function of a plugin is called with.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use smallvec::SmallVec;

/// Values by their places, in most calls few, and values by their names.
pub struct Arguments<'a, 'py> {
    pub values: SmallVec<[Borrowed<'a, 'py, PyAny>; 8]>,
    pub named: Option<&'a Bound<'py, PyDict>>,
}

impl<'a, 'py> Arguments<'a, 'py> {
    pub fn new(values: &'a Bound<'py, PyTuple>, named: Option<&'a Bound<'py, PyDict>>) -> Self {
        Self::of(None, values, named)
    }

    /// The same with an object before them, where there is one.
    pub fn of(
        object: Option<Borrowed<'a, 'py, PyAny>>,
        values: &'a Bound<'py, PyTuple>,
        named: Option<&'a Bound<'py, PyDict>>,
    ) -> Self {
        Self { values: object.into_iter().chain(values.iter_borrowed()).collect(), named }
    }
}
