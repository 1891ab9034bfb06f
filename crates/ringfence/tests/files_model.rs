//! Acts drawn at random, done once in a directory of the host and once in a private layer over one like it: every
//! answer is the same, and so are the two directories once the layer's changes are applied.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod driver;

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;

use driver::*;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tempfile::TempDir;

/// Rounds, each with a seed of its own.
const ROUNDS: u64 = 100;
/// Acts of a round.
const ACTS: usize = 150;

const NAMES: &[&str] = &[
    "a",
    "b",
    "c",
    "dir",
    "dir/x",
    "dir/b2",
    "dir/sub",
    "dir/sub/y",
    "dir/sub/new",
    "dir/new",
    "new",
    "new/in",
    "link",
    "link/x",
    "link/sub/y",
    "dang",
    "dir/up",
    "lo",
    "empty",
    "empty/z",
    "a/",
    "dir/",
    "link/",
    "dir/.",
    "dir/..",
    "./b",
    "dir/../c",
    "link/sub/../x",
    "missing/x",
    "a/x",
    "dir/sub/..",
    "new/",
    "empty/",
    "dir/sub/",
    "..",
    ".",
];
const TARGETS: &[&str] = &["a", "dir", "nowhere", "../a", "sub", "../../out", "new", "./dir/x", "lo", "dir/sub/../x"];

/// How long each piece of what a round prints is, and what it is.
enum Printed {
    Bytes(usize),
    Stat,
    Names,
}

const NAMES_BYTES: u32 = 1024;

struct Round {
    rng: ChaCha12Rng,
    script: Script,
    printed: Vec<Printed>,
    told: Vec<String>,
}

impl Round {
    fn new(seed: u64) -> Self {
        let rng = ChaCha12Rng::seed_from_u64(seed);
        let mut round = Self { rng, script: Script::new(), printed: Vec::new(), told: Vec::new() };
        while round.told.len() < ACTS {
            round.act();
        }
        round
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.rng.next_u32()).unwrap() % end
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn fd(&mut self) -> u32 {
        FIRST + u32::try_from(self.below(5)).unwrap()
    }

    /// A directory and a path from it: mostly the root, at times whatever is open.
    fn place(&mut self) -> (u32, String) {
        let name = self.one_of(NAMES);
        if self.below(6) == 0 { (self.fd(), name.to_owned()) } else { (ROOT, format!("data/{name}")) }
    }

    fn print(&mut self, buffer: u32, len: u32, printed: Printed) {
        let vector = self.script.vector(buffer, len);
        act!(self.script, "fd_write", 2, vector, 1, OUT);
        self.told.push("print".into());
        self.printed.push(printed);
    }

    fn act(&mut self) {
        let (dir, path) = self.place();
        let (follow, fd) = (self.one_of(&[0, FOLLOW]), self.fd());
        let told = match self.below(20) {
            0..=5 => {
                let oflags = self.one_of(&[
                    0,
                    0,
                    0,
                    CREATE,
                    CREATE,
                    CREATE | EXCLUSIVE,
                    TRUNCATE,
                    CREATE | TRUNCATE,
                    DIRECTORY,
                    DIRECTORY,
                ]);
                // To make a file by the name of a directory: which of its errors the host finds first is its own.
                let oflags = if path.ends_with('/') { oflags & !(CREATE | EXCLUSIVE) } else { oflags };
                let rights = self.one_of(&[READ, READ | WRITE, READ | WRITE, WRITE]);
                let flags = self.one_of(&[0, 0, 1]);
                act!(self.script, "path_open", dir, follow, &path, oflags, rights, 0, flags, OUT);
                format!("path_open {dir} {path} follow {follow} oflags {oflags} rights {rights} flags {flags}")
            }
            6 => {
                let text = format!("written {}", self.below(1000));
                let at = self.script.bytes(text.as_bytes());
                let vector = self.script.vector(at, u32::try_from(text.len()).unwrap());
                act!(self.script, "fd_write", fd, vector, 1, OUT);
                format!("fd_write {fd} {text}")
            }
            7 => {
                let text = format!("put {}", self.below(1000));
                let at = self.script.bytes(text.as_bytes());
                let vector = self.script.vector(at, u32::try_from(text.len()).unwrap());
                let offset = self.below(40) as u64;
                act!(self.script, "fd_pwrite", fd, vector, 1, offset, OUT);
                format!("fd_pwrite {fd} {text} {offset}")
            }
            8 => {
                let buffer = self.script.bytes(&[0; 32]);
                let vector = self.script.vector(buffer, 32);
                let offset = self.below(20) as u64;
                act!(self.script, "fd_pread", fd, vector, 1, offset, OUT);
                self.told.push(format!("fd_pread {fd} {offset}"));
                return self.print(buffer, 32, Printed::Bytes(32));
            }
            9 => {
                let buffer = self.script.bytes(&[0; NAMES_BYTES as usize]);
                act!(self.script, "fd_readdir", fd, buffer, NAMES_BYTES, 0u64, OUT);
                self.told.push(format!("fd_readdir {fd}"));
                return self.print(buffer, NAMES_BYTES, Printed::Names);
            }
            10 => {
                let buffer = self.script.bytes(&[0; 64]);
                act!(self.script, "path_filestat_get", dir, follow, &path, buffer);
                self.told.push(format!("path_filestat_get {dir} {path} {follow}"));
                return self.print(buffer, 64, Printed::Stat);
            }
            11 => {
                let buffer = self.script.bytes(&[0; 64]);
                act!(self.script, "fd_filestat_get", fd, buffer);
                self.told.push(format!("fd_filestat_get {fd}"));
                return self.print(buffer, 64, Printed::Stat);
            }
            12 => {
                let size = self.below(50) as u64;
                act!(self.script, "fd_filestat_set_size", fd, size);
                format!("fd_filestat_set_size {fd} {size}")
            }
            13 => {
                act!(self.script, "path_create_directory", dir, &path);
                format!("path_create_directory {dir} {path}")
            }
            14 => {
                act!(self.script, "path_remove_directory", dir, &path);
                format!("path_remove_directory {dir} {path}")
            }
            15 => {
                act!(self.script, "path_unlink_file", dir, &path);
                format!("path_unlink_file {dir} {path}")
            }
            16 => {
                let target = self.one_of(TARGETS);
                act!(self.script, "path_symlink", target, dir, &path);
                format!("path_symlink {target} {dir} {path}")
            }
            17 => {
                let (other, new) = self.place();
                act!(self.script, "path_link", dir, 0, &path, other, &new);
                format!("path_link {dir} {path} {other} {new}")
            }
            18 => {
                let (other, new) = self.place();
                act!(self.script, "path_rename", dir, &path, other, &new);
                format!("path_rename {dir} {path} {other} {new}")
            }
            _ => match self.below(3) {
                0 => {
                    act!(self.script, "fd_close", fd);
                    format!("fd_close {fd}")
                }
                1 => {
                    act!(
                        self.script,
                        "path_filestat_set_times",
                        dir,
                        follow,
                        &path,
                        1_000_000_000u64,
                        2_000_000_000u64,
                        5
                    );
                    format!("path_filestat_set_times {dir} {path} {follow}")
                }
                _ => {
                    let buffer = self.script.bytes(&[0; 32]);
                    act!(self.script, "path_readlink", dir, &path, buffer, 32, OUT);
                    self.told.push(format!("path_readlink {dir} {path}"));
                    return self.print(buffer, 32, Printed::Bytes(32));
                }
            },
        };
        self.told.push(told);
    }

    /// What it printed, without what differs from one file system to the next.
    fn said(&self, stderr: &[u8]) -> Vec<String> {
        let mut left = stderr;
        let mut piece = |len: usize| {
            let (piece, rest) = left.split_at(len);
            left = rest;
            piece.to_vec()
        };
        self.printed
            .iter()
            .map(|printed| match printed {
                Printed::Bytes(len) => String::from_utf8_lossy(&piece(*len)).into_owned(),
                Printed::Stat => {
                    let stat = piece(64);
                    let number = |at: usize| u64::from_le_bytes(stat[at..at + 8].try_into().unwrap());
                    match stat[16] {
                        3 => "a directory".into(),
                        kind => format!("kind {kind} links {} size {}", number(24), number(32)),
                    }
                }
                Printed::Names => {
                    let names = piece(NAMES_BYTES as usize);
                    let mut at = 0;
                    let mut found = Vec::new();
                    while at + 24 < names.len() {
                        let len = u32::from_le_bytes(names[at + 16..at + 20].try_into().unwrap()) as usize;
                        if len == 0 {
                            break;
                        }
                        let name = &names[(at + 24).min(names.len())..(at + 24 + len).min(names.len())];
                        found.push(format!("{} {}", names[at + 20], String::from_utf8_lossy(name)));
                        at += 24 + len;
                    }
                    found.join(", ")
                }
            })
            .collect()
    }
}

fn start() -> TempDir {
    let tree = tempfile::tempdir().unwrap();
    let path = tree.path();
    std::fs::write(path.join("a"), "alpha").unwrap();
    std::fs::write(path.join("b"), "bravo, which is longer").unwrap();
    std::fs::create_dir_all(path.join("dir/sub")).unwrap();
    std::fs::create_dir(path.join("empty")).unwrap();
    std::fs::write(path.join("dir/b2"), "bravo the second").unwrap();
    std::fs::write(path.join("dir/x"), "x-ray").unwrap();
    std::fs::write(path.join("dir/sub/y"), "yankee").unwrap();
    symlink("dir", path.join("link")).unwrap();
    symlink("nowhere", path.join("dang")).unwrap();
    symlink("../a", path.join("dir/up")).unwrap();
    symlink("lo", path.join("lo")).unwrap();
    tree
}

/// Every name with what is there.
fn tree_of(path: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![path.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let at = entry.unwrap().path();
            let name = at.strip_prefix(path).unwrap().to_str().unwrap().to_owned();
            let metadata = at.symlink_metadata().unwrap();
            let what = if metadata.is_dir() {
                left.push(at);
                "a directory".into()
            } else if metadata.is_symlink() {
                format!("link to {}", std::fs::read_link(&at).unwrap().display())
            } else {
                format!("{:?}", String::from_utf8_lossy(&std::fs::read(&at).unwrap()))
            };
            found.insert(name, what);
        }
    }
    found
}

#[test]
fn any_acts_have_in_a_layer_the_answers_and_the_outcome_of_a_directory() {
    let only = std::env::var("RINGFENCE_TEST_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let (from, to) = only.map_or((0, ROUNDS), |seed| (seed, seed + 1));
    for seed in from..to {
        let round = Round::new(seed);
        let (real, lower) = (start(), start());
        let before = tree_of(lower.path());
        let expected = round.script.run(&driver(grant(real.path(), "/data", "rw")));
        let answer = round.script.run(&driver(grant(lower.path(), "/data", "overlay")));
        let tell = |at: usize| format!("seed {seed}:\n{}", round.told[..=at].join("\n"));
        assert_eq!(round.told.len(), expected.errnos.len());
        if let Some(at) = (0..round.told.len()).find(|at| expected.errnos[*at] != answer.errnos[*at]) {
            panic!("{}\nexpected {}, got {}", tell(at), expected.errnos[at], answer.errnos[at]);
        }
        let (was, is) = (round.said(&expected.result.stderr), round.said(&answer.result.stderr));
        if let Some(print) = (0..was.len()).find(|print| was[*print] != is[*print]) {
            let at = round.told.iter().enumerate().filter(|(_, told)| *told == "print").nth(print).unwrap().0;
            panic!("{}\nexpected {:?}, got {:?}", tell(at), was[print], is[print]);
        }
        assert_eq!(before, tree_of(lower.path()), "seed {seed}: the host was written");
        let changes = answer.result.changes.unwrap();
        match changes.apply(None, false) {
            Ok(_) => assert_eq!(tree_of(real.path()), tree_of(lower.path()), "{}", tell(round.told.len() - 1)),
            Err(error) if error.to_string().contains("may lead out") => {}
            Err(error) => panic!("{}\n{error}", tell(round.told.len() - 1)),
        }
    }
}
