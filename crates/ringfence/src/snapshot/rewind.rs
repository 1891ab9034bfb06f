//! Back to the beginning: an instance whose call has returned becomes what it was before the call.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;

use wasmtime::{Global, Instance, Memory, Store, Val};

use super::capture::globals;
use super::faults_unsafe::Faults;
use super::image::Image;
use super::own_unsafe::Own;
use super::pagemap_unsafe::gives_back;

/// What of an instance changes while it runs, and what that was before.
///
/// A module is instrumented only where its memory and its mutable globals are all that its code can change.
pub(crate) struct Rewind {
    image: Arc<Image>,
    memory: Memory,
    own: Own,
    globals: Vec<(Global, Val)>,
}

impl Rewind {
    /// What a new instance is whose memory shows `image`, and in which nothing has run; none where it cannot be rewound.
    pub(crate) fn of<T: 'static>(store: &mut Store<T>, instance: &Instance, image: &Arc<Image>) -> Option<Self> {
        let memory = instance.get_memory(&mut *store, "memory")?;
        if !gives_back() || memory.data_size(&*store) != image.len() {
            return None;
        }
        let globals = globals(store, instance).into_iter().map(|global| (global, global.get(&mut *store))).collect();
        Some(Self { image: image.clone(), memory, own: Own::unknown(), globals })
    }

    /// Rewinds it; nothing runs in it, and nothing but a guest on this thread has written to its memory `since` it began.
    ///
    /// Where this fails, nobody may use the instance again.
    pub(crate) fn back<T: 'static>(&mut self, store: &mut Store<T>, since: Option<&Faults>) -> Result<()> {
        let memory = self.memory.data_mut(&mut *store);
        if memory.len() != self.image.len() {
            return Err(ErrorKind::InvalidInput.into());
        }
        self.own.reset(memory, self.image.bytes(), since)?;
        for (global, value) in &self.globals {
            global.set(&mut *store, *value).map_err(Error::other)?;
        }
        Ok(())
    }
}
