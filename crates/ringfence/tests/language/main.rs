//! Language packs: source text handed in with a run, on the stack of an interpreter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;
use std::sync::Arc;

use ringfence::load::{self, Kind, Program};
use ringfence::sandbox::files::Grants;
use ringfence::sandbox::stdio::{Sink, Source};
use ringfence::worker::{self, Isolation};
use ringfence::{Error, HostFunction, HostFunctions, Outcome, Policy, Run, RunResult, Sandbox};

/// Prints its source, taking it in one piece where it fits into 16 bytes; exits with what was refused instead.
const ECHO: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "ringfence" "host_call" (func $call (param i32 i32 i32 i32) (result i64)))
  (import "ringfence" "host_take" (func $take (param i32 i32) (result i32)))
  (memory (export "memory") 64)
  (data (i32.const 0) "S")
  (func (export "_start") (local $len i64)
    (local.set $len (call $call (i32.const 0) (i32.const 1) (i32.const 1024) (i32.const 16)))
    (if (i64.lt_s (local.get $len) (i64.const 0))
      (then (call $exit (i32.wrap_i64 (i64.sub (i64.const 0) (local.get $len))))))
    (if (i64.gt_s (local.get $len) (i64.const 16))
      (then (if (call $take (i32.const 1024) (i32.wrap_i64 (local.get $len))) (then (call $exit (i32.const 99))))))
    (i32.store (i32.const 8) (i32.const 1024))
    (i32.store (i32.const 12) (i32.wrap_i64 (local.get $len)))
    (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 4)))))"#;

const ISOLATIONS: [Isolation; 3] = Isolation::ALL;

fn sandbox(wat: &str, language: bool, isolation: Isolation, limits: &str) -> ringfence::Result<Sandbox> {
    load::set_compiler(vec![env!("CARGO_BIN_EXE_ringfence-compiler").into()]);
    worker::set_worker(vec![env!("CARGO_BIN_EXE_ringfence-worker").into()]);
    let program = match language {
        true => Program::language_from_bytes(wat.as_bytes(), "python")?,
        false => Program::from_bytes(wat.as_bytes(), "guest.wat")?,
    };
    let policy = Policy::from_json(&format!(r#"{{"limits": {{{limits}}}}}"#), Path::new("/"))?;
    let grants = Grants::open(&policy, &[])?;
    Sandbox::isolated(&program, policy, grants, HostFunctions::default(), None, isolation, None)
}

fn run(sandbox: &Sandbox, source: Option<&[u8]>) -> ringfence::Result<RunResult> {
    sandbox.run(Run {
        args: vec![],
        input: Source::Bytes("input".into()),
        stdout: Sink::Capture(Vec::new()),
        stderr: Sink::Capture(Vec::new()),
        source: source.map(|text| text.to_vec().into()),
        limits: sandbox.policy().limits,
        cancelled: Arc::default(),
        tick: None,
    })
}

#[test]
fn source_reaches_a_pack_whole_in_every_isolation() {
    let long: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    for isolation in ISOLATIONS {
        let sandbox = sandbox(ECHO, true, isolation, "").unwrap();
        for source in [&b""[..], b"print(1)", &long[..1000], &long[..100_000], &long] {
            let result = run(&sandbox, Some(source)).unwrap();
            assert_eq!(Some(0), result.exit_code, "{isolation:?}");
            assert!(source == result.stdout, "{isolation:?}: {} of {} bytes", result.stdout.len(), source.len());
        }
    }
}

#[test]
fn run_without_a_source_is_told_so() {
    for isolation in ISOLATIONS {
        let sandbox = sandbox(ECHO, true, isolation, "").unwrap();
        assert_eq!(Some(2), run(&sandbox, None).unwrap().exit_code, "{isolation:?}");
    }
}

#[test]
fn programs_that_are_no_packs_may_ask_too_and_are_handed_nothing() {
    let sandbox = sandbox(ECHO, false, Isolation::Wasm, "").unwrap();
    assert_eq!(Some(2), run(&sandbox, None).unwrap().exit_code);
    let refused = run(&sandbox, Some(b"1")).unwrap_err();
    assert!(matches!(&refused, Error::Load(parts) if parts.why == "it is not a language pack"), "{refused}");
}

#[test]
fn source_longer_than_the_host_may_hold_is_refused() {
    let sandbox = sandbox(ECHO, true, Isolation::Wasm, r#""host_bytes": 100000"#).unwrap();
    assert_eq!(Outcome::Exited, run(&sandbox, Some(&[b' '; 100_000])).unwrap().outcome);
    let refused = run(&sandbox, Some(&[b' '; 100_001])).unwrap_err();
    assert!(refused.to_string().contains("host_bytes"), "{refused}");
}

/// Exits with the length of its source, or with 200 where there is none.
const COMPONENT: &str = r#"(component
  (import "ringfence:language/host@1.0.0" (instance $host
    (export "source" (func (result (option (list u8)))))
    (export "exit" (func (param "code" u8)))))
  (core module $libc
    (memory (export "memory") 2)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $libc (instantiate $libc))
  (core func $source (canon lower (func $host "source")
    (memory $libc "memory") (realloc (func $libc "realloc"))))
  (core func $exit (canon lower (func $host "exit")))
  (core module $main
    (import "host" "source" (func $source (param i32)))
    (import "host" "exit" (func $exit (param i32)))
    (import "libc" "memory" (memory 2))
    (func (export "run") (result i32)
      (call $source (i32.const 0))
      (if (i32.load8_u (i32.const 0)) (then (call $exit (i32.load (i32.const 8)))))
      (call $exit (i32.const 200))
      (i32.const 0)))
  (core instance $main (instantiate $main
    (with "host" (instance (export "source" (func $source)) (export "exit" (func $exit))))
    (with "libc" (instance $libc))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exports (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exports)))"#;

#[test]
fn component_takes_its_source_and_gives_any_exit_code_in_every_isolation() {
    for isolation in ISOLATIONS {
        let sandbox = sandbox(COMPONENT, true, isolation, "").unwrap();
        assert_eq!(Some(77), run(&sandbox, Some(&[b' '; 77])).unwrap().exit_code, "{isolation:?}");
        assert_eq!(Some(200), run(&sandbox, None).unwrap().exit_code, "{isolation:?}");
    }
}

#[test]
fn pack_of_another_kind_than_it_says_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, other, text) in [(Kind::Module, Kind::Component, COMPONENT), (Kind::Component, Kind::Module, ECHO)] {
        let path = folder.path().join("pack.wat");
        std::fs::write(&path, text).unwrap();
        let digest = Program::from_bytes(text.as_bytes(), "pack.wat").unwrap().digest().to_owned();
        assert!(Program::pack(&path, "js", &digest, other).unwrap().bytes().is_ok());
        let refused = Program::pack(&path, "js", &digest, kind).unwrap().bytes().unwrap_err();
        assert!(refused.to_string().contains("its pack.toml says `kind = "), "{refused}");
    }
}

#[test]
fn functions_of_the_host_cannot_take_the_place_of_ringfence_s_own() {
    let call = |_: &[ringfence::host::Value]| Ok(Vec::new());
    let functions: Arc<[HostFunction]> = [HostFunction::new("ringfence", "host_call", call)].into();
    let program = Program::from_bytes(ECHO.as_bytes(), "guest.wat").unwrap();
    let (policy, grants) = (Policy::default(), Grants::open(&Policy::default(), &[]).unwrap());
    load::set_compiler(vec![env!("CARGO_BIN_EXE_ringfence-compiler").into()]);
    let given = HostFunctions { functions, around: None };
    let refused = Sandbox::with_functions(&program, policy, grants, given, None).err().unwrap();
    assert!(refused.to_string().contains("Ringfence itself"), "{refused}");
}

/// Calls itself as deep as its source is long, times 1,000.
const DEEP: &str = r#"(module
  (import "ringfence" "host_call" (func $call (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 1)
  (data (i32.const 0) "S")
  (func $down (param i64 i64 i64 i64 i64 i64) (result i64)
    (if (i64.eqz (local.get 0)) (then (return (local.get 5))))
    (i64.add (local.get 1) (call $down (i64.sub (local.get 0) (i64.const 1))
      (local.get 2) (local.get 3) (local.get 4) (local.get 5) (local.get 1))))
  (func (export "_start")
    (drop (call $down
      (i64.mul (i64.const 1000) (call $call (i32.const 0) (i32.const 1) (i32.const 64) (i32.const 1000)))
      (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5)))))"#;

#[test]
fn stack_of_a_pack_is_four_times_that_of_other_programs_in_every_isolation() {
    for isolation in ISOLATIONS {
        let sandbox = sandbox(DEEP, true, isolation, "").unwrap();
        // Where a frame is 32 to 100 bytes, 30,000 of them are more than 1 MiB or at least less than 4.
        let ends = |times: usize| run(&sandbox, Some(&vec![b' '; times])).unwrap();
        assert_eq!(Outcome::Exited, ends(30).outcome, "{isolation:?}");
        assert_eq!(Some("stack overflow".to_owned()), ends(900).trap, "{isolation:?}");
    }
}

/// Set up by two calls, as a pack is before its snapshot is taken; exits with what they left.
const UNSNAPSHOTTED: &str = r#"(module
  (global $ready (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $ready (i32.const 3)))
  (func (export "rf_init") (global.set $ready (i32.mul (global.get $ready) (i32.const 5))))
  (func (export "rf_run") (result i32) (global.get $ready)))"#;

#[test]
fn pack_without_a_snapshot_is_set_up_before_it_runs() {
    let sandbox = sandbox(UNSNAPSHOTTED, true, Isolation::Wasm, "").unwrap();
    assert_eq!(Some(15), run(&sandbox, None).unwrap().exit_code);
}

/// Sends messages that it must not, from places that are none; exits with the number of the first that was taken.
const FORGED: &str = r#"(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "ringfence" "host_call" (func $call (param i32 i32 i32 i32) (result i64)))
  (import "ringfence" "host_take" (func $take (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "SXS\00")
  (func $refused (param i32 i64) (if (i64.ge_s (local.get 1) (i64.const 0)) (then (call $exit (local.get 0)))))
  (func $lost (param i32 i32) (if (i32.eqz (local.get 1)) (then (call $exit (local.get 0)))))
  (func (export "_start")
    (call $refused (i32.const 1) (call $call (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 64)))
    (call $refused (i32.const 2) (call $call (i32.const 1) (i32.const 1) (i32.const 64) (i32.const 64)))
    (call $refused (i32.const 3) (call $call (i32.const 2) (i32.const 2) (i32.const 64) (i32.const 64)))
    (call $refused (i32.const 4) (call $call (i32.const 0) (i32.const -1) (i32.const 64) (i32.const 64)))
    (call $refused (i32.const 5) (call $call (i32.const -1) (i32.const 1) (i32.const 64) (i32.const 64)))
    (call $refused (i32.const 6) (call $call (i32.const -1) (i32.const -1) (i32.const 64) (i32.const 64)))
    (call $refused (i32.const 7) (call $call (i32.const 0) (i32.const 1) (i32.const -1) (i32.const -1)))
    (call $refused (i32.const 8) (call $call (i32.const 0) (i32.const 1) (i32.const 65535) (i32.const 64)))
    (call $lost (i32.const 9) (call $take (i32.const 64) (i32.const 8)))
    (drop (call $call (i32.const 0) (i32.const 1) (i32.const 64) (i32.const 0)))
    (call $lost (i32.const 10) (call $take (i32.const 64) (i32.const -1)))
    (drop (call $call (i32.const 0) (i32.const 1) (i32.const 64) (i32.const 0)))
    (call $lost (i32.const 11) (call $take (i32.const -4) (i32.const 8)))
    (call $lost (i32.const 12) (call $take (i32.const 64) (i32.const 8)))))"#;

#[test]
fn attack_forged_messages_and_addresses_are_refused_one_by_one() {
    for isolation in ISOLATIONS {
        let sandbox = sandbox(FORGED, true, isolation, "").unwrap();
        let result = run(&sandbox, Some(b"12345678")).unwrap();
        assert_eq!((Outcome::Exited, Some(0)), (result.outcome, result.exit_code), "{isolation:?}");
    }
}
