//! Sockets of WASI 0.3: the same grants, limits and refusals as those of WASI 0.2.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod dns;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ringfence::load::{Cache, Program, load_in, set_compiler};
use ringfence::policy::{Bytes, Endpoint, OnDenied, Policy, WasiLevel};
use ringfence::run::{Run, Sandbox};
use ringfence::sandbox::engine::{Engines, Profile};
use ringfence::sandbox::files::Grants;
use ringfence::sandbox::stdio::{Sink, Source};
use ringfence::{Outcome, RunResult};

const WORLD: &str = include_str!("wasi03/network.wat");
const WALL: Duration = Duration::from_millis(500);

/// What a stopped run may take beyond its limit.
const GRACE: Duration = Duration::from_millis(500);

fn policy(tcp: &[u16], udp: &[u16]) -> Policy {
    let mut policy = Policy { wasi: WasiLevel::V0_3, ..Policy::default() };
    policy.limits.wall.0 = WALL;
    let endpoints =
        |ports: &[u16]| ports.iter().map(|port| Endpoint::from_text(&format!("127.0.0.1:{port}")).unwrap()).collect();
    policy.net.tcp = endpoints(tcp);
    policy.net.udp = endpoints(udp);
    policy
}

/// Runs a component whose core module has this body, with this port in it; compiling does not count.
fn run(body: &str, port: u16, policy: Policy) -> (RunResult, Duration) {
    run_asking(&[], body, port, policy)
}

/// The same, where these name servers are asked.
fn run_asking(servers: &[SocketAddr], body: &str, port: u16, policy: Policy) -> (RunResult, Duration) {
    set_compiler(vec![OsString::from(env!("CARGO_BIN_EXE_ringfence-compiler"))]);
    let text = WORLD.replace("BODY", body).replace("PORT", &format!("(i32.const {port})"));
    let program = Program::from_bytes(text.as_bytes(), "program").unwrap();
    let engines = Engines::of(Profile { concurrency: true, ..Profile::default() }).unwrap();
    // Kept until the sandbox has it: nothing is written to the user's cache.
    let _loaded = load_in(&Cache::none(), &program, &engines, Duration::from_secs(60), None).unwrap();
    let limits = policy.limits;
    let grants = Grants::open(&policy, &[]).unwrap();
    let sandbox = Sandbox::new(&program, policy, grants, None).unwrap();
    let sandbox = if servers.is_empty() { sandbox } else { sandbox.with_name_servers(servers) };
    let started = Instant::now();
    let run = Run {
        args: Vec::new(),
        input: Source::Empty,
        stdout: Sink::Capture(Vec::new()),
        stderr: Sink::Capture(Vec::new()),
        source: None,
        limits,
        cancelled: Arc::default(),
        tick: None,
    };
    (sandbox.run(run).unwrap(), started.elapsed())
}

/// Talks to one guest in a thread of its own.
fn serve<T: Send + 'static>(talk: impl FnOnce(std::net::TcpStream) -> T + Send + 'static) -> (u16, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, thread::spawn(move || talk(listener.accept().unwrap().0)))
}

fn ended_well(result: &RunResult) {
    assert_eq!((Outcome::Exited, Some(0)), (result.outcome, result.exit_code), "{:?}", result.trap);
}

fn denied(result: &RunResult) -> Vec<(&str, &str)> {
    result.denials.iter().map(|denial| (denial.kind, &*denial.what)).collect()
}

/// Sends `hello`, then checks that it comes back.
const ECHO: &str = r#"(func (export "run") (result i32)
    (local $socket i32) (local $ends i64) (local $writer i32) (local $reader i32)
    (local.set $socket (call $tcp))
    (if (call $dial (local.get $socket) PORT) (then (return (i32.const 1))))
    (local.set $ends (call $stream-new))
    (drop (call $send (local.get $socket) (i32.wrap_i64 (local.get $ends))))
    (local.set $writer (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
    (drop (call $done (local.get $writer) (call $stream-write (local.get $writer) (i32.const 1024) (i32.const 5))))
    (call $receive (local.get $socket) (i32.const 32))
    (local.set $reader (i32.load (i32.const 32)))
    (if (i32.ne (call $read (local.get $reader) (i32.const 5)) (i32.const 5)) (then (unreachable)))
    (i64.ne (i64.load32_u (i32.const 4096)) (i64.load32_u (i32.const 1024))))"#;

/// Receives until nothing comes any more.
const DRAIN: &str = r#"(func (export "run") (result i32)
    (local $socket i32)
    (local.set $socket (call $tcp))
    (if (call $dial (local.get $socket) PORT) (then (return (i32.const 1))))
    (call $receive (local.get $socket) (i32.const 32))
    (loop $again (br_if $again (call $read (i32.load (i32.const 32)) (i32.const 60000))))
    (i32.const 0))"#;

/// Sends without end.
const POUR: &str = r#"(func (export "run") (result i32)
    (local $socket i32) (local $ends i64) (local $writer i32)
    (local.set $socket (call $tcp))
    (if (call $dial (local.get $socket) PORT) (then (return (i32.const 1))))
    (local.set $ends (call $stream-new))
    (drop (call $send (local.get $socket) (i32.wrap_i64 (local.get $ends))))
    (local.set $writer (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
    (loop $again
        (drop (call $done (local.get $writer)
            (call $stream-write (local.get $writer) (i32.const 0) (i32.const 60000))))
        (br $again))
    (i32.const 0))"#;

#[test]
fn a_granted_server_is_talked_to() {
    let (port, server) = serve(|mut stream| {
        let mut said = [0; 5];
        stream.read_exact(&mut said).unwrap();
        stream.write_all(&said).unwrap();
        said
    });
    let (result, _) = run(ECHO, port, policy(&[port], &[]));
    ended_well(&result);
    assert_eq!(b"hello", &server.join().unwrap());
    assert!(result.denials.is_empty());
}

#[test]
fn attack_a_server_that_is_not_granted_is_not_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let other = if port == u16::MAX { port - 1 } else { port + 1 };
    for policy in [policy(&[], &[]), policy(&[other], &[port])] {
        // 1 is the first error, access-denied.
        let body = r#"(func (export "run") (result i32)
            (i32.ne (i32.const 1) (call $dial (call $tcp) PORT)))"#;
        let (result, _) = run(body, port, policy);
        ended_well(&result);
        assert_eq!(vec![("connect", &*format!("tcp://127.0.0.1:{port}"))], denied(&result));
    }
    assert!(listener.accept().is_err());
}

#[test]
fn attack_a_policy_that_stops_at_a_refusal_stops_the_run() {
    let mut policy = policy(&[], &[]);
    policy.on_denied = OnDenied::Stop;
    let body = r#"(func (export "run") (result i32) (drop (call $dial (call $tcp) PORT)) (i32.const 0))"#;
    assert_eq!(Outcome::Denied, run(body, 9, policy).0.outcome);
}

#[test]
fn attack_a_guest_that_listens_is_refused() {
    let body = r#"(func (export "run") (result i32)
        (call $listen (call $tcp) (i32.const 16))
        (i32.ne (i32.const 1) (call $told (i32.const 16))))"#;
    let (result, _) = run(body, 9, policy(&[9], &[9]));
    ended_well(&result);
    assert_eq!(vec![("listen", "tcp://0.0.0.0:0")], denied(&result));
}

#[test]
fn attack_a_name_that_is_not_granted_is_not_resolved() {
    let body = r#"(func (export "run") (result i32)
        (call $resolve (i32.const 1040) (i32.const 9) (i32.const 16))
        (i32.ne (i32.const 1) (call $told (i32.const 16))))"#;
    let (result, _) = run(body, 9, policy(&[9], &[9]));
    ended_well(&result);
    assert_eq!(vec![("resolve", "localhost")], denied(&result));
}

#[test]
fn attack_a_flood_of_bytes_ends_at_the_limit_in_both_directions() {
    for (body, floods) in [(DRAIN, true), (POUR, false)] {
        let (port, server) = serve(move |mut stream| {
            if floods {
                while stream.write_all(&[0; 65536]).is_ok() {}
                return 0;
            }
            std::io::copy(&mut stream, &mut std::io::sink()).unwrap_or(0)
        });
        let mut policy = policy(&[port], &[]);
        policy.limits.net_bytes = Bytes(1 << 20);
        let (result, _) = run(body, port, policy);
        assert_eq!((Outcome::Limited, Some("net_bytes")), (result.outcome, result.limit), "{:?}", result.trap);
        assert!(server.join().unwrap() <= 1 << 20);
    }
}

#[test]
fn attack_a_peer_that_neither_speaks_nor_listens_is_left_at_the_deadline() {
    for body in [DRAIN, POUR] {
        let (port, server) = serve(|stream| {
            thread::sleep(WALL + GRACE);
            stream
        });
        let (result, took) = run(body, port, policy(&[port], &[]));
        assert_eq!((Outcome::Limited, Some("wall")), (result.outcome, result.limit), "{:?}", result.trap);
        assert!(took < WALL + GRACE, "it took {took:?}");
        drop(server.join().unwrap());
    }
}

#[test]
fn attack_datagrams_go_only_to_granted_peers_and_come_only_from_them() {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_nonblocking(true).unwrap();
    let port = peer.local_addr().unwrap().port();
    // Connects, and where it may, waits for an answer that only a stranger could give.
    let body = r#"(func (export "run") (result i32)
        (call $create-udp (i32.const 0) (i32.const 16))
        (call $connect-udp (i32.load (i32.const 20)) (i32.const 0) PORT
            (i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 48))
        (if (call $told (i32.const 48)) (then (return (i32.ne (i32.const 1) (call $told (i32.const 48))))))
        (call $receive-udp (i32.load (i32.const 20)) (i32.const 80))
        (i32.const 0))"#;

    let (refused, _) = run(body, port, policy(&[port], &[]));
    ended_well(&refused);
    assert_eq!(vec![("connect", &*format!("udp://127.0.0.1:{port}"))], denied(&refused));

    let (waiting, took) = run(body, port, policy(&[], &[port]));
    assert_eq!((Outcome::Limited, Some("wall")), (waiting.outcome, waiting.limit), "{:?}", waiting.trap);
    assert!(took < WALL + GRACE, "it took {took:?}");
    assert!(peer.recv(&mut [0; 10]).is_err(), "nothing was sent");
}

/// Resolves `a.example`: 0 when it has addresses, else the error and one.
const RESOLVE: &str = r#"(func (export "run") (result i32)
    (call $resolve (i32.const 1056) (i32.const 9) (i32.const 16))
    (i32.ne (call $told (i32.const 16)) (i32.const 0)))"#;

fn sockets() -> usize {
    let links =
        std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

#[test]
fn attack_a_name_server_that_says_nothing_is_left_at_the_deadline_with_its_sockets() {
    let server = dns::Server::start(|_, _| dns::Answer::Silence);
    let mut policy = policy(&[], &[]);
    policy.net.tcp.push(Endpoint::from_text("a.example:80").unwrap());
    let lookup = || {
        let (result, took) = run_asking(&[server.address], RESOLVE, 0, policy.clone());
        assert_eq!((Outcome::Limited, Some("wall")), (result.outcome, result.limit), "{:?}", result.trap);
        assert!(took < WALL + GRACE, "it took {took:?}");
    };
    lookup();
    assert!(!server.asked().is_empty());

    // Others run beside this test, with some sockets of their own.
    let before = sockets();
    (0..10).for_each(|_| lookup());
    assert!(sockets() < before + 10, "{} after {before}", sockets());
}

#[test]
fn a_granted_name_is_resolved() {
    let server = dns::Server::start(|_, _| dns::Answer::At(vec!["93.184.216.34".parse().unwrap()]));
    let mut policy = policy(&[], &[]);
    policy.net.tcp.push(Endpoint::from_text("a.example:80").unwrap());
    ended_well(&run_asking(&[server.address], RESOLVE, 0, policy).0);
}
