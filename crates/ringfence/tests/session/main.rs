//! Sessions of a pack whose language is one letter a turn (`crates/guests/letters.wat`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod attacks;
mod calls;
mod forks;
mod lives;
mod saved;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence::host::SessionFunctions;
use ringfence::load::{self, Program};
use ringfence::policy::LimitsPatch;
use ringfence::sandbox::files::Grants;
use ringfence::sandbox::stdio::Sink;
use ringfence::session::{Opening, Turn, TurnResult, TurnValue};
use ringfence::{Policy, Sandbox, Session};

/// Longest time that a turn may take after its deadline.
const LATE: Duration = Duration::from_millis(500);

fn sandbox(limits: &str) -> Sandbox {
    load::set_compiler(vec![env!("CARGO_BIN_EXE_ringfence-compiler").into()]);
    let program =
        Program::language_from_bytes(include_bytes!("../../../guests/letters.wat").as_slice(), "letters").unwrap();
    let policy = Policy::from_json(&format!(r#"{{"limits": {{{limits}}}}}"#), Path::new("/")).unwrap();
    let grants = Grants::open(&policy, &[]).unwrap();
    Sandbox::new(&program, policy, grants, None).unwrap()
}

fn session(limits: &str) -> Session {
    Session::open(&sandbox(limits), Opening::default()).unwrap()
}

fn with(functions: impl SessionFunctions + 'static, limits: &str) -> Session {
    let functions = Some(Arc::new(functions) as Arc<dyn SessionFunctions>);
    Session::open(&sandbox(limits), Opening { functions, ..Opening::default() }).unwrap()
}

fn turn<'a>(source: impl AsRef<[u8]>, limits: &str) -> Turn<'a> {
    Turn {
        source: source.as_ref().to_vec().into(),
        stdout: Sink::Capture(Vec::new()),
        stderr: Sink::Capture(Vec::new()),
        limits: LimitsPatch::from_json(&format!("{{{limits}}}")).unwrap(),
        cancelled: Arc::default(),
        tick: None,
    }
}

fn eval(session: &Session, source: impl AsRef<[u8]>) -> TurnResult {
    session.eval(turn(source, "")).unwrap()
}

/// A turn under limits of its own, and how long it took.
fn timed(session: &Session, source: impl AsRef<[u8]>, limits: &str) -> (TurnResult, Duration) {
    let started = Instant::now();
    let result = session.eval(turn(source, limits)).unwrap();
    (result, started.elapsed())
}

fn ended(result: &TurnResult) -> String {
    let poisoned = if result.poisoned { " poisoned" } else { "" };
    match result.limit {
        Some(limit) => format!("{} {limit}{poisoned}", result.outcome.name()),
        None => format!("{}{poisoned}", result.outcome.name()),
    }
}

/// How many turns a session says that it had.
fn turns(session: &Session) -> u8 {
    match eval(session, "c").value {
        Some(TurnValue::Encoded(value)) => value[1],
        other => panic!("{other:?}"),
    }
}
