//! Whether instances of a module may have a heap of the engine's own: for what they throw, or refer to.

use wasmparser::{Parser, Payload, RefType, TypeRef, ValType};

use super::Program;
use super::bytes::to_binary;
use crate::error::{Error, Result};

/// Told from its sections; what cannot be read has one.
pub(crate) fn has_heap(program: &Program) -> Result<bool> {
    let bytes = program.bytes()?;
    let binary = to_binary(&bytes).map_err(|why| Error::load("a module cannot be read", why, "build it again"))?;
    Ok(found(&binary).unwrap_or(true))
}

fn found(binary: &[u8]) -> std::result::Result<bool, wasmparser::BinaryReaderError> {
    let refers = |kind: ValType| matches!(kind, ValType::Ref(kind) if kind != RefType::FUNCREF);
    for payload in Parser::new(0).parse_all(binary) {
        let has = match payload? {
            Payload::TagSection(_) => true,
            Payload::ImportSection(section) => {
                let mut tags = false;
                for import in section.into_imports() {
                    tags |= matches!(import?.ty, TypeRef::Tag(_));
                }
                tags
            }
            Payload::TypeSection(section) => {
                let mut any = false;
                for group in section {
                    for kind in group?.types() {
                        any |= match &kind.composite_type.inner {
                            wasmparser::CompositeInnerType::Func(of) => {
                                of.params().iter().chain(of.results()).any(|kind| refers(*kind))
                            }
                            _ => true,
                        };
                    }
                }
                any
            }
            Payload::TableSection(section) => {
                let mut any = false;
                for table in section {
                    any |= table?.ty.element_type != RefType::FUNCREF;
                }
                any
            }
            Payload::CodeSectionEntry(body) => {
                let mut any = false;
                for local in body.get_locals_reader()? {
                    any |= refers(local?.1);
                }
                any
            }
            _ => false,
        };
        if has {
            return Ok(true);
        }
    }
    Ok(false)
}
