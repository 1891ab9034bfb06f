//! The compiler child: whatever it does, the caller gets a typed error in time and nothing is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::Cell;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ringfence::error::Error;
use ringfence::load::{Cache, Loaded, Program, Watch, load_in, set_compiler};
use ringfence::sandbox::engine::{Engines, Profile};
use rustix::process::WaitOptions;

const OURS: &str = env!("CARGO_BIN_EXE_ringfence-compiler");
const LIMIT: Duration = Duration::from_secs(20);

/// The compiler is one for the whole process: a test that sets it is alone while it runs.
fn compiler<const N: usize>(command: [&str; N]) -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(|broken| broken.into_inner());
    set_compiler(command.map(OsString::from).to_vec());
    alone
}

fn compile(bytes: &[u8], limit: Duration, watch: Option<Watch<'_>>) -> Result<Loaded, Error> {
    let engines = Engines::of(Profile::default()).unwrap();
    load_in(&Cache::none(), &Program::from_bytes(bytes, "program").unwrap(), &engines, limit, watch)
}

fn error(bytes: &[u8], limit: Duration) -> Error {
    compile(bytes, limit, None).err().expect("it was compiled")
}

fn no_child_is_left() {
    assert_eq!(Err(rustix::io::Errno::CHILD), rustix::process::wait(WaitOptions::NOHANG).map(|_| ()));
}

#[test]
fn a_program_compiles_without_any_cache() {
    let _alone = compiler([OURS]);
    let loaded = compile(b"(module (memory 1) (data (i32.const 0) \"x\"))", LIMIT, None).unwrap();
    assert!(!loaded.from_cache);
    let loaded = compile(b"(component (core module (func)))", LIMIT, None).unwrap();
    assert!(!loaded.from_cache);
    no_child_is_left();
}

#[test]
fn every_profile_compiles() {
    let _alone = compiler([OURS]);
    for (fuel, concurrency) in [(false, false), (true, false), (false, true), (true, true)] {
        let engines = Engines::of(Profile { fuel, concurrency, ..Profile::default() }).unwrap();
        let program = Program::from_bytes("(module (func (export \"f\")))", "").unwrap();
        load_in(&Cache::none(), &program, &engines, LIMIT, None).unwrap();
    }
}

/// A language of 65 MiB, nearly all of it data, with functions that take seconds to compile.
fn large_language() -> Program {
    let mut text = String::from("(module (memory 1) (func (export \"rf_abi\") (result i32) (i32.const 1))");
    for function in 0..6000 {
        text.push_str("(func (param i32) (result i32) (local i64)");
        for step in 0..60 {
            text.push_str(&format!(
                "(local.set 0 (i32.mul (i32.add (local.get 0) (i32.const {function})) (i32.const {step})))"
            ));
        }
        text.push_str("(local.get 0))");
    }
    text.push(')');
    let mut binary = wat::parse_str(text).unwrap();
    let data = 65_u32 << 20;
    binary.push(0);
    let mut length = data;
    while length > 0x7f {
        binary.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    binary.push(length as u8);
    binary.extend(std::iter::once(1).chain(std::iter::repeat_n(b'x', data as usize - 1)));
    Program::language_from_bytes(binary, "large").unwrap()
}

#[test]
fn large_language_goes_on_from_where_its_compiler_was_stopped() {
    let _alone = compiler([OURS]);
    let place = tempfile::tempdir().unwrap();
    let cache = Cache::at(place.path()).unwrap();
    let engines = Engines::of(Profile::default()).unwrap();
    let kept = || {
        let parts = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap());
        let mut parts = parts.filter(|entry| entry.file_name().to_string_lossy().ends_with(".part"));
        parts.next().map(|entry| entry.metadata().unwrap().len())
    };
    let program = large_language();
    let stop = |_: Duration| match kept() {
        Some(100_000..) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let minute = Duration::from_secs(60);
    let error = load_in(&cache, &program, &engines, minute, Some(&stop)).err().expect("it was compiled");
    assert!(error.to_string().contains("was abandoned"), "{error}");
    let before = kept().unwrap();

    let least = Cell::new(u64::MAX);
    let watch = |_: Duration| {
        least.set(kept().unwrap_or(u64::MAX).min(least.get()));
        ControlFlow::Continue(())
    };
    assert!(!load_in(&cache, &program, &engines, minute, Some(&watch)).unwrap().from_cache);
    assert!(before <= least.get(), "{before} bytes were kept, and then {}", least.get());
    assert_eq!(None, kept());
    no_child_is_left();
}

#[test]
fn an_invalid_program_is_refused_with_the_reason() {
    let _alone = compiler([OURS]);
    for (text, expected) in [
        ("(module (func (result i32)))", "type mismatch"),
        ("(module (fun))", "line 1:"),
        ("(module (memory 1 1 shared))", "shared"),
        ("(@note) (component)", "begins like a module"),
    ] {
        let error = error(text.as_bytes(), LIMIT);
        assert_eq!("load", error.code());
        assert!(error.parts().why.contains(expected), "{error}");
    }
}

#[test]
fn attack_damaged_binaries_are_compiled_or_refused_but_never_break_us() {
    let _alone = compiler([OURS]);
    let text = "(module (type (func (param i32) (result i32))) (memory 1) (table 1 funcref) (elem (i32.const 0) 0)
        (func (type 0) (i32.add (local.get 0) (i32.const 7))) (data (i32.const 0) \"x\"))";
    let binary = wat::parse_str(text).unwrap();
    let mut refused = 0;
    for at in 8..binary.len() {
        let mut damaged = binary.clone();
        damaged[at] ^= 0x41;
        if let Err(error) = compile(&damaged, LIMIT, None) {
            assert_eq!("load", error.code(), "byte {at}: {error}");
            refused += 1;
        }
        // Cut between two sections, it may still be valid.
        if let Err(error) = compile(&binary[..at], LIMIT, None) {
            assert_eq!("load", error.code(), "cut at {at}: {error}");
            refused += 1;
        }
    }
    assert!(refused > binary.len(), "{refused} were refused");
}

#[test]
fn attack_a_giant_name_in_an_error_is_escaped_and_cut() {
    let _alone = compiler([OURS]);
    let name = format!("\\1b[2J{}", "x".repeat(90_000));
    let text = format!("(module (func) (export \"{name}\" (func 0)) (export \"{name}\" (func 0)))");
    let error = error(text.as_bytes(), LIMIT).to_string();
    assert!(!error.contains('\x1b') && error.len() < 3000, "{error}");
}

#[test]
fn a_missing_compiler_is_ours_to_mend() {
    let _alone = compiler(["/no/such/compiler"]);
    assert_eq!("host", error(b"(module)", LIMIT).code());
}

#[test]
fn a_compiler_that_fails_is_ours_to_mend() {
    let _alone = compiler(["/bin/sh", "-c", "echo 'no module named ringfence' >&2; exit 1"]);
    let error = error(b"(module)", LIMIT);
    assert_eq!("host", error.code());
    assert!(error.parts().why.contains("no module named ringfence"), "{error}");
}

#[test]
fn attack_a_compiler_that_hangs_ends_with_the_deadline() {
    let _alone = compiler(["/bin/sleep", "1000"]);
    let started = Instant::now();
    let error = error(b"(module)", Duration::from_millis(300));
    assert!(started.elapsed() < Duration::from_millis(800), "took {:?}", started.elapsed());
    assert_eq!("load", error.code());
    assert!(error.parts().why.contains("limit `compile`") && error.parts().fix.contains("--compile 1s"), "{error}");
    no_child_is_left();
}

#[test]
fn attack_a_compiler_that_is_killed_needed_too_much() {
    let _alone = compiler(["/bin/sh", "-c", "kill -9 $$"]);
    let error = error(b"(module)", LIMIT);
    assert_eq!("load", error.code());
    assert!(error.parts().why.contains("4 GiB"), "{error}");
    no_child_is_left();
}

#[test]
fn attack_a_flood_of_complaints_is_cut() {
    let _alone = compiler(["/bin/sh", "-c", "head -c 50000000 /dev/zero >&2; exit 1"]);
    let error = error(b"(module)", LIMIT).to_string();
    assert!(error.len() < 10_000 && !error.contains('\0'));
}

#[test]
fn attack_output_that_is_no_code_is_an_error_and_not_mapped() {
    let _alone = compiler(["/bin/sh", "-c", "echo garbage"]);
    assert_eq!("host", error(b"(module)", LIMIT).code());
    let _component = error(b"(component)", LIMIT);
    set_compiler(vec!["/bin/true".into()]);
    assert_eq!("host", error(b"(module)", LIMIT).code());
}

#[test]
fn attack_the_compiler_sees_nothing_of_our_environment() {
    // Cargo sets it, and it may be longer than what is told of a complaint.
    let _alone = compiler(["/bin/sh", "-c", "unset LD_LIBRARY_PATH; env >&2; pwd >&2; exit 1"]);
    assert!(std::env::vars().any(|(name, _)| name.starts_with("CARGO")));
    let error = error(b"(module)", LIMIT).to_string();
    assert!(error.contains("RINGFENCE_COMPILE=code plain module 20 "), "{error}");
    assert!(!error.contains("CARGO") && !error.contains("HOME="), "{error}");
}

#[test]
fn a_caller_is_asked_while_it_waits_and_can_give_up() {
    let _alone = compiler(["/bin/sleep", "1000"]);
    let asked = Cell::new(0);
    let started = Instant::now();
    let watch = |waited: Duration| {
        asked.set(asked.get() + 1);
        if waited > Duration::from_millis(300) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let error = compile(b"(module)", LIMIT, Some(&watch)).err().unwrap();
    assert!(error.parts().what.contains("abandoned"), "{error}");
    assert!(started.elapsed() < Duration::from_millis(450), "took {:?}", started.elapsed());
    assert!(asked.get() >= 5, "asked {} times", asked.get());
    no_child_is_left();
}

#[test]
fn a_compiler_without_a_job_says_so() {
    let _alone = compiler([OURS]);
    let output = Command::new(OURS).output().unwrap();
    assert_eq!(Some(62), output.status.code());
    assert!(String::from_utf8_lossy(&output.stderr).contains("RINGFENCE_COMPILE"));
}

#[test]
fn attack_a_compiler_of_another_build_or_parent_compiles_nothing() {
    let _alone = compiler([OURS]);
    let parent = std::process::id();
    for job in [format!("plain module 60 0011 {parent}"), "plain module 60 0011 1".into(), "x".into()] {
        let program = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut &program, b"\0asm\x01\0\0\0").unwrap();
        std::io::Seek::rewind(&mut &program).unwrap();
        let output = Command::new(OURS).env("RINGFENCE_COMPILE", job).stdin(program).output().unwrap();
        assert_eq!((Some(62), 0), (output.status.code(), output.stdout.len()));
    }
}
