//! What a parent asks of a child, what that answers, and how far an answer is believed.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::frame::Caps;
use super::plugins::{Callback, Gave, Invoke, Plug, Settled, Touch, Touched};
use super::turns::{Answered, Ask, Capture, Caught, Eval, Open, Opened, Turned};
use crate::error::{Error, Parts};
use crate::host::{Signature, Value};
use crate::plugin::Extism;
use crate::policy::{Limits, Mode};
use crate::result::{Outcome, RunResult, Usage};
use crate::sandbox::denials::{Denial, MAX_DENIALS};
use crate::sandbox::files::Index;
use crate::sandbox::stop::Limit;
use crate::text::{self, MAX_CHARS, cut};

/// Most metadata that a child takes of its parent, in bytes: a policy, or arguments and variables.
pub(super) const MAX_REQUEST_BYTES: u32 = 64 << 20;

/// Most metadata that a parent takes of a child, in bytes: a hundred refusals of two hundred escaped characters.
pub(super) const MAX_ANSWER_BYTES: u32 = 1 << 20;

/// Most characters of a text that was cut to [`MAX_CHARS`], all of them escaped (`\u{10ffff}`), and that says how much
/// is missing.
const SHOWN_CHARS: usize = 10 * MAX_CHARS + 40;

/// Most lines of a backtrace, and most characters of each.
const MAX_LINES: usize = 40;
const LINE_CHARS: usize = SHOWN_CHARS + 20;

/// What a parent takes of a child that has no output to give.
pub(super) const ANSWER: Caps = Caps { metadata: MAX_ANSWER_BYTES, tail: 0, descriptors: 0 };

/// What a parent asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Request {
    /// Be bound to a policy, for good.
    Bind(Bind),
    /// Load compiled code.
    Load(Load),
    /// Run what was loaded.
    Run(Box<Run>),
    /// End the run of this number.
    Cancel,
    /// Go on in the run of this number: a function has come back.
    Returned(Returned),
    /// Open a session of what was loaded.
    Open(Open),
    /// Run a turn in it.
    Eval(Eval),
    /// Write what the session is to a file.
    Capture(Capture),
    /// Ask the guest of the turn of this number to end.
    Interrupt,
    /// Go on in the turn of this number: a function has come back, and the tail is its answer.
    Answered(Answered),
    /// Make an instance of a plugin that was loaded.
    Plug(Plug),
    /// Call a function of it.
    Invoke(Invoke),
    /// Go on in the call of this number: a function has come back.
    Settled(Settled),
    /// Read or write a memory of it: between two calls, or inside of the call of this number.
    Touch(Touch),
}

/// A policy; its directories and files come as descriptors, in the order of `grants`, then the worker's home, and last
/// the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bind {
    /// The policy's JSON, without the host's paths and the values of variables.
    pub(super) policy: String,
    pub(super) grants: Vec<Grant>,
    /// Whether there is a home, for `/tmp` and private layers.
    pub(super) home: bool,
    /// See `Grants`.
    pub(super) has_kernel_tree_below: bool,
    /// Whether the wall goes up.
    pub(super) wall: bool,
    /// Whether what it loads are language packs.
    pub(super) language: bool,
    /// Whether what it loads is made to be captured.
    pub(super) captured: bool,
    /// Where certificate authorities are read from, as bytes: a file and a directory. None is no need of any.
    pub(super) authorities: Option<[Option<Vec<u8>>; 2]>,
    /// Whether engines have pools: making one costs more than a single run saves.
    pub(super) pooled: bool,
    /// How much of each stream the journal has room for.
    pub(super) journal: u64,
}

/// One directory or file, hung into the guest's tree.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Grant {
    pub(super) at: String,
    pub(super) mode: Mode,
    /// The names of a tree in memory, whose bytes the descriptor has.
    pub(super) tree: Option<Index>,
}

/// Compiled code, which comes as one descriptor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Load {
    /// What to call it from now on.
    pub(super) program: u32,
    /// The one that it takes the place of.
    pub(super) forget: Option<u32>,
    /// `module` or `component`.
    pub(super) kind: String,
    pub(super) argv0: String,
    /// `NAME=value`, as the parent resolved them.
    pub(super) env: Vec<String>,
    /// The functions of the parent that it may call: all that a child is ever told of them.
    pub(super) functions: Vec<Function>,
    /// Of what is no program that runs, but a plugin.
    pub(super) plugin: Option<AsPlugin>,
    /// What a sandbox begins with that goes on from a capture, whose file comes after the code.
    pub(super) after: Option<After>,
}

/// Where the runs of a program begin.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    /// The export that every run calls.
    pub(super) entry: String,
    /// How much of the file there is.
    pub(super) length: u64,
}

/// What a plugin is linked with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AsPlugin {
    /// Which of the functions that it imports nobody gave, in their order; none where it is given none.
    pub(super) stubs: Option<Vec<bool>>,
    /// What one for Extism is granted.
    pub(super) extism: Option<Extism>,
}

/// The name of one function. Equal names are called alike, whatever the parent does then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Function {
    pub(super) module: String,
    pub(super) name: String,
}

/// One run. Descriptors come in the order of the fields.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Run {
    pub(super) program: u32,
    pub(super) args: Vec<String>,
    pub(super) input: From,
    /// The source text of a language, after the input, and its length in bytes.
    pub(super) source: Option<(From, u64)>,
    pub(super) stdout: To,
    pub(super) stderr: To,
    /// Whether a directory for `/tmp` comes too.
    pub(super) tmp: bool,
    /// Whether a directory for private layers comes too.
    pub(super) layers: bool,
    /// The export that is called instead, and captured where it returns.
    pub(super) until: Option<String>,
    pub(super) limits: Limits,
    /// The values of the policy's secrets, in their order; what is not set is missing.
    pub(super) secrets: Vec<Option<String>>,
}

/// Where input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum From {
    /// The frame's tail.
    Tail,
    /// A descriptor.
    Descriptor,
}

/// Where output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum To {
    /// Into the answer's tail.
    Capture,
    /// Nowhere.
    Discard,
    /// A descriptor.
    Descriptor,
}

/// What a child answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Answer {
    /// It has started. The parent's build and its must be one: they speak one protocol and map one kind of code.
    Ready(Ready),
    /// The wall is up.
    Bound,
    /// The code is mapped and linked.
    Loaded,
    /// The guest calls a function of the parent, and waits.
    Call(Call),
    /// The run is over; the tail is standard output, then standard error.
    Ended(Box<Ended>),
    /// There is a session.
    Opened(Opened),
    /// The session was written to the file, or not.
    Caught(Caught),
    /// Its guest calls a function of the parent by name, and waits.
    Ask(Ask),
    /// The turn is over.
    Turned(Box<Turned>),
    /// There is an instance of the plugin.
    Plugged,
    /// Its guest calls a function of the parent, and waits.
    Callback(Callback),
    /// A function of it gave something.
    Gave(Gave),
    /// A memory of it was read or written.
    Touched(Touched),
    /// It could not.
    Failed(Failed),
}

/// A guest's call of a function of the parent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    /// Its place among those that were loaded.
    pub(super) function: u32,
    pub(super) params: Vec<Number>,
    /// What the guest has used up to here.
    pub(super) cpu_nanos: u64,
    pub(super) memory_bytes: u64,
}

/// What came of a call.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Returned {
    /// None where the function broke, which ends the guest. Why is not told: that is for the caller of the run.
    pub(super) values: Option<Vec<Number>>,
    /// Processor time that functions have used in this run.
    pub(super) cpu_nanos: u64,
}

/// A number that crosses; floats as their bits.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub(super) enum Number {
    I32(i32),
    I64(i64),
    F32(u32),
    F64(u64),
}

impl std::convert::From<Value> for Number {
    fn from(value: Value) -> Self {
        match value {
            Value::I32(value) => Self::I32(value),
            Value::I64(value) => Self::I64(value),
            Value::F32(bits) => Self::F32(bits),
            Value::F64(bits) => Self::F64(bits),
        }
    }
}

impl std::convert::From<Number> for Value {
    fn from(number: Number) -> Self {
        match number {
            Number::I32(value) => Self::I32(value),
            Number::I64(value) => Self::I64(value),
            Number::F32(bits) => Self::F32(bits),
            Number::F64(bits) => Self::F64(bits),
        }
    }
}

impl Call {
    /// Which function is called with what, if there is one that can be called so.
    pub(super) fn of(&self, signatures: &[Signature]) -> Result<(usize, Vec<Value>), String> {
        let function = usize::try_from(self.function).unwrap_or(usize::MAX);
        let signature = signatures.get(function).ok_or("it called a function that it was not given")?;
        let params: Vec<Value> = self.params.iter().map(|number| (*number).into()).collect();
        if !params.iter().map(|param| param.kind()).eq(signature.params.iter().copied()) {
            return Err("it called a function with what that does not take".into());
        }
        Ok((function, params))
    }
}

/// What a child says first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ready {
    pub(super) build: String,
}

/// What parent and child must agree on before they talk.
pub(super) fn build() -> String {
    format!("ringfence {} wasmtime {}", env!("CARGO_PKG_VERSION"), crate::doctor::WASMTIME)
}

/// The three parts of an error.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failed {
    code: String,
    what: String,
    why: String,
    fix: String,
}

impl Failed {
    pub(super) fn of(error: &Error) -> Self {
        let Parts { what, why, fix } = error.parts().clone();
        Self { code: error.code().to_owned(), what, why, fix }
    }

    /// The error, of no kind that a child has no business with.
    pub(super) fn into_error(self) -> Result<Error, String> {
        let [what, why, fix] = [self.what, self.why, self.fix].map(|text| cut(&text, 600));
        let parts = Parts { what, why, fix };
        match self.code.as_str() {
            "policy" => Ok(Error::Policy(parts)),
            "load" => Ok(Error::Load(parts)),
            "host" => Ok(Error::Host(parts)),
            "plugin" => Ok(Error::Plugin(parts)),
            code => Err(format!("it failed with `{}`, which is no error of a worker", text::quote(code))),
        }
    }
}

/// How a run ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ended {
    outcome: String,
    exit_code: Option<u32>,
    limit: Option<String>,
    trap: Option<String>,
    backtrace: Option<String>,
    truncated: bool,
    stdout_bytes: u64,
    wall_nanos: u64,
    cpu_nanos: u64,
    memory_bytes: u64,
    output_bytes: u64,
    fuel: Option<u64>,
    denials: Vec<Refused>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    kind: String,
    what: String,
    count: u64,
    first_nanos: u64,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Ended {
    pub(super) fn of(result: &RunResult) -> Self {
        let denials = result.denials.iter().map(|denial| Refused {
            kind: denial.kind.to_owned(),
            what: denial.what.clone(),
            count: denial.count,
            first_nanos: nanos(denial.first),
        });
        Self {
            outcome: result.outcome.name().to_owned(),
            exit_code: result.exit_code,
            limit: result.limit.map(str::to_owned),
            trap: result.trap.clone(),
            backtrace: result.backtrace.clone(),
            truncated: result.truncated,
            stdout_bytes: result.stdout.len() as u64,
            wall_nanos: nanos(result.usage.wall),
            cpu_nanos: nanos(result.usage.cpu),
            memory_bytes: result.usage.memory,
            output_bytes: result.usage.output,
            fuel: result.usage.fuel,
            denials: denials.collect(),
        }
    }

    /// The result that this claims, with what cannot be refused: a fallen child may lie about its guest, and about
    /// nothing else.
    pub(super) fn into_result(self, tail: Vec<u8>, limits: &Limits, elapsed: Duration) -> Result<RunResult, String> {
        let outcome = Outcome::from_name(&self.outcome).ok_or("it ended in an unknown way")?;
        let limit = match self.limit.as_deref() {
            Some(name) => Some(Limit::from_name(name).ok_or("it reached an unknown limit")?.name()),
            None => None,
        };
        if limit.is_some() != (outcome == Outcome::Limited) || (outcome == Outcome::Exited && self.exit_code.is_none())
        {
            return Err("its outcome contradicts itself".into());
        }
        let mut stdout = tail;
        let written = stdout.len() as u64;
        if self.stdout_bytes > written || written > self.output_bytes || self.output_bytes > limits.output.0 {
            return Err("its output contradicts itself".into());
        }
        let stderr = stdout.split_off(usize::try_from(self.stdout_bytes).unwrap_or(usize::MAX).min(stdout.len()));
        // A few more than are kept apart: limits come last.
        if self.denials.len() > MAX_DENIALS + 10 {
            return Err("it was refused more things than are counted".into());
        }
        let denials: Result<Vec<Denial>, String> = self.denials.into_iter().map(Refused::into_denial).collect();
        let time = |nanos: u64| Duration::from_nanos(nanos).min(elapsed);
        Ok(RunResult {
            outcome,
            exit_code: self.exit_code,
            limit,
            trap: self.trap.map(|trap| cut(&trap, SHOWN_CHARS)),
            backtrace: self.backtrace.map(|lines| escape_lines(&lines)),
            stdout,
            stderr,
            truncated: self.truncated,
            usage: Usage {
                wall: time(self.wall_nanos),
                cpu: Duration::from_nanos(self.cpu_nanos),
                memory: self.memory_bytes,
                output: self.output_bytes,
                fuel: self.fuel,
            },
            denials: denials?,
            changes: None,
            host_calls: 0,
            raised: None,
            abandoned: None,
        })
    }
}

impl Refused {
    fn into_denial(self) -> Result<Denial, String> {
        let kind = Denial::known_kind(&self.kind).ok_or("it was refused something of an unknown kind")?;
        let first = Duration::from_nanos(self.first_nanos);
        Ok(Denial { kind, what: cut(&self.what, SHOWN_CHARS), count: self.count, first })
    }
}

/// A backtrace escaped line by line.
fn escape_lines(text: &str) -> String {
    text.lines().take(MAX_LINES).map(|line| cut(line, LINE_CHARS)).collect::<Vec<_>>().join("\n")
}

/// Metadata as bytes; it is ours and always can be.
pub(super) fn write<T: Serialize>(message: &T) -> Result<Vec<u8>, String> {
    serde_json::to_vec(message).map_err(|error| error.to_string())
}

/// Metadata read, or why it is none.
pub(super) fn read<T: DeserializeOwned>(metadata: &[u8]) -> Result<T, String> {
    serde_json::from_slice(metadata).map_err(|error| text::quote(&error.to_string()))
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
