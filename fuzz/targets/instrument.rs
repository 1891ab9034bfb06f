//! Any module, taken apart: what is left is a module, and beside its image it does what it did as it was given, also when
//! it goes on from a copy of its memory and its globals.
//!
//! Inputs that begin with an even byte are modules as they are; of others wasm-smith makes one, half of them without
//! references and objects, as most of those are refused.
#![no_main]

use std::sync::OnceLock;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use ringfence::session::heard::{GLOBAL, instrumented};
use wasm_smith::{Config, Module as Made};
use wasmtime::{Engine, Global, Instance, Linker, Module, Store, StoreLimits, StoreLimitsBuilder, Val};

/// What every made-up module exports.
const EXPORTS: &str = r#"(module (memory (export "memory") 1 40) (func (export "a") (param i32 i64) (result i64) unreachable)
  (func (export "b") (param i64) (result i32) unreachable) (func (export "c") unreachable))"#;

const CALLS: [(&str, &[Val]); 6] = [
    ("c", &[]),
    ("a", &[Val::I32(70_000), Val::I64(3)]),
    ("b", &[Val::I64(-1)]),
    ("a", &[Val::I32(8), Val::I64(1 << 40)]),
    ("c", &[]),
    ("b", &[Val::I64(65_535)]),
];

const FUEL: u64 = 20_000;
const MOST_MEMORY: usize = 8 << 20;

fn made(input: &[u8], references: bool) -> Option<Vec<u8>> {
    static SHAPE: OnceLock<Vec<u8>> = OnceLock::new();
    let config = Config {
        exports: Some(SHAPE.get_or_init(|| wat::parse_str(EXPORTS).unwrap()).clone()),
        allow_start_export: false,
        threads_enabled: false,
        memory64_enabled: false,
        shared_everything_threads_enabled: false,
        max_memories: 1,
        reference_types_enabled: references,
        gc_enabled: references,
        exceptions_enabled: references,
        ..Config::default()
    };
    Some(Made::new(config, &mut Unstructured::new(input)).ok()?.to_bytes())
}

struct Live {
    store: Store<StoreLimits>,
    instance: Instance,
}

impl Live {
    fn of(module: &Module) -> Option<Self> {
        let limits = StoreLimitsBuilder::new().memory_size(MOST_MEMORY).table_elements(10_000).build();
        let mut store = Store::new(module.engine(), limits);
        store.limiter(|limits| limits);
        store.set_fuel(FUEL).ok()?;
        let mut linker = Linker::new(module.engine());
        linker.define_unknown_imports_as_default_values(&mut store, module).ok()?;
        let instance = linker.instantiate(&mut store, module).ok()?;
        Some(Self { store, instance })
    }

    fn bytes(&mut self) -> &mut [u8] {
        self.instance.get_memory(&mut self.store, "memory").unwrap().data_mut(&mut self.store)
    }

    fn globals(&mut self) -> Vec<(Global, Val)> {
        let exports = self.instance.exports(&mut self.store).filter(|export| export.name().starts_with(GLOBAL));
        let globals: Vec<Global> = exports.filter_map(|export| export.into_global()).collect();
        globals.into_iter().map(|global| (global, global.get(&mut self.store))).collect()
    }

    /// What came of a call, as text; none where it ran for too long, which is not compared.
    fn call(&mut self, name: &str, given: &[Val]) -> Option<String> {
        let function = self.instance.get_func(&mut self.store, name)?;
        let kind = function.ty(&self.store);
        let fits = kind.params().zip(given).all(|(kind, value)| value.matches_ty(&self.store, &kind).unwrap_or(false));
        if kind.params().len() != given.len() || !fits {
            return Some("another type".into());
        }
        self.store.set_fuel(FUEL).ok()?;
        let mut results = vec![Val::I32(0); kind.results().len()];
        let called = function.call(&mut self.store, given, &mut results);
        if self.store.get_fuel().ok()? == 0 {
            return None;
        }
        Some(match called {
            Ok(()) => format!("{:?}", results.iter().map(told).collect::<Vec<_>>()),
            Err(_) => "trapped".into(),
        })
    }

    /// The same state in another instance.
    fn copied(&mut self, module: &Module) -> Option<Self> {
        let mut copy = Self::of(module)?;
        let (bytes, globals) = (self.bytes().to_vec(), self.globals());
        let memory = copy.instance.get_memory(&mut copy.store, "memory")?;
        let more = (bytes.len() - memory.data_size(&copy.store)) as u64 / 65_536;
        memory.grow(&mut copy.store, more).ok()?;
        copy.bytes().copy_from_slice(&bytes);
        for ((global, _), (_, value)) in copy.globals().into_iter().zip(globals) {
            global.set(&mut copy.store, value).unwrap();
        }
        Some(copy)
    }
}

fn told(value: &Val) -> String {
    match value {
        Val::I32(_) | Val::I64(_) | Val::F32(_) | Val::F64(_) => format!("{value:?}"),
        Val::V128(bits) => format!("{:x}", bits.as_u128()),
        reference => format!("{:?}", reference.ref_().map(|reference| reference.is_null())),
    }
}

fn compare(plain: &Module, apart: &Module, image: &[u8]) -> Option<()> {
    let (mut one, mut other) = (Live::of(plain)?, Live::of(apart).expect("what is left is instantiated too"));
    assert_eq!(other.bytes().len(), image.len());
    other.bytes().copy_from_slice(image);
    assert!(one.bytes() == image, "its memory begins otherwise");
    for (at, (name, given)) in CALLS.iter().enumerate() {
        if at % 2 == 1 {
            other = other.copied(apart)?;
        }
        let (expected, came) = (one.call(name, given)?, other.call(name, given)?);
        assert_eq!(expected, came, "{name}");
        assert!(one.bytes() == other.bytes(), "memory after {name}");
    }
    Some(())
}

fuzz_target!(|input: &[u8]| {
    let (first, rest) = input.split_first().unwrap_or((&0, &[]));
    let wasm = if first.is_multiple_of(2) { Some(rest.to_vec()) } else { made(rest, first & 2 != 0) };
    let Some(wasm) = wasm else { return };
    let apart = instrumented(&wasm);
    if let Err(why) = &apart {
        assert!(why.len() < 10_000, "an error of {} bytes", why.len());
    }
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| {
        let mut config = wasmtime::Config::new();
        config.consume_fuel(true).cranelift_nan_canonicalization(true).relaxed_simd_deterministic(true);
        config.cranelift_opt_level(wasmtime::OptLevel::None).memory_reservation(16 << 20);
        Engine::new(&config).unwrap()
    });
    let Ok((wasm_apart, image)) = apart else { return };
    let Ok(plain) = Module::new(engine, &wasm) else { return };
    let apart = Module::new(engine, &wasm_apart).expect("what is left of a module is one");
    let _ = compare(&plain, &apart, &image);
});
