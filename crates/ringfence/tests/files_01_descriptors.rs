//! Descriptors under WASI 0.1: listings, offsets, numbers and times.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod driver;

use std::path::Path;

use driver::table::{Table, tree};
use driver::*;

#[test]
fn a_listing_tells_every_name_and_the_grants_inside() {
    let (outer, inner) = (tree(), tree());
    std::fs::write(outer.path().join("conf"), "a file where a directory is granted").unwrap();
    let document = format!(
        r#"{{"dirs": [{{"host": {:?}, "at": "/data"}}, {{"host": {:?}, "at": "/data/conf"}}, {{"host": {:?}, "at": "/data/x/y"}}]}}"#,
        outer.path(),
        inner.path(),
        inner.path()
    );
    let mut script = Script::new();
    act!(script, "path_open", ROOT, 0, "data", DIRECTORY, READ, 0, 0, OUT);
    let buffer = script.bytes(&[0; 1024]);
    let vector = script.vector(buffer, 1024);
    act!(script, "fd_readdir", FIRST, buffer, 1024, 0u64, OUT);
    act!(script, "fd_write", 2, vector, 1, OUT);
    let answer = script.run(&driver(policy(&document, Path::new("/"))));
    assert_eq!(vec![OK; 3], answer.errnos);
    let (mut bytes, mut names) = (&answer.result.stderr[..], Vec::new());
    loop {
        let len = u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize;
        if len == 0 {
            break;
        }
        names.push((String::from_utf8(bytes[24..24 + len].to_vec()).unwrap(), bytes[20]));
        bytes = &bytes[24 + len..];
    }
    let expected = [(".", 3), ("..", 3), ("conf", 3), ("dir", 3), ("empty", 3), ("file", 4), ("link", 7), ("x", 3)];
    assert_eq!(expected.map(|(name, kind)| (name.to_owned(), kind)).to_vec(), names);
}

#[test]
fn a_listing_is_read_on_by_its_cookie_in_any_buffer() {
    let tree = tree();
    let mut script = Script::new();
    act!(script, "path_open", ROOT, 0, "data", DIRECTORY, READ, 0, 0, OUT);
    for (len, cookie) in [(0, 0), (1, 0), (23, 0), (25, 1), (64, 6), (64, 7), (64, 1000)] {
        act!(script, "fd_readdir", FIRST, 0x200, len, u64::from(cookie as u32), OUT);
        let count = script.vector(OUT, 1);
        act!(script, "fd_write", 2, count, 1, OUT + 8);
    }
    act!(script, "fd_readdir", FIRST, 0x200, 64, u64::MAX, OUT);
    act!(script, "fd_readdir", FIRST, 0xffff_fff0u32, 64, 0u64, OUT);
    act!(script, "fd_readdir", ROOT + 7, 0x200, 64, 0u64, OUT);
    act!(script, "fd_readdir", 1, 0x200, 64, 0u64, OUT);
    let answer = script.run(&driver(grant(tree.path(), "/data", "ro")));
    // `.`, `..`, `dir`, `empty`, `file`, `link`: nothing is left after the sixth.
    assert_eq!(vec![0, 1, 23, 25, 0, 0, 0], answer.result.stderr);
    assert_eq!([OK, FAULT, BADF, NOTDIR], answer.errnos[answer.errnos.len() - 4..]);
}

#[test]
fn offsets_past_every_end_are_errors_and_nothing_wraps() {
    let tree = tree();
    let mut table = Table::new();
    let row = &mut table;
    let text = row.script.bytes(b"x");
    let vector = row.script.vector(text, 1);
    act!(row.row("open", &[OK]), "path_open", ROOT, 0, "data/file", 0, READ | WRITE, 0, 0, OUT);
    act!(row.row("read at -1", &[INVAL]), "fd_pread", FIRST, vector, 1, u64::MAX, OUT);
    act!(row.row("write at -1", &[INVAL]), "fd_pwrite", FIRST, vector, 1, u64::MAX, OUT);
    act!(row.row("read below zero", &[INVAL]), "fd_pread", FIRST, vector, 1, 1u64 << 63, OUT);
    act!(row.row("seek before the start", &[INVAL]), "fd_seek", FIRST, -1, 0, OUT);
    act!(row.row("seek far before", &[INVAL]), "fd_seek", FIRST, i64::MIN.cast_unsigned(), 2, OUT);
    act!(row.row("seek to the last place", &[OK]), "fd_seek", FIRST, i64::MAX.cast_unsigned(), 0, OUT);
    act!(row.row("seek past it", &[INVAL]), "fd_seek", FIRST, 1u64, 1, OUT);
    act!(row.row("read there", &[INVAL]), "fd_read", FIRST, vector, 1, OUT);
    act!(row.row("seek by what is not", &[INVAL]), "fd_seek", FIRST, 0u64, 3, OUT);
    act!(row.row("set an endless size", &[INVAL]), "fd_filestat_set_size", FIRST, u64::MAX);
    act!(row.row("write out of memory", &[FAULT]), "fd_write", FIRST, 0xffff_fff8u32, 1, OUT);
    act!(row.row("more buffers than memory", &[FAULT]), "fd_write", FIRST, 0x0100_0000u32, u32::MAX, OUT);
    act!(row.row("poll for more than memory", &[FAULT]), "poll_oneoff", 0x1000u32, 0x1000u32, u32::MAX, OUT);
    act!(row.row("a path out of memory", &[FAULT]), "path_open", ROOT, 0, 0xffff_fff0u32, 64u32, 0, READ, 0, 0, OUT);
    act!(
        row.row("a path of a megabyte", &[NAMETOOLONG]),
        "path_open",
        ROOT,
        0,
        0x1000u32,
        1u32 << 20,
        0,
        READ,
        0,
        0,
        OUT
    );
    act!(row.row("a link to a megabyte", &[NAMETOOLONG]), "path_symlink", 0x1000u32, 1u32 << 20, ROOT, "data/l");
    act!(row.row("an answer out of memory", &[FAULT]), "fd_filestat_get", FIRST, 0xffff_fff0u32);
    act!(row.row("a name with a NUL", &[INVAL]), "path_open", ROOT, 0, "data/file\0.txt", 0, READ, 0, 0, OUT);
    act!(row.row("a name that is no UTF-8", &[25]), "path_open", ROOT, 0, &b"data/\xff"[..], 0, READ, 0, 0, OUT);
    act!(row.row("no name", &[NOENT]), "path_open", ROOT, 0, "", 0, READ, 0, 0, OUT);
    table.check(grant(tree.path(), "/data", "rw"), 0);
    // A hole of the size of the last place is no file: the host answers, with whatever its file system says.
    let mut script = Script::new();
    script.create("data/file");
    act!(script, "fd_seek", FIRST, i64::MAX.cast_unsigned(), 0, OUT);
    let text = script.bytes(b"x");
    let vector = script.vector(text, 1);
    act!(script, "fd_write", FIRST, vector, 1, OUT);
    let answer = script.run(&driver(grant(tree.path(), "/data", "rw")));
    assert_ne!(OK, answer.errnos[2]);
}

#[test]
fn numbers_are_given_taken_and_closed_without_a_leak() {
    let tree = tree();
    let mut table = Table::new();
    let row = &mut table;
    let (one, other) = (FIRST, FIRST + 1);
    let open = |script: &mut Script| {
        script.open("data/file");
    };
    open(row.row("open", &[OK]));
    open(row.row("open another", &[OK]));
    open(row.row("the limit is two", &[MFILE]));
    act!(row.row("onto itself", &[OK]), "fd_renumber", one, one);
    act!(row.row("onto nothing", &[BADF]), "fd_renumber", one, 100);
    act!(row.row("from nothing", &[BADF]), "fd_renumber", 100, one);
    act!(row.row("from and onto nothing", &[BADF]), "fd_renumber", 100, 100);
    open(row.row("still two", &[MFILE]));
    act!(row.row("one onto the other", &[OK]), "fd_renumber", one, other);
    act!(row.row("it is gone", &[BADF]), "fd_tell", one, OUT);
    open(row.row("room for one", &[OK]));
    open(row.row("and no more", &[MFILE]));
    act!(row.row("onto the error stream", &[OK]), "fd_renumber", one, 2);
    act!(row.row("the stream is the file", &[OK]), "fd_tell", 2, OUT);
    open(row.row("it still counts", &[MFILE]));
    act!(row.row("close it", &[OK]), "fd_close", 2);
    act!(row.row("twice", &[BADF]), "fd_close", 2);
    open(row.row("room again", &[OK]));
    act!(row.row("close the root", &[OK]), "fd_close", ROOT);
    act!(row.row("it is gone", &[BADF]), "path_open", ROOT, 0, "data/file", 0, READ, 0, 0, OUT);
    act!(row.row("and no preopen", &[BADF]), "fd_prestat_get", ROOT, OUT);
    act!(row.row("closing frees", &[OK]), "fd_close", one);
    let mut policy = grant(tree.path(), "/data", "ro");
    policy.limits.open_files = 2;
    let answer = table.check(policy, 0);
    assert_eq!(vec!["open_files /data/file"], answer.denied());
}

#[test]
fn an_open_that_fails_takes_no_place() {
    let tree = tree();
    let mut script = Script::new();
    for _ in 0..100 {
        script.open("data/none");
        act!(script, "path_open", ROOT, 0, "data/file", DIRECTORY, READ, 0, 0, OUT);
    }
    script.open("data/file").open("data/file");
    let mut policy = grant(tree.path(), "/data", "ro");
    policy.limits.open_files = 2;
    let answer = script.run(&driver(policy));
    assert_eq!([OK, OK], answer.errnos[200..]);
    assert!(answer.errnos[..200].chunks(2).all(|pair| pair == [NOENT, NOTDIR]));
}

#[test]
fn times_before_1970_and_far_in_the_future_are_told_and_set() {
    let tree = tree();
    let file = std::fs::File::open(tree.path().join("file")).unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH - std::time::Duration::from_secs(1_000_000);
    file.set_times(std::fs::FileTimes::new().set_modified(old).set_accessed(old)).unwrap();
    let mut script = Script::new();
    let (before, after) = (script.bytes(&[0xff; 64]), script.bytes(&[0xff; 64]));
    act!(script, "path_filestat_get", ROOT, 0, "data/file", before);
    act!(script, "path_filestat_set_times", ROOT, 0, "data/file", u64::MAX, u64::MAX, 5);
    act!(script, "path_filestat_get", ROOT, 0, "data/file", after);
    act!(script, "path_filestat_set_times", ROOT, 0, "data/file", 0u64, 0u64, 3);
    let vector = script.vector(before, 128);
    act!(script, "fd_write", 2, vector, 1, OUT);
    let answer = script.run(&driver(grant(tree.path(), "/data", "rw")));
    assert_eq!(vec![OK, OK, OK, INVAL, OK], answer.errnos);
    let number = |at: usize| u64::from_le_bytes(answer.result.stderr[at..at + 8].try_into().unwrap());
    // Accessed and modified, at 40 and 48 of each.
    assert_eq!((0, 0), (number(40), number(48)));
    assert!(number(64 + 48) > 4_000_000_000 * 1_000_000_000, "{}", number(64 + 48));
}

#[test]
fn a_name_that_is_not_utf8_is_not_listed_and_does_not_end_the_listing() {
    use std::os::unix::ffi::OsStrExt;
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join(std::ffi::OsStr::from_bytes(b"a\xff")), "").unwrap();
    std::fs::write(tree.path().join("b"), "").unwrap();
    let mut script = Script::new();
    act!(script, "path_open", ROOT, 0, "data", DIRECTORY, READ, 0, 0, OUT);
    act!(script, "fd_readdir", FIRST, 0x200, 1024, 2u64, OUT);
    let count = script.vector(OUT, 4);
    act!(script, "fd_write", 2, count, 1, OUT + 8);
    let answer = script.run(&driver(grant(tree.path(), "/data", "ro")));
    assert_eq!(25u32.to_le_bytes().to_vec(), answer.result.stderr, "one entry with a name of one byte");
}

#[test]
fn the_last_write_is_where_the_position_says() {
    let tree = tree();
    let mut script = Script::new();
    script.create("data/log");
    let text = script.bytes(b"abc");
    let vector = script.vector(text, 3);
    act!(script, "fd_write", FIRST, vector, 1, OUT);
    act!(script, "fd_seek", FIRST, 0u64, 0, OUT);
    act!(script, "fd_fdstat_set_flags", FIRST, 1);
    act!(script, "fd_write", FIRST, vector, 1, OUT);
    act!(script, "fd_fdstat_set_flags", FIRST, 0);
    act!(script, "fd_write", FIRST, vector, 1, OUT);
    act!(script, "fd_pwrite", FIRST, vector, 1, 1u64, OUT);
    act!(script, "fd_filestat_set_size", FIRST, 8u64);
    let answer = script.run(&driver(grant(tree.path(), "/data", "rw")));
    assert_eq!(vec![OK; 9], answer.errnos);
    assert_eq!("aabcbcab", std::fs::read_to_string(tree.path().join("log")).unwrap());
    let mut script = Script::new();
    script.open("data/file");
    act!(script, "fd_write", 0, vector, 1, OUT);
    act!(script, "fd_read", 1, vector, 1, OUT);
    act!(script, "fd_seek", 1, 0u64, 0, OUT);
    assert_eq!(vec![OK, BADF, BADF, SPIPE], script.run(&driver(grant(tree.path(), "/data", "ro"))).errnos);
}
