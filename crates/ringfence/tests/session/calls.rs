//! Functions of the host that a session's guest calls.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock, Weak};
use std::thread::ThreadId;
use std::time::Duration;

use ringfence::Session;
use ringfence::host::{Raised, SessionFunctions};
use ringfence::language::value::{Item, Writer};
use ringfence::session::TurnValue;

use super::{LATE, ended, eval, session, timed, turn, turns, with};

/// A message of kind `F`: a call by name, without arguments.
fn call(name: &str) -> Vec<u8> {
    let mut writer = Writer::default();
    [Item::List(3), Item::Text(name), Item::List(0), Item::Map(0)].into_iter().for_each(|item| writer.item(item));
    [b"MF".to_vec(), writer.into_bytes()].concat()
}

struct Echo;

impl SessionFunctions for Echo {
    fn list(&self) -> Vec<u8> {
        b"\x81\x83\x64echo\x62()\x60".to_vec()
    }

    fn call(&self, name: &str, arguments: &[u8]) -> Result<Vec<u8>, Raised> {
        match name {
            "echo" => Ok([b"\x82\x00", arguments].concat()[..3].to_vec()),
            "large" => Ok([b"\x82\x00\x59\x27\x10".to_vec(), vec![7; 10_000]].concat()),
            "huge" => Ok(vec![0; 70 << 20]),
            "panic" => panic!("a function panics"),
            other => Err(Raised::new(format!("{other} broke"))),
        }
    }
}

#[test]
fn function_is_called_and_answers() {
    let session = with(Echo, "");
    let result = eval(&session, call("echo"));
    assert_eq!(Some(TurnValue::Encoded(b"\x82\x00\x80".to_vec())), result.value);
    assert_eq!(1, result.calls);
    assert_eq!(Some(TurnValue::Encoded(Echo.list())), eval(&session, "ML").value);
    match eval(&session, call("large")).value {
        Some(TurnValue::Encoded(value)) => assert_eq!(10_005, value.len()),
        other => panic!("{other:?}"),
    }
    assert_eq!(0, eval(&session, "n").calls);
}

#[test]
fn function_that_breaks_ends_the_turn_and_the_session() {
    for name in ["unknown", "panic"] {
        let session = with(Echo, "");
        let result = eval(&session, call(name));
        assert_eq!("crashed poisoned", ended(&result));
        assert!(result.raised.unwrap().why.contains(name));
    }
}

#[test]
fn answer_longer_than_the_host_may_hold_is_refused_to_the_guest() {
    let session = with(Echo, "");
    assert_eq!(Some(3), eval(&session, call("huge")).exit_code);
    assert_eq!(2, turns(&session));
}

#[test]
fn session_without_functions_has_none() {
    let session = session("");
    assert_eq!(Some(2), eval(&session, "ML").exit_code);
    assert_eq!(Some(2), eval(&session, call("echo")).exit_code);
}

#[test]
fn attack_calls_that_are_none_are_refused_and_never_reach_a_function() {
    struct Never;
    impl SessionFunctions for Never {
        fn list(&self) -> Vec<u8> {
            b"\x80".to_vec()
        }
        fn call(&self, name: &str, _: &[u8]) -> Result<Vec<u8>, Raised> {
            panic!("{name} was called");
        }
    }
    let session = with(Never, "");
    let forged: [&[u8]; 13] = [
        b"F",
        b"F\x83",
        b"F\x83\x01\x80\xa0",
        b"F\x83\x61f\xa0\xa0",
        b"F\x83\x61f\x80\x80",
        b"F\x83\x61f\x80\xa0\x00",
        b"F\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"F\x82\x61f\x80",
        b"L\x00",
        b"G\x83\x61f\x80\x80",
        b"W\x80",
        b"D\x20",
        b"D\xf6",
    ];
    for message in forged {
        let result = eval(&session, [b"M", message].concat());
        assert_eq!((Some(1), 0), (result.exit_code, result.calls), "{message:x?}");
    }
}

/// Tells nothing, and remembers where it was called.
#[derive(Clone, Default)]
struct Where(Arc<Mutex<Vec<ThreadId>>>);

impl SessionFunctions for Where {
    fn list(&self) -> Vec<u8> {
        b"\x80".to_vec()
    }

    fn call(&self, _: &str, _: &[u8]) -> Result<Vec<u8>, Raised> {
        self.0.lock().unwrap().push(std::thread::current().id());
        Ok(b"\x82\x00\xf6".to_vec())
    }
}

#[test]
fn functions_are_called_on_a_thread_that_their_caller_can_leave_behind() {
    let called = Where::default();
    let session = with(called.clone(), "");
    // Turns that call nothing stay on their caller's thread, and one may follow the other on another.
    for turn in [call("f"), b"n".to_vec(), call("f")] {
        assert!(!eval(&session, turn).poisoned);
    }
    assert_eq!(4, turns(&session));
    let called = called.0.lock().unwrap();
    assert!(called.len() == 2 && !called.contains(&std::thread::current().id()), "{called:?}");
}

/// Answers at once what it is asked to begin.
struct AtOnce;

impl SessionFunctions for AtOnce {
    fn list(&self) -> Vec<u8> {
        b"\x80".to_vec()
    }

    fn call(&self, _: &str, _: &[u8]) -> Result<Vec<u8>, Raised> {
        Ok(b"\x82\x00\xf5".to_vec())
    }

    fn wait(&self, _: Duration) -> Result<Vec<(u64, Vec<u8>)>, Raised> {
        panic!("nothing is under way");
    }
}

#[test]
fn call_that_need_not_wait_ends_at_once_and_leaves_nothing_to_wait_for() {
    let session = with(AtOnce, "");
    let begin = [b"MG", &call("f")[2..]].concat();
    let result = eval(&session, begin);
    assert_eq!((Some(TurnValue::Encoded(b"\x82\x00\xf5".to_vec())), 1), (result.value, result.calls));
    assert_eq!(Some(2), eval(&session, b"MW\xf6").exit_code);
    assert_eq!(Some(TurnValue::Encoded(b"\xf6".to_vec())), eval(&session, b"MD\x01").value);
}

/// Blocks until it is let go.
struct Block(Arc<Barrier>);

impl SessionFunctions for Block {
    fn list(&self) -> Vec<u8> {
        b"\x80".to_vec()
    }

    fn call(&self, _: &str, _: &[u8]) -> Result<Vec<u8>, Raised> {
        self.0.wait();
        Ok(b"\x82\x00\xf6".to_vec())
    }
}

#[test]
fn function_that_blocks_is_left_behind_by_name_at_the_deadline() {
    let barrier = Arc::new(Barrier::new(2));
    let session = with(Block(barrier.clone()), "");
    let (result, took) = timed(&session, call("wait"), r#""wall": 0.2"#);
    assert_eq!("limited wall poisoned", ended(&result));
    assert_eq!(Some("wait"), result.abandoned.as_deref());
    assert!(took < Duration::from_millis(200) + LATE, "{took:?}");
    assert!(session.eval(turn("n", "")).is_err());
    barrier.wait();
}

/// Runs a turn of its own session.
struct Again {
    session: OnceLock<Weak<Session>>,
    refused: AtomicU32,
}

impl SessionFunctions for &'static Again {
    fn list(&self) -> Vec<u8> {
        b"\x80".to_vec()
    }

    fn call(&self, _: &str, _: &[u8]) -> Result<Vec<u8>, Raised> {
        let session = self.session.get().and_then(Weak::upgrade).unwrap();
        let refused = session.eval(turn("n", "")).unwrap_err();
        assert!(refused.to_string().contains("one at a time"), "{refused}");
        self.refused.fetch_add(1, Ordering::SeqCst);
        Ok(b"\x82\x00\xf6".to_vec())
    }
}

#[test]
fn attack_turn_inside_a_function_of_the_same_session_is_refused() {
    let again: &'static Again = Box::leak(Box::new(Again { session: OnceLock::new(), refused: AtomicU32::new(0) }));
    let session = Arc::new(with(again, ""));
    again.session.set(Arc::downgrade(&session)).unwrap();
    assert_eq!("returned", ended(&eval(&session, call("again"))));
    assert_eq!(1, again.refused.load(Ordering::SeqCst));
    assert_eq!(2, turns(&session));
}
