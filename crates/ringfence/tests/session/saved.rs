//! Snapshots in files: what is loaded is what was saved, and whoever has the key and lies gets no further than a guest.

use ringfence::session::heard::{AROUND, sealed};
use ringfence::session::{Forking, SavedSnapshot, Saving, Snapshot, SnapshotKey};
use serde_json::{Value, json};

use super::forks::{forkable_elsewhere, forkable_sandbox};
use super::*;

fn key() -> SnapshotKey {
    SnapshotKey::given(&[7; 32]).unwrap()
}

/// A session that had a turn, as a file.
fn saved(sandbox: &Sandbox) -> Vec<u8> {
    let session = Session::open(sandbox, Opening::default()).unwrap();
    assert_eq!(1, turns(&session));
    file_of(&session.snapshot(Forking::default()).unwrap())
}

fn file_of(snapshot: &Snapshot) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one");
    snapshot.save(&path, &Saving { key: &key(), language: "letters", pack: "Letters 1", note: "noted" }).unwrap();
    std::fs::read(path).unwrap()
}

fn load(bytes: Vec<u8>, sandbox: &Sandbox) -> ringfence::Result<Snapshot> {
    SavedSnapshot::from_bytes(bytes, "a file", &key())?.open(sandbox, None, false)
}

/// The same file with something else told of it, by somebody who has the key.
fn forged(file: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let text = u32::from_le_bytes(file[24..28].try_into().unwrap()) as usize;
    let (told, body) = file[AROUND.0..file.len() - AROUND.1].split_at(text);
    let mut told: Value = serde_json::from_slice(told).unwrap();
    change(&mut told);
    sealed(told.to_string().as_bytes(), body, &key()).unwrap()
}

#[test]
fn what_is_loaded_goes_on_and_is_saved_again_here_and_in_workers() {
    let (here, elsewhere) = (forkable_sandbox("(i32.const 2304)", ""), forkable_elsewhere("(i32.const 2304)", ""));
    let mut file = saved(&elsewhere);
    for (turn, sandbox) in (2..).zip([&here, &elsewhere, &elsewhere, &here]) {
        let snapshot = load(file, sandbox).unwrap();
        let child = snapshot.fork(1, Forking::default()).unwrap().remove(0);
        assert_eq!(turn, turns(&child));
        file = file_of(&child.snapshot(Forking::default()).unwrap());
        // The word that tells a copy of itself is told anew each time.
        assert_eq!(turn, turns(&snapshot.fork(1, Forking::default()).unwrap().remove(0)));
    }
}

#[test]
fn file_tells_of_itself_what_it_was_told() {
    let sandbox = forkable_sandbox("(i32.const 2304)", "");
    let read = SavedSnapshot::from_bytes(saved(&sandbox), "a file", &key()).unwrap();
    let facts = read.facts();
    assert_eq!(("letters", "Letters 1", "noted"), (&*facts.language, &*facts.pack, &*facts.note));
    assert_eq!(*sandbox.policy(), Policy::from_json(&facts.policy, Path::new("/")).unwrap());
    assert!(facts.memory_bytes >= 65536 && facts.saved > 1_700_000_000);
}

#[test]
fn pages_that_equal_the_programs_own_are_not_in_it() {
    let sandbox = forkable_sandbox("(i32.const 2304)", "");
    let file = saved(&sandbox);
    assert!(file.len() < 4096, "{} bytes for a page or two", file.len());
}

#[test]
fn program_has_to_be_the_same() {
    let file = saved(&forkable_sandbox("(i32.const 2304)", ""));
    let refused = load(file, &forkable_sandbox("(i32.const 2308)", "")).unwrap_err();
    assert_eq!("snapshot-mismatch", refused.code());
    assert!(refused.to_string().contains("Letters 1"), "{refused}");
}

#[test]
fn attack_a_holder_of_the_key_that_lies_is_refused() {
    let sandbox = forkable_sandbox("(i32.const 2304)", "");
    let file = saved(&sandbox);
    let placeholder = "ringfence-placeholder-00112233445566778899aabbccddeeff";
    let lies: [(&str, Value); 14] = [
        ("/memory_bytes", json!(0)),
        ("/memory_bytes", json!(65535)),
        ("/memory_bytes", json!(65536 + 4096)),
        ("/memory_bytes", json!(1_u64 << 32)),
        ("/memory_bytes", json!(u64::MAX)),
        ("/program", json!("00")),
        ("/policy", json!("{}}")),
        ("/policy", json!(r#"{"nothing": 1}"#)),
        ("/kept/image", json!("00")),
        ("/kept/globals", json!([])),
        ("/kept/globals", json!([["__rf_global_0", "i32", "ffffffffff"]])),
        ("/kept/globals", json!([["memory", "i64", "0"]])),
        ("/kept/placeholders", json!(["e"])),
        ("/kept/placeholders", json!([placeholder, placeholder])),
    ];
    for sandbox in [&sandbox, &forkable_elsewhere("(i32.const 2304)", "")] {
        for (place, lie) in &lies {
            let refused = load(forged(&file, |told| *told.pointer_mut(place).unwrap() = lie.clone()), sandbox);
            assert!(refused.is_err(), "{place}: {lie}");
        }
    }
    let unknown = forged(&file, |told| told["more"] = json!(1));
    assert!(load(unknown, &sandbox).unwrap_err().to_string().contains("not understood"));
}

#[test]
fn attack_addresses_that_lead_nowhere_are_those_of_any_guest() {
    let sandbox = forkable_sandbox("(i32.const 2304)", "");
    let (file, elsewhere) = (saved(&sandbox), forkable_elsewhere("(i32.const 2304)", ""));
    let words = json!([{"store": u32::MAX, "value": 1, "set": u32::MAX - 3, "bits": 1}, {"store": 1, "value": 1, "set": 2, "bits": 3}]);
    for (place, lie) in [
        ("/kept/word", json!([u32::MAX, 2])),
        ("/kept/word", json!([131_070, 2])),
        ("/kept/buffer", json!(u32::MAX)),
        ("/kept/buffer", json!(131_071)),
        ("/kept/words", words),
    ] {
        for sandbox in [&sandbox, &elsewhere] {
            let lying = forged(&file, |told| *told.pointer_mut(place).unwrap() = lie.clone());
            // It is no fork, or it ends as a guest does; the next one is as it was saved.
            if let Ok(mut children) = load(lying, sandbox).unwrap().fork(1, Forking::default()) {
                let _ = children.remove(0).eval(turn("i", r#""wall": "300ms""#));
            }
            let honest = load(file.clone(), sandbox).unwrap();
            assert_eq!(2, turns(&honest.fork(1, Forking::default()).unwrap().remove(0)), "{place}: {lie}");
        }
    }
}

#[test]
fn attack_a_wider_policy_is_refused_unless_it_is_asked_for() {
    let file = saved(&forkable_sandbox("(i32.const 2304)", r#""wall": "5s""#));
    let wide = forkable_sandbox("(i32.const 2304)", r#""wall": "6s""#);
    let refused = load(file.clone(), &wide).unwrap_err();
    assert!(refused.code() == "policy" && refused.to_string().contains("`limits.wall`"), "{refused}");
    let read = SavedSnapshot::from_bytes(file.clone(), "a file", &key()).unwrap();
    assert!(read.open(&wide, None, true).is_ok());
    let narrow = forkable_sandbox("(i32.const 2304)", r#""wall": "4s""#);
    assert_eq!(2, turns(&load(file, &narrow).unwrap().fork(1, Forking::default()).unwrap().remove(0)));
}

#[test]
fn attack_memory_beyond_the_limit_is_refused_before_it_is_unpacked() {
    let file = saved(&forkable_sandbox("(i32.const 2304)", ""));
    let bomb = forged(&file, |told| told["memory_bytes"] = json!(1_u64 << 31));
    let small = forkable_sandbox("(i32.const 2304)", r#""memory": "1MiB""#);
    let refused = load(bomb, &small).unwrap_err().to_string();
    assert!(refused.contains("limit `memory`"), "{refused}");
}
