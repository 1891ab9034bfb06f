//! The clock that no guest can stop: one thread that advances every engine's epoch.
//!
//! It runs only while guests do, and lingers a second, so that an idle process sleeps.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

use crate::process_unsafe::PerProcess;
use crate::ready;
use crate::snapshot::kept;

/// Time between two looks at a computing guest.
pub const TICK: Duration = Duration::from_millis(10);

/// Idle ticks before the thread parks.
const LINGER_TICKS: u32 = 100;

/// The clock of this process.
#[derive(Default)]
struct Ticker {
    engines: Mutex<Vec<EngineWeak>>,
    active: AtomicUsize,
    parked: AtomicBool,
    thread: OnceLock<Option<Thread>>,
}

static TICKER: PerProcess<Ticker> = PerProcess::new();

/// Advances this engine's epoch from now on.
pub fn watch(engine: &Engine) {
    TICKER.get().engines.lock().unwrap_or_else(|broken| broken.into_inner()).push(engine.weak());
}

/// Keeps the clock running while a guest does; `None` when its thread could not be started.
pub struct Running(&'static Ticker);

impl Running {
    /// Starts or wakes the clock.
    pub fn start() -> Option<Self> {
        let ticker = TICKER.get();
        let thread = ticker.thread.get_or_init(|| {
            std::thread::Builder::new()
                .name("ringfence-ticker".into())
                .stack_size(128 << 10)
                .spawn(|| tick_for_ever(ticker))
                .ok()
                .map(|handle| handle.thread().clone())
        });
        let thread = thread.as_ref()?;
        ticker.active.fetch_add(1, Ordering::SeqCst);
        if ticker.parked.load(Ordering::SeqCst) {
            thread.unpark();
        }
        Some(Self(ticker))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick_for_ever(ticker: &Ticker) {
    let mut idle = 0;
    loop {
        std::thread::sleep(TICK);
        for engine in ticker.engines.lock().unwrap_or_else(|broken| broken.into_inner()).iter() {
            if let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
            }
        }
        idle = if ticker.active.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
        if idle >= LINGER_TICKS {
            // Nobody needs soon what waits to be used again.
            ready::give_back();
            kept::give_back();
            ticker.parked.store(true, Ordering::SeqCst);
            // Looked at once more after the flag is up: whoever comes now sees the flag and unparks. So does memory that a
            // session gives back while nothing runs.
            while ticker.active.load(Ordering::SeqCst) == 0 && kept::is_empty() && ready::is_empty() {
                std::thread::park();
            }
            ticker.parked.store(false, Ordering::SeqCst);
            idle = 0;
        }
    }
}
