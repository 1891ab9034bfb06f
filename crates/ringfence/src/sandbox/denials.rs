//! What a guest was refused: counted, escaped and bounded.

use std::time::{Duration, Instant};

use crate::policy::OnDenied;
use crate::text;

/// Most different refusals that are kept apart; a guest can invent names without end.
pub const MAX_DENIALS: usize = 100;

/// Something the guest asked for and was not granted.
#[derive(Clone, Debug, PartialEq)]
pub struct Denial {
    /// `read`, `write`, `resolve`, `connect`, `listen`, `http`, `open_files`, `connections`, `disk`,
    /// `files` or `memory`.
    pub kind: &'static str,
    /// What it asked for, escaped and cut.
    pub what: String,
    /// How often.
    pub count: u64,
    /// When first, since the run started.
    pub first: Duration,
}

/// Every kind there is; a worker's parent knows no other.
const KINDS: [&str; 11] =
    ["read", "write", "resolve", "connect", "listen", "http", "open_files", "connections", "disk", "files", "memory"];

impl Denial {
    /// The kind of that name.
    pub(crate) fn known_kind(name: &str) -> Option<&'static str> {
        KINDS.into_iter().find(|kind| *kind == name)
    }
}

/// The refusals of one run.
#[derive(Debug)]
pub struct Denials {
    seen: Vec<Denial>,
    started: Instant,
    on_denied: OnDenied,
    stopped: bool,
}

impl Denials {
    /// An empty list; times count from `started`.
    pub fn new(started: Instant, on_denied: OnDenied) -> Self {
        Self { seen: Vec::new(), started, on_denied, stopped: false }
    }

    /// Notes a refusal that the policy decided.
    pub fn note(&mut self, kind: &'static str, what: &str) {
        self.stopped |= self.on_denied == OnDenied::Stop;
        self.count(kind, what, 1, self.started.elapsed());
    }

    /// Notes a limit that made the host say no; it never ends the run by itself.
    pub fn note_limit(&mut self, kind: &'static str, what: &str) {
        self.count(kind, what, 1, self.started.elapsed());
    }

    /// Notes what was refused earlier, so many times, the first time at `first`.
    pub fn note_past(&mut self, kind: &'static str, what: &str, count: u64, first: Instant) {
        self.count(kind, what, count, first.saturating_duration_since(self.started));
    }

    fn count(&mut self, kind: &'static str, what: &str, count: u64, first: Duration) {
        let what = text::quote(what);
        if let Some(denial) = self.seen.iter_mut().find(|denial| denial.kind == kind && denial.what == what) {
            denial.count = denial.count.saturating_add(count);
        } else if self.seen.len() < MAX_DENIALS {
            self.seen.push(Denial { kind, what, count, first });
        } else if let Some(last) = self.seen.last_mut() {
            last.kind = "read";
            last.what = "(more than are kept apart)".into();
            last.count = last.count.saturating_add(count);
        }
    }

    /// Whether the policy ends the run for what was refused.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// All of them, the first first.
    pub fn take(&mut self) -> Vec<Denial> {
        self.seen.sort_by_key(|denial| denial.first);
        std::mem::take(&mut self.seen)
    }
}
