//! What came of a run.

use std::sync::Arc;
use std::time::Duration;

use crate::host::Raised;
use crate::sandbox::denials::Denial;
use crate::sandbox::files::Changes;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The program ended by itself, with an exit code.
    Exited,
    /// The program did what WebAssembly forbids.
    Trapped,
    /// A limit was reached.
    Limited,
    /// The policy ends a run that is refused something, and something was refused.
    Denied,
    /// The caller gave up on it.
    Cancelled,
    /// Ringfence failed while the guest ran; the guest is gone, the host lives.
    Crashed,
}

impl Outcome {
    const ALL: [Self; 6] = [Self::Exited, Self::Trapped, Self::Limited, Self::Denied, Self::Cancelled, Self::Crashed];

    /// The outcome of that word.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    /// The word in the result.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Trapped => "trapped",
            Self::Limited => "limited",
            Self::Denied => "denied",
            Self::Cancelled => "cancelled",
            Self::Crashed => "crashed",
        }
    }
}

/// What a run used up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Time on the clock, waiting included.
    pub wall: Duration,
    /// Processor time of the thread the guest ran on.
    pub cpu: Duration,
    /// The most linear memory and tables held at one time, in bytes.
    pub memory: u64,
    /// Bytes written to both streams.
    pub output: u64,
    /// Fuel burnt, where it was counted.
    pub fuel: Option<u64>,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// How it ended.
    pub outcome: Outcome,
    /// The program's exit code, where it had the time to give one.
    pub exit_code: Option<u32>,
    /// The limit that was reached.
    pub limit: Option<&'static str>,
    /// What trapped, in WebAssembly's own words; escaped and cut.
    pub trap: Option<String>,
    /// Where it trapped; escaped and cut.
    pub backtrace: Option<String>,
    /// What was captured of standard output.
    pub stdout: Vec<u8>,
    /// What was captured of standard error.
    pub stderr: Vec<u8>,
    /// Output past the limit was dropped.
    pub truncated: bool,
    /// What was used up.
    pub usage: Usage,
    /// What was refused.
    pub denials: Vec<Denial>,
    /// What it changed in private layers, where it had any.
    pub changes: Option<Arc<Changes>>,
    /// Calls to functions of the host.
    pub host_calls: u64,
    /// The host function that broke and so ended the run.
    pub raised: Option<Raised>,
    /// The host function that was still at work when the run had to end, and was left to itself.
    pub abandoned: Option<String>,
}
