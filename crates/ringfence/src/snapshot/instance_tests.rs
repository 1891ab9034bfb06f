//! Instances as packs have them, for the tests of this folder: taken apart, with memory that is lent to them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write;
use std::sync::Arc;

use wasmtime::{Instance, InstancePre, Linker, Memory, Module, Store, Val};

use super::image::Image;
use super::instrument::{Instrumented, instrument};
use super::{Before, Capture, Lent, Shown, instantiate};
use crate::sandbox::engine::{Engines, Profile};

/// A module without its data, and the image of its memory.
pub(super) struct Pack {
    linked: InstancePre<()>,
    pub(super) image: Arc<Image>,
}

pub(super) struct Live {
    pub(super) store: Store<()>,
    pub(super) instance: Instance,
    pub(super) memory: Memory,
    pub(super) shown: Shown,
    pub(super) before: Before,
}

impl Pack {
    pub(super) fn of(wasm: &[u8]) -> Result<Self, String> {
        let Instrumented { wasm, image } = instrument(wasm)?;
        let engines = Engines::of(Profile { language: true, ..Profile::default() }).unwrap();
        let engine = engines.lending().unwrap();
        let module = Module::new(engine, wasm).map_err(|error| format!("{error:#}"))?;
        let linked = Linker::new(engine).instantiate_pre(&module).map_err(|error| format!("{error:#}"))?;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&image).unwrap();
        let image = Image::of(file, 0, image.len(), image.len()).unwrap();
        Ok(Self { linked, image: Arc::new(image) })
    }

    pub(super) fn module(&self) -> &Module {
        self.linked.module()
    }

    pub(super) fn start(&self) -> wasmtime::Result<Live> {
        self.with(Lent::of(&self.image).unwrap(), Before::default())
    }

    pub(super) fn fork(&self, capture: &Capture) -> Live {
        let mut live = self.with(capture.memory(None).unwrap(), capture.as_before()).unwrap();
        capture.set_globals(&mut live.store, &live.instance).unwrap();
        live
    }

    fn with(&self, lent: Lent, before: Before) -> wasmtime::Result<Live> {
        let shown = lent.shown().unwrap();
        let mut store = Store::new(self.linked.module().engine(), ());
        store.set_epoch_deadline(1 << 60);
        let instance = waited(instantiate(&mut store, &self.linked, Some(lent)))?;
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        Ok(Live { store, instance, memory, shown, before })
    }
}

impl Live {
    /// As a session captures it.
    pub(super) fn capture(&mut self) -> Capture {
        self.capture_and_perhaps_rebase(false)
    }

    /// The same, in the large way though it is small.
    pub(super) fn capture_and_perhaps_rebase(&mut self, large: bool) -> Capture {
        let image = self.shown.image().unwrap();
        let mut capture = Capture::of(&mut self.store, &self.instance, self.memory, &image, &self.before);
        if large || capture.is_due() {
            capture = capture.rebased().unwrap();
            self.shown.become_image(&mut self.store, self.memory, capture.image()).unwrap();
        }
        self.before = capture.as_before();
        capture
    }

    pub(super) fn call(&mut self, name: &str, given: &[Val]) -> wasmtime::Result<Vec<Val>> {
        let function = self.instance.get_func(&mut self.store, name).unwrap();
        let mut results = vec![Val::I32(0); function.ty(&self.store).results().len()];
        waited(function.call_async(&mut self.store, given, &mut results))?;
        Ok(results)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.memory.data(&self.store)
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.data_mut(&mut self.store)
    }
}

pub(super) fn waited<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}
