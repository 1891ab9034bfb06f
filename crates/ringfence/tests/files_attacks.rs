//! What a hostile guest tries with files: to climb, to write what is read-only, to block, to exhaust the host.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod driver;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use driver::*;
use ringfence::sandbox::files::Grants;
use ringfence::sandbox::stdio::{Sink, Source};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

const SECRET: &str = "the secret of the host";

/// A grant at `granted`, and beside it what must stay out of reach.
fn house() -> TempDir {
    let house = tempfile::tempdir().unwrap();
    let path = house.path();
    std::fs::write(path.join("secret"), SECRET).unwrap();
    std::fs::create_dir_all(path.join("granted/sub/deep")).unwrap();
    std::fs::write(path.join("granted/sub/file"), "granted").unwrap();
    house
}

fn granted(house: &TempDir) -> PathBuf {
    house.path().join("granted")
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
}

#[test]
fn guest_cannot_climb_out_of_its_grant() {
    for mode in ["rw", "overlay"] {
        in_guest_cannot_climb_out_of_its_grant(mode);
    }
}

fn in_guest_cannot_climb_out_of_its_grant(mode: &str) {
    let house = house();
    let up = "../".repeat(40);
    let mut script = Script::new();
    act!(script, "path_open", ROOT, FOLLOW, "data/sub", DIRECTORY, READ, 0, 0, OUT);
    let mut expected = vec![OK];
    for path in ["..", "../", "../secret", "../../secret", "./../secret", "deep/../../secret", "deep/../../../secret"] {
        act!(script, "path_open", FIRST, FOLLOW, path, 0, READ, 0, 0, OUT);
        act!(script, "path_open", FIRST, 0, path, CREATE, WRITE, 0, 0, OUT);
        act!(script, "path_filestat_get", FIRST, FOLLOW, path, OUT);
        act!(script, "path_create_directory", FIRST, path);
        act!(script, "path_rename", FIRST, "file", FIRST, path);
        act!(script, "path_symlink", "file", FIRST, path);
        act!(script, "path_filestat_set_times", FIRST, FOLLOW, path, 1u64, 1u64, 5);
        let link = if path.ends_with('/') { NOENT } else { PERM };
        expected.extend([PERM, PERM, PERM, PERM, PERM, link, PERM]);
    }
    for path in ["/etc/passwd", "//etc/passwd", "/", "..", "../secret", &up, "data/../..", "data/../../secret"] {
        act!(script, "path_open", ROOT, FOLLOW, path, 0, READ, 0, 0, OUT);
        act!(script, "path_link", ROOT, 0, path, ROOT, "data/stolen");
        expected.extend([PERM; 2]);
    }
    // What the guest's tree does not have is refused as not there.
    act!(script, "path_open", ROOT, FOLLOW, "data/../secret", 0, READ, 0, 0, OUT);
    act!(script, "path_open", ROOT, FOLLOW, "data/sub/../../secret", 0, READ, 0, 0, OUT);
    expected.extend([NOENT; 2]);
    let answer = script.run(&driver(grant(&granted(&house), "/data", mode)));
    assert_eq!(expected, answer.errnos);
    assert!(!answer.result.denials.is_empty());
    assert!(granted(&house).join("sub/file").exists());
}

#[test]
fn guest_cannot_follow_a_link_that_leads_out() {
    for mode in ["rw", "overlay"] {
        in_guest_cannot_follow_a_link_that_leads_out(mode);
    }
}

fn in_guest_cannot_follow_a_link_that_leads_out(mode: &str) {
    let house = house();
    let grant_path = granted(&house);
    symlink("/etc", grant_path.join("absolute")).unwrap();
    symlink(house.path().join("secret"), grant_path.join("full")).unwrap();
    symlink("../secret", grant_path.join("relative")).unwrap();
    symlink("..", grant_path.join("up")).unwrap();
    symlink("sub/../../secret", grant_path.join("detour")).unwrap();
    symlink("relative", grant_path.join("chain")).unwrap();
    symlink("round", grant_path.join("round")).unwrap();
    symlink("/proc/self/root/etc/passwd", grant_path.join("magic")).unwrap();
    let mut script = Script::new();
    let mut expected = Vec::new();
    for path in ["absolute/passwd", "full", "relative", "up/secret", "detour", "chain", "magic"] {
        let path = &format!("data/{path}");
        act!(script, "path_open", ROOT, FOLLOW, path, 0, READ, 0, 0, OUT);
        act!(script, "path_open", ROOT, FOLLOW, path, CREATE, WRITE, 0, 0, OUT);
        act!(script, "path_open", ROOT, FOLLOW, path, TRUNCATE, READ, 0, 0, OUT);
        act!(script, "path_filestat_get", ROOT, FOLLOW, path, OUT);
        act!(script, "path_filestat_set_times", ROOT, FOLLOW, path, 1u64, 1u64, 5);
        expected.extend([PERM; 5]);
    }
    for path in ["data/absolute/new", "data/up/new"] {
        act!(script, "path_create_directory", ROOT, path);
        act!(script, "path_rename", ROOT, "data/sub/file", ROOT, path);
        act!(script, "path_unlink_file", ROOT, path);
        expected.extend([PERM; 3]);
    }
    act!(script, "path_open", ROOT, FOLLOW, "data/round", 0, READ, 0, 0, OUT);
    act!(script, "path_open", ROOT, 0, "data/full", 0, READ, 0, 0, OUT);
    act!(script, "path_readlink", ROOT, "data/full", OUT, 64, OUT);
    act!(script, "path_readlink", ROOT, "data/relative", OUT, 64, OUT);
    act!(script, "path_filestat_get", ROOT, 0, "data/full", OUT);
    expected.extend([LOOP, LOOP, PERM, OK, OK]);
    let answer = script.run(&driver(grant(&grant_path, "/data", mode)));
    assert_eq!(expected, answer.errnos);
    assert_eq!(SECRET, std::fs::read_to_string(house.path().join("secret")).unwrap());
    assert!(answer.denied().contains(&"read /data/full".to_owned()), "{:?}", answer.denied());
}

#[test]
fn guest_cannot_read_through_a_link_it_planted_itself() {
    for mode in ["rw", "overlay"] {
        in_guest_cannot_read_through_a_link_it_planted_itself(mode);
    }
}

fn in_guest_cannot_read_through_a_link_it_planted_itself(mode: &str) {
    let house = house();
    let mut script = Script::new();
    act!(script, "path_symlink", "../../../../../../../../etc/passwd", ROOT, "data/planted");
    act!(script, "path_open", ROOT, FOLLOW, "data/planted", 0, READ, 0, 0, OUT);
    act!(script, "path_symlink", "../../secret", ROOT, "data/sub/deep/inside");
    act!(script, "path_rename", ROOT, "data/sub/deep/inside", ROOT, "data/inside");
    act!(script, "path_open", ROOT, FOLLOW, "data/inside", 0, READ, 0, 0, OUT);
    act!(script, "path_symlink", "sub/deep", ROOT, "data/far");
    act!(script, "path_open", ROOT, FOLLOW, "data/far/../../../secret", 0, READ, 0, 0, OUT);
    // A directory that was moved after it was opened leads no higher.
    act!(script, "path_open", ROOT, FOLLOW, "data/sub/deep", DIRECTORY, READ, 0, 0, OUT);
    act!(script, "path_rename", ROOT, "data/sub/deep", ROOT, "data/deep");
    act!(script, "path_open", FIRST, FOLLOW, "../../secret", 0, READ, 0, 0, OUT);
    let answer = script.run(&driver(grant(&granted(&house), "/data", mode)));
    assert_eq!(vec![OK, PERM, OK, OK, PERM, OK, PERM, OK, OK, PERM], answer.errnos);
}

#[test]
fn a_link_planted_in_one_run_does_not_widen_the_grants_of_the_next() {
    let house = house();
    std::fs::create_dir(granted(&house).join("out")).unwrap();
    let document = format!(
        r#"{{"dirs": [{{"host": {:?}, "at": "/data", "mode": "rw"}}, {{"host": {:?}, "at": "/out", "mode": "rw"}}]}}"#,
        granted(&house),
        granted(&house).join("out")
    );
    let mut script = Script::new();
    act!(script, "path_rename", ROOT, "data/out", ROOT, "data/away");
    act!(script, "path_symlink", "..", ROOT, "data/out");
    assert_eq!(vec![OK, OK], script.run(&driver(policy(&document, Path::new("/")))).errnos);
    let error = Grants::open(&policy(&document, Path::new("/")), &[]).unwrap_err();
    assert_eq!("policy", error.code());
    assert!(error.parts().why.contains("a guest may write"), "{error}");
    // The same through a link of the host that leads there.
    symlink(granted(&house).join("out"), house.path().join("mine")).unwrap();
    let document = document.replace("granted/out", "mine");
    assert!(Grants::open(&policy(&document, Path::new("/")), &[]).is_err());
    // Where nobody could have planted it, a link is as good as a directory.
    symlink(granted(&house), house.path().join("latest")).unwrap();
    assert!(Grants::open(&grant(&house.path().join("latest"), "/data", "rw"), &[]).is_ok());
    assert!(Grants::open(&policy(&document.replace("rw", "ro"), Path::new("/")), &[]).is_ok());
}

#[test]
fn a_pipe_or_socket_in_a_grant_does_not_hang_the_run() {
    for mode in ["rw", "overlay"] {
        in_a_pipe_or_socket_in_a_grant_does_not_hang_the_run(mode);
    }
}

fn in_a_pipe_or_socket_in_a_grant_does_not_hang_the_run(mode: &str) {
    let unread = if mode == "rw" { 60 } else { ACCES };
    let house = house();
    fifo(&granted(&house).join("pipe"));
    symlink("pipe", granted(&house).join("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(granted(&house).join("socket")).unwrap();
    let mut script = Script::new();
    let mut expected = Vec::new();
    for path in ["data/pipe", "data/link"] {
        for (oflags, rights) in [(0, READ), (0, READ | WRITE), (CREATE, READ | WRITE), (TRUNCATE, READ | WRITE), (0, 0)]
        {
            act!(script, "path_open", ROOT, FOLLOW, path, oflags, rights, 0, 0, OUT);
            expected.push(ACCES);
        }
        // No reader: the host says so at once. A layer does not even ask.
        act!(script, "path_open", ROOT, FOLLOW, path, 0, WRITE, 0, 0, OUT);
        act!(script, "path_filestat_set_times", ROOT, FOLLOW, path, 1u64, 1u64, 5);
        act!(script, "path_filestat_set_times", ROOT, 0, path, 1u64, 1u64, 5);
        act!(script, "path_filestat_get", ROOT, FOLLOW, path, OUT);
        act!(script, "path_open", ROOT, FOLLOW, path, DIRECTORY, READ, 0, 0, OUT);
        expected.extend([unread, ACCES, OK, OK, ACCES]);
    }
    act!(script, "path_open", ROOT, FOLLOW, "data/socket", 0, READ, 0, 0, OUT);
    act!(script, "path_filestat_set_times", ROOT, FOLLOW, "data/socket", 1u64, 1u64, 5);
    act!(script, "path_link", ROOT, 0, "data/pipe", ROOT, "data/pipe2");
    act!(script, "path_rename", ROOT, "data/pipe2", ROOT, "data/pipe3");
    act!(script, "path_unlink_file", ROOT, "data/pipe3");
    expected.extend([unread, unread, OK, OK, OK]);
    let started = Instant::now();
    let answer = script.run(&driver(grant(&granted(&house), "/data", mode)));
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!("exited", answer.ended());
    assert_eq!(expected, answer.errnos);
    assert!(answer.denied().contains(&"write /data/pipe".to_owned()), "{:?}", answer.denied());
}

#[test]
fn devices_are_never_opened() {
    let mut script = Script::new();
    for path in ["dev/null", "dev/zero", "dev/tty", "dev/full"] {
        act!(script, "path_open", ROOT, FOLLOW, path, 0, READ, 0, 0, OUT);
    }
    act!(script, "path_filestat_get", ROOT, FOLLOW, "dev/null", OUT);
    act!(script, "path_open", ROOT, FOLLOW, "dev/fd/0", 0, READ, 0, 0, OUT);
    let answer = script.run(&driver(grant(Path::new("/dev"), "/dev", "ro")));
    // A process without a terminal has no `/dev/tty` to open.
    assert!(matches!(answer.errnos[2], ACCES | 60), "{}", answer.errnos[2]);
    assert_eq!([ACCES, ACCES, ACCES, OK, PERM], [0, 1, 3, 4, 5].map(|index| answer.errnos[index]));
}

#[test]
fn a_grant_of_everything_does_not_open_the_kernel() {
    for mode in ["rw", "overlay"] {
        in_a_grant_of_everything_does_not_open_the_kernel(mode);
    }
}

fn in_a_grant_of_everything_does_not_open_the_kernel(mode: &str) {
    let mut script = Script::new();
    let mut expected = Vec::new();
    for path in
        ["proc/self/mem", "proc/self/environ", "proc/self/root/etc/passwd", "sys/kernel/mm/ksm/run", "proc/self"]
    {
        act!(script, "path_open", ROOT, FOLLOW, path, 0, READ, 0, 0, OUT);
        act!(script, "path_open", ROOT, FOLLOW, path, 0, WRITE, 0, 0, OUT);
        act!(script, "path_open", ROOT, FOLLOW, path, CREATE | TRUNCATE, WRITE, 0, 0, OUT);
        act!(script, "path_readlink", ROOT, path, OUT, 64, OUT);
        act!(script, "path_filestat_get", ROOT, 0, path, OUT);
        expected.extend([PERM; 5]);
    }
    act!(script, "path_open", ROOT, FOLLOW, "proc", DIRECTORY, READ, 0, 0, OUT);
    act!(script, "path_open", ROOT, FOLLOW, "usr/../proc/self/mem", 0, READ, 0, 0, OUT);
    act!(script, "path_create_directory", ROOT, "sys/kernel/ringfence-test");
    act!(script, "path_filestat_set_times", ROOT, FOLLOW, "proc/self/comm", 1u64, 1u64, 5);
    act!(script, "path_symlink", "x", ROOT, "proc/x");
    act!(script, "path_open", ROOT, FOLLOW, "etc/passwd", 0, READ, 0, 0, OUT);
    expected.extend([PERM, PERM, PERM, PERM, PERM, OK]);
    let answer = script.run(&driver(grant(Path::new("/"), "/", mode)));
    assert_eq!(expected, answer.errnos);
}

#[test]
fn a_link_to_the_kernel_inside_a_grant_of_everything_leads_nowhere() {
    for mode in ["rw", "overlay"] {
        in_a_link_to_the_kernel_inside_a_grant_of_everything_leads_nowhere(mode);
    }
}

fn in_a_link_to_the_kernel_inside_a_grant_of_everything_leads_nowhere(mode: &str) {
    let house = house();
    let inside = house.path().strip_prefix("/").unwrap().to_str().unwrap();
    let up = "../".repeat(house.path().components().count() - 1);
    symlink(format!("{up}proc/self/mem"), house.path().join("mem")).unwrap();
    symlink(format!("{up}proc"), house.path().join("door")).unwrap();
    let mut script = Script::new();
    for path in ["mem", "door", "door/self/mem", "door/self/status"] {
        act!(script, "path_open", ROOT, FOLLOW, &format!("{inside}/{path}"), 0, READ, 0, 0, OUT);
    }
    act!(script, "path_filestat_set_times", ROOT, FOLLOW, &format!("{inside}/mem"), 1u64, 1u64, 5);
    let answer = script.run(&driver(grant(Path::new("/"), "/", mode)));
    assert_eq!(vec![PERM; 5], answer.errnos);
}

#[test]
fn a_million_reads_in_one_call_end_at_the_deadline() {
    let house = house();
    std::fs::File::create(granted(&house).join("sparse")).unwrap().set_len(1 << 40).unwrap();
    let mut script = Script::new();
    script.open("data/sparse");
    // The same 32 MiB of memory named two thousand times.
    let piece = [(1u32 << 24).to_le_bytes(), (1u32 << 25).to_le_bytes()].concat();
    let vector = script.bytes(&piece.repeat(2000));
    script.act("fd_read", 1_000_000, [FIRST, vector, 2000, OUT].map(Arg::from).into());
    let mut policy = grant(&granted(&house), "/data", "ro");
    policy.limits.wall = ringfence::policy::Seconds::from_number(0.3).unwrap();
    let sandbox = driver(policy);
    let started = Instant::now();
    let answer = script.run(&sandbox);
    assert_eq!("limited wall", answer.ended());
    assert!(started.elapsed() < Duration::from_millis(800), "{:?}", started.elapsed());
}

#[test]
fn millions_of_empty_buffers_in_one_call_end_at_the_deadline() {
    for mode in ["rw", "overlay"] {
        in_millions_of_empty_buffers_in_one_call_end_at_the_deadline(mode);
    }
}

fn in_millions_of_empty_buffers_in_one_call_end_at_the_deadline(mode: &str) {
    let house = house();
    let mut script = Script::new();
    script.create("data/file");
    // Zeros to the end of memory: five million buffers of nothing.
    for (name, fd) in [("fd_write", FIRST), ("fd_read", FIRST), ("fd_write", 2), ("fd_read", 0)] {
        script.act(name, 20, [fd, 1 << 24, 5_000_000, OUT].map(Arg::from).into());
    }
    let mut policy = grant(&granted(&house), "/data", mode);
    policy.limits.wall = ringfence::policy::Seconds::from_number(0.2).unwrap();
    let sandbox = driver(policy);
    let started = Instant::now();
    let answer = script.run(&sandbox);
    assert_eq!("limited wall", answer.ended());
    assert!(started.elapsed() < Duration::from_millis(700), "{:?}", started.elapsed());
}

#[test]
fn a_call_moves_no_more_than_its_answer_can_tell() {
    let house = house();
    std::fs::File::create(granted(&house).join("sparse")).unwrap().set_len(1 << 40).unwrap();
    let mut script = Script::new();
    script.open("data/sparse");
    let piece = [(1u32 << 24).to_le_bytes(), (1u32 << 25).to_le_bytes()].concat();
    let vector = script.bytes(&piece.repeat(200));
    act!(script, "fd_read", FIRST, vector, 200, OUT);
    let tell = script.vector(OUT, 4);
    act!(script, "fd_write", 2, tell, 1, OUT + 8);
    let answer = script.run(&driver(grant(&granted(&house), "/data", "ro")));
    assert_eq!(vec![OK; 3], answer.errnos);
    assert_eq!(0x7fff_f000u32.to_le_bytes().to_vec(), answer.result.stderr);
}

/// A grant with so many names that a listing of it takes about 100 KiB.
fn crowded() -> TempDir {
    let crowd = tempfile::tempdir().unwrap();
    for number in 0..1000 {
        std::fs::write(crowd.path().join(format!("{number:060}")), "").unwrap();
    }
    crowd
}

#[test]
fn a_crowded_directory_is_listed_within_the_hosts_memory_or_not_at_all() {
    let crowd = crowded();
    let list = |limit: u64, dirs: u32, times: u32| {
        let mut script = Script::new();
        for number in 0..dirs {
            act!(script, "path_open", ROOT, FOLLOW, "data", DIRECTORY, READ, 0, 0, OUT);
            script.act(
                "fd_readdir",
                times,
                vec![(FIRST + number).into(), 0x200.into(), 64.into(), 0.into(), OUT.into()],
            );
        }
        let mut policy = grant(crowd.path(), "/data", "ro");
        policy.limits.host_bytes.0 = limit;
        script.run(&driver(policy)).ended()
    };
    assert_eq!("exited", list(256 << 10, 1, 50), "the last listing is given back for the next");
    assert_eq!("limited host_bytes", list(64 << 10, 1, 1));
    assert_eq!("limited host_bytes", list(256 << 10, 10, 1), "all listings are one total");
}

#[test]
fn denials_are_bounded_however_many_names_are_tried() {
    let house = house();
    let mut script = Script::new();
    for number in 0..300 {
        script.open(&format!("none/{number}/{}", "x".repeat(100)));
    }
    let answer = script.run(&driver(grant(&granted(&house), "/data", "ro")));
    assert_eq!(vec![NOENT; 300], answer.errnos);
    assert_eq!(100, answer.result.denials.len());
    assert_eq!(300, answer.result.denials.iter().map(|denial| denial.count).sum::<u64>());
}

#[test]
fn a_handle_deeper_than_any_path_is_refused_and_not_held() {
    let house = house();
    let half = ["n"; 600].join("/");
    std::fs::create_dir_all(granted(&house).join(&half)).unwrap();
    let mut script = Script::new();
    act!(script, "path_open", ROOT, FOLLOW, &format!("data/{half}"), DIRECTORY, READ, 0, 0, OUT);
    act!(script, "path_create_directory", FIRST, "new");
    act!(script, "path_open", FIRST, FOLLOW, &half, DIRECTORY, READ, 0, 0, OUT);
    act!(script, "path_create_directory", FIRST, &half);
    let answer = script.run(&driver(grant(&granted(&house), "/data", "rw")));
    assert_eq!(vec![OK, OK, NAMETOOLONG, NAMETOOLONG], answer.errnos);
}

/// The private directories of runs that hold a file of this name.
fn private(marker: &str) -> usize {
    let dirs = std::fs::read_dir(std::env::temp_dir()).unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    dirs.filter(|dir| dir.join("files").join(marker).exists()).count()
}

#[test]
fn the_private_tmp_lives_as_long_as_its_run_however_that_ends() {
    for (ending, wall, cancel) in [("exited", 20.0, false), ("limited wall", 0.3, false), ("cancelled", 20.0, true)] {
        let marker = format!("marker-{}-{}", std::process::id(), ending.replace(' ', "-"));
        let mut script = Script::new();
        script.create(&format!("tmp/{marker}"));
        act!(script, "path_create_directory", ROOT, "tmp/dir");
        script.create("tmp/dir/file");
        // Sleeps for 400 ms.
        let mut wait = [0u8; 48];
        wait[16..20].copy_from_slice(&1u32.to_le_bytes());
        wait[24..32].copy_from_slice(&400_000_000u64.to_le_bytes());
        let wait = script.bytes(&wait);
        act!(script, "poll_oneoff", wait, OUT, 1, OUT + 32);
        let mut policy = policy(r#"{"tmp": true}"#, Path::new("/"));
        policy.limits.wall = ringfence::policy::Seconds::from_number(wall).unwrap();
        let sandbox = driver(policy);
        let mut seen = 0;
        let mut run = run(Source::Bytes(script.image().into()), &sandbox);
        let cancelled = run.cancelled.clone();
        let mut tick = || {
            seen = seen.max(private(&marker));
            cancelled.store(cancel && seen > 0, Ordering::Relaxed);
            true
        };
        run.tick = Some(&mut tick);
        let result = sandbox.run(run).unwrap();
        assert_eq!(ending, ended(&result));
        assert_eq!((1, 0), (seen, private(&marker)), "{ending}");
    }
}

#[test]
fn two_runs_do_not_see_each_others_tmp() {
    let sandbox = driver(policy(r#"{"tmp": true}"#, Path::new("/")));
    let mut script = Script::new();
    act!(script, "path_open", ROOT, 0, "tmp/file", CREATE | EXCLUSIVE, WRITE, 0, 0, OUT);
    assert_eq!(vec![OK], script.run(&sandbox).errnos);
    assert_eq!(vec![OK], script.run(&sandbox).errnos);
}

#[test]
fn a_run_that_is_refused_something_ends_where_the_policy_says_so() {
    let house = house();
    let document = format!(r#"{{"on_denied": "stop", "dirs": [{{"host": {:?}, "at": "/data"}}]}}"#, granted(&house));
    let sandbox = driver(policy(&document, Path::new("/")));
    for path in ["/etc/passwd", "../x", "nothing"] {
        let mut script = Script::new();
        script.open("data/sub/file").open(path).open("data/sub/file");
        let answer = script.run(&sandbox);
        assert_eq!(("denied".to_owned(), 1), (answer.ended(), answer.result.denials.len()), "{path}");
    }
    let mut script = Script::new();
    script.open("data/sub/none").create("data/sub/new");
    let answer = script.run(&sandbox);
    assert_eq!(("denied".to_owned(), vec!["write /data/sub/new".to_owned()]), (answer.ended(), answer.denied()));
}

#[test]
fn a_guest_that_writes_to_a_closed_pipe_is_told_so() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut script = Script::new();
    let text = script.bytes(b"lost");
    let vector = script.vector(text, 4);
    act!(script, "fd_write", 2, vector, 1, OUT);
    let sandbox = driver(policy("{}", Path::new("/")));
    let mut run = run(Source::Bytes(script.image().into()), &sandbox);
    run.stderr = Sink::fd(writer.into());
    let result = sandbox.run(run).unwrap();
    assert_eq!((64u32.to_le_bytes().to_vec(), "exited".to_owned()), (result.stdout.clone(), ended(&result)));
}
