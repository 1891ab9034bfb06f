//! Where the instances of a plugin are: in this process, or in a worker.

use std::sync::Arc;

use super::call::{self, Called, Work};
use super::handles::Life;
use super::live::{Beginning, Live};
use super::{Asked, Plugin, Shared};
use crate::error::Result;
use crate::policy::Limits;
use crate::sandbox::views_unsafe::Views;
use crate::worker::{self, Plugged};

impl Shared {
    /// Makes an instance, in the place of another one if there is one.
    pub(super) fn open(
        &self,
        views: &Arc<Views>,
        beginning: Beginning<'_>,
        before: Option<Instance>,
    ) -> Result<Instance> {
        let look = &self.look;
        // One that was here is gone before there is another.
        let before =
            before.and_then(|before| if let Instance::Worker(plugged) = before { Some(plugged) } else { None });
        match &self.worker {
            None => Live::open(self, views, beginning, &mut || look()).map(|live| Instance::Here(Box::new(live))),
            Some(client) => {
                let plugged = client.plug(&self.name, self.given(views), before, &mut || look());
                plugged.map(Box::new).map(Instance::Worker)
            }
        }
    }

    /// What whoever talks to a worker has to know.
    fn given(&self, views: &Arc<Views>) -> worker::Given {
        let (world, imports, views) = (self.world.clone(), self.imports.clone(), views.clone());
        worker::Given { world, imports, inline: self.inline, views }
    }
}

/// Where an instance is.
pub(super) enum Instance {
    Here(Box<Live>),
    Worker(Box<Plugged>),
}

impl Instance {
    pub(super) fn life(&self) -> &Arc<Life> {
        match self {
            Self::Here(live) => &live.life,
            Self::Worker(plugged) => plugged.life(),
        }
    }
}

impl Plugin {
    /// Has the instance do it; that is given back, unless it is gone.
    pub(super) fn called(
        &self,
        instance: Instance,
        limits: &Limits,
        work: Work,
        asked: &Asked,
    ) -> Result<(Option<Instance>, Called)> {
        let look = &self.shared.look;
        let tick = &mut || look();
        let live = match (instance, work) {
            (Instance::Worker(plugged), work @ (Work::Call(..) | Work::Settle)) => {
                let given = self.shared.given(&self.views);
                let called = match work {
                    Work::Call(index, params) => (Some(index), params),
                    _ => Default::default(),
                };
                let (plugged, called) = plugged.call(given, called, limits, asked, tick)?;
                return Ok((plugged.map(Instance::Worker), called));
            }
            (Instance::Worker(_), Work::Pull(_)) => {
                return Err(self.refused("it is in a worker", "load it without `isolation`"));
            }
            (Instance::Here(live), work) => (live, work),
        };
        let (live, work) = live;
        let (live, called) = match self.shared.waits {
            false => call::here(live, limits, work, asked, tick)?,
            true => call::waiting(live, &self.shared, limits, work, asked, tick)?,
        };
        Ok((live.map(Instance::Here), called))
    }
}
