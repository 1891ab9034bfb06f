//! Memories of a guest that is inside of a function of the host, for as long as it is.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, ThreadId};

use super::access::{Access, Accessed, Elsewhere};
use crate::error::Result;

/// Where a memory is, and how many bytes it has.
pub(crate) struct Place {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: it is an address; what may be done with it is said where it is used.
unsafe impl Send for Place {}

impl Place {
    pub(crate) fn of(memory: &mut [u8]) -> Self {
        Self { at: NonNull::from(&mut *memory).cast(), len: memory.len() }
    }
}

/// Where the memories of a guest are.
pub(crate) enum Seen {
    Here(Vec<Place>),
    There(Arc<dyn Elsewhere>),
}

struct View {
    thread: ThreadId,
    seen: Seen,
}

/// The guests of a plugin, or of a pool of them, that are inside of functions of the host.
#[derive(Default)]
pub(crate) struct Views(Mutex<Vec<View>>);

impl Views {
    /// Shows memories while a function of the host is called on this thread.
    ///
    /// They were taken from a store whose guest is suspended in this very call, by a future that has that store to
    /// itself, and that is neither polled nor dropped before the call is over: whoever answers the call holds it.
    pub(crate) fn while_shown<T>(&self, seen: Seen, call: impl FnOnce() -> T) -> T {
        if matches!(&seen, Seen::Here(places) if places.is_empty()) {
            return call();
        }
        self.lock().push(View { thread: thread::current().id(), seen });
        let _shown = Shown(self);
        call()
    }

    /// Does something with a memory that is shown: on this thread; or on any, where there is `one` guest at most.
    pub(crate) fn access(&self, memory: usize, one: bool, access: Access<'_>) -> Option<Result<Accessed>> {
        let here = thread::current().id();
        let views = self.lock();
        let view = views.iter().rev().find(|view| view.thread == here);
        let view = view.or_else(|| if one { views.last() } else { None })?;
        let place = match &view.seen {
            Seen::Here(places) => places.get(memory)?,
            Seen::There(elsewhere) => {
                let elsewhere = elsewhere.clone();
                // Others need not wait for what another process answers.
                drop(views);
                return Some(elsewhere.access(memory, access));
            }
        };
        // SAFETY: the memory is where it was, with as many bytes: it is moved and freed by its store alone, and that
        // belongs to a future that is suspended until the view is gone (see `while_shown`), which takes this lock. Nobody
        // else has it meanwhile, for the same reason, and others who come this way wait for the lock.
        Some(Ok(access.of(unsafe { std::slice::from_raw_parts_mut(place.at.as_ptr(), place.len) })))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<View>> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

/// Views are gone when the call is over, however it ends.
struct Shown<'a>(&'a Views);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        let here = thread::current().id();
        let mut views = self.0.lock();
        if let Some(at) = views.iter().rposition(|view| view.thread == here) {
            views.remove(at);
        }
    }
}
