//! Why a run ends other than by returning: raised through the guest, which cannot catch it.

use std::fmt;

use super::errno::Errno;

/// A limit, by its one name in every place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Limit {
    Wall,
    Cpu,
    Fuel,
    Memory,
    Output,
    HostBytes,
    NetBytes,
}

impl Limit {
    const ALL: [Self; 7] =
        [Self::Wall, Self::Cpu, Self::Fuel, Self::Memory, Self::Output, Self::HostBytes, Self::NetBytes];

    /// The limit of that name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|limit| limit.name() == name)
    }

    /// The word used in the policy, in the flag and in the result.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wall => "wall",
            Self::Cpu => "cpu",
            Self::Fuel => "fuel",
            Self::Memory => "memory",
            Self::Output => "output",
            Self::HostBytes => "host_bytes",
            Self::NetBytes => "net_bytes",
        }
    }
}

/// The host ends the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The guest asked to exit with this code.
    Exit(u32),
    /// A limit was reached.
    Limit(Limit),
    /// The policy ends a run that is refused something.
    Denied,
    /// The caller gave up.
    Cancelled,
    /// A host function was called by a program that cannot call it: it exports no memory.
    NoMemory,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "the guest exited with code {code}"),
            Self::Limit(limit) => write!(f, "the limit `{}` was reached", limit.name()),
            Self::Denied => f.write_str("the policy ends a run that is refused something"),
            Self::Cancelled => f.write_str("the run was cancelled"),
            Self::NoMemory => f.write_str("missing memory export"),
        }
    }
}

impl std::error::Error for Stop {}

/// Why a call of the guest did not succeed: an error number for it, or the end of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fail {
    /// Told to the guest.
    Errno(Errno),
    /// Raised through it.
    Stop(Stop),
}

impl From<Errno> for Fail {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Stop> for Fail {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}
