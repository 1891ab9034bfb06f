//! `ringfence._core`: the core for Python. It converts and forwards; it decides nothing.

mod adapter;
mod attach;
mod cache;
mod call_unsafe;
mod changes;
mod descriptor_unsafe;
mod doctor;
mod enter;
mod imports;
mod interpreter_unsafe;
mod kept_unsafe;
mod plugin;
mod policy;
mod program;
mod raise;
mod result;
mod sandbox;
mod saved;
mod session;
mod signals;
mod tree;
mod values;
mod worker;
mod yours;

use pyo3::prelude::*;

/// Of what this library allocates, and nobody else in the process.
#[global_allocator]
static ALLOCATOR: ringfence::Allocator = ringfence::Allocator;

#[pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::interpreter_unsafe::check_main(module.py())
    }

    #[pymodule_export]
    use crate::adapter::wasi_adapter;
    #[pymodule_export]
    use crate::attach::close_interpreter;
    #[pymodule_export]
    use crate::cache::{cache_info, cache_prune, compile_child, is_compiled, keep_made, made, set_compiler};
    #[pymodule_export]
    use crate::changes::{Changes, close_changes};
    #[pymodule_export]
    use crate::doctor::doctor;
    #[pymodule_export]
    use crate::plugin::{
        Plugin, PluginFunction, PluginGlobal, PluginHandle, PluginMemory, PluginMethod, PluginSnapshot, PluginSource,
        PluginStream, SavedPlugin,
    };
    #[pymodule_export]
    use crate::policy::{Policy, policy_schema};
    #[pymodule_export]
    use crate::program::Program;
    #[pymodule_export]
    use crate::result::Result;
    #[pymodule_export]
    use crate::sandbox::{Kill, Sandbox, precompile, without_pool};
    #[pymodule_export]
    use crate::saved::{Saved, state_path};
    #[pymodule_export]
    use crate::session::{Session, Snapshot};
    #[pymodule_export]
    use crate::tree::Tree;
    #[pymodule_export]
    use crate::worker::{close_workers, set_worker, worker_child};
}
