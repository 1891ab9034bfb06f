//! Workers that have fallen and hold a plugin with resources of both sides: they speak of what their guest handed over or
//! was given, or it is the end of them.

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ringfence::Outcome;
use ringfence::host::Raised;
use ringfence::plugin::{Asked, Gone, Imports, Placed, Plugin, Returned, Tape};

use crate::Workers;
use crate::driver::wall;
use crate::hostile::asked;
use crate::plugins::{call, counted, gave, open_of};

/// It makes resources of its own, and takes, lends and gives back objects of the host's.
const HANDLES: &str = r#"(component
  (import "host:things/api" (instance $host
    (export "thing" (type $thing (sub resource)))
    (export "other" (type $other (sub resource)))
    (export "[method]thing.size" (func (param "self" (borrow $thing)) (result u32)))
    (export "make" (func (result (own $thing))))))
  (alias export $host "thing" (type $thing))
  (alias export $host "other" (type $other))
  (type $made (resource (rep i32)))
  (core module $m
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
    (func (export "one") (result i32) unreachable)
    (func (export "many") (result i32) unreachable)
    (func (export "take") (param i32) unreachable)
    (func (export "swap") (param i32) (result i32) unreachable))
  (core instance $i (instantiate $m))
  (func $one (result (own $made)) (canon lift (core func $i "one")))
  (func $many (result (list (own $made))) (canon lift (core func $i "many") (memory (core memory $i "memory"))))
  (func $take (param "made" (own $made)) (canon lift (core func $i "take")))
  (func $use (param "made" (borrow $made)) (canon lift (core func $i "take")))
  (func $swap (param "thing" (own $thing)) (result (own $thing)) (canon lift (core func $i "swap")))
  (func $look (param "thing" (borrow $thing)) (result u32) (canon lift (core func $i "swap")))
  (component $shim
    (import "made" (type $m (sub resource)))
    (import "one" (func $one (result (own $m))))
    (import "many" (func $many (result (list (own $m)))))
    (import "take" (func $take (param "made" (own $m))))
    (import "use" (func $use (param "made" (borrow $m))))
    (export $made "made" (type $m))
    (export "one" (func $one) (func (result (own $made))))
    (export "many" (func $many) (func (result (list (own $made)))))
    (export "take" (func $take) (func (param "made" (own $made))))
    (export "use" (func $use) (func (param "made" (borrow $made)))))
  (instance $api (instantiate $shim (with "made" (type $made)) (with "one" (func $one)) (with "many" (func $many))
    (with "take" (func $take)) (with "use" (func $use))))
  (export "test:made/api" (instance $api))
  (export "swap" (func $swap))
  (export "look" (func $look)))"#;

const ONE: usize = 0;
const MANY: usize = 1;
const TAKE: usize = 2;
const USE: usize = 3;
const SWAP: usize = 4;
const LOOK: usize = 5;

/// Places of what it imports, and after those of the resources of the host's.
const SIZE: u32 = 0;
const MAKE: u32 = 1;
const DROP: u32 = 2;

/// Handles that a guest may have, of both sides.
const MOST: u64 = 1 << 17;

/// A tape of these words and handles.
fn handles(words: &[u64], handles: &[u64]) -> (String, Vec<u8>) {
    let bytes = words.iter().chain(handles).copied().flat_map(u64::to_le_bytes).collect();
    (counted(words.len() as u64, 0, handles.len() as u64), bytes)
}

/// Calls what has that place in the parent, and waits for what comes of it.
fn calls(parent: &mut UnixStream, number: u64, function: u32, words: &[u64]) {
    call(parent, number, function, handles(words, &[]));
    assert_eq!(number, asked(parent).0);
}

/// Whether the parent lets go of something for a second time, by what it says now.
fn is_dropped_twice(metadata: &str) -> bool {
    static DROPPED: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let list = metadata.split(r#""dropped":["#).nth(1).unwrap().split(']').next().unwrap();
    let mut dropped = DROPPED.lock().unwrap();
    list.split(',').filter(|number| !number.is_empty()).any(|number| {
        let twice = dropped.iter().any(|before| before == number);
        dropped.push(number.into());
        twice
    })
}

/// What a worker of that name does when a function is called.
pub fn called(name: &str, number: u64, metadata: &str, parent: &mut UnixStream) {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let before = CALLS.fetch_add(1, Ordering::Relaxed);
    let is_of = |function: usize| metadata.contains(&format!(r#""function":{function},"#));
    let calls_host: &[(u32, &[u64])] = match name {
        "gives what it was lent" => &[(DROP, &[70])],
        "drops" => &[(SIZE, &[70]), (DROP, &[70]), (MAKE, &[])],
        "drops twice" => &[(DROP, &[70]), (DROP, &[70])],
        "drops as another" => &[(DROP + 1, &[70])],
        "drops what is no resource of the host's" => &[(DROP + 2, &[0])],
        "drops two at once" => &[(DROP, &[70, 70])],
        "measures what it dropped" => &[(DROP, &[70]), (SIZE, &[70])],
        "measures what nobody has" => &[(SIZE, &[5])],
        _ => &[],
    };
    if name == "hands over without number" || name == "makes without number" && before == 0 {
        let count = if name == "makes without number" { MOST - 2 } else { MOST + 1 };
        let numbers: Vec<u64> = (0..count).collect();
        let words: Vec<u64> = std::iter::once(count).chain(numbers.iter().copied()).collect();
        return gave(parent, number, handles(&words, &numbers));
    }
    if name == "makes without number" {
        (0..MOST).for_each(|_| calls(parent, number, MAKE, &[]));
    }
    for (function, words) in calls_host {
        calls(parent, number, *function, words);
    }
    let (words, numbers): (&[u64], &[u64]) = match name {
        "counts" if is_dropped_twice(metadata) => (&[9; 9], &[]),
        "counts" if is_of(MANY) => (&[2, 0, 1], &[0, 1]),
        "counts" if is_of(ONE) => (&[0], &[2]),
        "counts" => (&[], &[]),
        "hands over again" => (&[0], &[0]),
        "hands over far away" => (&[0], &[7]),
        "hands over for good" => (&[0], &[1 << 63]),
        "hands over none" => (&[0], &[]),
        "hands over nothing" => (&[0], &[u64::MAX]),
        "hands over more" => (&[0], &[0, 1]),
        "hands over beside" => (&[1], &[0]),
        "hands over one for two" => (&[2, 0, 0], &[0, 1]),
        "hands over out of order" => (&[2, 0, 1], &[1, 0]),
        "hands over without end" => (&[1 << 40], &[0]),
        "gives back what nobody has" => (&[3], &[]),
        "gives back what is far away" => (&[1 << 32 | 70], &[]),
        "gives back as its own" => (&[0], &[70]),
        "keeps what it was lent" if before == 0 => (&[1], &[]),
        "drops" => (&[99], &[]),
        _ => (&[70], &[]),
    };
    gave(parent, number, handles(words, numbers));
}

/// The functions of the host, and the objects that were dropped.
#[derive(Default)]
struct Host(Mutex<Vec<(usize, u32)>>, AtomicU64);

impl Imports for Host {
    fn call(&self, index: usize, params: Tape) -> Result<Tape, Raised> {
        let made = u32::try_from(self.1.fetch_add(1, Ordering::Relaxed)).unwrap();
        let mut tape = Tape::default();
        match u32::try_from(index).unwrap() {
            SIZE => {
                assert_eq!(Ok(70), params.reader().word());
                tape.word(7);
            }
            MAKE => tape.place(Placed { number: 98 + made, is_lent: false, resource: 0 }),
            other => panic!("{other}"),
        }
        Ok(tape)
    }

    fn drop_object(&self, resource: usize, number: u32) -> Result<(), Raised> {
        self.0.lock().unwrap().push((resource, number));
        Ok(())
    }
}

fn open(name: &str) -> (Plugin, Arc<Host>, Workers) {
    let host = Arc::<Host>::default();
    let (plugin, workers) = open_of(HANDLES, &format!("guest that {name}"), wall(5.0), host.clone(), false);
    (plugin.unwrap(), host, workers)
}

fn call_of(plugin: &Plugin, function: usize, params: Tape) -> Result<Tape, (Outcome, String)> {
    match plugin.call(function, params, &Asked::default()).unwrap() {
        Returned::Values(tape) => Ok(tape),
        Returned::Ended(result) => Err((result.outcome, result.trap.unwrap_or_default())),
    }
}

fn object(number: u32, is_lent: bool) -> Tape {
    let mut tape = Tape::default();
    tape.place(Placed { number, is_lent, resource: 0 });
    tape
}

#[test]
fn resources_are_handed_over_lent_and_let_go_of_once() {
    let (plugin, _, _workers) = open("counts");
    let many = call_of(&plugin, MANY, Tape::default()).unwrap();
    let mut from = many.reader();
    assert_eq!(Ok(2), from.word());
    let (first, second) = (from.handle().unwrap(), from.handle().unwrap());
    drop(many);
    let one = call_of(&plugin, ONE, Tape::default()).unwrap().reader().handle().unwrap();
    for _ in 0..2 {
        let mut lent = Tape::default();
        lent.lend(&first).unwrap();
        assert!(call_of(&plugin, USE, lent).is_ok());
    }
    let mut given = Tape::default();
    given.give(&second).unwrap();
    assert!(call_of(&plugin, TAKE, given).is_ok());
    assert_eq!((None, Some(Gone::Given)), (first.gone(), second.gone()));
    first.drop_resource();
    assert!(matches!(plugin.settle().unwrap(), Some(Returned::Values(_))));
    assert!(plugin.settle().unwrap().is_none());
    drop(second);
    assert!(call_of(&plugin, USE, Tape::default()).is_ok());
    plugin.restart().unwrap();
    assert_eq!(Some(Gone::Over), one.gone());
}

#[test]
fn attack_handles_that_no_guest_could_hand_over_crash_the_plugin() {
    for (name, function) in [
        ("hands over far away", ONE),
        ("hands over for good", ONE),
        ("hands over none", ONE),
        ("hands over nothing", ONE),
        ("hands over more", ONE),
        ("hands over beside", ONE),
        ("hands over one for two", MANY),
        ("hands over out of order", MANY),
        ("hands over without end", MANY),
        ("hands over without number", MANY),
    ] {
        let (plugin, _, _workers) = open(name);
        let (outcome, why) = call_of(&plugin, function, Tape::default()).expect_err(name);
        assert_eq!(Outcome::Crashed, outcome, "{name}: {why}");
        assert!(why.starts_with("the worker broke its protocol: "), "{name}: {why}");
    }
    let (plugin, _, _workers) = open("hands over again");
    let held = call_of(&plugin, ONE, Tape::default()).unwrap().reader().handle().unwrap();
    assert_eq!(Outcome::Crashed, call_of(&plugin, ONE, Tape::default()).unwrap_err().0);
    assert_eq!(Some(Gone::Over), held.gone());
}

#[test]
fn objects_of_the_host_are_measured_dropped_and_given_back() {
    let (plugin, host, _workers) = open("drops");
    assert_eq!(Ok(99), call_of(&plugin, SWAP, object(70, false)).unwrap().reader().word());
    assert_eq!(vec![(0, 70)], *host.0.lock().unwrap());
    assert_eq!(2, host.1.load(Ordering::Relaxed));
    drop((plugin, _workers));
    let (plugin, _, _workers) = open("gives back");
    for _ in 0..2 {
        assert_eq!(Ok(70), call_of(&plugin, SWAP, object(70, false)).unwrap().reader().word());
    }
}

#[test]
fn attack_a_worker_that_makes_objects_without_number_is_killed() {
    let (plugin, host, _workers) = open("makes without number");
    let many = call_of(&plugin, MANY, Tape::default()).unwrap();
    let (outcome, why) = call_of(&plugin, SWAP, object(70, false)).unwrap_err();
    assert_eq!((Outcome::Crashed, 1), (outcome, host.1.load(Ordering::Relaxed)), "{why}");
    assert!(why.contains("more handles than a guest may have"), "{why}");
    drop(many);
}

#[test]
fn attack_objects_that_a_guest_does_not_have_are_neither_used_dropped_nor_given_back() {
    for (name, dropped, made) in [
        ("gives back what nobody has", 0, 0),
        ("gives back what is far away", 0, 0),
        ("gives back as its own", 0, 0),
        ("drops twice", 1, 0),
        ("drops as another", 0, 0),
        ("drops what is no resource of the host's", 0, 0),
        ("drops two at once", 0, 0),
        ("measures what it dropped", 1, 0),
        ("measures what nobody has", 0, 0),
    ] {
        let (plugin, host, _workers) = open(name);
        let (outcome, why) = call_of(&plugin, SWAP, object(70, false)).expect_err(name);
        assert_eq!(Outcome::Crashed, outcome, "{name}: {why}");
        assert!(why.starts_with("the worker broke its protocol: "), "{name}: {why}");
        let seen = (host.0.lock().unwrap().len(), host.1.load(Ordering::Relaxed));
        assert_eq!((dropped, made), seen, "{name}");
    }
    let (plugin, host, _workers) = open("gives what it was lent");
    assert_eq!(Outcome::Crashed, call_of(&plugin, LOOK, object(70, true)).unwrap_err().0);
    assert!(host.0.lock().unwrap().is_empty());
    drop((plugin, _workers));
    for name in ["gives back twice", "keeps what it was lent"] {
        let (plugin, _, _workers) = open(name);
        let (first, is_lent) = if name == "gives back twice" { (SWAP, false) } else { (LOOK, true) };
        assert!(call_of(&plugin, first, object(70, is_lent)).is_ok(), "{name}");
        assert_eq!(Outcome::Crashed, call_of(&plugin, SWAP, object(71, false)).unwrap_err().0, "{name}");
    }
}
