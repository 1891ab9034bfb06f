//! What a fallen worker tells of its private layers.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::policy::Policy;

/// Hears JSON of one layer over a directory with a file `old`, and one private file `0` that says `written`.
fn heard(nodes: &serde_json::Value, limits: Limits) -> (TempDir, std::result::Result<Changes, String>) {
    let host = tempfile::tempdir().unwrap();
    std::fs::write(host.path().join("old"), "old").unwrap();
    let policy = format!(r#"{{"dirs": [{{"host": {:?}, "at": "/data", "mode": "overlay"}}]}}"#, host.path());
    let grants = Grants::open(&Policy::from_json(&policy, Path::new("/")).unwrap(), &[]).unwrap();
    let theirs = tempfile::tempdir().unwrap();
    std::fs::write(theirs.path().join("0"), "written").unwrap();
    std::os::unix::fs::symlink(host.path().join("old"), theirs.path().join("1")).unwrap();
    let mut told = std::fs::File::create(theirs.path().join("told")).unwrap();
    told.write_all(json!([{ "nodes": nodes }]).to_string().as_bytes()).unwrap();
    let dir = OwnedFd::from(std::fs::File::open(theirs.path()).unwrap());
    (host, Changes::hear(&grants, dir, &limits, Control::of_nobody()))
}

fn dir(names: &serde_json::Value) -> serde_json::Value {
    json!({ "dir": { "lower": "", "names": names } })
}

fn file(number: u64) -> serde_json::Value {
    json!({ "file": { "lower": null, "copy": number, "copied": null } })
}

fn name(name: &str, node: usize) -> serde_json::Value {
    json!({ "name": name, "node": node, "host": null })
}

#[test]
fn an_honest_tree_is_believed_and_its_bytes_are_ours() {
    let (host, changes) = heard(&json!([dir(&json!([name("new", 1)])), file(0)]), Limits::default());
    let changes = changes.unwrap();
    assert_eq!(b"written".to_vec(), changes.read("/data/new").unwrap());
    assert_eq!(1, changes.apply(None, false).unwrap());
    assert_eq!("written", std::fs::read_to_string(host.path().join("new")).unwrap());
}

#[test]
fn a_tree_that_no_guest_could_have_made_is_not_believed() {
    let inner = |lower: &str| json!({ "dir": { "lower": lower, "names": [] } });
    let shown = |lower: &str| json!({ "file": { "lower": lower, "copy": null, "copied": null } });
    let above = |node: serde_json::Value| json!([dir(&json!([name("x", 1)])), node]);
    let lies = [
        ("a name that is none", json!([dir(&json!([name("../x", 1)])), file(0)])),
        ("a name that is none", json!([dir(&json!([name("", 1)])), file(0)])),
        ("a name that is none", json!([dir(&json!([name("..", 1)])), file(0)])),
        ("a name that is none", json!([dir(&json!([name(&"x".repeat(256), 1)])), file(0)])),
        ("a name twice", json!([dir(&json!([name("x", 1), name("x", 1)])), file(0)])),
        ("hangs in itself", json!([dir(&json!([name("x", 0)]))])),
        ("hangs in itself", json!([dir(&json!([name("x", 9)]))])),
        ("in two places", json!([dir(&json!([name("x", 1), name("y", 1)])), inner("z")])),
        ("a path that climbs", above(inner("../outside"))),
        ("a path that climbs", above(inner("/etc"))),
        ("a path that climbs", above(shown("a/../../etc/passwd"))),
        ("no bytes", above(json!({ "file": { "lower": null, "copy": null, "copied": null } }))),
        ("cannot be read", above(file(1))),
        ("cannot be read", above(file(7))),
        ("its top is something else", json!([file(0)])),
        ("its top is something else", json!([])),
        ("cannot be understood", above(json!({ "file": { "copy": "../../etc/passwd" } }))),
    ];
    for (why, lie) in lies {
        let (host, changes) = heard(&lie, Limits::default());
        let said = changes.err().unwrap_or_default();
        assert!(said.contains(why), "{said:?} of {lie}");
        assert_eq!(1, std::fs::read_dir(host.path()).unwrap().count());
    }
}

#[test]
fn more_than_the_run_was_allowed_is_not_taken() {
    let limits = Limits { disk: crate::policy::Bytes(6), ..Limits::default() };
    let (_host, changes) = heard(&json!([dir(&json!([name("new", 1)])), file(0)]), limits);
    assert!(changes.unwrap_err().contains("longer than the run's limit"));
    let limits = Limits { host_bytes: crate::policy::Bytes(1000), ..Limits::default() };
    let many: Vec<_> = (0..4).map(|number| name(&number.to_string(), 1)).collect();
    let (_host, changes) = heard(&json!([dir(&json!(many)), file(0)]), limits);
    assert!(changes.unwrap_err().contains("more names than"));
}
