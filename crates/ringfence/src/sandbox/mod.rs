//! Enforcement: each file wires the grant of the same name in `policy/`.

pub mod engine;
pub mod ticker;
