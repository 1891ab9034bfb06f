#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn why(bytes: &[u8]) -> String {
    match detect(bytes, "program") {
        Err(Error::Load(parts)) => {
            assert_eq!("cannot load `program`", parts.what);
            assert!(!parts.fix.is_empty());
            parts.why
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_binary_is_told_by_its_header() {
    assert_eq!(Ok(Kind::Module), detect(b"\0asm\x01\0\0\0", "x.txt"));
    assert_eq!(Ok(Kind::Component), detect(b"\0asm\x0d\0\x01\0", "x.txt"));
}

#[test]
fn text_is_told_by_its_first_parenthesis() {
    for module in ["(module)", " \n(module)", ";; (component)\n(module)", "(; (; (component) ;) ;)(module)", "(func)"] {
        assert_eq!(Ok(Kind::Module), detect(module.as_bytes(), ""), "{module}");
    }
    for component in ["(component)", "( component $a)", ";;x\n\t(component(core module))", "(;;)(component;;\n)"] {
        assert_eq!(Ok(Kind::Component), detect(component.as_bytes(), ""), "{component}");
    }
    assert_eq!(Ok(Kind::Module), detect(b"(components)", ""));
}

#[test]
fn what_is_no_program_is_named() {
    let rows: [(&[u8], &str); 17] = [
        (b"", "empty"),
        (b"\0", "cut off"),
        (b"\0asm\x01\0\0", "cut off"),
        (b"\0asm\x02\0\0\0", "version"),
        (b"\0asm\x0a\0\x01\0", "pre-release"),
        (b"\xcf\xfa\xed\xfe\x07\0\0\x01", "macOS"),
        (b"\xca\xfe\xba\xbe\0\0\0\x02", "macOS"),
        (b"MZ\x90\0", "Windows"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"\x28\xb5\x2f\xfd\0", "zstd"),
        (b"#!/bin/sh\n", "script"),
        (b"print('hello')\n", "text"),
        (b"<!DOCTYPE html>", "text"),
        (b";; only a comment", "text"),
        (b"(; never closed", "text"),
        (b"\x01\x02\x03", "begins with the bytes [01, 02, 03]"),
    ];
    for (bytes, expected) in rows {
        let why = why(bytes);
        assert!(why.contains(expected), "{bytes:?}: {why}");
    }
}

/// An ELF header of this type, and a program header of type `PT_INTERP` where asked for.
fn elf_file(kind: u8, interpreter: bool, os: u8) -> Vec<u8> {
    let mut bytes = vec![0; 64 + 56];
    bytes[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, os]);
    bytes[16] = kind;
    bytes[32] = 64;
    bytes[54] = 56;
    bytes[56] = 1;
    bytes[64] = if interpreter { 3 } else { 1 };
    bytes
}

#[test]
fn native_binaries_are_told_apart() {
    assert!(why(&elf_file(2, false, 0)).contains("executable"));
    assert!(why(&elf_file(3, true, 0)).contains("executable"));
    assert!(why(&elf_file(3, false, 0)).contains("shared library"));
    assert!(why(&elf_file(1, false, 0)).contains("object file"));
    assert!(why(b"\x7fELF").contains("executable"));
}

#[test]
fn attack_native_code_compiled_by_wasmtime_is_never_a_program() {
    let engine = wasmtime::Engine::default();
    let code = engine.precompile_module(b"\0asm\x01\0\0\0").unwrap();
    for bytes in [&code[..], &code[..64]] {
        let why = why(bytes);
        assert!(why.contains(".cwasm") && why.contains("never loaded"), "{why}");
    }
}

#[test]
fn attack_a_hostile_elf_header_reads_nothing_beyond_the_file() {
    for at in 4..120 {
        let mut bytes = elf_file(3, false, 0);
        bytes[at] = 0xff;
        bytes[at.saturating_sub(1).max(4)] = 0xff;
        assert!(detect(&bytes, "").is_err());
        assert!(detect(&bytes[..at], "").is_err());
    }
}

#[test]
fn attack_a_name_with_escape_codes_stays_on_its_line() {
    let name = format!("\x1b[2J\n{}", "x".repeat(100_000));
    let error = detect(b"", &name).unwrap_err().to_string();
    assert!(!error.contains('\x1b') && error.lines().count() == 2 && error.len() < 1000, "{error}");
}

#[test]
fn attack_a_text_of_17_mib_is_not_parsed() {
    let text = [b"(module ".to_vec(), vec![b' '; 17 << 20], b")".to_vec()].concat();
    assert!(why(&text).contains("larger than 16 MiB"));
}

#[test]
fn an_error_in_text_names_its_line() {
    let error = to_binary(b"(module\n  (fun))").unwrap_err();
    assert!(error.contains("line 2:") && !error.contains('\n'), "{error}");
}
