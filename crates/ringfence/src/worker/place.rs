//! Where a worker is whose guest calls functions of this process: with the thread that talks to it, or up for taking.

use std::sync::{Arc, Mutex, MutexGuard};

use super::ask::Running;
use super::client::Taken;

/// Where it is; `C` is what is known of a call. Clones share it.
pub(super) struct Place<C>(Arc<Mutex<State<C>>>);

impl<C> Clone for Place<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

pub(super) enum State<C> {
    /// Nobody talks to it yet.
    Waiting(Box<Taken>),
    /// With whoever talks to it.
    Talking,
    /// Its guest is inside a function: whoever waits for the run may take it.
    Inside(Box<Inside<C>>),
    /// Nobody talks to it any more.
    GivenUp,
}

/// A worker whose guest is inside a function.
pub(super) struct Inside<C> {
    pub(super) taken: Taken,
    pub(super) running: Running,
    /// Which function.
    pub(super) call: C,
    /// The most memory the guest had taken when it called.
    pub(super) memory: u64,
    /// Calls made, this one included.
    pub(super) made: u64,
}

impl<C> Place<C> {
    /// That of a worker that nobody talks to yet.
    pub(super) fn new(taken: Taken) -> Self {
        Self(Arc::new(Mutex::new(State::Waiting(Box::new(taken)))))
    }

    /// That of a worker that somebody talks to already.
    pub(super) fn talking() -> Self {
        Self(Arc::new(Mutex::new(State::Talking)))
    }

    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Changes it, and gives what it was.
    fn now(&self, state: State<C>) -> State<C> {
        std::mem::replace(&mut self.state(), state)
    }

    /// The worker, for the one who talks to it.
    pub(super) fn begin(&self) -> Option<Taken> {
        match self.now(State::Talking) {
            State::Waiting(taken) => Some(*taken),
            _ => None,
        }
    }

    /// Its guest is inside a function from now on.
    pub(super) fn enter(&self, inside: Inside<C>) {
        self.now(State::Inside(Box::new(inside)));
    }

    /// Does something with a worker whose guest is inside a function, and stays so; others who want it wait.
    pub(super) fn while_inside<T>(&self, act: impl FnOnce(&mut Inside<C>) -> T) -> Option<T> {
        match &mut *self.state() {
            State::Inside(inside) => Some(act(inside)),
            _ => None,
        }
    }

    /// Changes it only where the guest is inside a function.
    pub(super) fn take_inside(&self, next: State<C>) -> Option<Inside<C>> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, next) {
            State::Inside(inside) => Some(*inside),
            other => {
                *state = other;
                None
            }
        }
    }

    /// Kills a worker that nobody came to talk to.
    pub(super) fn bury_waiting(&self) {
        if let State::Waiting(taken) = self.now(State::GivenUp) {
            taken.bury();
        }
    }
}
