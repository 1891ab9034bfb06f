//! Calls from a guest to functions of the host.
//!
//! A call leaves the guest: its fiber is suspended, the function runs on the thread's own stack, outside every
//! runtime, and its answer is handed back in. So a function may do what any other code may, run a guest included.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use wasmtime::{FuncType, Linker, Val, ValType};

use super::store::State;
use crate::host::{HostFunction, HostFunctions, Raised, Signature, Value, ValueType};

/// Where the guest's thread is: in the guest, in a function (its index and 1), or given up.
const IN_GUEST: usize = 0;
const ABANDONED: usize = usize::MAX;

/// The host calls of one run. Clones share them.
#[derive(Clone, Default)]
pub struct HostCalls(Option<Arc<Calls>>);

struct Calls {
    functions: Arc<[HostFunction]>,
    mailbox: Mutex<Mailbox>,
    place: AtomicUsize,
    made: AtomicU64,
    memory_peak: AtomicU64,
}

enum Mailbox {
    Empty,
    Asked { index: usize, params: Vec<Value>, results: Arc<[ValueType]> },
    Answered(Result<Vec<Value>, Raised>),
}

impl HostCalls {
    /// None made yet, to these functions.
    pub fn new(functions: &HostFunctions) -> Self {
        if functions.functions.is_empty() {
            return Self(None);
        }
        Self(Some(Arc::new(Calls {
            functions: functions.functions.clone(),
            mailbox: Mutex::new(Mailbox::Empty),
            place: AtomicUsize::new(IN_GUEST),
            made: AtomicU64::new(0),
            memory_peak: AtomicU64::new(0),
        })))
    }

    /// Whether the guest waits for an answer.
    pub fn is_asked(&self) -> bool {
        self.0.as_ref().is_some_and(|calls| matches!(*calls.mailbox(), Mailbox::Asked { .. }))
    }

    /// Calls the function the guest asked for; `false` when the caller of the run has given up meanwhile.
    pub fn answer(&self) -> bool {
        let Some(calls) = &self.0 else { return true };
        let asked = std::mem::replace(&mut *calls.mailbox(), Mailbox::Empty);
        let Mailbox::Asked { index, params, results } = asked else { return true };
        let Some(function) = calls.functions.get(index) else { return true };
        if calls.place.compare_exchange(IN_GUEST, index + 1, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return false;
        }
        calls.made.fetch_add(1, Ordering::Relaxed);
        let answer = function.answer(&params, &results);
        *calls.mailbox() = Mailbox::Answered(answer);
        calls.place.compare_exchange(index + 1, IN_GUEST, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Gives up on a guest that is inside a function: its name, or `None` when it is not inside one.
    ///
    /// From then on the guest runs no further instruction: its end begins when the function returns.
    pub fn abandon(&self) -> Option<String> {
        let calls = self.0.as_ref()?;
        let place = calls.place.load(Ordering::SeqCst);
        if place == IN_GUEST || place == ABANDONED {
            return None;
        }
        calls.place.compare_exchange(place, ABANDONED, Ordering::SeqCst, Ordering::SeqCst).ok()?;
        calls.functions.get(place - 1).map(HostFunction::title)
    }

    /// Calls made so far.
    pub fn made(&self) -> u64 {
        self.0.as_ref().map_or(0, |calls| calls.made.load(Ordering::Relaxed))
    }

    /// The most memory the guest had taken when it last called.
    pub fn memory_peak(&self) -> u64 {
        self.0.as_ref().map_or(0, |calls| calls.memory_peak.load(Ordering::Relaxed))
    }

    /// From inside the guest: asks, and waits to be answered.
    async fn ask(
        &self,
        index: usize,
        params: Vec<Value>,
        results: Arc<[ValueType]>,
        peak: u64,
    ) -> Result<Vec<Value>, Raised> {
        let Some(calls) = &self.0 else { return Err(Raised::new("a host function was called by a guest without any")) };
        calls.memory_peak.store(peak, Ordering::Relaxed);
        *calls.mailbox() = Mailbox::Asked { index, params, results };
        std::future::poll_fn(|_| {
            let mut mailbox = calls.mailbox();
            match std::mem::replace(&mut *mailbox, Mailbox::Empty) {
                Mailbox::Answered(answer) => Poll::Ready(answer),
                other => {
                    *mailbox = other;
                    // Whoever supervises the guest looks into the mailbox whenever the guest waits.
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Calls {
    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

/// The signature of an import, or the type that no host function takes or gives.
pub(crate) fn signature(function: &FuncType) -> Result<Signature, ValType> {
    let of = |kind: ValType| match kind {
        ValType::I32 => Ok(ValueType::I32),
        ValType::I64 => Ok(ValueType::I64),
        ValType::F32 => Ok(ValueType::F32),
        ValType::F64 => Ok(ValueType::F64),
        other => Err(other),
    };
    Ok(Signature {
        params: function.params().map(of).collect::<Result<_, _>>()?,
        results: function.results().map(of).collect::<Result<_, _>>()?,
    })
}

/// Links an import to the function at that index.
pub(crate) fn add_to_linker(
    linker: &mut Linker<State>,
    index: usize,
    function: &HostFunction,
    kind: FuncType,
    signature: Signature,
) -> wasmtime::Result<()> {
    let results: Arc<[ValueType]> = signature.results.into();
    linker.func_new_async(&function.module, &function.name, kind, move |caller, params, answers| {
        let results = results.clone();
        Box::new(async move {
            let params = params.iter().map(of_guest).collect::<wasmtime::Result<Vec<Value>>>()?;
            let (calls, peak) = {
                let state: &State = caller.data();
                (state.host_calls.clone(), state.limiter.peak())
            };
            let values = calls.ask(index, params, results, peak).await.map_err(wasmtime::Error::new)?;
            for (answer, value) in answers.iter_mut().zip(values) {
                *answer = to_guest(value);
            }
            Ok(())
        })
    })?;
    Ok(())
}

fn of_guest(value: &Val) -> wasmtime::Result<Value> {
    Ok(match value {
        Val::I32(value) => Value::I32(*value),
        Val::I64(value) => Value::I64(*value),
        Val::F32(bits) => Value::F32(*bits),
        Val::F64(bits) => Value::F64(*bits),
        _ => return Err(wasmtime::Error::msg("a host function was linked to an import of another type")),
    })
}

fn to_guest(value: Value) -> Val {
    match value {
        Value::I32(value) => Val::I32(value),
        Value::I64(value) => Val::I64(value),
        Value::F32(bits) => Val::F32(bits),
        Value::F64(bits) => Val::F64(bits),
    }
}
