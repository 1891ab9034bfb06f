//! Keeping the signal handlers that turn a guest's fault into a trap.
//!
//! wasmtime installs them with its first engine. Whoever installs one later, as Python's `faulthandler` does when it is
//! enabled, would take a guest's fault for ours and end the process: so each run looks whether they are still there.
//!
//! They read wasmtime's registry of code, whose lock a child made by `fork` would inherit held: ours are around them, so
//! that no fork falls in the middle of one.
#![allow(unsafe_code)]

use std::sync::OnceLock;

use crate::process_unsafe::{Section, whole};

/// The signals of faults: memory, instructions, arithmetic.
const FAULTS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGBUS];

type Handler = unsafe extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// What wasmtime installed, and what we did around it.
struct Installed {
    theirs: [libc::sigaction; 4],
    ours: [libc::sigaction; 4],
}

static INSTALLED: OnceLock<Installed> = OnceLock::new();

/// Takes the place of the handlers that wasmtime has just installed, to call them.
pub(crate) fn surround() {
    let of_wasmtime = || {
        let theirs = FAULTS.map(current);
        let ours = theirs.map(|action| match action.sa_flags & libc::SA_SIGINFO {
            // Not wasmtime's: it leaves SIGBUS alone on Linux.
            0 => action,
            _ => libc::sigaction { sa_sigaction: handle as *const () as usize, ..action },
        });
        Installed { theirs, ours }
    };
    // Children made by `fork` have it too, and none half done, which they would wait for in vain.
    install(&whole(|| INSTALLED.get_or_init(of_wasmtime)).ours);
}

extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(installed) = INSTALLED.get() else { return };
    let Some(at) = FAULTS.iter().position(|fault| *fault == signal) else { return };
    let section = Section::enter();
    // SAFETY: it was installed as a handler of this signal that takes three arguments, see `surround`, and these are
    // what the system gave us for it.
    unsafe {
        let theirs = std::mem::transmute::<usize, Handler>(installed.theirs[at].sa_sigaction);
        theirs(signal, info, context);
    }
    drop(section);
}

fn install(actions: &[libc::sigaction; 4]) {
    for (signal, action) in FAULTS.into_iter().zip(actions) {
        // SAFETY: `action` is one that the system gave us for this signal, with its handler or ours; both live as long
        // as the program.
        let _ = unsafe { libc::sigaction(signal, action, std::ptr::null_mut()) };
    }
}

/// Puts them back where somebody has replaced them. A fault that is not a guest's still goes to whoever was there
/// before the first engine.
pub(crate) fn keep() {
    let Some(installed) = INSTALLED.get() else { return };
    if current(FAULTS[0]).sa_sigaction != installed.ours[0].sa_sigaction {
        install(&installed.ours);
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
