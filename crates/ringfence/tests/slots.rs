//! Room for runs: when it is taken callers wait, and not for ever.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence::load::{self, Program};
use ringfence::sandbox::engine::{Engines, POOL_SLOTS, Profile};
use ringfence::sandbox::files::Grants;
use ringfence::sandbox::stdio::{Sink, Source};
use ringfence::{Error, Outcome, Policy, Run, RunResult, Sandbox};

fn hello() -> Sandbox {
    load::set_compiler(vec![env!("CARGO_BIN_EXE_ringfence-compiler").into()]);
    let program = Program::from_bytes(&b"(module (func (export \"_start\")))"[..], "hello.wat").unwrap();
    let policy = Policy::default();
    let grants = Grants::open(&policy, &[]).unwrap();
    Sandbox::new(&program, policy, grants, None).unwrap()
}

fn run(sandbox: &Sandbox) -> ringfence::Result<RunResult> {
    sandbox.run(Run {
        args: vec![],
        input: Source::Empty,
        stdout: Sink::Discard,
        stderr: Sink::Discard,
        source: None,
        limits: sandbox.policy().limits,
        cancelled: Arc::default(),
        tick: None,
    })
}

/// One test, because the slots are the process's.
#[test]
fn a_full_pool_makes_callers_wait_and_then_says_so() {
    let sandbox = Arc::new(hello());
    let engines = Engines::of(Profile::default()).unwrap();
    let all = engines.slots().try_acquire_many(POOL_SLOTS).unwrap();

    let waiting = std::thread::spawn({
        let sandbox = sandbox.clone();
        move || run(&sandbox)
    });
    std::thread::sleep(Duration::from_millis(200));
    assert!(!waiting.is_finished(), "it runs without a slot");
    drop(all);
    assert_eq!(Outcome::Exited, waiting.join().unwrap().unwrap().outcome);

    let _all = engines.slots().try_acquire_many(POOL_SLOTS).unwrap();
    let asked = Instant::now();
    let refused = run(&sandbox).unwrap_err();
    assert!(matches!(refused, Error::Busy(_)), "{refused}");
    assert!((10..12).contains(&asked.elapsed().as_secs()), "{:?}", asked.elapsed());
}
