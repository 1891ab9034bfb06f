//! What a component imports and exports, in WIT. Its code is neither compiled nor validated for this, its types are.

use std::collections::{BTreeSet, HashMap};

use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentFuncTypeId, ComponentItem};
use wasmparser::types::Types;
use wasmparser::{Parser, Payload, ValidPayload, Validator, WasmFeatures};

use super::wit_types::{Room, Scope, Uses, label, use_lines};
use crate::text;

/// Longest text that is written, in bytes: types that double themselves thirty times end there.
const MAX_BYTES: usize = 1 << 20;

/// The package that a component without a name is in; every tool that prints WIT says so.
const ROOT: &str = "root:component";

/// The interfaces of WASI too, which are in no plain answer: everybody's are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Wasi {
    Named,
    Written,
}

/// Reads and writes it. Names that are no names of WIT are escaped and cut.
pub(super) fn wit(binary: &[u8], wasi: Wasi) -> Result<String, String> {
    let mut names = Names::default();
    let types = names.read(binary).map_err(|error| format!("it is not valid WebAssembly: {error}"))?;
    let types = types.ok_or("it is not valid WebAssembly: it has no end")?;
    let mut writer = Writer { scope: Scope::new(&types, Room::new(MAX_BYTES)), interfaces: Vec::new() };
    Ok(writer.written(&names, wasi))
}

/// The outermost imports and exports, by name.
#[derive(Default)]
pub(super) struct Names {
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
}

impl Names {
    pub(super) fn read(&mut self, binary: &[u8]) -> wasmparser::Result<Option<Types>> {
        let mut validator = Validator::new_with_features(WasmFeatures::all());
        let mut parser = Parser::new(0);
        parser.set_features(WasmFeatures::all());
        let (mut depth, mut last) = (0_u32, None);
        for payload in parser.parse_all(binary) {
            let payload = payload?;
            match &payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section.clone() {
                        self.imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section.clone() {
                        self.exports.push(export?.name.name.to_owned());
                    }
                }
                _ => {}
            }
            // Bodies of functions are left alone: they say nothing of types, and are most of the work.
            if let ValidPayload::End(types) = validator.payload(&payload)? {
                last = Some(types);
            }
        }
        Ok(last)
    }
}

/// An interface, as lines.
struct Interface {
    name: String,
    body: Body,
}

/// What is in an interface or in the world, each with its name.
#[derive(Default)]
struct Body {
    uses: Uses,
    types: Vec<(String, Vec<String>)>,
    functions: Vec<(String, String)>,
    methods: HashMap<String, Vec<(String, String)>>,
}

struct Writer<'a> {
    scope: Scope<'a>,
    interfaces: Vec<Interface>,
}

impl<'a> Writer<'a> {
    fn written(&mut self, names: &Names, wasi: Wasi) -> String {
        let types = self.scope.types;
        let imports = names.imports.iter().map(|name| ("import", name, types.component_item_for_import(name)));
        let exports = names.exports.iter().map(|name| ("export", name, types.component_item_for_export(name)));
        let (mut world, mut lines) = (Body::default(), [Vec::new(), Vec::new()]);
        for (way, name, item) in imports.chain(exports) {
            let Some(item) = item else { continue };
            if self.scope.room.is_full() {
                break;
            }
            let lines = &mut lines[usize::from(way == "export")];
            self.item(way, name, item, &mut world, lines);
        }
        world.uses = self.scope.uses("");
        let mut text = format!("package {ROOT};\n\nworld root {{\n");
        let mut inside = world.lines("");
        inside.retain(|line| !line.is_empty());
        for line in lines.iter().flatten().chain(&inside) {
            indented(&mut text, 1, line);
        }
        text.push_str("}\n");
        self.packages(&mut text, wasi);
        if self.scope.room.is_full() {
            text.push_str("// and more, which is left out here\n");
        }
        text
    }

    /// One import or export of the world.
    fn item(&mut self, way: &str, name: &str, item: &'a ComponentItem, world: &mut Body, lines: &mut Vec<String>) {
        match &item.ty {
            ComponentEntityType::Instance(id) => {
                let Some(instance) = self.scope.types.as_ref().get(*id) else { return };
                let body = self.interface(name, instance.exports.iter());
                if name.contains(':') {
                    lines.push(format!("{way} {};", path(name)));
                    match self.interfaces.iter_mut().find(|known| known.name == name) {
                        Some(known) => known.body.merge(body),
                        None => self.interfaces.push(Interface { name: name.to_owned(), body }),
                    }
                } else {
                    lines.push(format!("{way} {}: interface {{", label(name)));
                    lines.extend(body.lines(name).into_iter().map(|line| format!("  {line}")));
                    lines.push("}".into());
                }
            }
            ComponentEntityType::Func(id) => {
                let function = self.scope.function("", *id, false);
                if name.starts_with('[') {
                    self.function("", name, *id, world);
                } else {
                    lines.push(format!("{way} {}: {function};", label(name)));
                }
            }
            ComponentEntityType::Type { referenced, created } => {
                self.define("", name, *referenced, *created, world);
            }
            other => lines.push(format!("// {way} {}: {}", text::cut(name, 120), what(other))),
        }
    }

    fn interface(&mut self, of: &str, items: impl Iterator<Item = (&'a String, &'a ComponentItem)> + Clone) -> Body {
        let mut body = Body::default();
        for (name, item) in items.clone() {
            if let ComponentEntityType::Type { referenced, created } = &item.ty {
                self.define(of, name, *referenced, *created, &mut body);
            }
        }
        for (name, item) in items {
            match &item.ty {
                ComponentEntityType::Func(id) => self.function(of, name, *id, &mut body),
                ComponentEntityType::Type { .. } => {}
                other => body.types.push((name.clone(), vec![format!("// {}: {}", text::cut(name, 120), what(other))])),
            }
            if self.scope.room.is_full() {
                break;
            }
        }
        body.uses = self.scope.uses(of);
        body
    }

    fn define(
        &mut self,
        of: &str,
        name: &str,
        referenced: ComponentAnyTypeId,
        created: ComponentAnyTypeId,
        body: &mut Body,
    ) {
        if self.scope.room.is_full() {
            return;
        }
        let lines = self.scope.definition(of, name, referenced);
        self.scope.names.insert(created, (of.to_owned(), name.to_owned()));
        if let Some(lines) = lines
            && !body.types.iter().any(|(known, _)| known == name)
        {
            body.types.push((name.to_owned(), lines));
        }
    }

    fn function(&mut self, of: &str, name: &str, id: ComponentFuncTypeId, body: &mut Body) {
        let (kind, rest) = name.strip_prefix('[').and_then(|rest| rest.split_once(']')).unwrap_or(("", name));
        let (resource, own) = rest.split_once('.').unwrap_or((rest, ""));
        let text = match kind {
            "" => {
                let function = self.scope.function(of, id, false);
                body.functions.push((name.to_owned(), format!("{}: {function};", label(name))));
                return;
            }
            "constructor" => self.scope.constructor(of, id, resource),
            "static" => format!("{}: static {};", label(own), self.scope.function(of, id, false)),
            _ => format!("{}: {};", label(own), self.scope.function(of, id, true)),
        };
        let methods = body.methods.entry(resource.to_owned()).or_default();
        methods.push((name.to_owned(), text));
    }

    /// Every interface that has a name, in its package.
    fn packages(&self, text: &mut String, wasi: Wasi) {
        let package = |name: &str| {
            let (path, version) = name.split_once('@').unwrap_or((name, ""));
            let package = path.rsplit_once('/').map_or(path, |(package, _)| package);
            if version.is_empty() { package.to_owned() } else { format!("{package}@{version}") }
        };
        let mut seen = BTreeSet::new();
        for interface in &self.interfaces {
            let own = package(&interface.name);
            if !seen.insert(own.clone()) || (wasi == Wasi::Named && own.starts_with("wasi:")) {
                continue;
            }
            text.push_str(&format!("\npackage {} {{\n", path(&own)));
            let inside = self.interfaces.iter().filter(|interface| package(&interface.name) == own);
            for (at, interface) in inside.enumerate() {
                text.push_str(if at == 0 { "" } else { "\n" });
                let short = interface.name.split('@').next().and_then(|path| path.rsplit('/').next());
                indented(text, 1, &format!("interface {} {{", label(short.unwrap_or_default())));
                for line in interface.body.lines(&interface.name) {
                    indented(text, 2, &line);
                }
                indented(text, 1, "}");
            }
            text.push_str("}\n");
        }
    }
}

impl Body {
    fn merge(&mut self, other: Self) {
        add(&mut self.types, other.types);
        add(&mut self.functions, other.functions);
        for (interface, names) in other.uses {
            self.uses.entry(interface).or_default().extend(names);
        }
        for (resource, methods) in other.methods {
            add(self.methods.entry(resource).or_default(), methods);
        }
    }

    fn lines(&self, of: &str) -> Vec<String> {
        let mut lines: Vec<String> = use_lines(of, &self.uses).collect();
        let apart = |lines: &mut Vec<String>| {
            if !lines.is_empty() {
                lines.push(String::new());
            }
        };
        for (name, defined) in &self.types {
            apart(&mut lines);
            match self.methods.get(name) {
                Some(methods) => {
                    lines.push(format!("resource {} {{", label(name)));
                    lines.extend(methods.iter().map(|(_, method)| format!("  {method}")));
                    lines.push("}".into());
                }
                None => lines.extend(defined.iter().cloned()),
            }
        }
        for (_, function) in &self.functions {
            apart(&mut lines);
            lines.push(function.clone());
        }
        lines
    }
}

/// Adds those whose names are not there yet.
fn add<T>(to: &mut Vec<(String, T)>, from: Vec<(String, T)>) {
    let known: BTreeSet<String> = to.iter().map(|(name, _)| name.clone()).collect();
    to.extend(from.into_iter().filter(|(name, _)| !known.contains(name)));
}

fn indented(text: &mut String, depth: usize, line: &str) {
    if !line.trim().is_empty() {
        text.push_str(&"  ".repeat(depth));
        text.push_str(line);
    }
    text.push('\n');
}

/// The name of an interface or a package, as WIT has it.
pub(super) fn path(name: &str) -> String {
    text::cut(name, 200)
}

fn what(item: &ComponentEntityType) -> &'static str {
    match item {
        ComponentEntityType::Module(_) => "a core module",
        ComponentEntityType::Func(_) => "a function",
        ComponentEntityType::Value(_) => "a value",
        ComponentEntityType::Type { .. } => "a type",
        ComponentEntityType::Instance(_) => "an interface inside of an interface",
        ComponentEntityType::Component(_) => "a component",
    }
}

#[cfg(test)]
#[path = "wit_tests.rs"]
pub(super) mod tests;
