//! Plugins that are core modules: functions of numbers, memories that are copied from and to, globals.

mod captured;
mod instance;
mod link;
mod memory;
mod outline;
mod saved;

pub(super) use captured::{COMPONENT, Kept, Showing, compiled};
pub(super) use instance::ModuleInstance;
pub(super) use link::link;

pub use captured::Snapshot;
pub use outline::GlobalExport;
pub use saved::{PluginFacts, SavedPlugin};

use wasmtime::{Val, ValType};

use super::tape::{MixedUp, Reader};
use super::types::Number;

/// What an export of a module is set up by, where it has one.
const INITIALIZE: &str = "_initialize";

/// The same of plugins for Extism only, as its own runtime calls them: constructors where there is no `_initialize`, and
/// what sets up Haskell's.
const CONSTRUCTORS: &str = "__wasm_call_ctors";
const HASKELL: &str = "hs_init";

/// The type of numbers, where it is one.
fn number(kind: &ValType) -> Option<Number> {
    match kind {
        ValType::I32 => Some(Number::I32),
        ValType::I64 => Some(Number::I64),
        ValType::F32 => Some(Number::F32),
        ValType::F64 => Some(Number::F64),
        ValType::V128 | ValType::Ref(_) => None,
    }
}

fn word(value: &Val) -> u64 {
    match value {
        Val::I32(number) => i64::from(*number).cast_unsigned(),
        Val::I64(number) => number.cast_unsigned(),
        Val::F32(bits) => u64::from(*bits),
        Val::F64(bits) => *bits,
        // No function with another type is called.
        _ => 0,
    }
}

fn value(number: Number, from: &mut Reader<'_>) -> Result<Val, MixedUp> {
    let word = from.word()?;
    Ok(match number {
        Number::I64 => Val::I64(word.cast_signed()),
        Number::F32 => Val::F32(word as u32),
        Number::F64 => Val::F64(word),
        _ => Val::I32((word as u32).cast_signed()),
    })
}
