//! Programs: what is read, what is refused, and what can be told without compiling.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::time::{Duration, Instant};

use ringfence::error::Error;
use ringfence::load::{Kind, MAX_PROGRAM_BYTES, Program};
use rustix::fs::{FileType, Mode};

fn refused(path: &Path) -> Error {
    Program::from_file(path).expect_err("it was taken for a program")
}

#[test]
fn a_program_is_known_by_the_digest_of_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("no-suffix");
    std::fs::write(&path, b"\0asm\x01\0\0\0").unwrap();
    let program = Program::from_file(&path).unwrap();
    assert_eq!(Kind::Module, program.kind());
    assert_eq!(8, program.size());
    assert_eq!("93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476", program.digest());
}

#[test]
fn a_missing_program_is_told_from_a_broken_one() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    for name in ["missing.wasm", "file/inside", "nul\0", &"x".repeat(5000)] {
        let error = refused(&dir.path().join(name));
        assert_eq!("program-not-found", error.code(), "{error}");
        assert!(error.to_string().len() < 1000);
    }
    assert_eq!("load", refused(&dir.path().join("file")).code());
}

#[test]
fn a_directory_is_no_program() {
    let error = refused(Path::new("/"));
    assert_eq!(("load", "it is a directory"), (error.code(), error.parts().why.as_str()));
}

#[test]
fn attack_a_pipe_without_a_writer_does_not_hold_us_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe.wasm");
    rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let started = Instant::now();
    assert!(refused(&path).parts().why.contains("pipe"));
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[test]
fn attack_a_device_that_never_ends_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("zero.wasm");
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    assert!(refused(&path).parts().why.contains("device"));
}

#[test]
fn attack_a_socket_and_a_loop_of_links_are_no_programs() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, link) = (dir.path().join("socket"), dir.path().join("link"));
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::os::unix::fs::symlink(&link, &link).unwrap();
    assert!(refused(&socket).parts().why.contains("socket"));
    assert_eq!("load", refused(&link).code());
}

#[test]
fn attack_a_file_of_a_terabyte_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("huge.wasm");
    std::fs::File::create(&path).unwrap().set_len(MAX_PROGRAM_BYTES * 4096).unwrap();
    assert!(refused(&path).parts().why.contains("MiB"));
}

#[test]
fn a_module_is_inspected_without_compiling_it() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
        (import "env" "mystery" (func))
        (memory (export "memory") 2 4)
        (func (export "_start")))"#;
    let inspection = Program::from_bytes(text, "text").unwrap().inspect().unwrap();
    let json = serde_json::to_value(&inspection).unwrap();
    assert_eq!(
        serde_json::json!([
            {"module": "wasi_snapshot_preview1", "name": "fd_write", "type": "func(i32, i32, i32, i32) -> i32", "known": true},
            {"module": "env", "name": "mystery", "type": "func()", "known": false},
        ]),
        json["imports"]
    );
    assert_eq!(
        serde_json::json!([{"name": "memory", "type": "memory"}, {"name": "_start", "type": "func()"}]),
        json["exports"]
    );
    assert_eq!(serde_json::json!([{"minimum_bytes": 131_072, "maximum_bytes": 262_144}]), json["memories"]);
    assert_eq!(
        ("module", "0.1", true),
        (json["kind"].as_str().unwrap(), json["wasi"].as_str().unwrap(), inspection.entry)
    );
    assert_eq!(text.len(), inspection.size);
}

#[test]
fn a_component_is_inspected_by_its_outermost_level() {
    let text = r#"(component
        (import "wasi:cli/environment@0.2.3" (instance))
        (import "wasi:http/incoming-handler@0.2.0" (instance))
        (component (import "inner" (func)))
        (core module (memory 1))
        (instance $run)
        (export "wasi:cli/run@0.2.3" (instance $run)))"#;
    let inspection = Program::from_bytes(text, "text").unwrap().inspect().unwrap();
    let imports: Vec<_> = inspection.imports.iter().map(|import| (import.name.as_str(), import.known)).collect();
    assert_eq!(vec![("wasi:cli/environment@0.2.3", true), ("wasi:http/incoming-handler@0.2.0", false)], imports);
    assert_eq!("wasi:cli/run@0.2.3", inspection.exports[0].name);
    assert_eq!((Some("0.2"), true, 1), (inspection.wasi.as_deref(), inspection.entry, inspection.memories.len()));
}

#[test]
fn the_wasi_level_is_told_from_the_imports() {
    let level = |text: &str| Program::from_bytes(text, "").unwrap().inspect().unwrap().wasi;
    assert_eq!(None, level("(module)"));
    assert_eq!(Some("unstable".into()), level(r#"(module (import "wasi_unstable" "x" (func)))"#));
    assert_eq!(Some("0.3".into()), level(r#"(component (import "wasi:cli/stdout@0.3.0" (instance)))"#));
    assert_eq!(None, level(r#"(component (import "my:own/thing@0.2.0" (instance)))"#));
}

#[test]
fn attack_giant_and_hostile_names_are_escaped_and_cut() {
    let text = format!(r#"(module (import "\1b[2J\n" "{}" (func)))"#, "x".repeat(99_000));
    let inspection = Program::from_bytes(text, "").unwrap().inspect().unwrap();
    assert_eq!("\\u{1b}[2J\\u{a}", inspection.imports[0].module);
    assert!(inspection.imports[0].name.len() < 300);
}

#[test]
fn attack_damaged_binaries_are_inspected_or_refused_but_never_break_us() {
    let text = r#"(module (type (func (param i32))) (import "a" "b" (func (type 0))) (memory 1)
        (table 1 funcref) (global i32 (i32.const 0)) (export "m" (memory 0)) (func (type 0)) (data (i32.const 0) "x"))"#;
    let binary = wat::parse_str(text).unwrap();
    let mut refused = 0;
    for at in 8..binary.len() {
        for value in [0, 0x7f, 0x80, 0xff] {
            let mut damaged = binary.clone();
            damaged[at] = value;
            refused += usize::from(Program::from_bytes(damaged, "").unwrap().inspect().is_err());
        }
        refused += usize::from(Program::from_bytes(&binary[..at], "").unwrap().inspect().is_err());
    }
    assert!(refused > binary.len(), "{refused} were refused");
}
