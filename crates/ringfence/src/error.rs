//! What can go wrong outside the guest, always told in three parts.
//!
//! What a *guest* does wrong is never an [`Error`]: it is the outcome of a run.

use std::fmt;

/// What happened, why, and the fix: for a person to read, the fix a command to paste where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// What failed.
    pub what: String,
    /// Why it failed.
    pub why: String,
    /// What mends it.
    pub fix: String,
}

impl Parts {
    /// Three parts from anything that is text; the system's error numbers are left out, its words stay.
    pub fn new(what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        let mut why = why.into();
        if let Some(number) = why.rfind(" (os error ")
            && why.ends_with(')')
        {
            why.truncate(number);
        }
        Self { what: what.into(), why, fix: fix.into() }
    }
}

/// Everything that can fail before a guest runs, or on our side of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The policy is malformed, contradicts itself or grants what must not be granted.
    Policy(Parts),
    /// The program cannot be loaded: malformed, too much to compile, or it imports what nobody provides.
    Load(Parts),
    /// There is no such program.
    ProgramNotFound(Parts),
    /// Every instance slot stayed taken for as long as a caller waits.
    Busy(Parts),
    /// What a run changed cannot be applied: somebody else changed the same on the host.
    Conflict(Parts),
    /// A session cannot run the turn: it is poisoned, closed, or runs one already.
    Session(Parts),
    /// A saved snapshot is none, is not whole, or was changed.
    Snapshot(Parts),
    /// There is no such file of a saved snapshot.
    SnapshotNotFound(Parts),
    /// A saved snapshot was authenticated with another key.
    SnapshotForeign(Parts),
    /// A saved snapshot has a format that only a newer version reads.
    SnapshotNewer(Parts),
    /// A saved snapshot is of a program that is not the one at hand.
    SnapshotMismatch(Parts),
    /// A plugin cannot be called: it is poisoned, closed, or at work already.
    Plugin(Parts),
    /// Ours: the host system, or a defect of Ringfence.
    Host(Parts),
}

/// What mends it that the system has no memory left, no address space, or no mapping.
pub(crate) const ROOM: &str =
    "raise `ulimit -v`, or `vm.max_map_count` where thousands of guests live; or run fewer at one time";

impl Error {
    /// A policy error in three parts.
    pub fn policy(what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Policy(Parts::new(what, why, fix))
    }

    /// A load error in three parts.
    pub fn load(what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Load(Parts::new(what, why, fix))
    }

    /// A conflict in three parts.
    pub fn conflict(what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Conflict(Parts::new(what, why, fix))
    }

    /// A session error in three parts.
    pub fn session(what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Session(Parts::new(what, why, fix))
    }

    /// An error of a saved snapshot in three parts.
    pub fn snapshot(what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Snapshot(Parts::new(what, why, fix))
    }

    /// A plugin error in three parts.
    pub fn plugin(what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Plugin(Parts::new(what, why, fix))
    }

    /// A host error in three parts.
    pub fn host(what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Host(Parts::new(what, why, fix))
    }

    /// A host error that the system gave; where it is out of something that can be raised, the fix says how.
    pub fn system(what: impl Into<String>, error: &std::io::Error, fix: impl Into<String>) -> Self {
        let fix = match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => {
                "raise the limit of open files (`ulimit -n 65536`): every loaded program holds one".into()
            }
            Some(rustix::io::Errno::NOMEM) => {
                let fix = fix.into();
                if fix.contains("ulimit -v") { fix } else { ROOM.into() }
            }
            _ => fix.into(),
        };
        Self::host(what, error.to_string(), fix)
    }

    /// Every code there is; the Python tree and the errors page carry the same ones.
    pub const CODES: [&str; 13] = [
        "policy",
        "load",
        "program-not-found",
        "busy",
        "conflict",
        "session",
        "snapshot",
        "snapshot-not-found",
        "snapshot-foreign",
        "snapshot-newer",
        "snapshot-mismatch",
        "plugin",
        "host",
    ];

    /// The stable name of this kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Policy(_) => "policy",
            Self::Load(_) => "load",
            Self::ProgramNotFound(_) => "program-not-found",
            Self::Busy(_) => "busy",
            Self::Conflict(_) => "conflict",
            Self::Session(_) => "session",
            Self::Snapshot(_) => "snapshot",
            Self::SnapshotNotFound(_) => "snapshot-not-found",
            Self::SnapshotForeign(_) => "snapshot-foreign",
            Self::SnapshotNewer(_) => "snapshot-newer",
            Self::SnapshotMismatch(_) => "snapshot-mismatch",
            Self::Plugin(_) => "plugin",
            Self::Host(_) => "host",
        }
    }

    /// What, why and the fix.
    pub fn parts(&self) -> &Parts {
        match self {
            Self::Policy(parts)
            | Self::Load(parts)
            | Self::ProgramNotFound(parts)
            | Self::Busy(parts)
            | Self::Conflict(parts)
            | Self::Session(parts)
            | Self::Snapshot(parts)
            | Self::SnapshotNotFound(parts)
            | Self::SnapshotForeign(parts)
            | Self::SnapshotNewer(parts)
            | Self::SnapshotMismatch(parts)
            | Self::Plugin(parts)
            | Self::Host(parts) => parts,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { what, why, fix } = self.parts();
        write!(f, "{what}: {why}\nhint: {fix}")
    }
}

impl std::error::Error for Error {}

/// A result whose error is ours.
pub type Result<T, E = Error> = std::result::Result<T, E>;
