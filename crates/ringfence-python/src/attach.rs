//! Entering the interpreter from threads that are not Python's own, until it begins to exit.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// Longest wait at the exit for threads that are on their way in.
const LAST_WAIT: Duration = Duration::from_secs(1);

static IS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Threads between the look at [`IS_CLOSED`] and the interpreter.
static ENTERING: AtomicUsize = AtomicUsize::new(0);

/// Enters the interpreter, unless it exits.
///
/// Before Python 3.13 nobody else can tell, and a thread that comes to an interpreter in its last moments makes it
/// crash: it looks for what is gone by then.
pub fn attached<T>(work: impl for<'py> FnOnce(Python<'py>) -> T) -> Option<T> {
    ENTERING.fetch_add(1, Ordering::SeqCst);
    if IS_CLOSED.load(Ordering::SeqCst) {
        ENTERING.fetch_sub(1, Ordering::SeqCst);
        return None;
    }
    let mut is_inside = false;
    let done = Python::try_attach(|py| {
        is_inside = true;
        ENTERING.fetch_sub(1, Ordering::SeqCst);
        work(py)
    });
    if !is_inside {
        ENTERING.fetch_sub(1, Ordering::SeqCst);
    }
    done
}

/// Lets no thread in any more, once those are inside that were let in: the interpreter knows how to stop those.
#[pyfunction]
pub fn close_interpreter(py: Python<'_>) {
    IS_CLOSED.store(true, Ordering::SeqCst);
    py.detach(|| {
        // One that was left behind by a fork never arrives.
        let until = Instant::now() + LAST_WAIT;
        while ENTERING.load(Ordering::SeqCst) > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}
