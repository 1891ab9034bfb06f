//! Sessions: turns in and out, functions of Python called by name with plain values.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use ringfence::host::{Raised, SessionFunctions, Surrounding};
use ringfence::language::value::{Item, Reader};
use ringfence::policy::LimitsPatch;
use ringfence::session::{Forking, Opening, Turn, TurnResult, TurnValue};

use crate::attach::attached;
use crate::call_unsafe::call;
use crate::enter::enter;
use crate::imports::{exception, warn_abandoned};
use crate::kept_unsafe::keep;
use crate::sandbox::{Kill, Sandbox, sink};
use crate::signals::Signals;
use crate::values::{Plain, exception_type, read};

/// Longest message of an exception that a guest is told, in characters.
const MAX_MESSAGE_CHARS: usize = 10_000;

/// What an answer among several takes beside its own bytes, at most.
const PAIR_BYTES: u64 = 16;

/// Name, signature, doc, and whether it is an `async def`.
type Described = (String, String, String, bool);

/// Functions of one session, and what is called for each.
type Given = (Vec<Described>, Py<PyAny>);

/// One live instance of a language pack.
#[pyclass(frozen, module = "ringfence._core")]
pub struct Session {
    session: ringfence::Session,
}

#[pymethods]
impl Session {
    #[new]
    #[pyo3(signature = (sandbox, functions = None, call = None, kill = None))]
    fn new(
        py: Python<'_>,
        sandbox: &Sandbox,
        functions: Option<Vec<Described>>,
        call: Option<Bound<'_, PyAny>>,
        kill: Option<&Kill>,
    ) -> PyResult<Self> {
        let room = sandbox.sandbox.policy().limits.host_bytes.0;
        let functions = match call {
            Some(call) => Some(Arc::new(Functions::new(functions.unwrap_or_default(), call, room)?) as Arc<_>),
            None => None,
        };
        let cancelled = kill.map_or_else(Arc::default, |kill| kill.cancelled.clone());
        let signals = Signals::default();
        let opened = enter(py, || {
            let mut tick = || signals.look();
            let opening = Opening { functions, cancelled, tick: Some(&mut tick) };
            ringfence::Session::open(&sandbox.sandbox, opening)
        });
        signals.raise()?;
        Ok(Self { session: opened? })
    }

    fn eval<'py>(
        &self,
        py: Python<'py>,
        source: &[u8],
        stdout: Option<i32>,
        stderr: Option<i32>,
        limits: Option<&str>,
        kill: Option<&Kill>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let source = bytes::Bytes::copy_from_slice(source);
        let cancelled = kill.map_or_else(Arc::default, |kill| kill.cancelled.clone());
        let interrupted = kill.map_or_else(Arc::default, |kill| kill.interrupted.clone());
        let signals = Signals::default();
        let result = enter(py, || {
            // Each is told once: a second `false` ends the turn for good.
            let mut tick = || signals.look() && !interrupted.swap(false, Ordering::Relaxed);
            self.session.eval(Turn {
                source,
                stdout: sink(stdout)?,
                stderr: sink(stderr)?,
                limits: limits.map_or_else(|| Ok(LimitsPatch::default()), LimitsPatch::from_json)?,
                cancelled,
                tick: Some(&mut tick),
            })
        });
        let warned = match &result {
            Ok(TurnResult { abandoned: Some(name), .. }) => warn_abandoned(py, name),
            _ => Ok(()),
        };
        signals.raise()?;
        warned?;
        let result = result?;
        match result.raised.as_ref().and_then(|raised| exception(py, raised)) {
            Some(exception) => Err(exception),
            None => fields(py, result),
        }
    }

    /// Sessions that go on from here, each with functions of its own where they are given.
    fn fork(
        &self,
        py: Python<'_>,
        functions: Vec<Option<Given>>,
        sandbox: Option<&Sandbox>,
        allow_wider: bool,
        kill: Option<&Kill>,
    ) -> PyResult<Vec<Self>> {
        let room = self.session.limits().host_bytes.0;
        let under = (sandbox, allow_wider);
        forks(py, functions, under, room, kill, |count, forking| self.session.fork(count, forking))
    }

    /// What it is now, to fork from later.
    fn snapshot(&self, py: Python<'_>, kill: Option<&Kill>) -> PyResult<Snapshot> {
        let cancelled = kill.map_or_else(Arc::default, |kill| kill.cancelled.clone());
        let signals = Signals::default();
        let taken = enter(py, || {
            let mut tick = || signals.look();
            self.session.snapshot(Forking { cancelled, tick: Some(&mut tick), ..Forking::default() })
        });
        signals.raise()?;
        Ok(Snapshot { snapshot: taken?, room: self.session.limits().host_bytes.0 })
    }

    #[getter]
    fn poisoned(&self, py: Python<'_>) -> Option<String> {
        py.detach(|| self.session.poisoned())
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.session.close());
    }
}

/// What a session was between two turns.
#[pyclass(frozen, module = "ringfence._core")]
pub struct Snapshot {
    pub snapshot: ringfence::session::Snapshot,
    pub room: u64,
}

#[pymethods]
impl Snapshot {
    fn fork(
        &self,
        py: Python<'_>,
        functions: Vec<Option<Given>>,
        sandbox: Option<&Sandbox>,
        allow_wider: bool,
        kill: Option<&Kill>,
    ) -> PyResult<Vec<Session>> {
        let under = (sandbox, allow_wider);
        forks(py, functions, under, self.room, kill, |count, forking| self.snapshot.fork(count, forking))
    }

    fn save(
        &self,
        py: Python<'_>,
        path: std::path::PathBuf,
        key: Option<&[u8]>,
        language: &str,
        pack: &str,
        note: &str,
    ) -> PyResult<()> {
        crate::saved::save(py, &self.snapshot, &path, key, (language, pack, note))
    }
}

/// Makes as many sessions as there are entries for their functions.
fn forks(
    py: Python<'_>,
    functions: Vec<Option<Given>>,
    (sandbox, allow_wider): (Option<&Sandbox>, bool),
    room: u64,
    kill: Option<&Kill>,
    fork: impl FnOnce(usize, Forking<'_>) -> ringfence::Result<Vec<ringfence::Session>> + Send,
) -> PyResult<Vec<Session>> {
    let count = functions.len();
    let under = sandbox.map(|sandbox| &sandbox.sandbox);
    let room = under.map_or(room, |sandbox| sandbox.policy().limits.host_bytes.0);
    let functions = functions.into_iter().map(|given| {
        let made = given.map(|(described, call)| Functions::new(described, call.into_bound(py), room)).transpose()?;
        Ok(made.map(|made| Arc::new(made) as Arc<dyn SessionFunctions>))
    });
    let functions = Some(functions.collect::<PyResult<Vec<_>>>()?);
    let cancelled = kill.map_or_else(Arc::default, |kill| kill.cancelled.clone());
    let signals = Signals::default();
    let forked = enter(py, || {
        let mut tick = || signals.look();
        fork(count, Forking { functions, under, allow_wider, cancelled, tick: Some(&mut tick) })
    });
    signals.raise()?;
    Ok(forked?.into_iter().map(|session| Session { session }).collect())
}

/// A turn for Python: the fields of `Turn`, in their order.
fn fields<'py>(py: Python<'py>, result: TurnResult) -> PyResult<Bound<'py, PyTuple>> {
    let value = match &result.value {
        None => py.None().into_bound(py),
        Some(TurnValue::Encoded(bytes)) => read(py, &mut Reader::new(bytes))?,
        Some(TurnValue::Text(text)) => text.into_pyobject(py)?.into_any(),
    };
    let is_repr = matches!(result.value, Some(TurnValue::Text(_)));
    let seconds = |time: Duration| time.as_secs_f64();
    let usage = result.usage;
    let usage = (
        seconds(usage.wall),
        seconds(usage.cpu),
        usage.memory,
        usage.output,
        usage.fuel,
        result.calls,
        seconds(result.calls_took),
    );
    let error = result.error.map(|error| (error.name, error.message, error.traceback));
    let denials: Vec<_> = result
        .denials
        .into_iter()
        .map(|denial| (denial.kind, denial.what, denial.count, seconds(denial.first)))
        .collect();
    let fields = [
        result.outcome.name().into_pyobject(py)?.into_any(),
        value,
        is_repr.into_pyobject(py)?.to_owned().into_any(),
        error.into_pyobject(py)?.into_any(),
        pyo3::types::PyBytes::new(py, &result.stdout).into_any(),
        pyo3::types::PyBytes::new(py, &result.stderr).into_any(),
        result.exit_code.into_pyobject(py)?.into_any(),
        result.limit.into_pyobject(py)?.into_any(),
        result.trap.into_pyobject(py)?.into_any(),
        result.backtrace.into_pyobject(py)?.into_any(),
        result.truncated.into_pyobject(py)?.to_owned().into_any(),
        usage.into_pyobject(py)?.into_any(),
        denials.into_pyobject(py)?.into_any(),
        result.poisoned.into_pyobject(py)?.to_owned().into_any(),
    ];
    PyTuple::new(py, fields)
}

/// Functions of Python: one callable that is told the name, and its methods for calls that overlap.
struct Functions {
    list: Vec<u8>,
    call: Py<PyAny>,
    start: Py<PyAny>,
    wait: Py<PyAny>,
    cancel: Py<PyAny>,
    finish: Py<PyAny>,
    room: u64,
    /// Answers for which there was no room in the last one.
    ready: Mutex<VecDeque<(u64, Vec<u8>)>>,
}

impl Functions {
    fn new(functions: Vec<Described>, call: Bound<'_, PyAny>, room: u64) -> PyResult<Self> {
        let method = |name| call.getattr(name).map(Bound::unbind);
        let mut list = Plain::new(room);
        list.item(Item::List(functions.len()))?;
        for (name, signature, doc, is_async) in &functions {
            list.item(Item::Map(4))?;
            for (key, text) in [("name", name), ("signature", signature), ("doc", doc)] {
                list.item(Item::Text(key))?;
                list.item(Item::Text(text))?;
            }
            list.item(Item::Text("async"))?;
            list.item(Item::Bool(*is_async))?;
        }
        Ok(Self {
            list: list.into_bytes(),
            start: method("start")?,
            wait: method("wait")?,
            cancel: method("cancel")?,
            finish: method("finish")?,
            call: call.unbind(),
            room,
            ready: Mutex::default(),
        })
    }

    fn ready(&self) -> MutexGuard<'_, VecDeque<(u64, Vec<u8>)>> {
        self.ready.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Does what a guest asked for; what that raises is an answer too, or the end of the turn.
    fn answered(
        &self,
        name: &str,
        work: impl for<'py> FnOnce(Python<'py>) -> PyResult<Option<Vec<u8>>>,
    ) -> Result<Option<Vec<u8>>, Raised> {
        let done = attached(|py| {
            work(py).or_else(|error| match self.refusal(py, &error) {
                Some(answer) => Ok(Some(answer)),
                None => {
                    let why = format!("`{}` raised {}", ringfence::text::quote(name), error.get_type(py));
                    Err(Raised { why, payload: Some(Arc::new(error)) })
                }
            })
        });
        done.unwrap_or_else(|| Err(Raised::new("the interpreter of the functions exits")))
    }

    /// The answer of a call that was begun, which has ended.
    fn ended(&self, value: &Bound<'_, PyAny>, has_failed: bool) -> Result<Vec<u8>, Raised> {
        let answer = self.answered("a function", |_| match has_failed {
            true => Err(PyErr::from_value(value.clone())),
            false => self.answer(value).map(Some),
        });
        Ok(answer?.unwrap_or_default())
    }

    /// What the guest gets for a value.
    fn answer(&self, value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        let mut answer = Plain::new(self.room);
        answer.item(Item::List(2))?;
        answer.item(Item::Whole { negative: false, number: 0 })?;
        answer.value(value)?;
        Ok(answer.into_bytes())
    }

    /// What it gets for an exception; none where that is not for a guest, such as Ctrl-C.
    fn refusal(&self, py: Python<'_>, error: &PyErr) -> Option<Vec<u8>> {
        let value = error.value(py);
        if !value.is_instance(exception_type(py).ok()?).ok()? {
            return None;
        }
        let name = value.get_type().name().ok()?.to_string();
        // Some types show their one argument in another way, and would do it again in the guest.
        let message = match value.getattr("args").and_then(|args| args.extract::<(String,)>()) {
            Ok((message,)) => message,
            Err(_) => value.str().map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned()),
        };
        let message: String = message.chars().take(MAX_MESSAGE_CHARS).collect();
        let mut answer = Plain::new(u64::MAX);
        answer.item(Item::List(3)).ok()?;
        answer.item(Item::Whole { negative: false, number: 1 }).ok()?;
        answer.item(Item::Text(&name)).ok()?;
        answer.item(Item::Text(&message)).ok()?;
        Some(answer.into_bytes())
    }
}

impl SessionFunctions for Functions {
    fn list(&self) -> Vec<u8> {
        self.list.clone()
    }

    fn call(&self, name: &str, arguments: &[u8]) -> Result<Vec<u8>, Raised> {
        let answer = self.answered(name, |py| {
            let mut reader = Reader::new(arguments);
            let positional = read(py, &mut reader)?;
            let named = read(py, &mut reader)?;
            let value = call(self.call.bind(py), &(name, positional, named).into_pyobject(py)?)?;
            self.answer(&value).map(Some)
        });
        Ok(answer?.unwrap_or_default())
    }

    fn begin(&self, number: u64, name: &str, arguments: &[u8]) -> Result<Option<Vec<u8>>, Raised> {
        self.answered(name, |py| {
            let mut reader = Reader::new(arguments);
            let positional = read(py, &mut reader)?;
            let named = read(py, &mut reader)?;
            let begun = call(self.start.bind(py), &(number, name, positional, named).into_pyobject(py)?)?;
            let (has_ended, value): (bool, Bound<'_, PyAny>) = begun.extract()?;
            has_ended.then(|| self.answer(&value)).transpose()
        })
    }

    fn wait(&self, longest: Duration) -> Result<Vec<(u64, Vec<u8>)>, Raised> {
        let longest = if self.ready().is_empty() { longest } else { Duration::ZERO };
        let mut broken = None;
        self.answered("a function", |py| {
            let ended = call(self.wait.bind(py), &(longest.as_secs_f64(),).into_pyobject(py)?)?;
            for each in ended.try_iter()? {
                let (number, has_failed, value): (u64, bool, Bound<'_, PyAny>) = each?.extract()?;
                match self.ended(&value, has_failed) {
                    Ok(answer) => self.ready().push_back((number, answer)),
                    Err(raised) => broken = Some(raised),
                }
            }
            Ok(None)
        })
        .and_then(|failed| match failed {
            Some(_) => Err(Raised::new("nobody can wait for the functions any more")),
            None => broken.map_or(Ok(()), Err),
        })?;
        let (mut ready, mut ended, mut room) = (self.ready(), Vec::new(), self.room);
        while let Some((number, answer)) = ready.pop_front() {
            let len = answer.len() as u64 + PAIR_BYTES;
            if len > room && !ended.is_empty() {
                ready.push_front((number, answer));
                break;
            }
            room = room.saturating_sub(len);
            ended.push((number, answer));
        }
        Ok(ended)
    }

    fn cancel(&self, number: u64) {
        let _ =
            self.answered("a function", |py| call(self.cancel.bind(py), &(number,).into_pyobject(py)?).map(|_| None));
    }

    fn around(self: Arc<Self>) -> Surrounding {
        Box::new(move |turn| {
            attached(|py| {
                keep(py);
                py.detach(turn);
                self.ready().clear();
                // What it may raise is about a turn that is over.
                let _ = call(self.finish.bind(py), &PyTuple::empty(py));
            });
        })
    }
}
