//! Workers that have fallen and call functions of their parent: in no other way than a guest could.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ringfence::host::{Raised, Value};
use ringfence::sandbox::files::Grants;
use ringfence::worker::Isolation;
use ringfence::{HostFunction, HostFunctions, Outcome, Program, RunResult, Sandbox};

use crate::driver::wall;
use crate::hostile::{ENDED, answer, asked};
use crate::{GRACE, Workers, run};

/// Imports two functions; what its worker really does is up to the worker.
const CALLING: &str = r#"(module (import "env" "f" (func $f)) (import "env" "g" (func $g (param i32) (result i32)))
    (func (export "_start") (call $f) (drop (call $g (i32.const 1)))))"#;

fn call(parent: &mut UnixStream, number: u64, function: u32, params: &str) {
    let call =
        format!(r#"{{"call": {{"function": {function}, "params": {params}, "cpu_nanos": 0, "memory_bytes": 0}}}}"#);
    answer(parent, number, &call, b"");
}

/// What a worker of that name does when it is asked to run something.
pub fn misbehave(name: &str, number: u64, parent: &mut UnixStream) {
    match name {
        "calls as it may" => {
            for _ in 0..3 {
                call(parent, number, 0, "[]");
                assert_eq!(number, asked(parent).0);
            }
            answer(parent, number, ENDED, b"");
        }
        "calls what it was not given" => call(parent, number, 2, "[]"),
        "calls with too little" => call(parent, number, 1, "[]"),
        "calls with too much" => call(parent, number, 0, r#"[{"i32": 1}]"#),
        "calls with another kind" => call(parent, number, 1, r#"[{"i64": 1}]"#),
        "calls with a tail" => {
            let text = r#"{"call": {"function": 0, "params": [], "cpu_nanos": 0, "memory_bytes": 0}}"#;
            answer(parent, number, text, b"x");
        }
        "calls for another run" => call(parent, number + 1, 0, "[]"),
        "does not wait" => {
            call(parent, number, 0, "[]");
            call(parent, number, 0, "[]");
        }
        "half of it does not wait" => {
            call(parent, number, 0, "[]");
            std::io::Write::write_all(parent, &[0]).unwrap();
        }
        "ends inside" => {
            call(parent, number, 0, "[]");
            answer(parent, number, ENDED, b"");
        }
        "dies inside" => {
            call(parent, number, 0, "[]");
            std::process::exit(3);
        }
        "calls after the end" => {
            answer(parent, number, ENDED, b"");
            call(parent, number, 0, "[]");
        }
        "goes on" => loop {
            call(parent, number, 0, "[]");
            asked(parent);
        },
        "storms" => loop {
            call(parent, number, 0, "[]");
        },
        other => panic!("{other}"),
    }
}

/// A run in a worker of that name, and how often the function was called that takes nothing.
fn called(name: &str, breaks: bool) -> (RunResult, u64, Sandbox, Workers) {
    let workers = Workers::fallen(name);
    let made = Arc::new(AtomicU64::new(0));
    let count = made.clone();
    let function = move |_: &[Value]| {
        count.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(20));
        if breaks { Err(Raised::new("mine")) } else { Ok(vec![]) }
    };
    let given =
        [HostFunction::new("env", "f", function), HostFunction::new("env", "g", |_: &[Value]| Ok(vec![Value::I32(1)]))];
    let functions = HostFunctions { functions: given.into_iter().collect(), around: None };
    let program = Program::from_bytes(CALLING.as_bytes(), "guest").unwrap();
    let policy = wall(0.5);
    let grants = Grants::open(&policy, &[]).unwrap();
    let sandbox = Sandbox::isolated(&program, policy, grants, functions, None, Isolation::Process, None).unwrap();
    let result = run(&sandbox).unwrap();
    assert!(result.usage.wall < Duration::from_millis(500) + GRACE, "{name}: {:?}", result.usage.wall);
    let made = made.load(Ordering::Relaxed);
    (result, made, sandbox, workers)
}

#[test]
fn a_worker_that_calls_as_it_may_is_answered() {
    let (result, made, ..) = called("calls as it may", false);
    assert_eq!((Outcome::Exited, 3, 3), (result.outcome, result.host_calls, made));
}

#[test]
fn attack_calls_that_no_guest_can_make_are_not_made_and_crash_the_run() {
    for name in [
        "calls what it was not given",
        "calls with too little",
        "calls with too much",
        "calls with another kind",
        "calls with a tail",
        "calls for another run",
    ] {
        let (result, made, ..) = called(name, false);
        assert_eq!((Outcome::Crashed, 0), (result.outcome, made), "{name}: {:?}", result.trap);
        assert!(result.trap.unwrap().starts_with("the worker broke its protocol: "), "{name}");
    }
}

#[test]
fn attack_a_worker_that_does_not_wait_for_its_function_is_killed() {
    for (name, why) in [
        ("does not wait", "the worker broke its protocol"),
        ("half of it does not wait", "the worker broke its protocol"),
        ("ends inside", "the worker broke its protocol"),
        ("dies inside", "the worker died of exit code 3"),
        ("storms", "the worker broke its protocol"),
    ] {
        let (result, made, ..) = called(name, false);
        assert_eq!((Outcome::Crashed, 1), (result.outcome, made), "{name}: {:?}", result.trap);
        assert!(result.trap.as_ref().unwrap().starts_with(why), "{name}: {:?}", result.trap);
    }
}

#[test]
fn attack_nothing_is_called_after_the_end_of_a_run() {
    let (result, made, sandbox, _workers) = called("calls after the end", false);
    assert_eq!((Outcome::Exited, 0), (result.outcome, made));
    assert_eq!(Outcome::Crashed, run(&sandbox).unwrap().outcome);
}

#[test]
fn attack_nothing_is_called_after_a_function_broke() {
    let (result, made, ..) = called("goes on", true);
    assert_eq!((Outcome::Crashed, 1), (result.outcome, made));
    assert_eq!("mine", result.raised.unwrap().why);
}

#[test]
fn attack_calls_without_end_end_at_the_deadline() {
    let (result, made, ..) = called("goes on", false);
    assert_eq!(Outcome::Limited, result.outcome, "{made} calls, {:?}", result.trap);
}

#[test]
fn attack_a_worker_that_calls_does_not_outlive_the_patience_of_its_caller() {
    let _workers = Workers::fallen("goes on");
    let functions = [
        HostFunction::new("env", "f", |_: &[Value]| Ok(vec![])),
        HostFunction::new("env", "g", |_: &[Value]| Ok(vec![Value::I32(1)])),
    ];
    let functions = HostFunctions { functions: functions.into_iter().collect(), around: None };
    let program = Program::from_bytes(CALLING.as_bytes(), "guest").unwrap();
    let policy = wall(60.0);
    let grants = Grants::open(&policy, &[]).unwrap();
    let sandbox = Sandbox::isolated(&program, policy, grants, functions, None, Isolation::Process, None).unwrap();
    let cancelled = Arc::new(AtomicBool::new(false));
    let given_up = cancelled.clone();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(1));
        given_up.store(true, Ordering::Relaxed);
        Instant::now()
    });
    let mut asked = crate::driver::run(ringfence::sandbox::stdio::Source::Empty, &sandbox);
    asked.cancelled = cancelled;
    assert_eq!(Outcome::Cancelled, sandbox.run(asked).unwrap().outcome);
    assert!(canceller.join().unwrap().elapsed() < GRACE);
}
