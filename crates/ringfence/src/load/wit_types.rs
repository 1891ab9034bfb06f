//! Types of a component as words of WIT, and the names that they have.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use wasmparser::component_types::{ComponentAnyTypeId, ComponentDefinedType, ComponentFuncTypeId, ComponentValType};
use wasmparser::types::Types;

use super::wit::path;
use crate::text;

/// What WIT does not take as a name unless it is marked.
const KEYWORDS: &[&str] = &[
    "use",
    "type",
    "func",
    "u8",
    "u16",
    "u32",
    "u64",
    "s8",
    "s16",
    "s32",
    "s64",
    "f32",
    "f64",
    "char",
    "resource",
    "own",
    "borrow",
    "record",
    "flags",
    "variant",
    "enum",
    "bool",
    "string",
    "option",
    "result",
    "future",
    "stream",
    "error-context",
    "list",
    "map",
    "as",
    "from",
    "static",
    "interface",
    "tuple",
    "world",
    "import",
    "export",
    "package",
    "constructor",
    "include",
    "with",
    "async",
];

/// A name in WIT: a keyword is marked, and what is no name is escaped and cut.
pub(super) fn label(name: &str) -> String {
    if KEYWORDS.contains(&name) { format!("%{name}") } else { text::cut(name, 200) }
}

/// How much may still be written.
pub(super) struct Room {
    left: usize,
}

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        Self { left: bytes }
    }

    pub(super) fn is_full(&self) -> bool {
        self.left == 0
    }

    fn take(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }
}

/// The name in another interface, and here.
type Mentions = BTreeSet<(String, String)>;

/// What an interface mentions of others, by their names.
pub(super) type Uses = BTreeMap<String, Mentions>;

/// The lines that take the names of other interfaces into this one.
pub(super) fn use_lines<'a>(of: &str, uses: &'a Uses) -> impl Iterator<Item = String> + use<'a> {
    let package = |name: &str| {
        let (path, version) = name.split_once('@').unwrap_or((name, ""));
        path.rsplit_once('/').map(|(package, short)| (format!("{package}@{version}"), short.to_owned()))
    };
    let here = package(of).map(|(package, _)| package);
    uses.iter().map(move |(interface, names)| {
        let near = package(interface).filter(|(package, _)| Some(package) == here.as_ref());
        let place = near.map_or_else(|| path(interface), |(_, short)| label(&short));
        let names = names.iter().map(|(theirs, ours)| match theirs == ours {
            true => label(theirs),
            false => format!("{} as {}", label(theirs), label(ours)),
        });
        format!("use {place}.{{{}}};", names.collect::<Vec<_>>().join(", "))
    })
}

/// The types of a component, and the names under which they were found so far.
pub(super) struct Scope<'a> {
    pub(super) types: &'a Types,
    pub(super) room: Room,
    /// By the interface, which is empty for the world, and the name in it.
    pub(super) names: HashMap<ComponentAnyTypeId, (String, String)>,
    /// What each interface mentions of others: by interface, the names there with those here, of which there may be several.
    foreign: HashMap<String, Uses>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(types: &'a Types, room: Room) -> Self {
        Self { types, room, names: HashMap::new(), foreign: HashMap::new() }
    }

    /// What this interface mentions of others.
    pub(super) fn uses(&mut self, of: &str) -> Uses {
        self.foreign.remove(of).unwrap_or_default()
    }

    fn mentioned(&mut self, of: &str, place: String) -> &mut Mentions {
        self.foreign.entry(of.to_owned()).or_default().entry(place).or_default()
    }

    /// The names that a type has: its own, and those of what it is an alias of.
    fn names(&self, id: ComponentAnyTypeId) -> impl Iterator<Item = &(String, String)> {
        std::iter::successors(Some(id), |id| self.types.peel_alias(*id)).filter_map(|id| self.names.get(&id))
    }

    /// The name by which an interface may call a type. What the world has taken from an interface is that interface's.
    fn named(&self, of: &str, id: ComponentAnyTypeId) -> Option<(String, String)> {
        let is_taken = |(place, name): &&(String, String)| {
            self.foreign
                .get(of)
                .and_then(|places| places.get(place))
                .is_some_and(|names| names.iter().any(|(theirs, _)| theirs == name))
        };
        let all = || self.names(id);
        let found = all().find(|(place, _)| place == of).or_else(|| all().find(is_taken));
        found.or_else(|| all().find(|(place, _)| !place.is_empty())).or_else(|| all().next()).cloned()
    }

    /// The lines that define this name; none where another interface has it, and it is only used here.
    pub(super) fn definition(&mut self, of: &str, name: &str, id: ComponentAnyTypeId) -> Option<Vec<String>> {
        let shown = label(name);
        self.room.take(shown.len());
        if let Some((place, known)) = self.named(of, id) {
            if place == of || place.is_empty() {
                return Some(vec![format!("type {shown} = {};", label(&known))]);
            }
            self.mentioned(of, place).insert((known, name.to_owned()));
            return None;
        }
        let defined = match id {
            ComponentAnyTypeId::Defined(id) => self.types.as_ref().get(id)?,
            ComponentAnyTypeId::Resource(_) => return Some(vec![format!("resource {shown};")]),
            _ => return Some(vec![format!("// {shown}: the type of a function, an interface or a component")]),
        };
        let block = |kind: &str, lines: Vec<String>| {
            let mut all = vec![format!("{kind} {shown} {{")];
            all.extend(lines.into_iter().map(|line| format!("  {line},")));
            all.push("}".into());
            Some(all)
        };
        match defined {
            ComponentDefinedType::Record(record) => {
                let fields = record
                    .fields
                    .iter()
                    .map(|(name, kind)| format!("{}: {}", label(name.as_str()), self.value(of, kind)));
                let fields = fields.collect();
                block("record", fields)
            }
            ComponentDefinedType::Variant(variant) => {
                let cases = variant.cases.iter().map(|(name, case)| match &case.ty {
                    Some(kind) => format!("{}({})", label(name.as_str()), self.value(of, kind)),
                    None => label(name.as_str()),
                });
                let cases = cases.collect();
                block("variant", cases)
            }
            ComponentDefinedType::Enum(names) => block("enum", self.labels(names.iter().map(|name| name.as_str()))),
            ComponentDefinedType::Flags(names) => block("flags", self.labels(names.iter().map(|name| name.as_str()))),
            ComponentDefinedType::Own(resource) => {
                let resource = self.reference(of, ComponentAnyTypeId::Resource(*resource));
                Some(vec![format!("type {shown} = own<{resource}>;")])
            }
            other => Some(vec![format!("type {shown} = {};", self.shape(of, other))]),
        }
    }

    fn labels<'b>(&mut self, names: impl Iterator<Item = &'b str>) -> Vec<String> {
        let names: Vec<String> = names.map(label).collect();
        self.room.take(names.iter().map(String::len).sum());
        names
    }

    /// A function's type; `is_method` leaves out its first parameter, which is the resource itself.
    pub(super) fn function(&mut self, of: &str, id: ComponentFuncTypeId, is_method: bool) -> String {
        let Some(function) = self.types.as_ref().get(id) else { return "func()".into() };
        let before = if function.async_ { "async " } else { "" };
        let result = function.result.as_ref().map(|kind| format!(" -> {}", self.value(of, kind))).unwrap_or_default();
        format!("{before}func({}){result}", self.params(of, id, usize::from(is_method)))
    }

    /// A constructor: what it gives is said only where that is not simply the resource.
    pub(super) fn constructor(&mut self, of: &str, id: ComponentFuncTypeId, resource: &str) -> String {
        let params = self.params(of, id, 0);
        let result = self.types.as_ref().get(id).and_then(|function| function.result);
        let result = result.map(|kind| self.value(of, &kind)).filter(|result| *result != label(resource));
        format!("constructor({params}){};", result.map(|result| format!(" -> {result}")).unwrap_or_default())
    }

    fn params(&mut self, of: &str, id: ComponentFuncTypeId, skip: usize) -> String {
        let Some(function) = self.types.as_ref().get(id) else { return String::new() };
        let params = function.params.iter().skip(skip);
        let params = params.map(|(name, kind)| format!("{}: {}", label(name.as_str()), self.value(of, kind)));
        params.collect::<Vec<_>>().join(", ")
    }

    fn reference(&mut self, of: &str, id: ComponentAnyTypeId) -> String {
        let Some((place, name)) = self.named(of, id) else { return "a-resource-without-a-name".into() };
        self.room.take(name.len());
        if place == of || place.is_empty() {
            return label(&name);
        }
        let mentions = self.mentioned(of, place);
        match mentions.iter().find(|(theirs, _)| *theirs == name) {
            Some((_, ours)) => label(ours),
            None => {
                mentions.insert((name.clone(), name.clone()));
                label(&name)
            }
        }
    }

    fn value(&mut self, of: &str, kind: &ComponentValType) -> String {
        if self.room.is_full() {
            return "_".into();
        }
        self.room.take(4);
        match kind {
            ComponentValType::Primitive(kind) => kind.to_string(),
            ComponentValType::Type(id) if self.names(ComponentAnyTypeId::Defined(*id)).next().is_some() => {
                self.reference(of, ComponentAnyTypeId::Defined(*id))
            }
            ComponentValType::Type(id) => match self.types.as_ref().get(*id) {
                Some(defined) => self.shape(of, defined),
                None => "_".into(),
            },
        }
    }

    /// A type that has no name.
    fn shape(&mut self, of: &str, defined: &ComponentDefinedType) -> String {
        let mut all = |kind: &str, kinds: &[Option<&ComponentValType>]| {
            let kinds: Vec<String> =
                kinds.iter().map(|kind| kind.map_or_else(|| "_".into(), |kind| self.value(of, kind))).collect();
            self.room.take(kind.len() + 2 * kinds.len());
            if kinds.is_empty() { kind.to_owned() } else { format!("{kind}<{}>", kinds.join(", ")) }
        };
        match defined {
            ComponentDefinedType::Primitive(kind) => kind.to_string(),
            ComponentDefinedType::List { element, .. } => all("list", &[Some(element)]),
            ComponentDefinedType::FixedLengthList { element, length, .. } => {
                let item = self.value(of, element);
                format!("list<{item}, {length}>")
            }
            ComponentDefinedType::Map { key, value, .. } => all("map", &[Some(key), Some(value)]),
            ComponentDefinedType::Tuple(tuple) => all("tuple", &tuple.types.iter().map(Some).collect::<Vec<_>>()),
            ComponentDefinedType::Option { ty, .. } => all("option", &[Some(ty)]),
            ComponentDefinedType::Result { ok: None, err: None, .. } => "result".into(),
            ComponentDefinedType::Result { ok, err: None, .. } => all("result", &[ok.as_ref()]),
            ComponentDefinedType::Result { ok, err, .. } => all("result", &[ok.as_ref(), err.as_ref()]),
            ComponentDefinedType::Future { ty, .. } => all("future", &ty.iter().map(Some).collect::<Vec<_>>()),
            ComponentDefinedType::Stream { ty, .. } => all("stream", &ty.iter().map(Some).collect::<Vec<_>>()),
            ComponentDefinedType::Own(id) => self.reference(of, ComponentAnyTypeId::Resource(*id)),
            ComponentDefinedType::Borrow(id) => {
                format!("borrow<{}>", self.reference(of, ComponentAnyTypeId::Resource(*id)))
            }
            // What has names of its own is without one only where nobody can mention it.
            ComponentDefinedType::Record(_)
            | ComponentDefinedType::Variant(_)
            | ComponentDefinedType::Flags(_)
            | ComponentDefinedType::Enum(_) => "a-type-without-a-name".into(),
        }
    }
}
