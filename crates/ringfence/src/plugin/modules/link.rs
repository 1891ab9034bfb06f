//! A core module's imports: WASI 0.1 from the policy, functions of numbers from the host.

use std::sync::{Arc, Mutex};

use wasmtime::{Caller, Engine, Extern, FuncType, InstancePre, Linker, Module, Val};

use super::{number, value, word};
use crate::error::{Error, Result};
use crate::host::Raised;
use crate::link;
use crate::plugin::Imports;
use crate::plugin::link::not_given;
use crate::plugin::tape::Tape;
use crate::plugin::types::Number;
use crate::plugin::world::World;
use crate::sandbox::components::ComponentState;
use crate::sandbox::extism::{self, Settings};
use crate::sandbox::views_unsafe::{Place, Seen};
use crate::sandbox::wasi01::{self, Level};
use crate::text;

/// Links every import; `given` has the functions for those that are not WASI's.
pub(in crate::plugin) fn link(
    engine: &Engine,
    module: &Module,
    world: &World,
    program: &str,
    given: Option<&Arc<dyn Imports>>,
    settings: Option<&Settings>,
) -> Result<InstancePre<ComponentState>> {
    let levels = [Level::Preview1, Level::Unstable];
    let missing = world.wasi.iter().filter(|import| !levels.iter().any(|level| level.module() == **import));
    link::refuse(&missing.map(|import| text::cut(import, 120)).collect::<Vec<_>>(), program)?;
    let mut linker = Linker::new(engine);
    for level in levels {
        if world.wasi.iter().any(|import| import == level.module()) {
            wasi01::add_to_linker(&mut linker, level).map_err(|error| link::broken(&error))?;
        }
    }
    if settings.is_some() {
        extism::add_to_linker(&mut linker).map_err(|error| link::broken(&error))?;
    }
    let memories: Arc<[String]> = world.memories.clone().into();
    let mut index = 0;
    for interface in &world.imports {
        for function in &interface.functions {
            let Some(given) = given else { continue };
            let title = match interface.name.as_str() {
                "" => function.name.clone(),
                name => format!("{name}.{}", function.name),
            };
            let Some(kind) = imported(module, &interface.name, &function.name) else { continue };
            let blocks = settings.and_then(|settings| settings.functions.get(&function.name)).cloned();
            let host = Host {
                given: given.clone(),
                index,
                title: text::quote(&title).into(),
                results: kind.results().filter_map(|kind| number(&kind)).collect(),
                blocks: blocks.map(Arc::new),
                memories: memories.clone(),
            };
            let linked =
                linker.func_new_async(&interface.name, &function.name, kind, move |mut caller, params, results| {
                    let host = host.clone();
                    Box::new(async move { host.call(&mut caller, params, results).await })
                });
            linked.map_err(|error| link::broken(&error))?;
            index += 1;
        }
    }
    linker.instantiate_pre(module).map_err(|error| {
        Error::load(
            format!("cannot link `{program}`"),
            format!("incompatible import: {}", text::quote(&format!("{error:#}"))),
            "build it for `wasm32-wasip1`; its WASI headers and ours disagree",
        )
    })
}

fn imported(module: &Module, of: &str, name: &str) -> Option<FuncType> {
    let import = module.imports().find(|import| (import.module(), import.name()) == (of, name))?;
    import.ty().func().cloned()
}

/// A function of the host, as the linker has it.
#[derive(Clone)]
struct Host {
    given: Arc<dyn Imports>,
    index: usize,
    title: Arc<str>,
    results: Arc<[Number]>,
    /// Which parameters are blocks of Extism's memory, and whether the result is one.
    blocks: Option<Arc<(Vec<bool>, bool)>>,
    memories: Arc<[String]>,
}

impl Host {
    /// One call: it is made outside of the guest's stack, and the guest's memories may be looked at meanwhile.
    async fn call(
        self,
        caller: &mut Caller<'_, ComponentState>,
        params: &[Val],
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        if self.given.is_stub(self.index) {
            return Err(not_given(&self.title));
        }
        let Self { given, index, title, results: kinds, blocks, memories } = self;
        let mut tape = Tape::default();
        for (at, param) in params.iter().enumerate() {
            match blocks.as_ref().is_some_and(|blocks| blocks.0.get(at) == Some(&true)) {
                true => tape.bytes(extism::bytes(caller.data(), word(param))?),
                false => tape.word(word(param)),
            }
        }
        let mut places = Vec::new();
        for name in &*memories {
            if let Some(Extern::Memory(memory)) = caller.get_export(name) {
                places.push(Place::of(memory.data_mut(&mut *caller)));
            }
        }
        let (calls, peak, views) = {
            let ComponentState { state, views, .. } = caller.data();
            (state.host_calls.clone(), state.limiter.peak(), views.clone())
        };
        let answer: Arc<Mutex<Option<Tape>>> = Arc::default();
        let theirs = answer.clone();
        let work = Box::new(move || {
            let tape = views.while_shown(Seen::Here(places), || given.call(index, tape))?;
            *theirs.lock().unwrap_or_else(|broken| broken.into_inner()) = Some(tape);
            Ok(())
        });
        calls.work(title, work, peak).await.map_err(wasmtime::Error::new)?;
        let tape = answer.lock().unwrap_or_else(|broken| broken.into_inner()).take();
        let tape = tape.ok_or_else(|| wasmtime::Error::new(Raised::new("a host function gave no answer")))?;
        let mut from = tape.reader();
        if let (Some(result), true) = (results.first_mut(), blocks.is_some_and(|blocks| blocks.1)) {
            *result = Val::I64(extism::kept(caller.data_mut(), from.piece()?)?.cast_signed());
            return Ok(());
        }
        for (result, kind) in results.iter_mut().zip(&*kinds) {
            *result = value(*kind, &mut from)?;
        }
        Ok(())
    }
}
