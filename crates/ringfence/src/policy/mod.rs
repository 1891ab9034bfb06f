//! What a guest may do: data only. How a grant is enforced lives in `sandbox/`, under the same names.

mod check;
mod clock;
mod document;
mod explain;
mod files;
mod guest_path;
mod http;
mod limits;
pub(crate) mod nearest;
mod network;
mod place;
mod random;
mod read;
mod secrets;
mod tree;
mod units;
pub(crate) mod wider;
mod write;

pub use clock::Clock;
pub use document::{Document, MAX_TEXT};
pub use files::{Dir, Mode};
pub use http::HttpGrant;
pub use limits::{Limits, LimitsPatch};
pub use network::{Endpoint, Net, normal_name};
pub use place::{Place, Step};
pub use random::Random;
pub use secrets::{HeaderName, Origin, Secret};
pub use units::{Bytes, Seconds};

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a guest may do. The default grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Directories and single files of the host, each at one guest path.
    pub dirs: Vec<Dir>,
    /// A private, empty, writable `/tmp`, gone after the run.
    pub tmp: bool,
    /// Variables set for the guest, by name.
    pub env: BTreeMap<String, String>,
    /// Variables handed on from the host's environment, by name; one that is not set there is not set for the guest.
    pub inherit_env: Vec<String>,
    /// What it may reach over the network.
    pub net: Net,
    /// Values it may send to one origin each, and never sees.
    pub secrets: Vec<Secret>,
    /// How fine the guest's clocks are.
    pub clock: Clock,
    /// Where the guest's random numbers come from.
    pub random: Random,
    /// The highest WASI level a component may use. 0.3 is experimental upstream, hence asked for.
    pub wasi: WasiLevel,
    /// What happens when the guest asks for what it was not granted.
    pub on_denied: OnDenied,
    /// What the guest may use up.
    pub limits: Limits,
}

/// The highest WASI level a component may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WasiLevel {
    /// WASI 0.1 modules and WASI 0.2 components.
    #[default]
    #[serde(rename = "0.2")]
    V0_2,
    /// Also WASI 0.3 components, on an engine with component-model concurrency.
    #[serde(rename = "0.3")]
    V0_3,
}

/// What happens when the guest asks for what it was not granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnDenied {
    /// The guest gets its error number and goes on; the denial is counted.
    #[default]
    Continue,
    /// The run ends with the outcome `denied`.
    Stop,
}
