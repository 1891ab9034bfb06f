//! Workers that have fallen and are to hand over a session: their parent looks into nothing, and another worker that is given
//! what they wrote refuses it.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use ringfence::sandbox::files::Grants;
use ringfence::session::heard::AROUND;
use ringfence::session::{Forking, Opening, Saving, Snapshot, SnapshotKey};
use ringfence::worker::{self, Isolation};
use ringfence::{Error, HostFunctions, Policy, Program, Sandbox, Session};

use serde_json::{Value, json};

use crate::hostile::answer;
use crate::mapped_unsafe::hold;
use crate::{GRACE, Workers, until};

/// What a worker of that name does when it is asked to write its session to a file.
pub fn misbehave(name: &str, number: u64, file: &OwnedFd, house: &Path, parent: &mut UnixStream) {
    let written = |parent: &mut UnixStream, length: u64| {
        answer(parent, number, &format!(r#"{{"caught": {{"written": {length}}}}}"#), b"");
    };
    let forge = |parent: &mut UnixStream, bytes: &[u8]| {
        assert_eq!(Ok(bytes.len()), rustix::io::pwrite(file, bytes, 0));
        written(parent, bytes.len() as u64);
    };
    let with_head = |parent: &mut UnixStream, head: &str, rest: &[u8]| {
        forge(parent, &[&(head.len() as u32).to_le_bytes()[..], head.as_bytes(), rest].concat());
    };
    match name {
        "captures nothing" => written(parent, 0),
        "captures zeros" => written(parent, 1 << 20),
        "captures a head of four gigabytes" => forge(parent, &[0xff; 64]),
        "captures no JSON" => forge(parent, b"\x04\0\0\0nope"),
        "captures a huge memory" => with_head(parent, &head(u64::MAX, "[]"), b""),
        "captures another program" => with_head(parent, &head(65536, "[]"), b""),
        "captures a placeholder that is none" => with_head(parent, &head(65536, "[\"password\"]"), b""),
        "captures what is told" => forge(parent, &std::fs::read(house.join("told")).unwrap()),
        "captures more than there is" => written(parent, u64::MAX),
        "captures what it holds" => {
            hold(file);
            written(parent, 16);
        }
        "captures a larger file" => {
            let tried = [rustix::fs::ftruncate(file, 1 << 40), rustix::fs::ftruncate(file, 0)];
            let told = if tried.iter().all(Result::is_err) { "it cannot be" } else { "it can be" };
            answer(parent, number, &format!(r#"{{"caught": {{"not": ["{told}", "\u001b[2J"]}}}}"#), b"");
        }
        "captures and writes on" => {
            written(parent, 1 << 16);
            until("it is sealed", || rustix::io::pwrite(file, b"x", 0).is_err());
            std::fs::write(house.join("sealed"), "").unwrap();
        }
        "captures and tells of its end" => {
            answer(parent, number, r#"{"caught": {"gone": "\u001b[2Jwhy"}}"#, b"");
        }
        "captures as a turn" => answer(parent, number, r#"{"opened": {"hears": true}}"#, b""),
        "captures another question" => answer(parent, number + 1, r#"{"caught": {"written": 16}}"#, b""),
        "captures in silence" => {}
        "captures and dies" => std::process::exit(3),
        other => panic!("{other}"),
    }
}

fn head(memory: u64, placeholders: &str) -> String {
    format!(
        r#"{{"memory_bytes": {memory}, "secrets": [], "kept": {{"image": "00", "globals": [], "word": null,
            "words": [null, null], "buffer": 0, "placeholders": {placeholders}}}}}"#
    )
}

fn session(name: &str) -> (Session, Workers) {
    let workers = Workers::fallen(name);
    (Session::open(&sandbox(None), Opening::default()).unwrap(), workers)
}

fn sandbox(tenant: Option<&str>) -> Sandbox {
    sandbox_of(include_bytes!("../../../guests/letters.wat"), tenant)
}

fn sandbox_of(letters: &[u8], tenant: Option<&str>) -> Sandbox {
    let program = Program::language_from_bytes(letters, "letters").unwrap();
    let policy = Policy::from_json(r#"{"limits": {"wall": 0.5, "memory": "1MiB"}}"#, Path::new("/")).unwrap();
    let (grants, none) = (Grants::open(&policy, &[]).unwrap(), HostFunctions::default());
    let tenant = tenant.map(str::to_owned);
    Sandbox::isolated(&program, policy, grants, none, None, Isolation::Process, tenant).unwrap()
}

/// Saves it, and gives the bytes of the file; why not, where it is refused.
fn saved(snapshot: &Snapshot) -> ringfence::Result<Vec<u8>> {
    let (folder, key) = (tempfile::tempdir().unwrap(), SnapshotKey::given(&[7; 32]).unwrap());
    let path = folder.path().join("one");
    let saved = snapshot.save(&path, &Saving { key: &key, language: "letters", pack: "letters", note: "" });
    assert_eq!(usize::from(saved.is_ok()), folder.path().read_dir().unwrap().count(), "nothing else is left");
    saved.map(|()| std::fs::read(path).unwrap())
}

fn snapshot(session: &Session) -> ringfence::Result<Snapshot> {
    session.snapshot(Forking::default())
}

/// What fallen workers hand over that nobody can go on from.
pub const FORGED: [&str; 7] = [
    "captures nothing",
    "captures zeros",
    "captures a head of four gigabytes",
    "captures no JSON",
    "captures a huge memory",
    "captures another program",
    "captures a placeholder that is none",
];

/// How fallen workers hand over what their parent cannot keep safe.
pub const NOT_KEPT: [&str; 7] = [
    "captures more than there is",
    "captures what it holds",
    "captures and tells of its end",
    "captures as a turn",
    "captures another question",
    "captures in silence",
    "captures and dies",
];

#[test]
fn attack_a_capture_that_is_forged_is_refused_by_whoever_is_to_go_on_from_it() {
    for name in FORGED {
        let (session, _workers) = session(name);
        let snapshot = snapshot(&session).unwrap();
        // From here on workers are as they should be; what the fallen one wrote is there without it.
        worker::close();
        worker::set_worker(vec![env!("CARGO_BIN_EXE_ringfence-worker").into()]);
        let refused = saved(&snapshot).unwrap_err();
        assert!(matches!(&refused, Error::Session(_)), "{name}: {refused}");
        let refused = snapshot.fork(1, Forking::default()).unwrap_err();
        assert!(matches!(&refused, Error::Policy(parts) if parts.what.starts_with("no fork")), "{name}: {refused}");
        let _honest = Session::open(&sandbox(None), Opening::default()).unwrap();
        assert!(snapshot.fork(1, Forking::default()).is_err(), "{name}");
    }
}

#[test]
fn attack_what_a_fallen_worker_made_up_is_saved_only_where_any_guest_could_be_so() {
    // As an honest worker would tell it: what a file of the same program holds.
    let letters = include_str!("../../../guests/letters.wat");
    let hook = "(func (export \"_start\")) (func (export \"rf_fork\") (param i32) (result i32) (i32.const 2304))";
    let program = letters.replacen("(func (export \"_start\"))", hook, 1);
    let honest = {
        let _workers = Workers::of(env!("CARGO_BIN_EXE_ringfence-worker"), &[], "honest");
        let session = Session::open(&sandbox_of(program.as_bytes(), None), Opening::default()).unwrap();
        saved(&snapshot(&session).unwrap()).unwrap()
    };
    let text = u32::from_le_bytes(honest[24..28].try_into().unwrap()) as usize;
    let (told, body) = honest[AROUND.0..honest.len() - AROUND.1].split_at(text);
    let told: Value = serde_json::from_slice(told).unwrap();
    let head = json!({"memory_bytes": told["memory_bytes"], "secrets": [], "kept": told["kept"]});
    let secret = json!([{"name": "KEY", "env": "KEY", "origin": "https://example.com"}]);
    let placeholder = json!(["ringfence-placeholder-00112233445566778899aabbccddeeff"]);
    let lies: [(&str, Value, &[u8]); 11] = [
        ("", json!(null), body),
        ("/memory_bytes", json!(65536 + 4096), body),
        ("/memory_bytes", json!(u64::MAX), body),
        ("/secrets", secret, body),
        ("/kept/placeholders", placeholder, body),
        ("/kept/image", json!("00"), body),
        ("/kept/globals", json!([]), body),
        ("/kept/globals", json!([["memory", "i64", "0"]]), body),
        ("", json!(null), &[0; 8]),
        ("", json!(null), &body[..body.len() - 1]),
        ("", json!(null), &[0xff; 4096]),
    ];
    let workers = Workers::fallen("captures what is told");
    for (at, (place, lie, body)) in lies.into_iter().enumerate() {
        let mut head = head.clone();
        if !place.is_empty() {
            *head.pointer_mut(place).unwrap() = lie.clone();
        }
        let head = head.to_string();
        let told = [&(head.len() as u32).to_le_bytes()[..], head.as_bytes(), body].concat();
        std::fs::write(workers.path().join("told"), told).unwrap();
        let session = Session::open(&sandbox_of(program.as_bytes(), None), Opening::default()).unwrap();
        match saved(&snapshot(&session).unwrap()) {
            Ok(file) => assert_eq!((0, honest.len()), (at, file.len()), "{place}: {lie}"),
            Err(refused) => assert!(at > 0 && refused.code() == "session", "{at} {place}: {lie}: {refused}"),
        }
    }
}

#[test]
fn attack_a_capture_that_its_parent_could_not_keep_safe_is_none_and_the_session_is_over() {
    for name in NOT_KEPT {
        let (session, _workers) = session(name);
        let began = Instant::now();
        let refused = match snapshot(&session) {
            Err(refused) => refused.to_string(),
            Ok(_) => panic!("{name}: it is believed"),
        };
        assert!(began.elapsed() < Duration::from_millis(800) + GRACE, "{name}: {:?}", began.elapsed());
        assert!(refused.contains("restart()") && !refused.contains('\u{1b}'), "{name}: {refused}");
        assert!(session.poisoned().is_some(), "{name}");
    }
}

#[test]
fn attack_a_worker_can_make_the_file_neither_larger_nor_smaller() {
    let (session, _workers) = session("captures a larger file");
    let refused = snapshot(&session).unwrap_err();
    assert!(refused.parts().why == "it cannot be" && !refused.to_string().contains('\u{1b}'), "{refused}");
    assert_eq!(None, session.poisoned());
}

#[test]
fn attack_a_worker_cannot_change_what_it_has_handed_over() {
    let (session, workers) = session("captures and writes on");
    let _snapshot = snapshot(&session).unwrap();
    until("its writes are refused", || workers.path().join("sealed").exists());
}

#[test]
fn attack_a_session_of_one_tenant_does_not_go_on_in_a_worker_of_another() {
    let (session, _workers) = session("captures zeros");
    let snapshot = snapshot(&session).unwrap();
    let other = sandbox(Some("other"));
    for allow_wider in [false, true] {
        let forking = Forking { under: Some(&other), allow_wider, ..Forking::default() };
        let refused = snapshot.fork(1, forking).unwrap_err().to_string();
        assert!(refused.contains("tenant"), "{refused}");
    }
}
