//! Functions of the host that a guest may import: what they are, whoever implements them.
//!
//! Nothing here knows the language they are written in, nor the thread they are called on.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// A number that crosses. Floats are bits, so that the payload of a NaN survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Value {
    I32(i32),
    I64(i64),
    F32(u32),
    F64(u64),
}

impl Value {
    /// Its type.
    pub fn kind(self) -> ValueType {
        match self {
            Self::I32(_) => ValueType::I32,
            Self::I64(_) => ValueType::I64,
            Self::F32(_) => ValueType::F32,
            Self::F64(_) => ValueType::F64,
        }
    }
}

/// The type of a [`Value`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ValueType {
    I32,
    I64,
    F32,
    F64,
}

impl ValueType {
    /// The word of the text format.
    pub fn name(self) -> &'static str {
        match self {
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }
}

/// What a guest's import takes and gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Signature {
    pub params: Vec<ValueType>,
    pub results: Vec<ValueType>,
}

/// Why a host function broke: told where the run ended, with whatever the implementation wants back there.
#[derive(Clone)]
pub struct Raised {
    /// In words.
    pub why: String,
    /// The implementation's own: an exception object, say.
    pub payload: Option<Arc<dyn Any + Send + Sync>>,
}

impl Raised {
    /// One that is only words.
    pub fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), payload: None }
    }
}

impl fmt::Debug for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raised").field("why", &self.why).finish_non_exhaustive()
    }
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Raised {}

/// The implementation of a host function. It may block: then it is abandoned when the run is over.
pub trait HostCall: Send + Sync {
    /// Whether it can be called so; asked once, when a program is linked. The error says why not.
    fn accepts(&self, _signature: &Signature) -> Result<(), String> {
        Ok(())
    }

    /// One call, on the guest's thread, outside the guest's stack. What it returns is checked against `results`.
    fn call(&self, params: &[Value], results: &[ValueType]) -> Result<Vec<Value>, Raised>;
}

impl<F: Fn(&[Value]) -> Result<Vec<Value>, Raised> + Send + Sync> HostCall for F {
    fn call(&self, params: &[Value], _results: &[ValueType]) -> Result<Vec<Value>, Raised> {
        self(params)
    }
}

/// One function under the name a guest imports it by.
#[derive(Clone)]
pub struct HostFunction {
    /// The module of the import.
    pub module: String,
    /// Its name.
    pub name: String,
    /// What it does.
    pub call: Arc<dyn HostCall>,
}

impl HostFunction {
    /// A function for the import of that name.
    pub fn new(module: impl Into<String>, name: impl Into<String>, call: impl HostCall + 'static) -> Self {
        Self { module: module.into(), name: name.into(), call: Arc::new(call) }
    }

    /// Calls it; what panics or gives other numbers than these has broken.
    pub(crate) fn answer(&self, params: &[Value], results: &[ValueType]) -> Result<Vec<Value>, Raised> {
        match catch_unwind(AssertUnwindSafe(|| self.call.call(params, results))) {
            Ok(Ok(values)) if values.iter().map(|value| value.kind()).eq(results.iter().copied()) => Ok(values),
            Ok(Ok(_)) => Err(Raised::new(format!("`{}` returned what its import does not give", self.title()))),
            Ok(Err(raised)) => Err(raised),
            Err(_) => Err(Raised::new(format!("`{}` panicked", self.title()))),
        }
    }

    /// `env.add`, for people.
    pub fn title(&self) -> String {
        crate::text::quote(&format!("{}.{}", self.module, self.name))
    }
}

/// Asked on a caller's thread, which knows what the functions inherit, for what surrounds its run.
pub type Around = dyn Fn() -> Surrounding + Send + Sync;

/// What surrounds a run on its thread: it must call what it is given, once.
pub type Surrounding = Box<dyn FnOnce(&mut (dyn FnMut() + Send)) + Send>;

/// All host functions of a sandbox.
#[derive(Clone, Default)]
pub struct HostFunctions {
    /// In any order; no name twice.
    pub functions: Arc<[HostFunction]>,
    /// For each run, so that an implementation can prepare its thread once and not at every call.
    pub around: Option<Arc<Around>>,
}

/// The functions of a session, whoever implements them. Values cross in the encoding of the guest ABI, and what comes
/// from the guest was checked to be in it.
pub trait SessionFunctions: Send + Sync {
    /// The answer to a guest that asks what there is: a list of names, signatures and docs.
    fn list(&self) -> Vec<u8>;

    /// One call with a list of arguments and a map of named ones, behind each other; on the guest's thread, outside
    /// the guest's stack. The answer is what the guest gets, errors that it may catch included; an error of ours ends
    /// the turn.
    fn call(&self, name: &str, arguments: &[u8]) -> Result<Vec<u8>, Raised>;

    /// Begins a call that may go on while the guest does: its answer where it ended at once, else `wait` gives it
    /// under this number. Whoever implements no such calls makes it at once.
    fn begin(&self, _number: u64, name: &str, arguments: &[u8]) -> Result<Option<Vec<u8>>, Raised> {
        self.call(name, arguments).map(Some)
    }

    /// Waits until a call that was begun has ended, and no longer than this: answers with their numbers, each once.
    fn wait(&self, _longest: Duration) -> Result<Vec<(u64, Vec<u8>)>, Raised> {
        Ok(Vec::new())
    }

    /// Ends a call that was begun: nobody waits for its answer.
    fn cancel(&self, _number: u64) {}

    /// What surrounds a turn of this caller's on its thread.
    fn around(self: Arc<Self>) -> Surrounding {
        Box::new(|turn| turn())
    }
}
