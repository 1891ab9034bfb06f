//! What a plugin of a core module was between two calls, and plugins that go on from there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use wasmtime::{Instance, Store};

use crate::error::{Error, Result};
use crate::load::{self, Code, Kind, Loaded, Program};
use crate::plugin::inside::Hooks;
use crate::plugin::live::{Beginning, Live};
use crate::plugin::place::Instance as Place;
use crate::plugin::{Imports, Instances, Look, Plugin, Pool, Seat, Shared, Source};
use crate::policy::{Limits, Policy, Secret, wider};
use crate::prepared::profile;
use crate::process_unsafe::generation;
use crate::sandbox::components::ComponentState;
use crate::sandbox::engine::{Engines, Profile};
use crate::sandbox::extism::Variables;
use crate::sandbox::http::Secrets;
use crate::sandbox::store::State;
use crate::snapshot::{Before, Capture, Lent, Shown};

/// Forks of one snapshot whose memory is copied; for more of them it is mapped, where their copies were larger.
const COPIED_FORKS: usize = 4;

/// As many as a pool may make that has a new one for each call.
const MANY_FORKS: usize = 1000;

pub(super) const NO_MEMORY: &str = "close plugins, or raise `ulimit -v`, `ulimit -n` or `vm.max_map_count`; `ringfence doctor` tells \
                         what the system refuses";

pub(in crate::plugin) const COMPONENT: &str = "it is a component, and only core modules are captured";

/// The code of a program; where it was to be such that its instances can be captured and is not, the reason.
pub(in crate::plugin) fn compiled(
    program: &Program,
    policy: &Policy,
    lasting: bool,
    watch: Option<load::Watch<'_>>,
) -> Result<(Arc<Engines>, Loaded, Option<String>)> {
    let (usual, limit) = (profile(policy, false), policy.limits.compile.0);
    let mut uncaptured = None;
    if program.kind() == Kind::Component {
        uncaptured = Some(COMPONENT.to_owned());
    } else if lasting {
        let engines = Engines::of(Profile { captured: true, concurrency: false, ..usual })?;
        let loaded = load::load_to_capture(program, &engines, limit, watch)?;
        match &*loaded.code {
            Code::Uncaptured(why) => uncaptured = Some(why.clone()),
            _ => return Ok((engines, loaded, None)),
        }
    }
    let engines = Engines::of(usual)?;
    let loaded = load::load(program, &engines, limit, watch)?;
    Ok((engines, loaded, uncaptured))
}

/// What the memory of an instance shows that can be captured, and what was captured of it last.
pub(in crate::plugin) struct Showing {
    shown: Shown,
    before: Before,
}

impl Showing {
    pub(in crate::plugin) fn of(memory: Option<&Lent>, from: Option<&Kept>) -> Option<Self> {
        let before = from.map(|kept| kept.memory.as_before()).unwrap_or_default();
        Some(Self { shown: memory?.shown()?, before })
    }
}

/// An instance as data, with what its host kept for it.
#[derive(Clone)]
pub(in crate::plugin) struct Kept {
    pub(super) memory: Capture,
    /// Secrets of the policy that it had, and what its guest holds instead of each.
    pub(super) secrets: Vec<(Secret, Arc<str>)>,
    /// Variables of a plugin for Extism.
    pub(super) variables: Variables,
}

impl Kept {
    /// Secrets for a fork, whose guest holds the placeholders already.
    pub(in crate::plugin) fn knowing(&self, secrets: Secrets) -> Result<Secrets> {
        secrets.for_copy(self.secrets.iter().map(|(secret, placeholder)| (secret, placeholder)))
    }

    /// Memory for a fork, within the limits that it is held to.
    pub(in crate::plugin) fn memory(&self, name: &str, limits: &Limits, state: &mut State) -> Result<Lent> {
        if self.memory.size() as u64 > limits.memory.0 || !state.limiter.grow(self.memory.grown()) {
            return Err(Error::policy(
                format!("no fork of the plugin `{name}`"),
                "its memory is larger than the limit `memory`",
                "raise `memory` in the policy's limits",
            ));
        }
        self.memory.memory(None).map_err(|error| Error::system("no memory for a fork", &error, NO_MEMORY))
    }

    /// Gives a fork the rest: globals, and variables of Extism's.
    pub(in crate::plugin) fn restore(
        &self,
        store: &mut Store<ComponentState>,
        instance: &Instance,
    ) -> wasmtime::Result<()> {
        if let Some(kernel) = &mut store.data_mut().kernel {
            kernel.set_variables(self.variables.clone());
        }
        self.memory.set_globals(store, instance)
    }
}

/// What a plugin was between two calls. Plugins that are forked from it know nothing of each other.
///
/// It holds no secret: their values are read again for each fork, and what its guest held instead stays the same.
pub struct Snapshot {
    pub(super) shared: Arc<Shared>,
    pub(super) kept: Kept,
    /// The same for many forks, made when there are many.
    for_many: OnceLock<Option<Kept>>,
    forked: AtomicUsize,
    generation: u64,
}

impl Instances {
    /// Takes what a plugin is, to fork from later. No call may be under way.
    pub fn snapshot(&self) -> Result<Snapshot> {
        match self {
            Self::One(plugin) => plugin.snapshot(),
            Self::Pool(pool) => Err(pool.first()?.not_captured(
                "it is a pool, and a snapshot is of one instance",
                "take one of a `Plugin`, and fork that as often as there are threads",
            )),
        }
    }
}

impl Plugin {
    /// Takes what it is, to fork from later. No call may be under way.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let (mut instance, usage, mut back) = self.take()?;
        let caught = match &mut instance {
            Place::Here(live) => self.caught(live),
            Place::Worker(_) if self.shared.uncaptured.is_none() => {
                let fix = "load it without `isolation`, and capture that";
                Err(Uncaught::Not(self.not_captured("its instance is in a worker", fix)))
            }
            Place::Worker(_) => Err(Uncaught::Not(self.not_shown())),
        };
        back.seat = Some(match &caught {
            Err(Uncaught::Lost(why)) => Seat::Poisoned(why.clone(), usage),
            Ok(_) | Err(Uncaught::Not(_)) => Seat::Free(instance, usage),
        });
        drop(back);
        match caught {
            Ok(kept) => Ok(Snapshot::of(self.shared.clone(), kept)),
            Err(Uncaught::Not(error)) => Err(error),
            Err(Uncaught::Lost(why)) => Err(self.not_captured(&why, "call `restart()`: it begins anew")),
        }
    }

    fn caught(&self, live: &mut Live) -> std::result::Result<Kept, Uncaught> {
        let Live { store, module, showing, placeholders, .. } = live;
        let shown = module.as_ref().zip(showing.as_mut()).and_then(|(module, showing)| {
            let image = showing.shown.image()?;
            Some((module.instance, showing, image))
        });
        let Some((instance, showing, image)) = shown else {
            return Err(Uncaught::Not(self.not_shown()));
        };
        if let Some(why) = store.data().state.descriptors.difference() {
            let fix = "let it close what it opened before the call returns, and nothing else";
            return Err(Uncaught::Not(self.not_captured(&why, fix)));
        }
        let Some(memory) = instance.get_memory(&mut **store, "memory") else {
            return Err(Uncaught::Not(self.not_captured("its memory is gone", "please report this as a bug")));
        };
        let mut captured = Capture::of(store, &instance, memory, &image, &showing.before);
        // Without memory for an image it goes on as it is.
        if captured.is_due()
            && let Ok(rebased) = captured.rebased()
        {
            let shows = showing.shown.become_image(store, memory, rebased.image());
            shows.map_err(|error| Uncaught::Lost(format!("its memory was lost while it was captured: {error}")))?;
            captured = rebased;
        }
        showing.before = captured.as_before();
        let secrets = self.shared.prepared.policy.secrets.iter().cloned().zip(placeholders.iter().cloned());
        let variables = store.data().kernel.as_ref().map(|kernel| kernel.variables().clone());
        Ok(Kept { memory: captured, secrets: secrets.collect(), variables: variables.unwrap_or_default() })
    }

    fn not_shown(&self) -> Error {
        self.not_captured(
            self.shared.uncaptured.as_deref().unwrap_or("its memory is not lent to it"),
            "build it as a core module without that; as it is it can be called, and not be captured",
        )
    }

    fn not_captured(&self, why: &str, fix: &str) -> Error {
        Error::plugin(format!("no snapshot of the plugin `{}`", self.shared.name), why, fix)
    }
}

/// Why there is no snapshot.
enum Uncaught {
    /// The instance goes on.
    Not(Error),
    /// It is gone, and why.
    Lost(String),
}

impl Source {
    /// A snapshot whose forks are of this source: with its policy, which may be wider only where that is asked for, and
    /// its functions of the host.
    pub fn continuing(
        self,
        snapshot: &Snapshot,
        imports: Option<Arc<dyn Imports>>,
        inline: bool,
        look: Look,
        allow_wider: bool,
    ) -> Result<Snapshot> {
        self.check(snapshot, allow_wider)?;
        Ok(Snapshot::of(Arc::new(self.link(imports, inline, Hooks::of(look))?), snapshot.kept.clone()))
    }

    /// A pool, each instance of which goes on from there whenever it begins; as `continuing`, and as `pool`.
    pub fn pool_from(
        self,
        (snapshot, allow_wider): (&Snapshot, bool),
        imports: Option<Arc<dyn Imports>>,
        inline: bool,
        look: Look,
        (count, fresh): (usize, bool),
    ) -> Result<Pool> {
        self.check(snapshot, allow_wider)?;
        let kept = snapshot.for_forks(if fresh { MANY_FORKS } else { count }).clone();
        self.pooled(imports, inline, look, (count, fresh), Some(kept))
    }

    /// Refuses to go on from a snapshot of another program, or with a wider policy unless that is asked for.
    fn check(&self, snapshot: &Snapshot, allow_wider: bool) -> Result<()> {
        snapshot.check_process()?;
        let theirs = &snapshot.shared.prepared;
        let what = || format!("no fork of the plugin `{}` under that policy", snapshot.shared.name);
        let digest = self.recipe.program.as_ref().map(|program| program.digest());
        if digest != theirs.program_digest() || self.extism.is_some() != snapshot.shared.extism.is_some() {
            return Err(Error::plugin(
                what(),
                "that is another program",
                "give the program that the snapshot was taken of",
            ));
        }
        if allow_wider {
            return Ok(());
        }
        let found = self.recipe.grants.wider_than(&self.recipe.policy, &theirs.grants, &theirs.policy);
        wider::refuse(what(), &found)
    }
}

impl Snapshot {
    pub(super) fn of(shared: Arc<Shared>, kept: Kept) -> Self {
        Self { shared, kept, for_many: OnceLock::new(), forked: AtomicUsize::new(0), generation: generation() }
    }

    /// Makes `count` plugins that go on from here.
    pub fn fork(&self, count: usize) -> Result<Vec<Plugin>> {
        self.check_process()?;
        let kept = self.for_forks(count);
        let mut forks = Vec::with_capacity(count.min(1000));
        for _ in 0..count {
            if !(self.shared.look)() {
                return Err(self.refused("the caller gave up on it", "fork it again"));
            }
            forks.push(Plugin::open(&self.shared, &Arc::default(), Beginning::From(kept))?);
        }
        Ok(forks)
    }

    /// What so many forks more go on from.
    fn for_forks(&self, count: usize) -> &Kept {
        let forks = self.forked.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        let is_large = forks > COPIED_FORKS && self.kept.memory.is_large_for(forks);
        let for_many = is_large.then(|| self.for_many.get_or_init(|| self.mapped()).as_ref());
        for_many.flatten().unwrap_or(&self.kept)
    }

    /// The same as an image; nothing where there is no memory for one.
    fn mapped(&self) -> Option<Kept> {
        Some(Kept { memory: self.kept.memory.rebased().ok()?, ..self.kept.clone() })
    }

    pub(super) fn check_process(&self) -> Result<()> {
        if self.generation == generation() {
            return Ok(());
        }
        Err(self.refused("this process was forked, and the snapshot is in its parent", "take a snapshot here"))
    }

    fn refused(&self, why: &str, fix: &str) -> Error {
        Error::plugin(format!("no fork of the plugin `{}`", self.shared.name), why, fix)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("name", &self.shared.name).finish_non_exhaustive()
    }
}
