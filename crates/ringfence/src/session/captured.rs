//! What a session was between two turns, and the instances that go on from there.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use wasmtime::InstancePre;

use super::Given;
use super::discard_unsafe::End;
use super::live::{Exports, Live, not_opened, state};
use crate::apart::no_thread;
use crate::ending::Ending;
use crate::error::{Error, Result};
use crate::language::abi;
use crate::policy::Secret;
use crate::prepared::{Entry, Prepared};
use crate::process_unsafe::Here;
use crate::result::Outcome;
use crate::sandbox::files::Space;
use crate::sandbox::host_calls::HostCalls;
use crate::sandbox::http::{Secrets, are_placeholders};
use crate::sandbox::soft::Words;
use crate::sandbox::stdio::{Output, Sink};
use crate::sandbox::store::{Control, State};
use crate::sandbox::{signals_unsafe, ticker};
use crate::snapshot::{self, Capture, Image, SavedGlobal};
use crate::supervisor::{Supervisor, runtime};

/// A live instance as data, with what its host had asked it.
#[derive(Clone)]
pub(super) struct Captured {
    prepared: Arc<Prepared>,
    name: String,
    memory: Capture,
    /// Where a copy is told that it is one, and how; none of an instance that has yet to begin, as its copies have.
    word: Option<(u32, u32)>,
    words: [Option<Words>; 2],
    buffer: u32,
    /// Secrets of the policy that it had, and what its guest holds instead of each.
    secrets: Vec<(Secret, Arc<str>)>,
}

/// What came of capturing: the instance is gone where its guest did not return.
pub(super) enum Caught {
    Captured(Captured),
    /// It cannot be captured; it goes on.
    Not(Error),
    Gone(String),
}

/// Captures an instance between two turns.
pub(super) fn capture(
    live: &mut Live,
    name: &str,
    cancelled: Arc<AtomicBool>,
    tick: &mut dyn FnMut() -> bool,
) -> Result<Caught> {
    let Some((shown, image)) = live.shown.clone().and_then(|shown| Some((shown.clone(), shown.image()?))) else {
        return Ok(Caught::Not(not_captured(
            name,
            "its memory is not lent to it: its pack changes its tables, or the like",
        )));
    };
    let word = match ask(live, name, cancelled, tick)? {
        Ok(word) => word,
        Err(caught) => return Ok(caught),
    };
    let Live { store, exports, before, .. } = live;
    let now = exports.memory.data(&**store).get(word as usize..).and_then(|rest| rest.first_chunk::<4>());
    let Some(now) = now.filter(|_| word.is_multiple_of(4)) else {
        return Ok(Caught::Not(not_captured(name, "it names no place where a copy is told that it is one")));
    };
    let word = (*now == [0; 4]).then_some((word, abi::COPIED));
    let mut memory = Capture::of(store, &exports.instance, exports.memory, &image, before);
    // Without memory for an image it goes on as it is.
    if memory.is_due()
        && let Ok(rebased) = memory.rebased()
    {
        if let Err(error) = shown.become_image(store, exports.memory, rebased.image()) {
            return Ok(Caught::Gone(format!("its memory was lost while it was captured: {error}")));
        }
        memory = rebased;
    }
    *before = memory.as_before();
    Ok(Caught::Captured(Captured {
        prepared: live.prepared.clone(),
        name: name.to_owned(),
        memory,
        word,
        words: exports.words,
        buffer: exports.buffer,
        secrets: live.prepared.policy.secrets.iter().cloned().zip(live.placeholders.iter().cloned()).collect(),
    }))
}

fn not_captured(name: &str, why: &str) -> Error {
    Error::session(
        format!("no fork of this session of `{name}`"),
        why,
        "give a language pack of this version: `ringfence languages` lists them",
    )
}

/// Lets the guest write out what it holds back, and asks where a copy is told that it is one.
fn ask(
    live: &mut Live,
    name: &str,
    cancelled: Arc<AtomicBool>,
    tick: &mut dyn FnMut() -> bool,
) -> Result<std::result::Result<u32, Caught>> {
    let Live { store, exports, prepared, nowhere, .. } = live;
    let Ok(fork) = exports.instance.get_typed_func::<u32, u32>(&mut **store, abi::FORK) else {
        return Ok(Err(Caught::Not(not_captured(name, &format!("it exports no `{}`", abi::FORK)))));
    };
    let runtime = runtime(!prepared.net.is_empty())?;
    signals_unsafe::keep();
    let Some(_ticking) = ticker::Running::start() else {
        return Err(no_thread("the system starts no more threads for this process"));
    };
    let (started, limits) = (Instant::now(), prepared.policy.limits);
    let control = Control {
        network: store.data().control.network.clone(),
        ..Control::of_guest(started, &limits, Duration::ZERO, cancelled, nowhere.clone())
    };
    store.data_mut().control = control.clone();
    if let Some(fuel) = limits.fuel {
        store.set_fuel(fuel).map_err(|error| crate::link::broken(&error))?;
    }
    store.set_epoch_deadline(1);
    let mut word = None;
    let asked = async {
        word = Some(fork.call_async(&mut **store, 0).await?);
        Ok(Ending::exited(0))
    };
    let ending = Supervisor { runtime, control: &control, host_calls: &HostCalls::default() }.end(asked, tick);
    Ok(match (word, ending.outcome) {
        (Some(word), Outcome::Exited) => Ok(word),
        (_, outcome) => Err(Caught::Gone(match (ending.limit, &ending.trap) {
            (Some(limit), _) => format!("it reached the limit `{}` while it was captured", limit.name()),
            (None, Some(trap)) => format!("it ended while it was captured: {trap}"),
            (None, None) => format!("it {} while it was captured", outcome.name()),
        })),
    })
}

impl Captured {
    /// Whether so many forks had better map what differs than copy it.
    pub(super) fn is_large_for(&self, forks: usize) -> bool {
        self.memory.is_large_for(forks)
    }

    /// The same for many forks: what differs is mapped and not copied. Nothing where there is no memory for an image.
    pub(super) fn for_many(&self) -> Option<Self> {
        let memory = self.memory.rebased().ok()?;
        Some(Self { memory, ..self.clone() })
    }

    /// What a fork in this process is given.
    pub(super) fn given(&self, prepared: &Prepared) -> Result<Given> {
        let secrets = Secrets::from_environment(&prepared.policy.secrets)?;
        Ok(Given { space: Space::default(), secrets: self.knowing(secrets)? })
    }

    /// Secrets for a copy, whose guest holds the placeholders already.
    pub(super) fn knowing(&self, secrets: Secrets) -> Result<Secrets> {
        secrets.for_copy(self.secrets.iter().map(|(secret, placeholder)| (secret, placeholder)))
    }

    /// What its forks are held to unless told otherwise.
    pub(super) fn prepared(&self) -> &Arc<Prepared> {
        &self.prepared
    }

    /// A new instance that goes on from there, held to what is prepared for it: nothing of the guest runs until its first
    /// turn.
    pub(super) fn fork(
        &self,
        prepared: &Arc<Prepared>,
        given: Given,
        cancelled: Arc<AtomicBool>,
        tick: &mut dyn FnMut() -> bool,
    ) -> Result<Live> {
        let name = &self.name;
        let Entry::Module { linked, .. } = &prepared.entry else {
            return Err(not_captured(name, "it is a component"));
        };
        let runtime = runtime(!prepared.net.is_empty())?;
        let slot = prepared.slot(runtime, &cancelled, tick)?;
        signals_unsafe::keep();
        let Some(_ticking) = ticker::Running::start() else {
            return Err(no_thread("the system starts no more threads for this process"));
        };
        let (started, limits) = (Instant::now(), prepared.policy.limits);
        let output = Output::new(Sink::Discard, Sink::Discard, limits.output.0);
        let control = Control::of_guest(started, &limits, Duration::ZERO, cancelled, output);
        let placeholders = given.secrets.placeholders();
        let mut state = state(prepared, given, &limits, &control, started)?;
        if self.memory.size() as u64 > limits.memory.0 || !state.limiter.grow(self.memory.grown()) {
            return Err(Error::policy(
                format!("no fork of this session of `{name}`"),
                "its memory is larger than the limit `memory`",
                "raise `memory` in the policy's limits",
            ));
        }
        let memory = self.memory.memory(self.word).map_err(|error| no_memory(&error))?;
        let shown = memory.shown();
        let mut store = Here::new(prepared.store(state, &limits)?);
        let mut found = None;
        let forked = async {
            let instance = snapshot::instantiate(&mut store, linked, Some(memory)).await?;
            self.memory.set_globals(&mut store, &instance)?;
            let exports = Exports::of(&mut store, instance, self.words, self.buffer)?;
            store.data_mut().descriptors.set_memory(exports.memory);
            found = Some(exports);
            Ok(Ending::exited(0))
        };
        let ending = Supervisor { runtime, control: &control, host_calls: &HostCalls::default() }.end(forked, tick);
        let Some(exports) = found else { return Err(not_opened(name, &ending)) };
        Ok(Live {
            prepared: prepared.clone(),
            store,
            exports,
            shown,
            before: self.memory.as_before(),
            placeholders,
            nowhere: control.output,
            _slot: Here::new(slot),
            _end: End,
        })
    }
}

const NO_CAPTURE: &str = "its program cannot be captured in this version";

const OTHER_PLACEHOLDERS: &str = "it has other placeholders than secrets";

/// What of a capture is neither memory nor anybody's secret, for a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// BLAKE3 of what the memory of its program begins with.
    image: String,
    globals: Vec<SavedGlobal>,
    word: Option<(u32, u32)>,
    words: [Option<Words>; 2],
    buffer: u32,
    /// What its guest holds instead of secrets, in the order of its policy.
    placeholders: Vec<String>,
}

impl Kept {
    /// Refuses what no host wrote: a placeholder that is another text would be put in the place of that text.
    pub(super) fn check(&self) -> std::result::Result<(), &'static str> {
        match are_placeholders(&self.placeholders) {
            true => Ok(()),
            false => Err("a placeholder in it is none"),
        }
    }

    /// Whether the memory of its program still begins as it did: what was saved is what differs from that.
    pub(super) fn is_over(&self, prepared: &Prepared) -> bool {
        prepared.image().is_some_and(|image| image.digest().to_hex().as_str() == self.image)
    }

    /// Makes sure that a capture of a file can be made, and makes none.
    pub(super) fn check_memory(
        &self,
        prepared: &Prepared,
        secrets: &[Secret],
        size: u64,
        body: &[u8],
    ) -> std::io::Result<()> {
        let (Entry::Module { linked, .. }, Some(image)) = (&prepared.entry, prepared.image()) else {
            return Err(std::io::Error::other(NO_CAPTURE));
        };
        if secrets.len() != self.placeholders.len() {
            return Err(std::io::Error::other(OTHER_PLACEHOLDERS));
        }
        Capture::check(image, linked.module(), (size, &self.globals, body))
    }

    /// A capture of a file.
    pub(super) fn open(
        &self,
        prepared: Arc<Prepared>,
        name: &str,
        secrets: &[Secret],
        size: u64,
        body: &[u8],
    ) -> std::io::Result<Captured> {
        let (Entry::Module { linked, .. }, Some(image)) = (&prepared.entry, prepared.image()) else {
            return Err(std::io::Error::other(NO_CAPTURE));
        };
        if secrets.len() != self.placeholders.len() {
            return Err(std::io::Error::other(OTHER_PLACEHOLDERS));
        }
        let memory = Capture::load(image, linked.module(), (size, &self.globals, body))?;
        let placeholders = self.placeholders.iter().map(|placeholder| Arc::from(placeholder.as_str()));
        let secrets = secrets.iter().cloned().zip(placeholders).collect();
        Ok(Captured {
            name: name.to_owned(),
            memory,
            word: self.word,
            words: self.words,
            buffer: self.buffer,
            secrets,
            prepared,
        })
    }
}

impl Captured {
    /// How large its memory is, in bytes.
    pub(super) fn size(&self) -> usize {
        self.memory.size()
    }

    /// Secrets of the policy that it had.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        self.secrets.iter().map(|(secret, _)| secret.clone()).collect()
    }

    /// What is kept of it beside memory.
    pub(super) fn kept(&self) -> Result<Kept> {
        let (linked, image) = self.program()?;
        let globals = self.memory.saved_globals(linked.module());
        Ok(Kept {
            image: image.digest().to_hex().to_string(),
            globals: globals.map_err(|error| not_captured(&self.name, &error.to_string()))?,
            word: self.word,
            words: self.words,
            buffer: self.buffer,
            placeholders: self.secrets.iter().map(|(_, placeholder)| (**placeholder).to_owned()).collect(),
        })
    }

    /// Tells `each` piece of its memory.
    pub(super) fn save(&self, each: &mut dyn FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
        let (_, image) = self.program().map_err(|error| std::io::Error::other(error.to_string()))?;
        self.memory.save(image, each)
    }

    fn program(&self) -> Result<(&InstancePre<State>, &Arc<Image>)> {
        match (&self.prepared.entry, self.prepared.image()) {
            (Entry::Module { linked, .. }, Some(image)) => Ok((linked, image)),
            _ => Err(not_captured(&self.name, "its memory is not lent to it")),
        }
    }
}

/// The system gives no memory for a fork, or no file for a snapshot.
pub(super) fn no_memory(error: &std::io::Error) -> Error {
    Error::system("no memory for a fork", error, NO_MEMORY)
}

/// What mends it.
pub(super) const NO_MEMORY: &str = "close sessions, or raise `ulimit -v`, `ulimit -n` or `vm.max_map_count`; \
                                    `ringfence doctor` tells what the system refuses";
