//! The instance behind a session: opened, and kept between turns.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use wasmtime::{Instance, InstancePre, Memory, Store, TypedFunc};

use super::Given;
use super::discard_unsafe::{End, discard};
use crate::apart::no_thread;
use crate::ending::Ending;
use crate::error::{Error, Result};
use crate::language::abi;
use crate::lasting;
use crate::policy::Limits;
use crate::prepared::{Entry, Prepared};
use crate::process_unsafe::Here;
use crate::result::Outcome;
use crate::sandbox::host_calls::HostCalls;
use crate::sandbox::http::Requests;
use crate::sandbox::soft::{self, Notice, Words};
use crate::sandbox::stdio::{Output, Sink};
use crate::sandbox::store::{Control, State};
use crate::sandbox::{signals_unsafe, ticker};
use crate::snapshot::{self, Before, Lent, Shown};
use crate::supervisor::{Supervisor, runtime};

/// Source text that needs no allocation of its own, in bytes.
const BUFFER_BYTES: u32 = 16 << 10;

/// What a session has between its turns.
pub(super) struct Live {
    pub(super) prepared: Arc<Prepared>,
    pub(super) store: Here<Store<State>>,
    pub(super) exports: Exports,
    /// What its memory shows where it was not written to; none where the memory is not lent to it.
    pub(super) shown: Option<Shown>,
    pub(super) before: Before,
    /// What its guest holds instead of secrets.
    pub(super) placeholders: Vec<Arc<str>>,
    /// What its guest would write to between turns.
    pub(super) nowhere: Output,
    pub(super) _slot: Here<OwnedSemaphorePermit>,
    /// After all of it.
    pub(super) _end: End,
}

/// What the host calls, and where it writes.
pub(super) struct Exports {
    pub(super) eval: TypedFunc<(u32, u32, u32), u32>,
    pub(super) alloc: TypedFunc<u32, u32>,
    pub(super) free: TypedFunc<u32, ()>,
    pub(super) memory: Memory,
    pub(super) words: [Option<Words>; 2],
    pub(super) buffer: u32,
    pub(super) instance: Instance,
}

impl Exports {
    /// Those of an instance that was asked for its words and its buffer.
    pub(super) fn of(
        store: &mut Store<State>,
        instance: Instance,
        words: [Option<Words>; 2],
        buffer: u32,
    ) -> wasmtime::Result<Self> {
        let memory =
            instance.get_memory(&mut *store, "memory").ok_or_else(|| wasmtime::Error::msg("missing memory"))?;
        Ok(Self {
            eval: instance.get_typed_func(&mut *store, abi::EVAL)?,
            alloc: instance.get_typed_func(&mut *store, abi::ALLOC)?,
            free: instance.get_typed_func(&mut *store, abi::FREE)?,
            memory,
            words,
            buffer,
            instance,
        })
    }

    /// The place for a short source; none where there was no memory for it.
    pub(super) fn buffer(&self, len: usize) -> Option<u32> {
        (self.buffer != 0 && len <= BUFFER_BYTES as usize).then_some(self.buffer)
    }
}

impl Live {
    /// Whether it hears of its end before it comes.
    pub(super) fn hears(&self) -> bool {
        self.exports.words[Notice::Deadline as usize].is_some()
    }

    pub(super) fn open(
        prepared: &Arc<Prepared>,
        name: &str,
        given: Given,
        cancelled: Arc<AtomicBool>,
        tick: Option<&mut dyn FnMut() -> bool>,
    ) -> Result<Self> {
        let Entry::Module { linked, .. } = &prepared.entry else { return Err(no_session(name, "it is a component")) };
        for export in [abi::VERSION_EXPORT, abi::EVAL, abi::ALLOC, abi::FREE, "memory"] {
            if linked.module().get_export(export).is_none() {
                return Err(no_session(name, &format!("it exports no `{export}`")));
            }
        }
        let mut no_tick = || true;
        let tick = tick.unwrap_or(&mut no_tick);
        let runtime = runtime(!prepared.net.is_empty())?;
        let slot = prepared.slot(runtime, &cancelled, tick)?;
        signals_unsafe::keep();
        let Some(_ticking) = ticker::Running::start() else {
            return Err(no_thread("the system starts no more threads for this process"));
        };
        let started = Instant::now();
        let limits = prepared.policy.limits;
        let output = Output::new(Sink::Discard, Sink::Discard, limits.output.0);
        let control = Control::of_guest(started, &limits, Duration::ZERO, cancelled, output);
        let placeholders = given.secrets.placeholders();
        let state = state(prepared, given, &limits, &control, started)?;
        let memory = prepared.memory()?;
        let shown = memory.as_ref().and_then(Lent::shown);
        let mut store = Here::new(prepared.store(state, &limits)?);
        let host_calls = HostCalls::default();
        let supervisor = Supervisor { runtime, control: &control, host_calls: &host_calls };
        let mut found = None;
        let opened = async {
            found = Some(open(&mut store, linked, memory).await?);
            Ok(Ending::exited(0))
        };
        let ending = supervisor.end(opened, tick);
        match found {
            Some((abi::VERSION, exports)) => {
                let slot = Here::new(slot);
                let nowhere = control.output;
                Ok(Self {
                    prepared: prepared.clone(),
                    store,
                    exports,
                    shown,
                    before: Before::default(),
                    placeholders,
                    nowhere,
                    _slot: slot,
                    _end: End,
                })
            }
            Some((version, _)) => {
                Err(no_session(name, &format!("it speaks version {version} of the guest ABI, not {}", abi::VERSION)))
            }
            None => Err(not_opened(name, &ending)),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // Memory that was lent goes back to where it came from.
        if self.store.is_ours() && !self.prepared.lends() {
            discard(self.exports.memory.data_mut(&mut *self.store));
        }
    }
}

pub(super) fn no_session(name: &str, why: &str) -> Error {
    Error::load(
        format!("`{name}` cannot hold a session"),
        why,
        "give a language pack of this version: `ringfence languages` lists them",
    )
}

pub(super) fn not_opened(name: &str, ending: &Ending) -> Error {
    if let Some(error) = &ending.host {
        return error.clone();
    }
    let what = format!("no session of `{name}`");
    match (ending.outcome, ending.limit, &ending.trap) {
        (_, Some(limit), _) => Error::policy(
            what,
            format!("it reached the limit `{}` while it was set up", limit.name()),
            format!("raise `{}` in the policy's limits", limit.name()),
        ),
        (Outcome::Cancelled, _, _) => Error::session(what, "the caller gave up on it", "open it again"),
        (_, _, Some(trap)) => Error::load(what, format!("it ended while it was set up: {trap}"), "install it again"),
        (outcome, _, _) => Error::load(what, format!("it {} while it was set up", outcome.name()), "install it again"),
    }
}

pub(super) fn state(
    prepared: &Prepared,
    Given { space, secrets }: Given,
    limits: &Limits,
    control: &Control,
    started: Instant,
) -> Result<State> {
    let (mut state, network) = lasting::state(prepared, (space, &secrets), limits, control, started)?;
    state.exchange.offer(Some(Requests::new(network, secrets, limits.connections)));
    Ok(state)
}

/// Instantiates, sets up what is no snapshot, and asks for what is asked once.
async fn open(
    store: &mut Store<State>,
    linked: &InstancePre<State>,
    memory: Option<Lent>,
) -> wasmtime::Result<(u32, Exports)> {
    let instance = snapshot::instantiate(store, linked, memory).await?;
    let memory = instance.get_memory(&mut *store, "memory").ok_or_else(|| wasmtime::Error::msg("missing memory"))?;
    store.data_mut().descriptors.set_memory(memory);
    if let Ok(init) = instance.get_typed_func::<(), ()>(&mut *store, abi::INIT) {
        if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut *store, abi::INITIALIZE) {
            initialize.call_async(&mut *store, ()).await?;
        }
        init.call_async(&mut *store, ()).await?;
    }
    let version = instance.get_typed_func::<(), u32>(&mut *store, abi::VERSION_EXPORT)?;
    let version = version.call_async(&mut *store, ()).await?;
    let alloc = instance.get_typed_func::<u32, u32>(&mut *store, abi::ALLOC)?;
    let buffer = alloc.call_async(&mut *store, BUFFER_BYTES).await?;
    let words = soft::words(store, &instance).await?;
    Ok((version, Exports::of(store, instance, words, buffer)?))
}
