//! Instances as packs have them, for the tests of this folder: taken apart, with memory that is lent to them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write;
use std::sync::Arc;

use wasmtime::{
    Engine, Instance, InstancePre, Linker, Memory, Module, Store, StoreLimits, StoreLimitsBuilder, Trap, Val,
};

use super::image::Image;
use super::instrument::{Instrumented, instrument};
use super::{Before, Capture, Lent, Shown, instantiate};
use crate::sandbox::engine::{Engines, Profile};

/// Most that an instance may take, in bytes: what the collector's heap would grow to, too.
const MOST_BYTES: usize = 64 << 20;

/// For each call, where the profile counts it.
const FUEL: u64 = 5_000;

/// A module without its data, and the image of its memory.
pub(super) struct Pack {
    linked: InstancePre<StoreLimits>,
    pub(super) image: Arc<Image>,
}

/// The module itself, without anything of ours.
pub(super) struct Plain(InstancePre<StoreLimits>);

pub(super) struct Live {
    pub(super) store: Store<StoreLimits>,
    pub(super) instance: Instance,
    pub(super) memory: Memory,
    pub(super) shown: Shown,
    pub(super) before: Before,
}

/// Links a module with the functions that it may import.
fn linked(engine: &Engine, wasm: &[u8]) -> Result<InstancePre<StoreLimits>, String> {
    let told = |error: wasmtime::Error| format!("{error:#}");
    let module = Module::new(engine, wasm).map_err(told)?;
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "turn", |word: i32| word.rotate_left(7) ^ 0x55).map_err(told)?;
    linker.func_wrap("host", "hear", |_: i64, _: f64| ()).map_err(told)?;
    linker.instantiate_pre(&module).map_err(told)
}

fn store(engine: &Engine) -> Store<StoreLimits> {
    let mut store = Store::new(engine, StoreLimitsBuilder::new().memory_size(MOST_BYTES).build());
    store.limiter(|limits| limits);
    store.set_epoch_deadline(1 << 60);
    fuel(&mut store);
    store
}

/// Not every profile counts it.
fn fuel(store: &mut Store<StoreLimits>) {
    let _ = store.set_fuel(FUEL);
}

/// Calls a function with fuel of its own.
fn called(
    store: &mut Store<StoreLimits>,
    instance: &Instance,
    name: &str,
    given: &[Val],
) -> wasmtime::Result<Vec<Val>> {
    let function = instance.get_func(&mut *store, name).unwrap();
    let mut results = vec![Val::I32(0); function.ty(&*store).results().len()];
    fuel(store);
    waited(function.call_async(store, given, &mut results))?;
    Ok(results)
}

impl Plain {
    pub(super) fn of(wasm: &[u8], profile: Profile) -> Result<Self, String> {
        Ok(Self(linked(Engines::of(profile).unwrap().roomy().unwrap(), wasm)?))
    }

    /// Whether it can be instantiated.
    pub(super) fn starts(&self) -> bool {
        waited(self.0.instantiate_async(&mut store(self.0.module().engine()))).is_ok()
    }

    /// Makes calls from the beginning on.
    pub(super) fn replayed(&self, calls: &[(String, Vec<Val>)]) -> Replayed {
        let mut store = store(self.0.module().engine());
        let instance = waited(self.0.instantiate_async(&mut store)).unwrap();
        let results = calls.iter().map(|(name, given)| called(&mut store, &instance, name, given)).collect();
        let memory = instance.get_memory(&mut store, "memory").unwrap().data(&store).to_vec();
        Replayed { results, memory, store, instance }
    }
}

/// What came of calls, with all of the memory, and the store for what else there is to see.
pub(super) struct Replayed {
    pub(super) results: Vec<wasmtime::Result<Vec<Val>>>,
    pub(super) memory: Vec<u8>,
    pub(super) store: Store<StoreLimits>,
    pub(super) instance: Instance,
}

/// Whether the same call may end otherwise elsewhere: by how deep a stack or how large a heap of the engine's is.
pub(super) fn depends_on_room(error: &wasmtime::Error) -> bool {
    match error.downcast_ref() {
        Some(trap) => matches!(trap, Trap::StackOverflow | Trap::AllocationTooLarge),
        None => !error.is::<wasmtime::ThrownException>(),
    }
}

impl Pack {
    pub(super) fn of(wasm: &[u8]) -> Result<Self, String> {
        Self::under(wasm, Profile { language: true, ..Profile::default() })
    }

    pub(super) fn under(wasm: &[u8], profile: Profile) -> Result<Self, String> {
        let Instrumented { wasm, image } = instrument(wasm)?;
        let linked = linked(Engines::of(profile).unwrap().lending().unwrap(), &wasm)?;
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
        let mut store = store(self.linked.module().engine());
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
        called(&mut self.store, &self.instance, name, given)
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
