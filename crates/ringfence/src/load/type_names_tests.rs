#![allow(clippy::unwrap_used)]

use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding, decode, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve, Type, TypeDefKind, TypeId, TypeOwner, WorldItem};

use super::super::wit::tests::{WORLDS, components};
use super::*;

const WORLD: &str = "
package a:b@1.2.3;
interface errors {
  record error { code: u32 }
  record point { x: s32 }
  type place = point;
  f: func(e: error) -> list<error>;
}
interface other {
  use errors.{point, error as failure};
  record error { code: u32 }
  g: func(e: error, at: u8) -> result<point, failure>;
}
world w {
  import errors;
  use errors.{point};
  record local { at: point }
  export errors;
  export other;
  export run: func(l: local) -> option<point>;
}";

fn component() -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("w.wit", WORLD).unwrap();
    let world = resolve.select_world(&[package], Some("w")).unwrap();
    let mut module = wit_component::dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

#[test]
fn type_is_what_the_interface_that_defines_it_calls_it() {
    let names = TypeNames::read(&of(&component()));
    let called = |named: Named<'_>| named.identity().and_then(|number| names.identity(number));
    let errors = Some(("a:b/errors@1.2.3", "error"));
    let point = Some(("a:b/errors@1.2.3", "point"));
    for is_import in [true, false] {
        let of = names.item(is_import, "a:b/errors@1.2.3");
        assert_eq!(errors, called(of.within("f").param(0)), "{names:#?}");
        assert_eq!(errors, called(of.within("f").result().part(0)));
        assert_eq!(None, called(of.within("f").result()));
    }
    let of = names.item(false, "a:b/errors@1.2.3");
    assert_eq!([point, point], ["point", "place"].map(|name| called(of.within(name).itself())));
    let of = names.item(false, "a:b/other@1.2.3");
    assert_eq!(Some(("a:b/other@1.2.3", "error")), called(of.within("error").itself()));
    assert_eq!([point, errors], ["point", "failure"].map(|name| called(of.within(name).itself())));
    assert_eq!(Some(("a:b/other@1.2.3", "error")), called(of.within("g").param(0)));
    assert_eq!(None, called(of.within("g").param(1)));
    assert_eq!([point, errors], [0, 1].map(|at| called(of.within("g").result().part(at))));
    let run = names.item(false, "run");
    assert_eq!(Some(("", "local")), called(run.param(0)));
    assert_eq!([point, point], [called(run.param(0).part(0)), called(run.result().part(0))]);
    assert_eq!(None, called(names.item(false, "nothing").within("f").param(3).part(9)));
}

#[test]
fn names_are_read_whole_or_not_at_all() {
    let whole = of(&component());
    for len in 0..whole.len() {
        assert!(TypeNames::read(whole.get(..len).unwrap()).identities.is_empty(), "{len}");
    }
    assert!(TypeNames::read(&[0xff; 64]).identities.is_empty());
}

/// Where a type comes from by the tools' reading: through all that it is an alias of.
fn origin(resolve: &Resolve, mut id: TypeId) -> Option<(String, String)> {
    while let TypeDefKind::Type(Type::Id(of)) = resolve.types[id].kind {
        id = of;
    }
    let found = &resolve.types[id];
    let has_class = matches!(
        found.kind,
        TypeDefKind::Record(_) | TypeDefKind::Variant(_) | TypeDefKind::Enum(_) | TypeDefKind::Flags(_)
    );
    let TypeOwner::Interface(interface) = found.owner else { return None };
    Some((resolve.id_of(interface)?, found.name.clone()?)).filter(|_| has_class)
}

#[test]
fn types_of_any_component_come_from_where_the_tools_say() {
    let mut compared = 0;
    for component in (0..WORLDS).flat_map(components) {
        let DecodedWasm::Component(resolve, world) = decode(&component).unwrap() else { continue };
        let names = TypeNames::read(&of(&component));
        let world = &resolve.worlds[world];
        let imports = world.imports.values().map(|item| (true, item));
        for (is_import, item) in imports.chain(world.exports.values().map(|item| (false, item))) {
            let WorldItem::Interface { id, .. } = item else { continue };
            let Some(interface) = resolve.id_of(*id) else { continue };
            for (name, id) in &resolve.interfaces[*id].types {
                let Some(expected) = origin(&resolve, *id) else { continue };
                let item = names.item(is_import, &interface).within(name);
                // An interface that is imported and exported has in either place what is needed there.
                if item.item.is_none() {
                    continue;
                }
                let found = item.itself().identity().and_then(|number| names.identity(number));
                let found = found.map(|(interface, name)| (interface.to_owned(), name.to_owned()));
                assert_eq!(Some(expected), found, "{name} of {interface}");
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "{compared} types");
}
