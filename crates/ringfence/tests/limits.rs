//! What a guest may use up: each limit stops it in time, keeps what was written, and leaves the next run alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod driver;

use std::path::Path;
use std::time::{Duration, Instant};

use driver::*;
use ringfence::policy::{Bytes, Policy};
use ringfence::sandbox::stdio::{Sink, Source};

const GRACE: Duration = Duration::from_millis(500);

fn memory(bytes: u64) -> Policy {
    limits(|limits| limits.memory = Bytes(bytes))
}

#[test]
fn many_memories_share_one_total() {
    let memories: String = (0..20).map(|number| format!("(memory $m{number} 0)")).collect();
    let grow: String = (0..20).map(|number| format!("(drop (memory.grow $m{number} (i32.const 16)))")).collect();
    let size: String =
        (0..20).map(|number| format!("(local.set $sum (i32.add (local.get $sum) (memory.size $m{number})))")).collect();
    let body = format!("(local $sum i32) {grow} {size} (call $exit (local.get $sum))");
    let result = once(&text(&module(&memories, &body), memory(10 << 20)));
    // One page of its own, and nine times 1 MiB of the twenty that were wanted.
    assert_eq!(("limited memory".to_owned(), Some(9 * 16)), (ended(&result), result.exit_code));
    assert_eq!((9 << 20) + (64 << 10), result.usage.memory);
    let result = once(&text(&module(&memories, &body), memory(30 << 20)));
    assert_eq!(("exited".to_owned(), Some(20 * 16)), (ended(&result), result.exit_code));
}

#[test]
fn tables_share_the_total_with_memories() {
    let tables: String = (0..8).map(|number| format!("(table $t{number} 0 funcref)")).collect();
    let grow: String = (0..8)
        .map(|number| format!("(if (i32.eq (table.grow $t{number} (ref.null func) (i32.const 131072)) (i32.const -1)) (then (call $exit (i32.const {number}))))"))
        .collect();
    let result = once(&text(&module(&tables, &grow), memory((4 << 20) + (64 << 10))));
    assert_eq!(("limited memory".to_owned(), Some(4)), (ended(&result), result.exit_code));
    let result = once(&text(&module(&tables, &grow), memory(16 << 20)));
    assert_eq!("exited", ended(&result));
}

#[test]
fn a_memory_that_starts_past_the_limit_is_never_made() {
    let wat = r#"(module (memory (export "memory") 1024) (func (export "_start")))"#;
    let result = once(&text(wat, memory(16 << 20)));
    assert_eq!(("limited memory".to_owned(), 0), (ended(&result), result.usage.memory));
}

#[test]
fn a_refused_growth_ends_a_run_only_if_the_guest_does_not_live_with_it() {
    let grow = "(if (i32.ne (memory.grow (i32.const 10000)) (i32.const -1)) (then unreachable))";
    for (end, expected, code) in [
        ("(call $exit (i32.const 0))", "exited", Some(0)),
        ("", "exited", Some(0)),
        ("(call $exit (i32.const 1))", "limited memory", Some(1)),
        ("(unreachable)", "limited memory", None),
    ] {
        let result = once(&text(&module("", &format!("{grow} {end}")), memory(16 << 20)));
        assert_eq!((expected.to_owned(), code), (ended(&result), result.exit_code), "{end}");
        let denials: Vec<_> = result.denials.iter().map(|denial| (denial.kind, denial.count)).collect();
        assert_eq!(vec![("memory", 1)], denials, "{end}");
    }
}

#[test]
fn more_instances_than_a_run_may_have_are_too_much_memory() {
    for (instances, pages) in [(450, 0), (900, 16), (990, 0)] {
        let result = once(&text(&component(instances, pages), memory(512 << 20)));
        assert_eq!("limited memory", ended(&result), "{instances}: {:?}", result.trap);
    }
}

fn component(instances: usize, pages: usize) -> String {
    let hoard = "(core instance (instantiate $hoard))".repeat(instances);
    format!(
        r#"(component
          (core module $hoard (memory {pages}))
          {hoard}
          (core module $main (func (export "run") (result i32) (i32.const 0)))
          (core instance $main (instantiate $main))
          (func $run (result (result)) (canon lift (core func $main "run")))
          (instance (export "wasi:cli/run@0.2.0") (export "run" (func $run))))"#
    )
}

#[test]
fn the_instances_of_a_component_share_one_total() {
    let result = once(&text(&component(40, 16), memory(64 << 20)));
    assert_eq!(("exited".to_owned(), 40 << 20), (ended(&result), result.usage.memory));
    let result = once(&text(&component(40, 16), memory(32 << 20)));
    assert_eq!("limited memory", ended(&result));
    assert!(result.usage.memory <= 32 << 20);
}

#[test]
fn what_the_guest_keeps_in_a_collected_heap_is_counted() {
    let keep = r#"(loop $more
        (global.set $kept (struct.new $node (array.new $bytes (i32.const 1) (i32.const 65536)) (global.get $kept)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br_if $more (local.get $left)))"#;
    let fields = r#"(type $bytes (array (mut i8)))
        (type $node (struct (field (ref $bytes)) (field (ref null $node))))
        (global $kept (mut (ref null $node)) (ref.null $node))"#;
    let keep = |count: u32| module(fields, &format!("(local $left i32) (local.set $left (i32.const {count})) {keep}"));
    let result = once(&text(&keep(100_000), memory(32 << 20)));
    assert_eq!("limited memory", ended(&result), "{:?}", result.trap);
    assert!(result.usage.memory > 8 << 20 && result.usage.memory <= 32 << 20, "{}", result.usage.memory);
    let result = once(&text(&keep(50), memory(32 << 20)));
    assert_eq!("exited", ended(&result), "{:?}", result.trap);
    assert!(result.usage.memory > 50 << 16, "{}", result.usage.memory);
    // What is dropped is collected: a hundred times the limit goes through.
    let drop = "(local $left i32) (local.set $left (i32.const 50000)) (loop $more
        (drop (array.new $bytes (i32.const 1) (i32.const 65536)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br_if $more (local.get $left)))";
    assert_eq!("exited", ended(&once(&text(&module(fields, drop), memory(32 << 20)))));
}

#[test]
fn cpu_time_counts_what_is_computed_and_not_what_is_waited() {
    let mut script = Script::new();
    wait(&mut script, 600_000_000);
    let sandbox = driver(limits(|limits| limits.cpu = Some(seconds(0.3))));
    let answer = script.run(&sandbox);
    assert_eq!(("exited".to_owned(), vec![OK]), (answer.ended(), answer.errnos));
    assert!(answer.result.usage.wall >= Duration::from_millis(600));
    assert!(answer.result.usage.cpu < Duration::from_millis(300), "{:?}", answer.result.usage.cpu);

    let sandbox = text(&module("", "(loop $ever (br $ever))"), limits(|limits| limits.cpu = Some(seconds(0.2))));
    let result = once(&sandbox);
    assert_eq!("limited cpu", ended(&result));
    assert!(result.usage.cpu >= Duration::from_millis(200) && result.usage.cpu < Duration::from_millis(700));
}

#[test]
fn fuel_ends_a_run_at_the_same_instruction_each_time() {
    let body = "(loop $ever (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1))) (br $ever))";
    let sandbox = text(&module("", body), limits(|limits| limits.fuel = Some(1_000_000)));
    let results = [once(&sandbox), once(&sandbox)];
    assert_eq!(["limited fuel", "limited fuel"].map(String::from), results.clone().map(|result| ended(&result)));
    assert_eq!(results[0].usage.fuel, results[1].usage.fuel);
    let ends = text(&module("", "(drop (i32.const 1))"), limits(|limits| limits.fuel = Some(1_000_000)));
    let fuel = once(&ends).usage.fuel.unwrap();
    assert!((1..100).contains(&fuel), "{fuel}");
    assert_eq!(Some(fuel), once(&ends).usage.fuel);
}

#[test]
fn output_is_cut_at_the_limit_over_both_streams_to_the_byte() {
    let mut script = Script::new();
    let bytes = script.bytes(b"0123456");
    let vector = script.vector(bytes, 7);
    for _ in 0..300 {
        act!(script, "fd_write", 1, vector, 1, OUT);
        act!(script, "fd_write", 2, vector, 1, OUT);
    }
    for limit in [1000, 1001, 7 * 100, 1] {
        let result = script.run(&driver(limits(|limits| limits.output = Bytes(limit)))).result;
        assert_eq!(("limited output".to_owned(), true), (ended(&result), result.truncated), "{limit}");
        assert_eq!(limit, (result.stdout.len() + result.stderr.len()) as u64);
        assert_eq!(limit, result.usage.output);
    }
    // What ends at the limit is not cut.
    let mut script = Script::new();
    let bytes = script.bytes(b"0123456");
    let vector = script.vector(bytes, 7);
    act!(script, "fd_write", 2, vector, 1, OUT);
    let result = script.run(&driver(limits(|limits| limits.output = Bytes(7 + 4)))).result;
    assert_eq!(("exited".to_owned(), false, 11), (ended(&result), result.truncated, result.usage.output));
}

#[test]
fn output_to_a_file_of_the_host_is_cut_like_captured_output() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut script = Script::new();
    let bytes = script.bytes(&[b'x'; 300_000]);
    let vector = script.vector(bytes, 300_000);
    act!(script, "fd_write", 2, vector, 1, OUT);
    act!(script, "fd_write", 2, vector, 1, OUT);
    let sandbox = driver(limits(|limits| limits.output = Bytes(400_000)));
    let mut run = run(Source::Bytes(script.image().into()), &sandbox);
    run.stderr = Sink::fd(file.reopen().unwrap().into());
    let result = sandbox.run(run).unwrap();
    assert_eq!(("limited output".to_owned(), true), (ended(&result), result.truncated));
    assert_eq!(400_000, file.as_file().metadata().unwrap().len());
}

#[test]
fn random_bytes_without_end_stop_at_the_deadline() {
    let mut script = Script::new();
    script.act("random_get", 1_000_000, [1u32 << 20, 60 << 20].map(Arg::from).into());
    let sandbox = driver(wall(0.3));
    let started = Instant::now();
    assert_eq!("limited wall", script.run(&sandbox).ended());
    assert!(started.elapsed() < Duration::from_millis(300) + GRACE, "{:?}", started.elapsed());
}

#[test]
fn programs_of_every_finished_proposal_run() {
    let exits = |name: &str, wat: &str| {
        let result = once(&text(wat, policy("{}", Path::new("/"))));
        assert_eq!(("exited".to_owned(), Some(42)), (ended(&result), result.exit_code), "{name}: {:?}", result.trap);
    };
    exits(
        "memory64",
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") i64 1)
          (func (export "_start")
            (drop (memory.grow (i64.const 2)))
            (i32.store (i64.const 70000) (i32.const 42))
            (call $exit (i32.load (i64.const 70000)))))"#,
    );
    exits(
        "garbage collection",
        &module(
            "(type $point (struct (field i32)))",
            "(call $exit (struct.get $point 0 (struct.new $point (i32.const 42))))",
        ),
    );
    exits(
        "exceptions",
        &module(
            "(tag $problem (param i32))",
            "(call $exit (block $caught (result i32) (try_table (catch $problem $caught) (throw $problem (i32.const 42))) (i32.const 1)))",
        ),
    );
    exits(
        "tail calls",
        &module(
            "(func $down (param i32) (result i32) (if (i32.eqz (local.get 0)) (then (return (i32.const 42)))) (return_call $down (i32.sub (local.get 0) (i32.const 1))))",
            "(call $exit (call $down (i32.const 10000000)))",
        ),
    );
    exits(
        "vectors",
        &module(
            "",
            "(call $exit (i32x4.extract_lane 2 (i32x4.add (v128.const i32x4 1 2 40 4) (i32x4.splat (i32.const 2)))))",
        ),
    );
    exits(
        "many memories and bulk memory",
        &module(
            "(memory $other 1)",
            "(i32.store $other (i32.const 0) (i32.const 42)) (memory.copy 0 $other (i32.const 8) (i32.const 0) (i32.const 4)) (call $exit (i32.load (i32.const 8)))",
        ),
    );
}

#[test]
fn deep_recursion_and_exceptions_that_nobody_catches_are_traps() {
    let recursion = once(&text(&module("(func $deep (call $deep) (call $deep))", "(call $deep)"), wall(10.0)));
    assert_eq!(("trapped".to_owned(), Some("stack overflow".to_owned())), (ended(&recursion), recursion.trap));
    let thrown = once(&text(&module("(tag $problem)", "(throw $problem)"), wall(10.0)));
    assert_eq!(("trapped".to_owned(), Some("uncaught exception".to_owned())), (ended(&thrown), thrown.trap));
}
