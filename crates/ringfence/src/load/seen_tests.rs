#![allow(clippy::unwrap_used)]

use std::fs::{File, FileTimes, OpenOptions, rename, write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::*;
use crate::load::Program;

struct Stage {
    directory: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a large program that this byte tells from others.
    fn program(&self, name: &str, byte: u8) -> PathBuf {
        let path = self.path(name);
        write(&path, bytes(byte)).unwrap();
        path
    }

    fn open(&self, path: &Path) -> Program {
        Program::from_file_in(&self.path("cache"), path).unwrap()
    }

    /// One that was opened once since it was last changed.
    fn known(&self, name: &str, byte: u8) -> PathBuf {
        let path = self.program(name, byte);
        settle();
        self.open(&path);
        path
    }

    fn seals(&self) -> Vec<PathBuf> {
        let names = self.path("cache").read_dir().unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.extension().is_some_and(|end| end == "seal")).collect()
    }
}

/// A module with a section of its own that is as long as it takes.
fn bytes(byte: u8) -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0\0\x84\x80\x80\x01\x01x".to_vec();
    bytes.resize(bytes.len() + (2 << 20) + 2, byte);
    bytes
}

fn digest(byte: u8) -> String {
    hex(&Sha256::digest(bytes(byte)))
}

fn settle() {
    std::thread::sleep(Duration::from_millis(2100));
}

#[test]
fn a_large_program_is_read_once() {
    let stage = Stage::new();
    let path = stage.program("app.wasm", 1);
    settle();
    let first = stage.open(&path);
    assert_eq!((digest(1), false), (first.digest().into(), first.is_open()));
    assert_eq!(1, stage.seals().len());

    let known = stage.open(&path);
    assert_eq!((digest(1), true), (known.digest().into(), known.is_open()));
    assert_eq!(bytes(1), &*known.bytes().unwrap());
    assert_eq!((bytes(1).len(), Kind::Module), (known.size(), known.kind()));
}

#[test]
fn attack_a_young_file_is_read_again() {
    let stage = Stage::new();
    for byte in 1..5 {
        let path = stage.program("app.wasm", byte);
        assert_eq!(digest(byte), stage.open(&path).digest());
    }
    assert!(stage.seals().is_empty());
}

#[test]
fn attack_a_changed_program_with_its_old_times_and_size_is_another() {
    let stage = Stage::new();
    let path = stage.known("app.wasm", 1);
    let modified = path.metadata().unwrap().modified().unwrap();

    write(&path, bytes(2)).unwrap();
    File::options().write(true).open(&path).unwrap().set_times(FileTimes::new().set_modified(modified)).unwrap();
    assert_eq!(digest(2), stage.open(&path).digest());
    settle();
    assert_eq!(digest(2), stage.open(&path).digest());
}

#[test]
fn attack_another_file_of_that_name_is_another_program() {
    let stage = Stage::new();
    let (path, other) = (stage.program("app.wasm", 1), stage.program("other.wasm", 2));
    settle();
    stage.open(&path);
    stage.open(&other);
    rename(&path, stage.path("away")).unwrap();
    rename(&other, &path).unwrap();
    rename(stage.path("away"), &other).unwrap();

    assert_eq!((digest(2), digest(1)), (stage.open(&path).digest().into(), stage.open(&other).digest().into()));
}

#[test]
fn attack_a_digest_is_known_for_its_own_file_alone_and_from_its_own_cache() {
    let stage = Stage::new();
    let (path, other) = (stage.program("app.wasm", 1), stage.program("other.wasm", 2));
    settle();
    stage.open(&path);
    let mine = &stage.seals()[0];
    let inode = format!("{:x}", other.metadata().unwrap().ino());
    let name = mine.file_name().unwrap().to_str().unwrap();
    let theirs = mine.with_file_name(format!("{}-{inode}.seal", &name[..name.rfind('-').unwrap()]));
    std::fs::copy(mine, &theirs).unwrap();
    assert_eq!(digest(2), stage.open(&other).digest());

    // What another cache has sealed, and what was damaged.
    let foreign = Stage::new();
    Program::from_file_in(&foreign.path("cache"), &other).unwrap();
    std::fs::copy(&foreign.seals()[0], &theirs).unwrap();
    assert!(!stage.open(&other).is_open());
    OpenOptions::new().write(true).open(mine).unwrap().set_len(30).unwrap();
    assert!(!stage.open(&path).is_open());
}

#[test]
fn attack_what_is_changed_after_it_was_opened_is_not_compiled() {
    let stage = Stage::new();
    let path = stage.known("app.wasm", 1);
    let known = stage.open(&path);
    assert!(known.is_open());
    write(&path, bytes(2)).unwrap();

    let refused = known.bytes().unwrap_err().to_string();
    assert!(refused.contains("it was changed since it was opened"), "{refused}");
}

#[test]
fn a_replaced_file_is_still_the_program_that_was_opened() {
    let stage = Stage::new();
    let path = stage.known("app.wasm", 1);
    let known = stage.open(&path);
    rename(stage.program("new.wasm", 2), &path).unwrap();

    assert_eq!(bytes(1), &*known.bytes().unwrap());
    assert_eq!(digest(2), stage.open(&path).digest());
}

#[test]
fn small_programs_and_texts_are_read_each_time() {
    let stage = Stage::new();
    let (small, text) = (stage.path("small.wasm"), stage.path("text.wat"));
    write(&small, b"\0asm\x01\0\0\0").unwrap();
    write(&text, format!("(module){}", " ".repeat(2 << 20))).unwrap();
    settle();
    for path in [&small, &text, &small, &text] {
        assert!(!stage.open(path).is_open());
    }
    assert!(!stage.path("cache").exists());
}

#[test]
fn attack_file_systems_whose_times_can_be_set_are_not_believed() {
    // MS-DOS, exFAT, FUSE, NFS, 9P, NTFS.
    for magic in [0x4d44, 0x2011_bab0, 0x6573_5546, 0x6969, 0x0102_1997, 0x7366_746e] {
        assert!(!keeps_time(magic), "{magic:#x}");
    }
    assert!(keeps_time(0xef53));
}
