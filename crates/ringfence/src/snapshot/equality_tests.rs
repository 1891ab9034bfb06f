//! Random modules, taken apart, captured, forked, saved, loaded and rewound at random: each branch is what the module
//! itself comes to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use wasmtime::{Instance, Linker, Module, Store, Val, ValType};

use super::faults_unsafe::Faults;
use super::instance_tests::{Live, Pack, waited};
use super::{Capture, Rewind};
use crate::sandbox::engine::{Engines, Profile};

/// Modules that are tried; more of them where the variable says so.
const MODULES: usize = 60;
const MODULES_VARIABLE: &str = "RINGFENCE_EQUALITY_MODULES";

/// A call with its arguments, as text too: what comes of it is compared as text.
type Call = (String, Vec<Val>);

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

fn number(random: &mut ChaCha20Rng, kind: &ValType) -> Option<Val> {
    let drawn = match random.next_u32() % 4 {
        0 => u64::from(random.next_u32() % 10),
        1 => u64::from(random.next_u32() % (3 << 20)),
        _ => random.next_u64(),
    };
    Some(match kind {
        ValType::I32 => Val::I32(drawn as i32),
        ValType::I64 => Val::I64(drawn.cast_signed()),
        ValType::F32 => Val::F32((drawn as f32).to_bits()),
        ValType::F64 => Val::F64((drawn as f64).to_bits()),
        ValType::V128 => Val::V128(u128::from(drawn).into()),
        ValType::Ref(_) => return None,
    })
}

fn told(results: wasmtime::Result<Vec<Val>>) -> String {
    let told = |value: &Val| match value {
        Val::FuncRef(value) => format!("a function: {}", value.is_some()),
        Val::ExternRef(value) => format!("of the host: {}", value.is_some()),
        value => format!("{value:?}"),
    };
    results.map_or("trapped".into(), |values| values.iter().map(told).collect::<Vec<_>>().join(", "))
}

fn globals(store: &mut Store<()>, instance: &Instance) -> Vec<String> {
    let named = |at| instance.get_global(&mut *store, &format!("g{at}")).map(|global| global.get(&mut *store));
    (0..).map_while(named).map(|value| told(Ok(vec![value]))).collect()
}

/// One branch: an instance, and all that was called in it since the beginning, with what came of it.
struct Branch {
    live: Live,
    calls: Vec<Call>,
    results: Vec<String>,
    /// How it goes back to the beginning, as long as it may.
    rewind: Option<(Rewind, Option<Faults>)>,
}

impl Branch {
    fn of(live: Live, calls: Vec<Call>, results: Vec<String>) -> Self {
        Self { live, calls, results, rewind: None }
    }

    /// One that has just begun, and may be rewound.
    fn begun(pack: &Pack) -> Self {
        let mut live = pack.start().unwrap();
        let rewind = Rewind::of(&mut live.store, &live.instance, &pack.image).unwrap();
        Self { rewind: Some((rewind, Faults::so_far())), ..Self::of(live, Vec::new(), Vec::new()) }
    }

    /// Goes back to the beginning, unless it has trapped or grown.
    fn rewind(&mut self) -> bool {
        if self.results.iter().any(|result| result == "trapped") {
            self.rewind = None;
        }
        let Some((rewind, since)) = &mut self.rewind else { return false };
        if rewind.back(&mut self.live.store, since.as_ref()).is_err() {
            self.rewind = None;
            return false;
        }
        *since = Faults::so_far();
        self.calls.clear();
        self.results.clear();
        // What the next capture compares with is not what was captured of another life.
        self.live.before = super::Before::default();
        true
    }
}

/// The same capture after it was in a file.
fn through_a_file(capture: &Capture, pack: &Pack) -> Capture {
    let mut body = Vec::new();
    let globals = capture.saved_globals(pack.module()).unwrap();
    let keep = &mut |piece: &[u8]| {
        body.extend_from_slice(piece);
        Ok(())
    };
    capture.save(&pack.image, keep).unwrap();
    Capture::load(&pack.image, pack.module(), (capture.size() as u64, &globals, &body)).unwrap()
}

/// The module itself, without anything of ours, from the beginning.
fn replayed(module: &Module, calls: &[Call]) -> (Vec<String>, Vec<u8>, Vec<String>) {
    let mut store = Store::new(module.engine(), ());
    store.set_epoch_deadline(1 << 60);
    let instance = waited(Linker::new(module.engine()).instantiate_async(&mut store, module)).unwrap();
    let mut results = Vec::new();
    for (name, given) in calls {
        let function = instance.get_func(&mut store, name).unwrap();
        let mut values = vec![Val::I32(0); function.ty(&store).results().len()];
        let called = waited(function.call_async(&mut store, given, &mut values));
        results.push(told(called.map(|()| values)));
    }
    let memory = instance.get_memory(&mut store, "memory").unwrap().data(&store).to_vec();
    (results, memory, globals(&mut store, &instance))
}

#[test]
fn every_branch_of_a_random_module_is_what_a_replay_of_the_module_itself_comes_to() {
    let wanted = std::env::var(MODULES_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(MODULES);
    let engines = Engines::of(Profile { language: true, ..Profile::default() }).unwrap();
    let (mut calls, mut captures, mut written, mut rewound) = (0, 0, 0, 0);
    for seed in 0..wanted as u64 {
        let mut random = ChaCha20Rng::seed_from_u64(seed);
        let wasm = Maker(ChaCha20Rng::seed_from_u64(seed + 1_000_000)).module();
        let pack = match Pack::of(&wasm) {
            Ok(pack) => pack,
            Err(why) => {
                assert_eq!("its data lie outside of its memory", why, "seed {seed}");
                continue;
            }
        };
        let plain = Module::new(engines.roomy().unwrap(), &wasm).unwrap();
        let mut branches = vec![Branch::begun(&pack), Branch::begun(&pack)];
        let mut kept: Vec<(Capture, Vec<Call>, Vec<String>)> = Vec::new();
        for _ in 0..24 {
            let at = random.next_u32() as usize % branches.len();
            let branch = &mut branches[at];
            match random.next_u32() % 9 {
                0 | 1 => {
                    let large = random.next_u32() % 3 == 0;
                    let mut capture = branch.live.capture_and_perhaps_rebase(large);
                    if !Arc::ptr_eq(capture.image(), &pack.image) {
                        branch.rewind = None;
                    }
                    let (calls, results) = (branch.calls.clone(), branch.results.clone());
                    captures += 1;
                    if random.next_u32().is_multiple_of(3) {
                        capture = through_a_file(&capture, &pack);
                    }
                    if random.next_u32().is_multiple_of(2) {
                        branches.push(Branch::of(pack.fork(&capture), calls, results));
                    } else {
                        kept.push((capture, calls, results));
                    }
                }
                2 if !kept.is_empty() => {
                    let (capture, calls, results) = kept.swap_remove(random.next_u32() as usize % kept.len());
                    branches.push(Branch::of(pack.fork(&capture), calls, results));
                }
                3 => rewound += usize::from(branch.rewind()),
                _ => {
                    let name = format!("f{}", random.next_u32() % FUNCTIONS);
                    let function = branch.live.instance.get_func(&mut branch.live.store, &name).unwrap();
                    let kinds: Vec<ValType> = function.ty(&branch.live.store).params().collect();
                    let given: Option<Vec<Val>> = kinds.iter().map(|kind| number(&mut random, kind)).collect();
                    let Some(given) = given else { continue };
                    branch.results.push(told(branch.live.call(&name, &given)));
                    branch.calls.push((name, given));
                    calls += 1;
                }
            }
        }
        for branch in &mut branches {
            let (results, memory, of_plain) = replayed(&plain, &branch.calls);
            assert_eq!(results, branch.results, "seed {seed}");
            assert!(memory == branch.live.bytes(), "seed {seed}: memory");
            let Live { store, instance, .. } = &mut branch.live;
            assert_eq!(of_plain, globals(store, instance), "seed {seed}");
            written += usize::from(memory != pack.image.bytes());
        }
        drop(branches);
        let again = pack.start().unwrap();
        assert!(again.bytes() == pack.image.bytes(), "seed {seed}: a fresh one");
        assert!(Arc::ptr_eq(&again.shown.image().unwrap(), &pack.image));
    }
    assert!(calls > 5 * wanted && captures > wanted && written > wanted / 3, "{calls}, {captures}, {written}");
    assert!(rewound > wanted / 2, "{rewound} were rewound");
}
