//! What a run changed in private layers: alive with its bytes, or only the list of it after pickling.

use std::sync::{Arc, Mutex, Weak};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;
use ringfence::Error;
use ringfence::sandbox::files::{self, Kind};

use crate::enter::enter;

/// Path, what became of it, what it is, its size before and after.
pub type Change = (String, String, String, Option<u64>, Option<u64>);

/// What is different in the private layers of a run.
#[pyclass(frozen, module = "ringfence._core")]
pub struct Changes(Kept);

enum Kept {
    Whole(Arc<files::Changes>),
    Pickled(Told),
}

/// What goes along when a result is pickled: the list, or the three parts of why there is none.
#[derive(Clone, FromPyObject, IntoPyObject)]
pub enum Told {
    List(Vec<Change>),
    Unknown((String, String, String)),
}

/// Those whose bytes are still on the disk.
static ALIVE: Mutex<Vec<Weak<files::Changes>>> = Mutex::new(Vec::new());

impl Changes {
    /// What goes along with a pickled result.
    pub fn told(&self, py: Python<'_>) -> PyResult<Told> {
        let why = match &self.0 {
            Kept::Pickled(told) => return Ok(told.clone()),
            Kept::Whole(changes) => enter(py, || Ok(changes.list().err()))?,
        };
        Ok(match why.as_ref().map(Error::parts) {
            None => Told::List(self.list(py)?),
            Some(parts) => Told::Unknown((parts.what.clone(), parts.why.clone(), parts.fix.clone())),
        })
    }

    /// Its bytes live as long as the result does, or this process, whichever ends first.
    pub fn whole(py: Python<'_>, changes: Arc<files::Changes>) -> PyResult<Self> {
        static AT_EXIT: PyOnceLock<()> = PyOnceLock::new();
        AT_EXIT.get_or_try_init(py, || {
            let close = wrap_pyfunction!(close_changes, py)?;
            py.import("atexit")?.call_method1("register", (close,)).map(|_| ())
        })?;
        let mut alive = ALIVE.lock().unwrap_or_else(|broken| broken.into_inner());
        alive.retain(|changes| changes.strong_count() > 0);
        alive.push(Arc::downgrade(&changes));
        Ok(Self(Kept::Whole(changes)))
    }

    fn bytes(&self) -> ringfence::Result<&files::Changes> {
        match &self.0 {
            Kept::Whole(changes) => Ok(changes),
            Kept::Pickled(_) => Err(Error::host(
                "the bytes of these changes are not here",
                "the result was pickled, and only the list of its changes went with it",
                "apply or save the changes in the process that made the run",
            )),
        }
    }
}

/// Removes what private layers have on the disk, when the interpreter ends.
#[pyfunction]
pub fn close_changes() {
    let alive = std::mem::take(&mut *ALIVE.lock().unwrap_or_else(|broken| broken.into_inner()));
    for changes in alive.iter().filter_map(Weak::upgrade) {
        changes.close();
    }
}

#[pymethods]
impl Changes {
    #[new]
    #[pyo3(signature = (changes, /))]
    fn new(changes: Told) -> Self {
        Self(Kept::Pickled(changes))
    }

    pub fn list(&self, py: Python<'_>) -> PyResult<Vec<Change>> {
        let changes = match &self.0 {
            Kept::Pickled(Told::List(list)) => return Ok(list.clone()),
            Kept::Pickled(Told::Unknown((what, why, fix))) => return enter(py, || Err(Error::host(what, why, fix))),
            Kept::Whole(changes) => changes,
        };
        let told = |change: &files::Change| {
            let kind = match change.kind {
                Kind::Dir => "dir",
                Kind::File => "file",
                Kind::Symlink => "link",
                Kind::Other => "other",
            };
            (change.path.clone(), change.act.name().to_owned(), kind.to_owned(), change.size_before, change.size)
        };
        enter(py, || Ok(changes.list()?.iter().map(told).collect()))
    }

    fn read<'py>(&self, py: Python<'py>, path: &str) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &enter(py, || self.bytes()?.read(path))?))
    }

    fn read_before<'py>(&self, py: Python<'py>, path: &str) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &enter(py, || self.bytes()?.read_before(path))?))
    }

    fn target(&self, py: Python<'_>, path: &str) -> PyResult<Option<String>> {
        enter(py, || Ok(self.bytes()?.target(path)))
    }

    #[pyo3(signature = (only, overwrite))]
    fn apply(&self, py: Python<'_>, only: Option<Vec<String>>, overwrite: bool) -> PyResult<usize> {
        enter(py, || self.bytes()?.apply(only.as_deref(), overwrite))
    }
}
