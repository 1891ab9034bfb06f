//! What came of a turn.

use crate::host::Raised;
use crate::language::value::{Item, Reader};
use crate::result::{Outcome, RunResult, Usage};
use crate::sandbox::denials::Denial;

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnOutcome {
    /// It came to its end.
    Returned,
    /// With an error that nothing caught.
    Raised,
    /// As a run may end.
    Ended(Outcome),
}

impl TurnOutcome {
    /// The word in the result.
    pub fn name(self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::Raised => "raised",
            Self::Ended(outcome) => outcome.name(),
        }
    }
}

/// The value of a last expression.
#[derive(Clone, Debug, PartialEq)]
pub enum TurnValue {
    /// In the encoding of the guest ABI, which was checked.
    Encoded(Vec<u8>),
    /// As the language prints it.
    Text(String),
}

/// An error that nothing caught, in the guest's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TurnError {
    pub name: String,
    pub message: String,
    pub traceback: String,
}

impl TurnError {
    /// From the encoded map that a pack gives, or from whatever text it gave instead.
    pub(super) fn read(bytes: &[u8]) -> Self {
        if let Some(told) = Self::decode(bytes) {
            return told;
        }
        let traceback = String::from_utf8_lossy(bytes).into_owned();
        let last = traceback.trim_end().lines().last().unwrap_or_default();
        let (name, message) = last.split_once(": ").unwrap_or((last, ""));
        Self { name: name.into(), message: message.into(), traceback: traceback.clone() }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let Item::Map(count) = reader.item().ok()? else { return None };
        let mut told = Self::default();
        for _ in 0..count {
            let (Item::Text(key), Item::Text(text)) = (reader.item().ok()?, reader.item().ok()?) else { return None };
            match key {
                "type" => told.name = text.into(),
                "message" => told.message = text.into(),
                "traceback" => told.traceback = text.into(),
                _ => {}
            }
        }
        Some(told)
    }
}

/// What came of a turn.
#[derive(Clone, Debug)]
pub struct TurnResult {
    /// How it ended.
    pub outcome: TurnOutcome,
    /// The value of its last expression, where it has one.
    pub value: Option<TurnValue>,
    /// The error that nothing caught.
    pub error: Option<TurnError>,
    /// Where it exited.
    pub exit_code: Option<u32>,
    /// The limit that was reached; the guest may have heard of it and gone on to its end.
    pub limit: Option<&'static str>,
    /// What trapped, or what broke; escaped and cut.
    pub trap: Option<String>,
    /// Where it trapped; escaped and cut.
    pub backtrace: Option<String>,
    /// What was captured of standard output.
    pub stdout: Vec<u8>,
    /// What was captured of standard error.
    pub stderr: Vec<u8>,
    /// Output past the limit was dropped.
    pub truncated: bool,
    /// What was used up in this turn; memory is the most that the session ever had.
    pub usage: Usage,
    /// Calls of functions of the host.
    pub calls: u64,
    /// Time inside them.
    pub calls_took: std::time::Duration,
    /// What was refused.
    pub denials: Vec<Denial>,
    /// The function that broke and so ended the turn.
    pub raised: Option<Raised>,
    /// The function that was still at work when the turn had to end, and was left to itself.
    pub abandoned: Option<String>,
    /// No further turn can run.
    pub poisoned: bool,
}

/// What only a turn has to tell, beside what a run has too.
pub(crate) struct Said {
    /// How it ended where a run cannot end so: as `Returned` or `Raised`.
    pub(crate) outcome: Option<TurnOutcome>,
    /// A limit that it heard of and went on from.
    pub(crate) heard: Option<&'static str>,
    pub(crate) value: Option<TurnValue>,
    pub(crate) error: Option<TurnError>,
    pub(crate) poisoned: bool,
}

impl TurnResult {
    /// The turn as a run, and what is left of it then.
    pub(crate) fn apart(self) -> (RunResult, Said) {
        let (outcome, exit_code, said) = match self.outcome {
            TurnOutcome::Ended(outcome) => (outcome, self.exit_code, None),
            said => (Outcome::Exited, Some(0), Some(said)),
        };
        let (limit, heard) = if outcome == Outcome::Limited { (self.limit, None) } else { (None, self.limit) };
        let run = RunResult {
            outcome,
            exit_code,
            limit,
            trap: self.trap,
            backtrace: self.backtrace,
            stdout: self.stdout,
            stderr: self.stderr,
            truncated: self.truncated,
            usage: self.usage,
            denials: self.denials,
            changes: None,
            host_calls: self.calls,
            raised: self.raised,
            abandoned: self.abandoned,
        };
        (run, Said { outcome: said, heard, value: self.value, error: self.error, poisoned: self.poisoned })
    }

    /// The turn that is made of both.
    pub(crate) fn of(run: RunResult, said: Said) -> Self {
        Self {
            outcome: said.outcome.unwrap_or(TurnOutcome::Ended(run.outcome)),
            value: said.value,
            error: said.error,
            exit_code: run.exit_code.filter(|_| said.outcome.is_none()),
            limit: run.limit.or(said.heard),
            trap: run.trap,
            backtrace: run.backtrace,
            stdout: run.stdout,
            stderr: run.stderr,
            truncated: run.truncated,
            usage: run.usage,
            calls: run.host_calls,
            calls_took: std::time::Duration::ZERO,
            denials: run.denials,
            raised: run.raised,
            abandoned: run.abandoned,
            poisoned: said.poisoned,
        }
    }

    /// A turn of which no more is known than of a run that was lost.
    pub(crate) fn lost(run: RunResult) -> Self {
        Self::of(run, Said { outcome: None, heard: None, value: None, error: None, poisoned: true })
    }

    /// Why the session cannot go on.
    pub(super) fn why(&self) -> String {
        match (self.outcome, self.limit, &self.trap) {
            (_, Some(limit), _) => format!("its last turn was stopped at the limit `{limit}`"),
            (_, _, Some(trap)) => format!("its last turn trapped: {trap}"),
            (TurnOutcome::Ended(Outcome::Exited), _, _) => "its last turn ended the interpreter".into(),
            (outcome, _, _) => format!("its last turn was {}", outcome.name()),
        }
    }
}
