//! What the types of a component are called: kept beside its code, which no longer says so.
//!
//! To wasmtime two types of one shape are one. Here each is what its interface calls it, and what `use` hands on stays the
//! same. The compiler child reads that of the types, as it does for WIT, and writes it down as a graph of types.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentDefinedType, ComponentDefinedTypeId, ComponentEntityType, ComponentItem,
    ComponentValType,
};
use wasmparser::types::Types;

use super::wit::Names as Outermost;

const MAGIC: &[u8; 8] = b"rfnames1";

/// Length of what says how long the rest is, in bytes.
const TRAILER: usize = 16;

/// Most of it, in bytes: a component with more names has classes by their shapes alone.
const MAX_BYTES: usize = 4 << 20;

/// The names of a component's types; by default, of none.
#[derive(Debug, Default)]
pub(crate) struct TypeNames {
    /// Each type that has a name: the interface that defines it, empty for the world, and what that calls it.
    identities: Vec<(String, String)>,
    nodes: Vec<Node>,
    /// Of imports and of exports.
    items: [HashMap<String, Item>; 2],
}

/// A type: its name, and its parts in their order; none of what has neither names nor parts.
#[derive(Debug, Default)]
struct Node {
    identity: Option<u32>,
    parts: Vec<Option<u32>>,
}

/// An import or export, or one of an interface.
#[derive(Debug)]
enum Item {
    /// Its parameters, and its result as the last.
    Function(Vec<Option<u32>>),
    Type(Option<u32>),
    Interface(HashMap<String, Item>),
}

/// A type in its place, as far as it has a name or parts that might.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    names: &'a TypeNames,
    node: Option<&'a Node>,
}

/// An import or export in its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedItem<'a> {
    names: &'a TypeNames,
    item: Option<&'a Item>,
}

impl TypeNames {
    /// An import, or an export.
    pub(crate) fn item(&self, is_import: bool, name: &str) -> NamedItem<'_> {
        let [imports, exports] = &self.items;
        NamedItem { names: self, item: if is_import { imports } else { exports }.get(name) }
    }

    /// The interface that defines a type, and what that calls it.
    pub(crate) fn identity(&self, number: u32) -> Option<(&str, &str)> {
        self.identities.get(number as usize).map(|(interface, name)| (interface.as_str(), name.as_str()))
    }
}

impl<'a> NamedItem<'a> {
    /// One of an interface.
    pub(crate) fn within(self, name: &str) -> Self {
        let Some(Item::Interface(items)) = self.item else { return Self { item: None, ..self } };
        Self { item: items.get(name), ..self }
    }

    /// The type itself.
    pub(crate) fn itself(self) -> Named<'a> {
        let node = if let Some(Item::Type(node)) = self.item { *node } else { None };
        self.named(node)
    }

    /// A parameter of a function.
    pub(crate) fn param(self, at: usize) -> Named<'a> {
        let Some(Item::Function(types)) = self.item else { return self.named(None) };
        self.named(types.split_last().and_then(|(_, params)| *params.get(at)?))
    }

    /// What a function gives.
    pub(crate) fn result(self) -> Named<'a> {
        let Some(Item::Function(types)) = self.item else { return self.named(None) };
        self.named(types.last().copied().flatten())
    }

    fn named(self, node: Option<u32>) -> Named<'a> {
        Named { names: self.names, node: node.and_then(|node| self.names.nodes.get(node as usize)) }
    }
}

impl Named<'_> {
    /// Which of the component's types it is, if it has a name.
    pub(crate) fn identity(self) -> Option<u32> {
        self.node?.identity
    }

    /// One of its parts.
    pub(crate) fn part(self, at: usize) -> Self {
        let part = self.node.and_then(|node| *node.parts.get(at)?);
        Self { node: part.and_then(|part| self.names.nodes.get(part as usize)), ..self }
    }
}

/// In the compiler child: reads the names of a component's types, to be written behind its code.
pub(super) fn of(binary: &[u8]) -> Vec<u8> {
    let mut outermost = Outermost::default();
    // What has no end has no code either, and what is not valid was refused before.
    let Ok(Some(types)) = outermost.read(binary) else { return Vec::new() };
    let mut reading = Reading { types: &types, first: HashMap::new(), numbers: HashMap::new(), made: Graph::default() };
    let [imports, exports] = [&outermost.imports, &outermost.exports];
    let imports = imports.iter().map(|name| (name, types.component_item_for_import(name)));
    let exports = exports.iter().map(|name| (name, types.component_item_for_export(name)));
    let items: [Vec<(&String, &ComponentItem)>; 2] = [
        imports.filter_map(|(name, item)| Some((name, item?))).collect(),
        exports.filter_map(|(name, item)| Some((name, item?))).collect(),
    ];
    for (name, item) in items.iter().flatten() {
        reading.define(name, &item.ty);
    }
    let mut bytes = Bytes::default();
    for side in items {
        bytes.count(side.len());
        for (name, item) in side {
            bytes.text(name);
            reading.item(&item.ty, &mut bytes);
        }
    }
    let mut all = Bytes::default();
    all.count(reading.made.identities.len());
    for (interface, name) in &reading.made.identities {
        all.text(interface);
        all.text(name);
    }
    all.count(reading.made.nodes.len());
    for node in &reading.made.nodes {
        all.optional(node.identity);
        all.numbers(&node.parts);
    }
    all.0.extend(bytes.0);
    if all.0.len() > MAX_BYTES { Vec::new() } else { all.0 }
}

#[derive(Default)]
struct Graph {
    identities: Vec<(String, String)>,
    known: HashMap<(String, String), u32>,
    nodes: Vec<Node>,
}

struct Reading<'a> {
    types: &'a Types,
    /// What each type is called that has a name: the interface that defines it, and its name there.
    first: HashMap<ComponentAnyTypeId, (String, String)>,
    numbers: HashMap<ComponentDefinedTypeId, Option<u32>>,
    made: Graph,
}

impl<'a> Reading<'a> {
    /// Notes what is defined by an import or export of this name.
    fn define(&mut self, name: &str, item: &ComponentEntityType) {
        match item {
            ComponentEntityType::Instance(id) => {
                let Some(instance) = self.types.as_ref().get(*id) else { return };
                for (within, item) in &instance.exports {
                    self.note(name, within, &item.ty);
                }
            }
            _ => self.note("", name, item),
        }
    }

    fn note(&mut self, interface: &str, name: &str, item: &ComponentEntityType) {
        if let ComponentEntityType::Type { referenced, created } = item {
            // What is used of another interface refers to what that has.
            let known = self.called(*referenced).cloned();
            self.first.entry(*created).or_insert_with(|| known.unwrap_or((interface.to_owned(), name.to_owned())));
        }
    }

    /// What a type is called, or of all that it is an alias of, the last that has a name.
    fn called(&self, id: ComponentAnyTypeId) -> Option<&(String, String)> {
        let aliases = std::iter::successors(Some(id), |id| self.types.peel_alias(*id));
        aliases.filter_map(|id| self.first.get(&id)).last()
    }

    fn item(&mut self, item: &ComponentEntityType, bytes: &mut Bytes) {
        match item {
            ComponentEntityType::Func(id) => {
                let function = self.types.as_ref().get(*id);
                let params = function.iter().flat_map(|function| function.params.iter().map(|(_, kind)| Some(*kind)));
                let result = function.and_then(|function| function.result);
                let kinds: Vec<_> = params.chain([result]).collect();
                bytes.count(1);
                bytes.numbers(&self.values(&kinds));
            }
            ComponentEntityType::Type { created: ComponentAnyTypeId::Defined(id), .. } => {
                bytes.count(2);
                bytes.optional(self.node(*id));
            }
            ComponentEntityType::Instance(id) => {
                let types = self.types;
                let exports = types.as_ref().get(*id).map(|instance| &instance.exports);
                bytes.count(3);
                bytes.count(exports.map_or(0, |exports| exports.len()));
                for (name, item) in exports.into_iter().flatten() {
                    bytes.text(name);
                    // Nothing is looked for in an interface that is inside of another.
                    match &item.ty {
                        ComponentEntityType::Instance(_) => bytes.count(0),
                        inner => self.item(inner, bytes),
                    }
                }
            }
            _ => bytes.count(0),
        }
    }

    fn values(&mut self, kinds: &[Option<ComponentValType>]) -> Vec<Option<u32>> {
        kinds.iter().map(|kind| self.value(kind.as_ref()?)).collect()
    }

    fn value(&mut self, kind: &ComponentValType) -> Option<u32> {
        if let ComponentValType::Type(id) = kind { self.node(*id) } else { None }
    }

    /// The number of a type; each is looked at once, however often it is mentioned.
    fn node(&mut self, id: ComponentDefinedTypeId) -> Option<u32> {
        if let Some(number) = self.numbers.get(&id) {
            return *number;
        }
        let types = self.types;
        let defined = types.as_ref().get(id)?;
        let kinds: Vec<Option<ComponentValType>> = match defined {
            ComponentDefinedType::Record(of) => of.fields.iter().map(|(_, kind)| Some(*kind)).collect(),
            ComponentDefinedType::Variant(of) => of.cases.iter().map(|(_, case)| case.ty).collect(),
            ComponentDefinedType::Tuple(of) => of.types.iter().copied().map(Some).collect(),
            ComponentDefinedType::List { element, .. } => vec![Some(*element)],
            ComponentDefinedType::FixedLengthList { element, .. } => vec![Some(*element)],
            ComponentDefinedType::Map { key, value, .. } => vec![Some(*key), Some(*value)],
            ComponentDefinedType::Option { ty, .. } => vec![Some(*ty)],
            ComponentDefinedType::Result { ok, err, .. } => vec![*ok, *err],
            ComponentDefinedType::Future { ty, .. } | ComponentDefinedType::Stream { ty, .. } => vec![*ty],
            _ => Vec::new(),
        };
        let parts = self.values(&kinds);
        let has_class = matches!(
            defined,
            ComponentDefinedType::Record(_)
                | ComponentDefinedType::Variant(_)
                | ComponentDefinedType::Enum(_)
                | ComponentDefinedType::Flags(_)
        );
        let identity = if has_class { self.identity(id) } else { None };
        let is_told = identity.is_some() || parts.iter().any(Option::is_some);
        let number = is_told.then_some(self.made.nodes.len() as u32);
        if is_told {
            self.made.nodes.push(Node { identity, parts });
        }
        self.numbers.insert(id, number);
        number
    }

    /// Which type it is.
    fn identity(&mut self, id: ComponentDefinedTypeId) -> Option<u32> {
        let named = self.called(ComponentAnyTypeId::Defined(id))?.clone();
        let Graph { identities, known, .. } = &mut self.made;
        Some(*known.entry(named).or_insert_with_key(|named| {
            identities.push(named.clone());
            identities.len() as u32 - 1
        }))
    }
}

/// Numbers of four bytes, and text.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn count(&mut self, count: usize) {
        self.0.extend((count as u32).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend(text.as_bytes());
    }

    fn optional(&mut self, number: Option<u32>) {
        self.count(number.map_or(0, |number| number as usize + 1));
    }

    fn numbers(&mut self, numbers: &[Option<u32>]) {
        self.count(numbers.len());
        numbers.iter().for_each(|number| self.optional(*number));
    }
}

/// Writes them at the end of a file that ends with code.
pub(super) fn append(file: &mut File, names: &[u8]) -> std::io::Result<()> {
    let mut trailer = MAGIC.to_vec();
    trailer.extend((names.len() as u64).to_le_bytes());
    file.write_all(names).and_then(|()| file.write_all(&trailer))
}

/// What is at the end of such a file; nothing where there is none.
pub(super) fn at_end(file: &File) -> std::io::Result<Vec<u8>> {
    let size = file.metadata()?.len();
    let Some(end) = size.checked_sub(TRAILER as u64) else { return Ok(Vec::new()) };
    let mut trailer = [0; TRAILER];
    file.read_exact_at(&mut trailer, end)?;
    let len = trailer.strip_prefix(MAGIC).and_then(|len| Some(u64::from_le_bytes(*len.first_chunk()?)));
    let Some(len) = len.filter(|len| *len <= MAX_BYTES as u64 && *len <= end) else { return Ok(Vec::new()) };
    let mut names = vec![0; len as usize];
    file.read_exact_at(&mut names, end - len)?;
    Ok(names)
}

impl TypeNames {
    /// Reads what `of` has written; of anything else, nothing.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        Words(bytes).names().unwrap_or_default()
    }
}

struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn names(&mut self) -> Option<TypeNames> {
        let identities = (0..self.count()?).map(|_| Some((self.text()?, self.text()?))).collect::<Option<_>>()?;
        let nodes = (0..self.count()?).map(|_| Some(Node { identity: self.optional()?, parts: self.numbers()? }));
        let nodes = nodes.collect::<Option<_>>()?;
        Some(TypeNames { identities, nodes, items: [self.items(0)?, self.items(0)?] })
    }

    fn items(&mut self, depth: u32) -> Option<HashMap<String, Item>> {
        let mut items = HashMap::new();
        for _ in 0..self.count()? {
            let name = self.text()?;
            let item = match self.count()? {
                0 => continue,
                1 => Item::Function(self.numbers()?),
                2 => Item::Type(self.optional()?),
                3 if depth == 0 => Item::Interface(self.items(1)?),
                _ => return None,
            };
            items.insert(name, item);
        }
        Some(items)
    }

    fn count(&mut self) -> Option<u32> {
        let (count, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*count))
    }

    fn text(&mut self) -> Option<String> {
        let len = self.count()? as usize;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(std::str::from_utf8(text).ok()?.to_owned())
    }

    fn optional(&mut self) -> Option<Option<u32>> {
        self.count().map(|number| number.checked_sub(1))
    }

    fn numbers(&mut self) -> Option<Vec<Option<u32>>> {
        (0..self.count()?).map(|_| self.optional()).collect()
    }
}

#[cfg(test)]
#[path = "type_names_tests.rs"]
mod tests;
