//! Noticing that this process is a child made by `fork`, without asking the system at every run.
#![allow(unsafe_code)]

use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

static FORKED: AtomicBool = AtomicBool::new(false);
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Marks every child forked from now on.
pub fn watch() {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        // SAFETY: the handler is a plain function that lives as long as the program, and all it does is store to
        // an atomic, which is allowed between `fork` and `exec`. A failure (no memory) leaves forks unnoticed by
        // this means; the child's runs then end at the caller's side by the slot or deadline they wait for.
        let _ = unsafe { libc::pthread_atfork(None, None, Some(mark)) };
    });
}

/// Whether this process was forked since [`watch`].
pub fn is_forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// How many forks lie between this process and the one that first called [`watch`].
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

extern "C" fn mark() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    FORKED.store(true, Ordering::Relaxed);
}
