//! What a program imports and exports, read without compiling it.

use serde::Serialize;
use wasmparser::{
    ComponentExternalKind, Encoding, ExternalKind, GlobalType, MemoryType, Parser, Payload, TableType, TypeRef,
};

use crate::error::{Error, Result};
use crate::load::bytes::{is_text, to_binary};
use crate::load::caps::{Counts, Uncounted};
use crate::load::{Kind, Program, imports};
use crate::text::quote;

/// Most imports, and most exports, that are listed: beyond it, nobody reads them.
const MAX_LISTED: usize = 10_000;

/// Largest program in the text format that is inspected, in bytes: that happens in this process, and hostile text
/// takes 80 times its size in memory.
const MAX_INSPECTED_TEXT: usize = 1 << 20;

/// What a program is and asks for. Every name in it is escaped and cut, for the guest chose it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// A module or a component.
    pub kind: Kind,
    /// The WASI level: `unstable`, `0.1`, `0.2`, `0.3`, or none.
    pub wasi: Option<String>,
    /// What the program asks for.
    pub imports: Vec<Import>,
    /// What it offers.
    pub exports: Vec<Export>,
    /// How many imports and exports are left out here, because there are more than 10,000.
    pub omitted: usize,
    /// Its linear memories; for a component, those of the modules in it.
    pub memories: Vec<Memory>,
    /// Its size in bytes, as given.
    pub size: usize,
    /// SHA-256 of its bytes, as given.
    pub digest: String,
    /// Whether it is a command: a module with `_start`, or a component with `wasi:cli/run`.
    pub entry: bool,
}

/// Something a program asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// The module it comes from; empty in a component.
    pub module: String,
    /// Its name; in a component mostly an interface, such as `wasi:cli/environment@0.2.3`.
    pub name: String,
    /// Its type, such as `func(i32) -> i32` or `instance`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether Ringfence provides it.
    pub known: bool,
}

/// Something a program offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A linear memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Its size when the program begins, in bytes.
    pub minimum_bytes: u64,
    /// The size it may grow to, in bytes; none when only the policy bounds it.
    pub maximum_bytes: Option<u64>,
}

pub(super) fn inspect(program: &Program) -> Result<Inspection> {
    let refused = |why: String| {
        let fix = "build it again with current tools; `wasm-tools validate --features all` says more";
        Error::load(format!("cannot read `{}`", program.name()), quote(&why), fix)
    };
    let bytes = program.bytes()?;
    if is_text(&bytes) && program.size() > MAX_INSPECTED_TEXT {
        return Err(Error::load(
            format!("cannot inspect `{}`", program.name()),
            format!("it is WebAssembly text larger than {} MiB", MAX_INSPECTED_TEXT >> 20),
            "turn it into a binary first: `wasm-tools parse program.wat -o program.wasm`",
        ));
    }
    let binary = to_binary(&bytes).map_err(refused)?;
    Counts::of(&binary).map_err(|(Uncounted::Invalid(why) | Uncounted::Excess(why))| refused(why))?;
    let mut reading = Reading::default();
    reading.read(&binary).map_err(|error| refused(format!("it is not valid WebAssembly: {error}")))?;
    let Reading { imports, exports, memories, wasi, entry, omitted, .. } = reading;
    Ok(Inspection {
        kind: program.kind(),
        wasi: wasi.map(str::to_owned),
        imports,
        exports,
        omitted,
        memories,
        size: program.size(),
        digest: program.digest().to_owned(),
        entry,
    })
}

#[derive(Default)]
struct Reading {
    imports: Vec<Import>,
    exports: Vec<Export>,
    memories: Vec<Memory>,
    wasi: Option<&'static str>,
    entry: bool,
    omitted: usize,
    /// The types of a core module, as text; of anything but a function, empty.
    types: Vec<String>,
    /// The type of every function, the imported ones first.
    functions: Vec<u32>,
    /// How deep in a component the reading is: only the outermost level is what the program asks for and offers.
    depth: u32,
}

impl Reading {
    fn read(&mut self, binary: &[u8]) -> wasmparser::Result<()> {
        for payload in Parser::new(0).parse_all(binary) {
            let payload = payload?;
            match &payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => self.depth += 1,
                Payload::End(_) => self.depth = self.depth.saturating_sub(1),
                Payload::Version { encoding: Encoding::Component | Encoding::Module, .. } => {}
                Payload::MemorySection(section) => {
                    for memory in section.clone() {
                        self.memories.push(memory_of(memory?));
                    }
                }
                _ if self.depth == 0 => self.read_outermost(payload)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_outermost(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    self.types.extend(group?.into_types().map(|kind| type_text(&kind)));
                }
            }
            Payload::FunctionSection(section) => {
                for index in section {
                    self.functions.push(index?);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    self.import(import?);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    self.entry |= export.name == "_start" && export.kind == ExternalKind::Func;
                    if self.has_room(self.exports.len()) {
                        let kind = self.export_type(export.kind, export.index);
                        self.exports.push(Export { name: quote(export.name), kind });
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import?;
                    let name = import.name.name;
                    self.level(imports::level_of_interface(name));
                    if self.has_room(self.imports.len()) {
                        self.imports.push(Import {
                            module: String::new(),
                            name: quote(name),
                            kind: external_kind(import.ty.kind()).into(),
                            known: imports::is_known_interface(name),
                        });
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export?;
                    let name = export.name.name;
                    self.level(imports::level_of_interface(name));
                    self.entry |= imports::is_command(name) && export.kind == ComponentExternalKind::Instance;
                    if self.has_room(self.exports.len()) {
                        self.exports.push(Export { name: quote(name), kind: external_kind(export.kind).into() });
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, import: wasmparser::Import<'_>) {
        self.level(imports::level_of_module(import.module));
        let kind = match import.ty {
            TypeRef::Func(index) | TypeRef::FuncExact(index) => {
                self.functions.push(index);
                self.function_text(index)
            }
            TypeRef::Memory(memory) => {
                self.memories.push(memory_of(memory));
                memory_text(memory)
            }
            TypeRef::Table(table) => table_text(table),
            TypeRef::Global(global) => global_text(global),
            TypeRef::Tag(_) => "tag".into(),
        };
        if self.has_room(self.imports.len()) {
            self.imports.push(Import {
                module: quote(import.module),
                name: quote(import.name),
                known: imports::is_known_function(import.module, import.name) && kind.starts_with("func"),
                kind,
            });
        }
    }

    fn has_room(&mut self, listed: usize) -> bool {
        let room = listed < MAX_LISTED;
        self.omitted += usize::from(!room);
        room
    }

    fn export_type(&self, kind: ExternalKind, index: u32) -> String {
        match kind {
            ExternalKind::Func | ExternalKind::FuncExact => {
                let kind = self.functions.get(index as usize);
                kind.map_or_else(|| "func".into(), |kind| self.function_text(*kind))
            }
            ExternalKind::Table => "table".into(),
            ExternalKind::Memory => "memory".into(),
            ExternalKind::Global => "global".into(),
            ExternalKind::Tag => "tag".into(),
        }
    }

    fn function_text(&self, index: u32) -> String {
        let text = self.types.get(index as usize).filter(|text| !text.is_empty());
        text.cloned().unwrap_or_else(|| "func".into())
    }

    /// The newest level counts: a component may mix them.
    fn level(&mut self, found: Option<&'static str>) {
        const RISING: [Option<&str>; 5] = [None, Some("unstable"), Some("0.1"), Some("0.2"), Some("0.3")];
        let rank = |level: Option<&str>| RISING.iter().position(|known| *known == level);
        if rank(found) > rank(self.wasi) {
            self.wasi = found;
        }
    }
}

fn type_text(kind: &wasmparser::SubType) -> String {
    let wasmparser::CompositeInnerType::Func(function) = &kind.composite_type.inner else { return String::new() };
    // Cut before it is built: a type may have a thousand parameters.
    const SHOWN: usize = 32;
    let list = |types: &[wasmparser::ValType]| {
        let mut text: Vec<_> = types.iter().take(SHOWN).map(ToString::to_string).collect();
        if types.len() > SHOWN {
            text.push("…".into());
        }
        text.join(", ")
    };
    match function.results() {
        [] => format!("func({})", list(function.params())),
        results => format!("func({}) -> {}", list(function.params()), list(results)),
    }
}

fn memory_of(memory: MemoryType) -> Memory {
    let page = 1_u64.checked_shl(memory.page_size_log2.unwrap_or(16)).unwrap_or(u64::MAX);
    Memory {
        minimum_bytes: memory.initial.saturating_mul(page),
        maximum_bytes: memory.maximum.map(|maximum| maximum.saturating_mul(page)),
    }
}

fn memory_text(memory: MemoryType) -> String {
    let Memory { minimum_bytes, maximum_bytes } = memory_of(memory);
    match maximum_bytes {
        Some(maximum) => format!("memory {minimum_bytes}..{maximum} bytes"),
        None => format!("memory {minimum_bytes}.. bytes"),
    }
}

fn table_text(table: TableType) -> String {
    format!("table {}.. {}", table.initial, table.element_type)
}

fn global_text(global: GlobalType) -> String {
    format!("global {}{}", if global.mutable { "mut " } else { "" }, global.content_type)
}

fn external_kind(kind: ComponentExternalKind) -> &'static str {
    match kind {
        ComponentExternalKind::Module => "module",
        ComponentExternalKind::Func => "func",
        ComponentExternalKind::Value => "value",
        ComponentExternalKind::Type => "type",
        ComponentExternalKind::Instance => "instance",
        ComponentExternalKind::Component => "component",
    }
}
