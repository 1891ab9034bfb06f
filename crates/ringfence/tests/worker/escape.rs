//! A guest that is out of WebAssembly, in a worker: host functions that only a test has do what they want.

use std::net::TcpListener;

use ringfence::worker::Isolation;
use ringfence::{Outcome, Policy, RunResult};
use rustix::io::Errno;

use crate::deeds::DEEDS;
use crate::{Workers, isolated, run};

fn ends(deed: usize, isolation: Isolation) -> RunResult {
    let workers = Workers::of(env!("CARGO_BIN_EXE_planted-worker"), &[], "worker");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // The number is the name that a link leads to: the wall lets links be read, and the worker has to know it.
    let number = listener.local_addr().unwrap().port().to_string();
    std::os::unix::fs::symlink(number, workers.path().join("port")).unwrap();
    let wat = format!(
        r#"(module
          (import "planted" "deed" (func $deed (param i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (func (export "_start") (call $exit (call $deed (i32.const {deed})))))"#
    );
    run(&isolated(&wat, Policy::default(), isolation)).unwrap()
}

#[test]
fn attack_an_escaped_guest_is_stopped_by_the_wall_alone() {
    for (number, (deed, _)) in DEEDS.iter().enumerate() {
        let open = ends(number, Isolation::Process);
        assert_eq!((Outcome::Exited, Some(0)), (open.outcome, open.exit_code), "{deed}, without the wall: {open:?}");

        let walled = ends(number, Isolation::Worker);
        match walled.outcome {
            Outcome::Exited => {
                let errno = walled.exit_code.unwrap().cast_signed();
                let refused = [Errno::ACCESS, Errno::PERM].map(Errno::raw_os_error).contains(&errno);
                assert!(refused, "{deed}: error {errno}");
            }
            Outcome::Crashed => assert!(walled.trap.unwrap().contains("the wall forbids"), "{deed}"),
            other => panic!("{deed}: {other:?}"),
        }
    }
}
