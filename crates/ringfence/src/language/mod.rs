//! Languages: what a pack and its host agree on, written down in docs/reference/guest-abi.md.

pub mod abi;
pub mod value;
