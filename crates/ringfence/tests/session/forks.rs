//! Forks: what a session was, in another instance.

use ringfence::HostFunctions;
use ringfence::session::Forking;
use ringfence::worker::{self, Isolation};

use super::*;

/// The language of letters with a function that is called before a copy is made, and a word at 2304 that tells of it.
fn forkable(body: &str, limits: &str) -> Session {
    Session::open(&forkable_sandbox(body, limits), Opening::default()).unwrap()
}

pub fn forkable_sandbox(body: &str, limits: &str) -> Sandbox {
    let (program, policy, grants) = forkable_program(body, limits);
    Sandbox::new(&program, policy, grants, None).unwrap()
}

/// The same whose sessions are in workers.
pub fn forkable_elsewhere(body: &str, limits: &str) -> Sandbox {
    worker::set_worker(vec![env!("CARGO_BIN_EXE_ringfence-worker").into()]);
    let (program, policy, grants) = forkable_program(body, limits);
    Sandbox::isolated(&program, policy, grants, HostFunctions::default(), None, Isolation::Process, None).unwrap()
}

fn forkable_program(body: &str, limits: &str) -> (Program, Policy, Arc<Grants>) {
    load::set_compiler(vec![env!("CARGO_BIN_EXE_ringfence-compiler").into()]);
    let letters = include_str!("../../../guests/letters.wat");
    let hook = format!("(func (export \"_start\"))\n  (func (export \"rf_fork\") (param i32) (result i32) {body})");
    let wat = letters.replacen("(func (export \"_start\"))", &hook, 1);
    assert_ne!(letters, wat);
    let program = Program::language_from_bytes(wat.as_bytes(), "letters").unwrap();
    let policy = Policy::from_json(&format!(r#"{{"limits": {{{limits}}}}}"#), Path::new("/")).unwrap();
    let grants = Grants::open(&policy, &[]).unwrap();
    (program, policy, grants)
}

fn fork(session: &Session) -> Session {
    session.fork(1, Forking::default()).unwrap().remove(0)
}

#[test]
fn fork_goes_on_with_memory_and_globals_and_neither_sees_the_other() {
    let parent = forkable("(i32.const 2304)", "");
    assert_eq!(1, turns(&parent));
    let child = fork(&parent);
    assert_eq!([2, 3, 4], [turns(&child), turns(&child), turns(&child)]);
    let grandchild = fork(&child);
    assert_eq!([2, 5, 5], [turns(&parent), turns(&child), turns(&grandchild)]);
    drop(child);
    assert_eq!([6, 3], [turns(&grandchild), turns(&parent)]);
}

#[test]
fn snapshot_outlives_its_session_and_stays_as_it_was() {
    let parent = forkable("(i32.const 2304)", "");
    turns(&parent);
    let snapshot = parent.snapshot(Forking::default()).unwrap();
    turns(&parent);
    parent.close();
    drop(parent);
    for _ in 0..3 {
        for child in snapshot.fork(5, Forking::default()).unwrap() {
            assert_eq!([2, 3], [turns(&child), turns(&child)]);
        }
    }
}

#[test]
fn session_that_cannot_be_forked_says_so_and_goes_on() {
    let plain = session("");
    let refused = plain.fork(1, Forking::default()).unwrap_err().to_string();
    assert!(refused.contains("rf_fork"), "{refused}");
    assert_eq!(1, turns(&plain));
    plain.close();
    assert!(plain.fork(1, Forking::default()).unwrap_err().to_string().contains("closed"));
}

#[test]
fn attack_words_that_are_none_make_no_fork_and_the_session_goes_on() {
    for word in ["1", "2", "3", "-1", "-4", "131072", "131069", "2147483648"] {
        let parent = forkable(&format!("(i32.const {word})"), "");
        let refused = parent.fork(1, Forking::default()).unwrap_err().to_string();
        assert!(refused.contains("no place"), "{word}: {refused}");
        assert_eq!(1, turns(&parent), "{word}");
    }
}

#[test]
fn attack_a_guest_that_does_not_let_itself_be_captured_is_over_and_told_so() {
    for (body, why) in [
        ("(loop $again (br $again)) (i32.const 0)", "limit `wall`"),
        ("unreachable", "unreachable"),
        ("(call $exit (i32.const 0)) (i32.const 0)", "exited"),
        ("(call $sleep) (i32.const 0)", "limit `wall`"),
    ] {
        let parent = forkable(body, r#""wall": "1s""#);
        let started = Instant::now();
        let refused = parent.fork(1, Forking::default()).unwrap_err().to_string();
        assert!(refused.contains(why), "{body}: {refused}");
        assert!(started.elapsed() < Duration::from_secs(1) + LATE, "{body}: {:?}", started.elapsed());
        assert!(parent.poisoned().is_some(), "{body}");
    }
}

#[test]
fn fork_that_its_caller_gives_up_is_none() {
    let parent = forkable("(i32.const 2304)", "");
    let cancelled = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let forking = Forking { cancelled, ..Forking::default() };
    assert!(parent.fork(3, forking).is_err());
}

#[test]
fn attack_forks_of_a_guest_that_forged_what_its_driver_holds_harm_nobody() {
    let all = "(memory.fill (i32.const 0) (i32.const BYTE) (i32.mul (memory.size) (i32.const 65536)))";
    let end = "(i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4))";
    for byte in ["0", "1", "127", "128", "255"] {
        for word in ["(i32.const 2304)", "(i32.const 0)", end] {
            let forged = format!("{} {word}", all.replace("BYTE", byte));
            let parent = forkable(&forged, r#""wall": "2s", "memory": "16MiB""#);
            turns(&parent);
            let started = Instant::now();
            // Whatever they come to, they come to it by themselves.
            if let Ok(forks) = parent.fork(3, Forking::default()) {
                for fork in forks {
                    let _ = fork.eval(turn("c", ""));
                    let _ = fork.snapshot(Forking::default()).and_then(|again| again.fork(1, Forking::default()));
                }
            }
            assert!(started.elapsed() < Duration::from_secs(20), "{byte} {word}");
            let other = forkable("(i32.const 2304)", "");
            assert_eq!(1, turns(&other), "{byte} {word}");
            assert_eq!(2, turns(&fork(&other)), "{byte} {word}");
        }
    }
}
