//! Many instances of one plugin, for many threads: each call has one to itself.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use super::live::Beginning;
use super::modules::Kept;
use super::tape::Tape;
use super::{Asked, Context, Imports, Plugin, Pulled, Returned, Shared, Stream, Usage, World};
use crate::apart;
use crate::error::{Error, Parts, Result};
use crate::host::{Raised, Surrounding};
use crate::process_unsafe::{Here, generation};
use crate::sandbox::store::Outer;
use crate::supervisor::LOOK;

/// Numbers of pools.
static NEXT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The pools inside of whose functions this thread is.
    static INSIDE: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Instances of one plugin. A call takes one that is free, and waits for one while there is none.
pub struct Pool {
    shared: Arc<Shared>,
    generation: u64,
    /// A new instance for each call.
    fresh: bool,
    /// What each instance goes on from, unless it begins as the program does.
    from: Option<Kept>,
    closed: AtomicBool,
    number: u64,
    plugins: Vec<Plugin>,
    /// Those that are replaced before their next call.
    stale: Vec<AtomicBool>,
    /// Places of those that nobody uses; the last used comes first, whose memory is still in the processor's.
    free: Here<(Mutex<Vec<usize>>, Condvar)>,
}

impl Pool {
    pub(super) fn open(shared: Shared, number: u64, (count, fresh): (usize, bool), from: Option<Kept>) -> Result<Self> {
        let shared = Arc::new(shared);
        let views = Arc::default();
        let first = Plugin::open(&shared, &views, beginning(from.as_ref()))?;
        let more = (1..count).map(|_| Plugin::empty(&shared, &views));
        let plugins: Vec<Plugin> = std::iter::once(first).chain(more).collect();
        Ok(Self {
            number,
            stale: plugins.iter().map(|_| AtomicBool::new(false)).collect(),
            shared,
            generation: generation(),
            fresh,
            from,
            closed: AtomicBool::new(false),
            free: Here::new((Mutex::new((0..plugins.len()).rev().collect()), Condvar::new())),
            plugins,
        })
    }

    /// Calls a function in an instance that no other call is in.
    pub fn call(&self, index: usize, params: Tape, asked: &Asked) -> Result<Returned> {
        let taken = self.take(asked)?;
        let Some(plugin) = self.plugins.get(taken.place) else { return Err(self.gone()) };
        let stale = self.stale.get(taken.place);
        if stale.is_some_and(|stale| stale.swap(self.fresh, Ordering::Relaxed)) || plugin.poisoned().is_some() {
            plugin.begin(beginning(self.from.as_ref()))?;
        }
        plugin.call(index, params, asked)
    }

    /// What it offers, and what it wants.
    pub fn world(&self) -> &Arc<World> {
        &self.shared.world
    }

    /// The first of them, for what is the same for all.
    pub(super) fn first(&self) -> Result<&Plugin> {
        self.plugins.first().ok_or_else(|| self.gone())
    }

    /// What all instances have used; their memory is added up, and the last call is that of one of them.
    pub fn usage(&self) -> Usage {
        self.plugins.iter().map(Plugin::usage).fold(Usage::default(), Usage::and)
    }

    /// Why it cannot be called any more: instances that are poisoned are replaced.
    pub fn poisoned(&self) -> Option<String> {
        (self.generation != generation()).then(|| "it is in the parent of this process".into())
    }

    /// Begins anew: every instance is replaced before its next call.
    pub fn restart(&self) -> Result<()> {
        self.check()?;
        self.stale.iter().for_each(|stale| stale.store(true, Ordering::Relaxed));
        Ok(())
    }

    /// Frees everything. Calls that are under way go on, and are the last.
    pub fn close(&self) {
        if self.generation != generation() {
            return;
        }
        self.closed.store(true, Ordering::SeqCst);
        for plugin in &self.plugins {
            plugin.close();
        }
        self.free.1.notify_all();
    }

    fn check(&self) -> Result<()> {
        if self.generation != generation() {
            return Err(self
                .refused("this process was forked, and the pool is in its parent", "make a new one in this process"));
        }
        if self.closed.load(Ordering::SeqCst) { Err(self.gone()) } else { Ok(()) }
    }

    fn take(&self, asked: &Asked) -> Result<Taken<'_>> {
        self.check()?;
        let mut free = self.free();
        if let Some(place) = free.pop() {
            return Ok(Taken { pool: self, place });
        }
        drop(free);
        if INSIDE.with_borrow(|inside| inside.contains(&self.number)) {
            return Err(self.refused(
                "a function that it calls calls it again, and every instance is in a call",
                "give the pool more instances than calls that are inside one another",
            ));
        }
        let outer = apart::outer()?;
        loop {
            let is_given_up = asked.cancelled.as_ref().is_some_and(|cancelled| cancelled.load(Ordering::Relaxed))
                || outer
                    .as_ref()
                    .is_some_and(|outer: &Arc<Outer>| outer.is_cancelled() || outer.deadline <= Instant::now())
                || !(self.shared.look)();
            if is_given_up {
                return Err(Error::Busy(Parts::new(
                    format!("no call of the plugin `{}`", self.shared.name),
                    "its caller gave up before an instance was free",
                    "wait longer, or give the pool more instances",
                )));
            }
            let mut free = self.free();
            if free.is_empty() {
                // Woken by a call that ends; the clock is for what nobody is woken by.
                free = self.free.1.wait_timeout(free, LOOK).unwrap_or_else(|broken| broken.into_inner()).0;
            }
            self.check()?;
            if let Some(place) = free.pop() {
                return Ok(Taken { pool: self, place });
            }
        }
    }

    fn free(&self) -> MutexGuard<'_, Vec<usize>> {
        self.free.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    fn gone(&self) -> Error {
        self.refused("it was closed", "make a new one")
    }

    fn refused(&self, why: &str, fix: &str) -> Error {
        Error::plugin(format!("no call of the plugin `{}`", self.shared.name), why, fix)
    }
}

fn beginning(from: Option<&Kept>) -> Beginning<'_> {
    from.map_or(Beginning::New, Beginning::From)
}

/// The place of an instance that is in use. Whatever happens to its call, it is free again.
struct Taken<'a> {
    pool: &'a Pool,
    place: usize,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if self.pool.generation == generation() {
            self.pool.free().push(self.place);
            self.pool.free.1.notify_one();
        }
    }
}

/// Functions of the host for a new pool, by whose number they know that they are called from it.
pub(super) fn marked(given: Option<Arc<dyn Imports>>) -> (Option<Arc<dyn Imports>>, u64) {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    (given.map(|given| Arc::new(Marked { given, number }) as Arc<dyn Imports>), number)
}

/// The functions of the host, which know the pool that they are called from.
struct Marked {
    given: Arc<dyn Imports>,
    number: u64,
}

impl Imports for Marked {
    fn call(&self, index: usize, params: Tape) -> std::result::Result<Tape, Raised> {
        let _inside = Inside::of(self.number);
        self.given.call(index, params)
    }

    fn is_stub(&self, index: usize) -> bool {
        self.given.is_stub(index)
    }

    fn drop_object(&self, resource: usize, number: u32) -> std::result::Result<(), Raised> {
        self.given.drop_object(resource, number)
    }

    fn beside(&self, context: Option<&Context>, call: &mut (dyn FnMut() + Send)) {
        self.given.beside(context, call);
    }

    fn around(&self, context: Option<&Context>) -> Surrounding {
        self.given.around(context)
    }
}

struct Inside;

impl Inside {
    fn of(number: u64) -> Self {
        INSIDE.with_borrow_mut(|inside| inside.push(number));
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.with_borrow_mut(Vec::pop);
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

/// What a plugin's functions are called in.
#[derive(Debug)]
pub enum Instances {
    /// One that is there from call to call.
    One(Plugin),
    /// Any of many.
    Pool(Pool),
}

macro_rules! either {
    ($instances:expr, $each:ident => $act:expr) => {
        match $instances {
            Instances::One($each) => $act,
            Instances::Pool($each) => $act,
        }
    };
}

impl Instances {
    /// Calls the function at that place among all that are exported.
    pub fn call(&self, index: usize, params: Tape, asked: &Asked) -> Result<Returned> {
        either!(self, each => each.call(index, params, asked))
    }

    /// The next values of a stream; those of a pool have none.
    pub fn pull(&self, stream: &Stream, asked: &Asked) -> Result<Pulled> {
        match self {
            Self::One(plugin) => plugin.pull(stream, asked),
            Self::Pool(pool) => Err(pool.refused("its instances have no streams", "load it as a `Plugin`")),
        }
    }

    /// Tells the guest what resources the host has let go of; those of a pool have none.
    pub fn settle(&self) -> Result<Option<Returned>> {
        match self {
            Self::One(plugin) => plugin.settle(),
            Self::Pool(_) => Ok(None),
        }
    }

    /// What was used so far.
    pub fn usage(&self) -> Usage {
        either!(self, each => each.usage())
    }

    /// Why it cannot be called any more, if it cannot.
    pub fn poisoned(&self) -> Option<String> {
        either!(self, each => each.poisoned())
    }

    /// Begins anew.
    pub fn restart(&self) -> Result<()> {
        either!(self, each => each.restart())
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        either!(self, each => each.closed.load(Ordering::SeqCst))
    }

    /// Frees everything.
    pub fn close(&self) {
        either!(self, each => each.close());
    }
}
