//! Components of random worlds, beside what the tools of the component model print of them.
#![allow(clippy::unwrap_used, clippy::panic)]

use arbitrary::Unstructured;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding, WitPrinter, decode, embed_component_metadata};
use wit_parser::{ManglingAndAbi, PackageId, Resolve};

use super::{Wasi, wit};

pub(in crate::load) const WORLDS: u64 = 1500;

/// A component of each world in a random package, which does nothing.
pub(in crate::load) fn components(seed: u64) -> Vec<Vec<u8>> {
    let mut bytes = vec![0; 20000];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    let config = wit_smith::Config {
        max_packages: 6,
        max_type_size: 60,
        async_: true,
        futures: true,
        streams: true,
        fixed_length_lists: true,
        ..wit_smith::Config::default()
    };
    let Ok(package) = wit_smith::smith(&config, &mut Unstructured::new(&bytes)) else { return Vec::new() };
    let (resolve, package) = match decode(&package).unwrap() {
        DecodedWasm::WitPackage(resolve, package) => (resolve, package),
        DecodedWasm::Component(..) => unreachable!("wit-smith makes packages"),
    };
    resolve.packages[package]
        .worlds
        .values()
        .filter_map(|world| {
            let mut module = wit_component::dummy_module(&resolve, *world, ManglingAndAbi::Standard32);
            embed_component_metadata(&mut module, &resolve, *world, StringEncoding::UTF8).unwrap();
            // Some worlds that can be written cannot be components.
            ComponentEncoder::default().module(&module).ok()?.validate(true).encode().ok()
        })
        .collect()
}

fn printed(resolve: &Resolve, package: PackageId) -> String {
    let nested: Vec<_> = resolve.packages.iter().map(|(id, _)| id).filter(|id| *id != package).collect();
    let mut printer = WitPrinter::default();
    printer.print(resolve, package, &nested).unwrap();
    printer.output.to_string()
}

/// What is declared: in which order, and where a type is taken from, is each printer's own.
fn declared(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| {
            !line.is_empty()
                && !["package", "world", "use", "}", "@external-id"].iter().any(|start| line.starts_with(start))
        })
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

#[test]
fn world_of_any_component_is_what_the_tools_print() {
    let mut compared = 0;
    for seed in 0..WORLDS {
        for component in components(seed) {
            let theirs = match decode(&component).unwrap() {
                DecodedWasm::Component(resolve, world) => {
                    let package = resolve.worlds[world].package.unwrap();
                    printed(&resolve, package)
                }
                DecodedWasm::WitPackage(..) => unreachable!("it is a component"),
            };
            let ours = wit(&component, Wasi::Written).unwrap();
            let mut resolve = Resolve { all_features: true, ..Resolve::default() };
            let read = resolve.push_str("ours.wit", &ours);
            let package = read.unwrap_or_else(|error| panic!("seed {seed}: ours is no WIT: {error:?}\n{ours}"));
            assert_eq!(declared(&printed(&resolve, package)), declared(&theirs), "seed {seed}\n{ours}\n{theirs}");
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared} components");
}
