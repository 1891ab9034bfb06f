//! A guest that is out of WebAssembly, in a worker: host functions that only a test has do what they want.

//!
//! Without the test harness, which starts threads: a worker has one until its wall is up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "wall/attacks_unsafe.rs"]
#[allow(dead_code)]
mod attacks_unsafe;

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use attacks_unsafe::call;
use ringfence::load::set_compiler;
use ringfence::sandbox::files::Grants;
use ringfence::sandbox::stdio::{Sink, Source};
use ringfence::sandbox::store::State;
use ringfence::worker::{self, Isolation};
use ringfence::{Outcome, Policy, Program, Run, RunResult, Sandbox};
use rustix::io::Errno;
use rustix::process::getppid;

/// The name under which this program is a worker.
const WORKER: &str = "worker";

/// The name this process was started under, and the directory of that.
fn started_as() -> (String, PathBuf) {
    let name = PathBuf::from(std::env::args_os().next().unwrap());
    (name.file_name().unwrap().to_str().unwrap().into(), name.parent().unwrap().into())
}

fn main() {
    worker::plant(functions);
    if started_as().0 == WORKER {
        std::process::exit(worker::serve());
    }
    attack_an_escaped_guest_is_stopped_by_the_wall_alone();
    println!("attack_an_escaped_guest_is_stopped_by_the_wall_alone ... ok");
}

/// What an escaped guest tries, by number.
const DEEDS: [(&str, fn(&Path) -> std::io::Result<()>); 8] = [
    ("opens /etc/passwd", |_| std::fs::read("/etc/passwd").map(drop)),
    ("lists /", |_| std::fs::read_dir("/").map(drop)),
    ("writes outside", |house| std::fs::write(house.join("written"), "x")),
    ("reads the memory of its parent", |_| std::fs::File::open(format!("/proc/{}/mem", parent())).map(drop)),
    ("connects a socket", |house| TcpStream::connect(("127.0.0.1", port(house))).map(drop)),
    ("executes a program", |_| Command::new("/bin/true").status().map(drop)),
    ("traces its parent", |_| {
        const PTRACE_SEIZE: usize = 0x4206;
        Ok(call(libc::SYS_ptrace, &[PTRACE_SEIZE, parent(), 0, 0]).map(drop)?)
    }),
    ("signals its parent", |_| {
        Ok(rustix::process::test_kill_process(getppid().unwrap_or(rustix::process::Pid::INIT))?)
    }),
];

fn parent() -> usize {
    getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs() as usize)
}

fn port(house: &Path) -> u16 {
    std::fs::read_link(house.join("port")).map_or(0, |name| name.to_str().unwrap().parse().unwrap())
}

/// `planted.deed`: does one of them, and gives the error number.
pub fn functions(linker: &mut wasmtime::Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap("planted", "deed", |deed: u32| -> u32 {
        match DEEDS[deed as usize].1(&started_as().1) {
            Ok(()) => 0,
            Err(error) => error.raw_os_error().unwrap_or(255).unsigned_abs(),
        }
    })?;
    Ok(())
}

fn ends(house: &Path, deed: usize, isolation: Isolation) -> RunResult {
    let wat = format!(
        r#"(module
          (import "planted" "deed" (func $deed (param i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (func (export "_start") (call $exit (call $deed (i32.const {deed})))))"#
    );
    let program = Program::from_bytes(wat.as_bytes(), "guest").unwrap();
    let policy = Policy::default();
    let grants = Grants::open(&policy, &[]).unwrap();
    let tenant = Some(house.to_string_lossy().into_owned());
    let sandbox = Sandbox::isolated(&program, policy, grants, None, isolation, tenant).unwrap();
    let run = Run {
        args: vec![],
        input: Source::Empty,
        stdout: Sink::Discard,
        stderr: Sink::Discard,
        limits: sandbox.policy().limits,
        cancelled: Arc::default(),
        tick: None,
    };
    sandbox.run(run).unwrap()
}

fn attack_an_escaped_guest_is_stopped_by_the_wall_alone() {
    let house = tempfile::tempdir().unwrap();
    let house = house.path();
    let program = house.join(WORKER);
    std::os::unix::fs::symlink(std::env::current_exe().unwrap(), &program).unwrap();
    set_compiler(vec![env!("CARGO_BIN_EXE_ringfence-compiler").into()]);
    worker::set_worker(vec![program.into()]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // The number is the name that a link leads to: the wall lets links be read, and the worker has to know it.
    let number = listener.local_addr().unwrap().port().to_string();
    std::os::unix::fs::symlink(number, house.join("port")).unwrap();

    for (number, (deed, _)) in DEEDS.iter().enumerate() {
        let open = ends(house, number, Isolation::Process);
        assert_eq!((Outcome::Exited, Some(0)), (open.outcome, open.exit_code), "{deed}, without the wall: {open:?}");

        let walled = ends(house, number, Isolation::Worker);
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
