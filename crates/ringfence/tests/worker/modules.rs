//! Workers that have fallen and hold a plugin of a core module: what they say of its memory is within its bounds, or is
//! the end of them.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ringfence::host::Raised;
use ringfence::plugin::{Access, Accessed, Asked, Imports, Instances, Returned, Tape};
use ringfence::{Outcome, RunResult};

use crate::driver::wall;
use crate::hostile::{answer, asked, header};
use crate::plugins::{call, gave, open_of, tape};
use crate::{GRACE, Workers};

const MODULE: &str = r#"(module
  (import "host" "look" (func $look (param i32) (result i32)))
  (memory (export "memory") 1 4)
  (global (export "count") (mut i32) (i32.const 0))
  (func (export "f") (result i32) (call $look (i32.const 1))))"#;

/// What a worker of that name does when a function is called.
pub fn called(name: &str, number: u64, parent: &mut UnixStream) {
    if name.starts_with("gives no number") {
        return gave(parent, number, tape(&[1 << 40], &[]));
    }
    call(parent, number, 0, tape(&[1], &[]));
    loop {
        let (again, metadata) = asked(parent);
        assert_eq!(number, again);
        match metadata.split('"').nth(1) {
            Some("touch") => touch(name, number, &metadata, parent),
            _ => return gave(parent, number, tape(&[7], &[])),
        }
    }
}

/// The same when its memory is touched between two calls.
pub fn touched(name: &str, number: u64, metadata: &str, parent: &mut UnixStream) {
    touch(name.strip_prefix("module that ").unwrap(), number, metadata, parent);
}

fn touch(name: &str, number: u64, metadata: &str, parent: &mut UnixStream) {
    let mut say = |touched: &str, tail: &[u8]| answer(parent, number, &format!(r#"{{"touched": {touched}}}"#), tail);
    match name {
        "is honest" if metadata.contains("size") => say(r#"{"size": 65536}"#, b""),
        "is honest" if metadata.contains("grow") => say(r#""full""#, b""),
        "is honest" if metadata.contains("global") => say(r#"{"word": 7}"#, b""),
        "is honest" if metadata.contains(r#""at":65536"#) => say(r#"{"outside": 65536}"#, b""),
        "is honest" if metadata.contains("read") => say(r#""read""#, b"mine"),
        "is honest" => say(r#""written""#, b""),
        "reads more" => say(r#""read""#, b"mine!"),
        "reads less" => say(r#""read""#, b"min"),
        "reads nothing" => say(r#""read""#, b""),
        "writes instead" => say(r#""written""#, b""),
        "writes with a tail" => say(r#""written""#, b"mine"),
        "is full" => say(r#""full""#, b""),
        "is outside" => say(r#"{"outside": 65536}"#, b""),
        "is outside of nothing" => say(r#"{"outside": 18446744073709551615}"#, b""),
        "has no end" => say(r#"{"size": 18446744073709551615}"#, b""),
        "has a wide number" => say(r#"{"word": 1099511627776}"#, b""),
        "speaks of another" => answer(parent, number + 1, r#"{"touched": "read"}"#, b"mine"),
        "gives a call" => gave(parent, number, tape(&[7], &[])),
        "asks instead" => call(parent, number, 0, tape(&[1], &[])),
        "knows more" => say(r#""owned""#, b""),
        "announces no end" => parent.write_all(&header(20, 0, number, u64::MAX)).unwrap(),
        "dies" => std::process::exit(3),
        "is silent" => {}
        "trickles" => loop {
            let sent = parent.write_all(&header(1 << 20, 0, number, 0)[..1]);
            std::thread::sleep(Duration::from_millis(if sent.is_ok() { 10 } else { 60_000 }));
        },
        other => panic!("{other}"),
    }
}

/// Looks at the memory of the guest that calls it.
#[derive(Default)]
struct Host {
    plugin: OnceLock<Arc<Instances>>,
    saw: OnceLock<ringfence::Result<Accessed>>,
}

impl Imports for Host {
    fn call(&self, _: usize, _: Tape) -> Result<Tape, Raised> {
        let saw = self.plugin.get().unwrap().memory(0, READ);
        let _ = self.saw.set(saw);
        let mut tape = Tape::default();
        tape.word(1);
        Ok(tape)
    }

    fn drop_object(&self, _: usize, _: u32) -> Result<(), Raised> {
        panic!("it has no objects");
    }
}

const READ: Access<'static> = Access::Read { at: 16, len: 4 };

fn open(name: &str, seconds: f64, inline: bool) -> (Arc<Instances>, Arc<Host>, Workers) {
    let host = Arc::<Host>::default();
    let (plugin, workers) = open_of(MODULE, &format!("module that {name}"), wall(seconds), host.clone(), inline);
    let plugin = Arc::new(Instances::One(plugin.unwrap()));
    host.plugin.set(plugin.clone()).ok();
    (plugin, host, workers)
}

fn call_of(plugin: &Instances) -> Result<Tape, Box<RunResult>> {
    match plugin.call(0, Tape::default(), &Asked::default()).unwrap() {
        Returned::Values(tape) => Ok(tape),
        Returned::Ended(result) => Err(result),
    }
}

#[test]
fn memory_that_is_as_it_may_be_is_believed() {
    let (plugin, host, _workers) = open("is honest", 5.0, false);
    assert_eq!(Accessed::Bytes(b"mine".to_vec()), plugin.memory(0, READ).unwrap());
    assert_eq!(Accessed::Size(65536), plugin.memory(0, Access::Size).unwrap());
    assert_eq!(Accessed::Full, plugin.memory(0, Access::Grow(9)).unwrap());
    assert_eq!(Accessed::Outside(65536), plugin.memory(0, Access::Read { at: 65536, len: 4 }).unwrap());
    assert_eq!(Accessed::Written, plugin.memory(0, Access::Write { at: 0, bytes: b"ours" }).unwrap());
    assert_eq!(Ok(7), plugin.global(0).unwrap().reader().word());
    assert_eq!(Ok(7), call_of(&plugin).unwrap().reader().word());
    assert_eq!(&Accessed::Bytes(b"mine".to_vec()), host.saw.get().unwrap().as_ref().unwrap());
    assert_eq!(None, plugin.poisoned());
}

const LIES: [&str; 13] = [
    "reads more",
    "reads less",
    "reads nothing",
    "writes instead",
    "writes with a tail",
    "is full",
    "is outside",
    "is outside of nothing",
    "speaks of another",
    "gives a call",
    "asks instead",
    "knows more",
    "announces no end",
];

#[test]
fn attack_memory_that_is_not_as_it_may_be_poisons_the_plugin() {
    for name in LIES {
        let (plugin, _, _workers) = open(name, 5.0, false);
        let error = plugin.memory(0, READ).unwrap_err().to_string();
        assert!(error.contains("its worker broke its protocol"), "{name}: {error}");
        assert!(plugin.poisoned().is_some_and(|why| why.contains("its worker broke its protocol")), "{name}");
        plugin.restart().unwrap();
        assert_eq!(None, plugin.poisoned());
    }
    for (name, access) in [
        ("has no end", Access::Size),
        ("has no end", Access::Grow(1)),
        ("has no end", Access::Read { at: 0, len: 1 << 40 }),
    ] {
        let (plugin, _, _workers) = open(name, 5.0, false);
        assert!(plugin.memory(0, access).is_err() && plugin.poisoned().is_some(), "{name}");
    }
    let (plugin, _, _workers) = open("has a wide number", 5.0, false);
    assert!(plugin.global(0).is_err() && plugin.poisoned().is_some());
    drop((plugin, _workers));
    let (plugin, _, _workers) = open("gives no number", 5.0, false);
    assert_eq!(Outcome::Crashed, call_of(&plugin).unwrap_err().outcome);
}

#[test]
fn attack_memory_that_is_not_as_it_may_be_crashes_the_call_that_it_was_shown_in() {
    for inline in [false, true] {
        for name in LIES {
            let (plugin, host, _workers) = open(name, 5.0, inline);
            let result = call_of(&plugin).expect_err(name);
            assert_eq!(Outcome::Crashed, result.outcome, "{name}: {:?}", result.trap);
            assert!(result.trap.unwrap().starts_with("the worker broke its protocol: "), "{name}");
            assert!(host.saw.get().unwrap().is_err(), "{name}");
            assert!(plugin.poisoned().is_some(), "{name}");
        }
    }
}

#[test]
fn attack_a_worker_that_does_not_show_its_memory_is_killed_at_the_deadline() {
    for name in ["is silent", "trickles"] {
        let (plugin, _, _workers) = open(name, 0.5, false);
        let began = Instant::now();
        assert!(plugin.memory(0, READ).is_err() && plugin.poisoned().is_some(), "{name}");
        assert!(began.elapsed() < Duration::from_millis(500) + GRACE, "{name}: {:?}", began.elapsed());
        drop((plugin, _workers));
        let (plugin, _, _workers) = open(name, 0.5, true);
        let began = Instant::now();
        let outcome = call_of(&plugin).unwrap_err().outcome;
        assert!(matches!(outcome, Outcome::Limited | Outcome::Crashed), "{name}: {outcome:?}");
        assert!(began.elapsed() < Duration::from_millis(500) + GRACE, "{name}: {:?}", began.elapsed());
    }
    let (plugin, _, _workers) = open("dies", 5.0, false);
    assert!(plugin.memory(0, READ).unwrap_err().to_string().contains("exit code 3"));
}
