//! Files under WASI 0.1: what each call answers where reading, writing, one file or nothing is granted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod driver;

use std::path::Path;

use driver::table::{Table, tree};
use driver::*;

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
fn the_same_calls_are_done_in_a_private_layer_and_the_host_stays_as_it_was() {
    for table in [changes(), changes_of_a_reader()] {
        let tree = tree();
        let before = snapshot(tree.path());
        table.check(grant(tree.path(), "/data", "overlay"), 1);
        assert_eq!(before, snapshot(tree.path()));
    }
}

#[test]
fn a_grant_at_the_root_answers_like_one_below() {
    for mode in ["rw", "overlay"] {
        root_answers_like_one_below(mode);
    }
}

fn root_answers_like_one_below(mode: &str) {
    let tree = tree();
    let mut script = Script::new();
    script.open("file").print(FIRST, 16).open("link").open("dir/inner").open("dir/../file");
    act!(script, "path_open", ROOT, FOLLOW, "../file", 0, READ, 0, 0, OUT);
    act!(script, "path_open", ROOT, FOLLOW, "dir/../../file", 0, READ, 0, 0, OUT);
    act!(script, "path_create_directory", ROOT, "dir");
    act!(script, "path_remove_directory", ROOT, ".");
    let answer = script.run(&driver(grant(tree.path(), "/", mode)));
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
    table.check(grant(&tree.path().join("file"), "/etc/conf", "overlay"), 1);
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
    table.check(grant(tree.path(), "/a/b/data", "overlay"), 0);
}

#[test]
fn a_grant_inside_another_keeps_its_own_mode_and_its_place() {
    for mode in ["rw", "overlay"] {
        grant_inside_another(mode);
    }
}

fn grant_inside_another(mode: &str) {
    let (outer, inner) = (tree(), tree());
    let document = format!(
        r#"{{"dirs": [{{"host": {:?}, "at": "/data", "mode": "{mode}"}}, {{"host": {:?}, "at": "/data/x/in", "mode": "ro"}}]}}"#,
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
