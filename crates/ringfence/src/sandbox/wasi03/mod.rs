//! WASI 0.3 for components, for policies that opt in: our own files and sockets, the engine's plumbing for the rest.

mod files;
mod sockets;
mod streams;

use wasmtime::component::Linker;
use wasmtime_wasi::p3::bindings::filesystem;
use wasmtime_wasi::p3::{cli, clocks, random};

use super::components::{ComponentState, HasFiles};

/// Adds WASI 0.3: everything there is but HTTP.
pub fn add_to_linker(linker: &mut Linker<ComponentState>) -> wasmtime::Result<()> {
    type T = ComponentState;

    filesystem::types::add_to_linker::<T, HasFiles>(linker, T::files)?;
    filesystem::preopens::add_to_linker::<T, HasFiles>(linker, T::files)?;

    cli::add_to_linker(linker)?;
    clocks::add_to_linker(linker)?;
    random::add_to_linker(linker)?;
    sockets::add_to_linker(linker)?;
    Ok(())
}
