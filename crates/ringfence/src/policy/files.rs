//! File grants.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One directory or single file of the host, at one guest path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dir {
    /// The directory or file on the host; a relative one is taken from where the policy stands.
    pub host: PathBuf,
    /// Where the guest sees it: an absolute path. Left out, the host path as it was written,
    /// made absolute at `/`: `data` is `/data`, `.` is `/`.
    #[serde(default)]
    pub at: Option<String>,
    /// What the guest may do there.
    #[serde(default)]
    pub mode: Mode,
}

/// What the guest may do with a directory or file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Read.
    #[default]
    Ro,
    /// Read and write.
    Rw,
    /// Read, and write into a private layer: the host is not changed, and the result lists what would be.
    Overlay,
}

impl Mode {
    /// Whether what the guest writes there stays in a private layer.
    pub fn has_layer(self) -> bool {
        self == Self::Overlay
    }

    /// The word in a policy.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ro => "ro",
            Self::Rw => "rw",
            Self::Overlay => "overlay",
        }
    }
}
