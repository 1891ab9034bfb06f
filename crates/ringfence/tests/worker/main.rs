//! Guests that have escaped in a worker, and workers that have fallen altogether.
//!
//! Fallen ones are processes of this very program, told apart by the name that they are started under.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../wall/attacks_unsafe.rs"]
#[allow(dead_code)]
mod attacks_unsafe;
mod calls;
mod captures;
mod deeds;
#[path = "../driver/mod.rs"]
#[allow(unused_imports, unused_macros)]
mod driver;
mod escape;
mod handles;
mod hostile;
mod left;
mod mapped_unsafe;
mod modules;
mod plugins;
mod turns;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ringfence::load::set_compiler;
use ringfence::sandbox::files::Grants;
use ringfence::sandbox::stdio::{Sink, Source};
use ringfence::worker::{self, Isolation};
use ringfence::{HostFunctions, Policy, Program, Run, RunResult, Sandbox};

const GRACE: Duration = Duration::from_millis(500);

/// One kind of worker at a time: the command that starts them is the process's.
struct Workers {
    _one: MutexGuard<'static, ()>,
    house: tempfile::TempDir,
}

impl Workers {
    /// Workers that are processes of that program, under that name.
    fn of(program: impl AsRef<Path>, arguments: &[&str], name: &str) -> Self {
        static ONE: Mutex<()> = Mutex::new(());
        let one = ONE.lock().unwrap_or_else(|broken| broken.into_inner());
        set_compiler(vec![env!("CARGO_BIN_EXE_ringfence-compiler").into()]);
        ringfence::sandbox::engine::without_pool();
        worker::plant(deeds::functions);
        worker::close();
        let house = tempfile::tempdir().unwrap();
        let link = house.path().join(name);
        std::os::unix::fs::symlink(program.as_ref(), &link).unwrap();
        worker::set_worker(std::iter::once(link.into()).chain(arguments.iter().map(Into::into)).collect());
        Self { _one: one, house }
    }

    /// Workers that have fallen, in the way that is their name.
    fn fallen(name: &str) -> Self {
        let flags = ["--exact", "a_process_is_a_fallen_worker", "--ignored", "--nocapture", "--test-threads=1"];
        Self::of(std::env::current_exe().unwrap(), &flags, name)
    }

    fn path(&self) -> &Path {
        self.house.path()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        worker::close();
    }
}

/// The name that a worker was started under, and the directory of the test that it belongs to.
fn started_as() -> (String, PathBuf) {
    let name = PathBuf::from(std::env::args_os().next().unwrap());
    (name.file_name().unwrap().to_str().unwrap().into(), name.parent().unwrap().into())
}

fn isolated(wat: &str, policy: Policy, isolation: Isolation) -> Sandbox {
    let program = Program::from_bytes(wat.as_bytes(), "guest").unwrap();
    let grants = Grants::open(&policy, &[]).unwrap();
    Sandbox::isolated(&program, policy, grants, HostFunctions::default(), None, isolation, None).unwrap()
}

fn run(sandbox: &Sandbox) -> ringfence::Result<RunResult> {
    sandbox.run(asked(sandbox))
}

fn asked(sandbox: &Sandbox) -> Run<'static> {
    Run {
        args: vec![],
        input: Source::Empty,
        stdout: Sink::Capture(Vec::new()),
        stderr: Sink::Capture(Vec::new()),
        source: None,
        limits: sandbox.policy().limits,
        cancelled: Arc::default(),
        tick: None,
    }
}

/// Waits for what comes true by itself.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(10), "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
#[ignore = "run by the tests beside it, in processes of their own"]
fn a_process_is_a_fallen_worker() {
    hostile::serve();
}
