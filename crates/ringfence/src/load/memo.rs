//! Code that this process has loaded already, for as long as somebody uses it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use wasmtime::Engine;

use crate::load::{Code, Program};
use crate::process_unsafe::PerProcess;
use crate::sandbox::engine::Profile;

type Key = (String, Profile);

struct Memo {
    loaded: HashMap<Key, (Weak<Code>, Engine)>,
    /// Size at which those that nobody uses any more are swept out.
    sweep_at: usize,
}

static MEMO: PerProcess<Mutex<Option<Memo>>> = PerProcess::new();

/// The code of that program under that profile, if somebody still has it.
pub(super) fn find(program: &Program, profile: Profile) -> Option<(Arc<Code>, Engine)> {
    let memo = MEMO.get().lock().unwrap_or_else(|broken| broken.into_inner());
    let (code, engine) = memo.as_ref()?.loaded.get(&(program.digest().to_owned(), profile))?;
    Some((code.upgrade()?, engine.clone()))
}

/// Remembers code without keeping it alive.
pub(super) fn remember(program: &Program, profile: Profile, code: &Arc<Code>, engine: &Engine) {
    let mut memo = MEMO.get().lock().unwrap_or_else(|broken| broken.into_inner());
    let memo = memo.get_or_insert_with(|| Memo { loaded: HashMap::new(), sweep_at: 64 });
    memo.loaded.insert((program.digest().to_owned(), profile), (Arc::downgrade(code), engine.clone()));
    if memo.loaded.len() >= memo.sweep_at {
        memo.loaded.retain(|_, (code, _)| code.strong_count() > 0);
        memo.sweep_at = (memo.loaded.len() * 2).max(64);
    }
}
