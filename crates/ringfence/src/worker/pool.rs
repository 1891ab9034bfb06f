//! The workers of this process: started ahead, each bound for life to what it first runs, one run at a time in each.

use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::ask;
use super::binding::Binding;
use super::client::Loadable;
use super::frame::{Broken, Link};
use super::process::{Process, not_started};
use super::protocol::Answer;
use crate::apart::NO_THREAD;
use crate::error::{Error, Parts};
use crate::process_unsafe::PerProcess;
use crate::sandbox::engine;
use crate::sandbox::files::{Home, Space};
use crate::sandbox::journal::Journal;

/// Most workers that are bound at one time.
pub const MAX_WORKERS: usize = 64;

/// How long a worker waits for its next run before it is let go.
const IDLE: Duration = Duration::from_secs(60);

/// How long a caller waits for a worker: as long as for a slot of this process.
const WAIT: Duration = Duration::from_secs(10);

/// Time between two looks of a caller who waits, and of the keeper at dying workers.
const LOOK: Duration = Duration::from_millis(20);

/// How long the end of this process waits for the last workers to be gone.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// One worker and what we know of it.
pub(super) struct Worker {
    pub(super) link: Link,
    pub(super) bound_to: Option<Arc<Binding>>,
    pub(super) home: Option<Home>,
    pub(super) journal: Option<Journal>,
    /// What it has loaded, by its number there; the last used last.
    pub(super) loaded: Vec<(Arc<Loadable>, u32)>,
    pub(super) next_program: u32,
    process: Process,
    requests: u64,
    since: Instant,
}

impl Worker {
    fn start() -> Result<Self, Error> {
        let (process, socket) = Process::start()?;
        Ok(Self {
            link: Link::of_parent(socket),
            bound_to: None,
            home: None,
            journal: None,
            loaded: Vec::new(),
            next_program: 0,
            process,
            requests: 0,
            since: Instant::now(),
        })
    }

    fn is_bound_to(&self, binding: &Binding) -> bool {
        self.bound_to.as_deref().is_some_and(|bound| bound == binding)
    }

    pub(super) fn next_request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    /// What it says first, unasked.
    pub(super) fn greeting(&mut self, look: &mut dyn FnMut() -> ControlFlow<()>) -> Result<Answer, Broken> {
        ask::answer(self, 0, look)
    }

    /// Whether it has not ended.
    pub(super) fn is_alive(&self) -> bool {
        !self.process.is_dead(Duration::ZERO)
    }

    /// Why it hung up; it is given a moment to be gone.
    pub(super) fn how_it_died(&self) -> String {
        if !self.process.is_dead(Duration::from_millis(200)) {
            return "a silence that it broke off".into();
        }
        self.process.death().unwrap_or_else(|| "an unknown cause".into())
    }
}

/// A worker that was killed, until it is gone; what was its own goes after it.
struct Dying {
    process: Process,
    _space: Space,
    _home: Option<Home>,
}

/// Why there is no worker for a run.
pub(super) enum NotReady {
    /// For good.
    Error(Error),
    /// There was one, and it died; another may not.
    Died(String),
    /// The caller would not wait.
    GaveUp,
}

/// All workers of this process.
#[derive(Default)]
pub(super) struct Pool {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Bound and free, the last used last.
    idle: Vec<Worker>,
    /// Started and not bound yet.
    spares: Vec<Worker>,
    /// Those that are bound, free or not.
    bound: usize,
    /// Callers who need a spare.
    waiting: usize,
    /// Whether to have a spare that nobody has asked for yet, and since when nobody has.
    ahead: Option<Instant>,
    dying: Vec<Dying>,
    /// One that is being started just now; false when all were told to end meanwhile.
    starting: Option<bool>,
    /// Why the last start failed, for one who waits for it.
    failed: Option<Error>,
    has_keeper: bool,
}

/// The pool of this process, which is not that of the process it was forked from.
pub(super) fn of_this_process() -> &'static Pool {
    static POOL: PerProcess<Pool> = PerProcess::new();
    POOL.get()
}

/// Ends every worker that is not running a guest, and waits until it is gone; for the end of a process.
pub fn close() {
    of_this_process().close();
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Has a worker started ahead, off this thread, for a run that would have to wait for one.
    pub(super) fn warm(&'static self, binding: &Binding) {
        let mut state = self.state();
        if !state.idle.iter().any(|worker| worker.is_bound_to(binding)) {
            state.ahead = Some(Instant::now());
            self.keep(&mut state);
        }
    }

    /// A worker that is bound so already, or is not bound yet.
    pub(super) fn take(
        &'static self,
        binding: &Arc<Binding>,
        look: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Worker, NotReady> {
        let until = Instant::now() + WAIT;
        let mut dead = 0;
        let mut state = self.state();
        state.failed = None;
        loop {
            let found = match state.idle.iter().rposition(|worker| worker.is_bound_to(binding)) {
                Some(at) => Some(state.idle.remove(at)),
                None if state.make_room() => {
                    let spare = state.spares.pop();
                    state.bound += usize::from(spare.is_some());
                    spare
                }
                None => None,
            };
            if let Some(worker) = found {
                if worker.is_alive() {
                    if worker.bound_to.is_none() {
                        // The next one who needs a new worker should not wait either, where there is a next one.
                        state.ahead = engine::is_pooling().then(Instant::now);
                        self.keep(&mut state);
                    }
                    return Ok(worker);
                }
                dead += usize::from(worker.bound_to.is_none());
                state.bound -= 1;
                let why = worker.how_it_died();
                state.bury(worker, Space::default());
                if dead > 2 {
                    return Err(NotReady::Error(not_started(&format!("they die as they start, of {why}"))));
                }
                continue;
            }
            if let Some(error) = state.failed.take() {
                return Err(NotReady::Error(error));
            }
            if Instant::now() >= until {
                return Err(NotReady::Error(busy()));
            }
            state.waiting += 1;
            self.keep(&mut state);
            state = self.changed.wait_timeout(state, LOOK).unwrap_or_else(|broken| broken.into_inner()).0;
            state.waiting -= 1;
            // Not under our lock: a tick waits for the interpreter.
            drop(state);
            if look().is_break() {
                return Err(NotReady::GaveUp);
            }
            state = self.state();
        }
    }

    /// Takes a worker back whose run has ended well for it.
    pub(super) fn give_back(&self, mut worker: Worker) {
        worker.since = Instant::now();
        let mut state = self.state();
        state.idle.push(worker);
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Kills a worker, and sees to it that nothing of it is left.
    pub(super) fn bury(&self, worker: Worker, space: Space) {
        let mut state = self.state();
        state.bound -= 1;
        state.bury(worker, space);
        self.changed.notify_all();
    }

    fn close(&self) {
        let mut state = self.state();
        state.ahead = None;
        let ended: Vec<Worker> = state.idle.drain(..).collect();
        state.bound -= ended.len();
        let spares: Vec<Worker> = state.spares.drain(..).collect();
        for worker in ended.into_iter().chain(spares) {
            state.bury(worker, Space::default());
        }
        let until = Instant::now() + LAST_WAIT;
        state.starting = state.starting.map(|_| false);
        while (state.starting.is_some() || !state.dying.is_empty()) && Instant::now() < until {
            let gone = state.reap();
            drop(state);
            drop(gone);
            std::thread::sleep(Duration::from_millis(1));
            state = self.state();
        }
    }

    /// Wakes the keeper, or starts it.
    ///
    /// It is one thread for the life of the process, because a worker ends with the thread that started it.
    fn keep(&'static self, state: &mut State) {
        if state.has_keeper {
            self.changed.notify_all();
            return;
        }
        let keeper = std::thread::Builder::new().name("ringfence-keeper".into()).stack_size(256 << 10);
        match keeper.spawn(|| self.keep_for_ever()) {
            Ok(_) => state.has_keeper = true,
            Err(error) => {
                state.failed = Some(Error::system("no thread for workers", &error, NO_THREAD));
            }
        }
    }

    fn keep_for_ever(&self) {
        let mut state = self.state();
        loop {
            let gone = state.reap();
            let retired = state.retire();
            if !gone.is_empty() {
                drop(state);
                // Removing what was theirs takes time.
                drop(gone);
                state = self.state();
                continue;
            }
            if !retired && state.failed.is_none() && state.spares.len() < state.wanted() {
                state.starting = Some(true);
                drop(state);
                let started = Worker::start();
                state = self.state();
                match started {
                    // All were to end meanwhile.
                    Ok(worker) if state.starting == Some(false) => state.bury(worker, Space::default()),
                    Ok(worker) => state.spares.push(worker),
                    Err(error) if state.waiting > 0 => state.failed = Some(error),
                    // Told to the next who asks for one.
                    Err(_) => state.ahead = None,
                }
                state.starting = None;
                self.changed.notify_all();
                continue;
            }
            let time = state.next_look();
            state = match time {
                Some(time) => self.changed.wait_timeout(state, time).unwrap_or_else(|broken| broken.into_inner()).0,
                None => self.changed.wait(state).unwrap_or_else(|broken| broken.into_inner()),
            };
        }
    }
}

impl State {
    /// Spares there should be.
    fn wanted(&self) -> usize {
        self.waiting.min(MAX_WORKERS.saturating_sub(self.bound)).max(usize::from(self.ahead.is_some()))
    }

    /// Whether one more worker may be bound; where there are too many, the one that has been free for longest goes.
    fn make_room(&mut self) -> bool {
        if self.bound < MAX_WORKERS {
            return true;
        }
        if self.idle.is_empty() {
            return false;
        }
        let oldest = self.idle.remove(0);
        self.bound -= 1;
        self.bury(oldest, Space::default());
        true
    }

    fn bury(&mut self, worker: Worker, space: Space) {
        worker.process.kill();
        let Worker { process, home, .. } = worker;
        self.dying.push(Dying { process, _space: space, _home: home });
    }

    /// Those that are gone by now.
    fn reap(&mut self) -> Vec<Dying> {
        let is_gone = |dying: &mut Dying| dying.process.death().is_some() || dying.process.is_dead(Duration::ZERO);
        self.dying.extract_if(.., is_gone).collect()
    }

    /// Lets those go that nobody has needed for long.
    fn retire(&mut self) -> bool {
        let is_old = |since: Instant| since.elapsed() >= IDLE;
        let old: Vec<Worker> = self.idle.extract_if(.., |worker| is_old(worker.since)).collect();
        self.bound -= old.len();
        let mut retired = !old.is_empty();
        for worker in old {
            self.bury(worker, Space::default());
        }
        if self.ahead.is_some_and(is_old) && self.bound == 0 {
            self.ahead = None;
            while let Some(spare) = self.spares.pop() {
                self.bury(spare, Space::default());
                retired = true;
            }
        }
        retired
    }

    /// When there is something to look at again.
    fn next_look(&self) -> Option<Duration> {
        if !self.dying.is_empty() {
            return Some(LOOK);
        }
        let oldest = self.idle.iter().map(|worker| worker.since).chain(self.ahead.filter(|_| self.bound == 0)).min()?;
        Some(IDLE.saturating_sub(oldest.elapsed()).max(LOOK))
    }
}

fn busy() -> Error {
    Error::Busy(Parts::new(
        "no free worker for this run",
        format!("{MAX_WORKERS} guests run in workers of this process already"),
        "run fewer at one time, or spread them over several processes",
    ))
}
