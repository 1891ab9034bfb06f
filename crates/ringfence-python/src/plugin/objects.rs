//! Objects of Python's that a guest has handles of: it knows each by a number, and wasmtime knows which it has.

use std::sync::{Mutex, MutexGuard, TryLockError};

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use ringfence::plugin::Placed;

/// The objects of one plugin, by their numbers.
#[derive(Default)]
pub struct Objects(Mutex<Places>);

#[derive(Default)]
struct Places {
    objects: Vec<Option<(u32, Py<PyAny>)>>,
    free: Vec<u32>,
}

impl Objects {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Its number from here on; none where there are no more.
    pub fn put(&self, resource: u32, object: &Bound<'_, PyAny>) -> Option<u32> {
        let mut places = self.places();
        let object = Some((resource, object.clone().unbind()));
        if let Some(number) = places.free.pop() {
            *places.objects.get_mut(number as usize)? = object;
            return Some(number);
        }
        let number = u32::try_from(places.objects.len()).ok()?;
        places.objects.push(object);
        Some(number)
    }

    /// The object of that number, if it is one of that resource.
    pub fn get(&self, py: Python<'_>, resource: u32, number: u32) -> Option<Py<PyAny>> {
        let places = self.places();
        let (kind, object) = places.objects.get(number as usize)?.as_ref()?;
        (*kind == resource).then(|| object.clone_ref(py))
    }

    /// The same, whose number is given to another from here on.
    pub fn take(&self, resource: u32, number: u32) -> Option<Py<PyAny>> {
        let mut places = self.places();
        let place = places.objects.get_mut(number as usize)?;
        let (_, object) = place.take_if(|(kind, _)| *kind == resource)?;
        places.free.push(number);
        Some(object)
    }

    /// Forgets those that were lent to a call that is over, or all of a call that was not made.
    pub fn forget(&self, placed: &[Placed], lent_only: bool) {
        for placed in placed.iter().filter(|placed| placed.is_lent || !lent_only) {
            let mut places = self.places();
            let object = places.objects.get_mut(placed.number as usize).and_then(Option::take);
            if object.is_some() {
                places.free.push(placed.number);
            }
            // Its own end may be code of anybody's.
            drop(places);
            drop(object);
        }
    }

    /// Shows them to Python's collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let places = match self.0.try_lock() {
            Ok(places) => places,
            Err(TryLockError::Poisoned(broken)) => broken.into_inner(),
            // What is not shown is not collected.
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        places.objects.iter().flatten().try_for_each(|(_, object)| visit.call(object))
    }

    /// Forgets all: their guest is gone.
    pub fn clear(&self) {
        let gone = std::mem::take(&mut *self.places());
        drop(gone);
    }
}
