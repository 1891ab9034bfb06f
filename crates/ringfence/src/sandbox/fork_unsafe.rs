//! Noticing that this process is a child made by `fork`, without asking the system at every run.
#![allow(unsafe_code)]

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static FORKED: AtomicBool = AtomicBool::new(false);

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

extern "C" fn mark() {
    FORKED.store(true, Ordering::Relaxed);
}
