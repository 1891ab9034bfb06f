//! The plugin of a worker, which its parent drives by messages.

use std::fs::File;
use std::sync::Arc;

use super::live::{Beginning, Live};
use super::place::Instance;
use super::seat::Seat;
use super::tape::Tape;
use super::{Asked, Imports, Look, Plugin, Returned, Shared, Source, Usage};
use crate::error::Result;
use crate::load::{self, Kind, Loaded};
use crate::policy::Limits;
use crate::prepared::{Recipe, profile};
use crate::sandbox::engine::Engines;
use crate::sandbox::host_calls::HostCalls;
use crate::sandbox::store::Control;
use crate::session::Given;

/// Told of a call that begins: when it has to end, and where its calls of the host are counted.
pub(crate) type Begins = Arc<dyn Fn(&Control, &HostCalls) + Send + Sync>;

/// What the calls of a plugin ask and tell.
pub(super) struct Hooks {
    pub(super) look: Look,
    pub(super) begins: Option<Begins>,
}

impl Hooks {
    pub(super) fn of(look: Look) -> Self {
        Self { look, begins: None }
    }
}

/// Why a plugin cannot be in a worker, if it cannot.
pub(super) fn refused(source: &Source) -> Option<&'static str> {
    let types = &source.world.types;
    if source.world.is_module {
        return Some("it is a core module, and plugins in workers are components so far");
    }
    if types.have_streams() {
        return Some("it has streams or futures, which do not cross to a worker");
    }
    if !types.resources().is_empty() {
        return Some("it has resources, which do not cross to a worker");
    }
    None
}

/// A plugin that is linked, and has no instance yet.
pub(crate) struct Linked(Arc<Shared>);

impl Linked {
    /// From code that the parent process proved; `imports` are its functions, as far as it has any.
    pub(crate) fn map(
        (kind, file): (Kind, File),
        recipe: Recipe,
        (name, env): (&str, Vec<Vec<u8>>),
        imports: Option<Arc<dyn Imports>>,
        (look, begins): (Look, Begins),
    ) -> Result<Self> {
        let engines = Engines::of(profile(&recipe.policy, false))?;
        let (code, engine) = load::map_image(kind, &engines, file)?;
        let loaded = Loaded { code: Arc::new(code), engine, from_cache: true };
        let source = Source::of(recipe, (loaded, engines), name, env, None)?;
        // The guest and its parent's functions have this thread: who waits for the guest is another process.
        let shared = source.link(imports, true, Hooks { look, begins: Some(begins) })?;
        Ok(Self(Arc::new(shared)))
    }

    /// Makes an instance.
    pub(crate) fn open(&self, given: Given) -> Result<Inside> {
        let look = &self.0.look;
        let views = Arc::default();
        let live = Live::open(&self.0, &views, Beginning::Handed(given), &mut || look())?;
        let seat = Seat::Free(Instance::Here(Box::new(live)), Usage::default());
        Ok(Inside(Plugin::with(&self.0, &views, seat)))
    }
}

/// One live instance.
pub(crate) struct Inside(Plugin);

impl Inside {
    /// The limits of each call.
    pub(crate) fn limits(&self) -> &Limits {
        &self.0.shared.prepared.policy.limits
    }

    /// Calls a function; with what it used.
    pub(crate) fn call(&self, index: usize, params: Tape, asked: &Asked) -> Result<(Returned, Usage)> {
        let returned = self.0.call(index, params, asked)?;
        Ok((returned, self.0.usage()))
    }
}
