//! Ringfence's core: one policy, one sandbox, one result. It knows neither Python nor containerd.
//!
//! `policy → load → sandbox → run → result`

mod after;
mod allocator_unsafe;
mod apart;
pub mod doctor;
mod ending;
pub mod error;
mod given;
mod guest_thread;
pub mod host;
pub mod language;
mod lasting;
mod link;
mod link_functions;
pub mod load;
pub mod plugin;
pub mod policy;
mod prepared;
mod process_unsafe;
mod ready;
pub mod result;
pub mod run;
pub mod sandbox;
pub mod session;
mod snapshot;
mod supervisor;
pub mod text;
pub mod worker;

pub use after::Init;
pub use allocator_unsafe::Allocator;
pub use error::{Error, Parts, Result};
pub use host::{HostFunction, HostFunctions};
pub use load::Program;
pub use policy::Policy;
pub use ready::{Placing, Reuse, Starts};
pub use result::{Outcome, RunResult, Usage};
pub use run::{Run, Sandbox};
pub use session::Session;
