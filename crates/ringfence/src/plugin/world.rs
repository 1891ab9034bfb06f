//! What a plugin offers and what it wants: its exports and imports, told from its code before anything of it runs.

use std::fmt::Write;

use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ResourceType};

use super::modules::GlobalExport;
use super::types::{Refusal, Shape, TypeId, Types, name};
use crate::error::{Error, Result};
use crate::link;
use crate::load::{NamedItem, TypeNames};
use crate::text;

/// Types of a signature that are shown inside one another.
const SHOWN_DEPTH: usize = 4;

/// Longest signature that is shown, in characters.
const SHOWN_CHARACTERS: usize = 400;

/// A function by its name, with what it takes and gives.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Function {
    pub name: String,
    pub params: Vec<(String, TypeId)>,
    pub result: Option<TypeId>,
    /// Whether it may wait for others while it is called.
    pub is_async: bool,
}

/// An interface, or what a component has at its root: then its name is empty.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Interface {
    pub name: String,
    pub functions: Vec<Function>,
    pub types: Vec<(String, TypeId)>,
}

/// Where items come from: the engine, whether the host has to give them, and the resources of WASI.
type From<'a> = (&'a Engine, bool, &'a [ResourceType]);

/// An item by its name, with what its types are called.
type Called<'a> = (&'a str, NamedItem<'a>);

/// All of it.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct World {
    pub types: Types,
    pub exports: Vec<Interface>,
    /// Those that the host has to give; WASI is not among them.
    pub imports: Vec<Interface>,
    /// What it imports of WASI.
    pub wasi: Vec<String>,
    /// Whether it is a core module; what follows only those have.
    pub is_module: bool,
    pub memories: Vec<String>,
    pub globals: Vec<GlobalExport>,
    /// Exports that are no use to a host, and why.
    pub refused: Vec<(String, String)>,
}

impl World {
    /// That of a component.
    pub(super) fn of(engine: &Engine, component: &Component, names: &TypeNames, program: &str) -> Result<Self> {
        let program = text::quote(program);
        let mut world = Self::default();
        let mut refusals = Vec::new();
        let mut foreign = Vec::new();
        let kind = component.component_type();
        let mut root = Interface::default();
        for (import, item) in kind.imports(engine) {
            // What WASI has beyond that, such as `wasi:logging`, the host may give.
            if link::is_provided(import, true) {
                world.wasi.push(import.to_owned());
                foreign.extend(resources(engine, &item.ty));
                continue;
            }
            match world.item((engine, true, &foreign), (import, names.item(true, import)), item.ty, &mut root) {
                Ok(interface) => world.imports.extend(interface),
                Err(why) => refusals.push(format!("its import `{}` has {why}", text::cut(import, 120))),
            }
        }
        let root = std::mem::take(&mut root);
        if !root.is_empty() {
            world.imports.push(root);
        }
        let mut root = Interface::default();
        for (export, item) in kind.exports(engine) {
            match world.item((engine, false, &foreign), (export, names.item(false, export)), item.ty, &mut root) {
                Ok(interface) => world.exports.extend(interface),
                // What it offers to a host of WASI is no function of ours.
                Err(_) if export.starts_with("wasi:") => {}
                Err(why) => refusals.push(format!("its export `{}` has {why}", text::cut(export, 120))),
            }
        }
        if !root.is_empty() {
            world.exports.push(root);
        }
        world.types.call(names);
        match refusals.is_empty() {
            true => Ok(world),
            false => Err(Error::load(
                format!("cannot load the plugin `{program}`"),
                refusals.into_iter().take(10).collect::<Vec<_>>().join("; "),
                "give it types that a host can have: values, lists, resources, streams of values",
            )),
        }
    }

    /// One import or export: an interface, or something at the root.
    fn item(
        &mut self,
        from @ (engine, ..): From<'_>,
        (of, called): Called<'_>,
        item: ComponentItem,
        root: &mut Interface,
    ) -> Result<Option<Interface>, Refusal> {
        let ComponentItem::ComponentInstance(instance) = item else {
            self.within(from, (of, called), item, root)?;
            return Ok(None);
        };
        let mut interface = Interface { name: name(of)?, ..Interface::default() };
        for (within, item) in instance.exports(engine) {
            self.within(from, (within, called.within(within)), item.ty, &mut interface)
                .map_err(|why| format!("{why} (in `{}`)", text::cut(within, 120)))?;
        }
        Ok(Some(interface))
    }

    fn within(
        &mut self,
        (_, is_hosts, foreign): From<'_>,
        (of, called): Called<'_>,
        item: ComponentItem,
        into: &mut Interface,
    ) -> Result<(), Refusal> {
        let name = name(of)?;
        match item {
            ComponentItem::ComponentFunc(function) => {
                let function = self.function(name, called, &function)?;
                into.functions.push(function);
            }
            ComponentItem::Type(kind) => {
                let added = self.types.add(&kind, called.itself())?;
                into.types.push((name, added));
            }
            // WASI has a name for it already; functions that need one are refused.
            ComponentItem::Resource(kind) if foreign.contains(&kind) => {}
            ComponentItem::Resource(kind) => {
                let own = self.types.resource((&into.name, name.clone()), kind, is_hosts)?;
                into.types.push((name, own));
            }
            ComponentItem::ComponentInstance(_) => return Err("an interface inside of an interface".into()),
            ComponentItem::Module(_) | ComponentItem::Component(_) | ComponentItem::CoreFunc(_) => {
                return Err("code, and not values,".into());
            }
        }
        Ok(())
    }

    fn function(&mut self, of: String, called: NamedItem<'_>, function: &ComponentFunc) -> Result<Function, Refusal> {
        let params = function.params().enumerate();
        let params = params.map(|(at, (param, kind))| Ok((name(param)?, self.types.add(&kind, called.param(at))?)));
        let params = params.collect::<Result<Vec<_>, Refusal>>()?;
        let result = function.results().next().map(|kind| self.types.add(&kind, called.result())).transpose()?;
        Ok(Function { name: of, params, result, is_async: function.async_() })
    }

    /// The function at that place among all that are exported.
    pub(crate) fn exported(&self, index: usize) -> Option<&Function> {
        self.exports.iter().flat_map(|interface| &interface.functions).nth(index)
    }

    /// The same of those that are imported.
    pub(crate) fn imported(&self, index: usize) -> Option<&Function> {
        self.imports.iter().flat_map(|interface| &interface.functions).nth(index)
    }

    /// How many functions are imported.
    pub(crate) fn imported_count(&self) -> usize {
        self.imports.iter().map(|interface| interface.functions.len()).sum()
    }

    /// What the end of an object of that resource is called in messages.
    pub(crate) fn dropped_title(&self, resource: u32) -> String {
        let of = self.types.resources().get(resource as usize);
        text::quote(&of.map_or_else(String::new, |of| format!("{}.{}, dropped", of.interface, of.name)))
    }

    /// What a function at that place is called in messages.
    pub(crate) fn imported_title(&self, index: usize) -> String {
        let all =
            self.imports.iter().flat_map(|of| of.functions.iter().map(move |function| (&of.name, &function.name)));
        let title = match all.into_iter().nth(index) {
            Some((interface, name)) if interface.is_empty() => name.clone(),
            Some((interface, name)) => format!("{interface}.{name}"),
            None => String::new(),
        };
        text::quote(&title)
    }

    /// Whether the host has to give something for an interface that is imported.
    pub fn wants(&self, interface: &Interface) -> bool {
        !interface.functions.is_empty()
            || interface.types.iter().any(|(_, kind)| self.types.owned(*kind).is_some_and(|(_, of)| of.is_hosts))
    }

    /// A function's signature, for people.
    pub fn signature(&self, interface: &Interface, function: &Function) -> String {
        let mut shown = format!("{}: {}func(", function.name, if function.is_async { "async " } else { "" });
        for (at, (name, kind)) in function.params.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let _ = write!(shown, "{comma}{name}: ");
            self.show(*kind, interface, 0, &mut shown);
        }
        shown.push(')');
        if let Some(kind) = function.result {
            shown.push_str(" -> ");
            self.show(kind, interface, 0, &mut shown);
        }
        text::cut(&shown, SHOWN_CHARACTERS)
    }

    fn show(&self, kind: TypeId, interface: &Interface, depth: usize, shown: &mut String) {
        if shown.len() > SHOWN_CHARACTERS * 4 || depth > SHOWN_DEPTH {
            shown.push('…');
            return;
        }
        if let Some((name, _)) = interface.types.iter().find(|(_, named)| *named == kind) {
            shown.push_str(name);
            return;
        }
        let mut several = |open: &str, kinds: &mut dyn Iterator<Item = (Option<&str>, Option<TypeId>)>| {
            shown.push_str(open);
            for (at, (name, kind)) in kinds.enumerate() {
                shown.push_str(if at == 0 { "" } else { ", " });
                shown.push_str(name.unwrap_or(""));
                shown.push_str(if name.is_some() && kind.is_some() { ": " } else { "" });
                match kind {
                    Some(kind) => self.show(kind, interface, depth + 1, shown),
                    None if name.is_none() => shown.push('_'),
                    None => {}
                }
            }
        };
        match self.types.shape(kind) {
            Shape::Own(at) => shown.push_str(self.types.resources().get(*at as usize).map_or("_", |of| &of.name)),
            Shape::Borrow(at) => {
                let name = self.types.resources().get(*at as usize).map_or("_", |of| of.name.as_str());
                let _ = write!(shown, "borrow<{name}>");
            }
            Shape::Stream(None) => shown.push_str("stream"),
            Shape::Future(None) => shown.push_str("future"),
            Shape::Stream(item) => {
                several("stream<", &mut std::iter::once((None, *item)));
                shown.push('>');
            }
            Shape::Future(item) => {
                several("future<", &mut std::iter::once((None, *item)));
                shown.push('>');
            }
            Shape::Bool => shown.push_str("bool"),
            Shape::Number(number) => shown.push_str(number.name()),
            Shape::Char => shown.push_str("char"),
            Shape::String => shown.push_str("string"),
            Shape::List(item) => {
                several("list<", &mut std::iter::once((None, Some(*item))));
                shown.push('>');
            }
            Shape::Fixed(item, len) => {
                several("list<", &mut std::iter::once((None, Some(*item))));
                let _ = write!(shown, ", {len}>");
            }
            Shape::Map(key, value) => {
                several("map<", &mut [*key, *value].into_iter().map(|kind| (None, Some(kind))));
                shown.push('>');
            }
            Shape::Option(item) => {
                several("option<", &mut std::iter::once((None, Some(*item))));
                shown.push('>');
            }
            Shape::Tuple(items) => {
                several("tuple<", &mut items.iter().map(|item| (None, Some(*item))));
                shown.push('>');
            }
            Shape::Result(ok, error) => {
                several("result<", &mut [(None, *ok), (None, *error)].into_iter());
                shown.push('>');
            }
            Shape::Record(fields) => {
                several("record { ", &mut fields.iter().map(|(name, kind)| (Some(name.as_str()), Some(*kind))));
                shown.push_str(" }");
            }
            Shape::Variant(cases) => {
                several("variant { ", &mut cases.iter().map(|(name, kind)| (Some(name.as_str()), *kind)));
                shown.push_str(" }");
            }
            Shape::Enum(names) => {
                several("enum { ", &mut names.iter().map(|name| (Some(name.as_str()), None)));
                shown.push_str(" }");
            }
            Shape::Flags(names) => {
                several("flags { ", &mut names.iter().map(|name| (Some(name.as_str()), None)));
                shown.push_str(" }");
            }
        }
    }
}

impl Interface {
    fn is_empty(&self) -> bool {
        self.functions.is_empty() && self.types.is_empty()
    }
}

/// The resources of an interface of WASI's.
fn resources(engine: &Engine, item: &ComponentItem) -> Vec<ResourceType> {
    let ComponentItem::ComponentInstance(instance) = item else { return Vec::new() };
    let items = instance.exports(engine);
    items.filter_map(|(_, item)| if let ComponentItem::Resource(kind) = item.ty { Some(kind) } else { None }).collect()
}
