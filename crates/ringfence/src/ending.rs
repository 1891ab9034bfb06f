//! From the error that ended a guest to the outcome of its run.

use rustix::io::Errno;
use wasmtime::{GcHeapOutOfMemory, Trap, WasmBacktrace};
use wasmtime_wasi::{I32Exit, ResourceTableError};

use crate::error::{Error, ROOM};
use crate::host::Raised;
use crate::result::Outcome;
use crate::sandbox::stop::{Limit, Stop};
use crate::snapshot::NO_ROOM;
use crate::text;

/// Frames of a backtrace that are told.
const MAX_FRAMES: usize = 20;

/// How wasmtime begins to say that a run has more instances, memories or tables than our limiter lets it have.
/// It has no type for this error; a test in `limits.rs` holds the words.
const TOO_MANY: &str = "resource limit exceeded: ";

/// The same of a component's handles, of which a store has 100,000 at most.
const TOO_MANY_HANDLES: &str = "store handle limit exceeded";

/// How a guest ended, before what it used is known.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) outcome: Outcome,
    pub(crate) exit_code: Option<u32>,
    pub(crate) limit: Option<Limit>,
    pub(crate) trap: Option<String>,
    pub(crate) backtrace: Option<String>,
    pub(crate) raised: Option<Raised>,
    /// An error of the system's in which the guest has no part.
    pub(crate) host: Option<Error>,
}

/// Why the system made no instance, stack or heap, if that is what this error is about.
pub(crate) fn no_room(error: &wasmtime::Error) -> Option<Error> {
    let is_out = |cause: &(dyn std::error::Error + 'static)| {
        let number = cause.downcast_ref::<Errno>().copied();
        let number = number.or_else(|| Errno::from_io_error(cause.downcast_ref::<std::io::Error>()?));
        number == Some(Errno::NOMEM) || cause.is::<wasmtime::PoolConcurrencyLimitError>()
    };
    let root = error.root_cause().to_string();
    if !error.chain().any(is_out) && !root.starts_with(NO_ROOM) {
        return None;
    }
    Some(Error::host("no memory for a guest", root.strip_prefix(NO_ROOM).unwrap_or(&root), ROOM))
}

impl Ending {
    fn new(outcome: Outcome) -> Self {
        Self { outcome, exit_code: None, limit: None, trap: None, backtrace: None, raised: None, host: None }
    }

    pub(crate) fn exited(code: u32) -> Self {
        Self { exit_code: Some(code), ..Self::new(Outcome::Exited) }
    }

    fn limited(limit: Limit) -> Self {
        Self { limit: Some(limit), ..Self::new(Outcome::Limited) }
    }

    /// Ringfence failed; what it says is for the maintainers, hence escaped and cut like any other text.
    pub(crate) fn crashed(why: &str) -> Self {
        Self { trap: Some(text::quote(why)), ..Self::new(Outcome::Crashed) }
    }

    pub(crate) fn stopped(stop: Stop) -> Self {
        match stop {
            Stop::Exit(code) => Self::exited(code),
            Stop::Limit(limit) => Self::limited(limit),
            Stop::Denied => Self::new(Outcome::Denied),
            Stop::Cancelled => Self::new(Outcome::Cancelled),
            Stop::NoMemory => Self { trap: Some(stop.to_string()), ..Self::new(Outcome::Trapped) },
        }
    }

    /// What an error raised through the guest means.
    pub(crate) fn of_error(error: &wasmtime::Error) -> Self {
        if let Some(stop) = error.downcast_ref::<Stop>() {
            return Self::stopped(*stop);
        }
        if let Some(raised) = error.downcast_ref::<Raised>() {
            return Self { raised: Some(raised.clone()), ..Self::crashed(&raised.why) };
        }
        if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
            return Self::exited(code.cast_unsigned());
        }
        if matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full)) {
            return Self::limited(Limit::HostBytes);
        }
        if error.is::<GcHeapOutOfMemory<()>>() {
            return Self::limited(Limit::Memory);
        }
        if error.downcast_ref::<Trap>().is_none() && error.root_cause().to_string().starts_with(TOO_MANY) {
            return Self::limited(Limit::Memory);
        }
        if error.downcast_ref::<Trap>().is_none() && error.root_cause().to_string().ends_with(TOO_MANY_HANDLES) {
            return Self::limited(Limit::HostBytes);
        }
        if error.downcast_ref::<Trap>().is_none()
            && let Some(host) = no_room(error)
        {
            return Self { host: Some(host.clone()), ..Self::crashed(&host.parts().why) };
        }
        let kind = match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => return Self::limited(Limit::Fuel),
            Some(trap) => trap_name(*trap),
            None if error.is::<wasmtime::ThrownException>() => "uncaught exception".to_owned(),
            None => text::quote(&error.root_cause().to_string()),
        };
        let backtrace = error.downcast_ref::<WasmBacktrace>().map(frames);
        Self { trap: Some(kind), backtrace, ..Self::new(Outcome::Trapped) }
    }

    /// A run that was refused memory and did not end well died of it, whatever words it found.
    pub(crate) fn after_refused_memory(self) -> Self {
        match self.outcome {
            Outcome::Exited if self.exit_code == Some(0) => self,
            Outcome::Exited | Outcome::Trapped => {
                Self { outcome: Outcome::Limited, limit: Some(Limit::Memory), ..self }
            }
            _ => self,
        }
    }

    /// A run whose output was cut has reached that limit, however it then ended: some streams of WASI 0.3 only
    /// tell the guest that they are gone, and it may be faster than the supervisor.
    pub(crate) fn after_cut_output(self) -> Self {
        match self.outcome {
            Outcome::Exited | Outcome::Trapped => Self::limited(Limit::Output),
            _ => self,
        }
    }

    /// The same for a run that the network had to end, as it moved all the bytes it may or was refused something: a
    /// guest can be faster to end than the supervisor to look.
    pub(crate) fn after_network(self, stop: Option<Stop>) -> Self {
        match (self.outcome, stop) {
            (Outcome::Exited | Outcome::Trapped, Some(stop)) => Self::stopped(stop),
            _ => self,
        }
    }
}

/// The words of the WebAssembly specification, without the engine's frame around them.
fn trap_name(trap: Trap) -> String {
    match trap {
        Trap::UnreachableCodeReached => "unreachable".into(),
        Trap::StackOverflow => "stack overflow".into(),
        other => {
            let text = other.to_string();
            text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned()
        }
    }
}

fn frames(backtrace: &WasmBacktrace) -> String {
    let mut lines = Vec::new();
    for (index, frame) in backtrace.frames().iter().take(MAX_FRAMES).enumerate() {
        let name = frame.func_name().map_or_else(|| format!("function {}", frame.func_index()), text::quote);
        lines.push(format!("{index}: {name}"));
    }
    let more = backtrace.frames().len().saturating_sub(MAX_FRAMES);
    if more > 0 {
        lines.push(format!("… ({more} more)"));
    }
    lines.join("\n")
}
