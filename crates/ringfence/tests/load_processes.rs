//! The cache under many threads and processes, and under `kill -9`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use ringfence::load::{Cache, Program, load, load_in, set_compiler};
use ringfence::sandbox::engine::{Engines, Profile};

const LIMIT: Duration = Duration::from_secs(60);
const OURS: &str = env!("CARGO_BIN_EXE_ringfence-compiler");

/// A program that takes about two seconds to compile.
fn slow(name: &str) -> String {
    let function = format!("(func (param i32) (result i32) (local.get 0) {})", "(i32.mul (local.get 0))".repeat(2000));
    format!("(module (; {name} ;) {})", function.repeat(200))
}

/// Starts a process of this test that loads a file from the cache and says whether it was there.
fn start_loader(cache: &Path, program: &Path, compiler: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process_loads_what_it_is_told_to", "--ignored", "--nocapture"])
        .env("RINGFENCE_CACHE", cache)
        .env("TEST_PROGRAM", program)
        .env("TEST_COMPILER", compiler)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "run by the tests beside it, in processes of their own"]
fn a_process_loads_what_it_is_told_to() {
    set_compiler(vec![std::env::var_os("TEST_COMPILER").unwrap()]);
    let engines = Engines::of(Profile::default()).unwrap();
    let program = Program::from_file(std::env::var_os("TEST_PROGRAM").unwrap()).unwrap();
    let loaded = load(&program, &engines, LIMIT, None).unwrap();
    println!("from_cache={}", loaded.from_cache);
}

#[test]
fn eight_threads_at_once_compile_a_program_once() {
    set_compiler(vec![OURS.into()]);
    let dir = tempfile::tempdir().unwrap();
    let engines = Engines::of(Profile::default()).unwrap();
    let program = Program::from_bytes(slow("threads"), "threads").unwrap();
    let compiled = std::thread::scope(|scope| {
        let load = || load_in(&Cache::at(dir.path()).unwrap(), &program, &engines, LIMIT, None).unwrap();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|done| !done.from_cache).count()
    });
    assert_eq!(1, compiled);
}

#[test]
fn eight_processes_at_once_compile_a_program_once() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, program) = (dir.path().join("cache"), dir.path().join("program.wat"));
    std::fs::write(&program, slow("processes")).unwrap();
    let loaders: Vec<_> = (0..8).map(|_| start_loader(&cache, &program, Path::new(OURS))).collect();
    let said: Vec<_> = loaders
        .into_iter()
        .map(|loader| String::from_utf8(loader.wait_with_output().unwrap().stdout).unwrap())
        .collect();
    let count = |text: &str| said.iter().filter(|said| said.contains(text)).count();
    assert_eq!((1, 7), (count("from_cache=false"), count("from_cache=true")), "{said:?}");
    let mut left: Vec<_> = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.retain(|name| !["cwasm", "seal"].iter().any(|suffix| name.to_string_lossy().ends_with(suffix)));
    assert_eq!(vec!["key"], left);
}

#[test]
fn attack_killing_a_compiling_process_leaves_no_compiler_and_a_working_cache() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, program) = (dir.path().join("cache"), dir.path().join("program.wat"));
    // A compiler with a path of its own can be told from those of other tests.
    let compiler = dir.path().join("compiler");
    std::fs::copy(OURS, &compiler).unwrap();
    std::fs::write(&program, slow("killed")).unwrap();

    for _ in 0..3 {
        let mut loader = start_loader(&cache, &program, &compiler);
        wait_until("the compiler runs", || is_running(&compiler));
        std::thread::sleep(Duration::from_millis(200));
        loader.kill().unwrap();
        loader.wait().unwrap();
        wait_until("the compiler is gone", || !is_running(&compiler));
    }
    for expected in ["from_cache=false", "from_cache=true"] {
        let output = start_loader(&cache, &program, &compiler).wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains(expected), "{output:?}");
    }

    let left = || {
        let names = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap());
        names.filter(|entry| entry.file_name().to_string_lossy().starts_with("tmp-")).collect::<Vec<_>>()
    };
    assert_eq!(3, left().len(), "one for each kill");
    for entry in left() {
        let long_ago = SystemTime::now() - Duration::from_secs(7200);
        std::fs::File::open(entry.path()).unwrap().set_modified(long_ago).unwrap();
    }
    assert_eq!(0, Cache::at(&cache).unwrap().prune(u64::MAX).removed);
    assert_eq!(0, left().len());
}

#[test]
fn attack_eight_processes_that_make_the_first_key_agree_on_it() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let cache = dir.path().join(round.to_string());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert!(Cache::at(&cache).unwrap().info().problem.is_none()));
            }
        });
        let names: Vec<_> = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(vec!["key"], names);
    }
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(5), "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_running(executable: &Path) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes.filter_map(|process| std::fs::read_link(process.path().join("exe")).ok()).any(|found| found == executable)
}
