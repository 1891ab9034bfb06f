//! A plugin's imports: WASI from the policy, all others from the host; what nobody gives is named.

use std::sync::{Arc, Mutex};

use wasmtime::component::{Component, InstancePre, Linker, LinkerInstance, ResourceType};
use wasmtime::{Engine, StoreContextMut};

use super::streams::Standing;
use super::tape::Tape;
use super::values_unsafe::{Lifted, Lowered};
use super::world::World;
use super::{Context, Imports};
use crate::apart;
use crate::error::{Error, Result};
use crate::guest_thread;
use crate::host::Raised;
use crate::link;
use crate::policy::{Policy, WasiLevel};
use crate::sandbox::components::ComponentState;
use crate::sandbox::host_calls::HostCalls;
use crate::sandbox::store::Control;
use crate::text;

/// What came of a function of the host.
type Answer = Arc<Mutex<Option<Tape>>>;

/// Links every import; `given` has the functions for those that are not WASI's.
pub(super) fn link(
    engine: &Engine,
    component: &Component,
    world: &World,
    program: &str,
    policy: &Policy,
    given: Option<&Arc<dyn Imports>>,
) -> Result<InstancePre<ComponentState>> {
    let experimental = policy.wasi == WasiLevel::V0_3;
    let mut missing: Vec<String> = Vec::new();
    for import in &world.wasi {
        if !link::is_provided(import, experimental) {
            missing.push(text::cut(import, 120));
        }
    }
    if given.is_none() {
        for interface in world.imports.iter().filter(|interface| world.wants(interface)) {
            missing.push(match interface.name.as_str() {
                "" => interface.functions.iter().map(|function| text::cut(&function.name, 120)).collect(),
                name => text::cut(name, 120),
            });
        }
    }
    link::refuse(&missing, &text::quote(program))?;

    let mut linker = Linker::new(engine);
    if !world.wasi.is_empty() {
        link::wasi(&mut linker, world.wasi.iter().any(|import| import.starts_with("wasi:http/")), experimental)?;
    }
    let mut index = 0;
    for interface in &world.imports {
        let mut place = match interface.name.as_str() {
            "" => linker.root(),
            name => linker.instance(name).map_err(|error| link::broken(&error))?,
        };
        for (name, of) in &interface.types {
            let Some((number, _)) = world.types.owned(*of).filter(|(_, resource)| resource.is_hosts) else {
                continue;
            };
            let Some(given) = given else { continue };
            let host = Host { given: given.clone(), index: number as usize, title: world.dropped_title(number).into() };
            let added = place.resource_async(name, ResourceType::host_dynamic(number), move |store, object| {
                Box::new(host.clone().drop_object(store, object))
            });
            added.map_err(|error| link::broken(&error))?;
        }
        for function in &interface.functions {
            let Some(given) = given else { continue };
            let flat = world.types.flat_counts(function.params.iter().map(|(_, kind)| *kind), function.result);
            let title = match interface.name.as_str() {
                "" => function.name.clone(),
                name => format!("{name}.{}", function.name),
            };
            let host = Host { given: given.clone(), index, title: text::quote(&title).into() };
            add(&mut place, &function.name, flat, host, function.is_async).map_err(|error| link::broken(&error))?;
            index += 1;
        }
    }
    linker.instantiate_pre(component).map_err(|error| {
        Error::load(
            format!("cannot link `{}`", text::quote(program)),
            format!("incompatible import: {}", text::quote(&format!("{error:#}"))),
            "build it for a released WASI 0.2",
        )
    })
}

/// A function of the host, as the linker has it.
#[derive(Clone)]
struct Host {
    given: Arc<dyn Imports>,
    index: usize,
    title: Arc<str>,
}

impl Host {
    /// One call: it is made outside of the guest's stack, by whoever supervises the guest.
    async fn call(self, (calls, peak): (HostCalls, u64), params: Tape) -> wasmtime::Result<Tape> {
        if self.given.is_stub(self.index) {
            return Err(not_given(&self.title));
        }
        let answer = Answer::default();
        let theirs = answer.clone();
        let Self { given, index, title } = self;
        let work = Box::new(move || {
            let tape = given.call(index, params)?;
            *theirs.lock().unwrap_or_else(|broken| broken.into_inner()) = Some(tape);
            Ok(())
        });
        calls.work(title, work, peak).await.map_err(wasmtime::Error::new)?;
        let tape = answer.lock().unwrap_or_else(|broken| broken.into_inner()).take();
        tape.ok_or_else(|| wasmtime::Error::new(Raised::new("a host function gave no answer")))
    }

    /// One call of a function that reads what the guest writes meanwhile: it has a thread of its own.
    async fn beside(
        self,
        (calls, _): (HostCalls, u64),
        (control, context): (Control, Option<Context>),
        params: Tape,
    ) -> wasmtime::Result<Tape> {
        if self.given.is_stub(self.index) {
            return Err(not_given(&self.title));
        }
        calls.count();
        let (sender, answer) = tokio::sync::oneshot::channel();
        let Self { given, index, title } = self;
        let work = move || {
            let (mut params, mut said) = (Some(params), None);
            apart::inside(&control, || {
                given.beside(context.as_ref(), &mut || said = params.take().map(|params| given.call(index, params)));
            });
            let gone = || Err(Raised::new(format!("`{title}` belongs to an interpreter that exits")));
            // Nobody waits for it where its call is over.
            let _ = sender.send(said.unwrap_or_else(gone));
        };
        guest_thread::start(work)
            .map_err(|error| wasmtime::Error::msg(format!("no thread for a function: {error}")))?;
        match answer.await {
            Ok(answer) => answer.map_err(wasmtime::Error::new),
            Err(_) => Err(wasmtime::Error::new(Raised::new("a host function panicked"))),
        }
    }

    /// The guest has let go of the object of that number.
    fn drop_object(
        self,
        store: StoreContextMut<'_, ComponentState>,
        object: u32,
    ) -> impl Future<Output = wasmtime::Result<()>> + Send + use<> {
        let state = &store.data().state;
        let (calls, peak) = (state.host_calls.clone(), state.limiter.peak());
        let Self { given, index, title } = self;
        async move {
            let work = Box::new(move || given.drop_object(index, object));
            calls.work(title, work, peak).await.map_err(wasmtime::Error::new)
        }
    }
}

/// What a call of a function that nobody gave ends as.
pub(super) fn not_given(title: &str) -> wasmtime::Error {
    wasmtime::Error::msg(format!("its import `{title}` was called, which nobody gave"))
}

/// The calls of the host that are under way, and the most memory so far.
fn calls(state: &ComponentState) -> (HostCalls, u64) {
    (state.state.host_calls.clone(), state.state.limiter.peak())
}

/// Links it; an async function is not in the way of what the guest does meanwhile.
fn wrap<const N: usize, const M: usize>(
    place: &mut LinkerInstance<'_, ComponentState>,
    name: &str,
    host: Host,
    is_async: bool,
) -> wasmtime::Result<()> {
    if !is_async {
        return place.func_wrap_async::<Lifted<N>, Lowered<M>, _>(name, move |mut store, Lifted(mut params)| {
            let host = host.clone();
            Box::new(async move {
                let (calls, over) = (calls(store.data()), store.data().over.clone());
                params.pipe(&mut store, &over)?;
                let _standing = Standing::of(params.streams());
                let mut tape = host.call(calls, params).await?;
                tape.open(&mut store)?;
                Ok(Lowered(tape))
            })
        });
    }
    place.func_wrap_concurrent::<Lifted<N>, Lowered<M>, _>(name, move |accessor, Lifted(mut params)| {
        let host = host.clone();
        Box::pin(async move {
            let (calls, beside) = accessor.with(|mut access| {
                let state = access.get();
                let (over, calls) = (state.over.clone(), calls(state));
                let beside = (state.state.control.clone(), state.context.clone());
                params.pipe(&mut access, &over)?;
                Ok::<_, wasmtime::Error>((calls, beside))
            })?;
            let reads = params.streams().next().is_some();
            let mut tape = match reads {
                true => host.beside(calls, beside, params).await?,
                false => host.call(calls, params).await?,
            };
            accessor.with(|access| tape.open(access))?;
            Ok(Lowered(tape))
        })
    })
}

/// Links it with as many numbers as it takes: wasmtime knows that by its type.
fn add(
    place: &mut LinkerInstance<'_, ComponentState>,
    name: &str,
    (takes, gives): (usize, usize),
    host: Host,
    is_async: bool,
) -> wasmtime::Result<()> {
    macro_rules! by_count {
        ($($count:literal)*) => {
            match (takes, gives) {
                $(($count, 0) => wrap::<$count, 0>(place, name, host, is_async),
                ($count, _) => wrap::<$count, 1>(place, name, host, is_async),)*
                _ => wrap::<0, 1>(place, name, host, is_async),
            }
        };
    }
    by_count!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
}
