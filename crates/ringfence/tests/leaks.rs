//! After any number of runs, however they ended, the process has the descriptors and threads that it had before.
//!
//! One test: it counts those of the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod driver;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use driver::*;
use ringfence::Sandbox;
use ringfence::policy::Seconds;
use ringfence::sandbox::stdio::{Sink, Source};

fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

/// Waits until there are no more of them than there were.
fn returns_to(what: &str, before: usize) {
    let started = Instant::now();
    while count(what) > before {
        assert!(started.elapsed() < Duration::from_secs(10), "{what}: {before} before, {} now", count(what));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a component needs to poll standard input through many handles, and to read a file through a stream.
const IMPORTS: &str = r#"
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "poll" (func (param "in" (list (borrow $pollable))) (result (list u32))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "input-stream" (type $input (sub resource)))
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $pollable (eq $outer)))
    (export "[method]input-stream.subscribe" (func (param "self" (borrow $input)) (result (own $pollable))))))
  (alias export $streams "input-stream" (type $input))
  (import "wasi:cli/stdin@0.2.0" (instance $stdin
    (alias outer 1 $input (type $outer))
    (export "input-stream" (type $input (eq $outer)))
    (export "get-stdin" (func (result (own $input))))))
  (import "wasi:filesystem/types@0.2.0" (instance $types
    (export "descriptor" (type $descriptor (sub resource)))
    (alias outer 1 $input (type $outer))
    (export "input-stream" (type $input (eq $outer)))
    (type $codes (enum "access" "would-block" "already" "bad-descriptor" "busy" "deadlock" "quota" "exist"
      "file-too-large" "illegal-byte-sequence" "in-progress" "interrupted" "invalid" "io" "is-directory" "loop"
      "too-many-links" "message-size" "name-too-long" "no-device" "no-entry" "no-lock" "insufficient-memory"
      "insufficient-space" "not-directory" "not-empty" "not-recoverable" "unsupported" "no-tty" "no-such-device"
      "overflow" "not-permitted" "pipe" "read-only" "invalid-seek" "text-file-busy" "cross-device"))
    (export "error-code" (type $error (eq $codes)))
    (type $path (flags "symlink-follow"))
    (export "path-flags" (type $path-flags (eq $path)))
    (type $open (flags "create" "directory" "exclusive" "truncate"))
    (export "open-flags" (type $open-flags (eq $open)))
    (type $flags (flags "read" "write" "file-integrity-sync" "data-integrity-sync" "requested-write-sync"
      "mutate-directory"))
    (export "descriptor-flags" (type $descriptor-flags (eq $flags)))
    (export "[method]descriptor.open-at" (func (param "self" (borrow $descriptor)) (param "path-flags" $path-flags)
      (param "path" string) (param "open-flags" $open-flags) (param "flags" $descriptor-flags)
      (result (result (own $descriptor) (error $error)))))
    (export "[method]descriptor.read-via-stream" (func (param "self" (borrow $descriptor)) (param "offset" u64)
      (result (result (own $input) (error $error)))))))
  (alias export $types "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
    (alias outer 1 $descriptor (type $outer))
    (export "descriptor" (type $descriptor (eq $outer)))
    (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))
"#;

/// A component whose `run` is this body; it ends well if the body leaves 0.
fn component(body: &str) -> String {
    format!(
        r#"(component {IMPORTS}
  (core module $libc
    (memory (export "memory") 16)
    (global $next (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.get $at))
    (data (i32.const 1024) "data/file"))
  (core instance $libc (instantiate $libc))
  (core func $poll (canon lower (func $poll "poll") (memory $libc "memory") (realloc (func $libc "realloc"))))
  (core func $subscribe (canon lower (func $streams "[method]input-stream.subscribe")))
  (core func $stdin (canon lower (func $stdin "get-stdin")))
  (core func $open (canon lower (func $types "[method]descriptor.open-at") (memory $libc "memory")))
  (core func $stream (canon lower (func $types "[method]descriptor.read-via-stream") (memory $libc "memory")))
  (core func $roots (canon lower (func $preopens "get-directories") (memory $libc "memory") (realloc (func $libc "realloc"))))
  (core func $drop (canon resource.drop $descriptor))
  (core module $main
    (import "libc" "memory" (memory 16))
    (import "host" "poll" (func $poll (param i32 i32 i32)))
    (import "host" "subscribe" (func $subscribe (param i32) (result i32)))
    (import "host" "stdin" (func $stdin (result i32)))
    (import "host" "open" (func $open (param i32 i32 i32 i32 i32 i32 i32)))
    (import "host" "stream" (func $stream (param i32 i64 i32)))
    (import "host" "roots" (func $roots (param i32)))
    (import "host" "drop" (func $drop (param i32)))
    (func (export "run") (result i32) (local $count i32) (local $root i32) {body}))
  (core instance $main (instantiate $main
    (with "libc" (instance $libc))
    (with "host" (instance
      (export "poll" (func $poll)) (export "subscribe" (func $subscribe)) (export "stdin" (func $stdin))
      (export "open" (func $open)) (export "stream" (func $stream)) (export "roots" (func $roots))
      (export "drop" (func $drop))))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance (export "wasi:cli/run@0.2.0") (export "run" (func $run))))"#
    )
}

/// Polls standard input through 500 handles at once.
const POLL: &str = "
  (loop $more
    (i32.store (i32.add (i32.const 4096) (i32.mul (local.get $count) (i32.const 4))) (call $subscribe (call $stdin)))
    (local.set $count (i32.add (local.get $count) (i32.const 1)))
    (br_if $more (i32.lt_u (local.get $count) (i32.const 500))))
  (call $poll (i32.const 4096) (i32.const 500) (i32.const 64))
  (i32.const 0)";

/// Opens a file, makes a stream of it and drops the descriptor, until an open fails; ends well if that was the
/// ninth.
const HOARD: &str = "
  (call $roots (i32.const 64))
  (local.set $root (i32.load (i32.load (i32.const 64))))
  (block $full
    (loop $more
      (call $open (local.get $root) (i32.const 1) (i32.const 1024) (i32.const 9) (i32.const 0) (i32.const 1) (i32.const 128))
      (br_if $full (i32.load8_u (i32.const 128)))
      (call $stream (i32.load (i32.const 132)) (i64.const 0) (i32.const 192))
      (br_if $full (i32.load8_u (i32.const 192)))
      (call $drop (i32.load (i32.const 132)))
      (local.set $count (i32.add (local.get $count) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $count) (i32.const 5000)))))
  (i32.ne (local.get $count) (i32.const 8))";

fn runs_of_every_kind(scripted: &Sandbox, hoarding: &Sandbox, house: &Path) {
    let mut script = Script::new();
    for _ in 0..8 {
        script.open("data/file");
    }
    act!(script, "path_open", ROOT, FOLLOW, "data", DIRECTORY, READ, 0, 0, OUT);
    script.create("tmp/file");
    assert_eq!(MFILE, *script.run(scripted).errnos.last().unwrap());

    let result = hoarding.run(run(Source::Empty, hoarding)).unwrap();
    assert_eq!(("exited".to_owned(), Some(0)), (ended(&result), result.exit_code), "a stream keeps its file's place");

    // Stopped while it waits for input, with files open.
    let (reader, _writer) = std::io::pipe().unwrap();
    let result = scripted.run(run(Source::Fd(Arc::new(reader.into())), scripted)).unwrap();
    assert_eq!("limited wall", ended(&result));

    // Stopped while it waits to write.
    let (_reader, writer) = std::io::pipe().unwrap();
    let mut script = Script::new();
    let bytes = script.bytes(&[b'x'; 5000]);
    let vector = script.vector(bytes, 5000);
    script.open("data/file").act("fd_write", 1000, [2, vector, 1, OUT].map(Arg::from).into());
    let mut stuck = run(Source::Bytes(script.image().into()), scripted);
    stuck.stderr = Sink::fd(writer.into());
    assert_eq!("limited wall", ended(&scripted.run(stuck).unwrap()));
    assert!(house.join("file").exists());
}

#[test]
fn descriptors_and_threads_return_to_what_they_were() {
    let house = tempfile::tempdir().unwrap();
    std::fs::write(house.path().join("file"), "content").unwrap();
    let policy = || {
        let document = format!(r#"{{"tmp": true, "dirs": [{{"host": {:?}, "at": "/data"}}]}}"#, house.path());
        let mut policy = policy(&document, Path::new("/"));
        policy.limits.open_files = 8;
        policy.limits.wall = Seconds::from_number(0.3).unwrap();
        policy
    };
    let scripted = driver(policy());
    let hoarding = text(&component(HOARD), policy());
    let polling = text(&component(POLL), policy());
    // What lives as long as the process is there after the first round.
    runs_of_every_kind(&scripted, &hoarding, house.path());
    std::thread::sleep(Duration::from_secs(2));
    let (descriptors, threads) = (count("fd"), count("task"));
    for _ in 0..3 {
        runs_of_every_kind(&scripted, &hoarding, house.path());
    }

    // Five hundred handles of one silent pipe wait on one thread.
    let (reader, writer) = std::io::pipe().unwrap();
    let mut most = 0;
    let mut tick = || {
        most = most.max(count("task"));
        true
    };
    let mut crowd = run(Source::Fd(Arc::new(reader.into())), &polling);
    crowd.tick = Some(&mut tick);
    assert_eq!("limited wall", ended(&polling.run(crowd).unwrap()));
    drop(writer);
    assert!(most > 0 && most <= threads + 3, "{most} threads, {threads} before");

    returns_to("fd", descriptors);
    returns_to("task", threads);
}
