//! Guests that do what they may, behind the wall that is raised between loading and running them.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use ringfence::Sandbox;
use ringfence::policy::{Policy, WasiLevel};
use ringfence::sandbox::engine::{self, Engines, Profile};
use ringfence::sandbox::stdio::{Sink, Source};

use crate::act;
use crate::deeds::Prepared;
use crate::driver::{self, *};

pub const DEEDS: [&str; 7] = [
    "wait for a pipe",
    "be a component",
    "act on files",
    "be refused files",
    "wait and ask",
    "grow to the limit",
    "panic with a trace",
];

/// Grows to 240 of 256 MiB, and touches every page of it.
const GROW: &str = "(module (memory (export \"memory\") 1)
  (func (export \"_start\") (local $at i32)
    (if (i32.eq (memory.grow (i32.const 3839)) (i32.const -1)) (then unreachable))
    (loop $next
      (i32.store (local.get $at) (i32.const 1))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4096))) (i32.const 251658240))))))";

/// Loads what is to be run.
pub fn prepare(deed: &str, policy: Policy) -> Prepared {
    engine::with_pool_for_one();
    assert!(Engines::of(Profile::default()).unwrap().is_pooled());
    match deed {
        "act on files" => repeat(driver::driver(policy), files()),
        "be refused files" => {
            let (sandbox, script) = (driver::driver(Policy { dirs: policy.dirs, ..Policy::default() }), refused());
            Box::new(move || {
                let answer = script.run(&sandbox);
                assert_eq!("exited", answer.ended());
                assert!(answer.errnos.iter().all(|errno| *errno != OK), "{:?}", answer.errnos);
            })
        }
        "wait for a pipe" => pipes(driver::text(ECHO, policy)),
        "be a component" => {
            let idle = WORLD.replace("BODY", "(func (export \"run\") (result i32) (i32.const 0))").replace("LIFT", "");
            let sandbox = driver::text(&idle, Policy { wasi: WasiLevel::V0_3, ..policy });
            Box::new(move || assert_eq!("exited", driver::ended(&driver::once(&sandbox))))
        }
        "wait and ask" => repeat(driver::driver(policy), waits()),
        "grow to the limit" => {
            let sandboxes = [driver::text(GROW, policy.clone()), driver::text(&format!("{GROW};;"), policy)];
            Box::new(move || {
                for sandbox in [&sandboxes[0], &sandboxes[1], &sandboxes[0], &sandboxes[0], &sandboxes[1]] {
                    assert_eq!("exited", driver::ended(&driver::once(sandbox)));
                }
            })
        }
        _ => Box::new(|| drop(std::panic::catch_unwind(|| panic!("to be seen")))),
    }
}

/// A component of WASI 0.3, which has streams, tasks and a fiber of its own.
const WORLD: &str = include_str!("../wasi03/world.wat");

/// Reads what comes, and writes it to standard output.
const ECHO: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\08\00\00\00")
  (func (export "_start")
    (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 32)) (then unreachable))
    (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)) (then unreachable))))"#;

/// Input that comes late, and output that is a pipe.
fn pipes(sandbox: Sandbox) -> Prepared {
    let (input, mut late) = std::io::pipe().unwrap();
    let (mut read, output) = std::io::pipe().unwrap();
    Box::new(move || {
        let writer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(80));
            late.write_all(b"12345678").unwrap();
        });
        let mut run = driver::run(Source::Fd(Arc::new(input.into())), &sandbox);
        run.stdout = Sink::Fd { fd: Arc::new(output.into()), regular: false };
        assert_eq!("exited", driver::ended(&sandbox.run(run).unwrap()));
        writer.join().unwrap();
        let mut echoed = [0; 8];
        read.read_exact(&mut echoed).unwrap();
        assert_eq!(b"12345678", &echoed);
    })
}

fn repeat(sandbox: Sandbox, script: Script) -> Prepared {
    Box::new(move || {
        for _ in 0..20 {
            let answer = script.run(&sandbox);
            assert_eq!("exited", answer.ended(), "{:?}", answer.result.trap);
            assert!(answer.errnos.iter().all(|errno| *errno == OK), "{:?}", answer.errnos);
        }
    })
}

/// Every act on files that there is; it leaves nothing behind.
fn files() -> Script {
    let mut script = Script::new();
    for place in ["rw", "tmp"] {
        let at = |name: &str| format!("{place}/{name}");
        script.create(&at("made"));
        let vector = script.bytes(b"text of the file");
        let vector = script.vector(vector, 16);
        act!(script, "fd_write", FIRST, vector, 1, OUT);
        act!(script, "fd_pwrite", FIRST, vector, 1, 4, OUT);
        act!(script, "fd_pread", FIRST, vector, 1, 0, OUT);
        act!(script, "fd_seek", FIRST, 0, 0, OUT);
        act!(script, "fd_read", FIRST, vector, 1, OUT);
        act!(script, "fd_advise", FIRST, 0, 0, 0);
        act!(script, "fd_filestat_set_size", FIRST, 100);
        act!(script, "fd_filestat_set_times", FIRST, 0, 0, 2 | 8);
        act!(script, "fd_filestat_get", FIRST, OUT);
        act!(script, "fd_datasync", FIRST);
        act!(script, "fd_sync", FIRST);
        act!(script, "fd_close", FIRST);
        act!(script, "path_create_directory", ROOT, &at("dir"));
        act!(script, "path_rename", ROOT, &at("made"), ROOT, &at("dir/moved"));
        act!(script, "path_link", ROOT, 0, &at("dir/moved"), ROOT, &at("linked"));
        act!(script, "path_symlink", "dir/moved", ROOT, &at("way"));
        act!(script, "path_readlink", ROOT, &at("way"), OUT, 64, OUT + 64);
        act!(script, "path_filestat_get", ROOT, FOLLOW, &at("way"), OUT);
        act!(script, "path_filestat_set_times", ROOT, 0, &at("way"), 0, 0, 2 | 8);
        act!(script, "path_filestat_set_times", ROOT, FOLLOW, &at("way"), 0, 0, 2 | 8);
        act!(script, "path_open", ROOT, FOLLOW, &at("dir"), DIRECTORY, READ, 0, 0, OUT);
        act!(script, "fd_readdir", FIRST, OUT, 256, 0, OUT + 256);
        act!(script, "fd_close", FIRST);
        for file in ["way", "linked", "dir/moved"] {
            act!(script, "path_unlink_file", ROOT, &at(file));
        }
        act!(script, "path_remove_directory", ROOT, &at("dir"));
    }
    script.open("ro/file").print(FIRST, 4);
    act!(script, "fd_close", FIRST);
    script.open("single").print(FIRST, 4);
    script
}

/// Acts that a policy without anything to write refuses: none of them reaches the kernel as one that it forbids.
fn refused() -> Script {
    let mut script = Script::new();
    script.create("ro/made").create("made").open("secret").open("ro/../../secret");
    act!(script, "path_create_directory", ROOT, "ro/dir");
    act!(script, "path_rename", ROOT, "ro/file", ROOT, "ro/moved");
    act!(script, "path_link", ROOT, 0, "ro/file", ROOT, "ro/linked");
    act!(script, "path_symlink", "file", ROOT, "ro/way");
    act!(script, "path_filestat_set_times", ROOT, 0, "ro/file", 0, 0, 2 | 8);
    act!(script, "path_filestat_set_times", ROOT, FOLLOW, "ro", 0, 0, 2 | 8);
    act!(script, "path_unlink_file", ROOT, "ro/file");
    act!(script, "path_remove_directory", ROOT, "ro");
    act!(script, "path_open", ROOT, FOLLOW, "ro/file", TRUNCATE, READ | WRITE, 0, 0, OUT);
    script
}

fn waits() -> Script {
    let mut script = Script::new();
    driver::wait(&mut script, 1_000_000);
    driver::wait(&mut script, 60_000_000);
    driver::wait_for(&mut script, 0);
    act!(script, "clock_time_get", 1, 0, OUT);
    act!(script, "random_get", OUT, 64);
    script
}
