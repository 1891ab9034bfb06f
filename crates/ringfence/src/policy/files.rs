//! File grants.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::quote;

/// One directory or single file at one guest path: of the host, or in memory only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dir {
    /// The directory or file on the host; a relative one is taken from where the policy stands. Left out where the
    /// grant is in memory only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<PathBuf>,
    /// A zip archive whose files the guest sees, unpacked into memory when the policy is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zip: Option<PathBuf>,
    /// What was handed in by a program instead, by its digest; it cannot be written in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<String>,
    /// Where the guest sees it: an absolute path. Left out, the host path as it was written,
    /// made absolute at `/`: `data` is `/data`, `.` is `/`.
    pub at: Option<String>,
    /// What the guest may do there.
    pub mode: Mode,
}

impl Dir {
    /// Whether nothing of the host is behind it.
    pub fn is_in_memory(&self) -> bool {
        self.zip.is_some() || self.tree.is_some() || self.mode == Mode::Memory
    }

    /// What it grants, for messages.
    pub(crate) fn source(&self) -> String {
        match (&self.host, &self.zip, &self.tree) {
            (Some(path), ..) | (_, Some(path), _) => quote(&path.to_string_lossy()),
            (.., Some(_)) => "a tree in memory".into(),
            _ => "an empty tree".into(),
        }
    }
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
    /// Read and write a tree that is in memory only: each run begins with the same one, and nothing reaches the host.
    Memory,
}

impl Mode {
    /// Whether what the guest writes there stays in a private layer.
    pub fn has_layer(self) -> bool {
        matches!(self, Self::Overlay | Self::Memory)
    }

    /// The word in a policy.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ro => "ro",
            Self::Rw => "rw",
            Self::Overlay => "overlay",
            Self::Memory => "memory",
        }
    }
}
