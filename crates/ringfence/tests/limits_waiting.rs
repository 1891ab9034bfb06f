//! A guest that waits, or makes the host wait, is stopped like one that computes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod driver;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use driver::*;
use ringfence::policy::Bytes;
use ringfence::sandbox::stdio::{Sink, Source};
use ringfence::{RunResult, Sandbox};

const GRACE: Duration = Duration::from_millis(500);

/// Runs what never ends by itself, then sees that the same sandbox still works.
fn stops_in_time(sandbox: &Sandbox, run: ringfence::Run<'_>, expected: &str) -> RunResult {
    let wall = run.limits.wall.0;
    let started = Instant::now();
    let result = sandbox.run(run).unwrap();
    let took = started.elapsed();
    assert_eq!(expected, ended(&result));
    assert!(took < wall + GRACE, "took {took:?}");
    assert_eq!(vec![OK], act!(Script::new(), "fd_sync", ROOT).run(sandbox).errnos, "the next run");
    result
}

#[test]
fn a_guest_that_sleeps_is_stopped_by_the_wall_limit() {
    let sandbox = driver(wall(0.3));
    for nanos in [3_600_000_000_000, u64::MAX] {
        let mut script = Script::new();
        wait(&mut script, nanos);
        stops_in_time(&sandbox, run(Source::Bytes(script.image().into()), &sandbox), "limited wall");
    }
}

#[test]
fn a_guest_that_reads_a_silent_pipe_is_stopped_by_the_wall_limit() {
    let sandbox = driver(wall(0.3));
    let (reader, writer) = std::io::pipe().unwrap();
    stops_in_time(&sandbox, run(Source::Fd(Arc::new(reader.into())), &sandbox), "limited wall");
    drop(writer);
    // The same where it polls first.
    let (reader, writer) = std::io::pipe().unwrap();
    let wat = r#"(module
      (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "_start")
        (i32.store8 (i32.const 8) (i32.const 1))
        (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"#;
    let sandbox = text(wat, wall(0.3));
    let started = Instant::now();
    assert_eq!("limited wall", ended(&sandbox.run(run(Source::Fd(Arc::new(reader.into())), &sandbox)).unwrap()));
    assert!(started.elapsed() < Duration::from_millis(300) + GRACE);
    drop(writer);
    assert_eq!("exited", ended(&once(&sandbox)));
}

#[test]
fn a_guest_that_writes_to_a_pipe_nobody_reads_is_stopped_by_the_wall_limit() {
    let sandbox = driver(wall(0.3));
    let (reader, writer) = std::io::pipe().unwrap();
    let mut script = Script::new();
    let bytes = script.bytes(&[b'x'; 5000]);
    let vector = script.vector(bytes, 5000);
    script.act("fd_write", 1000, [2, vector, 1, OUT].map(Arg::from).into());
    let mut run = run(Source::Bytes(script.image().into()), &sandbox);
    run.stderr = Sink::fd(writer.into());
    let result = stops_in_time(&sandbox, run, "limited wall");
    // What a pipe holds was written before it waited; the last page of each write may be part empty.
    assert!((32 << 10..=64 << 10).contains(&result.usage.output), "{}", result.usage.output);
    drop(reader);
}

#[test]
fn a_guest_that_writes_to_a_stopped_terminal_is_stopped_by_the_wall_limit() {
    let sandbox = driver(wall(0.3));
    let (shows, terminal) = pty_unsafe::terminal();
    let mut script = Script::new();
    let bytes = script.bytes(&[b'x'; 5000]);
    let vector = script.vector(bytes, 5000);
    script.act("fd_write", 1000, [2, vector, 1, OUT].map(Arg::from).into());
    let mut run = run(Source::Bytes(script.image().into()), &sandbox);
    run.stderr = Sink::fd(terminal.try_clone().unwrap().into());
    stops_in_time(&sandbox, run, "limited wall");
    // The caller's own description of the terminal still blocks, as its shell expects.
    let flags = rustix::fs::fcntl_getfl(&terminal).unwrap();
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
    drop(shows);
}

#[test]
fn two_runs_that_fill_one_pipe_are_both_stopped() {
    let sandbox = Arc::new(driver(wall(0.5)));
    let (reader, writer) = std::io::pipe().unwrap();
    let mut script = Script::new();
    let bytes = script.bytes(&[b'x'; 100]);
    let vector = script.vector(bytes, 100);
    script.act("fd_write", 1_000_000, [2, vector, 1, OUT].map(Arg::from).into());
    let image = script.image();
    let started = Instant::now();
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let (sandbox, writer, image) = (sandbox.clone(), writer.try_clone().unwrap(), image.clone());
            std::thread::spawn(move || {
                let mut run = run(Source::Bytes(image.into()), &sandbox);
                run.stderr = Sink::fd(writer.into());
                ended(&sandbox.run(run).unwrap())
            })
        })
        .collect();
    for run in runs {
        assert_eq!("limited wall", run.join().unwrap());
    }
    assert!(started.elapsed() < Duration::from_millis(500) + GRACE, "{:?}", started.elapsed());
    drop(reader);
}

#[test]
fn a_slow_reader_of_a_pipe_gets_every_byte_in_order() {
    use std::io::Read;
    let sandbox = driver(wall(20.0));
    let (mut reader, writer) = std::io::pipe().unwrap();
    let text: Vec<u8> = (0..300_000u32).flat_map(|number| number.to_le_bytes()).collect();
    let mut script = Script::new();
    let bytes = script.bytes(&text);
    for piece in (0..text.len()).step_by(100_000) {
        let mut at = piece;
        // Short writes are the guest's to go on with; the driver cannot, so each is what a pipe takes at once.
        while at < (piece + 100_000).min(text.len()) {
            let vector = script.vector(bytes + u32::try_from(at).unwrap(), 4000);
            act!(script, "fd_write", 2, vector, 1, OUT);
            at += 4000;
        }
    }
    let mut run = run(Source::Bytes(script.image().into()), &sandbox);
    run.stderr = Sink::fd(writer.into());
    let slow = std::thread::spawn(move || {
        let (mut all, mut buffer) = (Vec::<u8>::new(), [0; 40_000]);
        loop {
            std::thread::sleep(Duration::from_millis(5));
            let count = reader.read(&mut buffer).unwrap();
            if count == 0 {
                return all;
            }
            all.extend(&buffer[..count]);
        }
    });
    let result = sandbox.run(run).unwrap();
    assert_eq!(
        ("exited".to_owned(), text.len() as u64),
        (ended(&result), result.usage.output - result.stdout.len() as u64)
    );
    assert!(slow.join().unwrap() == text);
}

#[test]
fn a_start_section_that_never_ends_is_stopped() {
    let wat = r#"(module
      (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
      (memory (export "memory") 1)
      (start $before)
      (func $before
        (drop (call $args (i32.const 0) (i32.const 4)))
        (if (i32.gt_u (i32.load (i32.const 0)) (i32.const 1)) (then (loop $ever (br $ever)))))
      (func (export "_start")))"#;
    let sandbox = text(wat, wall(0.3));
    let mut run = run(Source::Empty, &sandbox);
    run.args = vec!["loop".into()];
    let started = Instant::now();
    assert_eq!("limited wall", ended(&sandbox.run(run).unwrap()));
    assert!(started.elapsed() < Duration::from_millis(300) + GRACE);
    assert_eq!("exited", ended(&once(&sandbox)));
}

/// How long a run goes on after it was cancelled: the best of three, for a machine that is busy.
fn lingers(sandbox: &Sandbox, source: impl Fn() -> Source) -> Duration {
    let one = || {
        let run = run(source(), sandbox);
        let cancelled = run.cancelled.clone();
        std::thread::scope(|scope| {
            let at = scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(150));
                cancelled.store(true, Ordering::Relaxed);
                Instant::now()
            });
            let result = sandbox.run(run).unwrap();
            let end = Instant::now();
            assert_eq!("cancelled", ended(&result));
            end.saturating_duration_since(at.join().unwrap())
        })
    };
    (0..3).map(|_| one()).min().unwrap()
}

#[test]
fn a_cancelled_run_ends_within_100_ms_whatever_it_does() {
    let within = Duration::from_millis(100);
    let computing = text(&module("", "(loop $ever (br $ever))"), wall(20.0));
    assert!(lingers(&computing, || Source::Empty) < within);
    let mut script = Script::new();
    wait(&mut script, u64::MAX);
    let sleeping = driver(wall(20.0));
    assert!(lingers(&sleeping, || Source::Bytes(script.image().into())) < within);
    let (reader, writer) = std::io::pipe().unwrap();
    assert!(lingers(&sleeping, || Source::Fd(Arc::new(reader.try_clone().unwrap().into()))) < within);
    drop(writer);
    assert_eq!(vec![OK], act!(Script::new(), "fd_sync", ROOT).run(&sleeping).errnos, "the next run");
}

#[test]
fn a_tick_that_says_no_cancels_a_waiting_run() {
    let sandbox = driver(wall(20.0));
    let mut script = Script::new();
    wait(&mut script, u64::MAX);
    let mut left = 3;
    let mut tick = || {
        left -= 1;
        left > 0
    };
    let mut run = run(Source::Bytes(script.image().into()), &sandbox);
    run.tick = Some(&mut tick);
    let started = Instant::now();
    assert_eq!("cancelled", ended(&sandbox.run(run).unwrap()));
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_wait_for_many_things_ends_with_the_first() {
    let sandbox = driver(wall(5.0));
    let mut script = Script::new();
    // Standard input has ended by then: it is ready.
    wait_for(&mut script, 0);
    wait_for(&mut script, 1);
    wait_for(&mut script, 99);
    wait_for(&mut script, ROOT);
    wait(&mut script, 0);
    act!(script, "poll_oneoff", OUT, OUT, 0, OUT);
    let answer = script.run(&sandbox);
    assert_eq!(vec![OK, OK, OK, OK, OK, INVAL], answer.errnos);
    assert!(answer.result.usage.wall < Duration::from_secs(2));
}

#[test]
fn a_million_subscriptions_are_a_limit_and_not_the_hosts_memory() {
    let mut script = Script::new();
    // 63 MiB of zeros: clocks that have run out, each of which the host keeps.
    act!(script, "poll_oneoff", 1u32 << 20, OUT, 1_300_000, OUT);
    let answer = script.run(&driver(limits(|limits| limits.host_bytes = Bytes(1 << 20))));
    assert_eq!("limited host_bytes", answer.ended());
}
