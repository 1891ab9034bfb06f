//! A session whose instance is in a worker of its own, from its opening to its end.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::ask::{GRACE, Next, Running, Told, What, answer, sink};
use super::carried::Carried;
use super::client::{Caller, Client, Taken};
use super::frame::Broken;
use super::parcel::Parcel;
use super::place::{Inside, Place, State};
use super::pool::Worker;
use super::process::not_started;
use super::protocol::{Answer, Request, write};
use super::turns::{Answered, Ask, Eval, Open, Reply};
use crate::apart::{self, no_thread};
use crate::error::{Error, Result};
use crate::host::Raised;
use crate::language::abi;
use crate::policy::Limits;
use crate::process_unsafe::{Here, leave};
use crate::result::{Outcome, RunResult};
use crate::sandbox::files::PrivateTmp;
use crate::sandbox::host_calls::{HostCalls, Message};
use crate::sandbox::language::message_of;
use crate::sandbox::soft::{self, Soft, Words};
use crate::sandbox::stdio::{Output, Sink};
use crate::sandbox::stop::Stop;
use crate::sandbox::store::{Control, Outer};
use crate::session::{Functions, Turn, TurnOutcome, TurnResult, no_memory};
use crate::text;

/// An instance in a worker, which it has to itself until it is dropped.
pub(crate) struct Remote {
    held: Held,
    hears: bool,
}

/// A worker that goes with its session, or with its plugin.
pub(super) struct Held(pub(super) Option<Box<Taken>>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(taken) = self.0.take() {
            taken.bury();
        }
    }
}

type Done = (Option<Box<Remote>>, TurnResult);

impl Client {
    /// Opens a session in a worker: of that language, with this list of functions to tell its guest of. It goes on from
    /// where another one was, if that is given.
    pub(crate) fn open(
        &self,
        name: &str,
        list: Option<Vec<u8>>,
        copy: Option<&Carried>,
        cancelled: Arc<AtomicBool>,
        tick: Option<&mut dyn FnMut() -> bool>,
    ) -> Result<Remote> {
        let mut no_tick = || true;
        let limits = self.limits();
        let mut caller = Caller::new(cancelled, apart::outer()?, tick.unwrap_or(&mut no_tick));
        let gave_up = || Error::session(format!("no session of `{name}`"), "the caller gave up on it", "open it again");
        let (taken, program) = self.take(limits, &mut caller)?.ok_or_else(gave_up)?;
        let until = Instant::now() + limits.wall.0 + GRACE;
        let mut look = || if Instant::now() < until { caller.look() } else { ControlFlow::Break(()) };
        // Whatever happens from here on, the worker goes with it.
        let mut held = Held(Some(Box::new(taken)));
        let Some(taken) = &mut held.0 else { return Err(gave_up()) };
        let Taken { worker, space, .. } = &mut **taken;

        let kept;
        let (functions, tail, file): (_, &[u8], _) = match &list {
            None => (None, &[], None),
            Some(list) => {
                kept = Parcel::of(list)?;
                (Some((kept.from(), list.len() as u64)), kept.tail(list), kept.file())
            }
        };
        let (tmp, layers) = (space.tmp.as_ref().and_then(PrivateTmp::handle), space.layers.as_ref().map(AsFd::as_fd));
        let request = Request::Open(Open {
            program,
            name: name.to_owned(),
            functions,
            tmp: tmp.is_some(),
            layers: layers.is_some(),
            secrets: self.secrets(),
            copy: copy.map(|copy| copy.handle().1),
        });
        let copy = copy.map(|copy| copy.handle().0);
        let descriptors: Vec<BorrowedFd<'_>> = [file, tmp, layers, copy].into_iter().flatten().collect();
        let number = worker.next_request();
        let told = write(&request)
            .map_err(Broken::Protocol)
            .and_then(|metadata| worker.link.send(number, &metadata, [tail, &[]], &descriptors, &mut look))
            .and_then(|()| answer(worker, number, &mut look));
        match told {
            Ok(Answer::Opened(opened)) => Ok(Remote { held, hears: opened.hears }),
            Ok(Answer::Failed(failed)) => Err(failed.into_error().unwrap_or_else(|why| not_started(&why))),
            Ok(_) => Err(not_started("it answered something else than was asked: to open a session")),
            Err(Broken::GaveUp) if Instant::now() < until => Err(gave_up()),
            Err(Broken::GaveUp) => Err(not_started("it did not open the session in time")),
            Err(Broken::Protocol(why)) => Err(not_started(&why)),
            Err(Broken::Closed) => Err(not_started(&worker.how_it_died())),
        }
    }
}

impl Remote {
    /// Its worker.
    pub(super) fn worker(&mut self) -> Option<&mut Worker> {
        self.held.0.as_deref_mut().map(|taken| &mut taken.worker)
    }

    /// The limits of the session in all.
    pub(super) fn limits(&self) -> Limits {
        self.held.0.as_deref().map_or_else(Limits::default, |taken| taken.limits)
    }

    /// Runs one turn in it; what is left of it then, if a next one can run.
    pub(crate) fn eval(
        self: Box<Self>,
        functions: Option<&Functions>,
        limits: Limits,
        turn: Turn<'_>,
        outer: Option<Arc<Outer>>,
    ) -> Result<Done> {
        let Turn { source, stdout, stderr, cancelled, tick, .. } = turn;
        let mut no_tick = || true;
        let tick = tick.unwrap_or(&mut no_tick);
        if source.len() as u64 > limits.memory.0 {
            return Ok((Some(self), no_memory()));
        }
        let Self { mut held, hears } = *self;
        let Some(taken) = held.0.take() else { return Err(no_thread("its worker is gone")) };
        let started = Instant::now();
        let grace = if hears { soft::GRACE } else { Duration::ZERO };
        let soft = Soft::new(None, None);
        if hears {
            // The guest's own words are the worker's to write.
            soft.set_words([Some(Words::default()); 2]);
        }
        // What the guest writes is for the worker to look at.
        let output = Output::new(Sink::Discard, Sink::Discard, 0);
        let control = Control {
            soft: Some(Arc::new(soft)),
            ..Control::of_guest(started, &limits, grace, cancelled, output).inside(outer)
        };
        let talk = Talk {
            control: control.clone(),
            place: Place::new(*taken),
            limits,
            started,
            hears,
            calls: functions.map_or_else(HostCalls::default, Functions::calls),
        };
        let Some(functions) = functions else { return talk.run(&source, [stdout, stderr], tick) };
        let place = talk.place.clone();
        let guest = move || talk.run(&source, [stdout, stderr], &mut || true);
        let done = apart::run(&control, Some(functions.functions.clone().around()), guest, tick, &mut |stop| {
            abandon(&place, stop, &control).map(|result| (None, result))
        });
        place.bury_waiting();
        done
    }
}

/// Gives up on a guest that is inside a function: its worker is killed, and what is known of its turn is told.
fn abandon(place: &Place<HostCalls>, stop: Stop, control: &Control) -> Option<TurnResult> {
    let Inside { taken, running, call: calls, memory, made } = place.take_inside(State::GivenUp)?;
    let run = running.without_answer(&taken.worker, Outcome::Cancelled);
    taken.bury();
    let mut result = TurnResult::lost(run);
    if let Stop::Limit(limit) = stop {
        (result.outcome, result.limit) = (TurnOutcome::Ended(Outcome::Limited), Some(limit.name()));
    }
    result.usage.cpu = control.cpu.used();
    result.usage.memory = memory;
    (result.calls, result.calls_took) = (made, calls.took());
    result.abandoned = Some(calls.name());
    Some(result)
}

/// Whoever talks to the worker during a turn; where it has functions, on the thread that they are called on.
struct Talk {
    control: Control,
    place: Place<HostCalls>,
    limits: Limits,
    started: Instant,
    hears: bool,
    calls: HostCalls,
}

impl Talk {
    fn run(self, source: &Bytes, sinks: [Sink; 2], tick: &mut dyn FnMut() -> bool) -> Result<Done> {
        let Some(mut taken) = self.place.begin() else { return Err(no_thread("its worker is gone")) };
        let control = self.control.clone();
        let mut caller = Caller::of_turn(&control, tick);
        let mut running = match self.begin(&mut taken, source, sinks, &mut caller) {
            Ok(Ok(running)) => running,
            Ok(Err(told)) => return self.end(taken, told, None, None),
            Err(error) => {
                taken.bury();
                return Err(error);
            }
        };
        let (mut raised, mut over) = (None, None);
        loop {
            let (ask, message) = match running.next(&mut taken.worker, &mut caller) {
                Next::Ask(ask, message) => (ask, message),
                Next::Over(told) => return self.end(taken, told, raised, over),
                _ => {
                    let told = running.broken(&taken.worker, "it called a function that is none of a session");
                    return self.end(taken, told, raised, over);
                }
            };
            // Late calls are not made: their caller would find the guest inside of one, and give up on it.
            if let Err(stop) = control.check_from_outside() {
                over = Some(stop);
                running.cancel(&taken.worker, Instant::now());
                continue;
            }
            let called = match message_of(&message, self.limits.host_bytes.0) {
                Ok(_) if raised.is_some() => Err("it went on after a function broke"),
                Ok(_) if self.calls.session().is_none() => Err("it called a function, and was given none"),
                Ok(called) => Ok(called),
                Err(_) => Err("it called a function by a message that is none"),
            };
            let called = match called {
                Ok(called) => called,
                Err(why) => {
                    let told = running.broken(&taken.worker, why);
                    return self.end(taken, told, raised, over);
                }
            };
            let answer;
            (taken, running, answer) = match self.calls.refuses(&called, self.limits.host_bytes.0) {
                Some(refusal) => (taken, running, Ok(Err(refusal))),
                None => match self.call(taken, running, &ask, called) {
                    Some((taken, running, answer)) => (taken, running, answer.map(Ok)),
                    // Nobody waits for the result.
                    None => return Err(no_thread("its caller has given up on it")),
                },
            };
            if let Err(told) = self.answer(&mut taken, &mut running, answer, &mut raised) {
                return self.end(taken, told, raised, over);
            }
        }
    }

    /// Asks for the turn; the outer error is ours, before anything was sent.
    fn begin(
        &self,
        taken: &mut Taken,
        source: &Bytes,
        [stdout, stderr]: [Sink; 2],
        caller: &mut Caller<'_>,
    ) -> Result<std::result::Result<Running, Told>> {
        let parcel = Parcel::of(source)?;
        let ((to_stdout, out), (to_stderr, err)) = (sink(&stdout), sink(&stderr));
        let ends = self.control.deadline.saturating_duration_since(Instant::now());
        let request = Request::Eval(Eval {
            source: (parcel.from(), source.len() as u64),
            stdout: to_stdout,
            stderr: to_stderr,
            limits: self.limits,
            ends_nanos: u64::try_from(ends.as_nanos()).unwrap_or(u64::MAX),
        });
        let number = taken.worker.next_request();
        let kill_at = self.control.deadline + GRACE;
        let mut look = || {
            if Instant::now() < kill_at { caller.look() } else { ControlFlow::Break(()) }
        };
        let descriptors: Vec<BorrowedFd<'_>> = [parcel.file(), out, err].into_iter().flatten().collect();
        let sent = write(&request).map_err(Broken::Protocol).and_then(|metadata| {
            taken.worker.link.send(number, &metadata, [parcel.tail(source), &[]], &descriptors, &mut look)
        });
        let mut running = Running::new((number, self.started), kill_at, [stdout, stderr], self.limits).of(What::Turn);
        Ok(match sent {
            Ok(()) => Ok(running),
            Err(broken) => {
                if Instant::now() < kill_at {
                    running.cancel(&taken.worker, Instant::now());
                }
                Err(running.lost(&taken.worker, broken))
            }
        })
    }

    /// Calls a function; gives nothing back when the caller of the turn went on without it.
    fn call(
        &self,
        taken: Taken,
        running: Running,
        ask: &Ask,
        message: Message,
    ) -> Option<(Taken, Running, std::result::Result<Vec<u8>, Raised>)> {
        self.control.cpu.used_elsewhere(Duration::from_nanos(ask.cpu_nanos));
        let calls = self.calls.clone();
        calls.note(&message);
        let made = calls.made() + u64::from(message.is_call());
        self.place.enter(Inside { taken, running, call: calls.clone(), memory: ask.memory_bytes, made });
        let here = Here::new(());
        let answer = calls.perform(message);
        if !here.is_ours() {
            leave("a host function forked, and this child came back from it: its caller is in the parent");
        }
        let Inside { taken, running, .. } = self.place.take_inside(State::Talking)?;
        Some((taken, running, answer))
    }

    /// Lets the guest go on with what came of its call.
    fn answer(
        &self,
        taken: &mut Taken,
        running: &mut Running,
        answer: std::result::Result<std::result::Result<Vec<u8>, i64>, Raised>,
        raised: &mut Option<Raised>,
    ) -> std::result::Result<(), Told> {
        let cpu_nanos = u64::try_from(self.control.cpu.used_here().as_nanos()).unwrap_or(u64::MAX);
        let room = self.limits.host_bytes.0;
        let bytes = match answer {
            Ok(Ok(bytes)) if bytes.len() as u64 <= room => bytes,
            other => {
                let answer = match &other {
                    Ok(Ok(_)) => Reply::Refused(abi::TOO_LONG),
                    Ok(Err(refusal)) => Reply::Refused(*refusal),
                    Err(_) => Reply::Broke,
                };
                *raised = other.err();
                return running.go_on(&mut taken.worker, &Request::Answered(Answered { answer, cpu_nanos }), &[], &[]);
            }
        };
        let parcel = Parcel::of(&bytes).map_err(Told::Failed)?;
        let answer = Reply::Given(parcel.from(), bytes.len() as u64);
        let descriptors: Vec<BorrowedFd<'_>> = parcel.file().into_iter().collect();
        let request = Request::Answered(Answered { answer, cpu_nanos });
        running.go_on(&mut taken.worker, &request, parcel.tail(&bytes), &descriptors)
    }

    /// The turn is over, and the worker stays where it can go on.
    fn end(&self, taken: Taken, told: Told, raised: Option<Raised>, over: Option<Stop>) -> Result<Done> {
        let held = Held(Some(Box::new(taken)));
        let mut result = match told {
            Told::Ended(run, Some(said)) => TurnResult::of(*run, *said),
            Told::Ended(run, None) | Told::Lost(run) => TurnResult::lost(*run),
            Told::Failed(error) => return Err(error),
        };
        // What totals are made of is not taken on trust.
        result.usage.wall = self.started.elapsed();
        (result.calls, result.calls_took) = (self.calls.made(), self.calls.took());
        if let (TurnOutcome::Ended(Outcome::Cancelled), Some(Stop::Limit(limit))) = (result.outcome, over) {
            (result.outcome, result.limit) = (TurnOutcome::Ended(Outcome::Limited), Some(limit.name()));
        }
        if let Some(raised) = raised {
            let trap = Some(text::quote(&raised.why));
            let lost = TurnResult::lost(RunResult { outcome: Outcome::Crashed, ..result.apart().0 });
            let calls_took = self.calls.took();
            result = TurnResult {
                exit_code: None,
                limit: None,
                trap,
                backtrace: None,
                raised: Some(raised),
                calls_took,
                ..lost
            };
        }
        let Some(Taken { worker, .. }) = held.0.as_deref().filter(|_| !result.poisoned) else {
            return Ok((None, result));
        };
        if let Some(journal) = &worker.journal {
            journal.trim(result.usage.output);
        }
        Ok((Some(Box::new(Remote { held, hears: self.hears })), result))
    }
}
