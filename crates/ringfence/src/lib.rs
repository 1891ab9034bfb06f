//! Ringfence's core: one policy, one sandbox, one result. It knows neither Python nor containerd.
//!
//! `policy → load → sandbox → run → result`

pub mod error;
pub mod load;
pub mod policy;
pub mod sandbox;
pub mod text;

pub use error::{Error, Parts, Result};
