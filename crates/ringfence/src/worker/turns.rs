//! What a parent asks of a session in a worker, what that answers, and how far an answer is believed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::protocol::{Ended, From, To};
use crate::language::value::cost;
use crate::policy::Limits;
use crate::result::Outcome;
use crate::sandbox::stop::Limit;
use crate::session::{Said, TurnError, TurnOutcome, TurnResult, TurnValue};

/// Longest text of an error in all its parts, in bytes: 1 MiB that no text is made of, three times.
const MAX_ERROR_BYTES: u64 = 9 << 20;

const TOO_LONG: &str = "its value is too long";

/// Most bytes of what a child says of a turn under these limits.
pub(super) fn most_tail(limits: &Limits) -> u64 {
    let room = limits.host_bytes.0.saturating_mul(3);
    limits.output.0.saturating_add(room).saturating_add(MAX_ERROR_BYTES)
}

/// The session of a worker. Descriptors come in the order of the fields.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Open {
    pub(super) program: u32,
    /// What the language is called.
    pub(super) name: String,
    /// What is told to a guest that asks for the functions of the parent, and its length; none where it has none.
    pub(super) functions: Option<(From, u64)>,
    /// Whether a directory for `/tmp` comes too.
    pub(super) tmp: bool,
    /// Whether a directory for private layers comes too.
    pub(super) layers: bool,
    /// The values of the policy's secrets, in their order; what is not set is missing.
    pub(super) secrets: Vec<Option<String>>,
    /// How much of a file there is that another worker wrote of a session, where this one goes on from there; it comes
    /// last.
    pub(super) copy: Option<u64>,
}

/// What to write of the session, and to a file that has so much room.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Capture {
    pub(super) room: u64,
}

/// What came of that.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Caught {
    /// So much of the file was written.
    Written(u64),
    /// It cannot be captured, and goes on: why, and the fix.
    Not(String, String),
    /// It is gone, and why.
    Gone(String),
}

/// There is one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Opened {
    /// Whether its guest hears of its end before it comes.
    pub(super) hears: bool,
}

/// One turn. Descriptors come in the order of the fields.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Eval {
    /// The source text, and its length in bytes.
    pub(super) source: (From, u64),
    pub(super) stdout: To,
    pub(super) stderr: To,
    pub(super) limits: Limits,
    /// When it is over whatever the guest hears, from its beginning.
    pub(super) ends_nanos: u64,
}

/// What a guest asks of the functions of its session: the tail is the message of the guest ABI, whole.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    /// What the guest has used up to here.
    pub(super) cpu_nanos: u64,
    pub(super) memory_bytes: u64,
}

/// What came of such a call.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answered {
    pub(super) answer: Reply,
    /// Processor time that functions have used in this turn.
    pub(super) cpu_nanos: u64,
}

/// Where the answer is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Reply {
    /// Here, and so long.
    Given(From, u64),
    /// The message is refused as things stand, or its answer is too long, by a number of the guest ABI.
    Refused(i64),
    /// The function broke, which ends the guest. Why is not told: that is for the caller of the turn.
    Broke,
}

/// How a turn ended: as a run does, and what only a turn has. The tail is that of `Ended`, then the value, then the
/// three texts of the error.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Turned {
    ended: Ended,
    /// `returned` or `raised`, which no run is.
    outcome: Option<String>,
    /// A limit that the guest heard of and went on from.
    heard: Option<String>,
    value: Option<Valued>,
    /// Lengths of its texts in bytes.
    error: Option<[u64; 3]>,
    poisoned: bool,
}

/// A value in the encoding of the guest ABI, or as text, and its length in bytes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Valued {
    Encoded(u64),
    Text(u64),
}

impl Turned {
    /// What to answer, and the two parts of its tail that no run has.
    pub(super) fn of(result: TurnResult) -> (Self, [Vec<u8>; 2]) {
        let (run, said) = result.apart();
        let ended = Ended::of(&run);
        let (value, bytes) = match said.value {
            None => (None, Vec::new()),
            Some(TurnValue::Encoded(bytes)) => (Some(Valued::Encoded(bytes.len() as u64)), bytes),
            Some(TurnValue::Text(text)) => (Some(Valued::Text(text.len() as u64)), text.into_bytes()),
        };
        let texts = said.error.map(|error| [error.name, error.message, error.traceback]);
        let error = texts.as_ref().map(|texts| texts.each_ref().map(|text| text.len() as u64));
        let turned = Self {
            ended,
            outcome: said.outcome.map(|outcome| outcome.name().to_owned()),
            heard: said.heard.map(str::to_owned),
            value,
            error,
            poisoned: said.poisoned,
        };
        let streams = [run.stdout, run.stderr].concat();
        (turned, [streams, [bytes, texts.map(|texts| texts.concat()).unwrap_or_default().into_bytes()].concat()])
    }

    /// The turn that this claims, with what cannot be refused: a fallen child may lie about its guest, and about
    /// nothing else.
    pub(super) fn into_result(
        self,
        mut tail: Vec<u8>,
        limits: &Limits,
        elapsed: Duration,
    ) -> Result<TurnResult, String> {
        let error = match self.error {
            None => None,
            Some(lengths) => {
                if lengths.iter().fold(0, |sum: u64, length| sum.saturating_add(*length)) > MAX_ERROR_BYTES {
                    return Err("its error is too long".into());
                }
                let mut text =
                    |length| String::from_utf8(last(&mut tail, length)?).map_err(|_| "its error is no text".to_owned());
                let [name, message, traceback] = lengths;
                let traceback = text(traceback)?;
                let message = text(message)?;
                Some(TurnError { name: text(name)?, message, traceback })
            }
        };
        let room = limits.host_bytes.0;
        let value = match self.value {
            None => None,
            // What is no text takes three times its length as text.
            Some(Valued::Encoded(length)) if length > room => return Err(TOO_LONG.into()),
            Some(Valued::Text(length)) if length > room.saturating_mul(3) => return Err(TOO_LONG.into()),
            Some(Valued::Encoded(length)) => {
                let bytes = last(&mut tail, length)?;
                if cost(&bytes).is_ok_and(|cost| cost <= room) {
                    Some(TurnValue::Encoded(bytes))
                } else {
                    return Err("its value is none".into());
                }
            }
            Some(Valued::Text(length)) => Some(TurnValue::Text(
                String::from_utf8(last(&mut tail, length)?).map_err(|_| "its value is no text".to_owned())?,
            )),
        };
        let outcome = match self.outcome.as_deref() {
            None => None,
            Some("returned") => Some(TurnOutcome::Returned),
            Some("raised") => Some(TurnOutcome::Raised),
            Some(_) => return Err("it ended in an unknown way".into()),
        };
        let heard = match self.heard.as_deref() {
            None => None,
            Some(name) => Some(Limit::from_name(name).ok_or("it heard of an unknown limit")?.name()),
        };
        let run = self.ended.into_result(tail, limits, elapsed)?;
        // A guest that goes on has come to an end of its own.
        let possible = match (outcome, run.outcome, self.poisoned) {
            (Some(TurnOutcome::Returned), Outcome::Exited, false) => error.is_none(),
            (Some(TurnOutcome::Raised), Outcome::Exited, false) => error.is_some() && value.is_none(),
            (None, Outcome::Limited | Outcome::Cancelled, false) => error.is_some() && value.is_none(),
            (None, Outcome::Exited, false) | (None, _, true) => error.is_none() && value.is_none(),
            _ => false,
        };
        if !possible {
            return Err("its outcome contradicts itself".into());
        }
        Ok(TurnResult::of(run, Said { outcome, heard, value, error, poisoned: self.poisoned }))
    }
}

/// The last so many bytes, taken off.
fn last(tail: &mut Vec<u8>, length: u64) -> Result<Vec<u8>, String> {
    let at = usize::try_from(length).ok().and_then(|length| tail.len().checked_sub(length));
    Ok(tail.split_off(at.ok_or("its answer is shorter than it says")?))
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
