//! Sandboxes whose runs begin where an export of their program returned: it is called once, and every run goes on from
//! the memory that it left.

mod carried;

use std::sync::{Arc, Mutex};

use wasmtime::{ExternType, Instance, Module, Store};

use crate::ending::Ending;
use crate::error::{Error, ROOM, Result};
use crate::language::abi;
use crate::link::Start;
use crate::load::{self, Kind, Program};
use crate::policy::Secret;
use crate::prepared::{Entry, Prepared, profile};
use crate::process_unsafe::generation;
use crate::result::{Outcome, RunResult};
use crate::run::{Run, Sandbox};
use crate::sandbox::engine::Profile;
use crate::sandbox::http::Secrets;
use crate::sandbox::store::State;

use crate::snapshot::{Before, Capture, Image, Lent};
use crate::text::quote;

pub(crate) use carried::Left;

/// What is called once, and what is called in every run that goes on from there. Both take and give nothing.
pub struct Init<'a> {
    /// The export that is called once.
    pub after: String,
    /// The export that every run calls: `_start`, unless given.
    pub entry: Option<String>,
    /// Called while the program is compiled for it.
    pub watch: Option<load::Watch<'a>>,
}

/// Where a run begins: at the beginning of its program, unless something is said here.
#[derive(Clone, Default)]
pub(crate) struct Begin {
    from: Option<Arc<After>>,
    until: Option<Arc<Until>>,
}

/// What an export left.
struct After {
    capture: Capture,
    entry: String,
    /// What stands for the secrets in its memory.
    placeholders: Vec<Arc<str>>,
    generation: u64,
}

/// A call that is captured when it returns.
struct Until {
    /// The program's name.
    name: String,
    export: String,
    placeholders: Mutex<Vec<Arc<str>>>,
    /// What came of it, once it has returned.
    caught: Mutex<Option<std::result::Result<Capture, Error>>>,
}

impl Sandbox {
    /// Calls an export once under this sandbox's policy, and gives a sandbox whose runs begin where it returned; none
    /// where it did not return, which the result tells.
    pub fn snapshot(&self, init: Init<'_>, run: Run<'_>) -> Result<(RunResult, Option<Self>)> {
        let (recipe, begin) = self.made_of();
        let not = |why: &str, fix: &str| Err(Error::load(format!("no snapshot of `{}`", recipe.name()), why, fix));
        let program = recipe.program.as_ref();
        if program.is_some_and(Program::is_language) {
            return not(
                "it is a language pack, whose sessions are captured",
                "take one of a session: `Session.snapshot`",
            );
        }
        if program.is_some_and(|program| program.kind() == Kind::Component) {
            return not(
                "it is a component, and only core modules are captured",
                "build it as a core module: `wasm32-wasip1`",
            );
        }
        begin.check_process(recipe.name())?;
        let mut apart = None;
        let prepared = match (self.worker(), &begin.from) {
            (Some(worker), _) if worker.entry().is_some() => {
                apart = Some(worker.clone());
                self.prepared()?
            }
            (Some(worker), _) => {
                let (worker, prepared) = worker.capturing(recipe, init.watch)?;
                apart = Some(Arc::new(worker));
                prepared
            }
            (None, Some(_)) => self.prepared()?,
            (None, None) => {
                let profile = Profile { captured: true, concurrency: false, ..profile(&recipe.policy, false) };
                recipe.prepare_as(profile, init.watch)?.0
            }
        };
        let Entry::Module { linked, start } = &prepared.entry else { return not("it is a component", "") };
        let before = begin.from.as_ref().map(|from| &*from.entry);
        let before = before.or(apart.as_ref().and_then(|worker| worker.entry()));
        let entry = match (init.entry, before, start) {
            (Some(entry), _, _) => entry,
            (None, Some(before), _) => before.to_owned(),
            (None, None, Start::Command) => start.export().to_owned(),
            (None, None, _) => {
                return not(
                    "it is a library: it has no `_start` that runs could call",
                    "name the export that they call: `entry=\"…\"`",
                );
            }
        };
        for export in [&init.after, &entry] {
            check(linked.module(), recipe.name(), export)?;
        }
        if let Some(worker) = apart {
            let (result, caught) = worker.catch((recipe.name(), init.after), run)?;
            let Some(carried) = caught.transpose()? else { return Ok((result, None)) };
            let worker = worker.beginning(carried, entry);
            return Ok((result, Some(self.beginning(prepared, Begin::default()).in_worker(worker))));
        }
        let until = Arc::new(Until::new(recipe.name(), init.after));
        let once = Begin { from: begin.from.clone(), until: Some(until.clone()) };
        let result = self.beginning(prepared.clone(), once).run(run)?;
        if result.outcome != Outcome::Exited || result.exit_code != Some(0) {
            return Ok((result, None));
        }
        let (capture, placeholders) = until.taken()?;
        let after = After { capture, entry, placeholders, generation: generation() };
        let begin = Begin { from: Some(Arc::new(after)), until: None };
        Ok((result, Some(self.beginning(prepared, begin))))
    }
}

/// Refuses an export that cannot be called so.
fn check(module: &Module, name: &str, export: &str) -> Result<()> {
    let why = match module.get_export(export) {
        Some(ExternType::Func(function)) if function.params().len() == 0 && function.results().len() == 0 => {
            return Ok(());
        }
        Some(ExternType::Func(_)) => "is not a function without parameters and results",
        Some(_) => "is not a function",
        None => "is not there",
    };
    Err(Error::load(
        format!("no snapshot of `{name}`"),
        format!("its export `{}` {why}", quote(export)),
        "name one that `ringfence inspect` lists as `func()`",
    ))
}

impl Begin {
    /// Refuses what is of another process.
    pub(crate) fn check_process(&self, name: &str) -> Result<()> {
        match &self.from {
            Some(from) if from.generation != generation() => Err(Error::session(
                format!("no run of `{name}` from its snapshot"),
                "this process was forked, and the snapshot is in its parent",
                "take a snapshot here",
            )),
            _ => Ok(()),
        }
    }

    /// The secrets of a run: what stands for them in a captured memory still does.
    pub(crate) fn secrets(&self, granted: &[Secret]) -> Result<Secrets> {
        self.knowing(granted, Secrets::from_environment(granted)?)
    }

    /// The same of those that were read elsewhere.
    pub(crate) fn knowing(&self, granted: &[Secret], secrets: Secrets) -> Result<Secrets> {
        match &self.from {
            Some(from) => secrets.for_copy(granted.iter().zip(&from.placeholders)),
            None => Ok(secrets),
        }
    }

    /// Whether more than one run begins so.
    pub(crate) fn is_lasting(&self) -> bool {
        self.until.is_none()
    }

    /// What the memory of a new instance shows, where it is lent to it.
    pub(crate) fn image<'a>(&'a self, prepared: &'a Prepared) -> Option<&'a Arc<Image>> {
        self.from.as_ref().map(|from| from.capture.image()).or(prepared.image())
    }

    /// How much larger the memory of a new instance is than its module asks for, in bytes.
    pub(crate) fn grown(&self) -> usize {
        self.from.as_ref().map_or(0, |from| from.capture.grown())
    }

    /// Memory for a new store, which `lasts` beyond this run or ends with it; none where the engine makes it.
    pub(crate) fn memory(
        &self,
        prepared: &Prepared,
        state: &mut State,
        secrets: &Secrets,
        lasts: bool,
    ) -> Result<Option<Lent>> {
        if let Some(until) = &self.until {
            *until.placeholders.lock().unwrap_or_else(|broken| broken.into_inner()) = secrets.placeholders();
        }
        let Some(from) = &self.from else { return if lasts { prepared.memory() } else { prepared.memory_here() } };
        if !state.limiter.grow(from.capture.grown()) {
            return Err(Error::policy(
                format!("no run of `{}` from its snapshot", quote(&prepared.argv0)),
                "what was captured is larger than the limit `memory`",
                "raise `memory` in the limits",
            ));
        }
        let memory = from.capture.memory(None).map_err(|error| Error::system("no memory for a guest", &error, ROOM))?;
        Ok(Some(memory))
    }

    /// Goes on from what was captured, or up to what is to be; none where a program begins at its beginning.
    pub(crate) async fn enter(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
        start: Start,
        image: Option<&Arc<Image>>,
    ) -> wasmtime::Result<Option<Ending>> {
        if let Some(from) = &self.from {
            from.capture.set_globals(store, instance)?;
        }
        let export = match (&self.until, &self.from) {
            (Some(until), _) => &until.export,
            (None, Some(from)) => &from.entry,
            (None, None) => return Ok(None),
        };
        if self.from.is_none() && start == Start::Reactor && export != abi::INITIALIZE {
            call(store, instance, abi::INITIALIZE).await?;
        }
        call(store, instance, export).await?;
        if let Some(until) = &self.until {
            *until.caught.lock().unwrap_or_else(|broken| broken.into_inner()) =
                Some(until.capture(store, instance, image));
        }
        Ok(Some(Ending::exited(0)))
    }
}

async fn call(store: &mut Store<State>, instance: &Instance, export: &str) -> wasmtime::Result<()> {
    instance.get_typed_func::<(), ()>(&mut *store, export)?.call_async(store, ()).await
}

impl Until {
    fn new(name: &str, export: String) -> Self {
        Self { name: name.to_owned(), export, placeholders: Mutex::default(), caught: Mutex::default() }
    }

    /// What its run left, once that is over, with what stands for secrets in there.
    fn taken(&self) -> Result<(Capture, Vec<Arc<str>>)> {
        let caught = self.caught.lock().unwrap_or_else(|broken| broken.into_inner()).take();
        let Some(capture) = caught else {
            return Err(Error::load(
                format!("no snapshot of `{}`", self.name),
                format!("`{}` ended the program with exit code 0, and did not return", quote(&self.export)),
                "let it return: what `_start` would do comes in every run",
            ));
        };
        Ok((capture?, self.placeholders.lock().unwrap_or_else(|broken| broken.into_inner()).clone()))
    }

    /// Captures an instance whose call has returned.
    fn capture(&self, store: &mut Store<State>, instance: &Instance, image: Option<&Arc<Image>>) -> Result<Capture> {
        let not = |why: String, fix: &str| {
            Err(Error::load(format!("no snapshot of `{}` after `{}`", self.name, quote(&self.export)), why, fix))
        };
        if let Some(why) = store.data().descriptors.difference() {
            return not(why, "let it close what it opened before it returns, and nothing else");
        }
        let memory = instance.get_memory(&mut *store, "memory");
        let (Some(memory), Some(image)) = (memory, image) else {
            return not("its memory is not lent to it".into(), "please report this as a bug");
        };
        let captured = Capture::of(store, instance, memory, image, &Before::default()).rebased();
        captured.map_err(|error| {
            Error::system(
                "no memory for a snapshot",
                &error,
                "raise `ulimit -v`, `ulimit -n` or `vm.max_map_count`; `ringfence doctor` tells what the system refuses",
            )
        })
    }
}
