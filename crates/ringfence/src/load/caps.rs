//! Caps on what is compiled at all, counted without validating anything.
//!
//! They stop the programs that cost a compiler a thousand times their size. What stays below them is still
//! bounded: by the limits of the compiler child and by the deadline.

use wasmparser::{Encoding, Parser, Payload};

/// Most bytes of type definitions. CPython with numpy has 11 KB; 2.3 MB of them took 15 s to compile.
pub const MAX_TYPE_BYTES: u64 = 2 << 20;
/// Most type definitions, a recursive group counted as one.
pub const MAX_TYPES: u64 = 200_000;
/// Most functions. CPython with numpy and pandas has 89,000; 1.7 million empty ones took 33 s and 5 GB.
pub const MAX_FUNCTIONS: u64 = 500_000;
/// Most imports, those of nested modules included: a Python component links a hundred libraries.
pub const MAX_IMPORTS: u64 = 200_000;
/// Most exports, those of nested modules included.
pub const MAX_EXPORTS: u64 = 300_000;
/// Most globals: position-independent libraries have one for each symbol.
pub const MAX_GLOBALS: u64 = 300_000;
/// Most data segments; a snapshot by Wizer has up to 10,000 for each memory.
pub const MAX_DATA_SEGMENTS: u64 = 200_000;
/// Most element segments.
pub const MAX_ELEMENT_SEGMENTS: u64 = 100_000;
/// Most memories.
pub const MAX_MEMORIES: u64 = 1_000;
/// Most tables.
pub const MAX_TABLES: u64 = 1_000;
/// Most modules and components inside a component. A Python component has about 100 modules.
pub const MAX_NESTED: u64 = 1_000;
/// Deepest nesting of components. Real ones stay below 5; 240 KB of nested ones took more than 6 GB.
pub const MAX_DEPTH: u64 = 16;
/// Most definitions of a component that are neither types nor imports nor exports: instances, aliases, conversions.
pub const MAX_DEFINITIONS: u64 = 500_000;
/// Largest function body, in bytes. CPython's largest has 186 KB; compiling takes more than linear time.
pub const MAX_BODY_BYTES: u64 = 4 << 20;

/// How much of everything a program has, nested modules and components included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes of type definitions.
    pub type_bytes: u64,
    /// Type definitions, a recursive group counted as one.
    pub types: u64,
    /// Functions with a body.
    pub functions: u64,
    /// Imports.
    pub imports: u64,
    /// Exports.
    pub exports: u64,
    /// Globals and exception tags.
    pub globals: u64,
    /// Data segments.
    pub data_segments: u64,
    /// Element segments.
    pub element_segments: u64,
    /// Memories.
    pub memories: u64,
    /// Tables.
    pub tables: u64,
    /// Modules and components inside a component.
    pub nested: u64,
    /// Deepest nesting.
    pub depth: u64,
    /// Instances, aliases and conversions of components.
    pub definitions: u64,
    /// Largest function body, in bytes.
    pub body_bytes: u64,
}

/// Why a program is not compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uncounted {
    /// It cannot be read.
    Invalid(String),
    /// It has more of something than the cap allows.
    Excess(String),
}

impl Counts {
    /// Counts a binary, and stops at the first cap it passes, or where it cannot be read.
    pub fn of(binary: &[u8]) -> Result<Self, Uncounted> {
        let mut counts = Self::default();
        let mut depth = 0_u64;
        for payload in Parser::new(0).parse_all(binary) {
            let payload =
                payload.map_err(|error| Uncounted::Invalid(format!("it is not valid WebAssembly: {error}")))?;
            match payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                    depth += 1;
                    counts.nested += 1;
                    counts.depth = counts.depth.max(depth);
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                // A module may not hold what only a component may: the parser refuses it.
                Payload::Version { encoding: Encoding::Module | Encoding::Component, .. } => {}
                _ => counts.add(&payload),
            }
            if let Some((what, count, cap)) = counts.excess() {
                return Err(Uncounted::Excess(format!("it has {count} {what}, and more than {cap} are not compiled")));
            }
        }
        Ok(counts)
    }

    fn add(&mut self, payload: &Payload<'_>) {
        let mut types = |count: u32, range: std::ops::Range<usize>| {
            self.types += u64::from(count);
            self.type_bytes += range.len() as u64;
        };
        match payload {
            Payload::TypeSection(section) => types(section.count(), section.range()),
            Payload::CoreTypeSection(section) => types(section.count(), section.range()),
            Payload::ComponentTypeSection(section) => types(section.count(), section.range()),
            Payload::FunctionSection(section) => self.functions += u64::from(section.count()),
            // One group of imports may stand for any number of them.
            Payload::ImportSection(section) => {
                self.imports += section.clone().into_imports().take(MAX_IMPORTS as usize + 1).count() as u64;
            }
            Payload::ComponentImportSection(section) => self.imports += u64::from(section.count()),
            Payload::ExportSection(section) => self.exports += u64::from(section.count()),
            Payload::ComponentExportSection(section) => self.exports += u64::from(section.count()),
            Payload::GlobalSection(section) => self.globals += u64::from(section.count()),
            Payload::TagSection(section) => self.globals += u64::from(section.count()),
            Payload::DataSection(section) => self.data_segments += u64::from(section.count()),
            Payload::ElementSection(section) => self.element_segments += u64::from(section.count()),
            Payload::MemorySection(section) => self.memories += u64::from(section.count()),
            Payload::TableSection(section) => self.tables += u64::from(section.count()),
            Payload::InstanceSection(section) => self.definitions += u64::from(section.count()),
            Payload::ComponentInstanceSection(section) => self.definitions += u64::from(section.count()),
            Payload::ComponentAliasSection(section) => self.definitions += u64::from(section.count()),
            Payload::ComponentCanonicalSection(section) => self.definitions += u64::from(section.count()),
            Payload::CodeSectionEntry(body) => self.body_bytes = self.body_bytes.max(body.range().len() as u64),
            _ => {}
        }
    }

    /// The first count above its cap: its name, itself and the cap.
    fn excess(&self) -> Option<(&'static str, u64, u64)> {
        let rows = [
            ("bytes of types", self.type_bytes, MAX_TYPE_BYTES),
            ("types", self.types, MAX_TYPES),
            ("functions", self.functions, MAX_FUNCTIONS),
            ("imports", self.imports, MAX_IMPORTS),
            ("exports", self.exports, MAX_EXPORTS),
            ("globals", self.globals, MAX_GLOBALS),
            ("data segments", self.data_segments, MAX_DATA_SEGMENTS),
            ("element segments", self.element_segments, MAX_ELEMENT_SEGMENTS),
            ("memories", self.memories, MAX_MEMORIES),
            ("tables", self.tables, MAX_TABLES),
            ("nested modules and components", self.nested, MAX_NESTED),
            ("levels of nested components", self.depth, MAX_DEPTH),
            ("instances, aliases and conversions", self.definitions, MAX_DEFINITIONS),
            ("bytes in one function", self.body_bytes, MAX_BODY_BYTES),
        ];
        rows.into_iter().find(|(_, count, cap)| count > cap)
    }
}
