//! Enforcement: each file wires the grant of the same name in `policy/`.

pub mod clock;
pub mod components;
pub mod denials;
pub mod engine;
pub mod errno;
pub mod extism;
pub mod files;
pub mod host_calls;
pub mod host_linker;
pub mod http;
pub(crate) mod journal;
pub mod language;
pub mod limits;
pub mod network;
pub mod random;
pub(crate) mod signals_unsafe;
pub mod soft;
pub mod stdio;
pub mod stop;
pub mod store;
pub mod thread_clock_unsafe;
pub mod ticker;
pub(crate) mod views_unsafe;
pub mod wasi01;
pub mod wasi02;
pub mod wasi03;
