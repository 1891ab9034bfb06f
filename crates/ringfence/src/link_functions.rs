//! From a guest's imports to functions of the host: what does not fit is named, all of it, before anything runs.

use std::collections::HashMap;

use wasmtime::{ExternType, Linker, Module};

use crate::error::{Error, Result};
use crate::host::{HostFunction, HostFunctions, Signature};
use crate::language::abi;
use crate::link;
use crate::policy::nearest;
use crate::sandbox::host_linker;
use crate::sandbox::store::State;
use crate::sandbox::wasi01::Level;
use crate::text;

/// The functions that were given, by name.
pub(crate) struct Functions<'a> {
    given: &'a HostFunctions,
    index: HashMap<(&'a str, &'a str), usize>,
}

impl<'a> Functions<'a> {
    /// Refuses names that are WASI's, and names given twice.
    pub(crate) fn of(given: &'a HostFunctions, program: &str) -> Result<Self> {
        let mut index = HashMap::new();
        for (at, function) in given.functions.iter().enumerate() {
            let wasi = [Level::Preview1, Level::Unstable].iter().any(|level| function.module == level.module());
            if function.module == abi::MODULE {
                return Err(Error::load(
                    format!("cannot give `{program}` the function `{}`", function.title()),
                    "that module is what Ringfence itself gives to language packs",
                    "give it another module name",
                ));
            }
            if wasi || function.module.starts_with("wasi:") {
                return Err(Error::load(
                    format!("cannot give `{program}` the function `{}`", function.title()),
                    "it is WASI's, which the policy decides about",
                    "give it another module name, or grant what the program needs in the policy",
                ));
            }
            if index.insert((function.module.as_str(), function.name.as_str()), at).is_some() {
                return Err(Error::load(
                    format!("cannot give `{program}` the function `{}`", function.title()),
                    "it was given twice",
                    "leave one of them out",
                ));
            }
        }
        Ok(Self { given, index })
    }

    /// Where the function for an import is, if it was given.
    pub(crate) fn index(&self, module: &str, name: &str) -> Option<usize> {
        self.index.get(&(module, name)).copied()
    }

    /// Links every import that has a function; refuses those that do not fit, and functions that nobody imports.
    pub(crate) fn link(&self, linker: &mut Linker<State>, module: &Module, program: &str) -> Result<()> {
        let mut linked: HashMap<usize, Signature> = HashMap::new();
        let mut wrong = Vec::new();
        for import in module.imports() {
            let Some(at) = self.index(import.module(), import.name()) else { continue };
            let Some(function) = self.given.functions.get(at) else { continue };
            let title = function.title();
            let ExternType::Func(kind) = import.ty() else {
                wrong.push(format!("`{title}` is imported, but not as a function"));
                continue;
            };
            let signature = match host_linker::signature(&kind) {
                Ok(signature) => signature,
                Err(other) => {
                    wrong.push(format!("`{title}` takes or gives {other}, which is no number"));
                    continue;
                }
            };
            if let Some(known) = linked.get(&at) {
                if *known != signature {
                    wrong.push(format!("`{title}` is imported with two signatures"));
                }
                continue;
            }
            if let Err(why) = function.call.accepts(&signature) {
                wrong.push(format!("`{title}` {}", text::quote(&why)));
            } else {
                host_linker::add_to_linker(linker, at, function, kind, signature.clone())
                    .map_err(|error| link::broken(&error))?;
            }
            linked.insert(at, signature);
        }
        if !wrong.is_empty() {
            return Err(Error::load(
                format!("cannot link `{program}`"),
                wrong.join("; "),
                "write each function for the signature that `ringfence inspect` shows: its numbers in, its numbers out",
            ));
        }
        self.refuse_unused(linked.len(), module, program)
    }

    fn refuse_unused(&self, used: usize, module: &Module, program: &str) -> Result<()> {
        if used == self.given.functions.len() {
            return Ok(());
        }
        let is_imported =
            |of: &str, name: &str| module.imports().any(|import| (import.module(), import.name()) == (of, name));
        let unused = self.given.functions.iter().find(|function| !is_imported(&function.module, &function.name));
        let Some(unused) = unused else { return Ok(()) };
        let imports: Vec<String> = module
            .imports()
            .filter(|import| self.index(import.module(), import.name()).is_none())
            .map(|import| text::quote(&format!("{}.{}", import.module(), import.name())))
            .collect();
        let fix = match nearest::nearest(&unused.title(), imports.iter().map(String::as_str)) {
            Some(import) => format!("did you mean `{import}`, which it imports? `ringfence inspect` shows them all"),
            None => "leave it out; `ringfence inspect` shows what the program imports".to_owned(),
        };
        Err(Error::load(
            format!("cannot give `{program}` the function `{}`", unused.title()),
            "the program does not import it",
            fix,
        ))
    }
}

/// What each function is called with, where all of them are linked.
pub(crate) fn signatures(given: &HostFunctions, module: &Module) -> Vec<Signature> {
    let of = |function: &HostFunction| {
        let import =
            module.imports().find(|import| (import.module(), import.name()) == (&function.module, &function.name));
        import.and_then(|import| host_linker::signature(import.ty().func()?).ok())
    };
    given.functions.iter().map(|function| of(function).unwrap_or_default()).collect()
}

/// A component takes no functions yet.
pub(crate) fn refuse_for_component(given: &HostFunctions, program: &str) -> Result<()> {
    match given.functions.first() {
        None => Ok(()),
        Some(function) => Err(Error::load(
            format!("cannot give `{}` the function `{}`", text::quote(program), function.title()),
            "it is a component, and host functions are for core modules so far",
            "build the program as a core module, or leave the function out",
        )),
    }
}
