//! Functions of the parent process, as a worker has them: each call is a question, and the guest waits for its answer.

use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::process::exit;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::child::{CAPS, Parent, refused};
use super::plugins::{Settled, Touch, Touched};
use super::protocol::{Answer, Call, Function, Number, Request, Returned, read, write};
use super::served::handed;
use super::turns::{Answered, Ask, Reply};
use crate::host::{HostCall, HostFunction, HostFunctions, Raised, Value, ValueType};
use crate::sandbox::host_calls::{HostCalls, Relay};
use crate::sandbox::store::Control;

/// How long after its deadline a guest still waits for a parent, which should have ended this process by then.
const GRACE: Duration = Duration::from_millis(500);

/// The parent process, shared by the one who serves it and the functions that ask it. All are on one thread.
#[derive(Clone)]
pub(super) struct Line(Arc<Mutex<State>>);

struct State {
    parent: Parent,
    run: Option<Current>,
}

/// The run whose guest may call.
#[derive(Clone)]
struct Current {
    number: u64,
    control: Control,
    host_calls: HostCalls,
}

impl Line {
    pub(super) fn new(parent: Parent) -> Self {
        Self(Arc::new(Mutex::new(State { parent, run: None })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Talks to the parent.
    pub(super) fn with<T>(&self, talk: impl FnOnce(&mut Parent) -> T) -> T {
        talk(&mut self.state().parent)
    }

    /// The run of that number begins.
    pub(super) fn begins(&self, number: u64, control: &Control, host_calls: &HostCalls) {
        self.state().run = Some(Current { number, control: control.clone(), host_calls: host_calls.clone() });
    }

    /// There is no run any more.
    pub(super) fn ended(&self) {
        self.state().run = None;
    }

    /// Asks the parent for the guest that runs: with what that has used, in processor time and memory. Meanwhile the
    /// parent may `touch` memories of the guest.
    pub(super) fn ask(
        &self,
        tail: &[u8],
        question: impl FnOnce(u64, u64) -> Answer,
        touch: &mut Touches<'_>,
    ) -> Result<Back, Raised> {
        let mut state = self.state();
        let Some(Current { number, control, host_calls }) = state.run.clone() else {
            return Err(Raised::new("it was called while nothing runs"));
        };
        let cpu_nanos = u64::try_from(control.cpu.used_here().as_nanos()).unwrap_or(u64::MAX);
        let question = question(cpu_nanos, host_calls.memory_peak());
        let Some(back) = state.parent.ask(number, &question, tail, control.deadline + GRACE, touch) else {
            // The guest runs no further instruction, and its call is cancelled.
            host_calls.abandon();
            return Err(Raised::new("nobody waits for the call any more"));
        };
        if let Request::Settled(Settled { cpu_nanos, .. }) = &back.0 {
            control.cpu.used_elsewhere(Duration::from_nanos(*cpu_nanos));
        }
        Ok(back)
    }

    /// The functions of a session, of which this list tells.
    pub(super) fn session_functions(&self, list: Bytes) -> SessionProxy {
        SessionProxy { line: self.clone(), list }
    }

    /// The functions of those names.
    pub(super) fn functions(&self, named: Vec<Function>) -> HostFunctions {
        let functions = named.into_iter().zip(0..).map(|(Function { module, name }, index)| {
            let line = self.clone();
            HostFunction::new(module, name, Proxy { line, index })
        });
        HostFunctions { functions: functions.collect(), around: None }
    }
}

/// One function, by its place among those that were loaded.
struct Proxy {
    line: Line,
    index: u32,
}

impl HostCall for Proxy {
    fn call(&self, params: &[Value], _results: &[ValueType]) -> Result<Vec<Value>, Raised> {
        let mut state = self.line.state();
        let Some(Current { number, control, host_calls }) = state.run.clone() else {
            return Err(Raised::new("it was called outside of a run"));
        };
        let call = Answer::Call(Call {
            function: self.index,
            params: params.iter().copied().map(Number::from).collect(),
            cpu_nanos: u64::try_from(control.cpu.used_here().as_nanos()).unwrap_or(u64::MAX),
            memory_bytes: host_calls.memory_peak(),
        });
        match state.parent.ask(number, &call, &[], control.deadline + GRACE, &mut nothing_to_touch) {
            Some((Request::Returned(Returned { values, cpu_nanos }), ..)) => {
                control.cpu.used_elsewhere(Duration::from_nanos(cpu_nanos));
                let values = values.ok_or_else(|| Raised::new("a function of the parent broke"))?;
                Ok(values.into_iter().map(Value::from).collect())
            }
            _ => {
                // The guest runs no further instruction, and its run is cancelled.
                host_calls.abandon();
                Err(Raised::new("nobody waits for the run any more"))
            }
        }
    }
}

/// Functions of the parent that the guest of a session calls by name.
pub(super) struct SessionProxy {
    line: Line,
    list: Bytes,
}

impl Relay for SessionProxy {
    fn list(&self) -> Vec<u8> {
        self.list.to_vec()
    }

    fn hand_on(&self, message: &[u8]) -> Result<Result<Vec<u8>, i64>, Raised> {
        let mut state = self.line.state();
        let Some(Current { number, control, host_calls }) = state.run.clone() else {
            return Err(Raised::new("it was called outside of a turn"));
        };
        let ask = Answer::Ask(Ask {
            cpu_nanos: u64::try_from(control.cpu.used_here().as_nanos()).unwrap_or(u64::MAX),
            memory_bytes: host_calls.memory_peak(),
        });
        match state.parent.ask(number, &ask, message, control.deadline + GRACE, &mut nothing_to_touch) {
            Some((Request::Answered(Answered { answer, cpu_nanos }), tail, descriptors)) => {
                control.cpu.used_elsewhere(Duration::from_nanos(cpu_nanos));
                match answer {
                    Reply::Given(from, len) => handed((from, len), tail, &mut descriptors.into_iter())
                        .map(|answer| Ok(answer.into()))
                        .map_err(|error| Raised::new(error.to_string())),
                    Reply::Refused(number) => Ok(Err(number)),
                    Reply::Broke => Err(Raised::new("a function of the parent broke")),
                }
            }
            _ => {
                // The guest runs no further instruction, and its turn is cancelled.
                host_calls.abandon();
                Err(Raised::new("nobody waits for the turn any more"))
            }
        }
    }
}

/// What came of a call, with what came along.
pub(super) type Back = (Request, Vec<u8>, Vec<OwnedFd>);

/// What does something with memories of the guest that waits, with what came along.
pub(super) type Touches<'a> = dyn FnMut(Touch, Vec<u8>, Vec<OwnedFd>) -> crate::Result<(Touched, Vec<u8>)> + 'a;

fn nothing_to_touch(_: Touch, _: Vec<u8>, _: Vec<OwnedFd>) -> crate::Result<(Touched, Vec<u8>)> {
    Err(refused("it has no memory to touch"))
}

impl Parent {
    /// What came of a call; none when the parent gave up on its run, or is late.
    fn ask(
        &mut self,
        number: u64,
        call: &Answer,
        tail: &[u8],
        until: Instant,
        touch: &mut Touches<'_>,
    ) -> Option<Back> {
        let metadata = write(call).unwrap_or_else(|_| exit(1));
        let look = &mut || if Instant::now() < until { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        self.link.send(number, &metadata, [tail, &[]], &[], look).unwrap_or_else(|_| exit(1));
        loop {
            self.link.wait(Some(until.checked_duration_since(Instant::now())?));
            while let Some(frame) = self.link.receive(CAPS).unwrap_or_else(|_| exit(1)) {
                // What else there is to hear is of runs before this one.
                if frame.request == number {
                    match read(&frame.metadata) {
                        Ok(back @ (Request::Returned(_) | Request::Answered(_) | Request::Settled(_))) => {
                            return Some((back, frame.tail, frame.descriptors));
                        }
                        Ok(Request::Touch(what)) => {
                            let (touched, read) =
                                touch(what, frame.tail, frame.descriptors).unwrap_or_else(|_| exit(1));
                            let metadata = write(&Answer::Touched(touched)).unwrap_or_else(|_| exit(1));
                            self.link.send(number, &metadata, [&read, &[]], &[], look).unwrap_or_else(|_| exit(1));
                        }
                        Ok(Request::Interrupt) => self.interrupted = Some(number),
                        Ok(Request::Cancel) => return None,
                        _ => exit(1),
                    }
                }
            }
        }
    }
}
