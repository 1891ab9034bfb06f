//! What a session keeps, and what ends it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ringfence::session::{Opening, TurnError, TurnValue};
use ringfence::{Error, Session};

use super::{LATE, ended, eval, sandbox, session, timed, turn, turns};

#[test]
fn state_persists_between_turns() {
    let session = session("");
    eval(&session, "n");
    eval(&session, "p");
    assert_eq!(3, turns(&session));
}

#[test]
fn sessions_of_one_sandbox_share_nothing() {
    let sandbox = sandbox("");
    let [one, other] = [(); 2].map(|()| Session::open(&sandbox, Opening::default()).unwrap());
    eval(&one, "n");
    assert_eq!((2, 1), (turns(&one), turns(&other)));
}

#[test]
fn each_end_of_a_turn_is_told_apart() {
    let session = session("");
    let text = eval(&session, "t");
    assert_eq!(Some(TurnValue::Text("<object>".into())), text.value);
    let raised = eval(&session, "e");
    let error = TurnError { name: "Error".into(), message: "text".into(), traceback: "traceback".into() };
    assert_eq!(("raised".into(), Some(error)), (ended(&raised), raised.error));
    let exited = eval(&session, "x");
    assert_eq!(("exited".into(), Some(7)), (ended(&exited), exited.exit_code));
    let printed = eval(&session, "p");
    assert_eq!(("returned".into(), &b"hello\n"[..], 6), (ended(&printed), &printed.stdout[..], printed.usage.output));
    assert_eq!(5, turns(&session));
}

#[test]
fn interpreter_that_ends_poisons_its_session_with_the_reason() {
    for (source, end, why) in [
        ("q", "exited poisoned", "ended the interpreter"),
        ("u", "trapped poisoned", "unreachable"),
        ("r", "trapped poisoned", "stack overflow"),
    ] {
        let session = session("");
        assert_eq!(end, ended(&eval(&session, source)));
        let refused = session.eval(turn("n", "")).unwrap_err();
        assert!(matches!(refused, Error::Session(_)), "{refused}");
        assert!(refused.to_string().contains(why) && refused.to_string().contains("restart()"), "{refused}");
        assert!(session.poisoned().is_some_and(|told| told.contains(why)));
    }
}

#[test]
fn guest_hears_of_its_deadline_and_its_session_lives_on() {
    let session = session("");
    for source in ["s", "w"] {
        let (result, took) = timed(&session, source, r#""wall": 0.2"#);
        assert_eq!("limited wall", ended(&result));
        assert_eq!(Some("TimeoutError"), result.error.as_ref().map(|error| &error.name[..]));
        assert!(took >= Duration::from_millis(200) && took < Duration::from_millis(200) + LATE, "{took:?}");
    }
    assert_eq!(3, turns(&session));
}

#[test]
fn guest_hears_of_its_processor_time() {
    let session = session("");
    assert_eq!("limited cpu", ended(&timed(&session, "s", r#""cpu": 0.1"#).0));
    assert_eq!(2, turns(&session));
}

#[test]
fn guest_that_does_not_listen_is_stopped_for_good() {
    for source in ["l", "W"] {
        let session = session("");
        let (result, took) = timed(&session, source, r#""wall": 0.2"#);
        assert_eq!("limited wall poisoned", ended(&result));
        assert!(took < Duration::from_millis(200) + LATE, "{took:?}");
        assert!(session.eval(turn("n", "")).is_err());
    }
}

#[test]
fn what_came_too_late_to_be_noticed_is_not_for_the_next_turn() {
    let session = session("");
    let (slept, _) = timed(&session, "y", r#""wall": 0.1"#);
    assert_eq!("returned wall", ended(&slept));
    assert_eq!(Some(0), eval(&session, "i").exit_code);
}

#[test]
fn ctrl_c_interrupts_the_guest_first_and_ends_it_when_it_does_not_listen() {
    let session = session("");
    let ticks = AtomicU32::new(0);
    let mut once = || ticks.fetch_add(1, Ordering::SeqCst) != 1;
    let mut turn_ = turn("s", "");
    turn_.tick = Some(&mut once);
    let result = session.eval(turn_).unwrap();
    assert_eq!(("cancelled".into(), "KeyboardInterrupt".into()), (ended(&result), result.error.unwrap().name));
    assert_eq!(2, turns(&session));

    let mut always = || false;
    let mut turn_ = turn("l", "");
    turn_.tick = Some(&mut always);
    assert_eq!("cancelled poisoned", ended(&session.eval(turn_).unwrap()));
}

#[test]
fn memory_that_is_refused_is_the_guests_to_handle() {
    let session = session(r#""memory": "4MiB""#);
    let result = eval(&session, "m");
    assert_eq!(("raised".into(), "MemoryError".into()), (ended(&result), result.error.unwrap().name));
    assert_eq!(vec!["memory"], result.denials.iter().map(|denial| denial.kind).collect::<Vec<_>>());
    let next = eval(&session, "n");
    assert!(next.denials.is_empty(), "denials are a turn's: {:?}", next.denials);
}

#[test]
fn flood_ends_at_its_limit_and_poisons() {
    let session = session("");
    let (result, _) = timed(&session, "o", r#""output": 1000"#);
    assert_eq!(("limited output poisoned".into(), 1000), (ended(&result), result.stdout.len()));
}

#[test]
fn totals_of_a_session_bound_its_turns_together() {
    let session = session(r#""output": 15"#);
    assert_eq!(6, eval(&session, "p").stdout.len());
    assert_eq!(6, eval(&session, "p").stdout.len());
    let last = eval(&session, "p");
    assert_eq!(("limited output poisoned".into(), &b"hel"[..]), (ended(&last), &last.stdout[..]));

    let slow = super::session(r#""wall": 0.5"#);
    assert_eq!("limited wall", ended(&eval(&slow, "s")));
    let refused = slow.eval(turn("n", "")).unwrap_err();
    assert!(refused.to_string().contains("used up the total `wall`"), "{refused}");
}

#[test]
fn fuel_is_counted_over_turns() {
    let session = session(r#""fuel": 100000"#);
    let first = eval(&session, "n").usage.fuel.unwrap();
    assert!(first > 0 && first < 10_000, "{first}");
    assert_eq!("limited fuel poisoned", ended(&eval(&session, "l")));
}

#[test]
fn limits_of_a_turn_may_only_narrow_and_only_what_ends_with_it() {
    let session = session(r#""wall": 1"#);
    for (limits, why) in
        [(r#""wall": 2"#, "wider"), (r#""disk": 1"#, "not a limit of one turn"), (r#""compile": 1"#, "compile")]
    {
        let refused = session.eval(turn("n", limits)).unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
    }
    assert_eq!(1, turns(&session));
}

#[test]
fn source_of_any_length_reaches_the_guest() {
    let session = session("");
    for len in [0, 1, 16 << 10, (16 << 10) + 1, 10 << 20] {
        assert_eq!("returned", ended(&eval(&session, vec![b'n'; len])), "{len}");
    }
    let small = super::session(r#""memory": "1MiB""#);
    let result = eval(&small, vec![b'n'; 2 << 20]);
    assert_eq!(("raised".into(), "MemoryError".into()), (ended(&result), result.error.unwrap().name));
    assert_eq!(1, turns(&small));
}

#[test]
fn closed_session_runs_no_turn() {
    let session = session("");
    session.close();
    session.close();
    assert!(session.eval(turn("n", "")).unwrap_err().to_string().contains("closed"));
}

#[test]
fn turns_of_two_threads_at_once_are_refused_by_name() {
    let session = session("");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            loop {
                // The other thread may have its turn first.
                if let Ok(result) = session.eval(turn("s", r#""wall": 1"#)) {
                    break result;
                }
            }
        });
        loop {
            match session.eval(turn("n", "")) {
                Err(refused) => break assert!(refused.to_string().contains("one at a time"), "{refused}"),
                Ok(_) => std::thread::yield_now(),
            }
        }
        assert_eq!("limited wall", ended(&first.join().unwrap()));
    });
    assert_eq!("returned", ended(&eval(&session, "n")));
}

#[test]
fn pack_without_turns_holds_no_session() {
    use ringfence::{Policy, Program, Sandbox, sandbox::files::Grants};
    let program = Program::language_from_bytes(&b"(module (func (export \"_start\")))"[..], "mute").unwrap();
    sandbox("");
    let policy = Policy::default();
    let grants = Grants::open(&policy, &[]).unwrap();
    let mute = Sandbox::new(&program, policy, grants, None).unwrap();
    let refused = Session::open(&mute, Opening::default()).unwrap_err();
    assert!(refused.to_string().contains("exports no `rf_abi`"), "{refused}");
}

/// Bytes that this process alone has written.
fn private_bytes() -> u64 {
    let told = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = told.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn what_many_closed_sessions_held_is_given_back() {
    let sandbox = sandbox("");
    let filled = || {
        let session = Session::open(&sandbox, Opening::default()).unwrap();
        // Beyond the buffer, it goes to memory of its own.
        assert_eq!("returned", ended(&eval(&session, vec![b'n'; 900 << 10])));
        session
    };
    drop(filled());
    let before = private_bytes();
    let many: Vec<Session> = (0..200).map(|_| filled()).collect();
    let held = private_bytes().saturating_sub(before);
    assert!(held > 200 * (900 << 10), "{held}");
    drop(many);
    let left = private_bytes().saturating_sub(before);
    assert!(left < held / 4, "{left} of {held}");
}
