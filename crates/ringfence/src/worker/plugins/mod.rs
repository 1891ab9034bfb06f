//! Plugins whose instances are in workers: values cross on tapes, calls in frames.
//!
//! | asked | answered |
//! |---|---|
//! | `plug`: an instance of what was loaded | `plugged`, after any number of `callback`s |
//! | `invoke`: a function of it | `gave`, or `ended` as a run does, after any number of `callback`s |
//! | `touch`: a memory or a global of it, between two calls or before a `callback` is answered | `touched` |
//!
//! Each `callback` is answered by `settled`. A parent knows the plugin's types from its code, and takes no tape from a
//! worker that holds anything else.

mod messages;
mod plugged;
mod served;
mod talk;
mod touch;

use std::sync::Arc;

use super::binding::Binding;
use super::client::Client;
use super::protocol::AsPlugin;
use crate::load::{Image, Program};
use crate::plugin::{Extism, Imports, World};
use crate::prepared::Prepared;
use crate::sandbox::views_unsafe::Views;

pub(super) use messages::{Callback, Gave, Invoke, Plug, Settled, Touch, Touched};
pub(crate) use plugged::Plugged;
pub(super) use served::Plugins;
pub(crate) use touch::{Touching, Untouched};

/// Where the instances of a plugin are: in workers bound so, of this code.
pub(crate) struct Place {
    pub(crate) binding: Arc<Binding>,
    pub(crate) image: Image,
}

impl Place {
    /// The workers; which of the functions that it imports nobody gave, and what one for Extism is granted.
    pub(crate) fn client(
        self,
        program: &Program,
        prepared: &Prepared,
        (stubs, extism): (Option<Vec<bool>>, Option<Extism>),
    ) -> Client {
        Client::of(self.binding, program, self.image, prepared, Some(AsPlugin { stubs, extism }))
    }
}

/// What whoever talks to a worker has to know of its plugin.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) world: Arc<World>,
    /// Functions of this process.
    pub(crate) imports: Option<Arc<dyn Imports>>,
    /// Whether they are called on the thread of whoever calls the plugin.
    pub(crate) inline: bool,
    /// Where they find memories of the guest that calls them.
    pub(crate) views: Arc<Views>,
}
