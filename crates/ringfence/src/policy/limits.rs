//! Limits: what a guest may use up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{Bytes, Seconds};

/// What a guest may use up, each a total over the run. Reaching one ends it as `limited`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Time on the clock, waiting included.
    pub wall: Seconds,
    /// Processor time of the guest; off unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Seconds>,
    /// Instructions, counted by the engine the same way in every run; off unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// All linear memories, tables and garbage-collected heaps together, checked at every growth.
    pub memory: Bytes,
    /// Standard output and standard error together; what was written up to there is kept.
    pub output: Bytes,
    /// Memory the host may hold for the guest during host calls and behind its handles.
    pub host_bytes: Bytes,
    /// Files and directories open at one time.
    pub open_files: u32,
    /// Time to compile the program, on a clock of its own.
    pub compile: Seconds,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall: Seconds::from_secs(30),
            cpu: None,
            fuel: None,
            memory: Bytes::mib(256),
            output: Bytes::mib(16),
            host_bytes: Bytes::mib(64),
            open_files: 64,
            compile: Seconds::from_secs(60),
        }
    }
}
