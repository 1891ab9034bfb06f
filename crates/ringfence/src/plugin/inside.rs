//! The plugin of a worker, which its parent drives by messages.

use std::fs::File;
use std::sync::Arc;

use super::holdings::Numbered;
use super::live::{Beginning, Live};
use super::place::Instance;
use super::seat::Seat;
use super::tape::Tape;
use super::{Asked, Imports, Look, Plugin, Returned, Shared, Source, Usage};
use crate::error::Result;
use crate::load::{self, Kind, Loaded};
use crate::policy::Limits;
use crate::prepared::{Recipe, profile};
use crate::sandbox::access::{Access, Accessed};
use crate::sandbox::engine::Engines;
use crate::sandbox::extism::Settings;
use crate::sandbox::host_calls::HostCalls;
use crate::sandbox::store::Control;
use crate::sandbox::views_unsafe::Views;
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
    if types.have_streams() {
        return Some("it has streams or futures, which do not cross to a worker");
    }
    None
}

/// A plugin that is linked, and has no instance yet; where functions of the parent find memories of the one that it has
/// then.
pub(crate) struct Linked(Arc<Shared>, Arc<Views>);

/// What is told to the worker of a plugin beside its code.
pub(crate) struct Telling {
    /// The functions of the parent, as far as it has any.
    pub(crate) imports: Option<Arc<dyn Imports>>,
    pub(crate) views: Arc<Views>,
    pub(crate) extism: Option<Settings>,
    pub(crate) look: Look,
    pub(crate) begins: Begins,
}

impl Linked {
    /// From code that the parent process proved.
    pub(crate) fn map(
        (kind, file): (Kind, File),
        recipe: Recipe,
        (name, env): (&str, Vec<Vec<u8>>),
        Telling { imports, views, extism, look, begins }: Telling,
    ) -> Result<Self> {
        let engines = Engines::of(profile(&recipe.policy, false))?;
        let (code, engine) = load::map_image(kind, &engines, file)?;
        let loaded = Loaded { code: Arc::new(code), engine, from_cache: true };
        let source = Source::of(recipe, (loaded, engines), name, env, extism)?;
        // The guest and its parent's functions have this thread: who waits for the guest is another process.
        let shared = source.link(imports, true, Hooks { look, begins: Some(begins) })?;
        Ok(Self(Arc::new(shared), views))
    }

    /// Makes an instance.
    pub(crate) fn open(&self, given: Given) -> Result<Inside> {
        let Self(shared, views) = self;
        let look = &shared.look;
        let live = Live::open(shared, views, Beginning::Handed(given), &mut || look())?;
        let seat = Seat::Free(Instance::Here(Box::new(live)), Usage::default());
        Ok(Inside { plugin: Plugin::with(shared, views, seat), numbered: Numbered::default() })
    }
}

/// One live instance.
pub(crate) struct Inside {
    plugin: Plugin,
    /// Resources of its guest that the parent has.
    numbered: Numbered,
}

impl Inside {
    /// The limits of each call.
    pub(crate) fn limits(&self) -> &Limits {
        &self.plugin.shared.prepared.policy.limits
    }

    /// Calls a function, or none; with what it used. Before that the guest hears of what the parent has let go of.
    pub(crate) fn call(
        &mut self,
        index: Option<usize>,
        mut params: Tape,
        dropped: &[u64],
        asked: &Asked,
    ) -> Result<(Returned, Usage)> {
        self.numbered.forget(dropped);
        let mut returned = match index {
            None => self.plugin.settle()?.unwrap_or_else(|| Returned::Values(Tape::default())),
            Some(index) => {
                let entered = self.numbered.enter(&mut params);
                entered.map_err(|why| crate::link::broken(&why.into()))?;
                self.plugin.call(index, params, asked)?
            }
        };
        if let Returned::Values(tape) = &mut returned {
            self.numbered.leave(tape);
        }
        Ok((returned, self.plugin.usage()))
    }

    /// Reads, writes or grows a memory.
    pub(crate) fn memory(&self, index: usize, access: Access<'_>) -> Result<Accessed> {
        self.plugin.memory(index, access, true)
    }

    /// The value of a global.
    pub(crate) fn global(&self, index: usize) -> Result<Tape> {
        self.plugin.global(index)
    }

    /// Sets a global.
    pub(crate) fn set_global(&self, index: usize, to: &Tape) -> Result<()> {
        self.plugin.set_global(index, to)
    }
}
