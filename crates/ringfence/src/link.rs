//! From compiled code to something that only waits to be started; what is missing is named, all of it.

use std::sync::OnceLock;

use wasmtime::component::{Component, Linker as ComponentLinker};
use wasmtime::{Engine, ExternType, InstancePre, Linker, Module};
use wasmtime_wasi::{p2, p3};

use crate::error::{Error, Result};
use crate::host::HostFunctions;
use crate::language::abi;
use crate::link_functions::Functions;
use crate::policy::{Policy, WasiLevel};
use crate::sandbox::components::ComponentState;
use crate::sandbox::store::State;
use crate::sandbox::wasi01::{self, Level};
use crate::sandbox::{http, language};
use crate::sandbox::{wasi02, wasi03};
use crate::text;

/// Missing imports that are named before the rest is only counted.
const MAX_NAMED: usize = 10;

/// Host functions of a module `planted`.
type Planted = fn(&mut Linker<State>) -> wasmtime::Result<()>;

static PLANTED: OnceLock<Planted> = OnceLock::new();

/// Gives modules functions that no guest may have, for tests of what still holds a guest that is out already.
///
/// Nothing but a program of one's own can call this: not a guest, not a policy, not Python.
#[doc(hidden)]
pub fn plant(functions: Planted) {
    let _ = PLANTED.set(functions);
}

/// What a module is started by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// `_start`: a program.
    Command,
    /// `rf_run`: a language pack that is a snapshot. Its `_start` only exits with what that gives.
    Snapshot,
    /// `_initialize`: a library, which is only set up.
    Reactor,
    /// A language pack that is no snapshot: it is set up, then it runs.
    Unsnapshotted,
}

impl Start {
    pub(crate) fn export(self) -> &'static str {
        match self {
            Self::Command => "_start",
            Self::Snapshot => abi::RUN,
            Self::Reactor => abi::INITIALIZE,
            Self::Unsnapshotted => abi::INIT,
        }
    }

    fn of(module: &Module, name: &str, language: bool) -> Result<Self> {
        let start = match (module.get_export("_start"), module.get_export("_initialize")) {
            (Some(_), _) if language && gives_code(module) => Self::Snapshot,
            (Some(_), _) => Self::Command,
            _ if language && module.get_export(abi::INIT).is_some() => Self::Unsnapshotted,
            (None, Some(_)) => Self::Reactor,
            (None, None) => {
                return Err(Error::load(
                    format!("cannot run `{name}`"),
                    "no entry point: it exports neither `_start` nor `_initialize`",
                    "build it as a WASI command (for C: `-mexec-model=command`; for Rust: a binary, not a library)",
                ));
            }
        };
        match module.get_export(start.export()) {
            _ if start == Self::Snapshot => Ok(start),
            Some(ExternType::Func(function)) if function.params().len() == 0 && function.results().len() == 0 => {
                Ok(start)
            }
            _ => Err(Error::load(
                format!("cannot run `{name}`"),
                format!("bad entry point: `{}` is not a function without parameters and results", start.export()),
                "build it as a WASI command",
            )),
        }
    }
}

/// Whether a pack has `rf_run` as the guest ABI has it.
fn gives_code(module: &Module) -> bool {
    let Some(ExternType::Func(run)) = module.get_export(abi::RUN) else { return false };
    run.params().len() == 0 && run.results().len() == 1 && run.result(0).is_some_and(|result| result.is_i32())
}

/// Links a module to the WASI levels it imports, and to the host's own functions.
pub(crate) fn module(
    engine: &Engine,
    module: &Module,
    name: &str,
    functions: &HostFunctions,
    language: bool,
) -> Result<(InstancePre<State>, Start)> {
    let name = text::quote(name);
    let start = Start::of(module, &name, language)?;
    let functions = Functions::of(functions, &name)?;
    let mut linker = Linker::new(engine);
    functions.link(&mut linker, module, &name)?;
    refuse_missing(module, &name, &functions)?;
    for level in [Level::Preview1, Level::Unstable] {
        if module.imports().any(|import| import.module() == level.module()) {
            wasi01::add_to_linker(&mut linker, level).map_err(|error| broken(&error))?;
        }
    }
    if module.imports().any(|import| import.module() == abi::MODULE) {
        language::add_to_linker(&mut linker).map_err(|error| broken(&error))?;
    }
    if let Some(planted) = PLANTED.get() {
        planted(&mut linker).map_err(|error| broken(&error))?;
    }
    let linked = linker.instantiate_pre(module).map_err(|error| {
        Error::load(
            format!("cannot link `{name}`"),
            format!("incompatible import type: {}", text::quote(&format!("{error:#}"))),
            "build it for `wasm32-wasip1`; its WASI headers and ours disagree",
        )
    })?;
    Ok((linked, start))
}

fn refuse_missing(module: &Module, name: &str, functions: &Functions<'_>) -> Result<()> {
    let known = |import: &wasmtime::ImportType<'_>| {
        if import.module() == "planted" && PLANTED.get().is_some() {
            return true;
        }
        [Level::Preview1, Level::Unstable].iter().any(|level| import.module() == level.module())
            && wasi01::FUNCTIONS.contains(&import.name())
            || import.module() == abi::MODULE && abi::FUNCTIONS.contains(&import.name())
            || functions.index(import.module(), import.name()).is_some()
    };
    let missing: Vec<String> = module
        .imports()
        .filter(|import| !known(import))
        .map(|import| format!("{}.{}", text::cut(import.module(), 60), text::cut(import.name(), 60)))
        .collect();
    refuse(&missing, name)
}

/// A component that is ready to be instantiated, by the level of its entry point.
pub(crate) enum Command {
    V0_2(p2::bindings::CommandPre<ComponentState>),
    V0_3(p3::bindings::CommandPre<ComponentState>),
}

/// Packages of WASI that a component may import from.
const PACKAGES: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// Whether an import is one of those of `wasi:http` that lead outwards.
fn is_http(import: &str, level: &str) -> bool {
    let interface = import.split_once('@').map_or(import, |(interface, _)| interface);
    http::INTERFACES.contains(&(interface, level))
}

/// Whether an import is one of WASI's that a policy decides about.
pub(crate) fn is_provided(import: &str, experimental: bool) -> bool {
    let version = import.split_once('@').map_or("", |(_, version)| version);
    let level = if version.starts_with("0.2") { "0.2" } else { "0.3" };
    let provided = PACKAGES.iter().any(|package| import.starts_with(package)) || is_http(import, level);
    provided && (level == "0.2" || (experimental && version.starts_with("0.3")))
}

/// Adds WASI 0.2, and 0.3 where the policy lets it.
pub(crate) fn wasi(linker: &mut ComponentLinker<ComponentState>, http: bool, experimental: bool) -> Result<()> {
    wasi02::add_to_linker(linker).map_err(|error| broken(&error))?;
    if experimental {
        wasi03::add_to_linker(linker).map_err(|error| broken(&error))?;
    }
    if http {
        http::add_to_linker(linker, experimental).map_err(|error| broken(&error))?;
    }
    Ok(())
}

/// Links a component to WASI 0.2, and to 0.3 where the policy lets it.
pub(crate) fn component(
    engine: &Engine,
    component: &Component,
    name: &str,
    policy: &Policy,
    language: bool,
) -> Result<Command> {
    let name = text::quote(name);
    let experimental = policy.wasi == WasiLevel::V0_3 && !language;
    let known = |import: &str| import == abi::INTERFACE || is_provided(import, experimental);
    let types = component.component_type();
    let missing: Vec<String> =
        types.imports(engine).filter(|(import, _)| !known(import)).map(|(import, _)| text::cut(import, 120)).collect();
    refuse(&missing, &name)?;

    let mut linker = ComponentLinker::new(engine);
    let http = types.imports(engine).any(|(import, _)| import.starts_with("wasi:http/"));
    wasi(&mut linker, http, experimental)?;
    if types.imports(engine).any(|(import, _)| import == abi::INTERFACE) {
        language::add_to_component_linker(&mut linker).map_err(|error| broken(&error))?;
    }
    let linked = linker.instantiate_pre(component).map_err(|error| {
        Error::load(
            format!("cannot link `{name}`"),
            format!("incompatible import: {}", text::quote(&format!("{error:#}"))),
            "build it for a released WASI 0.2",
        )
    })?;
    let mut runs: Vec<&str> =
        types.exports(engine).map(|(export, _)| export).filter(|export| export.starts_with("wasi:cli/run@")).collect();
    // Where a component has an entry point for both, the policy says which is meant.
    runs.sort_unstable_by_key(|run| run.contains("@0.2") == experimental);
    let command = match runs.first().copied() {
        Some(run) if run.contains("@0.2") => p2::bindings::CommandPre::new(linked).map(Command::V0_2),
        Some(_) if experimental => p3::bindings::CommandPre::new(linked).map(Command::V0_3),
        Some(run) => return refuse(&[text::cut(run, 120)], &name).and(Err(not_a_command(&name))),
        None => return Err(not_a_command(&name)),
    };
    command.map_err(|_| not_a_command(&name))
}

fn not_a_command(name: &str) -> Error {
    Error::load(
        format!("cannot run `{name}`"),
        "no entry point: it is a component without a command (`wasi:cli/run`)",
        "build it for the world `wasi:cli/command`; a component that exports functions is a plugin",
    )
}

/// One error for everything that is missing, with what would provide it.
pub(crate) fn refuse(missing: &[String], name: &str) -> Result<()> {
    let Some(first) = missing.first() else { return Ok(()) };
    let named = missing.iter().take(MAX_NAMED).map(|import| format!("`{import}`")).collect::<Vec<_>>().join(", ");
    let more = missing.len().saturating_sub(MAX_NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let plural = if missing.len() == 1 { "unknown import" } else { "unknown imports" };
    Err(Error::load(format!("cannot link `{name}`"), format!("{plural} {named}{more}"), provider(first)))
}

fn provider(import: &str) -> &'static str {
    if import.starts_with("env.") {
        "give it host functions (`imports=`), or build it for `wasm32-wasip1` if it was built for a browser (emscripten)"
    } else if import.starts_with("wasi:http/incoming-handler") || import.starts_with("wasi:http/handler") {
        "it passes requests on to another component, and there is none: compose the two into one"
    } else if import.starts_with("wasi:") && import.contains("@0.3") {
        "let it use WASI 0.3: `--wasi 0.3`, or `wasi = \"0.3\"` in the policy"
    } else if import.starts_with("wasi_") || import.starts_with("wasi:") {
        "no WASI level that is supported has it: `ringfence inspect` lists what the program imports"
    } else {
        "it needs functions of its host: give them as `imports=` in Python; `ringfence run` provides WASI only"
    }
}

pub(crate) fn broken(error: &wasmtime::Error) -> Error {
    Error::host("Ringfence could not link its own functions", format!("{error:#}"), "please report this as a bug")
}
