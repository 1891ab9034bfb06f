//! Engine profiles: the one room where a `wasmtime::Config` is made.
//!
//! What is decided here is part of a compiled program's identity, so it is a small table and never a
//! number of one run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::error::{Error, Result};
use crate::process_unsafe::{PerProcess, generation};
use crate::sandbox::{signals_unsafe, ticker};
use crate::snapshot::{Creator, pagemap_unsafe};

/// Stack of a guest, in bytes. Deep recursion past it is the trap `stack overflow`.
pub const GUEST_STACK_BYTES: usize = 1 << 20;

/// The same of a language pack. An interpreter counts its own calls and refuses one too many in its own words; it gets
/// that far only on a stack that is ample for them (measured: CPython and QuickJS trap at 3 MiB, never at 4).
pub const LANGUAGE_STACK_BYTES: usize = 4 << 20;

/// Stack left for host functions under the guest's, in bytes: overflowing it aborts the process, so it is ample.
const HOST_STACK_BYTES: usize = 1 << 20;

/// Runs of ordinary programs that may be under way at one time in one process, each profile for itself.
pub const POOL_SLOTS: u32 = 1000;

/// The same of language packs, where every open session holds one.
pub const LANGUAGE_SLOTS: u32 = 6000;

/// Instances of the pool: a component has many in one slot, and they are only counted.
const POOL_INSTANCES: u32 = 100_000;

/// Memory of a slot that stays mapped between runs, in bytes: resetting it by copying is cheaper than
/// faulting it in again, up to about this size (measured: 10.0 → 5.5 µs for a small module).
const KEEP_RESIDENT_BYTES: usize = 1 << 20;

/// What a guest with exceptions or objects of its own has for them from its start; one page of a memory.
pub(crate) const GC_HEAP_BYTES: usize = 64 << 10;

/// Slots that keep what is resident while nobody uses them. Times the above, with what tables and stacks keep, it
/// stays under the 64 MiB that a process may hold beyond what its guests were granted.
const WARM_SLOTS: u32 = 40;

/// Table elements of a pooled module, address space only; CPython with its libraries takes 47,000 at once.
const POOL_TABLE_ELEMENTS: usize = 4 << 20;

/// Slots of the pool of a process that runs one guest at a time.
const POOL_SLOTS_FOR_ONE: u32 = 8;

/// Memories that such a process keeps accessible beside the guest's own.
const WARM_SLOTS_FOR_ONE: u32 = 3;

/// Guests' memories that a process which runs one guest at a time may hold: the guest's, and the warm ones.
pub(crate) const MEMORIES_FOR_ONE: u32 = 1 + WARM_SLOTS_FOR_ONE;

static POOLED: AtomicBool = AtomicBool::new(true);
static FOR_ONE: AtomicBool = AtomicBool::new(false);

/// Leaves the pool out of every engine made from now on: making it costs 3 ms, which a process that runs
/// one program once does not earn back.
pub fn without_pool() {
    POOLED.store(false, Ordering::Relaxed);
}

/// Whether engines made from now on have a pool, where there is room for one.
pub(crate) fn is_pooling() -> bool {
    POOLED.load(Ordering::Relaxed)
}

/// Makes the pool of every engine from now on a small one, for a process that runs one guest at a time: what is
/// reserved for a thousand would be memory that an escaped guest could fill.
pub fn with_pool_for_one() {
    FOR_ONE.store(true, Ordering::Relaxed);
}

/// A row of the table of engines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Profile {
    /// Count fuel, and make floating point deterministic with it.
    pub fuel: bool,
    /// Component-model concurrency, which WASI 0.3 needs and which costs every other call 1.4 times.
    pub concurrency: bool,
    /// The stack and the slots of a language pack, whose components never have concurrency.
    pub language: bool,
    /// A module of a user that is captured: it is one only without its data, as a language pack may be.
    pub captured: bool,
}

impl Profile {
    const ALL: [Self; 8] = [
        Self { fuel: false, concurrency: false, language: false, captured: false },
        Self { fuel: true, concurrency: false, language: false, captured: false },
        Self { fuel: false, concurrency: true, language: false, captured: false },
        Self { fuel: true, concurrency: true, language: false, captured: false },
        Self { fuel: false, concurrency: false, language: true, captured: false },
        Self { fuel: true, concurrency: false, language: true, captured: false },
        Self { fuel: false, concurrency: false, language: false, captured: true },
        Self { fuel: true, concurrency: false, language: false, captured: true },
    ];

    /// Whether data are taken out of its modules, where they can be, and shown to each instance from elsewhere.
    pub(crate) fn is_instrumented(self) -> bool {
        self.language || self.captured
    }

    /// The configuration that decides what compiled code looks like; allocation does not.
    pub fn config(self) -> Config {
        let stack = if self.language { LANGUAGE_STACK_BYTES } else { GUEST_STACK_BYTES };
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            .consume_fuel(self.fuel)
            .cranelift_nan_canonicalization(self.fuel)
            .relaxed_simd_deterministic(self.fuel)
            .concurrency_support(self.concurrency)
            .max_wasm_stack(stack)
            .async_stack_size(stack + HOST_STACK_BYTES)
            .memory_guaranteed_dense_image_size(256 << 20)
            // There before it is needed: a guest whose memory is full throws an error, and that takes an object of it.
            .gc_heap_initial_size(GC_HEAP_BYTES as u64);
        if !self.is_instrumented() {
            config.wasm_component_model_map(true).wasm_component_model_fixed_length_lists(true);
        }
        config
    }

    /// A short name for file names and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self { language: true, fuel: false, .. } => "language",
            Self { language: true, fuel: true, .. } => "fuel-language",
            Self { captured: true, fuel: false, .. } => "captured",
            Self { captured: true, fuel: true, .. } => "fuel-captured",
            Self { fuel: false, concurrency: false, .. } => "plain",
            Self { fuel: true, concurrency: false, .. } => "fuel",
            Self { fuel: false, concurrency: true, .. } => "concurrent",
            Self { fuel: true, concurrency: true, .. } => "fuel-concurrent",
        }
    }

    /// The profile of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }
}

/// The engines of one profile: a pool for ordinary programs, and plain allocation for those that do not fit it.
pub struct Engines {
    profile: Profile,
    generation: u64,
    pool: OnceLock<Option<wasmtime::Engine>>,
    /// Slots that the pool keeps warm; none where there is no pool.
    warm: Option<u32>,
    roomy: OnceLock<wasmtime::Engine>,
    lending: OnceLock<wasmtime::Engine>,
    slots: Arc<Semaphore>,
    size: u32,
}

impl Engines {
    /// The engines of a profile, made at first use and kept for the life of the process; a child made by `fork` makes
    /// its own.
    pub fn of(profile: Profile) -> Result<Arc<Self>> {
        static MADE: PerProcess<Mutex<Vec<Arc<Engines>>>> = PerProcess::new();
        let mut made = MADE.get().lock().unwrap_or_else(|broken| broken.into_inner());
        if let Some(engines) = made.iter().find(|made| made.profile == profile) {
            return Ok(engines.clone());
        }
        let (size, warm) = match FOR_ONE.load(Ordering::Relaxed) {
            true => (POOL_SLOTS_FOR_ONE, WARM_SLOTS_FOR_ONE),
            false if profile.language => (LANGUAGE_SLOTS, WARM_SLOTS),
            false => (POOL_SLOTS, WARM_SLOTS),
        };
        // Our own frames in an error are of no use to anybody, and taking them down holds a lock of the whole process,
        // which a child made by `fork` may inherit held: `RUST_BACKTRACE=1` would hang it.
        wasmtime::error::disable_backtrace();
        check_inheritance()?;
        if profile.is_instrumented() {
            // A worker can open nothing any more when it first needs it.
            let _ = pagemap_unsafe::is_there();
        }
        let engines = Arc::new(Self {
            profile,
            generation: generation(),
            pool: OnceLock::new(),
            warm: POOLED.load(Ordering::Relaxed).then_some(warm),
            roomy: OnceLock::new(),
            lending: OnceLock::new(),
            slots: Arc::new(Semaphore::new(size as usize)),
            size,
        });
        if engines.first().is_ok() {
            signals_unsafe::surround();
        }
        made.push(engines.clone());
        Ok(engines)
    }

    /// Which row of the table this is.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Whether slots are pooled; without enough address space they are not.
    pub fn is_pooled(&self) -> bool {
        self.pool().is_some()
    }

    /// Made at first use: 6,000 slots of a language are 12,000 mappings, and most packs need none.
    fn pool(&self) -> Option<&wasmtime::Engine> {
        let pool = self.pool.get_or_init(|| {
            let pool = pool_engine(self.profile, self.size, self.warm?)?;
            ticker::watch(&pool);
            Some(pool)
        });
        pool.as_ref()
    }

    /// The engine that a process of this profile needs in any case, whatever it runs.
    pub fn first(&self) -> Result<&wasmtime::Engine> {
        // A worker can open nothing any more, and may need either.
        if self.profile.is_instrumented() && !FOR_ONE.load(Ordering::Relaxed) { self.lending() } else { self.usual() }
    }

    /// Room for runs; a run takes as many as its program has memories or tables.
    pub fn slots(&self) -> &Arc<Semaphore> {
        &self.slots
    }

    /// How many slots there are, taken or free.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The engine for ordinary programs.
    pub fn usual(&self) -> Result<&wasmtime::Engine> {
        match self.pool() {
            Some(engine) => Ok(engine),
            None => self.roomy(),
        }
    }

    /// The engine for programs whose memory shows an image: it is lent to one run after the other.
    pub fn lending(&self) -> Result<&wasmtime::Engine> {
        if let Some(engine) = self.lending.get() {
            return Ok(engine);
        }
        let mut config = self.profile.config();
        config.with_host_memory(Arc::new(Creator)).with_host_stack(Arc::new(Creator));
        made(&self.lending, &config)
    }

    /// The engine for programs that do not fit the pool: many memories, or tables beyond its size.
    pub fn roomy(&self) -> Result<&wasmtime::Engine> {
        if let Some(engine) = self.roomy.get() {
            return Ok(engine);
        }
        made(&self.roomy, &self.profile.config())
    }

    /// Refuses engines that a child made by `fork` inherited: their threads stayed behind in the parent.
    pub fn check_process(&self) -> Result<()> {
        if self.generation == generation() {
            return Ok(());
        }
        Err(Error::host(
            "these engines are of another process",
            "the threads that stop guests stayed behind in the parent process",
            "ask for the engines again after a fork",
        ))
    }
}

/// An engine, made here unless another thread was faster.
fn made<'a>(place: &'a OnceLock<wasmtime::Engine>, config: &Config) -> Result<&'a wasmtime::Engine> {
    let engine = wasmtime::Engine::new(config)
        .map_err(|error| Error::host("no WebAssembly engine", error.to_string(), "run `ringfence doctor`"))?;
    ticker::watch(&engine);
    Ok(place.get_or_init(|| engine))
}

/// How long a child may take to show that wasmtime works in it.
const INHERITANCE_PATIENCE: Duration = Duration::from_secs(5);

/// A program of ours that is small and has code.
const SMALL: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x04\x01\x02\0\x0b";

/// Whether a child can use wasmtime at all: its registry of code is the one lock that cannot be made anew, and a
/// thread of the parent may have held it at the fork. It is tried on a thread that can be left there.
fn check_inheritance() -> Result<()> {
    static SOUND: PerProcess<OnceLock<bool>> = PerProcess::new();
    if generation() == 0 {
        return Ok(());
    }
    let sound = SOUND.get().get_or_init(|| {
        let (tell, told) = mpsc::channel();
        let tried = std::thread::Builder::new().name("ringfence-forked".into()).spawn(move || {
            let mut config = Config::new();
            config.parallel_compilation(false);
            let code = wasmtime::Engine::new(&config).and_then(|engine| wasmtime::Module::new(&engine, SMALL));
            drop(code);
            let _ = tell.send(());
        });
        tried.is_ok() && told.recv_timeout(INHERITANCE_PATIENCE).is_ok()
    });
    if *sound {
        return Ok(());
    }
    Err(Error::host(
        "this process was forked at a moment that leaves it without WebAssembly",
        "another thread was loading or ending a program just then, and what it held stays held here",
        "start workers with `multiprocessing.set_start_method(\"spawn\")`, or first use Ringfence after the fork",
    ))
}

/// An engine with pooled slots, or none where the system does not give the address space.
fn pool_engine(profile: Profile, size: u32, warm: u32) -> Option<wasmtime::Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(POOL_INSTANCES)
        .total_core_instances(POOL_INSTANCES)
        // A second one for each slot serves components and modules with several.
        .total_memories(2 * size)
        .total_tables(size)
        .total_stacks(size)
        .total_gc_heaps(size)
        .table_elements(POOL_TABLE_ELEMENTS)
        .max_core_instance_size(8 << 20)
        .max_component_instance_size(8 << 20)
        .max_unused_warm_slots(warm)
        // What a run leaves is given back when it ends. In batches of 16, fifteen guests' memory for each thread
        // would stay until others run; what is kept resident needs no call, so a small guest costs the same.
        .decommit_batch_size(1)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES)
        .pagemap_scan(Enabled::Auto);
    let mut config = profile.config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    wasmtime::Engine::new(&config).ok()
}
