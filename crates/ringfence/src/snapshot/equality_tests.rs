//! Random modules, taken apart, captured, forked, saved, loaded and rewound at random: each branch is what the module
//! itself comes to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use arbitrary::Unstructured;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use wasm_smith::{Config, InstructionKind, InstructionKinds, Module};

use super::branch_tests::{Done, lived};
use super::instance_tests::{Pack, Plain};
use super::instrument::{Instrumented, instrument};
use crate::sandbox::engine::Profile;

/// Modules that are tried; more of them where the variable says so.
const MODULES: u64 = 60;
const MADE_MODULES: u64 = 400;
const MODULES_VARIABLE: &str = "RINGFENCE_EQUALITY_MODULES";

fn wanted(usual: u64) -> u64 {
    std::env::var(MODULES_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Functions of a module; the first two are in its table and call nobody.
const FUNCTIONS: u32 = 6;

/// Makes modules that end by themselves, some of them by traps.
struct Maker(ChaCha20Rng);

impl Maker {
    fn below(&mut self, end: u32) -> u32 {
        self.0.next_u32() % end
    }

    fn module(&mut self) -> Vec<u8> {
        let (pages, more) = (1 + self.below(30), self.below(5));
        let mut wat = format!(
            r#"(module (memory (export "memory") {pages} {}) (type $f (func (param i32 i64) (result i64)))
            (table 5 funcref) (elem (i32.const 1) $f0 $f1) (data $kept "kept for later")
            (global $a (export "g0") (mut i32) (i32.const {})) (global $b (export "g1") (mut i64) (i64.const 7))
            (global $c (export "g2") (mut f64) (f64.const 0.5)) (global $d (export "g3") i32 (i32.const 11))
            (global $e (mut i32) (i32.const 5)) (func (export "e") (result i32) (global.get $e))
            "#,
            pages + more,
            self.0.next_u32().cast_signed(),
        );
        for _ in 0..self.below(5) {
            wat += &format!("(data (i32.const {}) \"data {}\")\n", self.below(pages << 16), self.0.next_u64());
        }
        for at in 0..FUNCTIONS {
            let body: String = (0..2 + self.below(5)).map(|_| self.statement(at, 0)).collect();
            let result = self.long();
            wat += &format!(
                "(func $f{at} (export \"f{at}\") (type $f) (local $i0 i32) (local $i1 i32) {body} {result})\n"
            );
        }
        wat::parse_str(wat + ")").unwrap()
    }

    fn statement(&mut self, of: u32, depth: u32) -> String {
        let (word, long, other) = (self.word(), self.long(), self.word());
        let (byte, len) = (self.below(256), self.below(9000));
        match self.below(if depth < 2 { 14 } else { 8 }) {
            0 | 1 => format!("(i32.store offset={len} {} {other})", masked(&word)),
            2 => format!("(i64.store8 {} {long})", masked(&word)),
            3 => format!("(f64.store {} (global.get $c))", masked(&word)),
            4 => format!("(global.set $a {word}) (global.set $e (i32.add (global.get $e) {other}))"),
            5 => format!("(global.set $b {long}) (global.set $c (f64.convert_i64_s {long}))"),
            6 => format!("(memory.fill {} (i32.const {byte}) (i32.const {len}))", masked(&word)),
            7 => format!("(memory.init $kept {} (i32.const 2) (i32.const 9))", masked(&word)),
            8 => format!("(memory.copy {} {} (i32.const {len}))", masked(&word), masked(&other)),
            9 => format!("(drop (memory.grow (i32.const {})))", byte % 3),
            10 => format!("(if (i32.eqz (i32.and {word} (i32.const 31))) (then unreachable))"),
            11 => {
                let (then, or) = (self.statement(of, depth + 1), self.statement(of, depth + 1));
                format!("(if (i32.and {word} (i32.const 1)) (then {then}) (else {or}))")
            }
            12 => {
                let (count, inner) = (1 + self.below(5), self.statement(of, depth + 1));
                format!(
                    "(local.set $i{depth} (i32.const {count})) (loop $again {inner} (br_if $again (local.tee $i{depth}
                    (i32.sub (local.get $i{depth}) (i32.const 1)))))"
                )
            }
            _ if of < 2 => String::new(),
            _ if byte % 2 == 0 => format!("(drop (call $f{} {word} {long}))", self.below(of)),
            _ => format!("(drop (call_indirect (type $f) {word} {long} (i32.and {other} (i32.const 7))))"),
        }
    }

    fn word(&mut self) -> String {
        match self.below(8) {
            0 => format!("(i32.const {})", self.0.next_u32().cast_signed()),
            1 => "(local.get 0)".into(),
            2 => "(global.get $a)".into(),
            3 => "(i32.wrap_i64 (local.get 1))".into(),
            4 => "(memory.size)".into(),
            5 => format!("(i32.load {})", masked("(local.get 0)")),
            6 => "(i32.mul (global.get $a) (i32.add (local.get 0) (global.get $d)))".into(),
            _ => "(i32.rotl (local.get 0) (i32.const 9))".into(),
        }
    }

    fn long(&mut self) -> String {
        match self.below(4) {
            0 => "(local.get 1)".into(),
            1 => "(i64.add (global.get $b) (i64.extend_i32_u (local.get 0)))".into(),
            2 => format!("(i64.load {})", masked("(global.get $a)")),
            _ => "(i64.reinterpret_f64 (global.get $c))".into(),
        }
    }
}

/// An address, beyond the end now and then.
fn masked(word: &str) -> String {
    format!("(i32.and {word} (i32.const 0x7ffff))")
}

#[test]
fn every_branch_of_a_random_module_is_what_a_replay_of_the_module_itself_comes_to() {
    let profile = Profile { language: true, ..Profile::default() };
    let functions: Vec<String> = (0..FUNCTIONS).map(|at| format!("f{at}")).collect();
    let (wanted, mut done) = (wanted(MODULES), Done::default());
    for seed in 0..wanted {
        let mut random = ChaCha20Rng::seed_from_u64(seed);
        let wasm = Maker(ChaCha20Rng::seed_from_u64(seed + 1_000_000)).module();
        let pack = match Pack::under(&wasm, profile) {
            Ok(pack) => pack,
            Err(why) => {
                assert_eq!("its data lie outside of its memory", why, "seed {seed}");
                continue;
            }
        };
        let plain = Plain::of(&wasm, profile).unwrap();
        lived((&pack, &plain), &functions, &mut random, &mut done, seed);
    }
    let wanted = wanted as usize;
    assert!(done.calls > 5 * wanted && done.captures > wanted && done.written > wanted / 3, "{done:?}");
    assert!(done.rewound > wanted / 2 && done.lost == 0, "{done:?}");
}

/// Types of what wasm-smith's modules export, and a value of each.
const KINDS: [(&str, &str); 5] = [
    ("i32", "i32.const 3"),
    ("i64", "i64.const 3"),
    ("f32", "f32.const 0.5"),
    ("f64", "f64.const 0.5"),
    ("v128", "v128.const i64x2 1 2"),
];

/// What of the host they may import.
const IMPORTS: &str = r#"(module (import "host" "turn" (func (param i32) (result i32)))
    (import "host" "hear" (func (param i64 f64))))"#;

/// What wasm-smith makes: a memory, functions of numbers and globals are exported, and there is whatever comes to it.
/// `wide` leaves nothing out that cannot be captured.
fn made(seed: u64, wide: bool) -> Option<(Vec<u8>, Vec<String>)> {
    let mut random = ChaCha20Rng::seed_from_u64(seed);
    let mut below = |end: u32| random.next_u32() % end;
    let pages = 1 + below(20);
    let mut shape = format!("(module (memory (export \"memory\") {pages} {})\n", pages + below(5));
    for at in 0..below(5) {
        let (kind, value) = KINDS[below(5) as usize];
        shape += &format!("(global (export \"g{at}\") (mut {kind}) ({value}))\n");
    }
    let functions: Vec<String> = (0..2 + below(5)).map(|at| format!("f{at}")).collect();
    for name in &functions {
        let kinds = |count: u32, below: &mut dyn FnMut(u32) -> u32| -> Vec<&str> {
            (0..count).map(|_| KINDS[below(5) as usize].0).collect()
        };
        let (takes, gives) = (below(4), below(3));
        let (takes, gives) = (kinds(takes, &mut below).join(" "), kinds(gives, &mut below).join(" "));
        shape += &format!("(func (export \"{name}\") (param {takes}) (result {gives}) unreachable)\n");
    }
    let references = wide || below(3) == 0;
    // Left to chance, few branches write to memory at all.
    let kinds = match references || below(4) == 0 {
        true => InstructionKinds::all(),
        false => InstructionKinds::new(&[
            InstructionKind::NumericInt,
            InstructionKind::Variable,
            InstructionKind::Memory,
            InstructionKind::Control,
        ]),
    };
    let config = Config {
        exports: Some(wat::parse_str(shape + ")").unwrap()),
        available_imports: (!wide).then(|| wat::parse_str(IMPORTS).unwrap()),
        allow_start_export: wide,
        bulk_memory_enabled: references || below(4) > 0,
        reference_types_enabled: references,
        gc_enabled: references,
        exceptions_enabled: references,
        threads_enabled: wide,
        shared_everything_threads_enabled: false,
        memory64_enabled: wide,
        allowed_instructions: kinds,
        // Most of what is left to chance traps at its first address.
        disallow_traps: below(4) > 0,
        // One of its own comes to what is exported.
        max_memories: usize::from(wide && below(4) == 0),
        max_tables: below(3) as usize,
        max_table_elements: 1000,
        max_funcs: 8,
        max_globals: 10,
        max_data_segments: 12,
        max_element_segments: 4,
        ..Config::default()
    };
    let mut bytes = vec![0; 6000];
    random.fill_bytes(&mut bytes);
    let module = Module::new(config, &mut Unstructured::new(&bytes)).ok()?;
    Some((module.to_bytes(), functions))
}

#[test]
fn every_branch_of_a_module_of_wasm_smith_is_what_a_replay_of_the_module_itself_comes_to() {
    let profile = Profile { captured: true, fuel: true, ..Profile::default() };
    let (mut whole, mut done) = (0, Done::default());
    for seed in 0..wanted(MADE_MODULES) {
        let Some((wasm, functions)) = made(seed, false) else { continue };
        // What is refused is the next test's.
        if instrument(&wasm).is_err() {
            continue;
        }
        let plain = Plain::of(&wasm, profile).unwrap();
        let pack = Pack::under(&wasm, profile).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        // Some of its elements may lie outside of its table.
        let starts = plain.starts();
        assert_eq!(starts, pack.start().is_ok(), "seed {seed}");
        if starts {
            lived((&pack, &plain), &functions, &mut ChaCha20Rng::seed_from_u64(seed), &mut done, seed);
            whole += 1;
        }
    }
    eprintln!("{whole} modules: {done:?}");
    assert!(whole > 50 && done.calls > 5 * whole && done.captures > whole, "{whole} modules: {done:?}");
    assert!(done.written > whole / 10 && done.rewound > whole / 5 && done.lost < whole, "{whole} modules: {done:?}");
}

/// Why modules of wasm-smith are refused; each of these is seen.
const REASONS: [&str; 10] = [
    "it changes its tables",
    "it drops its data",
    "it has a mutable global that holds a reference",
    "it has a start function",
    "it has several memories",
    "it imports a mutable global",
    "it imports a table",
    "it imports its memory",
    "it keeps objects of the garbage collector",
    "its memory is of an unusual kind",
];

/// Such as happen to be made now and then.
const RARE_REASONS: [&str; 2] = ["its data lie outside of its memory", "its data lie at computed addresses"];

#[test]
fn module_of_wasm_smith_is_captured_or_refused_by_name() {
    let (mut reasons, mut captured): (BTreeMap<String, usize>, usize) = Default::default();
    for seed in 0..wanted(3 * MADE_MODULES) {
        let Some((wasm, _)) = made(seed, true) else { continue };
        match instrument(&wasm) {
            Ok(Instrumented { wasm, .. }) => {
                wasmparser::Validator::new().validate_all(&wasm).unwrap();
                captured += 1;
            }
            Err(why) => *reasons.entry(why).or_default() += 1,
        }
    }
    for why in RARE_REASONS {
        reasons.remove(why);
    }
    assert_eq!(Vec::from(REASONS), reasons.keys().collect::<Vec<_>>(), "{captured} captured");
    assert!(captured > 10, "{captured} captured, {reasons:?}");
}
