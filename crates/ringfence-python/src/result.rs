//! Results: frozen, and made again from their own state in another process.

use std::borrow::Cow;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use ringfence::RunResult;

use crate::changes::Changes;

type Usage = (f64, f64, u64, u64, Option<u64>);
type Denial = (Cow<'static, str>, String, u64, f64);

/// What came of a run.
#[pyclass(frozen, module = "ringfence._core")]
pub struct Result {
    #[pyo3(get)]
    outcome: Cow<'static, str>,
    #[pyo3(get)]
    exit_code: Option<u32>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    #[pyo3(get)]
    limit: Option<Cow<'static, str>>,
    #[pyo3(get)]
    trap: Option<String>,
    #[pyo3(get)]
    backtrace: Option<String>,
    #[pyo3(get)]
    truncated: bool,
    #[pyo3(get)]
    usage: Usage,
    #[pyo3(get)]
    denials: Vec<Denial>,
    #[pyo3(get)]
    changes: Option<Py<Changes>>,
}

#[pymethods]
impl Result {
    #[new]
    #[pyo3(signature = (outcome, exit_code, stdout, stderr, limit, trap, backtrace, truncated, usage, denials, changes = None, /))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        outcome: String,
        exit_code: Option<u32>,
        stdout: Vec<u8>,
        stderr: Vec<u8>,
        limit: Option<String>,
        trap: Option<String>,
        backtrace: Option<String>,
        truncated: bool,
        usage: Usage,
        denials: Vec<(String, String, u64, f64)>,
        changes: Option<Py<Changes>>,
    ) -> Self {
        let denials = denials.into_iter().map(|(kind, what, count, first)| (kind.into(), what, count, first)).collect();
        Self {
            outcome: outcome.into(),
            exit_code,
            stdout,
            stderr,
            limit: limit.map(Cow::from),
            trap,
            backtrace,
            truncated,
            usage,
            denials,
            changes,
        }
    }

    #[getter]
    fn stdout<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.stdout)
    }

    #[getter]
    fn stderr<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.stderr)
    }

    /// Whether there is anything for a log: something that was refused, or a limit that was reached.
    #[getter]
    fn noted(&self) -> bool {
        !self.denials.is_empty() || self.limit.is_some()
    }

    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        // Only the list goes along: the bytes stay where they are.
        let changes = self.changes.as_ref().map(|changes| changes.get().told(py)).transpose()?;
        let state = (
            &self.outcome,
            self.exit_code,
            self.stdout(py),
            self.stderr(py),
            &self.limit,
            &self.trap,
            &self.backtrace,
            self.truncated,
            self.usage,
            self.denials.clone(),
            changes,
        );
        Ok(state.into_pyobject(py)?.into_any())
    }
}

impl Result {
    /// The result of a run for Python.
    pub fn of(py: Python<'_>, result: RunResult) -> PyResult<Self> {
        let changes = result.changes.map(|changes| Py::new(py, Changes::whole(py, changes)?)).transpose()?;
        let seconds = |time: Duration| time.as_secs_f64();
        let usage = result.usage;
        Ok(Self {
            changes,
            outcome: result.outcome.name().into(),
            exit_code: result.exit_code,
            stdout: result.stdout,
            stderr: result.stderr,
            limit: result.limit.map(Cow::from),
            trap: result.trap,
            backtrace: result.backtrace,
            truncated: result.truncated,
            usage: (seconds(usage.wall), seconds(usage.cpu), usage.memory, usage.output, usage.fuel),
            denials: result
                .denials
                .into_iter()
                .map(|denial| (denial.kind.into(), denial.what, denial.count, seconds(denial.first)))
                .collect(),
        })
    }
}
