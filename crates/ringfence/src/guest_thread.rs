//! Threads for guests that call functions of the host: their caller can go on without them.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::process_unsafe::PerProcess;

/// How long a thread without a guest stays: entering one costs a tenth of starting one.
const KEPT: Duration = Duration::from_secs(1);

/// What the main thread of a process usually has. Only what is used of it is memory.
const STACK_BYTES: usize = 8 << 20;

type Job = Box<dyn FnOnce() + Send>;

static IDLE: PerProcess<Mutex<Vec<Arc<Desk>>>> = PerProcess::new();

/// Where one thread finds its next job.
#[derive(Default)]
struct Desk {
    job: Mutex<Option<Job>>,
    came: Condvar,
}

/// Work on a thread of its own; whoever holds this may stop waiting for it.
pub(crate) struct Pending<T>(Arc<Slot<T>>);

struct Slot<T> {
    done: Mutex<Option<std::thread::Result<T>>>,
    came: Condvar,
}

/// Starts work on an idle thread, or on a new one.
pub(crate) fn start<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::io::Result<Pending<T>> {
    let slot = Arc::new(Slot { done: Mutex::new(None), came: Condvar::new() });
    let theirs = slot.clone();
    let job: Job = Box::new(move || {
        let done = catch_unwind(AssertUnwindSafe(work));
        *lock(&theirs.done) = Some(done);
        theirs.came.notify_one();
    });
    let idle = lock(IDLE.get()).pop();
    match idle {
        Some(desk) => {
            *lock(&desk.job) = Some(job);
            desk.came.notify_one();
        }
        None => {
            let desk = Arc::new(Desk::default());
            std::thread::Builder::new()
                .name("ringfence-guest".into())
                .stack_size(STACK_BYTES)
                .spawn(move || work_on(&desk, job))?;
        }
    }
    Ok(Pending(slot))
}

impl<T> Pending<T> {
    /// What came of it, if it is done by then; a panic comes as its payload.
    pub(crate) fn wait_until(&self, until: Instant) -> Option<Result<T, Box<dyn Any + Send>>> {
        let mut done = lock(&self.0.done);
        loop {
            if let Some(done) = done.take() {
                return Some(done);
            }
            let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            done = self.0.came.wait_timeout(done, left).unwrap_or_else(|broken| broken.into_inner()).0;
        }
    }
}

fn work_on(desk: &Arc<Desk>, first: Job) {
    let mut job = first;
    loop {
        job();
        lock(IDLE.get()).push(desk.clone());
        match next(desk) {
            Some(next) => job = next,
            None => return,
        }
    }
}

/// The next job; `None` when there was none for long, and none can come any more.
fn next(desk: &Arc<Desk>) -> Option<Job> {
    let mut job = lock(&desk.job);
    loop {
        if let Some(job) = job.take() {
            return Some(job);
        }
        let (waited, timeout) = desk.came.wait_timeout(job, KEPT).unwrap_or_else(|broken| broken.into_inner());
        job = waited;
        if timeout.timed_out() && job.is_none() {
            drop(job);
            let mut idle = lock(IDLE.get());
            if let Some(at) = idle.iter().position(|other| Arc::ptr_eq(other, desk)) {
                idle.remove(at);
                return None;
            }
            // Somebody took this desk just now: its job is on the way.
            drop(idle);
            job = lock(&desk.job);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|broken| broken.into_inner())
}
