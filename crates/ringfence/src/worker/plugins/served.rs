//! The plugin of a worker, as the worker serves it.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use zeroize::Zeroizing;

use super::messages::{Callback, Gave, Handed, Invoke, Plug, Settled, Touch, Touched};
use crate::ending::Ending;
use crate::error::Result;
use crate::host::Raised;
use crate::plugin::{Access, Accessed, Asked, Imports, Inside, Linked, Returned, Tape, Telling, nothing};
use crate::policy::Policy;
use crate::result::{Outcome, RunResult};
use crate::sandbox::files::Space;
use crate::sandbox::http::Secrets;
use crate::sandbox::stop::{Limit, Stop};
use crate::sandbox::views_unsafe::Views;
use crate::session::Given;
use crate::worker::child::{no_space, refused};
use crate::worker::protocol::{Answer, AsPlugin, Ended, Request};
use crate::worker::proxy::Line;
use crate::worker::served::handed;
use crate::worker::turns::most_tail;

/// What a worker has of plugins: several that are loaded, and an instance of one of them.
#[derive(Default)]
pub(in crate::worker) struct Plugins {
    ready: HashMap<u32, Linked>,
    inside: Option<Inside>,
    calling: Arc<Calling>,
}

/// What is under way.
#[derive(Default)]
struct Calling {
    /// The number of the request.
    request: AtomicU64,
    /// Whether a function of the parent was called with more than crosses.
    is_too_much: AtomicBool,
}

/// An answer, with the two parts of its tail.
type Said = (Answer, [Vec<u8>; 2]);

impl Plugins {
    /// Forgets a plugin that was loaded.
    pub(in crate::worker) fn forget(&mut self, program: u32) {
        self.ready.remove(&program);
    }

    /// Keeps one that is linked by `link`, with the functions of the parent and what it asks and tells.
    pub(in crate::worker) fn load(
        &mut self,
        program: u32,
        AsPlugin { stubs, extism }: AsPlugin,
        (policy, parent): (&Policy, &Line),
        link: impl FnOnce(Telling) -> Result<Linked>,
    ) -> Result<()> {
        let calling = || self.calling.clone();
        let (line, current) = (parent.clone(), calling());
        let look = Arc::new(move || {
            let number = current.request.load(Ordering::Relaxed);
            line.with(|parent| parent.lets_go_on(number))
        });
        let (line, current) = (parent.clone(), calling());
        let begins: crate::plugin::Begins = Arc::new(move |control, host_calls| {
            line.begins(current.request.load(Ordering::Relaxed), control, host_calls);
        });
        let most = most_tail(&policy.limits);
        let views: Arc<Views> = Arc::default();
        let proxy = |stubs| Proxy { line: parent.clone(), stubs, most, calling: calling(), views: views.clone() };
        let imports = stubs.map(|stubs| Arc::new(proxy(stubs)) as Arc<dyn Imports>);
        self.ready.insert(program, link(Telling { imports, views, extism, look, begins })?);
        Ok(())
    }

    /// Makes an instance, in the place of the one before.
    pub(in crate::worker) fn plug(
        &mut self,
        plug: Plug,
        policy: &Policy,
        descriptors: Vec<OwnedFd>,
        number: u64,
    ) -> Result<()> {
        self.inside = None;
        let ready = self.ready.get(&plug.program).ok_or_else(|| refused("the plugin is not loaded"))?;
        let mut descriptors = descriptors.into_iter();
        let mut directory = |comes: bool| match comes {
            true => descriptors.next().map(Some).ok_or_else(|| refused("a plugin's directories are missing")),
            false => Ok(None),
        };
        let (tmp, layers) = (directory(plug.tmp)?, directory(plug.layers)?);
        let space = Space::handed(tmp, layers).map_err(|error| no_space(&error))?;
        let values = plug.secrets.into_iter().map(|value| value.map(Zeroizing::new)).collect();
        let secrets = Secrets::with_values(&policy.secrets, values)?;
        self.calling.begins(number);
        self.inside = Some(ready.open(Given { space, secrets })?);
        Ok(())
    }

    /// Calls a function of it.
    pub(in crate::worker) fn invoke(
        &mut self,
        invoke: Invoke,
        tail: Vec<u8>,
        descriptors: Vec<OwnedFd>,
        number: u64,
    ) -> Result<Said> {
        let Some(inside) = &mut self.inside else { return Err(refused("there is no plugin")) };
        let params = tape(invoke.params, tail, descriptors)?;
        let asked = Asked { wall: Some(Duration::from_nanos(invoke.wall_nanos)), ..Asked::default() };
        self.calling.begins(number);
        let (returned, usage) = inside.call(invoke.function.map(place), params, &invoke.dropped, &asked)?;
        let most = most_tail(inside.limits());
        Ok(match returned {
            Returned::Values(tape) => {
                let (counts, bytes) = tape.pack();
                if bytes.len() as u64 > most {
                    let result = too_much(nothing(Ending::stopped(Stop::Limit(Limit::HostBytes))));
                    return Ok((Answer::Ended(Box::new(Ended::of(&result))), Default::default()));
                }
                let (fuel, memory_bytes) = (usage.last_fuel, usage.memory);
                (Answer::Gave(Gave { counts, fuel, memory_bytes }), [bytes, Vec::new()])
            }
            Returned::Ended(result) => {
                let result = if self.calling.is_too_much.load(Ordering::Relaxed) { too_much(*result) } else { *result };
                let ended = Ended::of(&result);
                (Answer::Ended(Box::new(ended)), [result.stdout, result.stderr])
            }
        })
    }
}

impl Plugins {
    /// Reads or writes a memory or a global of it, with what is read.
    pub(in crate::worker) fn touch(
        &mut self,
        touch: Touch,
        tail: Vec<u8>,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(Touched, Vec<u8>)> {
        let Some(inside) = &self.inside else { return Err(refused("there is no plugin")) };
        match touch {
            Touch::Global(index) => {
                let tape = inside.global(place(index))?;
                let word = tape.reader().word().map_err(|_| refused("a global has no value"))?;
                Ok((Touched::Word(word), Vec::new()))
            }
            Touch::Set { global, word } => {
                let mut tape = Tape::default();
                tape.word(word);
                inside.set_global(place(global), &tape).map(|()| (Touched::Written, Vec::new()))
            }
            touch => touched(touch, tail, descriptors, |memory, access| inside.memory(memory, access)),
        }
    }
}

fn place(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// Does it with a memory.
fn touched(
    touch: Touch,
    tail: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    access: impl FnOnce(usize, Access<'_>) -> Result<Accessed>,
) -> Result<(Touched, Vec<u8>)> {
    let done = match touch {
        Touch::Size(memory) => access(place(memory), Access::Size)?,
        Touch::Read { memory, at, len } => access(place(memory), Access::Read { at, len })?,
        Touch::Write { memory, at, bytes } => {
            let bytes = handed(bytes, tail, &mut descriptors.into_iter())?;
            access(place(memory), Access::Write { at, bytes: &bytes })?
        }
        Touch::Grow { memory, pages } => access(place(memory), Access::Grow(pages))?,
        Touch::Global(_) | Touch::Set { .. } => return Err(refused("a global is for between two calls")),
    };
    Ok(match done {
        Accessed::Size(size) => (Touched::Size(size), Vec::new()),
        Accessed::Bytes(bytes) => (Touched::Read, bytes),
        Accessed::Written => (Touched::Written, Vec::new()),
        Accessed::Outside(size) => (Touched::Outside(size), Vec::new()),
        Accessed::Full => (Touched::Full, Vec::new()),
    })
}

impl Calling {
    fn begins(&self, number: u64) {
        self.request.store(number, Ordering::Relaxed);
        self.is_too_much.store(false, Ordering::Relaxed);
    }
}

/// The result of a guest whose values are more than the host holds for it.
fn too_much(result: RunResult) -> RunResult {
    let limit = Some(Limit::HostBytes.name());
    RunResult { outcome: Outcome::Limited, limit, exit_code: None, trap: None, backtrace: None, ..result }
}

fn tape(handed_over: Handed, tail: Vec<u8>, descriptors: Vec<OwnedFd>) -> Result<Tape> {
    let bytes = handed(handed_over.place, tail, &mut descriptors.into_iter())?;
    Tape::unpack(handed_over.counts, bytes.into()).map_err(|_| refused("values are not as long as what came"))
}

/// The functions of the parent.
struct Proxy {
    line: Line,
    stubs: Vec<bool>,
    most: u64,
    calling: Arc<Calling>,
    /// Memories of the guest that calls them.
    views: Arc<Views>,
}

impl Proxy {
    /// Calls what has that place in the parent.
    fn asked(&self, index: usize, params: Tape) -> std::result::Result<Tape, Raised> {
        let (counts, bytes) = params.pack();
        drop(params);
        if bytes.len() as u64 > self.most {
            self.calling.is_too_much.store(true, Ordering::Relaxed);
            return Err(Raised::new("it was called with more than crosses"));
        }
        let function = u32::try_from(index).unwrap_or(u32::MAX);
        let callback =
            |cpu_nanos, memory_bytes| Answer::Callback(Callback { function, counts, cpu_nanos, memory_bytes });
        let touch = &mut |touch, tail, descriptors| {
            touched(touch, tail, descriptors, |memory, access| {
                let done = self.views.access(memory, true, access);
                done.unwrap_or_else(|| Err(refused("there is no such memory")))
            })
        };
        match self.line.ask(&bytes, callback, touch)? {
            (Request::Settled(Settled { result: Some(result), .. }), tail, descriptors) => {
                tape(result, tail, descriptors).map_err(|error| Raised::new(error.to_string()))
            }
            _ => Err(Raised::new("a function of the parent broke")),
        }
    }
}

impl Imports for Proxy {
    fn call(&self, index: usize, params: Tape) -> std::result::Result<Tape, Raised> {
        self.asked(index, params)
    }

    fn is_stub(&self, index: usize) -> bool {
        self.stubs.get(index).copied().unwrap_or(false)
    }

    fn drop_object(&self, resource: usize, number: u32) -> std::result::Result<(), Raised> {
        let mut params = Tape::default();
        params.word(u64::from(number));
        self.asked(self.stubs.len().saturating_add(resource), params).map(drop)
    }
}
