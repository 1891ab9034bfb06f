//! Stores that are used again: whatever a run did that returned, the next one begins with the program's own bytes, and a
//! run that ended in another way is followed by one in a new store.
//!
//! The host reads the guest's whole memory through a function that no guest can have outside of tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::Arc;

use ringfence::load::set_compiler;
use ringfence::sandbox::files::Grants;
use ringfence::sandbox::stdio::{Sink, Source};
use ringfence::sandbox::store::State;
use ringfence::{HostFunctions, Outcome, Placing, Policy, Program, Reuse, Run, RunResult, Sandbox, Starts};

const PAGE: usize = 64 << 10;
const PAGES: usize = 24;

/// What the guest does when it has looked at what it begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It writes over its whole memory and its globals, and returns.
    Scribble,
    Trap,
    Loop,
    Exit,
    Panic,
    /// It grows by a page, and returns.
    Grow,
    /// It returns at once.
    Idle,
    /// It asks for more than it may have, and returns.
    Greed,
    /// It leaves garbage to the engine's collector, and an exception that was caught.
    Litter,
    /// It writes to one page that is chosen for each run.
    Page,
}

use End::{Exit, Greed, Grow, Idle, Litter, Loop, Page, Panic, Scribble, Trap};

impl End {
    fn is_rewound(self) -> bool {
        matches!(self, Scribble | Idle | Page)
    }
}

thread_local! {
    static END: Cell<End> = const { Cell::new(End::Idle) };
    static PLACE: Cell<u32> = const { Cell::new(0) };
    /// What the last run on this thread found in its memory.
    static SEEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn program(text: &str) -> String {
    format!(
        r#"(module
  (type $node (struct (field (mut i32)) (field (ref null $node))))
  (tag $thrown (param i32))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "planted" "look" (func $look))
  (import "planted" "end" (func $end (result i32)))
  (import "planted" "place" (func $place (result i32)))
  (import "planted" "panic" (func $panic))
  (memory (export "memory") {PAGES})
  (global $stack (mut i32) (i32.const 5))
  (global $double (mut f64) (f64.const 5))
  (global $wide (mut i64) (i64.const 5))
  (data (i32.const 1000) "{text}") (data (i32.const {last}) "{text}")
  (func $scribble
    (memory.fill (i32.const 0) (i32.const 0xaa) (i32.mul (memory.size) (i32.const 65536)))
    (global.set $stack (i32.const 77)) (global.set $double (f64.const 77)) (global.set $wide (i64.const 77)))
  (func $litter (local $list (ref null $node)) (local $left i32)
    (local.set $left (i32.const 2000))
    (loop $more
      (local.set $list (struct.new $node (i32.const 0xaaaa) (local.get $list)))
      (drop (block $caught (result i32)
        (try_table (catch $thrown $caught) (throw $thrown (i32.const 0xaaaa))) (i32.const 0)))
      (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
  (func (export "_start") (local $how i32)
    (call $look)
    (if (i32.ne (global.get $stack) (i32.const 5)) (then (call $exit (i32.const 90))))
    (if (f64.ne (global.get $double) (f64.const 5)) (then (call $exit (i32.const 91))))
    (if (i64.ne (global.get $wide) (i64.const 5)) (then (call $exit (i32.const 92))))
    (if (i32.ne (memory.size) (i32.const {PAGES})) (then (call $exit (i32.const 93))))
    (local.set $how (call $end))
    (if (i32.eq (local.get $how) (i32.const 6)) (then (return)))
    (if (i32.eq (local.get $how) (i32.const 9)) (then (i32.store8 (call $place) (i32.const 0xaa)) (return)))
    (call $scribble)
    (if (i32.eq (local.get $how) (i32.const 1)) (then unreachable))
    (if (i32.eq (local.get $how) (i32.const 2)) (then (loop $again (br $again))))
    (if (i32.eq (local.get $how) (i32.const 3)) (then (call $exit (i32.const 0))))
    (if (i32.eq (local.get $how) (i32.const 4)) (then (call $panic)))
    (if (i32.eq (local.get $how) (i32.const 5)) (then (drop (memory.grow (i32.const 1))) (call $scribble)))
    (if (i32.eq (local.get $how) (i32.const 7)) (then (drop (memory.grow (i32.const 60000)))))
    (if (i32.eq (local.get $how) (i32.const 8)) (then (call $litter)))))"#,
        last = PAGES * PAGE - text.len(),
    )
}

fn image(text: &str) -> Vec<u8> {
    let mut image = vec![0; PAGES * PAGE];
    for at in [1000, PAGES * PAGE - text.len()] {
        image[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    image
}

fn sandbox(text: &str, policy: &str) -> Sandbox {
    ringfence::worker::plant(|linker| {
        linker.func_wrap("planted", "look", |mut caller: wasmtime::Caller<'_, State>| {
            let memory = caller.get_export("memory").and_then(|export| export.into_memory()).unwrap();
            SEEN.set(memory.data(&caller).to_vec());
        })?;
        linker.func_wrap("planted", "end", || END.get() as i32)?;
        linker.func_wrap("planted", "place", || PLACE.get())?;
        linker.func_wrap("planted", "panic", || -> () { panic!("a host function panics") })?;
        Ok(())
    });
    set_compiler(vec![env!("CARGO_BIN_EXE_ringfence-compiler").into()]);
    let program = Program::from_bytes(program(text).as_bytes(), "program.wat").unwrap();
    let policy = Policy::from_json(policy, Path::new("/")).unwrap();
    let grants = Grants::open(&policy, &[]).unwrap();
    let placing = Placing { tenant: Some("alice".into()), reuse: Reuse::Tenant, ..Placing::default() };
    Sandbox::placed(&program, policy, grants, HostFunctions::default(), None, placing).unwrap()
}

fn run(sandbox: &Sandbox, end: End) -> RunResult {
    END.set(end);
    let mut limits = sandbox.policy().limits;
    if end == Loop {
        limits.wall.0 = std::time::Duration::from_millis(50);
    }
    let result = sandbox.run(Run {
        args: vec![],
        input: Source::Empty,
        stdout: Sink::Capture(Vec::new()),
        stderr: Sink::Capture(Vec::new()),
        source: None,
        limits,
        cancelled: Arc::default(),
        tick: None,
    });
    let result = result.unwrap();
    assert!(!(90..=93).contains(&result.exit_code.unwrap_or(0)), "{end:?} finds what another left: {result:?}");
    result
}

const ENDS: [End; 10] = [Scribble, Trap, Loop, Exit, Panic, Grow, Idle, Greed, Litter, Page];

#[test]
fn attack_a_run_in_a_store_that_was_used_finds_nothing_of_the_run_before() {
    let sandbox = sandbox("of the program", r#"{"limits": {"memory": "8MiB"}}"#);
    let image = image("of the program");
    for round in 0..6 {
        for end in ENDS.into_iter().flat_map(|end| [end, Scribble]).skip(round) {
            let before = sandbox.starts().unwrap();
            let result = run(&sandbox, end);
            let outcome = match end {
                Trap => Outcome::Trapped,
                Loop => Outcome::Limited,
                Panic => Outcome::Crashed,
                _ => Outcome::Exited,
            };
            assert!(result.outcome == outcome || end == Greed, "{end:?}: {result:?}");
            assert!(SEEN.with_borrow(|seen| *seen == image), "{end:?} in round {round}");
            let after = sandbox.starts().unwrap();
            let began = if before.waiting == 1 { (0, 1) } else { (1, 0) };
            assert_eq!(began, (after.fresh - before.fresh, after.ready - before.ready), "{end:?}");
            if end != Litter {
                assert_eq!(usize::from(end.is_rewound()), after.waiting, "what waits after {end:?}");
            }
        }
    }
    assert!(sandbox.starts().unwrap().ready > 50);
}

#[test]
fn attack_a_guest_that_did_the_same_for_long_writes_to_one_page_more() {
    let sandbox = sandbox("quiet", "{}");
    let (image, mut place) = (image("quiet"), 1_u32);
    for round in 0..600 {
        place = place.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        PLACE.set(if round % 5 == 4 { place % (PAGES * PAGE) as u32 } else { 5000 });
        run(&sandbox, Page);
        assert!(SEEN.with_borrow(|seen| *seen == image), "round {round}");
    }
    assert_eq!(Starts { fresh: 1, ready: 599, waiting: 1 }, sandbox.starts().unwrap());
}

#[test]
fn attack_a_store_that_goes_from_thread_to_thread_is_rewound_whatever_another_thread_wrote() {
    let sandbox = sandbox("of the program", "{}");
    let image = image("of the program");
    for round in 0..40_usize {
        let (sandbox, image) = (&sandbox, &image);
        let work = move || {
            // A quiet run before tells this thread's faults nothing about what another thread wrote.
            PLACE.set((round * 7919 * 64 % (PAGES * PAGE)) as u32);
            run(sandbox, [Page, Scribble, Idle][round % 3]);
            assert!(SEEN.with_borrow(|seen| seen == image), "round {round}");
        };
        if round % 4 == 3 { work() } else { std::thread::scope(|scope| scope.spawn(work).join().unwrap()) }
    }
    assert_eq!(1, sandbox.starts().unwrap().fresh);
}

#[test]
fn attack_runs_at_the_same_time_never_share_a_store() {
    let sandbox = sandbox("of the program", "{}");
    let image = image("of the program");
    std::thread::scope(|scope| {
        for thread in 0..12 {
            let (sandbox, image) = (&sandbox, &image);
            scope.spawn(move || {
                for round in 0..30 {
                    run(sandbox, [Scribble, Trap, Idle, Exit, Grow][(thread + round) % 5]);
                    assert!(SEEN.with_borrow(|seen| seen == image), "thread {thread}, round {round}");
                }
            });
        }
    });
    assert!(sandbox.starts().unwrap().ready > 30);
}

#[test]
fn each_run_in_a_store_that_was_used_has_limits_of_its_own() {
    let sandbox = sandbox("of the program", r#"{"limits": {"memory": "8MiB", "fuel": 100000000}}"#);
    let first = run(&sandbox, Scribble);
    for end in [Scribble, Idle, Scribble, Page, Scribble] {
        let usage = run(&sandbox, end).usage;
        assert_eq!(first.usage.memory, usage.memory, "{end:?}");
        assert!(end != Scribble || first.usage.fuel == usage.fuel, "{usage:?}");
    }
    assert_eq!(5, sandbox.starts().unwrap().ready);
    // One that was made under a wider limit is not used under a narrower one.
    let mut limits = sandbox.policy().limits;
    limits.memory.0 = PAGE as u64;
    let refused = sandbox.run(Run {
        args: vec![],
        input: Source::Empty,
        stdout: Sink::Discard,
        stderr: Sink::Discard,
        source: None,
        limits,
        cancelled: Arc::default(),
        tick: None,
    });
    assert!(refused.is_err() || refused.is_ok_and(|result| result.outcome == Outcome::Limited));
    assert_eq!(5, sandbox.starts().unwrap().ready);
}

#[test]
fn what_waits_is_closed_when_nothing_has_run_for_a_while() {
    let sandbox = sandbox("of the program", "{}");
    run(&sandbox, Scribble);
    assert_eq!(1, sandbox.starts().unwrap().waiting);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while sandbox.starts().unwrap().waiting > 0 && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(Starts { fresh: 1, ready: 0, waiting: 0 }, sandbox.starts().unwrap());
    run(&sandbox, Scribble);
    assert_eq!(2, sandbox.starts().unwrap().fresh);
}
