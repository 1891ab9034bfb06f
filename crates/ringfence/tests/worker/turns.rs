//! Workers that have fallen and hold a session: what they say of a turn is believed of their guest, and of nothing else.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ringfence::host::{Raised, SessionFunctions};
use ringfence::policy::LimitsPatch;
use ringfence::sandbox::files::Grants;
use ringfence::sandbox::stdio::Sink;
use ringfence::session::{Opening, Turn, TurnResult};
use ringfence::worker::Isolation;
use ringfence::{HostFunctions, Policy, Program, Sandbox, Session};

use crate::hostile::{answer, asked, header};
use crate::{GRACE, Workers};

/// A result that is believed.
fn turned(number: u64, parent: &mut UnixStream) {
    let ended = r#"{"outcome": "exited", "exit_code": 0, "limit": null, "trap": null, "backtrace": null,
        "truncated": false, "stdout_bytes": 0, "wall_nanos": 1, "cpu_nanos": 1, "memory_bytes": 1, "output_bytes": 0,
        "fuel": null, "denials": []}"#;
    let turned = format!(
        r#"{{"turned": {{"ended": {ended}, "outcome": "returned", "heard": null, "value": {{"encoded": 1}},
            "error": null, "poisoned": false}}}}"#
    );
    answer(parent, number, &turned, b"\x07");
}

fn ask(parent: &mut UnixStream, number: u64, message: &[u8]) {
    answer(parent, number, r#"{"ask": {"cpu_nanos": 0, "memory_bytes": 0}}"#, message);
}

/// A call of `f`, with a list and a map that are empty.
const CALL: &[u8] = b"F\x83\x61f\x80\xa0";

/// What a worker of that name does when it is asked for a turn.
pub fn misbehave(name: &str, number: u64, parent: &mut UnixStream) {
    match name {
        "turns honestly" => turned(number, parent),
        "turns asking" => {
            ask(parent, number, CALL);
            assert_eq!(number, asked(parent).0);
            turned(number, parent);
        }
        "turns in silence" => {}
        "turns and dies" => std::process::exit(3),
        "turns another" => turned(number + 1, parent),
        "turns as a run" => answer(parent, number, crate::hostile::ENDED, b""),
        "turns by opening again" => answer(parent, number, r#"{"opened": {"hears": true}}"#, b""),
        "turns with an import" => {
            answer(
                parent,
                number,
                r#"{"call": {"function": 0, "params": [], "cpu_nanos": 0, "memory_bytes": 0}}"#,
                b"",
            );
        }
        "turns with no call" => ask(parent, number, b""),
        "turns with half a call" => ask(parent, number, &CALL[..3]),
        "turns with more than a call" => ask(parent, number, &[CALL, b"\x00"].concat()),
        "turns with a name that is none" => ask(parent, number, b"F\x83\x61\xff\x80\xa0"),
        "turns with arguments that are none" => ask(parent, number, b"F\x83\x61f\x00\xa0"),
        "turns with a huge call" => {
            ask(parent, number, &[&[b'F', 0x83, 0x61, b'f', 0x99, 0xff, 0xff][..], &[0xf6; 65535], &[0xa0]].concat())
        }
        "turns with a message of another kind" => ask(parent, number, b"S"),
        "turns with a request" => ask(parent, number, b"H\xa0"),
        "turns with a wait that is none" => ask(parent, number, b"W\x80"),
        "turns with what is refused" => {
            // To wait where nothing is under way, to end what was never begun.
            for message in [b"W\xf6".as_slice(), b"D\x07"] {
                ask(parent, number, message);
                assert_eq!(number, asked(parent).0);
            }
            turned(number, parent);
        }
        "turns with a call without end" => {
            let ask = br#"{"ask": {"cpu_nanos": 0, "memory_bytes": 0}}"#;
            let frame = [&header(ask.len() as u32, 0, number, u64::MAX)[..], ask].concat();
            std::io::Write::write_all(parent, &frame).unwrap();
        }
        "turns without waiting" => {
            ask(parent, number, CALL);
            ask(parent, number, CALL);
        }
        "turns inside a call" => {
            ask(parent, number, CALL);
            turned(number, parent);
        }
        "turns twice" => {
            turned(number, parent);
            turned(number, parent);
        }
        "turns on and on" => loop {
            ask(parent, number, CALL);
            asked(parent);
        },
        other => panic!("{other}"),
    }
}

struct Count(Arc<AtomicU64>);

impl SessionFunctions for Count {
    fn list(&self) -> Vec<u8> {
        b"\x80".to_vec()
    }

    fn call(&self, _: &str, _: &[u8]) -> Result<Vec<u8>, Raised> {
        self.0.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(20));
        Ok(b"\x82\x00\x00".to_vec())
    }
}

/// A session in a worker of that name, and how often its function was called.
fn open(name: &str, functions: bool) -> (Session, Arc<AtomicU64>, Workers) {
    let workers = Workers::fallen(name);
    let letters = include_bytes!("../../../guests/letters.wat").as_slice();
    let program = Program::language_from_bytes(letters, "letters").unwrap();
    let limits = r#"{"limits": {"host_bytes": "1MiB", "wall": 5}}"#;
    let policy = Policy::from_json(limits, Path::new("/")).unwrap();
    let grants = Grants::open(&policy, &[]).unwrap();
    let none = HostFunctions::default();
    let sandbox = Sandbox::isolated(&program, policy, grants, none, None, Isolation::Process, None).unwrap();
    let made = Arc::new(AtomicU64::new(0));
    let functions = functions.then(|| Arc::new(Count(made.clone())) as Arc<dyn SessionFunctions>);
    let session = Session::open(&sandbox, Opening { functions, ..Opening::default() }).unwrap();
    (session, made, workers)
}

fn eval(session: &Session) -> ringfence::Result<TurnResult> {
    session.eval(Turn {
        source: b"n".as_slice().into(),
        stdout: Sink::Capture(Vec::new()),
        stderr: Sink::Capture(Vec::new()),
        limits: LimitsPatch::from_json(r#"{"wall": 0.5}"#).unwrap(),
        cancelled: Arc::default(),
        tick: None,
    })
}

#[test]
fn a_worker_that_turns_as_it_may_is_believed_and_answered() {
    {
        let (session, _, _workers) = open("turns honestly", false);
        for _ in 0..3 {
            assert_eq!("returned", eval(&session).unwrap().outcome.name());
        }
    }
    let (session, made, _workers) = open("turns asking", true);
    let result = eval(&session).unwrap();
    assert_eq!(("returned", 1), (result.outcome.name(), result.calls));
    assert_eq!(1, made.load(Ordering::Relaxed));
}

#[test]
fn attack_what_no_session_can_say_calls_nothing_and_poisons_it() {
    for name in [
        "turns another",
        "turns as a run",
        "turns by opening again",
        "turns with an import",
        "turns with no call",
        "turns with half a call",
        "turns with more than a call",
        "turns with a name that is none",
        "turns with arguments that are none",
        "turns with a huge call",
        "turns with a call without end",
        "turns with a message of another kind",
        "turns with a request",
        "turns with a wait that is none",
    ] {
        let (session, made, _workers) = open(name, true);
        let result = eval(&session).unwrap();
        assert_eq!(("crashed", true), (result.outcome.name(), result.poisoned), "{name}: {:?}", result.trap);
        assert!(result.trap.unwrap().starts_with("the worker broke its protocol: "), "{name}");
        assert_eq!(0, made.load(Ordering::Relaxed), "{name}");
        assert!(eval(&session).is_err(), "{name}");
    }
}

#[test]
fn attack_a_worker_that_asks_after_calls_of_nobody_learns_nothing() {
    let (session, made, _workers) = open("turns with what is refused", true);
    let result = eval(&session).unwrap();
    assert_eq!(("returned", 0, 0), (result.outcome.name(), result.calls, made.load(Ordering::Relaxed)));
}

#[test]
fn attack_a_worker_that_does_not_wait_for_its_answer_gets_none() {
    for name in ["turns without waiting", "turns inside a call"] {
        let (session, made, _workers) = open(name, true);
        let result = eval(&session).unwrap();
        assert_eq!(("crashed", true), (result.outcome.name(), result.poisoned), "{name}: {:?}", result.trap);
        assert_eq!(1, made.load(Ordering::Relaxed), "{name}");
    }
}

#[test]
fn attack_a_worker_that_asks_where_there_is_no_function_is_killed() {
    let (session, _, _workers) = open("turns asking", false);
    let result = eval(&session).unwrap();
    assert_eq!(("crashed", true), (result.outcome.name(), result.poisoned));
    assert!(result.trap.unwrap().contains("was given none"));
}

#[test]
fn attack_an_answer_that_nobody_asked_for_is_the_end_of_the_next_turn() {
    let (session, _, _workers) = open("turns twice", false);
    assert_eq!("returned", eval(&session).unwrap().outcome.name());
    let result = eval(&session).unwrap();
    assert_eq!(("crashed", true), (result.outcome.name(), result.poisoned));
}

#[test]
fn attack_a_worker_that_never_ends_a_turn_is_killed_soon_after_its_deadline() {
    for (name, functions) in [("turns in silence", false), ("turns in silence", true), ("turns on and on", true)] {
        let (session, _, _workers) = open(name, functions);
        let began = Instant::now();
        let result = eval(&session).unwrap();
        assert_eq!(("limited", true), (result.outcome.name(), result.poisoned), "{name}");
        // It may say that its guest hears of its end, which takes a moment more.
        assert!(began.elapsed() < Duration::from_millis(700) + 2 * GRACE, "{name}: {:?}", began.elapsed());
    }
    let (session, _, _workers) = open("turns and dies", false);
    let result = eval(&session).unwrap();
    assert!(result.poisoned && result.trap.unwrap().contains("exit code 3"));
}

#[test]
fn time_of_a_turn_is_told_by_the_parent_whatever_its_worker_claims() {
    let (session, _, _workers) = open("turns asking", true);
    assert!(eval(&session).unwrap().usage.wall >= Duration::from_millis(20));
}
