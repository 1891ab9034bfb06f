//! What a core module offers and wants, told from its code before anything of it runs.

use wasmtime::{ExternType, FuncType, ImportType, Module, ValType};

use super::number;
use crate::error::{Error, Result};
use crate::plugin::types::{Number, Shape, Types, name};
use crate::plugin::world::{Function, Interface, World};
use crate::sandbox::extism::{self, Settings};
use crate::sandbox::wasi01::{FUNCTIONS, Level};
use crate::snapshot::instrument::GLOBAL;
use crate::text;

/// Exports and imports that a module may have.
const MAX_NAMES: usize = 20_000;

/// A global that is exported.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct GlobalExport {
    pub name: String,
    pub kind: Number,
    pub mutable: bool,
}

impl World {
    /// That of a core module.
    pub(in crate::plugin) fn of_module(
        module: &Module,
        is_imaged: bool,
        program: &str,
        extism: Option<&Settings>,
    ) -> Result<Self> {
        let mut world = Self { is_module: true, ..Self::default() };
        let mut refusals = Vec::new();
        for import in module.imports() {
            if let Err(why) = world.import(&import, extism) {
                let import = format!("{}.{}", text::cut(import.module(), 60), text::cut(import.name(), 60));
                refusals.push(format!("its import `{import}` {why}"));
            }
        }
        let mut root = Interface::default();
        // What was added to be captured is nobody's; a module that has such names of its own cannot be, and has none added.
        let added = |name: &str| is_imaged && name.starts_with(GLOBAL);
        for export in module.exports().filter(|export| !added(export.name())) {
            if let Err(why) = world.export(export.name(), export.ty(), extism.is_some(), &mut root) {
                refusals.push(format!("its export `{}` {why}", text::cut(export.name(), 120)));
            }
        }
        world.exports.push(root);
        let names = module.imports().len() + module.exports().filter(|export| !added(export.name())).count();
        match refusals.is_empty() && names <= MAX_NAMES {
            true => Ok(world),
            false if refusals.is_empty() => Err(Error::load(
                format!("cannot load the plugin `{}`", text::quote(program)),
                format!("it has more than {MAX_NAMES} imports and exports"),
                "export what is called, and no more",
            )),
            false => Err(Error::load(
                format!("cannot load the plugin `{}`", text::quote(program)),
                refusals.into_iter().take(10).collect::<Vec<_>>().join("; "),
                "a host gives functions of numbers: keep memories, tables and globals inside of the module",
            )),
        }
    }

    fn import(&mut self, import: &ImportType<'_>, extism: Option<&Settings>) -> std::result::Result<(), String> {
        let (of, named) = (name(import.module())?, name(import.name())?);
        if [Level::Preview1, Level::Unstable].iter().any(|level| level.module() == of) {
            self.wasi.push(match FUNCTIONS.contains(&named.as_str()) {
                true => of,
                false => format!("{of}.{named}"),
            });
            return Ok(());
        }
        if of.starts_with("wasi:") {
            return Err("is WASI's, which the policy decides about".into());
        }
        let kind = match import.ty() {
            ExternType::Func(kind) => kind,
            other => return Err(format!("is {}, and no function", what(&other))),
        };
        if let Some(name) = extism.and_then(|_| extism::kernel_function(&of, &named)) {
            return match extism::FUNCTIONS.contains(&name) {
                true => Ok(()),
                false => Err("is no function of Extism's kernel".into()),
            };
        }
        let mut function = function(&mut self.types, named, &kind)?;
        if let Some((params, result)) = extism.and_then(|settings| settings.functions.get(&function.name)) {
            self.shared(&mut function, params, *result)?;
        }
        let at = self.imports.iter().position(|interface| interface.name == of);
        let at = at.unwrap_or_else(|| {
            self.imports.push(Interface { name: of, ..Interface::default() });
            self.imports.len() - 1
        });
        let Some(interface) = self.imports.get_mut(at) else { return Ok(()) };
        match interface.functions.iter().find(|known| known.name == function.name) {
            None => interface.functions.push(function),
            Some(known) if known.result == function.result && known.params == function.params => {}
            Some(_) => return Err("is imported with two signatures".into()),
        }
        Ok(())
    }

    /// Gives those of a function's numbers that are blocks of Extism's memory the type of their bytes.
    fn shared(&mut self, function: &mut Function, params: &[bool], result: bool) -> std::result::Result<(), String> {
        let byte = self.types.shaped(Shape::Number(Number::U8))?;
        let bytes = self.types.shaped(Shape::List(byte))?;
        let wide = self.types.shaped(Shape::Number(Number::I64))?;
        let blocks = function.params.iter_mut().zip(params).filter(|(_, is_block)| **is_block);
        let blocks = blocks.map(|((_, kind), _)| kind).chain(function.result.as_mut().filter(|_| result));
        for kind in blocks {
            if *kind != wide {
                return Err("takes or gives bytes where it has no i64 for them".into());
            }
            *kind = bytes;
        }
        Ok(())
    }

    /// A function of a plugin for Extism: bytes in; a code, output, an error and messages out.
    fn called(&mut self, name: String, kind: &FuncType) -> std::result::Result<Function, String> {
        let gives: Vec<ValType> = kind.results().collect();
        if kind.params().len() > 0 || !matches!(gives.as_slice(), [] | [ValType::I32]) {
            return Err("is not called by Extism, as it is not `() -> i32`".into());
        }
        let code = self.types.shaped(Shape::Number(Number::I32))?;
        let byte = self.types.shaped(Shape::Number(Number::U8))?;
        let bytes = self.types.shaped(Shape::List(byte))?;
        let message = self.types.shaped(Shape::Tuple(vec![code, bytes]))?;
        let messages = self.types.shaped(Shape::List(message))?;
        let result = self.types.shaped(Shape::Tuple(vec![code, bytes, bytes, messages]))?;
        Ok(Function { name, params: vec![("input".into(), bytes)], result: Some(result), is_async: false })
    }

    fn export(
        &mut self,
        named: &str,
        kind: ExternType,
        extism: bool,
        root: &mut Interface,
    ) -> std::result::Result<(), String> {
        let named = name(named)?;
        match kind {
            ExternType::Func(kind) if extism => match self.called(named.clone(), &kind) {
                Ok(function) => root.functions.push(function),
                Err(why) => self.refused.push((named, why)),
            },
            ExternType::Func(kind) => match function(&mut self.types, named.clone(), &kind) {
                Ok(function) => root.functions.push(function),
                Err(why) => self.refused.push((named, why)),
            },
            ExternType::Memory(_) => self.memories.push(named),
            ExternType::Global(global) => match number(global.content()) {
                Some(kind) => self.globals.push(GlobalExport {
                    name: named,
                    kind,
                    mutable: global.mutability() == wasmtime::Mutability::Var,
                }),
                None => self.refused.push((named, format!("is {}, which is no number", global.content()))),
            },
            other @ (ExternType::Table(_) | ExternType::Tag(_)) => {
                self.refused.push((named, format!("is {}", what(&other))));
            }
        }
        Ok(())
    }
}

fn function(types: &mut Types, name: String, kind: &FuncType) -> std::result::Result<Function, String> {
    let mut of = |kind: ValType, does: &str| match number(&kind) {
        Some(number) => types.shaped(Shape::Number(number)),
        None => Err(format!("{does} {kind}, which is no number")),
    };
    let params = kind.params().enumerate().map(|(at, kind)| Ok((format!("p{at}"), of(kind, "takes")?)));
    let params = params.collect::<std::result::Result<Vec<_>, String>>()?;
    let results = kind.results().map(|kind| of(kind, "gives")).collect::<std::result::Result<Vec<_>, _>>()?;
    let result = match results.as_slice() {
        [] => None,
        [one] => Some(*one),
        _ => Some(types.shaped(Shape::Tuple(results))?),
    };
    Ok(Function { name, params, result, is_async: false })
}

fn what(kind: &ExternType) -> &'static str {
    match kind {
        ExternType::Func(_) => "a function",
        ExternType::Global(_) => "a global",
        ExternType::Table(_) => "a table",
        ExternType::Memory(_) => "a memory",
        ExternType::Tag(_) => "a tag",
    }
}
