//! The guest ABI of language packs: names, kinds of messages, answers.

/// The version that this host speaks; a pack gives its own by [`VERSION_EXPORT`].
pub const VERSION: u32 = 1;

/// The module of the functions that the host gives to every program that imports them.
pub const MODULE: &str = "ringfence";

/// Sends a message and takes the beginning of its answer: `(message, length, out, capacity) -> length of the answer`.
pub const HOST_CALL: &str = "host_call";

/// Takes the whole of an answer that was longer than its buffer: `(out, length) -> 0`.
pub const HOST_TAKE: &str = "host_take";

/// The interface that the host gives to every component that imports it: the same for a pack that is a component.
pub const INTERFACE: &str = "ringfence:language/host@1.0.0";

/// Everything in [`MODULE`].
pub const FUNCTIONS: [&str; 2] = [HOST_CALL, HOST_TAKE];

/// `() -> version`.
pub const VERSION_EXPORT: &str = "rf_abi";
/// Sets up the WASI library of a pack that is no snapshot.
pub const INITIALIZE: &str = "_initialize";
/// Sets up the interpreter of a pack that is no snapshot; a snapshot does not export it.
pub const INIT: &str = "rf_init";
/// `() -> exit code`: what the command line does.
pub const RUN: &str = "rf_run";

/// `(source, length, flags) -> result`: a turn of a session.
pub const EVAL: &str = "rf_eval";
/// `(length) -> pointer`, 0 where there is no memory.
pub const ALLOC: &str = "rf_alloc";
/// `(pointer)`.
pub const FREE: &str = "rf_free";
/// `(kind) -> words`, 0 where it cannot be interrupted so.
pub const INTERRUPT: &str = "rf_interrupt";

/// `(flags) -> word`: before a live session is copied; 0 keeps what it has.
pub const FORK: &str = "rf_fork";
/// What the host stores in that word of a copy: its next call makes anew what must differ.
pub const COPIED: u32 = 2;

/// Flag of [`EVAL`]: the value of a last expression is wanted.
pub const WANT_VALUE: u32 = 1;

/// What a turn came to: the first word of a result.
pub mod status {
    /// No value.
    pub const NONE: u32 = 0;
    /// A value, encoded where the code is [`ENCODED`](super::ENCODED).
    pub const VALUE: u32 = 1;
    /// An uncaught error.
    pub const ERROR: u32 = 2;
    /// The exit code is the code.
    pub const EXIT: u32 = 3;
}

/// Code of a value that is encoded; any other is text.
pub const ENCODED: u32 = 0;

/// A message without its answer: it is malformed, unknown, or lies outside of the guest's memory.
pub const REFUSED: i64 = -1;
/// There is nothing of what it asks for in this run.
pub const ABSENT: i64 = -2;
/// The message, or its answer, is longer than the host may hold for the guest.
pub const TOO_LONG: i64 = -3;

/// What a message is about: its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The source text that was handed in.
    Source,
    /// A call of one of the session's functions.
    Function,
    /// A step of calls that overlap.
    Overlapping(Step),
    /// What functions the session has.
    List,
    /// Requests under the grants of http.
    Http(Http),
}

/// A step of calls that overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Begins one.
    Begin,
    /// Waits for the first to end.
    Wait,
    /// Ends one whose answer is not wanted any more.
    Cancel,
}

/// A step of an HTTP exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    /// Whether anything is granted at a host and port.
    Reach,
    /// A request: it is judged, and a connection is made for it.
    Open,
    /// The head of its answer.
    Answer,
    /// A piece of the answer's body.
    Body,
    /// No more of it is wanted.
    Close,
}

impl Kind {
    /// The kind that a first byte stands for.
    pub fn of(byte: u8) -> Option<Self> {
        match byte {
            b'S' => Some(Self::Source),
            b'F' => Some(Self::Function),
            b'G' => Some(Self::Overlapping(Step::Begin)),
            b'W' => Some(Self::Overlapping(Step::Wait)),
            b'D' => Some(Self::Overlapping(Step::Cancel)),
            b'L' => Some(Self::List),
            b'C' => Some(Self::Http(Http::Reach)),
            b'H' => Some(Self::Http(Http::Open)),
            b'A' => Some(Self::Http(Http::Answer)),
            b'B' => Some(Self::Http(Http::Body)),
            b'X' => Some(Self::Http(Http::Close)),
            _ => None,
        }
    }
}
