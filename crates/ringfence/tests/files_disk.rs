//! What a run may put on the disk, as totals: bytes and names, with what gives back and what only seems to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod driver;

use std::path::Path;

use driver::*;
use ringfence::policy::{Bytes, Policy};

const NOSPC: u32 = 51;
const KIB: u64 = 1024;

/// A policy that grants an empty directory for writing, at `/data`.
fn writable(host: &Path, disk: u64, files: u32) -> Policy {
    let mut policy = grant(host, "/data", "rw");
    policy.limits.disk = Bytes(disk);
    policy.limits.files = files;
    policy
}

/// Bytes of all files below a directory, as `ls` counts them.
fn held(path: &Path) -> u64 {
    let size = |path: &Path| -> u64 {
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() { held(path) } else { metadata.len() }
    };
    std::fs::read_dir(path).unwrap().map(|entry| size(&entry.unwrap().path())).sum()
}

/// Writes so many bytes at an offset.
fn write(script: &mut Script, fd: u32, bytes: u64, offset: u64) {
    let vector = script.vector(0x10_0000, u32::try_from(bytes).unwrap());
    act!(script, "fd_pwrite", fd, vector, 1, offset, OUT);
}

fn run_in(script: &Script, policy: Policy) -> Answer {
    script.run(&driver(policy))
}

#[test]
fn bytes_past_the_limit_are_refused_as_by_a_full_disk() {
    let data = tempfile::tempdir().unwrap();
    let mut script = Script::new();
    script.create("data/a");
    write(&mut script, FIRST, 60 * KIB, 0);
    write(&mut script, FIRST, 60 * KIB, 60 * KIB); // Short: 40 of 60 fit.
    write(&mut script, FIRST, 1, 100 * KIB);
    write(&mut script, FIRST, 60 * KIB, 0); // What is there may be written over.
    let answer = run_in(&script, writable(data.path(), 100 * KIB, 10));
    assert_eq!(vec![OK, OK, OK, NOSPC, OK], answer.errnos);
    assert_eq!(vec!["disk /data/a"], answer.denied());
    assert_eq!(100 * KIB, held(data.path()));
}

#[test]
fn a_hole_counts_with_its_length() {
    let data = tempfile::tempdir().unwrap();
    let mut script = Script::new();
    script.create("data/a");
    act!(script, "fd_filestat_set_size", FIRST, 1u64 << 40);
    write(&mut script, FIRST, 1, 1 << 40);
    act!(script, "fd_filestat_set_size", FIRST, 100 * KIB);
    write(&mut script, FIRST, 1, 100 * KIB);
    let answer = run_in(&script, writable(data.path(), 100 * KIB, 10));
    assert_eq!(vec![OK, NOSPC, NOSPC, OK, NOSPC], answer.errnos);
    assert_eq!(100 * KIB, held(data.path()));
}

#[test]
fn what_is_cut_or_removed_gives_its_part_back() {
    let data = tempfile::tempdir().unwrap();
    let mut script = Script::new();
    for _ in 0..3 {
        script.create("data/a");
        write(&mut script, FIRST, 90 * KIB, 0);
        act!(script, "fd_filestat_set_size", FIRST, 0u64);
        write(&mut script, FIRST, 90 * KIB, 0);
        act!(script, "fd_close", FIRST);
        act!(script, "path_unlink_file", ROOT, "data/a");
        script.create("data/b");
        write(&mut script, FIRST, 90 * KIB, 0);
        act!(script, "fd_close", FIRST);
        act!(script, "path_open", ROOT, FOLLOW, "data/b", TRUNCATE, READ | WRITE, 0, 0, OUT);
        write(&mut script, FIRST, 90 * KIB, 0);
        act!(script, "fd_close", FIRST);
        // A name that takes the place of another ends that one.
        script.create("data/c");
        act!(script, "fd_close", FIRST);
        act!(script, "path_rename", ROOT, "data/c", ROOT, "data/b");
    }
    let answer = run_in(&script, writable(data.path(), 100 * KIB, 3));
    assert!(answer.errnos.iter().all(|errno| *errno == OK), "{:?}", answer.errnos);
    assert_eq!(Vec::<String>::new(), answer.denied());
    assert_eq!(0, held(data.path()));
}

#[test]
fn a_file_that_lost_its_name_still_counts_while_it_is_open() {
    let data = tempfile::tempdir().unwrap();
    let mut script = Script::new();
    for _ in 0..2 {
        script.create("data/a");
        write(&mut script, FIRST, 60 * KIB, 0);
        act!(script, "path_unlink_file", ROOT, "data/a");
        script.create("data/b");
        write(&mut script, FIRST + 1, 60 * KIB, 0); // Short.
        write(&mut script, FIRST + 1, 1, 40 * KIB);
        act!(script, "fd_close", FIRST);
        write(&mut script, FIRST + 1, 60 * KIB, 40 * KIB);
        act!(script, "fd_close", FIRST + 1);
        act!(script, "path_unlink_file", ROOT, "data/b");
    }
    let answer = run_in(&script, writable(data.path(), 100 * KIB, 10));
    let expected = [OK, OK, OK, OK, OK, NOSPC, OK, OK, OK, OK].repeat(2);
    assert_eq!(expected, answer.errnos);
}

#[test]
fn a_second_name_keeps_the_bytes_of_the_first() {
    let data = tempfile::tempdir().unwrap();
    let mut script = Script::new();
    script.create("data/a");
    write(&mut script, FIRST, 60 * KIB, 0);
    act!(script, "fd_close", FIRST);
    act!(script, "path_link", ROOT, 0, "data/a", ROOT, "data/b");
    act!(script, "path_rename", ROOT, "data/a", ROOT, "data/b"); // One file: nothing happens.
    act!(script, "path_unlink_file", ROOT, "data/a");
    script.create("data/c");
    write(&mut script, FIRST, 60 * KIB, 0);
    write(&mut script, FIRST, 1, 40 * KIB);
    let answer = run_in(&script, writable(data.path(), 100 * KIB, 10));
    assert_eq!(vec![OK, OK, OK, OK, OK, OK, OK, OK, NOSPC], answer.errnos);
    assert_eq!(100 * KIB, held(data.path()));
}

#[test]
fn removing_what_was_there_before_gives_no_more_room_than_the_limit() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("old"), vec![0; 1 << 20]).unwrap();
    let mut script = Script::new();
    act!(script, "path_unlink_file", ROOT, "data/old");
    script.create("data/a");
    write(&mut script, FIRST, 100 * KIB, 0);
    write(&mut script, FIRST, 1, 100 * KIB);
    let answer = run_in(&script, writable(data.path(), 100 * KIB, 10));
    assert_eq!(vec![OK, OK, OK, NOSPC], answer.errnos);
}

#[test]
fn names_of_every_kind_are_one_total() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("old"), "old").unwrap();
    let mut script = Script::new();
    script.create("data/a");
    act!(script, "path_create_directory", ROOT, "data/b");
    act!(script, "path_symlink", "a", ROOT, "data/c");
    act!(script, "path_link", ROOT, 0, "data/a", ROOT, "data/d");
    let full = script.create("data/e");
    act!(full, "path_create_directory", ROOT, "data/e");
    act!(full, "path_symlink", "a", ROOT, "data/e");
    act!(full, "path_link", ROOT, 0, "data/a", ROOT, "data/e");
    full.create("data/old"); // What is there needs no new name.
    act!(full, "path_create_directory", ROOT, "data/old/x"); // Nor could this have one.
    act!(full, "path_remove_directory", ROOT, "data/b");
    full.create("data/e");
    full.create("data/f");
    let answer = run_in(&script, writable(data.path(), 100 * KIB, 4));
    assert_eq!(vec![OK, OK, OK, OK, NOSPC, NOSPC, NOSPC, NOSPC, OK, NOTDIR, OK, OK, NOSPC], answer.errnos);
    assert_eq!(vec!["files /data/e", "files /data/f"], answer.denied());
    assert_eq!(5, std::fs::read_dir(data.path()).unwrap().count());
}

#[test]
fn a_failed_act_takes_no_name() {
    let data = tempfile::tempdir().unwrap();
    let mut script = Script::new();
    script.act("path_create_directory", 1, vec![ROOT.into(), "data/a".into()]);
    for _ in 0..5 {
        act!(script, "path_create_directory", ROOT, "data/a");
        act!(script, "path_create_directory", ROOT, "data/missing/b");
        script.create("data/missing/c");
        act!(script, "path_open", ROOT, 0, "data/a", CREATE | EXCLUSIVE, WRITE, 0, 0, OUT);
    }
    script.create("data/b");
    let answer = run_in(&script, writable(data.path(), 100 * KIB, 2));
    assert_eq!(Some(&OK), answer.errnos.last());
    assert_eq!(Vec::<String>::new(), answer.denied());
}

#[test]
fn a_link_that_leads_nowhere_makes_a_file_that_counts() {
    let data = tempfile::tempdir().unwrap();
    let mut script = Script::new();
    act!(script, "path_symlink", "target", ROOT, "data/link");
    script.create("data/link");
    script.create("data/link");
    script.create("data/more");
    let answer = run_in(&script, writable(data.path(), 100 * KIB, 2));
    assert_eq!(vec![OK, OK, OK, NOSPC], answer.errnos);
}

#[test]
fn the_private_tmp_is_under_the_same_totals() {
    let mut policy = limits(|limits| (limits.disk, limits.files) = (Bytes(100 * KIB), 2));
    policy.tmp = true;
    let mut script = Script::new();
    script.create("tmp/a");
    write(&mut script, FIRST, 100 * KIB, 0);
    write(&mut script, FIRST, 1, 100 * KIB);
    script.create("tmp/b");
    script.create("tmp/c");
    let answer = script.run(&driver(policy));
    assert_eq!(vec![OK, OK, NOSPC, OK, NOSPC], answer.errnos);
    assert_eq!(vec!["disk /tmp/a", "files /tmp/c"], answer.denied());
}

#[test]
fn a_granted_file_is_under_the_same_totals() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("file");
    std::fs::write(&file, "old").unwrap();
    let mut policy = grant(&file, "/file", "rw");
    policy.limits.disk = Bytes(100 * KIB);
    let mut script = Script::new();
    act!(script, "path_open", ROOT, FOLLOW, "file", TRUNCATE, READ | WRITE, 0, 0, OUT);
    write(&mut script, FIRST, 100 * KIB, 0);
    write(&mut script, FIRST, 1, 100 * KIB);
    let answer = script.run(&driver(policy));
    assert_eq!(vec![OK, OK, NOSPC], answer.errnos);
    assert_eq!(100 * KIB, held(data.path()));
}
