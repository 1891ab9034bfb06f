//! Threads for guests that call functions of the host: their caller can go on without them.

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::process_unsafe::PerProcess;

/// How long a thread without a guest stays: entering one costs a tenth of starting one.
const KEPT: Duration = Duration::from_secs(1);

/// How long one waits awake: to be woken, where a processor sleeps, takes up to 30 µs.
const AWAKE: Duration = Duration::from_micros(50);

/// Between two looks at the clock while awake.
const LOOKS: u32 = 64;

/// Who waited awake in vain, as on a busy machine, sleeps at once so many times.
const ASLEEP: u32 = 16;

/// What the main thread of a process usually has. Only what is used of it is memory.
const STACK_BYTES: usize = 8 << 20;

type Job = Box<dyn FnOnce(&Arc<Desk>) + Send>;

static IDLE: PerProcess<Mutex<Vec<Arc<Desk>>>> = PerProcess::new();

/// On a single processor, who waits awake keeps from it who is waited for.
fn has_several() -> bool {
    static SEVERAL: PerProcess<bool> = PerProcess::new();
    let several = || Ok(std::thread::available_parallelism().is_ok_and(|all| all.get() > 1));
    let known: Result<&bool, Infallible> = SEVERAL.get_or_try(several);
    match known {
        Ok(several) => *several,
    }
}

/// Waits for work, and for what came of it, that are still to be spent asleep.
static OF_JOBS: AtomicU32 = AtomicU32::new(0);
static OF_RESULTS: AtomicU32 = AtomicU32::new(0);

/// Where one thread finds its next job.
struct Desk(Hatch<Job>);

/// Work on a thread of its own; whoever holds this may stop waiting for it.
pub(crate) struct Pending<T>(Arc<Hatch<std::thread::Result<T>>>);

/// Starts work on an idle thread, or on a new one.
pub(crate) fn start<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::io::Result<Pending<T>> {
    let done = Arc::new(Hatch::new(&OF_RESULTS));
    let theirs = done.clone();
    let job: Job = Box::new(move |desk| {
        let done = catch_unwind(AssertUnwindSafe(work));
        // First: whoever waits for this may at once have more to do.
        lock(IDLE.get()).push(desk.clone());
        theirs.put(done);
    });
    let idle = lock(IDLE.get()).pop();
    match idle {
        Some(desk) => desk.0.put(job),
        None => {
            let desk = Arc::new(Desk(Hatch::new(&OF_JOBS)));
            std::thread::Builder::new()
                .name("ringfence-guest".into())
                .stack_size(STACK_BYTES)
                .spawn(move || work_on(&desk, job))?;
        }
    }
    Ok(Pending(done))
}

impl<T> Pending<T> {
    /// What came of it, if it is done by then; a panic comes as its payload.
    pub(crate) fn wait_until(&self, until: Instant) -> Option<Result<T, Box<dyn Any + Send>>> {
        self.0.take_until(until)
    }
}

fn work_on(desk: &Arc<Desk>, first: Job) {
    let mut job = first;
    loop {
        job(desk);
        match next(desk) {
            Some(next) => job = next,
            None => return,
        }
    }
}

/// The next job; `None` when there was none for long, and none can come any more.
fn next(desk: &Arc<Desk>) -> Option<Job> {
    loop {
        if let Some(job) = desk.0.take_until(Instant::now() + KEPT) {
            return Some(job);
        }
        let mut idle = lock(IDLE.get());
        if let Some(at) = idle.iter().position(|other| Arc::ptr_eq(other, desk)) {
            idle.remove(at);
            return None;
        }
        // Somebody took this desk just now: its job is on the way.
    }
}

/// Where one thread hands something to another.
struct Hatch<T> {
    within: Mutex<Within<T>>,
    came: Condvar,
    is_there: AtomicBool,
    asleep: &'static AtomicU32,
}

struct Within<T> {
    value: Option<T>,
    /// Whether somebody has to be woken.
    sleeps: bool,
}

impl<T> Hatch<T> {
    fn new(asleep: &'static AtomicU32) -> Self {
        let within = Mutex::new(Within { value: None, sleeps: false });
        Self { within, came: Condvar::new(), is_there: AtomicBool::new(false), asleep }
    }

    fn put(&self, value: T) {
        let mut within = lock(&self.within);
        within.value = Some(value);
        self.is_there.store(true, Ordering::Release);
        let sleeps = within.sleeps;
        drop(within);
        if sleeps {
            self.came.notify_one();
        }
    }

    /// What was put there by then.
    fn take_until(&self, until: Instant) -> Option<T> {
        self.wait_awake();
        let mut within = lock(&self.within);
        loop {
            let value = within.value.take();
            let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
            let (None, Some(left)) = (&value, left) else {
                within.sleeps = false;
                self.is_there.store(false, Ordering::Relaxed);
                return value;
            };
            within.sleeps = true;
            within = self.came.wait_timeout(within, left).unwrap_or_else(|broken| broken.into_inner()).0;
        }
    }

    fn wait_awake(&self) {
        // Lost counts cost nothing but time.
        let asleep = self.asleep.load(Ordering::Relaxed);
        if asleep > 0 {
            return self.asleep.store(asleep - 1, Ordering::Relaxed);
        }
        if !has_several() {
            return;
        }
        let mut until = None;
        loop {
            for _ in 0..LOOKS {
                if self.is_there.load(Ordering::Acquire) {
                    return;
                }
                std::hint::spin_loop();
            }
            let now = Instant::now();
            if now >= *until.get_or_insert(now + AWAKE) {
                break;
            }
        }
        self.asleep.store(ASLEEP, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|broken| broken.into_inner())
}
