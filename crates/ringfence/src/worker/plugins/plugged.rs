//! A plugin whose instance is in a worker of its own, from its opening to its end.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::Given;
use super::messages::{Handed, Invoke, Plug};
use super::talk::{About, End, Line, Talk, ask};
use super::touch::{Touching, Untouched};
use crate::apart::{self, no_thread};
use crate::error::{Error, Result};
use crate::host::Raised;
use crate::plugin::{Asked, Called, Holdings, Life, Tape};
use crate::policy::Limits;
use crate::result::Outcome;
use crate::sandbox::files::{PrivateTmp, Space};
use crate::sandbox::stdio::{Output, Sink};
use crate::sandbox::store::Control;
use crate::text;
use crate::worker::ask::{GRACE, Told, What};
use crate::worker::client::{Caller, Client, Taken};
use crate::worker::parcel::Parcel;
use crate::worker::pool;
use crate::worker::process::not_started;
use crate::worker::protocol::Request;
use crate::worker::remote::Held;

/// An instance in a worker, which it has to itself until it is dropped.
pub(crate) struct Plugged {
    held: Held,
    /// The number of its program there.
    program: u32,
    life: Arc<Life>,
    holdings: Holdings,
}

impl Drop for Plugged {
    fn drop(&mut self) {
        self.life.end();
    }
}

/// What bounds a guest that begins now: what it writes is for its worker to look at.
fn control(started: Instant, limits: &Limits, cancelled: Arc<AtomicBool>) -> Result<Control> {
    let output = Output::new(Sink::Discard, Sink::Discard, 0);
    Ok(Control::of_guest(started, limits, Duration::ZERO, cancelled, output).inside(apart::outer()?))
}

impl Client {
    /// Makes an instance of the plugin of that name in a worker: in that of the one that it takes the place of, if there
    /// is one that is well.
    pub(crate) fn plug(
        &self,
        name: &str,
        given: Given,
        before: Option<Box<Plugged>>,
        tick: &mut dyn FnMut() -> bool,
    ) -> Result<Plugged> {
        let outer = apart::outer()?;
        let mut caller = Caller::new(Arc::default(), outer, tick);
        if let Some(ready) = before.and_then(|plugged| self.again(plugged)) {
            match self.plug_in(ready, name, given.clone(), &mut caller) {
                // It was killed since, and nobody has heard of its guest: another worker is as good.
                Err((_, true)) => {}
                done => return done.map_err(|(error, _)| error),
            }
        }
        let ready = self.take(self.limits(), &mut caller)?.ok_or_else(|| gave_up(name))?;
        self.plug_in(ready, name, given, &mut caller).map_err(|(error, _)| error)
    }

    /// The same in that worker; the error, and whether it says no more than that the worker is gone.
    fn plug_in(
        &self,
        (taken, program): (Taken, u32),
        name: &str,
        given: Given,
        caller: &mut Caller<'_>,
    ) -> std::result::Result<Plugged, (Error, bool)> {
        let limits = self.limits();
        // Whatever happens from here on, the worker goes with it.
        let mut held = Held(Some(Box::new(taken)));
        let started = Instant::now();
        let control = control(started, &limits, Arc::default()).map_err(|error| (error, false))?;
        let Some(taken) = &mut held.0 else { return Err((gave_up(name), false)) };
        let Taken { worker, space, .. } = &mut **taken;
        let (tmp, layers) = (space.tmp.as_ref().and_then(PrivateTmp::handle), space.layers.as_ref().map(AsFd::as_fd));
        let secrets = self.secrets();
        let request = Request::Plug(Plug { program, tmp: tmp.is_some(), layers: layers.is_some(), secrets });
        let descriptors: Vec<BorrowedFd<'_>> = [tmp, layers].into_iter().flatten().collect();
        let bounds = (&control, started, limits);
        let lost = |told: &Told| matches!(told, Told::Lost(result) if result.outcome == Outcome::Crashed);
        let running = match ask(worker, What::Instance, &request, (&[], &descriptors), bounds, caller) {
            Ok(running) => running,
            Err(told) => {
                let is_lost = lost(&told);
                return Err((not_made(name, None, End::Told(told)), is_lost));
            }
        };
        let mut talk = Talk::new(given, control, limits, started, (About::Instance, Holdings::default()));
        let ended = talk.through(Line { held, running }, None, caller);
        let made = talk.made;
        match (ended, talk.raised) {
            (Some((held, End::Plugged)), None) => {
                Ok(Plugged { held, program, life: Life::new(Arc::default()), holdings: talk.holdings })
            }
            (Some((_, end)), raised) => {
                let is_lost = made == 0 && matches!(&end, End::Told(told) if lost(told));
                Err((not_made(name, raised, end), is_lost))
            }
            (None, _) => Err((gave_up(name), false)),
        }
    }
}

impl Client {
    /// The worker of an instance that is no more, for the next one: it has loaded the program, its guest did nothing that it
    /// must not, and what files it had are gone.
    fn again(&self, mut plugged: Box<Plugged>) -> Option<(Taken, u32)> {
        let (taken, program) = (plugged.held.0.take()?, plugged.program);
        drop(plugged);
        let Taken { worker, space, limits, .. } = *taken;
        drop(space);
        match self.binding.space(worker.home.as_ref()) {
            Ok(space) if worker.is_alive() => Some((Taken { worker, space, limits, until: None }, program)),
            _ => {
                pool::of_this_process().bury(worker, Space::default());
                None
            }
        }
    }
}

fn no_instance(name: &str) -> String {
    format!("no instance of the plugin `{name}`")
}

fn gave_up(name: &str) -> Error {
    Error::plugin(no_instance(name), "the caller gave up on it", "make it again")
}

/// Why there is no instance.
fn not_made(name: &str, raised: Option<Raised>, end: End) -> Error {
    let ended = |why: &str| {
        let why = format!("it ended while it was set up: {why}");
        Error::load(no_instance(name), why, "build it again, or ask who built it")
    };
    match (raised, end) {
        (Some(raised), _) => ended(&text::quote(&raised.why)),
        (None, End::Told(Told::Failed(error))) => error,
        (None, End::Told(Told::Lost(result))) => match (result.outcome, &result.trap) {
            (Outcome::Limited, _) => Error::policy(
                no_instance(name),
                "it reached the limit `wall` while it was set up",
                "raise `wall` in the policy's limits",
            ),
            (Outcome::Cancelled, _) => gave_up(name),
            (_, trap) => ended(trap.as_deref().unwrap_or("it is gone")),
        },
        (None, _) => not_started("it answered something else than was asked: to make an instance"),
    }
}

impl Plugged {
    /// What handles of its resources hang on.
    pub(crate) fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// Reads or writes something of it, between two calls.
    pub(crate) fn touch<T>(
        &mut self,
        tick: &mut dyn FnMut() -> bool,
        act: impl FnOnce(&mut Touching<'_>) -> std::result::Result<T, Untouched>,
    ) -> std::result::Result<T, Untouched> {
        let Some(taken) = &mut self.held.0 else { return Err(Untouched::Gone("its worker is gone".into())) };
        let outer = apart::outer().map_err(Untouched::Not)?;
        let Taken { worker, limits, .. } = &mut **taken;
        let until = Instant::now() + limits.wall.0 + GRACE;
        let mut caller = Caller::new(Arc::default(), outer, tick);
        let mut look = || if Instant::now() < until { caller.look() } else { ControlFlow::Break(()) };
        act(&mut Touching::new(worker, limits, &mut look))
    }

    /// Calls a function, or none, after the guest has heard of what was dropped; the instance is given back, unless it is
    /// gone.
    pub(crate) fn call(
        mut self: Box<Self>,
        given: Given,
        (function, params): (Option<usize>, Tape),
        limits: &Limits,
        asked: &Asked,
        tick: &mut dyn FnMut() -> bool,
    ) -> Result<(Option<Box<Self>>, Called)> {
        let started = Instant::now();
        let control = control(started, limits, asked.cancelled.clone().unwrap_or_default())?;
        // Before what it is given is let go of here: what crosses is told of with the next call.
        let dropped = self.life.take_dropped_there();
        let (counts, bytes) = params.pack();
        let parcel = Parcel::of(&bytes)?;
        // Whatever becomes of it, it is on its way from here on.
        let given_back = params.give_all();
        let placed = params.placed().to_vec();
        drop(params);
        let mut holdings = std::mem::take(&mut self.holdings);
        holdings.forget(dropped.len() + given_back);
        holdings.hand(&placed);
        let request = Request::Invoke(Invoke {
            function: function.map(|function| u32::try_from(function).unwrap_or(u32::MAX)),
            dropped,
            params: Handed { counts, place: (parcel.from(), bytes.len() as u64) },
            wall_nanos: u64::try_from(limits.wall.0.as_nanos()).unwrap_or(u64::MAX),
        });
        let mut held = Held(self.held.0.take());
        let Some(taken) = &mut held.0 else { return Err(no_thread("its worker is gone")) };
        let mut caller = Caller::new(control.cancelled.clone(), control.outer.clone(), tick);
        let descriptors: Vec<BorrowedFd<'_>> = parcel.file().into_iter().collect();
        let (sent, bounds) = ((parcel.tail(&bytes), &descriptors[..]), (&control, started, *limits));
        let running = ask(&mut taken.worker, What::Call, &request, sent, bounds, &mut caller);
        drop(bytes);
        let about = function.map_or(About::Settling, About::Function);
        let talk = Talk::new(given, control, *limits, started, (about, holdings));
        let (held, called) = match running {
            Ok(running) => talk.end_of(Line { held, running }, asked.context.clone(), caller)?,
            Err(told) => talk.done(held, End::Told(told))?,
        };
        let Some((held, mut holdings)) = held else { return Ok((None, called)) };
        holdings.end(&placed);
        (self.held, self.holdings) = (held, holdings);
        Ok((Some(self), called))
    }
}
