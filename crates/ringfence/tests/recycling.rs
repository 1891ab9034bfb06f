//! Memory that is used again: whatever a run did to it and however it ended, the next one begins with the pack's own
//! bytes and with nothing else.
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
use ringfence::{HostFunctions, Outcome, Policy, Program, Run, RunResult, Sandbox};

const PAGE: usize = 64 << 10;

/// What the guest does when it has written over all that it can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Return,
    Trap,
    Loop,
    Exit,
    Panic,
    /// It grows until it may not, then returns.
    Greed,
    /// It writes nothing at all.
    Idle,
}

const ENDS: [End; 7] = [End::Return, End::Trap, End::Loop, End::Exit, End::Panic, End::Greed, End::Idle];

thread_local! {
    static END: Cell<End> = const { Cell::new(End::Return) };
    /// What runs on this thread found: where their memory is, and what was in it.
    static SEEN: RefCell<Vec<(usize, Vec<u8>)>> = const { RefCell::new(Vec::new()) };
    /// Where the next guest of `quiet` writes, beside where it always does.
    static PLACE: Cell<u32> = const { Cell::new(0) };
    /// What its memory is to begin with, and whether it did; looked at in place, for memory that is new is a fault.
    static IMAGE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static IS_IMAGE: Cell<bool> = const { Cell::new(false) };
}

/// A pack whose memory begins with this many pages, and with this text at several places.
fn pack(pages: usize, text: &str) -> String {
    format!(
        r#"(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "planted" "look" (func $look))
  (import "planted" "end" (func $end (result i32)))
  (import "planted" "panic" (func $panic))
  (memory (export "memory") {pages})
  (global $stack (mut i32) (i32.const 5))
  (global $double (mut f64) (f64.const 5))
  (table 4 funcref) (elem (i32.const 1) $look $panic)
  (data (i32.const 1000) "{text}") (data (i32.const {middle}) "{text}") (data (i32.const {last}) "{text}")
  (func $scribble (param $from i32)
    (memory.fill (local.get $from) (i32.const 0xaa) (i32.sub (i32.mul (memory.size) (i32.const 65536)) (local.get $from)))
    (global.set $stack (i32.const 77)) (global.set $double (f64.const 77)))
  (func (export "_start") (local $how i32)
    (call $look)
    (if (i32.ne (global.get $stack) (i32.const 5)) (then (call $exit (i32.const 90))))
    (if (f64.ne (global.get $double) (f64.const 5)) (then (call $exit (i32.const 91))))
    (local.set $how (call $end))
    (if (i32.eq (local.get $how) (i32.const 6)) (then (return)))
    (call $scribble (i32.const 0))
    (drop (memory.grow (i32.const 9)))
    (call $scribble (i32.const 0))
    (if (i32.eq (local.get $how) (i32.const 1)) (then unreachable))
    (if (i32.eq (local.get $how) (i32.const 2)) (then (loop $again (br $again))))
    (if (i32.eq (local.get $how) (i32.const 3)) (then (call $exit (i32.const 3))))
    (if (i32.eq (local.get $how) (i32.const 4)) (then (call $panic)))
    (if (i32.eq (local.get $how) (i32.const 5)) (then
      (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
      (call $scribble (i32.const 0))
      (call $look)))))"#,
        middle = pages * PAGE / 2 - 2,
        last = pages * PAGE - text.len(),
    )
}

/// What that memory begins with.
fn image(pages: usize, text: &str) -> Vec<u8> {
    let mut image = vec![0; pages * PAGE];
    for at in [1000, pages * PAGE / 2 - 2, pages * PAGE - text.len()] {
        image[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    image
}

fn sandbox(wat: &str, limits: &str) -> Sandbox {
    ringfence::worker::plant(|linker| {
        linker.func_wrap("planted", "look", |mut caller: wasmtime::Caller<'_, State>| {
            let memory = caller.get_export("memory").and_then(|export| export.into_memory()).unwrap();
            let seen = (memory.data_ptr(&caller) as usize, memory.data(&caller).to_vec());
            SEEN.with_borrow_mut(|all| all.push(seen));
        })?;
        linker.func_wrap("planted", "end", || END.get() as i32)?;
        linker.func_wrap("planted", "place", || PLACE.get())?;
        linker.func_wrap("planted", "compare", |mut caller: wasmtime::Caller<'_, State>| {
            let memory = caller.get_export("memory").and_then(|export| export.into_memory()).unwrap();
            IS_IMAGE.set(IMAGE.with_borrow(|image| memory.data(&caller) == image));
        })?;
        linker.func_wrap("planted", "panic", || -> () { panic!("a host function panics") })?;
        Ok(())
    });
    set_compiler(vec![env!("CARGO_BIN_EXE_ringfence-compiler").into()]);
    let program = Program::language_from_bytes(wat.as_bytes(), "pack").unwrap();
    let policy = Policy::from_json(&format!(r#"{{"limits": {{{limits}}}}}"#), Path::new("/")).unwrap();
    let grants = Grants::open(&policy, &[]).unwrap();
    Sandbox::with_functions(&program, policy, grants, HostFunctions::default(), None).unwrap()
}

/// Runs it on this thread; what it saw, and its result.
fn run(sandbox: &Sandbox, end: End) -> (Vec<(usize, Vec<u8>)>, RunResult) {
    END.set(end);
    let mut limits = sandbox.policy().limits;
    if end == End::Loop {
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
    (SEEN.take(), result.unwrap())
}

#[test]
fn attack_nothing_of_the_run_before_is_seen_however_it_ended() {
    // The second is more than a region keeps resident.
    for pages in [8, 96] {
        let sandbox = sandbox(&pack(pages, "of the pack"), "");
        let image = image(pages, "of the pack");
        let (mut before, mut again) = (None, 0);
        for end in ENDS.into_iter().chain(ENDS.into_iter().rev()) {
            let (seen, result) = run(&sandbox, end);
            let outcome = match end {
                End::Return | End::Idle | End::Greed => Outcome::Exited,
                End::Trap => Outcome::Trapped,
                End::Loop => Outcome::Limited,
                End::Exit => Outcome::Exited,
                End::Panic => Outcome::Crashed,
            };
            assert_eq!(outcome, result.outcome, "{end:?}: {result:?}");
            assert!(![Some(90), Some(91)].contains(&result.exit_code), "{end:?}: a global");
            assert!(seen[0].1 == image, "after {before:?}");
            again += usize::from(before.is_some_and(|(_, base)| base == seen[0].0));
            before = Some((end, seen[0].0));
        }
        assert!(again > 7, "{pages} pages: the memory of {again} runs was used again");
    }
}

/// A pack that writes to one page, always the same, and to a byte that is chosen for each run.
const QUIET: &str = r#"(module
  (import "planted" "compare" (func $compare))
  (import "planted" "place" (func $place (result i32)))
  (memory (export "memory") 8)
  (data (i32.const 1000) "quiet") (data (i32.const 262142) "quiet") (data (i32.const 524283) "quiet")
  (func (export "_start")
    (call $compare)
    (i32.store8 (i32.const 5000) (i32.const 0xaa))
    (i32.store8 (call $place) (i32.const 0xaa))))"#;

#[test]
fn attack_a_guest_that_did_the_same_for_long_writes_to_one_page_more() {
    let sandbox = sandbox(QUIET, "");
    IMAGE.set(image(8, "quiet"));
    let mut place = 1_u32;
    for round in 0..600 {
        place = place.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        PLACE.set(if round % 5 == 4 { place % (8 * PAGE as u32) } else { 5000 });
        let (_, result) = run(&sandbox, End::Return);
        assert_eq!(Outcome::Exited, result.outcome, "{result:?}");
        assert!(IS_IMAGE.get(), "round {round}");
    }
}

#[test]
fn attack_memory_of_another_pack_is_never_seen() {
    let packs = ["of one", "of another", "of a third"].map(|text| (sandbox(&pack(8, text), ""), image(8, text)));
    for round in 0..30 {
        for (sandbox, image) in packs.iter().cycle().skip(round).take(2) {
            let (seen, _) = run(sandbox, ENDS[round % 2]);
            assert!(seen[0].1 == *image, "round {round}");
        }
    }
}

#[test]
fn attack_runs_at_the_same_time_see_nothing_of_each_other() {
    let sandbox = sandbox(&pack(16, "of the pack"), "");
    let image = image(16, "of the pack");
    std::thread::scope(|scope| {
        for thread in 0..24 {
            let (sandbox, image) = (&sandbox, &image);
            scope.spawn(move || {
                for round in 0..20 {
                    let end = [End::Return, End::Trap, End::Exit, End::Idle][(thread + round) % 4];
                    assert!(run(sandbox, end).0[0].1 == *image, "thread {thread}, round {round}");
                }
            });
        }
    });
}

#[test]
fn memory_that_is_used_again_has_the_same_limit() {
    let sandbox = sandbox(&pack(8, "of the pack"), r#""memory": "2MiB""#);
    for round in 0..6 {
        let (seen, result) = run(&sandbox, End::Greed);
        assert!(result.usage.memory > (2 << 20) - PAGE as u64 && result.usage.memory <= 2 << 20, "round {round}");
        assert_eq!(result.usage.memory as usize / PAGE, seen[1].1.len() / PAGE, "round {round}");
    }
}

#[test]
fn pack_whose_memory_cannot_be_lent_runs_all_the_same() {
    let changing = pack(8, "of the pack").replace(
        "(func (export \"_start\")",
        "(func (export \"change\") (table.set (i32.const 0) (ref.null func))) (func (export \"_start\")",
    );
    let sandbox = sandbox(&changing, "");
    for end in ENDS {
        let (seen, _) = run(&sandbox, end);
        assert!(seen[0].1 == image(8, "of the pack"), "{end:?}");
    }
}
