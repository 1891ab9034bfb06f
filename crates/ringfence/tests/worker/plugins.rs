//! Workers that have fallen and hold a plugin: values that its types have are believed, and nothing else.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ringfence::host::Raised;
use ringfence::plugin::{Asked, Imports, Plugin, Returned, Source, Tape};
use ringfence::sandbox::files::Grants;
use ringfence::worker::Isolation;
use ringfence::{Outcome, Policy, Program, RunResult};

use crate::driver::wall;
use crate::hostile::{ENDED, answer, asked, header};
use crate::{GRACE, Workers};

/// A function for each of some types, and an import; what its worker really does is up to the worker.
const PLUGIN: &str = r#"(component
  (type $kinds (variant (case "none") (case "number" s8)))
  (export $kind "kind" (type $kinds))
  (import "host" (func $host (param "number" u8) (param "texts" (list string)) (result bool)))
  (import "stub" (func $stub))
  (core module $m (memory (export "m") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
    (func (export "f") (result i32) unreachable)
    (func (export "g") (result i32) unreachable))
  (core instance $i (instantiate $m))
  (func (export "texts") (result (list string))
    (canon lift (core func $i "f") (memory (core memory $i "m")) (realloc (core func $i "realloc"))))
  (func (export "kind-of") (result (tuple $kind char (option (list u32)) (list (list (list string)))))
    (canon lift (core func $i "f") (memory (core memory $i "m"))))
  (func (export "bit") (result bool) (canon lift (core func $i "g"))))"#;

/// A tape, as it crosses: words, and pieces whose places among the words are the caller's to write.
pub fn tape(words: &[u64], pieces: &[&[u8]]) -> (String, Vec<u8>) {
    let lengths = pieces.iter().map(|piece| piece.len() as u64);
    let mut bytes: Vec<u8> = words.iter().copied().chain(lengths).flat_map(u64::to_le_bytes).collect();
    pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
    (counts(words.len() as u64, pieces.len() as u64), bytes)
}

fn counts(words: u64, pieces: u64) -> String {
    counted(words, pieces, 0)
}

pub fn counted(words: u64, pieces: u64, handles: u64) -> String {
    format!(r#"{{"words": {words}, "pieces": {pieces}, "handles": {handles}}}"#)
}

pub fn gave(parent: &mut UnixStream, number: u64, (counts, bytes): (String, Vec<u8>)) {
    let gave = format!(r#"{{"gave": {{"counts": {counts}, "fuel": 9, "memory_bytes": 18446744073709551615}}}}"#);
    answer(parent, number, &gave, &bytes);
}

pub fn call(parent: &mut UnixStream, number: u64, function: u32, (counts, bytes): (String, Vec<u8>)) {
    let call =
        format!(r#"{{"callback": {{"function": {function}, "counts": {counts}, "cpu_nanos": 0, "memory_bytes": 7}}}}"#);
    answer(parent, number, &call, &bytes);
}

fn honest() -> (String, Vec<u8>) {
    tape(&[2, 0, 1], &[b"a", "\u{e9}".as_bytes()])
}

fn arguments() -> (String, Vec<u8>) {
    tape(&[255, 1, 0], &[b"text"])
}

/// What a worker of that name does when it is asked for an instance.
pub fn plug(name: &str, number: u64, parent: &mut UnixStream) {
    match name {
        "plugs nothing" => {}
        "plugs and dies" => std::process::exit(3),
        "plugs as a run" => answer(parent, number, ENDED, b""),
        "plugs with a tail" => answer(parent, number, r#""plugged""#, b"x"),
        "plugs by giving" => gave(parent, number, honest()),
        "plugs asking" => {
            call(parent, number, 0, arguments());
            assert_eq!(number, asked(parent).0);
            answer(parent, number, r#""plugged""#, b"");
        }
        _ => answer(parent, number, r#""plugged""#, b""),
    }
}

/// What a worker of that name gives for the text's function, where that is a tape and nothing else.
fn forged(name: &str) -> Option<(String, Vec<u8>)> {
    let head = |words: &[u64]| words.iter().copied().flat_map(u64::to_le_bytes).collect::<Vec<u8>>();
    Some(match name {
        "gives nothing" => tape(&[], &[]),
        "gives less" => tape(&[2, 0], &[b"a"]),
        "gives more" => tape(&[2, 0, 1, 7], &[b"a", b"b"]),
        "gives a piece that nobody has" => tape(&[1, 0], &[b"a", b"b"]),
        "gives a piece twice" => tape(&[2, 0, 0], &[b"a", b"b"]),
        "gives pieces out of order" => tape(&[2, 1, 0], &[b"a", b"b"]),
        "gives a piece that is not there" => tape(&[1, 9], &[b"a"]),
        "gives no text" => tape(&[1, 0], &[b"\xff"]),
        "gives half a character" => tape(&[2, 0, 1], &[b"\xc3", b"\xa9"]),
        "gives a list without end" => tape(&[u64::MAX, 0], &[b"a"]),
        "gives a list that is longer than what it costs" => tape(&[1 << 40, 0], &[b"a"]),
        "gives counts without end" => (counts(u64::MAX, 0), head(&[0])),
        "gives pieces without end" => (counts(0, u64::MAX), head(&[0])),
        "gives counts that overflow" => (counts(1 << 61, 1 << 61), head(&[0])),
        "gives lengths that overflow" => (counts(3, 2), head(&[2, 0, 1, u64::MAX, 2])),
        "gives lengths beyond the end" => (counts(2, 1), head(&[1, 0, 1 << 30])),
        "gives lengths before the end" => (counts(2, 1), [head(&[1, 0, 1]), b"ab".to_vec()].concat()),
        "gives no whole words" => (counts(2, 1), vec![0; 23]),
        _ => return None,
    })
}

/// The same for the function that gives a variant, a character, an option and lists in lists.
fn forged_kind(name: &str) -> Option<(String, Vec<u8>)> {
    Some(match name {
        "kind honestly" => tape(&[1, (-128i64).cast_unsigned(), 0x10ffff, 1, 0, 1, 1, 1, 1], &[&[0; 8], b"x"]),
        "kind of no case" => tape(&[2, 97, 0, 0], &[]),
        "kind that is out of range" => tape(&[1, 128, 97, 0, 0], &[]),
        "kind with bits above it" => tape(&[1, 1 << 40, 97, 0, 0], &[]),
        "kind with half a character" => tape(&[0, 0xd800, 0, 0], &[]),
        "kind with no character" => tape(&[0, 0x110000, 0, 0], &[]),
        "kind with a character of 64 bits" => tape(&[0, 1 << 32 | 97, 0, 0], &[]),
        "kind with a third of an option" => tape(&[0, 97, 2, 0, 0], &[&[0; 4]]),
        "kind with half a number" => tape(&[0, 97, 1, 0, 0], &[&[0; 6]]),
        "kind with lists that multiply" => {
            // 60,000 lists of 60,000: what they would cost is more than the host holds.
            let mut words = vec![0, 97, 0, 60_000];
            words.extend([60_000; 100]);
            tape(&words, &[])
        }
        _ => return None,
    })
}

/// What a worker of that name calls the host's functions with.
fn forged_call(name: &str) -> Option<(u32, (String, Vec<u8>))> {
    Some(match name {
        "calls nothing there" => (2, arguments()),
        "calls far away" => (u32::MAX, arguments()),
        "calls what nobody gave" => (1, tape(&[], &[])),
        "calls without arguments" => (0, tape(&[], &[])),
        "calls with one more" => (0, tape(&[255, 1, 0, 0], &[b"text"])),
        "calls out of range" => (0, tape(&[256, 1, 0], &[b"text"])),
        "calls below zero" => (0, tape(&[u64::MAX, 1, 0], &[b"text"])),
        "calls with no text" => (0, tape(&[255, 1, 0], &[b"\xf0\x9f"])),
        _ => return None,
    })
}

/// What a worker of that name does when a function is called.
pub fn misbehave(name: &str, number: u64, metadata: &str, parent: &mut UnixStream) {
    if let Some(name) = name.strip_prefix("guest that ") {
        return crate::handles::called(name, number, metadata, parent);
    }
    if let Some(name) = name.strip_prefix("module that ") {
        return crate::modules::called(name, number, parent);
    }
    if let Some(tape) = forged(name).or_else(|| forged_kind(name)) {
        return gave(parent, number, tape);
    }
    if let Some((function, tape)) = forged_call(name) {
        return call(parent, number, function, tape);
    }
    match name {
        "gives honestly" => gave(parent, number, honest()),
        "bit of three" => gave(parent, number, tape(&[2], &[])),
        "ends" => answer(parent, number, ENDED, b""),
        "asks honestly" => {
            call(parent, number, 0, arguments());
            assert_eq!(number, asked(parent).0);
            gave(parent, number, honest());
        }
        "gives for another call" => gave(parent, number + 1, honest()),
        "gives by plugging" => answer(parent, number, r#""plugged""#, b""),
        "gives a turn" => {
            answer(parent, number, r#"{"ask": {"cpu_nanos": 0, "memory_bytes": 0}}"#, b"F\x83\x61f\x80\xa0")
        }
        "gives an import" => {
            answer(
                parent,
                number,
                r#"{"call": {"function": 0, "params": [], "cpu_nanos": 0, "memory_bytes": 0}}"#,
                b"",
            );
        }
        "gives an unknown key" => {
            answer(
                parent,
                number,
                r#"{"gave": {"counts": {"words": 0, "pieces": 0, "handles": 0}, "fuel": 9, "memory_bytes": 1, "x": 1}}"#,
                b"",
            );
        }
        "gives a tail without end" => {
            let text =
                r#"{"gave": {"counts": {"words": 0, "pieces": 0, "handles": 0}, "fuel": null, "memory_bytes": 1}}"#;
            let frame = [&header(text.len() as u32, 0, number, u64::MAX)[..], text.as_bytes()].concat();
            std::io::Write::write_all(parent, &frame).unwrap();
        }
        "gives twice" => {
            gave(parent, number, honest());
            gave(parent, number, honest());
        }
        "asks without waiting" => {
            call(parent, number, 0, arguments());
            call(parent, number, 0, arguments());
        }
        "gives inside a call" => {
            call(parent, number, 0, arguments());
            gave(parent, number, honest());
        }
        "asks on and on" => loop {
            call(parent, number, 0, arguments());
            asked(parent);
        },
        "gives in silence" => {}
        "gives and dies" => std::process::exit(3),
        other => panic!("{other}"),
    }
}

struct Host {
    made: AtomicU64,
    breaks: bool,
}

impl Imports for Host {
    fn call(&self, index: usize, params: Tape) -> Result<Tape, Raised> {
        assert_eq!(0, index);
        let mut from = params.reader();
        assert_eq!((Ok(255), Ok(1), Ok(&b"text"[..])), (from.word(), from.word(), from.piece()));
        self.made.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(20));
        if self.breaks {
            return Err(Raised::new("mine"));
        }
        let mut tape = Tape::default();
        tape.word(1);
        Ok(tape)
    }

    fn is_stub(&self, index: usize) -> bool {
        index == 1
    }

    fn drop_object(&self, _: usize, _: u32) -> Result<(), Raised> {
        panic!("it has no objects");
    }
}

fn host(breaks: bool) -> Arc<Host> {
    Arc::new(Host { made: AtomicU64::new(0), breaks })
}

fn open(name: &str, policy: Policy, host: &Arc<Host>, inline: bool) -> (ringfence::Result<Plugin>, Workers) {
    open_of(PLUGIN, name, policy, host.clone(), inline)
}

/// A plugin of that program in a worker of that name.
pub fn open_of(
    program: &str,
    name: &str,
    policy: Policy,
    host: Arc<dyn Imports>,
    inline: bool,
) -> (ringfence::Result<Plugin>, Workers) {
    let workers = Workers::fallen(name);
    let program = Program::from_bytes(program.as_bytes(), "plugin").unwrap();
    let grants = Grants::open(&policy, &[]).unwrap();
    let source = Source::load(&program, policy, grants, None, true, None, (Isolation::Process, None)).unwrap();
    (source.open(Some(host), inline, Arc::new(|| true)), workers)
}

pub fn called(plugin: &Plugin, function: usize) -> Result<Tape, Box<RunResult>> {
    match plugin.call(function, Tape::default(), &Asked::default()).unwrap() {
        Returned::Values(tape) => Ok(tape),
        Returned::Ended(result) => Err(result),
    }
}

/// A call of a function of a plugin in a worker of that name.
fn crashes(name: &str, function: usize, inline: bool) -> u64 {
    let host = host(false);
    let (plugin, _workers) = open(name, wall(5.0), &host, inline);
    let plugin = plugin.unwrap();
    let result = called(&plugin, function).expect_err(name);
    assert_eq!(Outcome::Crashed, result.outcome, "{name}: {:?}", result.trap);
    assert!(result.trap.unwrap().starts_with("the worker broke its protocol: "), "{name}");
    assert!(plugin.poisoned().is_some(), "{name}");
    assert!(plugin.call(function, Tape::default(), &Asked::default()).is_err(), "{name}");
    plugin.restart().unwrap();
    assert_eq!(None, plugin.poisoned());
    host.made.load(Ordering::Relaxed)
}

#[test]
fn values_of_their_types_are_believed() {
    let (plugin, _workers) = open("gives honestly", wall(5.0), &host(false), false);
    let plugin = plugin.unwrap();
    for _ in 0..3 {
        let tape = called(&plugin, 0).unwrap();
        let mut from = tape.reader();
        assert_eq!((Ok(2), Ok(&b"a"[..])), (from.word(), from.piece()));
    }
    // What it says that it used is no more than it may, and what is not measured is not told.
    let usage = plugin.usage();
    assert_eq!((3, None, plugin_memory()), (usage.calls, usage.fuel, usage.memory));
    drop((plugin, _workers));
    let (plugin, _workers) = open("kind honestly", wall(5.0), &host(false), false);
    assert_eq!(Ok(1), called(&plugin.unwrap(), 1).unwrap().reader().word());
}

fn plugin_memory() -> u64 {
    wall(5.0).limits.memory.0
}

#[test]
fn functions_that_are_called_as_they_may_be_are_called() {
    for inline in [false, true] {
        let host = host(false);
        let (plugin, _workers) = open("asks honestly", wall(5.0), &host, inline);
        let plugin = plugin.unwrap();
        assert!(called(&plugin, 0).is_ok());
        assert_eq!((1, 1), (host.made.load(Ordering::Relaxed), plugin.usage().host_calls));
    }
}

#[test]
fn attack_values_that_are_not_of_their_types_crash_the_plugin() {
    for name in [
        "gives nothing",
        "gives less",
        "gives more",
        "gives a piece that nobody has",
        "gives a piece twice",
        "gives pieces out of order",
        "gives a piece that is not there",
        "gives no text",
        "gives half a character",
        "gives a list without end",
        "gives a list that is longer than what it costs",
        "gives counts without end",
        "gives pieces without end",
        "gives counts that overflow",
        "gives lengths that overflow",
        "gives lengths beyond the end",
        "gives lengths before the end",
        "gives no whole words",
        "gives for another call",
        "gives by plugging",
        "gives a turn",
        "gives an import",
        "gives an unknown key",
        "gives a tail without end",
    ] {
        assert_eq!(0, crashes(name, 0, false), "{name}");
    }
    for name in [
        "kind of no case",
        "kind that is out of range",
        "kind with bits above it",
        "kind with half a character",
        "kind with no character",
        "kind with a character of 64 bits",
        "kind with a third of an option",
        "kind with half a number",
        "kind with lists that multiply",
        // Of another function.
        "gives honestly",
    ] {
        assert_eq!(0, crashes(name, 1, false), "{name}");
    }
    assert_eq!(0, crashes("bit of three", 2, false));
}

#[test]
fn attack_functions_that_no_guest_could_call_so_are_not_called() {
    for name in [
        "calls nothing there",
        "calls far away",
        "calls what nobody gave",
        "calls without arguments",
        "calls with one more",
        "calls out of range",
        "calls below zero",
        "calls with no text",
    ] {
        for inline in [false, true] {
            assert_eq!(0, crashes(name, 0, inline), "{name}");
        }
    }
    for name in ["asks without waiting", "gives inside a call"] {
        assert_eq!(1, crashes(name, 0, false), "{name}");
    }
}

#[test]
fn attack_a_worker_that_makes_no_instance_is_an_error() {
    for name in ["plugs and dies", "plugs as a run", "plugs with a tail", "plugs by giving"] {
        let (plugin, _workers) = open(name, wall(5.0), &host(false), false);
        assert!(plugin.is_err(), "{name}");
    }
    let began = Instant::now();
    let (plugin, _workers) = open("plugs nothing", wall(0.3), &host(false), false);
    assert!(plugin.unwrap_err().to_string().contains("it reached the limit `wall`"));
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(_workers);
    let (plugin, _workers) = open("plugs asking", wall(5.0), &host(true), false);
    assert!(plugin.unwrap_err().to_string().contains("it ended while it was set up: mine"));
}

#[test]
fn attack_an_answer_that_nobody_asked_for_is_the_end_of_the_next_call() {
    let (plugin, _workers) = open("gives twice", wall(5.0), &host(false), false);
    let plugin = plugin.unwrap();
    assert!(called(&plugin, 0).is_ok());
    assert_eq!(Outcome::Crashed, called(&plugin, 0).unwrap_err().outcome);
}

#[test]
fn attack_nothing_goes_on_after_a_function_broke() {
    for (name, inline) in [("asks on and on", false), ("asks honestly", false), ("asks on and on", true)] {
        let host = host(true);
        let (plugin, _workers) = open(name, wall(5.0), &host, inline);
        let result = called(&plugin.unwrap(), 0).unwrap_err();
        assert_eq!("mine", result.raised.unwrap().why, "{name}");
        assert_eq!(1, host.made.load(Ordering::Relaxed), "{name}");
    }
}

#[test]
fn attack_a_worker_that_never_gives_anything_is_killed_soon_after_the_deadline() {
    for (name, inline) in [("gives in silence", false), ("asks on and on", false), ("asks on and on", true)] {
        let (plugin, _workers) = open(name, wall(0.5), &host(false), inline);
        let plugin = plugin.unwrap();
        let began = Instant::now();
        let result = called(&plugin, 0).unwrap_err();
        assert_eq!((Outcome::Limited, Some("wall")), (result.outcome, result.limit), "{name}: {:?}", result.trap);
        assert!(began.elapsed() < Duration::from_millis(500) + GRACE, "{name}: {:?}", began.elapsed());
    }
    let (plugin, _workers) = open("gives and dies", wall(5.0), &host(false), false);
    let result = called(&plugin.unwrap(), 0).unwrap_err();
    assert_eq!(Outcome::Crashed, result.outcome);
    assert!(result.trap.unwrap().contains("exit code 3"));
}

#[test]
fn attack_a_worker_that_ends_a_call_otherwise_poisons_the_plugin() {
    let (plugin, _workers) = open("ends", wall(5.0), &host(false), false);
    let plugin = plugin.unwrap();
    assert_eq!(Outcome::Exited, called(&plugin, 0).unwrap_err().outcome);
    assert!(plugin.poisoned().is_some());
}

#[test]
fn attack_a_worker_that_does_not_hear_of_its_caller_is_killed() {
    let (plugin, _workers) = open("gives in silence", wall(60.0), &host(false), false);
    let plugin = plugin.unwrap();
    let cancelled = Arc::new(AtomicBool::new(true));
    let asked = Asked { cancelled: Some(cancelled), ..Asked::default() };
    let began = Instant::now();
    match plugin.call(0, Tape::default(), &asked).unwrap() {
        Returned::Ended(result) => assert_eq!(Outcome::Cancelled, result.outcome),
        Returned::Values(_) => panic!("it gave nothing"),
    }
    assert!(began.elapsed() < 2 * GRACE);
}
