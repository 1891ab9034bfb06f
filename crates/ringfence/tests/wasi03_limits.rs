//! WASI 0.3: no stream, task or wait of a component outlasts its limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence::load::{Cache, Program, load_in, set_compiler};
use ringfence::policy::{Bytes, Dir, Mode, OnDenied, Policy, WasiLevel};
use ringfence::run::{Run, Sandbox};
use ringfence::sandbox::engine::{Engines, Profile};
use ringfence::sandbox::files::Grants;
use ringfence::sandbox::stdio::{Sink, Source};
use ringfence::{Outcome, RunResult};

const WORLD: &str = include_str!("wasi03/world.wat");
const WALL: Duration = Duration::from_millis(300);

/// What a stopped run may take beyond its limit.
const GRACE: Duration = Duration::from_millis(500);

fn policy() -> Policy {
    let mut policy = Policy { wasi: WasiLevel::V0_3, ..Policy::default() };
    policy.limits.wall.0 = WALL;
    policy
}

fn granted(dir: &Path) -> Policy {
    let mut policy = policy();
    policy.dirs.push(Dir { host: Some(dir.into()), at: Some("/".into()), mode: Mode::Rw, ..Dir::default() });
    policy
}

/// Runs a component whose core module has this body; compiling does not count.
fn run(body: &str, lift: &str, policy: Policy, input: Source) -> (RunResult, Duration) {
    set_compiler(vec![OsString::from(env!("CARGO_BIN_EXE_ringfence-compiler"))]);
    let text = WORLD.replace("BODY", body).replace("LIFT", lift);
    let program = Program::from_bytes(text.as_bytes(), "program").unwrap();
    let engines = Engines::of(Profile { concurrency: true, ..Profile::default() }).unwrap();
    // Kept until the sandbox has it: nothing is written to the user's cache.
    let _loaded = load_in(&Cache::none(), &program, &engines, Duration::from_secs(60), None).unwrap();
    let limits = policy.limits;
    let grants = Grants::open(&policy, &[]).unwrap();
    let sandbox = Sandbox::new(&program, policy, grants, None).unwrap();
    let started = Instant::now();
    let run = Run {
        args: Vec::new(),
        input,
        stdout: Sink::Capture(Vec::new()),
        stderr: Sink::Capture(Vec::new()),
        source: None,
        limits,
        cancelled: Arc::default(),
        tick: None,
    };
    (sandbox.run(run).unwrap(), started.elapsed())
}

fn limited_by(limit: &str, (result, took): &(RunResult, Duration)) {
    assert_eq!((Outcome::Limited, Some(limit)), (result.outcome, result.limit), "{:?}", result.trap);
    assert!(*took < WALL + GRACE, "it took {took:?}");
}

#[test]
fn a_component_that_does_nothing_ends_well() {
    let (result, _) = run(r#"(func (export "run") (result i32) (i32.const 0))"#, "", policy(), Source::Empty);
    assert_eq!((Outcome::Exited, Some(0)), (result.outcome, result.exit_code), "{:?}", result.trap);
}

#[test]
fn attack_sleeping_for_ever_ends_at_the_wall() {
    let body = r#"(func (export "run") (result i32) (call $wait-for (i64.const -1)) (i32.const 0))"#;
    limited_by("wall", &run(body, "", policy(), Source::Empty));
}

#[test]
fn attack_an_endless_loop_ends_at_the_wall() {
    let body = r#"(func (export "run") (result i32) (loop $again (br $again)) (i32.const 0))"#;
    limited_by("wall", &run(body, "", policy(), Source::Empty));
}

#[test]
fn attack_a_task_that_yields_for_ever_ends_at_the_wall() {
    // 1 asks to be called back at once: the loop is the host's.
    let body = r#"(func (export "run") (result i32) (i32.const 1))
        (func (export "again") (param i32 i32 i32) (result i32) (i32.const 1))"#;
    let lift = r#"async (callback (func $main "again"))"#;
    limited_by("wall", &run(body, lift, policy(), Source::Empty));
}

#[test]
fn attack_a_flood_of_output_ends_at_its_limit() {
    let body = r#"(func (export "run") (result i32)
        (local $ends i64) (local $writer i32)
        (local.set $ends (call $stream-new))
        (drop (call $stdout-write (i32.wrap_i64 (local.get $ends))))
        (local.set $writer (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
        (loop $again
            (drop (call $done (local.get $writer)
                (call $stream-write (local.get $writer) (i32.const 0) (i32.const 65536))))
            (br $again))
        (i32.const 0))"#;
    let mut policy = policy();
    policy.limits.output = Bytes(1 << 20);
    let ended = run(body, "", policy, Source::Empty);
    limited_by("output", &ended);
    assert_eq!((1 << 20, true), (ended.0.stdout.len(), ended.0.truncated));
}

#[test]
fn attack_input_that_never_comes_ends_at_the_wall() {
    let body = r#"(func (export "run") (result i32)
        (call $stdin-read (i32.const 16))
        (drop (call $done (i32.load (i32.const 16))
            (call $stream-read (i32.load (i32.const 16)) (i32.const 4096) (i32.const 100))))
        (i32.const 0))"#;
    let (silent, _writer) = std::io::pipe().unwrap();
    limited_by("wall", &run(body, "", policy(), Source::Fd(Arc::new(silent.into()))));
}

#[test]
fn attack_a_file_poured_into_its_own_end_stops_at_the_wall() {
    let body = r#"(func (export "run") (result i32)
        (local $file i32) (local $ended i32)
        (local.set $file (call $open (call $root) (i32.const 1024) (i32.const 4)))
        (call $file-read (local.get $file) (i64.const 0) (i32.const 48))
        (local.set $ended (call $file-append (local.get $file) (i32.load (i32.const 48))))
        (drop (call $done (local.get $ended) (call $ended-read (local.get $ended) (i32.const 80))))
        (i32.const 0))"#;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("grow"), [7; 100]).unwrap();
    limited_by("wall", &run(body, "", granted(dir.path()), Source::Empty));
    assert!(std::fs::metadata(dir.path().join("grow")).unwrap().len() > 10_000, "nothing was poured");
}

#[test]
fn attack_input_without_end_poured_into_output_stops_at_the_wall() {
    let body = r#"(func (export "run") (result i32)
        (call $stdin-read (i32.const 16))
        (drop (call $stdout-write (i32.load (i32.const 16))))
        (call $wait-for (i64.const -1))
        (i32.const 0))"#;
    let mut policy = policy();
    policy.limits.output = Bytes(1 << 40);
    let zeros = std::fs::File::open("/dev/zero").unwrap();
    limited_by("wall", &run(body, "", policy, Source::Fd(Arc::new(zeros.into()))));
}

#[test]
fn attack_tasks_without_end_are_bounded() {
    let body = r#"(func (export "run") (result i32)
        (loop $again (drop (call $start-waiting (i64.const -1))) (br $again))
        (i32.const 0))"#;
    limited_by("host_bytes", &run(body, "", policy(), Source::Empty));
}

#[test]
fn attack_streams_without_end_are_bounded() {
    let body = r#"(func (export "run") (result i32)
        (loop $again (call $stdin-read (i32.const 16)) (br $again))
        (i32.const 0))"#;
    limited_by("host_bytes", &run(body, "", policy(), Source::Empty));
}

#[test]
fn attack_a_stream_keeps_the_place_of_its_file() {
    // Each round drops the descriptor and keeps the stream, which keeps the file of the host open.
    let body = r#"(func (export "run") (result i32)
        (local $root i32) (local $file i32) (local $left i32)
        (local.set $root (call $root))
        (local.set $left (i32.const 65))
        (loop $again
            (local.set $file (call $open (local.get $root) (i32.const 1024) (i32.const 4)))
            (call $file-read (local.get $file) (i64.const 0) (i32.const 48))
            (call $descriptor-drop (local.get $file))
            (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (i32.const 0))"#;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("grow"), "").unwrap();
    let (result, _) = run(body, "", granted(dir.path()), Source::Empty);
    let denied: Vec<_> = result.denials.iter().map(|denial| (denial.kind, denial.count)).collect();
    assert_eq!((Outcome::Trapped, vec![("open_files", 1)]), (result.outcome, denied));
}

#[test]
fn attack_listings_are_held_under_one_total() {
    let body = r#"(func (export "run") (result i32)
        (local $root i32)
        (local.set $root (call $root))
        (loop $again (call $list (local.get $root) (i32.const 48)) (br $again))
        (i32.const 0))"#;
    let dir = tempfile::tempdir().unwrap();
    for name in 0..100 {
        std::fs::write(dir.path().join(name.to_string()), "").unwrap();
    }
    let mut policy = granted(dir.path());
    policy.limits.host_bytes = Bytes(64 << 10);
    limited_by("host_bytes", &run(body, "", policy, Source::Empty));
}

#[test]
fn a_denial_ends_the_run_where_the_policy_says_so() {
    let body = r#"(func (export "run") (result i32)
        (drop (call $open (call $root) (i32.const 1040) (i32.const 11)))
        (i32.const 0))"#;
    let dir = tempfile::tempdir().unwrap();
    let mut policy = granted(dir.path());
    policy.on_denied = OnDenied::Stop;
    let (result, _) = run(body, "", policy, Source::Empty);
    assert_eq!(Outcome::Denied, result.outcome, "{:?}", result.trap);
    assert_eq!("/etc/passwd", result.denials[0].what);
}

#[test]
fn a_stream_that_cannot_be_says_so_in_its_future() {
    // Reads the root as if it were a file; 13 is `is-directory`.
    let body = r#"(func (export "run") (result i32)
        (local $ended i32)
        (call $file-read (call $root) (i64.const 0) (i32.const 48))
        (local.set $ended (i32.load (i32.const 52)))
        (drop (call $done (local.get $ended) (call $ended-read (local.get $ended) (i32.const 80))))
        (i32.ne (i32.const 0x0d01)
            (i32.or (i32.load8_u (i32.const 80)) (i32.shl (i32.load8_u (i32.const 84)) (i32.const 8)))))"#;
    let dir = tempfile::tempdir().unwrap();
    let (result, _) = run(body, "", granted(dir.path()), Source::Empty);
    assert_eq!((Outcome::Exited, Some(0)), (result.outcome, result.exit_code), "{:?}", result.trap);
}
