//! What belongs to one process, and what a child made by `fork` must leave alone.
//!
//! A child inherits memory, and none of the threads that were at work in it: a lock that one of them held stays
//! locked, and what they drove stands still. So nothing with a lock or a thread behind it is inherited: the child makes
//! its own at first use, and what the parent had is neither used nor dropped.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Forks between the first process that used Ringfence and this one.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Counts every fork from now on. A `Once` would do, but a child could inherit it half done.
fn watch() {
    static WATCHING: AtomicBool = AtomicBool::new(false);
    if !WATCHING.swap(true, Ordering::SeqCst) {
        // SAFETY: the handlers are plain functions that live as long as the program, and all they do is work with
        // atomics and sleep, which is allowed around `fork`. It fails only where there is no memory for them.
        let _ = unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(in_child)) };
    }
}

/// Threads that are in a `whole` section.
static INSIDE: AtomicUsize = AtomicUsize::new(0);
/// Forks under way: nobody enters a section meanwhile.
static FORKS: AtomicUsize = AtomicUsize::new(0);
/// How long a fork waits for sections to end. They take microseconds; a machine may be slow.
const PATIENCE: Duration = Duration::from_secs(2);
const NAP: Duration = Duration::from_micros(50);

extern "C" fn before_fork() {
    FORKS.fetch_add(1, Ordering::SeqCst);
    let mut left = PATIENCE.as_micros() / NAP.as_micros();
    while INSIDE.load(Ordering::SeqCst) > 0 && left > 0 {
        std::thread::sleep(NAP);
        left -= 1;
    }
}

extern "C" fn after_fork() {
    FORKS.fetch_sub(1, Ordering::SeqCst);
}

extern "C" fn in_child() {
    INSIDE.store(0, Ordering::SeqCst);
    FORKS.store(0, Ordering::SeqCst);
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// Does something short that no fork falls in the middle of: wasmtime's registry of code is a lock of the whole process
/// that a child cannot make anew. Never waits for anything, and never forks, in there.
pub(crate) fn whole<T>(work: impl FnOnce() -> T) -> T {
    watch();
    let section = Section::enter();
    let done = work();
    drop(section);
    done
}

/// Being in the middle of something that no fork falls into. Fit for a signal handler: atomics, and a sleep.
pub(crate) struct Section(u64);

impl Section {
    pub(crate) fn enter() -> Self {
        loop {
            INSIDE.fetch_add(1, Ordering::SeqCst);
            let section = Self(generation());
            if FORKS.load(Ordering::SeqCst) == 0 {
                return section;
            }
            drop(section);
            std::thread::sleep(NAP);
        }
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        if self.0 == generation() {
            INSIDE.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// A value that no fork falls in the middle of the end of.
pub(crate) struct EndsWhole<T>(ManuallyDrop<T>);

impl<T> EndsWhole<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
    }
}

impl<T> Deref for EndsWhole<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Drop for EndsWhole<T> {
    fn drop(&mut self) {
        // SAFETY: dropped here, once, and not used afterwards.
        whole(|| unsafe { ManuallyDrop::drop(&mut self.0) });
    }
}

/// Ends this process at once, telling why: for a thread whose caller stayed in another process.
pub(crate) fn leave(why: &str) -> ! {
    eprintln!("ringfence: {why}");
    // SAFETY: ends the process without running anything of it.
    unsafe { libc::_exit(125) }
}

/// A value that every process makes for itself.
pub(crate) struct PerProcess<T> {
    slot: AtomicPtr<Slot<T>>,
}

struct Slot<T> {
    generation: u64,
    value: T,
}

impl<T> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self { slot: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// One that this process has made already.
    pub(crate) fn with(value: T) -> Self {
        watch();
        Self { slot: AtomicPtr::new(Box::into_raw(Box::new(Slot { generation: generation(), value }))) }
    }

    /// This process's value, made if it has none. Threads that come at the same time may each make one: the first to
    /// be done is everybody's.
    pub(crate) fn get_or_try<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        watch();
        let found = self.slot.load(Ordering::Acquire);
        // SAFETY: a slot that was ever published is freed only by `drop`, which has `self` alone.
        if let Some(slot) = unsafe { found.as_ref() }
            && slot.generation == generation()
        {
            return Ok(&slot.value);
        }
        let made = Box::into_raw(Box::new(Slot { generation: generation(), value: make()? }));
        match self.slot.compare_exchange(found, made, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: `made` is published now, see above. What it replaces is of another process, and leaked.
            Ok(_) => Ok(unsafe { &(*made).value }),
            Err(theirs) => {
                // SAFETY: `made` came from a box and nobody else has seen it.
                drop(unsafe { Box::from_raw(made) });
                // SAFETY: `theirs` was published by another thread of this process, see above.
                Ok(unsafe { &(*theirs).value })
            }
        }
    }
}

impl<T: Default> PerProcess<T> {
    /// This process's value.
    pub(crate) fn get(&self) -> &T {
        let made: Result<&T, std::convert::Infallible> = self.get_or_try(|| Ok(T::default()));
        match made {
            Ok(value) => value,
        }
    }
}

// SAFETY: it hands out `&T` to any thread, which wants `Sync`, and drops a `T` that another thread may have made.
unsafe impl<T: Send + Sync> Sync for PerProcess<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Send for PerProcess<T> {}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        let slot = *self.slot.get_mut();
        if slot.is_null() {
            return;
        }
        // SAFETY: it was published by `with` or `get_or_try`, and nobody borrows from `self` any more.
        if unsafe { (*slot).generation } == generation() {
            // SAFETY: it came from a box.
            drop(unsafe { Box::from_raw(slot) });
        }
    }
}

/// A value that is dropped only by the process that made it, and otherwise leaked.
pub(crate) struct Here<T> {
    generation: u64,
    value: ManuallyDrop<T>,
}

impl<T> Here<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { generation: generation(), value: ManuallyDrop::new(value) }
    }

    /// Whether this is still the process that made it.
    pub(crate) fn is_ours(&self) -> bool {
        self.generation == generation()
    }
}

impl<T> Deref for Here<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Here<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T> Drop for Here<T> {
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: dropped here, once, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}
