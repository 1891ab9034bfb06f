//! Takes the data of a module's memory out of it, so that the memory can show them from elsewhere.
//!
//! Nothing is renumbered: every section that is not named here stays as it is, byte for byte. Data segments become
//! empty ones, or go where no code names them or a later one, for every instance pays for each; every mutable global is
//! exported; and a memory without a maximum gets that of all memories, which tells it from a heap of the engine's own.
//! What cannot be treated so is named, and such a module is compiled as it was given.

use wasmparser::{
    AbstractHeapType, DataKind, ElementItems, Encoding, ExternalKind, HeapType, MemoryType, Operator, Parser, Payload,
    RefType, TypeRef, ValType,
};

/// What the names of added exports begin with.
const RESERVED: &str = "__rf_";

/// What the names of exported mutable globals begin with.
pub(crate) const GLOBAL: &str = "__rf_global_";

/// Largest memory that is kept as an image, in bytes. CPython with pandas begins with 63 MiB.
const MAX_IMAGE_BYTES: u64 = 256 << 20;

/// A page of WebAssembly, in bytes.
const PAGE_BYTES: u64 = 64 << 10;

/// As large as a memory can be, in pages.
const MOST_PAGES: u64 = 1 << 16;

const MEMORY: u8 = 5;
const DATA: u8 = 11;
const DATA_COUNT: u8 = 12;
const EXPORT: u8 = 7;

/// A module without its data, and the memory that it would have begun with.
pub(crate) struct Instrumented {
    pub(crate) wasm: Vec<u8>,
    pub(crate) image: Vec<u8>,
}

/// What is found in a module.
#[derive(Default)]
struct Found<'a> {
    sections: Vec<(u8, &'a [u8])>,
    memory: Option<MemoryType>,
    exports_memory: bool,
    exports: u32,
    imported_globals: u32,
    mutable: Vec<u32>,
    segments: Vec<Option<&'a [u8]>>,
    /// How many of them code may name.
    named: usize,
    data: Vec<(u32, &'a [u8])>,
}

/// Instruments a module, or says why it cannot be.
pub(crate) fn instrument(wasm: &[u8]) -> Result<Instrumented, String> {
    let mut found = Found::default();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(|error| error.to_string())?;
        if let Some((id, range)) = payload.as_section() {
            found.sections.push((id, wasm.get(range).ok_or("a section lies outside of it")?));
        }
        found.add(payload)?;
    }
    let memory = found.memory.ok_or("it has no memory")?;
    if !found.exports_memory {
        return Err("it exports no `memory`".into());
    }
    let size = memory.initial.checked_mul(PAGE_BYTES).filter(|size| (1..=MAX_IMAGE_BYTES).contains(size));
    let size = size.ok_or_else(|| format!("its memory begins with {} pages", memory.initial))?;
    let mut image = vec![0; usize::try_from(size).map_err(|error| error.to_string())?];
    for (at, bytes) in &found.data {
        let place = image.get_mut(*at as usize..).and_then(|rest| rest.get_mut(..bytes.len()));
        place.ok_or("its data lie outside of its memory")?.copy_from_slice(bytes);
    }
    Ok(Instrumented { wasm: found.write(&memory)?, image })
}

impl<'a> Found<'a> {
    fn add(&mut self, payload: Payload<'a>) -> Result<(), String> {
        let invalid = |error: wasmparser::BinaryReaderError| error.to_string();
        match payload {
            Payload::Version { encoding: Encoding::Component, .. } => return Err("it is a component".into()),
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    self.import(import.map_err(invalid)?.ty)?;
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory.map_err(invalid)?;
                    if memory.shared || memory.memory64 || memory.page_size_log2.is_some() {
                        return Err("its memory is of an unusual kind".into());
                    }
                    if self.memory.replace(memory).is_some() {
                        return Err("it has several memories".into());
                    }
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    no_objects(table.map_err(invalid)?.ty.element_type)?;
                }
            }
            Payload::ElementSection(section) => {
                for element in section {
                    if let ElementItems::Expressions(kind, _) = element.map_err(invalid)?.items {
                        no_objects(kind)?;
                    }
                }
            }
            Payload::GlobalSection(section) => {
                for (index, global) in (self.imported_globals..).zip(section) {
                    let kind = global.map_err(invalid)?.ty;
                    if kind.mutable && matches!(kind.content_type, ValType::Ref(_)) {
                        return Err("it has a mutable global that holds a reference".into());
                    }
                    if let ValType::Ref(kind) = kind.content_type {
                        no_objects(kind)?;
                    }
                    self.mutable.extend(kind.mutable.then_some(index));
                }
            }
            Payload::ExportSection(section) => {
                self.exports = section.count();
                for export in section {
                    let export = export.map_err(invalid)?;
                    self.exports_memory |= export.name == "memory" && export.kind == ExternalKind::Memory;
                    if export.name.starts_with(RESERVED) {
                        return Err(format!("it exports a name that begins with `{RESERVED}`"));
                    }
                }
            }
            Payload::StartSection { .. } => return Err("it has a start function".into()),
            Payload::CodeSectionEntry(body) => {
                let mut operators = body.get_operators_reader().map_err(invalid)?;
                while !operators.eof() {
                    let operator = operators.read().map_err(invalid)?;
                    check(&operator)?;
                    self.named = self.named.max(segments_named(&operator));
                }
            }
            Payload::DataSection(section) => {
                for segment in section {
                    let segment = segment.map_err(invalid)?;
                    match segment.kind {
                        DataKind::Passive => self.segments.push(Some(segment.data)),
                        DataKind::Active { memory_index: 0, offset_expr } => {
                            let mut operators = offset_expr.get_operators_reader();
                            let (offset, end) = (operators.read().map_err(invalid)?, operators.read());
                            let (Operator::I32Const { value }, Ok(Operator::End)) = (offset, end) else {
                                return Err("its data lie at computed addresses".into());
                            };
                            self.data.push((value.cast_unsigned(), segment.data));
                            self.segments.push(None);
                        }
                        DataKind::Active { .. } => return Err("it has several memories".into()),
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, kind: TypeRef) -> Result<(), String> {
        match kind {
            TypeRef::Memory(_) => Err("it imports its memory".into()),
            TypeRef::Table(_) => Err("it imports a table".into()),
            TypeRef::Global(global) if global.mutable => Err("it imports a mutable global".into()),
            TypeRef::Global(_) => {
                self.imported_globals += 1;
                Ok(())
            }
            TypeRef::Func(_) | TypeRef::FuncExact(_) | TypeRef::Tag(_) => Ok(()),
        }
    }

    fn write(&self, memory: &MemoryType) -> Result<Vec<u8>, String> {
        let mut written = b"\0asm\x01\0\0\0".to_vec();
        for (id, body) in &self.sections {
            match *id {
                MEMORY => section(&mut written, MEMORY, &memory_section(memory))?,
                DATA | DATA_COUNT if self.named == 0 => {}
                DATA => section(&mut written, DATA, &self.data_section())?,
                DATA_COUNT => {
                    let mut body = Vec::new();
                    number(&mut body, self.kept().len() as u64);
                    section(&mut written, DATA_COUNT, &body)?;
                }
                EXPORT => section(&mut written, EXPORT, &self.export_section(body)?)?,
                id => section(&mut written, id, body)?,
            }
        }
        Ok(written)
    }

    /// The segments up to the last one that code names.
    fn kept(&self) -> &[Option<&'a [u8]>] {
        &self.segments[..self.named.min(self.segments.len())]
    }

    /// Those that were copied at the start have no bytes left, as after it.
    fn data_section(&self) -> Vec<u8> {
        let mut body = Vec::new();
        number(&mut body, self.kept().len() as u64);
        for segment in self.kept() {
            let bytes = segment.unwrap_or_default();
            body.push(1);
            number(&mut body, bytes.len() as u64);
            body.extend_from_slice(bytes);
        }
        body
    }

    fn export_section(&self, before: &[u8]) -> Result<Vec<u8>, String> {
        let digits = before.iter().position(|byte| byte & 0x80 == 0).ok_or("its exports cannot be read")? + 1;
        let mut body = Vec::with_capacity(before.len() + 32 * self.mutable.len());
        number(&mut body, u64::from(self.exports) + self.mutable.len() as u64);
        body.extend_from_slice(&before[digits..]);
        for index in &self.mutable {
            let name = format!("{GLOBAL}{index}");
            number(&mut body, name.len() as u64);
            body.extend_from_slice(name.as_bytes());
            body.push(3);
            number(&mut body, (*index).into());
        }
        Ok(body)
    }
}

fn memory_section(memory: &MemoryType) -> Vec<u8> {
    let mut body = vec![1, 1];
    number(&mut body, memory.initial);
    number(&mut body, memory.maximum.unwrap_or(MOST_PAGES));
    body
}

/// Refuses what may lead to objects of the garbage collector: they change, and are in no memory.
fn no_objects(kind: RefType) -> Result<(), String> {
    use AbstractHeapType::{Extern, Func, NoExtern, NoFunc};
    match kind.heap_type() {
        HeapType::Abstract { shared: false, ty: Func | NoFunc | Extern | NoExtern } => Ok(()),
        _ => Err("it keeps objects of the garbage collector".into()),
    }
}

/// Refuses what changes something of an instance that is neither memory nor a global.
fn check(operator: &Operator<'_>) -> Result<(), String> {
    match operator {
        Operator::TableSet { .. }
        | Operator::TableGrow { .. }
        | Operator::TableFill { .. }
        | Operator::TableCopy { .. }
        | Operator::TableInit { .. }
        | Operator::ElemDrop { .. } => Err("it changes its tables".into()),
        Operator::DataDrop { .. } => Err("it drops its data".into()),
        _ => Ok(()),
    }
}

/// How many data segments there have to be for this.
fn segments_named(operator: &Operator<'_>) -> usize {
    match operator {
        Operator::MemoryInit { data_index, .. }
        | Operator::ArrayNewData { array_data_index: data_index, .. }
        | Operator::ArrayInitData { array_data_index: data_index, .. } => *data_index as usize + 1,
        _ => 0,
    }
}

fn section(written: &mut Vec<u8>, id: u8, body: &[u8]) -> Result<(), String> {
    let len = u32::try_from(body.len()).map_err(|_| "it is too large")?;
    written.push(id);
    number(written, len.into());
    written.extend_from_slice(body);
    Ok(())
}

/// An unsigned number as WebAssembly writes it (LEB128).
fn number(written: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        written.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    written.push(value as u8);
}

#[cfg(test)]
#[path = "instrument_tests.rs"]
mod tests;
