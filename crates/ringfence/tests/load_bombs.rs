//! Compile bombs: small programs that cost a compiler all of the machine's time or memory.
//!
//! Each ends with a typed error within its deadline, and this process does not pay for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsString;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ringfence::error::Error;
use ringfence::load::{Cache, Program, load_in, set_compiler};
use ringfence::sandbox::engine::{Engines, Profile};
use wasm_encoder::{
    BlockType, CodeSection, Component, ConstExpr, DataSection, Function, FunctionSection, Instruction, MemorySection,
    MemoryType, Module, NestedComponentSection, RawSection, TypeSection, ValType,
};

const LIMIT: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_millis(500);
const GROWTH: u64 = 64 << 20;

/// One bomb at a time is made and loaded: each test measures the memory of the whole process.
struct Alone(#[expect(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

impl Alone {
    fn wait() -> Self {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let guard = ONE_AT_A_TIME.lock().unwrap_or_else(|broken| broken.into_inner());
        set_compiler(vec![OsString::from(env!("CARGO_BIN_EXE_ringfence-compiler"))]);
        Self(guard)
    }

    /// Loads a bomb; the error it ends with, if any, and the time it took.
    fn explode(&self, bomb: Vec<u8>) -> (Option<Error>, Duration) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path()).unwrap();
        let engines = Engines::of(Profile::default()).unwrap();
        let program = Program::from_bytes(bomb, "bomb").unwrap();

        // Makes the high-water mark start again.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = resident("VmHWM:");
        let started = Instant::now();
        let error = load_in(&cache, &program, &engines, LIMIT, None).err();
        let took = started.elapsed();
        let grown = resident("VmHWM:").saturating_sub(before);

        assert!(took < LIMIT + GRACE, "took {took:?}");
        assert!(grown < GROWTH, "this process grew by {} MiB", grown >> 20);
        if let Some(error) = &error {
            assert_eq!("load", error.code(), "{error}");
            let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(vec![OsString::from("key")], left, "nothing is left behind");
        }
        (error, took)
    }

    /// Loads a bomb that the caps refuse before anything is compiled.
    fn is_refused(&self, bomb: Vec<u8>, expected: &str) {
        let (error, took) = self.explode(bomb);
        let why = error.expect("it was compiled").parts().why.clone();
        assert!(why.contains(expected), "{why}");
        assert!(took < Duration::from_secs(2), "took {took:?}");
    }

    /// Loads a bomb that is below every cap, and that the limits of the compiler end.
    fn is_limited(&self, bomb: Vec<u8>) {
        let (error, _) = self.explode(bomb);
        let why = error.expect("it was compiled").parts().why.clone();
        assert!(why.contains("limit `compile`") || why.contains("more than the compiler may use"), "{why}");
    }
}

fn resident(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn nested(levels: usize) -> Vec<u8> {
    (0..levels).fold(Component::new().finish(), |inner, _| {
        let mut outer = Component::new();
        outer.section(&RawSection { id: 4, data: &inner });
        outer.finish()
    })
}

fn functions(count: u32, function: &Function) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let (mut indices, mut code) = (FunctionSection::new(), CodeSection::new());
    for _ in 0..count {
        indices.function(0);
        code.function(function);
    }
    let mut module = Module::new();
    module.section(&types).section(&indices).section(&code);
    module.finish()
}

#[test]
fn attack_58_kb_of_nested_components_are_refused() {
    let alone = Alone::wait();
    alone.is_refused(nested(5_000), "levels of nested components");
}

#[test]
fn attack_240_kb_of_nested_components_are_refused() {
    let alone = Alone::wait();
    alone.is_refused(nested(19_000), "levels of nested components");
}

#[test]
fn attack_100_000_components_side_by_side_are_refused() {
    let alone = Alone::wait();
    let mut outer = Component::new();
    for _ in 0..100_000 {
        outer.section(&NestedComponentSection(&Component::new()));
    }
    alone.is_refused(outer.finish(), "nested modules and components");
}

#[test]
fn attack_2_mb_of_types_are_refused() {
    let alone = Alone::wait();
    let mut types = TypeSection::new();
    for index in 0..190_000_u32 {
        let bits = (0..18).map(|bit| if index >> bit & 1 == 0 { ValType::I32 } else { ValType::F64 });
        types.ty().function(bits, []);
    }
    let mut module = Module::new();
    module.section(&types);
    alone.is_refused(module.finish(), "bytes of types");
}

#[test]
fn attack_types_up_to_the_cap_end_with_the_deadline_at_the_latest() {
    let alone = Alone::wait();
    let mut types = TypeSection::new();
    for index in 0..85_000_u32 {
        let bits = (0..18).map(|bit| if index >> bit & 1 == 0 { ValType::I32 } else { ValType::F64 });
        types.ty().function(bits, []);
    }
    let mut module = Module::new();
    module.section(&types);
    alone.explode(module.finish());
}

#[test]
fn attack_7_mb_of_empty_functions_are_refused() {
    let alone = Alone::wait();
    let mut function = Function::new([]);
    function.instruction(&Instruction::End);
    alone.is_refused(functions(1_750_000, &function), "functions");
}

#[test]
fn attack_as_many_functions_as_the_cap_allows_end_with_the_deadline_at_the_latest() {
    let alone = Alone::wait();
    let mut function = Function::new([]);
    function.instruction(&Instruction::End);
    alone.explode(functions(499_999, &function));
}

#[test]
fn attack_a_function_of_5_mb_is_refused() {
    let alone = Alone::wait();
    let mut function = Function::new([]);
    for _ in 0..5 << 20 {
        function.instruction(&Instruction::Nop);
    }
    function.instruction(&Instruction::End);
    alone.is_refused(functions(1, &function), "bytes in one function");
}

#[test]
fn attack_huge_branch_tables_end_with_the_deadline_at_the_latest() {
    let alone = Alone::wait();
    let targets: Vec<u32> = (0..65_000).map(|index| index % 2).collect();
    let mut function = Function::new([]);
    function.instruction(&Instruction::Block(BlockType::Empty));
    function.instruction(&Instruction::I32Const(0));
    function.instruction(&Instruction::BrTable(targets.into(), 0));
    function.instruction(&Instruction::End);
    function.instruction(&Instruction::End);
    alone.explode(functions(500, &function));
}

#[test]
fn attack_a_million_nested_blocks_end_with_the_deadline_at_the_latest() {
    let alone = Alone::wait();
    let mut function = Function::new([]);
    for _ in 0..1_000_000 {
        function.instruction(&Instruction::Loop(BlockType::Empty));
    }
    for _ in 0..=1_000_000 {
        function.instruction(&Instruction::End);
    }
    alone.explode(functions(1, &function));
}

#[test]
fn attack_thousands_of_functions_with_50_000_locals_end_with_the_deadline_at_the_latest() {
    let alone = Alone::wait();
    let mut function = Function::new([(50_000, ValType::V128)]);
    for index in 0..2_000 {
        function.instruction(&Instruction::LocalGet(index * 25));
        function.instruction(&Instruction::LocalSet(index * 25 + 1));
    }
    function.instruction(&Instruction::End);
    alone.explode(functions(2_000, &function));
}

#[test]
fn attack_memories_that_are_all_holes_do_not_fill_the_disk() {
    let alone = Alone::wait();
    let mut memories = MemorySection::new();
    let mut data = DataSection::new();
    for index in 0..100 {
        memories.memory(MemoryType {
            minimum: 4096,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        data.active(index, &ConstExpr::i32_const(0), [1]);
        data.active(index, &ConstExpr::i32_const(4095 << 16), [1]);
    }
    let mut module = Module::new();
    module.section(&memories).section(&data);
    alone.is_limited(module.finish());
}

#[test]
fn attack_an_image_of_256_mib_from_60_bytes_takes_next_to_nothing_of_the_disk() {
    let _alone = Alone::wait();
    let text = "(module (memory 4096) (data (i32.const 0) \"x\") (data (i32.const 268435455) \"y\"))";
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path()).unwrap();
    let engines = Engines::of(Profile::default()).unwrap();
    load_in(&cache, &Program::from_bytes(text, "image").unwrap(), &engines, LIMIT * 10, None).unwrap();
    let info = cache.info();
    assert_eq!(1, info.entries);
    assert!(info.bytes < 1 << 20, "{} bytes", info.bytes);
}

#[test]
fn attack_deeply_nested_text_is_refused() {
    let alone = Alone::wait();
    let (error, _) = alone.explode(format!("(module {}", "(func ".repeat(1_000_000)).into_bytes());
    assert!(error.is_some());
}

#[test]
fn attack_15_mb_of_text_are_parsed_by_the_compiler_and_never_by_this_process() {
    let alone = Alone::wait();
    let text = format!("(module {})", "(func)".repeat((15 << 20) / 6));
    let (error, _) = alone.explode(text.clone().into_bytes());
    assert!(error.is_some());
    let inspected = Program::from_bytes(text, "text").unwrap().inspect().unwrap_err();
    assert!(inspected.parts().why.contains("text larger than 1 MiB"), "{inspected}");
}
