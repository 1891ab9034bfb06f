//! Sandboxes: compiled once, run from any thread, the interpreter let go of.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use ringfence::load::Watch;
use ringfence::policy::LimitsPatch;
use ringfence::sandbox::stdio::{Sink, Source};
use ringfence::worker::Isolation;
use ringfence::{HostFunctions, Init, Placing, Reuse, Run};

use crate::attach::attached;
use crate::call_unsafe::call;
use crate::descriptor_unsafe::duplicate;
use crate::enter::enter;
use crate::imports;
use crate::policy::Policy;
use crate::program::Program;
use crate::result::Result;
use crate::signals::Signals;
use crate::yours::Yours;

/// Time between two reports of a compile that takes long.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// Time before a compile is reported at all.
const REPORT_AFTER: Duration = Duration::from_secs(1);

/// A program under a policy, ready to run.
#[pyclass(frozen, module = "ringfence._core")]
pub struct Sandbox {
    pub sandbox: ringfence::Sandbox,
    yours: Option<Py<Yours>>,
}

/// Ends a run from any thread.
#[pyclass(frozen, module = "ringfence._core")]
pub struct Kill {
    pub cancelled: Arc<AtomicBool>,
    /// Asks a turn to end by itself.
    pub interrupted: Arc<AtomicBool>,
}

#[pymethods]
impl Kill {
    #[new]
    fn new() -> Self {
        Self { cancelled: Arc::default(), interrupted: Arc::default() }
    }

    fn kill(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }

    #[getter]
    fn killed(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

#[pymethods]
impl Sandbox {
    #[new]
    #[pyo3(signature = (program, policy, progress = None, imports = None, isolation = "wasm", tenant = None, reuse = "fresh", spares = 0))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        program: &Program,
        policy: &Policy,
        progress: Option<Py<PyAny>>,
        imports: Option<imports::Given>,
        isolation: &str,
        tenant: Option<String>,
        reuse: &str,
        spares: usize,
    ) -> PyResult<Self> {
        let (functions, yours) = match imports.map(|given| imports::functions(py, given)).transpose()? {
            Some((functions, yours)) => (functions, Some(yours)),
            None => Default::default(),
        };
        let placing = enter(py, || {
            Ok(Placing { isolation: Isolation::read(isolation)?, tenant, reuse: Reuse::read(reuse)?, spares })
        })?;
        compile(py, program, policy, progress, functions, placing).map(|sandbox| Self { sandbox, yours })
    }

    #[pyo3(signature = (args, input, stdin, stdout, stderr, limits, kill, source = None))]
    #[allow(clippy::too_many_arguments)]
    fn run(
        &self,
        py: Python<'_>,
        args: Vec<String>,
        input: Option<&[u8]>,
        stdin: Option<i32>,
        stdout: Option<i32>,
        stderr: Option<i32>,
        limits: Option<&str>,
        kill: Option<&Kill>,
        source: Option<&[u8]>,
    ) -> PyResult<Result> {
        let text = source.map(bytes::Bytes::copy_from_slice);
        let given = Given { args, input, stdin, stdout, stderr, limits, kill };
        self.run_with(py, given, |run| self.sandbox.run(Run { source: text, ..run }))
    }

    fn starts(&self) -> Option<(u64, u64, usize)> {
        let starts = self.sandbox.starts()?;
        Some((starts.fresh, starts.ready, starts.waiting))
    }

    #[pyo3(signature = (after, entry, args, input, stdout, stderr, limits, kill, progress))]
    #[allow(clippy::too_many_arguments)]
    fn snapshot(
        &self,
        py: Python<'_>,
        after: String,
        entry: Option<String>,
        args: Vec<String>,
        input: Option<&[u8]>,
        stdout: Option<i32>,
        stderr: Option<i32>,
        limits: Option<&str>,
        kill: Option<&Kill>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Result, Option<Self>)> {
        let mut begun = None;
        let given = Given { args, input, stdin: None, stdout, stderr, limits, kill };
        let reports = Reports::new(progress);
        let result = self.run_with(py, given, |run| {
            let watch = |waited: Duration| reports.report(waited);
            let init = Init { after, entry, watch: Some(&watch) };
            let (result, sandbox) = self.sandbox.snapshot(init, run)?;
            begun = sandbox;
            Ok(result)
        });
        match reports.raised() {
            Some(error) => Err(error),
            None => {
                let yours = self.yours.as_ref().map(|yours| yours.clone_ref(py));
                Ok((result?, begun.map(|sandbox| Self { sandbox, yours })))
            }
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(&self.yours)
    }
}

/// What Python gives a run.
struct Given<'a> {
    args: Vec<String>,
    input: Option<&'a [u8]>,
    stdin: Option<i32>,
    stdout: Option<i32>,
    stderr: Option<i32>,
    limits: Option<&'a str>,
    kill: Option<&'a Kill>,
}

impl Sandbox {
    fn run_with(
        &self,
        py: Python<'_>,
        given: Given<'_>,
        start: impl FnOnce(Run<'_>) -> ringfence::Result<ringfence::RunResult> + Send,
    ) -> PyResult<Result> {
        let Given { args, input, stdin, stdout, stderr, limits, kill } = given;
        let source = match (input, stdin) {
            (Some(bytes), _) => Source::Bytes(bytes::Bytes::copy_from_slice(bytes)),
            (None, Some(_)) | (None, None) => Source::Empty,
        };
        let cancelled = kill.map_or_else(Arc::default, |kill| kill.cancelled.clone());
        let signals = Signals::default();
        let result = enter(py, || {
            let source = match stdin {
                Some(number) if input.is_none() => Source::Fd(Arc::new(duplicate(number)?)),
                _ => source,
            };
            let of = &self.sandbox.policy().limits;
            let limits = match limits {
                Some(text) => of.narrowed(&LimitsPatch::from_json(text)?)?,
                None => *of,
            };
            // Ctrl-C is Python's to handle: its handler runs here, and what it raises ends the guest.
            let mut tick = || signals.look();
            start(Run {
                args,
                input: source,
                stdout: sink(stdout)?,
                stderr: sink(stderr)?,
                source: None,
                limits,
                cancelled,
                tick: Some(&mut tick),
            })
        });
        let warned = match &result {
            Ok(ringfence::RunResult { abandoned: Some(name), .. }) => imports::warn_abandoned(py, name),
            _ => Ok(()),
        };
        if let Err(interrupt) = signals.raise() {
            // A guest that was told of Ctrl-C may have come to its own end: the command line exits as it did.
            if let Ok(result) = result
                && let Ok(result) = Result::of(py, result)
            {
                interrupt.value(py).setattr("result", result)?;
            }
            return Err(interrupt);
        }
        warned?;
        let result = result?;
        match result.raised.as_ref().and_then(|raised| imports::exception(py, raised)) {
            Some(exception) => Err(exception),
            None => Result::of(py, result),
        }
    }
}

/// A descriptor of Python's, or none to capture.
pub fn sink(number: Option<i32>) -> ringfence::Result<Sink> {
    Ok(match number {
        Some(number) => Sink::fd(duplicate(number)?),
        None => Sink::Capture(Vec::new()),
    })
}

fn compile(
    py: Python<'_>,
    program: &Program,
    policy: &Policy,
    progress: Option<Py<PyAny>>,
    functions: HostFunctions,
    placing: Placing,
) -> PyResult<ringfence::Sandbox> {
    let (grants, policy, program) = (policy.grants.clone(), policy.policy.clone(), &program.program);
    watched(py, progress, |watch| ringfence::Sandbox::placed(program, policy, grants, functions, Some(watch), placing))
}

/// Works without the interpreter, and tells meanwhile how long a compile takes: what `progress` raises ends it.
pub fn watched<T: Send>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(Watch<'_>) -> ringfence::Result<T> + Send,
) -> PyResult<T> {
    let reports = Reports::new(progress);
    let made = enter(py, || work(&|waited: Duration| reports.report(waited)));
    match reports.raised() {
        Some(error) => Err(error),
        None => made,
    }
}

/// Tells a caller how long a compile takes, and looks for signals meanwhile.
struct Reports {
    progress: Option<Py<PyAny>>,
    last: Mutex<Duration>,
    raised: Mutex<Option<PyErr>>,
}

impl Reports {
    fn new(progress: Option<Py<PyAny>>) -> Self {
        Self { progress, last: Mutex::default(), raised: Mutex::default() }
    }

    fn report(&self, waited: Duration) -> ControlFlow<()> {
        let done = attached(|py| {
            py.check_signals()?;
            let mut last = self.last.lock().unwrap_or_else(|broken| broken.into_inner());
            if let Some(progress) = &self.progress
                && waited >= REPORT_AFTER
                && waited.saturating_sub(*last) >= REPORT_EVERY
            {
                *last = waited;
                drop(last);
                call(progress.bind(py), &(waited.as_secs_f64(),).into_pyobject(py)?)?;
            }
            PyResult::Ok(())
        });
        match done {
            Some(Ok(())) | None => ControlFlow::Continue(()),
            Some(Err(error)) => {
                *self.raised.lock().unwrap_or_else(|broken| broken.into_inner()) = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// What was raised meanwhile.
    fn raised(self) -> Option<PyErr> {
        self.raised.into_inner().unwrap_or_else(|broken| broken.into_inner())
    }
}

/// Compiles into the cache without running.
#[pyfunction]
#[pyo3(signature = (program, policy, progress = None))]
pub fn precompile(py: Python<'_>, program: &Program, policy: &Policy, progress: Option<Py<PyAny>>) -> PyResult<bool> {
    compile(py, program, policy, progress, HostFunctions::default(), Placing::default())
        .map(|sandbox| sandbox.from_cache())
}

/// Leaves the pool out of engines made from now on, for a process that runs one program once.
#[pyfunction]
pub fn without_pool() {
    ringfence::sandbox::engine::without_pool();
}
