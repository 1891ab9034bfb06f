//! Streams and futures: those of a guest's as Python reads them, and Python's as a guest does.

use std::sync::{Arc, Weak};

use pyo3::exceptions::{PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use ringfence::host::Raised;
use ringfence::plugin::{Asked, Element, Feed, Items, Pulled, Stream, Tape, TypeId};

use super::plan::{Converter, Plan};
use super::read::{mixed_up, optional};
use super::write::{row, scalar, write};
use super::wrong::{Checked, Wrong, name_of};
use super::{Inner, numbers};
use crate::attach::attached;
use crate::enter::enter;
use crate::imports::in_context;
use crate::sandbox::Kill;

/// What a stream or a future is called that does not come back in time.
const TITLE: &str = "what a stream is given";

/// What an object for a stream or a future of a plugin's holds. The guest hears of it when it is collected.
#[pyclass(frozen, module = "ringfence._core")]
pub struct PluginStream {
    pub inner: Option<Arc<Inner>>,
    /// What the guest reaches of its host's while it is read.
    pub yours: Option<Py<PyAny>>,
    pub stream: Stream,
    pub element: Element,
    pub item: Option<TypeId>,
}

#[pymethods]
impl PluginStream {
    /// The next values, in a row: bytes, an array or a list; None where there are no more.
    #[pyo3(signature = (kill = None, context = None))]
    fn pull<'py>(
        &self,
        py: Python<'py>,
        kill: Option<&Kill>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let inner = self.inner.as_ref().ok_or_else(|| PyRuntimeError::new_err("the plugin of this stream is gone"))?;
        let context = context.map(|context| Arc::new(context) as Arc<_>);
        let asked = Asked { cancelled: kill.map(|kill| kill.cancelled.clone()), context, wall: None };
        let pulled = enter(py, || inner.plugin.pull(&self.stream, &asked));
        inner.interrupt.check()?;
        match (pulled?, self.element) {
            (Pulled::Over, _) => Ok(None),
            (Pulled::Items(Items::Row(bytes)), Element::Number(number)) => {
                numbers::read(py, &inner.plan, number, &bytes).map(Some)
            }
            (Pulled::Items(Items::Row(bytes)), _) => Ok(Some(PyBytes::new(py, &bytes).into_any())),
            (Pulled::Items(Items::Each(tapes)), _) => {
                let list = PyList::empty(py);
                for tape in tapes {
                    list.append(optional(py, &inner.plan, self.item, &mut tape.reader())?)?;
                }
                Ok(Some(list.into_any()))
            }
            (Pulled::Ended(result), _) => {
                inner.plan.objects.clear();
                Err(inner.ended(py, *result))
            }
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.yours)
    }
}

/// Puts a stream or a future on a tape: of what is there already, or of what a function of Python's gives.
pub fn feed(
    plan: &Plan,
    (element, item, is_future): (Element, Option<TypeId>, bool),
    home: &Py<PyAny>,
    value: &Bound<'_, PyAny>,
    tape: &mut Tape,
) -> Checked {
    let py = value.py();
    let is_text =
        value.cast::<PyString>().is_ok() && !item.is_some_and(|kind| matches!(plan.of(kind), Converter::Char));
    if is_text && !is_future {
        return Err(Wrong::kind("an iterable of values", value));
    }
    let feed: Box<dyn Feed> = if is_ready(value) && !is_future {
        Box::new(Ready(all(plan, element, item, value)?))
    } else {
        let next = home.bind(py).call_method1(intern!(py, "feed"), (value, is_future)).map_err(|error| {
            let is_told = error.is_instance_of::<PyTypeError>(py);
            if is_told { Wrong::type_error(error.value(py).to_string()) } else { Wrong::raised(error) }
        })?;
        let inner = plan.inner.get().cloned().unwrap_or_default();
        Box::new(Called { inner, element, item, next: next.unbind() })
    };
    tape.feed(element, is_future, feed, TITLE.into());
    Ok(())
}

/// Whether all of it is there already: its values are checked before a guest sees any of them.
fn is_ready(value: &Bound<'_, PyAny>) -> bool {
    value.cast::<PyList>().is_ok()
        || value.cast::<PyTuple>().is_ok()
        || pyo3::buffer::PyUntypedBuffer::get(value).is_ok()
}

fn all(plan: &Plan, element: Element, item: Option<TypeId>, value: &Bound<'_, PyAny>) -> Checked<Option<Items>> {
    if let Element::Number(_) = element {
        return some(plan, element, item, value).map(Some);
    }
    let mut tapes = Vec::new();
    for (at, value) in value.try_iter().map_err(Wrong::raised)?.enumerate() {
        let value = value.map_err(Wrong::raised)?;
        match some(plan, element, item, &value).map_err(|wrong| wrong.at(at))? {
            Items::Each(more) => tapes.extend(more),
            Items::Row(_) => {}
        }
    }
    Ok(Some(Items::Each(tapes)))
}

/// One value, or of numbers as many as are in a row.
fn some(plan: &Plan, element: Element, item: Option<TypeId>, value: &Bound<'_, PyAny>) -> Checked<Items> {
    let mut tape = Tape::default();
    match (element, item) {
        (Element::Number(number), _) => {
            if value.len().is_err() || value.cast::<PyString>().is_ok() {
                let word = scalar(number, value)?;
                return Ok(Items::Row(word.to_le_bytes().get(..number.size()).unwrap_or_default().to_vec()));
            }
            row(number, value, &mut tape)?;
            let bytes = tape.reader().piece().map_err(|error| Wrong::raised(mixed_up(error)))?;
            Ok(Items::Row(bytes.to_vec()))
        }
        (_, Some(kind)) => {
            write(plan, kind, value, &mut tape)?;
            Ok(Items::Each(vec![tape]))
        }
        (_, None) if value.is_none() => Ok(Items::Each(vec![tape])),
        (_, None) => Err(Wrong::kind("None, as this stream is of nothing", value)),
    }
}

struct Ready(Option<Items>);

impl Feed for Ready {
    fn next(&mut self) -> Result<Option<Items>, Raised> {
        Ok(self.0.take().filter(|items| !items.is_empty()))
    }
}

/// What a function gives until it raises StopIteration.
struct Called {
    inner: Weak<Inner>,
    element: Element,
    item: Option<TypeId>,
    next: Py<PyAny>,
}

impl Feed for Called {
    fn next(&mut self) -> Result<Option<Items>, Raised> {
        let gone = || Raised::new(format!("{TITLE} belongs to an interpreter that exits"));
        let inner = self.inner.upgrade().ok_or_else(gone)?;
        let came = attached(|py| {
            let came = match in_context(self.next.bind(py), Vec::new()) {
                Err(error) if error.is_instance_of::<PyStopIteration>(py) => return Ok(None),
                Err(error) => Err(error),
                Ok(value) => some(&inner.plan, self.element, self.item, &value)
                    .map(Some)
                    .map_err(|wrong| wrong.within(TITLE).into_error()),
            };
            came.map_err(|error| Raised {
                why: format!("{TITLE} raised {}", name_of(error.value(py))),
                payload: Some(Arc::new(error)),
            })
        });
        came.unwrap_or_else(|| Err(gone()))
    }
}
