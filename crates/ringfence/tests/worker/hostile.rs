//! Workers that have fallen: they lie, flood, keep silent or die, and their parent goes on.

use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use ringfence::worker::Isolation;
use ringfence::{Error, Outcome, Policy};

use crate::driver::wall;
use crate::{GRACE, Workers, isolated, run, started_as, until};

const HELLO: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

/// A result that is believed.
pub const ENDED: &str = r#"{"ended": {"outcome": "exited", "exit_code": 0, "limit": null, "trap": null, "backtrace": null,
    "truncated": false, "stdout_bytes": 0, "wall_nanos": 1, "cpu_nanos": 1, "memory_bytes": 1, "output_bytes": 0,
    "fuel": null, "denials": []}}"#;

/// Answers as a worker should until it is asked to run something; then does what it is called.
pub fn serve() -> ! {
    let (name, house) = started_as();
    let mut parent = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let build = "ringfence 0.1.0 wasmtime 48.0.8";
    if name == "silent at first" {
        std::thread::sleep(Duration::from_secs(60));
    }
    answer(&mut parent, 0, &format!(r#"{{"ready": {{"build": "{build}"}}}}"#), b"");
    loop {
        let (number, metadata) = asked(&mut parent);
        match metadata.split('"').nth(1).unwrap() {
            "bind" if name == "dies when bound" => std::process::exit(9),
            "bind" => answer(&mut parent, number, r#""bound""#, b""),
            "load" => answer(&mut parent, number, r#""loaded""#, b""),
            "run" => {
                std::fs::write(house.join("asked"), "").unwrap();
                misbehave(&name, number, &mut parent);
            }
            "open" => answer(&mut parent, number, r#"{"opened": {"hears": true}}"#, b""),
            "eval" => crate::turns::misbehave(&name, number, &mut parent),
            "plug" => crate::plugins::plug(&name, number, &mut parent),
            "invoke" => crate::plugins::misbehave(&name, number, &metadata, &mut parent),
            "touch" => crate::modules::touched(&name, number, &metadata, &mut parent),
            "capture" => crate::captures::misbehave(&name, number, &handed()[0], &house, &mut parent),
            _ => {}
        }
    }
}

fn misbehave(name: &str, number: u64, parent: &mut UnixStream) {
    match name {
        "honest" => answer(parent, number, ENDED, b""),
        "silent" => {}
        "exits" => std::process::exit(3),
        "aborts" => std::process::abort(),
        "hangs up" => {
            parent.shutdown(std::net::Shutdown::Both).unwrap();
            std::thread::sleep(Duration::from_secs(60));
        }
        "answers another question" => answer(parent, number + 1, ENDED, b""),
        "answers something else" => answer(parent, number, r#""loaded""#, b""),
        "says an unknown thing" => answer(parent, number, r#"{"owned": {}}"#, b""),
        "speaks no JSON" => answer(parent, number, "\u{1b}[2J", b""),
        "gives more output than there may be" => answer(parent, number, ENDED, b"x"),
        "announces four gigabytes" => parent.write_all(&header(u32::MAX, 0, number, 0)).unwrap(),
        "announces more output than memory" => parent.write_all(&header(2, 0, number, u64::MAX)).unwrap(),
        "announces descriptors" => parent.write_all(&header(2, 1, number, 0)).unwrap(),
        "trickles" => loop {
            let sent = parent.write_all(&header(1 << 20, 0, number, 0)[..1]);
            std::thread::sleep(Duration::from_millis(if sent.is_ok() { 20 } else { 60_000 }));
        },
        "floods" => loop {
            if parent.write_all(&[0xff; 65536]).is_err() {
                std::thread::sleep(Duration::from_secs(60));
            }
        },
        name if name.starts_with("captures") => answer(parent, number, ENDED, b""),
        other => crate::calls::misbehave(other, number, parent),
    }
}

pub fn header(metadata: u32, descriptors: u32, number: u64, tail: u64) -> Vec<u8> {
    [&metadata.to_le_bytes()[..], &descriptors.to_le_bytes(), &number.to_le_bytes(), &tail.to_le_bytes()].concat()
}

pub fn answer(parent: &mut UnixStream, number: u64, metadata: &str, tail: &[u8]) {
    let length = u32::try_from(metadata.len()).unwrap();
    let frame = [&header(length, 0, number, tail.len() as u64), metadata.as_bytes(), tail].concat();
    parent.write_all(&frame).unwrap();
}

pub fn asked(parent: &mut UnixStream) -> (u64, String) {
    let mut header = [0; 24];
    let first = receive(parent, &mut header);
    if first == 0 || parent.read_exact(&mut header[first..]).is_err() {
        std::process::exit(0);
    }
    let number =
        |from: usize, to: usize| header[from..to].iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
    let mut metadata = vec![0; number(0, 4) as usize];
    parent.read_exact(&mut metadata).unwrap();
    std::io::copy(&mut parent.take(number(16, 24)), &mut std::io::sink()).unwrap();
    (number(8, 16), String::from_utf8(metadata).unwrap())
}

/// What came with the last question.
static HANDED: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());

fn handed() -> MutexGuard<'static, Vec<OwnedFd>> {
    HANDED.lock().unwrap()
}

/// The first bytes of a frame, and the descriptors with it.
fn receive(parent: &UnixStream, header: &mut [u8]) -> usize {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(parent, &mut [IoSliceMut::new(header)], &mut ancillary, RecvFlags::CMSG_CLOEXEC);
    let mut handed = handed();
    handed.clear();
    for received in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = received {
            handed.extend(descriptors);
        }
    }
    message.map_or(0, |message| message.bytes)
}

/// The end of a run whose worker is called that, and how long it took from the question on.
fn ends(name: &str) -> (Outcome, String, Duration) {
    let _workers = Workers::fallen(name);
    let sandbox = isolated(HELLO, wall(0.5), Isolation::Process);
    let result = run(&sandbox).unwrap();
    (result.outcome, result.trap.unwrap_or_default(), result.usage.wall)
}

#[test]
fn attack_a_worker_that_breaks_the_protocol_is_killed_and_its_run_crashed() {
    assert_eq!(Outcome::Exited, ends("honest").0);
    for name in [
        "answers another question",
        "answers something else",
        "says an unknown thing",
        "speaks no JSON",
        "gives more output than there may be",
        "announces four gigabytes",
        "announces more output than memory",
        "announces descriptors",
        "floods",
    ] {
        let (outcome, why, took) = ends(name);
        assert_eq!(Outcome::Crashed, outcome, "{name}: {why}");
        assert!(why.starts_with("the worker broke its protocol: ") && !why.contains('\u{1b}'), "{name}: {why}");
        assert!(took < GRACE, "{name}: {took:?}");
    }
}

#[test]
fn attack_a_worker_that_dies_in_any_way_is_a_crash_that_says_how() {
    for (name, how) in [("exits", "exit code 3"), ("aborts", "signal 6"), ("hangs up", "a silence that it broke off")] {
        let (outcome, why, _) = ends(name);
        assert_eq!(Outcome::Crashed, outcome, "{name}: {why}");
        assert!(why.contains(how), "{name}: {why}");
    }
}

#[test]
fn attack_a_worker_that_does_not_answer_is_killed_at_the_deadline() {
    for name in ["silent", "trickles"] {
        let (outcome, _, took) = ends(name);
        assert!(matches!(outcome, Outcome::Limited | Outcome::Crashed), "{name}: {outcome:?}");
        assert!(took < Duration::from_millis(500) + GRACE, "{name}: {took:?}");
    }
    assert_eq!(Outcome::Limited, ends("silent").0);
}

#[test]
fn a_worker_that_dies_before_it_is_asked_is_an_error_with_its_reason() {
    let _workers = Workers::fallen("dies when bound");
    let refused = run(&isolated(HELLO, Policy::default(), Isolation::Process)).unwrap_err();
    assert!(matches!(&refused, Error::Host(parts) if parts.why.contains("exit code 9")), "{refused}");
}

#[test]
fn a_cancelled_run_ends_soon_whatever_its_worker_does() {
    let workers = Workers::fallen("silent");
    let sandbox = isolated(HELLO, wall(60.0), Isolation::Process);
    let cancelled = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        let given_up = cancelled.clone();
        let running = scope.spawn(|| {
            let mut asked = crate::driver::run(ringfence::sandbox::stdio::Source::Empty, &sandbox);
            asked.cancelled = given_up;
            sandbox.run(asked).unwrap()
        });
        until("it was asked", || workers.path().join("asked").exists());
        let at = Instant::now();
        cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(Outcome::Cancelled, running.join().unwrap().outcome);
        assert!(at.elapsed() < GRACE);
    });
}
