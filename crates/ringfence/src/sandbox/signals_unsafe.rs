//! Keeping the signal handlers that turn a guest's fault into a trap.
//!
//! wasmtime installs them with its first engine. Whoever installs one later, as Python's `faulthandler` does when it is
//! enabled, would take a guest's fault for ours and end the process: so each run looks whether they are still there.
#![allow(unsafe_code)]

use std::sync::OnceLock;

/// The signals of faults: memory, instructions, arithmetic.
const FAULTS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGBUS];

static OURS: OnceLock<[libc::sigaction; 4]> = OnceLock::new();

/// Remembers the handlers that wasmtime has just installed.
pub(crate) fn remember() {
    OURS.get_or_init(|| FAULTS.map(current));
}

/// Puts them back where somebody has replaced them. A fault that is not a guest's still goes to whoever was there
/// before the first engine.
pub(crate) fn keep() {
    let Some(ours) = OURS.get() else { return };
    if current(FAULTS[0]).sa_sigaction == ours[0].sa_sigaction {
        return;
    }
    for (signal, action) in FAULTS.into_iter().zip(ours) {
        // SAFETY: `action` is one that the system gave us for this signal, and its handler lives as long as the program.
        let _ = unsafe { libc::sigaction(signal, action, std::ptr::null_mut()) };
    }
}

fn current(signal: libc::c_int) -> libc::sigaction {
    // SAFETY: a `sigaction` of zeros is a valid one (the default), and the call only writes to it.
    unsafe {
        let mut action = std::mem::zeroed();
        let _ = libc::sigaction(signal, std::ptr::null(), &raw mut action);
        action
    }
}
