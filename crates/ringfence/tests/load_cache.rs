//! The cache: only what its seal proves is mapped, whatever happens around it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ringfence::load::{Cache, Loaded, Program, load_in, set_compiler};
use ringfence::sandbox::engine::{Engines, Profile};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);

/// A cache of its own, in a directory that goes with it.
struct Room {
    dir: TempDir,
}

impl Room {
    fn new() -> Self {
        set_compiler(vec![OsString::from(env!("CARGO_BIN_EXE_ringfence-compiler"))]);
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        Self { dir }
    }

    fn load(&self, program: &Program) -> Loaded {
        let engines = Engines::of(Profile::default()).unwrap();
        load_in(&Cache::at(self.dir.path()).unwrap(), program, &engines, LIMIT, None).unwrap()
    }

    /// Whether the program came from the cache; nothing of it stays loaded.
    fn is_cached(&self, program: &Program) -> bool {
        self.load(program).from_cache
    }

    fn file(&self, program: &Program, suffix: &str) -> PathBuf {
        let starts = |path: &Path| path.file_name().unwrap().to_string_lossy().starts_with(program.digest());
        let mut files = std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| starts(path) && path.extension().is_some_and(|found| found == suffix)).unwrap()
    }
}

/// A program that no other test loads: the memo of the process is shared.
fn program(name: &str) -> Program {
    let text = format!("(module (memory 1) (data (i32.const 0) \"{name}\") (func (export \"{name}\")))");
    Program::from_bytes(text, name).unwrap()
}

fn flip(path: &Path, bit: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit / 8).unwrap();
    file.write_all_at(&[byte[0] ^ 1 << (bit % 8)], bit / 8).unwrap();
    // Whoever tampers also turns back the clock.
    file.set_modified(modified).unwrap();
}

#[test]
fn a_program_is_compiled_once_and_then_comes_from_the_cache() {
    let room = Room::new();
    let component =
        Program::from_bytes("(component (core module (memory 1) (data (i32.const 0) \"once\")))", "").unwrap();
    for program in [program("once"), component] {
        assert!(!room.is_cached(&program));
        assert!(room.is_cached(&program));
    }
    let info = Cache::at(room.dir.path()).unwrap().info();
    assert_eq!((2, true, None), (info.entries, info.private, info.problem));
    assert!(info.bytes > 0);
}

#[test]
fn code_that_is_in_use_is_loaded_only_once() {
    let room = Room::new();
    let program = program("in-use");
    let first = room.load(&program);
    let second = room.load(&program);
    assert!(Arc::ptr_eq(&first.code, &second.code));
    assert!(second.from_cache);
}

#[test]
fn a_program_too_large_for_the_pool_gets_the_roomy_engine() {
    let room = Room::new();
    let engines = Engines::of(Profile::default()).unwrap();
    for text in ["(module (table 5000000 funcref))", "(module (memory 1) (memory 1))"] {
        let program = Program::from_bytes(text, "roomy").unwrap();
        for _ in 0..2 {
            assert!(wasmtime::Engine::same(&room.load(&program).engine, engines.roomy().unwrap()), "{text}");
        }
    }
    assert!(wasmtime::Engine::same(&room.load(&program("small")).engine, engines.usual().unwrap()));
}

#[test]
fn programs_no_longer_used_keep_no_file_open() {
    let room = Room::new();
    room.is_cached(&program("first"));
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    for index in 0..200 {
        assert!(!room.is_cached(&program(&format!("many-{index}"))));
    }
    // The tests beside this one hold some for a moment.
    assert!(open() < before + 50, "{} are open, {before} were", open());
}

#[test]
fn attack_a_flipped_bit_anywhere_in_the_code_is_compiled_again() {
    let room = Room::new();
    let program = program("flipped");
    room.is_cached(&program);
    let bits = std::fs::metadata(room.file(&program, "cwasm")).unwrap().len() * 8;
    for step in 0..50 {
        flip(&room.file(&program, "cwasm"), step * (bits - 1) / 49);
        assert!(!room.is_cached(&program), "bit {}", step * (bits - 1) / 49);
    }
    assert!(room.is_cached(&program));
}

#[test]
fn attack_a_flipped_bit_in_code_of_known_identity_is_compiled_again() {
    let room = Room::new();
    let program = program("settled");
    room.is_cached(&program);
    let has_identity = |room: &Room| std::fs::read(room.file(&program, "seal")).unwrap()[40] == 1;
    assert!(!has_identity(&room), "young time stamps are not believed");
    std::thread::sleep(Duration::from_millis(2200));
    assert!(room.is_cached(&program));
    assert!(has_identity(&room));
    assert!(room.is_cached(&program));

    flip(&room.file(&program, "cwasm"), 40_000);
    assert!(!room.is_cached(&program));
    assert!(room.is_cached(&program));
}

#[test]
fn attack_a_damaged_or_missing_seal_is_compiled_again() {
    let room = Room::new();
    let program = program("unsealed");
    room.is_cached(&program);
    for bit in [0, 8 * 8, 40 * 8, 41 * 8, 100 * 8] {
        flip(&room.file(&program, "seal"), bit);
        assert!(!room.is_cached(&program), "bit {bit}");
    }
    std::fs::write(room.file(&program, "seal"), "").unwrap();
    assert!(!room.is_cached(&program));
    std::fs::remove_file(room.file(&program, "seal")).unwrap();
    assert!(!room.is_cached(&program));
    std::fs::remove_file(room.file(&program, "cwasm")).unwrap();
    assert!(!room.is_cached(&program));
    assert!(room.is_cached(&program));
}

#[test]
fn attack_foreign_code_under_the_right_name_is_compiled_again() {
    let room = Room::new();
    let program = program("foreign");
    room.is_cached(&program);
    let foreign = wasmtime::Engine::default().precompile_module(b"\0asm\x01\0\0\0").unwrap();
    std::fs::write(room.file(&program, "cwasm"), &foreign).unwrap();
    assert!(!room.is_cached(&program));
    assert!(room.is_cached(&program));
}

#[test]
fn attack_an_entry_copied_under_another_name_is_compiled_again() {
    let room = Room::new();
    let (harmless, evil) = (program("harmless"), program("evil"));
    room.is_cached(&harmless);
    room.is_cached(&evil);
    for suffixes in [&["seal"][..], &["cwasm"], &["seal", "cwasm"]] {
        for suffix in suffixes {
            std::fs::copy(room.file(&evil, suffix), room.file(&harmless, suffix)).unwrap();
        }
        assert!(!room.is_cached(&harmless), "{suffixes:?}");
    }
    assert!(room.is_cached(&harmless) && room.is_cached(&evil));
}

#[test]
fn attack_an_entry_of_another_cache_is_compiled_again() {
    let (room, other) = (Room::new(), Room::new());
    let program = program("transplanted");
    room.is_cached(&program);
    other.is_cached(&program);
    for suffix in ["seal", "cwasm"] {
        std::fs::copy(other.file(&program, suffix), room.file(&program, suffix)).unwrap();
    }
    assert!(!room.is_cached(&program));
}

#[test]
fn attack_an_entry_that_is_a_link_or_a_pipe_or_open_to_others_is_compiled_again() {
    let room = Room::new();
    let program = program("linked");
    room.is_cached(&program);
    let code = room.file(&program, "cwasm");
    let moved = room.dir.path().join("moved");
    std::fs::rename(&code, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &code).unwrap();
    assert!(!room.is_cached(&program), "a link");

    std::fs::remove_file(&code).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &code, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    assert!(!room.is_cached(&program), "a pipe");

    std::fs::set_permissions(&code, Permissions::from_mode(0o620)).unwrap();
    assert!(!room.is_cached(&program), "writable by the group");
    assert!(room.is_cached(&program));
}

#[test]
fn attack_a_key_that_others_could_read_or_that_is_damaged_is_replaced() {
    let room = Room::new();
    let program = program("keyed");
    room.is_cached(&program);
    let key = room.dir.path().join("key");
    let old = std::fs::read(&key).unwrap();
    assert_eq!(32, old.len());

    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    assert!(!room.is_cached(&program));
    let new = std::fs::read(&key).unwrap();
    assert_ne!(old, new);
    assert_eq!(0o100_600, std::fs::metadata(&key).unwrap().permissions().mode());

    std::fs::write(&key, b"short").unwrap();
    assert!(!room.is_cached(&program));
    assert!(room.is_cached(&program));
}

#[test]
fn attack_a_cache_that_others_may_write_to_is_refused() {
    let room = Room::new();
    for mode in [0o770, 0o707, 0o777] {
        std::fs::set_permissions(room.dir.path(), Permissions::from_mode(mode)).unwrap();
        let error = Cache::at(room.dir.path()).err().expect("it was used");
        assert_eq!("host", error.code());
        assert!(error.parts().fix.contains("chmod 700"), "{error}");
    }
    assert!(!room.dir.path().join("key").exists());
}

#[test]
fn attack_a_cache_or_a_link_to_it_that_belongs_to_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can give a directory away.
    }
    let room = Room::new();
    let link = room.dir.path().join("link");
    std::os::unix::fs::symlink(room.dir.path(), &link).unwrap();
    assert!(Cache::at(&link).is_ok());
    std::os::unix::fs::lchown(&link, Some(4711), None).unwrap();
    assert_eq!("host", Cache::at(&link).err().expect("it was used").code());

    std::os::unix::fs::chown(room.dir.path(), Some(4711), None).unwrap();
    let error = Cache::at(room.dir.path()).err().expect("it was used");
    assert!(error.parts().why.contains("belongs to user 4711"), "{error}");
}

#[test]
fn without_a_cache_programs_are_compiled_for_this_process() {
    let room = Room::new();
    let engines = Engines::of(Profile::default()).unwrap();
    for path in ["/dev/null/cache", "/proc/cache"] {
        let cache = Cache::at(Path::new(path)).unwrap();
        let info = cache.info();
        assert!(info.problem.is_some_and(|problem| !problem.is_empty()), "{path}");
        let program = program(&format!("uncached-{}", room.dir.path().display()));
        assert!(!load_in(&cache, &program, &engines, LIMIT, None).unwrap().from_cache);
    }
}

#[test]
fn pruning_removes_what_was_used_least_and_what_killed_processes_left() {
    let room = Room::new();
    let cache = Cache::at(room.dir.path()).unwrap();
    let programs = ["oldest", "older", "newest"].map(program);
    let hours_ago = |hours: u64| SystemTime::now() - Duration::from_secs(hours * 3600);
    for (index, program) in programs.iter().enumerate() {
        room.is_cached(program);
        for suffix in ["seal", "cwasm"] {
            let file = File::open(room.file(program, suffix)).unwrap();
            file.set_modified(hours_ago(9 - index as u64)).unwrap();
        }
    }
    assert!(room.is_cached(&programs[0]), "the oldest is used now");
    for (name, age) in [("tmp-stale", 2), ("tmp-young", 0), ("stale.lock", 2)] {
        let file = File::create(room.dir.path().join(name)).unwrap();
        file.set_modified(hours_ago(age)).unwrap();
    }

    let each = cache.info().bytes / 3;
    let pruned = cache.prune(each * 2 + each / 2);
    assert_eq!(1, pruned.removed);
    assert!(pruned.freed_bytes >= each / 2);
    assert!(room.is_cached(&programs[0]) && room.is_cached(&programs[2]) && !room.is_cached(&programs[1]));
    let left = |name: &str| room.dir.path().join(name).exists();
    assert_eq!((false, true, false), (left("tmp-stale"), left("tmp-young"), left("stale.lock")));
    assert_eq!(3, cache.prune(0).removed);
    assert_eq!(0, cache.info().entries);
}

#[test]
fn pruning_does_not_disturb_code_that_is_in_use() {
    let room = Room::new();
    let text = "(module (func (export \"answer\") (result i32) (i32.const 42)))";
    let program = Program::from_bytes(text, "answer").unwrap();
    room.is_cached(&program);
    let loaded = room.load(&program);
    Cache::at(room.dir.path()).unwrap().prune(0);
    let ringfence::load::Code::Module(module) = &*loaded.code else { panic!("a component") };
    let mut store = wasmtime::Store::new(&loaded.engine, ());
    store.set_epoch_deadline(1_000_000);
    let instance = wasmtime::Instance::new(&mut store, module, &[]).unwrap();
    let answer = instance.get_typed_func::<(), i32>(&mut store, "answer").unwrap();
    assert_eq!(42, answer.call(&mut store, ()).unwrap());
}
