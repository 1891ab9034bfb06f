//! Whoever talks to the worker of a plugin during a call: its caller's thread, and from its first call of a function of
//! the host on, one that its caller can leave behind.

use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::Given;
use super::messages::{Call, Callback, Handed, Settled, Used};
use super::touch::Waiting;
use crate::apart::{self, no_thread};
use crate::error::Result;
use crate::host::Raised;
use crate::plugin::{Called, Context, Holdings, Returned, Tape};
use crate::policy::Limits;
use crate::process_unsafe::{Here, leave};
use crate::result::{Outcome, RunResult};
use crate::sandbox::stdio::Sink;
use crate::sandbox::stop::Stop;
use crate::sandbox::store::Control;
use crate::sandbox::views_unsafe::Seen;
use crate::text;
use crate::worker::ask::{GRACE, Next, Running, Told, What};
use crate::worker::client::Caller;
use crate::worker::frame::Broken;
use crate::worker::parcel::Parcel;
use crate::worker::place::{Inside, Place, State};
use crate::worker::pool::Worker;
use crate::worker::protocol::{Request, write};
use crate::worker::remote::Held;

/// What a call came to: its worker with what its guest holds, unless that is gone, and what it gave.
pub(super) type Done = (Option<(Held, Holdings)>, Called);

/// What is talked about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    Instance,
    /// What the host has let go of.
    Settling,
    /// The function at that place.
    Function(usize),
}

/// What ended a talk.
pub(super) enum End {
    Plugged,
    Gave(Tape, Used),
    Told(Told),
}

/// Up to what there is to do.
enum Step {
    End(End),
    Call(Asks),
}

/// A call of a function of the host.
pub(super) struct Asks {
    call: Call,
    /// What the guest has used so far.
    callback: Callback,
}

/// Asks for something that may call functions of the host.
pub(super) fn ask(
    worker: &mut Worker,
    what: What,
    request: &Request,
    (tail, descriptors): (&[u8], &[BorrowedFd<'_>]),
    (control, started, limits): (&Control, Instant, Limits),
    caller: &mut Caller<'_>,
) -> std::result::Result<Running, Told> {
    let number = worker.next_request();
    let kill_at = control.deadline + GRACE;
    let mut look = || {
        if Instant::now() < kill_at { caller.look() } else { std::ops::ControlFlow::Break(()) }
    };
    let sent = write(request)
        .map_err(Broken::Protocol)
        .and_then(|metadata| worker.link.send(number, &metadata, [tail, &[]], descriptors, &mut look));
    let sinks = [Sink::Capture(Vec::new()), Sink::Capture(Vec::new())];
    let mut running = Running::new((number, started), kill_at, sinks, limits).of(what);
    sent.map_err(|broken| {
        if Instant::now() < kill_at {
            running.cancel(worker, Instant::now());
        }
        running.lost(worker, broken)
    })?;
    Ok(running)
}

/// One call, or the making of an instance.
pub(super) struct Talk {
    given: Given,
    control: Control,
    limits: Limits,
    about: About,
    /// What the guest may speak of.
    pub(super) holdings: Holdings,
    /// Calls of functions of the host.
    pub(super) made: u64,
    /// Why one of them broke.
    pub(super) raised: Option<Raised>,
    /// Why there are no more of them.
    over: Option<Stop>,
    started: Instant,
    /// Where the worker is while a function of the host is called.
    place: Place<Arc<str>>,
    /// The same for memories of its guest.
    waiting: Arc<Waiting>,
}

/// The worker, and what it was asked for.
pub(super) struct Line {
    pub(super) held: Held,
    pub(super) running: Running,
}

impl Talk {
    pub(super) fn new(
        given: Given,
        control: Control,
        limits: Limits,
        started: Instant,
        (about, holdings): (About, Holdings),
    ) -> Self {
        // From here on, what this thread uses is looked at, and not the clock.
        control.cpu.look();
        let place = Place::talking();
        let waiting = Arc::new(Waiting::new(place.clone(), limits, control.deadline + GRACE));
        Self { given, control, limits, about, holdings, made: 0, raised: None, over: None, started, place, waiting }
    }

    /// To its end, on this thread, from that call of a function on; nothing where its caller has gone on without it.
    pub(super) fn through(
        &mut self,
        mut line: Line,
        mut first: Option<Asks>,
        caller: &mut Caller<'_>,
    ) -> Option<(Held, End)> {
        loop {
            let asks = match first.take() {
                Some(asks) => asks,
                None => match self.step(&mut line, caller) {
                    Step::End(end) => return Some((line.held, end)),
                    Step::Call(asks) => asks,
                },
            };
            let returned;
            (line, returned) = self.perform(line, asks)?;
            let settled = match self.waiting.take_lost() {
                Some(told) => Err(told),
                None => self.settle(&mut line, returned),
            };
            if let Err(told) = settled {
                return Some((line.held, End::Told(told)));
            }
        }
    }

    /// The same, on this thread as far as it calls no function of the host that its caller may have to leave behind.
    pub(super) fn end_of(mut self, mut line: Line, context: Option<Context>, mut caller: Caller<'_>) -> Result<Done> {
        if self.given.inline {
            let done = self.through(line, None, &mut caller);
            return self.done_of(done);
        }
        let first = match self.step(&mut line, &mut caller) {
            Step::End(end) => return self.done(line.held, end),
            Step::Call(asks) => asks,
        };
        let (control, started, place) = (self.control.clone(), self.started, self.place.clone());
        let around = self.given.imports.as_ref().map(|imports| imports.around(context.as_ref()));
        control.cpu.leave();
        // On a thread that its caller can leave behind.
        let talk = move || {
            let Control { cancelled, outer, .. } = self.control.clone();
            let done = self.through(line, Some(first), &mut Caller::new(cancelled, outer, &mut || true));
            self.done_of(done)
        };
        let tick = caller.into_tick();
        apart::run(&control, around, talk, tick, &mut |stop| {
            abandon(&place, stop, &control, started).map(|called| (None, called))
        })
    }

    fn done_of(self, done: Option<(Held, End)>) -> Result<Done> {
        match done {
            Some((held, end)) => self.done(held, end),
            None => Err(no_thread("its caller has given up on it")),
        }
    }

    /// Calls a function of the host, which may look at memories of the guest meanwhile.
    fn perform(
        &mut self,
        Line { mut held, running }: Line,
        Asks { call, callback }: Asks,
    ) -> Option<(Line, std::result::Result<Tape, Raised>)> {
        self.made += 1;
        self.control.cpu.used_elsewhere(callback.cpu());
        let taken = held.0.take()?;
        let title = self.given.title(&call).into();
        let memory = callback.memory(&self.limits);
        self.place.enter(Inside { taken: *taken, running, call: title, memory, made: self.made });
        let returned = match self.given.world.memories.is_empty() {
            true => self.given.perform(call),
            false => {
                let seen = Seen::There(self.waiting.clone());
                self.given.views.while_shown(seen, || self.given.perform(call))
            }
        };
        // Otherwise nobody waits for the result.
        let Inside { taken, running, .. } = self.place.take_inside(State::Talking)?;
        Some((Line { held: Held(Some(Box::new(taken))), running }, returned))
    }

    /// Waits for the end, or for a call of a function of the host.
    fn step(&mut self, line: &mut Line, caller: &mut Caller<'_>) -> Step {
        let Line { held, running } = line;
        let Some(taken) = &mut held.0 else {
            return Step::End(End::Told(Told::Failed(no_thread("its worker is gone"))));
        };
        loop {
            let bounds = (&self.limits, &mut self.holdings);
            let why = match (running.next(&mut taken.worker, caller), self.about) {
                (Next::Over(told), _) => return Step::End(End::Told(told)),
                (Next::Plugged | Next::Gave(..) | Next::Callback(..), _) if self.raised.is_some() => {
                    "it went on after a function broke".into()
                }
                (Next::Plugged, About::Instance) => return Step::End(End::Plugged),
                (Next::Gave(gave, tail), About::Function(_) | About::Settling) => {
                    let function = if let About::Function(function) = self.about { Some(function) } else { None };
                    match gave.into_values(tail, &self.given.world, function, bounds) {
                        Ok((tape, used)) => return Step::End(End::Gave(tape, used)),
                        Err(why) => why,
                    }
                }
                (Next::Callback(callback, tail), _) => {
                    // Late calls are not made: their caller would find the guest inside of one, and give up on it.
                    if let Err(stop) = self.control.check_from_outside() {
                        self.over = Some(stop);
                        running.cancel(&taken.worker, Instant::now());
                        continue;
                    }
                    match callback.to_call(tail, &self.given, bounds) {
                        Ok(call) => return Step::Call(Asks { call, callback }),
                        Err(why) => why,
                    }
                }
                _ => "it spoke of something else than a plugin".into(),
            };
            return Step::End(End::Told(running.broken(&taken.worker, &why)));
        }
    }

    /// Lets the guest go on with what came of its call.
    fn settle(
        &mut self,
        Line { held, running }: &mut Line,
        returned: std::result::Result<Tape, Raised>,
    ) -> std::result::Result<(), Told> {
        let Some(taken) = &mut held.0 else { return Err(Told::Failed(no_thread("its worker is gone"))) };
        let cpu_nanos = u64::try_from(self.control.cpu.used_here().as_nanos()).unwrap_or(u64::MAX);
        if let (Ok(_), Err(stop)) = (&returned, self.control.check_from_outside()) {
            // The function came back late, and its guest does not go on.
            self.over = Some(stop);
            return Err(Told::Lost(Box::new(running.without_answer(&taken.worker, Outcome::Cancelled))));
        }
        let tape = match returned {
            Ok(tape) => tape,
            Err(raised) => {
                self.raised = Some(raised);
                let settled = Request::Settled(Settled { result: None, cpu_nanos });
                return running.go_on(&mut taken.worker, &settled, &[], &[]);
            }
        };
        let (counts, bytes) = tape.pack();
        self.holdings.hand(tape.placed());
        let parcel = Parcel::of(&bytes).map_err(Told::Failed)?;
        let result = Some(Handed { counts, place: (parcel.from(), bytes.len() as u64) });
        let descriptors: Vec<BorrowedFd<'_>> = parcel.file().into_iter().collect();
        let settled = Request::Settled(Settled { result, cpu_nanos });
        running.go_on(&mut taken.worker, &settled, parcel.tail(&bytes), &descriptors)
    }

    /// What it came to; the worker stays where it can go on.
    pub(super) fn done(self, held: Held, end: End) -> Result<Done> {
        let (made, wall) = (self.made, self.started.elapsed());
        let called = |returned, Used { fuel, memory }| Called { returned, wall, fuel, memory, host_calls: made };
        let result = match end {
            End::Gave(tape, used) => {
                return Ok((Some((held, self.holdings)), called(Returned::Values(tape), used)));
            }
            End::Plugged => return Err(no_thread("its worker mixed up its calls")),
            End::Told(Told::Failed(error)) => return Err(error),
            End::Told(Told::Ended(result, _) | Told::Lost(result)) => self.complete(*result),
        };
        let used = Used { fuel: result.usage.fuel, memory: result.usage.memory };
        Ok((None, called(Returned::Ended(Box::new(result)), used)))
    }

    /// The result with what a worker does not know, and without what is not taken on trust.
    fn complete(self, mut result: RunResult) -> RunResult {
        result.usage.wall = self.started.elapsed();
        result.usage.fuel = self.limits.fuel.map(|most| result.usage.fuel.unwrap_or(0).min(most));
        result.usage.memory = result.usage.memory.min(self.limits.memory.0);
        result.host_calls = self.made;
        if let (Outcome::Cancelled, Some(Stop::Limit(limit))) = (result.outcome, self.over) {
            (result.outcome, result.limit) = (Outcome::Limited, Some(limit.name()));
        }
        if let Some(raised) = self.raised {
            (result.outcome, result.exit_code, result.limit) = (Outcome::Crashed, None, None);
            (result.trap, result.backtrace) = (Some(text::quote(&raised.why)), None);
            result.raised = Some(raised);
        }
        result
    }
}

impl Given {
    /// What is called is called in messages.
    fn title(&self, call: &Call) -> String {
        match call {
            Call::Function(index, _) => self.world.imported_title(*index),
            Call::Drop(resource, _) => self.world.dropped_title(*resource),
        }
    }

    /// Calls a function of the host, or ends an object of it.
    fn perform(&self, call: Call) -> std::result::Result<Tape, Raised> {
        let Some(imports) = &self.imports else { return Err(Raised::new("there is no such function")) };
        let (here, title) = (Here::new(()), self.title(&call));
        let returned = catch_unwind(AssertUnwindSafe(|| match call {
            Call::Function(index, params) => imports.call(index, params),
            Call::Drop(resource, number) => {
                let resource = usize::try_from(resource).unwrap_or(usize::MAX);
                imports.drop_object(resource, number).map(|()| Tape::default())
            }
        }));
        if !here.is_ours() {
            leave("a host function forked, and this child came back from it: its caller is in the parent");
        }
        returned.unwrap_or_else(|_| Err(Raised::new(format!("`{title}` panicked"))))
    }
}

/// Gives up on a guest that is inside a function: its worker is killed, and what is known of its call is told.
fn abandon(place: &Place<Arc<str>>, stop: Stop, control: &Control, started: Instant) -> Option<Called> {
    let Inside { taken, running, call, memory, made } = place.take_inside(State::GivenUp)?;
    let mut result = running.without_answer(&taken.worker, Outcome::Cancelled);
    taken.bury();
    if let Stop::Limit(limit) = stop {
        (result.outcome, result.limit) = (Outcome::Limited, Some(limit.name()));
    }
    result.usage.cpu = control.cpu.used();
    result.usage.memory = memory;
    result.host_calls = made;
    result.abandoned = Some(call.to_string());
    let returned = Returned::Ended(Box::new(result));
    Some(Called { returned, wall: started.elapsed(), fuel: None, memory, host_calls: made })
}
