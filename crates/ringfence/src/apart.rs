//! Guests that call functions of the host: on a thread that their caller can leave behind.

use std::cell::RefCell;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::error::{Error, Parts, Result};
use crate::guest_thread;
use crate::host::Surrounding;
use crate::sandbox::stop::Stop;
use crate::sandbox::store::{Control, Outer};
use crate::supervisor::LOOK;

/// How long a guest that has to end may still be inside a host function before its caller goes on without it.
const GRACE: Duration = Duration::from_millis(30);

/// Runs inside one another, each started by a host function of the one before.
const MAX_DEPTH: u32 = 50;

thread_local! {
    /// The run whose host functions are called on this thread.
    static INSIDE: RefCell<Option<Arc<Outer>>> = const { RefCell::new(None) };
}

/// The run that a run which starts on this thread is inside of.
pub(crate) fn outer() -> Result<Option<Arc<Outer>>> {
    let outer = INSIDE.with_borrow(Clone::clone);
    if outer.as_ref().is_some_and(|outer| outer.depth >= MAX_DEPTH) {
        return Err(Error::Busy(Parts::new(
            "too many runs inside one another",
            format!("a host function of run {MAX_DEPTH} started one more"),
            "end the recursion: a host function of a guest runs that guest again",
        )));
    }
    Ok(outer)
}

/// Does what a guest's host function does, on another thread than the guest's.
pub(crate) fn inside(control: &Control, work: impl FnOnce()) {
    INSIDE.set(Some(Arc::new(Outer::of(control))));
    work();
    INSIDE.set(None);
}

/// Runs a guest on a thread of its own, and waits for it no longer than for its end, or for a host function that is
/// at work when the run has to end: `abandon` then gives up on it, if it is inside one, and tells what is known.
pub(crate) fn run<T: Send + 'static>(
    control: &Control,
    around: Option<Surrounding>,
    guest: impl FnOnce() -> Result<T> + Send + 'static,
    tick: &mut dyn FnMut() -> bool,
    abandon: &mut dyn FnMut(Stop) -> Option<T>,
) -> Result<T> {
    let theirs = control.clone();
    let pending = guest_thread::start(move || {
        theirs.cpu.begin();
        INSIDE.set(Some(Arc::new(Outer::of(&theirs))));
        let (mut guest, mut done) = (Some(guest), None);
        let mut run = || done = guest.take().map(|guest| guest());
        match around {
            Some(around) => around(&mut run),
            None => run(),
        }
        INSIDE.set(None);
        done.unwrap_or_else(|| Err(no_thread("the interpreter that the host functions are written for exits")))
    });
    let pending = pending.map_err(|error| no_thread(&error.to_string()))?;
    let mut over: Option<(Stop, Instant)> = None;
    loop {
        let now = Instant::now();
        let until = over.map_or_else(|| control.deadline.min(now + LOOK), |(_, until)| until);
        match pending.wait_until(until) {
            Some(Ok(done)) => return done,
            Some(Err(panic)) => resume_unwind(panic),
            None => {}
        }
        over = match over {
            None if !tick() && !control.interrupt() => {
                control.cancelled.store(true, Ordering::Relaxed);
                Some((Stop::Cancelled, Instant::now() + GRACE))
            }
            None => control.check_from_outside().err().map(|stop| (stop, Instant::now() + GRACE)),
            Some((stop, _)) => {
                if let Some(result) = abandon(stop) {
                    control.cancelled.store(true, Ordering::Relaxed);
                    return Ok(result);
                }
                // It computes or waits, and is ended like any other guest.
                Some((stop, Instant::now() + GRACE / 4))
            }
        };
    }
}

/// What mends it that the system starts no thread.
pub(crate) const NO_THREAD: &str =
    "end some threads, or raise this process's limit of them (`ulimit -u`), `ulimit -v` or `vm.max_map_count`";

/// There is no thread for a guest, or none that may call its functions.
pub(crate) fn no_thread(why: &str) -> Error {
    Error::host("no thread for a run", why, NO_THREAD)
}
