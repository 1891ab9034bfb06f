//! Clock grants.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How fine the guest's clocks are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// Steps of one millisecond: enough to tell the time, too coarse to time a cache.
    #[default]
    Coarse,
    /// As fine as the host's.
    Precise,
}
