//! What a guest was refused: counted, escaped and bounded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::policy::OnDenied;
use crate::text;

/// Most different refusals that are kept apart; a guest can invent names without end.
pub const MAX_DENIALS: usize = 100;

/// Something the guest asked for and was not granted.
#[derive(Clone, Debug, PartialEq)]
pub struct Denial {
    /// `read`, `write`, `resolve`, `connect`, `listen`, `http`, `open_files`, `connections`, `disk`,
    /// `files`, `path` or `memory`.
    pub kind: &'static str,
    /// What it asked for, escaped and cut.
    pub what: String,
    /// How often.
    pub count: u64,
    /// When first, since the run started.
    pub first: Duration,
}

/// Every kind there is; a worker's parent knows no other.
const KINDS: [&str; 12] = [
    "read",
    "write",
    "resolve",
    "connect",
    "listen",
    "http",
    "open_files",
    "connections",
    "disk",
    "files",
    "path",
    "memory",
];

impl Denial {
    /// The kind of that name.
    pub(crate) fn known_kind(name: &str) -> Option<&'static str> {
        KINDS.into_iter().find(|kind| *kind == name)
    }
}

/// The refusals of one run: one list behind every handle to it, as files, sockets and requests all add to it.
#[derive(Clone, Debug)]
pub struct Denials(Arc<Mutex<List>>);

#[derive(Debug)]
struct List {
    seen: Vec<Denial>,
    started: Instant,
    on_denied: OnDenied,
    stopped: bool,
}

impl Denials {
    /// An empty list; times count from `started`.
    pub fn new(started: Instant, on_denied: OnDenied) -> Self {
        Self(Arc::new(Mutex::new(List { seen: Vec::new(), started, on_denied, stopped: false })))
    }

    /// Notes a refusal that the policy decided.
    pub fn note(&self, kind: &'static str, what: &str) {
        let mut list = self.list();
        list.stopped |= list.on_denied == OnDenied::Stop;
        list.count(kind, what);
    }

    /// Notes a limit that made the host say no; it never ends the run by itself.
    pub fn note_limit(&self, kind: &'static str, what: &str) {
        self.list().count(kind, what);
    }

    /// Whether the policy ends the run for what was refused.
    pub fn stopped(&self) -> bool {
        self.list().stopped
    }

    /// All of them, the first first.
    pub fn take(&self) -> Vec<Denial> {
        std::mem::take(&mut self.list().seen)
    }

    fn list(&self) -> MutexGuard<'_, List> {
        // Nothing that holds the lock leaves the list half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    fn count(&mut self, kind: &'static str, what: &str) {
        let what = text::quote(what);
        if let Some(denial) = self.seen.iter_mut().find(|denial| denial.kind == kind && denial.what == what) {
            denial.count = denial.count.saturating_add(1);
        } else if self.seen.len() < MAX_DENIALS {
            self.seen.push(Denial { kind, what, count: 1, first: self.started.elapsed() });
        } else if let Some(last) = self.seen.last_mut() {
            last.what = "(more than are kept apart)".into();
            last.count = last.count.saturating_add(1);
        }
    }
}
