//! The functions of Extism's kernel by name, in both of its namespaces.

use wasmtime::{Caller, Linker};

use super::Kernel;
use crate::sandbox::components::ComponentState;
use crate::sandbox::limits::Limiter;
use crate::sandbox::stop::{Limit, Stop};

/// Where plugins import it from; those of before 1.0 from `env`, with another beginning of their names.
const MODULE: &str = "extism:host/env";
const OLD_MODULE: &str = "env";
const OLD_PREFIX: &str = "extism_";

/// Every function there is.
pub const FUNCTIONS: [&str; 32] = [
    "alloc",
    "config_get",
    "error_get",
    "error_set",
    "free",
    "get_log_level",
    "http_headers",
    "http_request",
    "http_status_code",
    "input_length",
    "input_load_u64",
    "input_load_u8",
    "input_offset",
    "input_set",
    "length",
    "length_unsafe",
    "load_u64",
    "load_u8",
    "log_debug",
    "log_error",
    "log_info",
    "log_trace",
    "log_warn",
    "memory_bytes",
    "output_length",
    "output_offset",
    "output_set",
    "reset",
    "store_u64",
    "store_u8",
    "var_get",
    "var_set",
];

/// The kernel's function that an import is; none where it is not one of its namespaces.
pub fn kernel_function<'a>(module: &str, name: &'a str) -> Option<&'a str> {
    match module {
        MODULE => Some(name),
        OLD_MODULE => name.strip_prefix(OLD_PREFIX),
        _ => None,
    }
}

type Guest<'a> = Caller<'a, ComponentState>;

fn kernel<T>(caller: &mut Guest<'_>, act: impl FnOnce(&mut Kernel, &mut Limiter) -> T) -> wasmtime::Result<T> {
    let ComponentState { state, kernel, .. } = caller.data_mut();
    let kernel = kernel.as_mut().ok_or_else(|| wasmtime::Error::msg("there is no kernel of Extism"))?;
    Ok(act(kernel, &mut state.limiter))
}

fn said(why: &'static str) -> wasmtime::Error {
    wasmtime::Error::msg(format!("it gave Extism {why}"))
}

/// Bytes for the guest: nothing where they are none.
fn given(kernel: &mut Kernel, limiter: &mut Limiter, bytes: Option<Vec<u8>>) -> wasmtime::Result<u64> {
    let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else { return Ok(0) };
    match kernel.keep(&bytes, limiter) {
        0 => Err(Stop::Limit(Limit::Memory).into()),
        at => Ok(at),
    }
}

/// Bytes of a block that the guest hands to a function of the host's.
pub fn bytes(state: &ComponentState, at: u64) -> wasmtime::Result<&[u8]> {
    let block = state.kernel.as_ref().and_then(|kernel| kernel.block(at));
    match block {
        None if at == 0 => Ok(&[]),
        None => Err(said("a block that is not there")),
        Some(bytes) => Ok(bytes),
    }
}

/// The block that a function of the host's gives.
pub fn kept(state: &mut ComponentState, bytes: &[u8]) -> wasmtime::Result<u64> {
    let ComponentState { state, kernel, .. } = state;
    let Some(kernel) = kernel else { return Ok(0) };
    match kernel.keep(bytes, &mut state.limiter) {
        0 if !bytes.is_empty() => Err(Stop::Limit(Limit::Memory).into()),
        at => Ok(at),
    }
}

/// Adds them all, under both names.
pub fn add_to_linker(linker: &mut Linker<ComponentState>) -> wasmtime::Result<()> {
    for (module, prefix) in [(MODULE, ""), (OLD_MODULE, OLD_PREFIX)] {
        memory(linker, module, prefix)?;
        values(linker, module, prefix)?;
        asked(linker, module, prefix)?;
    }
    Ok(())
}

/// Blocks and the bytes in them.
fn memory(linker: &mut Linker<ComponentState>, module: &str, prefix: &str) -> wasmtime::Result<()> {
    let named = |name: &str| format!("{prefix}{name}");
    linker.func_wrap(module, &named("alloc"), |mut guest: Guest<'_>, len: u64| {
        kernel(&mut guest, |kernel, limiter| kernel.alloc(len, limiter))
    })?;
    linker.func_wrap(module, &named("free"), |mut guest: Guest<'_>, at: u64| {
        kernel(&mut guest, |kernel, _| kernel.free(at))
    })?;
    for name in ["length", "length_unsafe"] {
        linker.func_wrap(module, &named(name), |mut guest: Guest<'_>, at: u64| {
            kernel(&mut guest, |kernel, _| kernel.len(at))
        })?;
    }
    linker.func_wrap(module, &named("load_u8"), |mut guest: Guest<'_>, at: u64| {
        kernel(&mut guest, |kernel, _| u32::from(u8::from_le_bytes(kernel.load(at))))
    })?;
    linker.func_wrap(module, &named("load_u64"), |mut guest: Guest<'_>, at: u64| {
        kernel(&mut guest, |kernel, _| u64::from_le_bytes(kernel.load(at)))
    })?;
    linker.func_wrap(module, &named("store_u8"), |mut guest: Guest<'_>, at: u64, byte: u32| {
        kernel(&mut guest, |kernel, _| kernel.store(at, [byte as u8]))
    })?;
    linker.func_wrap(module, &named("store_u64"), |mut guest: Guest<'_>, at: u64, word: u64| {
        kernel(&mut guest, |kernel, _| kernel.store(at, word.to_le_bytes()))
    })?;
    linker.func_wrap(module, &named("memory_bytes"), |mut guest: Guest<'_>| {
        kernel(&mut guest, |kernel, _| kernel.memory.len() as u64)
    })?;
    linker.func_wrap(module, &named("reset"), |mut guest: Guest<'_>| {
        kernel(&mut guest, |kernel, limiter| kernel.begin(&[], limiter)).map(drop)
    })?;
    Ok(())
}

/// Input, output and errors.
fn values(linker: &mut Linker<ComponentState>, module: &str, prefix: &str) -> wasmtime::Result<()> {
    let named = |name: &str| format!("{prefix}{name}");
    linker.func_wrap(module, &named("input_length"), |mut guest: Guest<'_>| {
        kernel(&mut guest, |kernel, _| kernel.input.1)
    })?;
    linker.func_wrap(module, &named("input_offset"), |mut guest: Guest<'_>| {
        kernel(&mut guest, |kernel, _| kernel.input.0)
    })?;
    linker.func_wrap(module, &named("input_load_u8"), |mut guest: Guest<'_>, at: u64| {
        kernel(&mut guest, |kernel, _| u32::from(u8::from_le_bytes(kernel.load_input(at))))
    })?;
    linker.func_wrap(module, &named("input_load_u64"), |mut guest: Guest<'_>, at: u64| {
        kernel(&mut guest, |kernel, _| u64::from_le_bytes(kernel.load_input(at)))
    })?;
    linker.func_wrap(module, &named("input_set"), |mut guest: Guest<'_>, at: u64, len: u64| {
        kernel(&mut guest, |kernel, _| {
            if kernel.range(at, len).is_some() {
                kernel.input = (at, len);
            }
        })
    })?;
    linker.func_wrap(module, &named("output_set"), |mut guest: Guest<'_>, at: u64, len: u64| {
        kernel(&mut guest, |kernel, _| {
            if kernel.range(at, len).is_some() {
                kernel.output = (at, len);
            }
        })
    })?;
    linker.func_wrap(module, &named("output_length"), |mut guest: Guest<'_>| {
        kernel(&mut guest, |kernel, _| kernel.output.1)
    })?;
    linker.func_wrap(module, &named("output_offset"), |mut guest: Guest<'_>| {
        kernel(&mut guest, |kernel, _| kernel.output.0)
    })?;
    linker.func_wrap(module, &named("error_set"), |mut guest: Guest<'_>, at: u64| {
        kernel(&mut guest, |kernel, _| {
            if at == 0 || kernel.blocks.contains_key(&at) {
                kernel.error = at;
            }
        })
    })?;
    linker
        .func_wrap(module, &named("error_get"), |mut guest: Guest<'_>| kernel(&mut guest, |kernel, _| kernel.error))?;
    Ok(())
}

/// What it asks of its host.
fn asked(linker: &mut Linker<ComponentState>, module: &str, prefix: &str) -> wasmtime::Result<()> {
    let named = |name: &str| format!("{prefix}{name}");
    linker.func_wrap(module, &named("config_get"), |mut guest: Guest<'_>, name: u64| {
        kernel(&mut guest, |kernel, limiter| {
            let name = kernel.taken(name).map_err(said)?;
            let value = kernel.settings.config.get(&name).map(|value| value.clone().into_bytes());
            given(kernel, limiter, value)
        })?
    })?;
    linker.func_wrap(module, &named("var_get"), |mut guest: Guest<'_>, name: u64| {
        kernel(&mut guest, |kernel, limiter| {
            let name = kernel.taken(name).map_err(said)?;
            let value = kernel.vars.get(&name).cloned();
            given(kernel, limiter, value)
        })?
    })?;
    linker.func_wrap(module, &named("var_set"), |mut guest: Guest<'_>, name: u64, value: u64| {
        kernel(&mut guest, |kernel, _| {
            let name = kernel.taken(name).map_err(said)?;
            let bytes = match value {
                0 => None,
                value => Some(kernel.block(value).ok_or_else(|| said("a block that is not there"))?.to_vec()),
            };
            kernel.free(value);
            kernel.set_var(name, bytes).map_err(said)
        })?
    })?;
    let levels = ["log_trace", "log_debug", "log_info", "log_warn", "log_error"];
    for (level, name) in (0..).zip(levels) {
        linker.func_wrap(module, &named(name), move |mut guest: Guest<'_>, text: u64| {
            kernel(&mut guest, |kernel, _| {
                let text = kernel.taken(text).map_err(said)?;
                kernel.log(level, text);
                Ok::<(), wasmtime::Error>(())
            })?
        })?;
    }
    linker.func_wrap(module, &named("get_log_level"), |mut guest: Guest<'_>| {
        kernel(&mut guest, |kernel, _| match kernel.settings.log_level {
            level @ 0..=4 => level,
            _ => i32::MAX,
        })
    })?;
    linker.func_wrap(
        module,
        &named("http_request"),
        |_: Guest<'_>, _request: u64, _body: u64| -> wasmtime::Result<u64> {
            Err(wasmtime::Error::msg("it asked for a request of HTTP, which no plugin for Extism is granted"))
        },
    )?;
    linker.func_wrap(module, &named("http_status_code"), |_: Guest<'_>| 0_i32)?;
    linker.func_wrap(module, &named("http_headers"), |_: Guest<'_>| 0_u64)?;
    Ok(())
}
