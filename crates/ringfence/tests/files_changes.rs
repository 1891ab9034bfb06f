//! What a run changed in a private layer: what is listed, what applying writes, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod driver;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use driver::table::tree;
use driver::*;
use ringfence::sandbox::files::Changes;

/// Writes text over a file, or makes it.
fn write(script: &mut Script, path: &str, text: &str) {
    let at = script.bytes(text.as_bytes());
    let vector = script.vector(at, u32::try_from(text.len()).unwrap());
    act!(script, "path_open", ROOT, FOLLOW, path, CREATE | TRUNCATE, READ | WRITE, 0, 0, OUT);
    act!(script, "fd_write", FIRST, vector, 1, OUT);
    act!(script, "fd_close", FIRST);
}

fn changes(script: &Script, host: &Path) -> Arc<Changes> {
    let answer = script.run(&driver(grant(host, "/data", "overlay")));
    assert_eq!("exited", answer.ended());
    assert!(answer.errnos.iter().all(|errno| *errno == OK), "{:?}", answer.errnos);
    answer.result.changes.unwrap()
}

fn told(changes: &Changes) -> Vec<String> {
    let list = changes.list().unwrap();
    list.iter().map(|change| format!("{} {}", change.act.name(), change.path)).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Names in a directory that are ours.
fn left_behind(path: &Path) -> usize {
    let names = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with(".ringfence")).count()
}

#[test]
fn what_is_different_is_listed_and_what_was_only_touched_is_not() {
    let tree = tree();
    let mut script = Script::new();
    write(&mut script, "data/new", "new");
    write(&mut script, "data/file", "content");
    write(&mut script, "data/dir/inner", "other");
    act!(script, "path_unlink_file", ROOT, "data/link");
    act!(script, "path_rename", ROOT, "data/empty", ROOT, "data/full");
    write(&mut script, "data/gone", "x");
    act!(script, "path_unlink_file", ROOT, "data/gone");
    act!(script, "path_filestat_set_times", ROOT, FOLLOW, "data/file", 1u64, 2u64, 5);
    let changes = changes(&script, tree.path());
    let expected = [
        "modified /data/dir/inner",
        "deleted /data/empty",
        "added /data/full",
        "deleted /data/link",
        "added /data/new",
    ];
    assert_eq!(expected.map(str::to_owned).to_vec(), told(&changes));
    assert_eq!((b"other".to_vec(), b"inner".to_vec()), {
        (changes.read("/data/dir/inner").unwrap(), changes.read_before("/data/dir/inner").unwrap())
    });
    assert_eq!(5, changes.apply(None, false).unwrap());
    assert_eq!("other", read(&tree.path().join("dir/inner")));
    assert!(tree.path().join("full").is_dir() && !tree.path().join("empty").exists());
    assert!(tree.path().join("link").symlink_metadata().is_err());
    assert_eq!(0, left_behind(tree.path()) + left_behind(&tree.path().join("dir")));
    assert_eq!(0, changes.apply(None, false).unwrap(), "what is applied is not applied again");
}

#[test]
fn a_moved_directory_is_gone_there_and_new_here_with_all_in_it() {
    let tree = tree();
    let mut script = Script::new();
    act!(script, "path_rename", ROOT, "data/dir", ROOT, "data/moved");
    let changes = changes(&script, tree.path());
    let expected = ["deleted /data/dir", "deleted /data/dir/inner", "added /data/moved", "added /data/moved/inner"];
    assert_eq!(expected.map(str::to_owned).to_vec(), told(&changes));
    changes.apply(None, false).unwrap();
    assert_eq!("inner", read(&tree.path().join("moved/inner")));
    assert!(!tree.path().join("dir").exists());
}

#[test]
fn applying_keeps_permissions_and_gives_no_new_power() {
    let tree = tree();
    std::fs::set_permissions(tree.path().join("file"), std::fs::Permissions::from_mode(0o4754)).unwrap();
    let mut script = Script::new();
    write(&mut script, "data/file", "changed");
    write(&mut script, "data/new", "new");
    changes(&script, tree.path()).apply(None, false).unwrap();
    let mode = |name: &str| tree.path().join(name).metadata().unwrap().mode() & 0o7777;
    assert_eq!(0o754, mode("file"));
    assert_eq!(0, mode("new") & 0o7111);
}

#[test]
fn what_the_host_changed_meanwhile_is_a_conflict_and_nothing_is_written() {
    for spoil in [
        (|path| std::fs::write(path.join("file"), "by another").unwrap()) as fn(&Path),
        |path| std::fs::remove_file(path.join("file")).unwrap(),
        |path| std::fs::write(path.join("new"), "taken").unwrap(),
        |path| std::fs::write(path.join("empty/more"), "more").unwrap(),
        |path| {
            std::fs::rename(path.join("dir"), path.join("away")).unwrap();
            symlink("away", path.join("dir")).unwrap();
        },
    ] {
        let tree = tree();
        let mut script = Script::new();
        write(&mut script, "data/dir/inner", "other");
        write(&mut script, "data/file", "changed");
        write(&mut script, "data/new", "new");
        act!(script, "path_remove_directory", ROOT, "data/empty");
        let changes = changes(&script, tree.path());
        changes.list().unwrap();
        spoil(tree.path());
        let error = changes.apply(None, false).unwrap_err();
        assert_eq!("conflict", error.code(), "{error}");
        let inner = tree.path().join("dir/inner");
        assert_eq!("inner", read(&inner), "nothing is written");
        assert_eq!(0, left_behind(tree.path()));
    }
}

#[test]
fn applying_follows_no_link_that_was_put_in_the_way() {
    let (tree, outside) = (tree(), tempfile::tempdir().unwrap());
    std::fs::write(outside.path().join("inner"), "inner").unwrap();
    let mut script = Script::new();
    write(&mut script, "data/dir/inner", "other");
    write(&mut script, "data/dir/new", "new");
    let changes = changes(&script, tree.path());
    std::fs::remove_dir_all(tree.path().join("dir")).unwrap();
    symlink(outside.path(), tree.path().join("dir")).unwrap();
    for overwrite in [false, true] {
        assert!(changes.apply(None, overwrite).is_err());
        assert_eq!("inner", read(&outside.path().join("inner")));
        assert_eq!(1, std::fs::read_dir(outside.path()).unwrap().count());
    }
}

#[test]
fn a_link_that_would_lead_out_on_the_host_is_not_applied() {
    for target in ["../secret", "dir/../../secret", "dir/.."] {
        let tree = tree();
        let mut script = Script::new();
        act!(script, "path_symlink", target, ROOT, "data/planted");
        write(&mut script, "data/new", "new");
        let changes = changes(&script, tree.path());
        assert!(changes.apply(None, true).unwrap_err().to_string().contains("lead out"), "{target}");
        assert!(tree.path().join("planted").symlink_metadata().is_err());
        assert_eq!(1, changes.apply(Some(&["/data/new".into()]), false).unwrap());
    }
}

#[test]
fn the_host_swapped_under_an_overlay_leads_nowhere() {
    let (tree, outside) = (tree(), tempfile::tempdir().unwrap());
    std::fs::write(outside.path().join("inner"), "the secret of the host").unwrap();
    let sandbox = driver(grant(tree.path(), "/data", "overlay"));
    let mut script = Script::new();
    act!(script, "path_open", ROOT, FOLLOW, "data/dir", DIRECTORY, READ, 0, 0, OUT);
    wait(&mut script, 300_000_000);
    act!(script, "path_open", FIRST, FOLLOW, "inner", 0, READ, 0, 0, OUT);
    act!(script, "path_open", ROOT, FOLLOW, "data/dir/inner", 0, READ, 0, 0, OUT);
    act!(script, "path_filestat_get", FIRST, FOLLOW, "inner", OUT);
    script.print(FIRST + 1, 32);
    let mut run = run(ringfence::sandbox::stdio::Source::Bytes(script.image().into()), &sandbox);
    let mut swapped = false;
    let mut tick = || {
        if !swapped {
            std::fs::rename(tree.path().join("dir"), outside.path().join("away")).unwrap();
            symlink(outside.path(), tree.path().join("dir")).unwrap();
            swapped = true;
        }
        true
    };
    run.tick = Some(&mut tick);
    let result = sandbox.run(run).unwrap();
    assert!(swapped);
    let errnos: Vec<u32> =
        result.stdout.chunks_exact(4).map(|errno| u32::from_le_bytes(errno.try_into().unwrap())).collect();
    assert!(errnos[2..5].iter().all(|errno| *errno != OK), "{errnos:?}");
    assert!(!String::from_utf8_lossy(&result.stderr).contains("secret"));
}

#[test]
fn a_tree_deeper_than_any_stack_is_made_and_taken_down() {
    let tree = tree();
    let mut script = Script::new();
    act!(script, "path_open", ROOT, FOLLOW, "data", DIRECTORY, READ, 0, 0, OUT);
    for _ in 0..250 {
        act!(script, "path_create_directory", FIRST, "d");
        act!(script, "path_open", FIRST, FOLLOW, "d", DIRECTORY, READ, 0, 0, OUT);
        act!(script, "fd_renumber", FIRST + 1, FIRST);
    }
    let changes = changes(&script, tree.path());
    assert_eq!(250, changes.apply(None, false).unwrap());
}

#[test]
fn a_layer_is_under_the_totals_of_disk_and_names() {
    const NOSPC: u32 = 51;
    let tree = tree();
    let mut policy = grant(tree.path(), "/data", "overlay");
    (policy.limits.disk, policy.limits.files) = (ringfence::policy::Bytes(10), 2);
    let mut script = Script::new();
    let text = script.bytes(b"0123456789ab");
    let vector = script.vector(text, 12);
    script.create("data/new");
    act!(script, "fd_write", FIRST, vector, 1, OUT); // Short: 10 of 12.
    act!(script, "fd_write", FIRST, vector, 1, OUT);
    act!(script, "path_open", ROOT, FOLLOW, "data/file", 0, READ | WRITE, 0, 0, OUT);
    act!(script, "fd_write", FIRST + 1, vector, 1, OUT); // Its copy has no room.
    act!(script, "path_create_directory", ROOT, "data/a");
    act!(script, "path_create_directory", ROOT, "data/b");
    act!(script, "path_unlink_file", ROOT, "data/new");
    act!(script, "fd_close", FIRST);
    act!(script, "fd_write", FIRST + 1, vector, 1, OUT);
    act!(script, "path_create_directory", ROOT, "data/b");
    let answer = script.run(&driver(policy));
    assert_eq!(vec![OK, OK, NOSPC, OK, NOSPC, OK, NOSPC, OK, OK, OK, OK], answer.errnos);
    assert_eq!(vec!["disk /data/new", "disk /data/file", "files /data/b"], answer.denied());
}
