//! Files under WASI 0.1: what each call answers where reading, writing, one file or nothing is granted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod driver;

use std::path::Path;

use driver::*;
use ringfence::Policy;
use tempfile::TempDir;

/// `file`, `link` to it, `dir/inner`, `empty/`.
fn tree() -> TempDir {
    let tree = tempfile::tempdir().unwrap();
    let path = tree.path();
    std::fs::write(path.join("file"), "content").unwrap();
    std::os::unix::fs::symlink("file", path.join("link")).unwrap();
    std::fs::create_dir(path.join("dir")).unwrap();
    std::fs::write(path.join("dir/inner"), "inner").unwrap();
    std::fs::create_dir(path.join("empty")).unwrap();
    tree
}

/// Every name below a directory, with what is in it and when it was changed.
fn snapshot(path: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        let content = if metadata.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        let times = (metadata.mtime(), metadata.mtime_nsec(), metadata.nlink());
        found.push(format!("{path:?} {content:?} {times:?}"));
        if metadata.is_dir() {
            found.extend(snapshot(&path));
        }
    }
    found.sort();
    found
}

/// Acts by name, with the errors they answer to.
struct Table {
    script: Script,
    rows: Vec<(String, Vec<u32>)>,
}

impl Table {
    fn new() -> Self {
        Self { script: Script::new(), rows: Vec::new() }
    }

    fn row(&mut self, name: &str, expected: &[u32]) -> &mut Script {
        self.rows.push((name.to_owned(), expected.to_vec()));
        &mut self.script
    }

    /// Runs it and compares column `column`.
    fn check(&self, policy: Policy, column: usize) -> Answer {
        let answer = self.script.run(&driver(policy));
        assert_eq!("exited", answer.ended());
        assert_eq!(self.rows.len(), answer.errnos.len());
        let wrong: Vec<String> = self
            .rows
            .iter()
            .zip(&answer.errnos)
            .filter(|((_, expected), got)| expected[column.min(expected.len() - 1)] != **got)
            .map(|((name, expected), got)| {
                format!("{name}: expected {}, got {got}", expected[column.min(expected.len() - 1)])
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        answer
    }
}

/// Every call that changes something, as `ro` and `rw` answer it.
fn changes() -> Table {
    let mut table = Table::new();
    let row = &mut table;
    act!(row.row("open to write", &[ROFS, OK]), "path_open", ROOT, FOLLOW, "data/file", 0, WRITE, 0, 0, OUT);
    act!(
        row.row("open to write through a link", &[ROFS, OK]),
        "path_open",
        ROOT,
        FOLLOW,
        "data/link",
        0,
        WRITE,
        0,
        0,
        OUT
    );
    act!(
        row.row("open to write through itself", &[ROFS, OK]),
        "path_open",
        ROOT,
        FOLLOW,
        "data/dir/../file",
        0,
        WRITE,
        0,
        0,
        OUT
    );
    act!(
        row.row("open to truncate", &[ROFS, OK]),
        "path_open",
        ROOT,
        FOLLOW,
        "data/dir/inner",
        TRUNCATE,
        READ,
        0,
        0,
        OUT
    );
    act!(row.row("open to create", &[ROFS, OK]), "path_open", ROOT, FOLLOW, "data/new", CREATE, READ, 0, 0, OUT);
    act!(
        row.row("create anew", &[ROFS, EXIST]),
        "path_open",
        ROOT,
        0,
        "data/file",
        CREATE | EXCLUSIVE,
        WRITE,
        0,
        0,
        OUT
    );
    act!(
        row.row("create a directory by open", &[INVAL]),
        "path_open",
        ROOT,
        0,
        "data/newdir",
        CREATE | DIRECTORY,
        WRITE,
        0,
        0,
        OUT
    );
    act!(row.row("make a directory", &[ROFS, OK]), "path_create_directory", ROOT, "data/made");
    act!(row.row("make it with a slash", &[ROFS, OK]), "path_create_directory", ROOT, "data/made2/");
    act!(row.row("make it again", &[ROFS, EXIST]), "path_create_directory", ROOT, "data/dir");
    act!(row.row("remove a directory", &[ROFS, OK]), "path_remove_directory", ROOT, "data/made");
    act!(row.row("remove a full one", &[ROFS, NOTEMPTY]), "path_remove_directory", ROOT, "data/dir");
    act!(row.row("make a link", &[ROFS, OK]), "path_symlink", "file", ROOT, "data/link2");
    act!(row.row("make a link to the host", &[ROFS, PERM]), "path_symlink", "/etc/passwd", ROOT, "data/link3");
    act!(row.row("make a second name", &[ROFS, OK]), "path_link", ROOT, 0, "data/file", ROOT, "data/name2");
    act!(
        row.row("make it for what a link names", &[INVAL]),
        "path_link",
        ROOT,
        FOLLOW,
        "data/link",
        ROOT,
        "data/name3"
    );
    act!(row.row("rename", &[ROFS, OK]), "path_rename", ROOT, "data/name2", ROOT, "data/name4");
    act!(row.row("rename over", &[ROFS, OK]), "path_rename", ROOT, "data/name4", ROOT, "data/new");
    act!(row.row("unlink", &[ROFS, OK]), "path_unlink_file", ROOT, "data/new");
    act!(row.row("unlink a directory", &[ROFS, ISDIR]), "path_unlink_file", ROOT, "data/dir/");
    act!(row.row("set times", &[ROFS, OK]), "path_filestat_set_times", ROOT, FOLLOW, "data/file", 1u64, 2u64, 5);
    act!(
        row.row("set times of a link's target", &[ROFS, OK]),
        "path_filestat_set_times",
        ROOT,
        FOLLOW,
        "data/link",
        1u64,
        2u64,
        5
    );
    act!(row.row("set times of a link", &[ROFS, OK]), "path_filestat_set_times", ROOT, 0, "data/link", 1u64, 2u64, 5);
    act!(
        row.row("set times of the grant", &[ROFS, OK]),
        "path_filestat_set_times",
        ROOT,
        FOLLOW,
        "data",
        1u64,
        2u64,
        5
    );
    table
}

/// Every call that changes what a descriptor opened only to be read stands for.
fn changes_of_a_reader() -> Table {
    let mut table = Table::new();
    let row = &mut table;
    let vector = {
        let text = row.script.bytes(b"forged");
        row.script.vector(text, 6)
    };
    let (file, dir) = (FIRST, FIRST + 1);
    act!(row.row("open", &[OK]), "path_open", ROOT, FOLLOW, "data/file", 0, READ, 0, 1, OUT);
    act!(row.row("open the directory", &[OK]), "path_open", ROOT, FOLLOW, "data/dir", DIRECTORY, READ, 0, 0, OUT);
    act!(row.row("take all rights", &[NOTSUP]), "fd_fdstat_set_rights", file, u64::MAX, u64::MAX);
    act!(row.row("write", &[BADF]), "fd_write", file, vector, 1, OUT);
    act!(row.row("write nothing", &[BADF]), "fd_write", file, vector, 0, OUT);
    act!(row.row("append", &[OK]), "fd_fdstat_set_flags", file, 1);
    act!(row.row("write at the end", &[BADF]), "fd_write", file, vector, 1, OUT);
    act!(row.row("write somewhere", &[BADF]), "fd_pwrite", file, vector, 1, 0u64, OUT);
    act!(row.row("cut", &[BADF]), "fd_filestat_set_size", file, 0u64);
    act!(row.row("allocate", &[NOTSUP]), "fd_allocate", file, 0u64, 100u64);
    act!(row.row("set its times", &[ROFS, OK]), "fd_filestat_set_times", file, 1u64, 2u64, 5);
    act!(row.row("set the directory's times", &[ROFS, OK]), "fd_filestat_set_times", dir, 1u64, 2u64, 5);
    act!(row.row("create below the directory", &[ROFS, OK]), "path_open", dir, 0, "new", CREATE, WRITE, 0, 0, OUT);
    act!(row.row("unlink below the directory", &[ROFS, OK]), "path_unlink_file", dir, "inner");
    act!(row.row("rename out of the directory", &[ROFS, OK]), "path_rename", dir, "new", ROOT, "data/moved");
    act!(row.row("write the directory", &[ISDIR]), "fd_write", dir, vector, 1, OUT);
    act!(row.row("cut the directory", &[BADF]), "fd_filestat_set_size", dir, 0u64);
    table
}

#[test]
fn guest_cannot_write_through_a_read_only_grant_by_any_call() {
    for table in [changes(), changes_of_a_reader()] {
        let tree = tree();
        let before = snapshot(tree.path());
        let answer = table.check(grant(tree.path(), "/data", "ro"), 0);
        assert_eq!(before, snapshot(tree.path()));
        assert!(answer.result.denials.iter().all(|denial| denial.kind == "write"), "{:?}", answer.denied());
        assert!(answer.denied().contains(&"write /data/dir".to_owned()), "{:?}", answer.denied());
    }
}

#[test]
fn the_same_calls_are_done_where_writing_is_granted() {
    for table in [changes(), changes_of_a_reader()] {
        let tree = tree();
        let before = snapshot(tree.path());
        table.check(grant(tree.path(), "/data", "rw"), 1);
        assert_ne!(before, snapshot(tree.path()));
        assert!(!tree.path().join("link3").exists());
    }
}

#[test]
fn a_grant_at_the_root_answers_like_one_below() {
    let tree = tree();
    let mut script = Script::new();
    script.open("file").print(FIRST, 16).open("link").open("dir/inner").open("dir/../file");
    act!(script, "path_open", ROOT, FOLLOW, "../file", 0, READ, 0, 0, OUT);
    act!(script, "path_open", ROOT, FOLLOW, "dir/../../file", 0, READ, 0, 0, OUT);
    act!(script, "path_create_directory", ROOT, "dir");
    act!(script, "path_remove_directory", ROOT, ".");
    let answer = script.run(&driver(grant(tree.path(), "/", "rw")));
    assert_eq!(vec![OK, OK, OK, OK, OK, OK, PERM, PERM, EXIST, INVAL], answer.errnos);
    assert_eq!("content", answer.said());
}

#[test]
fn a_granted_file_is_that_file_and_no_directory() {
    let tree = tree();
    let mut table = Table::new();
    let row = &mut table;
    act!(row.row("read", &[OK]), "path_open", ROOT, 0, "etc/conf", 0, READ, 0, 0, OUT);
    act!(row.row("write", &[ROFS, OK]), "path_open", ROOT, 0, "etc/conf", 0, WRITE, 0, 0, OUT);
    act!(row.row("as a directory", &[NOTDIR]), "path_open", ROOT, 0, "etc/conf", DIRECTORY, READ, 0, 0, OUT);
    act!(row.row("with a slash", &[NOTDIR]), "path_open", ROOT, 0, "etc/conf/", 0, READ, 0, 0, OUT);
    act!(row.row("with a dot", &[NOTDIR]), "path_open", ROOT, 0, "etc/conf/.", 0, READ, 0, 0, OUT);
    act!(row.row("through it", &[NOTDIR]), "path_open", ROOT, 0, "etc/conf/..", 0, READ, 0, 0, OUT);
    act!(row.row("below it", &[NOTDIR]), "path_open", ROOT, 0, "etc/conf/x", 0, READ, 0, 0, OUT);
    act!(row.row("its sibling", &[NOENT]), "path_open", ROOT, 0, "etc/dir", 0, READ, 0, 0, OUT);
    act!(row.row("create anew", &[EXIST]), "path_open", ROOT, 0, "etc/conf", CREATE | EXCLUSIVE, WRITE, 0, 0, OUT);
    act!(row.row("truncate", &[ROFS, OK]), "path_open", ROOT, 0, "etc/conf", TRUNCATE, READ, 0, 0, OUT);
    act!(row.row("stat", &[OK]), "path_filestat_get", ROOT, 0, "etc/conf", OUT);
    act!(row.row("set times", &[ROFS, OK]), "path_filestat_set_times", ROOT, 0, "etc/conf", 1u64, 1u64, 5);
    act!(row.row("read link", &[INVAL]), "path_readlink", ROOT, "etc/conf", OUT, 64, OUT);
    act!(row.row("unlink", &[BUSY]), "path_unlink_file", ROOT, "etc/conf");
    act!(row.row("make a directory", &[EXIST]), "path_create_directory", ROOT, "etc/conf");
    act!(row.row("rename", &[BUSY]), "path_rename", ROOT, "etc/conf", ROOT, "etc/other");
    table.check(grant(&tree.path().join("file"), "/etc/conf", "ro"), 0);
    assert_eq!("content", std::fs::read_to_string(tree.path().join("file")).unwrap());
    table.check(grant(&tree.path().join("file"), "/etc/conf", "rw"), 1);
    assert_eq!("", std::fs::read_to_string(tree.path().join("file")).unwrap());
}

#[test]
fn what_exists_only_in_the_guests_view_cannot_be_changed() {
    let tree = tree();
    let mut table = Table::new();
    let row = &mut table;
    act!(row.row("open", &[OK]), "path_open", ROOT, 0, "a/b", DIRECTORY, READ, 0, 0, OUT);
    act!(row.row("up again", &[OK]), "path_open", ROOT, 0, "a/b/..", DIRECTORY, READ, 0, 0, OUT);
    act!(row.row("into the grant", &[OK]), "path_open", FIRST, 0, "data/file", 0, READ, 0, 0, OUT);
    act!(
        row.row("out of the grant and in", &[OK]),
        "path_open",
        ROOT,
        0,
        "a/b/data/dir/../../data/file",
        0,
        READ,
        0,
        0,
        OUT
    );
    act!(row.row("above the handle", &[PERM]), "path_open", FIRST, 0, "../b/data/file", 0, READ, 0, 0, OUT);
    act!(row.row("what is not there", &[NOENT]), "path_open", ROOT, 0, "a/c", 0, READ, 0, 0, OUT);
    act!(row.row("open to write", &[ISDIR]), "path_open", ROOT, 0, "a", 0, WRITE, 0, 0, OUT);
    act!(row.row("create", &[ACCES]), "path_open", ROOT, 0, "a/new", CREATE, WRITE, 0, 0, OUT);
    act!(row.row("make a directory", &[ACCES]), "path_create_directory", ROOT, "new");
    act!(row.row("make it where one is", &[EXIST]), "path_create_directory", ROOT, "a");
    act!(row.row("remove", &[BUSY]), "path_remove_directory", ROOT, "a");
    act!(row.row("rename", &[BUSY]), "path_rename", ROOT, "a", ROOT, "a/b/data/a");
    act!(row.row("rename the grant", &[BUSY]), "path_rename", ROOT, "a/b/data", ROOT, "a/b/data/dir/a");
    act!(row.row("set times", &[ACCES]), "path_filestat_set_times", ROOT, 0, "a", 1u64, 1u64, 5);
    act!(row.row("stat", &[OK]), "path_filestat_get", ROOT, 0, "a", OUT);
    table.check(grant(tree.path(), "/a/b/data", "rw"), 0);
}

#[test]
fn a_grant_inside_another_keeps_its_own_mode_and_its_place() {
    let (outer, inner) = (tree(), tree());
    let document = format!(
        r#"{{"dirs": [{{"host": {:?}, "at": "/data", "mode": "rw"}}, {{"host": {:?}, "at": "/data/x/in", "mode": "ro"}}]}}"#,
        outer.path(),
        inner.path()
    );
    let before = snapshot(inner.path());
    let mut table = Table::new();
    let row = &mut table;
    act!(row.row("write outside", &[OK]), "path_open", ROOT, FOLLOW, "data/file", 0, WRITE, 0, 0, OUT);
    act!(row.row("write inside", &[ROFS]), "path_open", ROOT, FOLLOW, "data/x/in/file", 0, WRITE, 0, 0, OUT);
    act!(row.row("by a detour", &[ROFS]), "path_open", ROOT, FOLLOW, "data/dir/../x/in/file", 0, WRITE, 0, 0, OUT);
    act!(row.row("move in", &[ROFS]), "path_rename", ROOT, "data/file", ROOT, "data/x/in/file");
    act!(row.row("move out", &[ROFS]), "path_rename", ROOT, "data/x/in/file", ROOT, "data/file");
    act!(row.row("a second name", &[ROFS]), "path_link", ROOT, 0, "data/x/in/file", ROOT, "data/name");
    act!(row.row("its place is taken", &[EXIST]), "path_create_directory", ROOT, "data/x/in");
    act!(row.row("rename its place", &[BUSY]), "path_rename", ROOT, "data/x/in", ROOT, "data/y");
    act!(row.row("rename what it hangs in", &[BUSY]), "path_rename", ROOT, "data/x", ROOT, "data/y");
    act!(row.row("rename onto what it hangs in", &[BUSY]), "path_rename", ROOT, "data/dir", ROOT, "data/x");
    act!(row.row("remove its place", &[BUSY]), "path_remove_directory", ROOT, "data/x/in");
    act!(row.row("link onto its place", &[EXIST]), "path_symlink", "file", ROOT, "data/x/in");
    table.check(policy(&document, Path::new("/")), 0);
    assert_eq!(before, snapshot(inner.path()));
}

#[test]
fn a_file_moves_between_two_writable_grants() {
    let (one, other) = (tree(), tree());
    let document = format!(
        r#"{{"dirs": [{{"host": {:?}, "at": "/one", "mode": "rw"}}, {{"host": {:?}, "at": "/other", "mode": "rw"}}]}}"#,
        one.path(),
        other.path()
    );
    let mut script = Script::new();
    act!(script, "path_link", ROOT, 0, "one/file", ROOT, "other/name");
    act!(script, "path_rename", ROOT, "one/dir", ROOT, "other/moved");
    let answer = script.run(&driver(policy(&document, Path::new("/"))));
    assert_eq!(vec![OK, OK], answer.errnos);
    assert_eq!("content", std::fs::read_to_string(other.path().join("name")).unwrap());
    assert!(other.path().join("moved/inner").exists());
}

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
