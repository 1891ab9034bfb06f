//! Loading: the way from a program to code that can be instantiated.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::Engine;

use crate::ending::no_room;
use crate::error::{Error, ROOM, Result};
use crate::load::cache::{Attempt, Cache, Proven};
use crate::load::entry::{Build, entry_name};
use crate::load::image::Image;
use crate::load::patience::{Patience, Watch};
use crate::load::unfinished::LEAST_BYTES;
use crate::load::{Kind, Program, cache_unsafe, compile, memo};
use crate::process_unsafe::whole;
use crate::sandbox::engine::{Engines, Profile};
use crate::snapshot as memory;
use crate::snapshot::appendix::{self, Appendix};
use crate::text::cut;

/// Longest reason that a program cannot be captured, in characters.
const MAX_WHY: usize = 200;

/// Compiled code.
#[derive(Clone)]
#[expect(private_interfaces, reason = "an image is nothing outside of here")]
pub enum Code {
    /// Of a core module.
    Module(wasmtime::Module),
    /// Of a core module whose data were taken out of it, and what its memory begins with.
    Imaged(wasmtime::Module, Arc<memory::Image>),
    /// Of a component, and what its types are called, to be read by whoever needs it.
    Component(wasmtime::component::Component, Arc<[u8]>),
    /// None, of a core module that was to be captured and cannot be; and why.
    Uncaptured(String),
}

impl Code {
    /// Slots of a pool that one run of it takes: the most of what it has several of. Unknown for a component that
    /// instantiates what it imports, which ours cannot.
    pub(crate) fn needs(&self) -> u32 {
        let resources = match self {
            Self::Module(module) | Self::Imaged(module, _) => Some(module.resources_required()),
            Self::Component(component, _) => component.resources_required(),
            Self::Uncaptured(_) => None,
        };
        resources.map_or(1, |resources| resources.num_memories.max(resources.num_tables).max(1))
    }
}

/// A program's code, and the engine it belongs to.
///
/// As long as one `code` lives, loading the same program again in this process gives the same.
#[derive(Clone)]
pub struct Loaded {
    /// The code.
    pub code: Arc<Code>,
    /// The engine to link and run it with: the pool, or the roomy one for what does not fit there.
    pub engine: Engine,
    /// Whether nothing had to be compiled.
    pub from_cache: bool,
}

/// Loads a program, from this user's cache or by compiling it in a child process within `compile_limit`.
pub fn load(program: &Program, engines: &Engines, compile_limit: Duration, watch: Option<Watch<'_>>) -> Result<Loaded> {
    captured(program, load_to_capture(program, engines, compile_limit, watch)?)
}

/// Refuses code that is none.
fn captured(program: &Program, loaded: Loaded) -> Result<Loaded> {
    match &*loaded.code {
        Code::Uncaptured(why) => Err(Error::load(
            format!("no snapshot of `{}`", program.name()),
            why,
            "build it without that, or run it from its beginning: `Sandbox.run`",
        )),
        _ => Ok(loaded),
    }
}

/// The same for whoever can do without a snapshot: why there is none is told as its code.
pub(crate) fn load_to_capture(
    program: &Program,
    engines: &Engines,
    compile_limit: Duration,
    watch: Option<Watch<'_>>,
) -> Result<Loaded> {
    engines.check_process()?;
    match find(program, engines.profile()) {
        Some(loaded) => Ok(loaded),
        None => load_in(&Cache::standard()?, program, engines, compile_limit, watch),
    }
}

/// The same with a cache of the caller's choice.
pub fn load_in(
    cache: &Cache,
    program: &Program,
    engines: &Engines,
    compile_limit: Duration,
    watch: Option<Watch<'_>>,
) -> Result<Loaded> {
    let known = || find(program, engines.profile()).map(|loaded| (loaded, None));
    load_or(&known, cache, program, engines, compile_limit, watch).map(|(loaded, _)| loaded)
}

/// Whether a program would start without being compiled: its code is in the cache, and proven.
pub fn is_compiled(program: &Program, engines: &Engines) -> Result<bool> {
    engines.check_process()?;
    let name = entry_name(program, engines.profile(), Build::of(engines.profile(), engines.usual()?));
    Ok(Cache::standard()?.open(&name).is_some())
}

/// Loads a program, and gives the file of its compiled code too, for workers to map.
pub(crate) fn load_for_worker(
    program: &Program,
    engines: &Engines,
    compile_limit: Duration,
    watch: Option<Watch<'_>>,
) -> Result<(Loaded, Image)> {
    let unreadable = |why: &str| Error::host("no code for a worker", why, "run `ringfence doctor`");
    let (loaded, proven) = load_or(&|| None, &Cache::standard()?, program, engines, compile_limit, watch)?;
    let loaded = captured(program, loaded)?;
    let proven = proven.ok_or_else(|| unreadable("its file is gone"))?;
    let image = proven.for_worker().map_err(|error| unreadable(&error.to_string()))?;
    Ok((loaded, Image::new(image)))
}

/// In a worker: maps code that the parent process proved.
pub(crate) fn map_image(kind: Kind, engines: &Engines, file: File) -> Result<(Code, Engine)> {
    let failed = |why: String| Error::host("a worker cannot map its code", why, "run `ringfence doctor`");
    let proven = Proven::by_parent(file).map_err(|error| failed(error.to_string()))?;
    map(kind, engines, &proven).map_err(|error| failed(cut(&format!("{error:#}"), 500)))
}

fn load_or(
    known: &dyn Fn() -> Option<(Loaded, Option<Proven>)>,
    cache: &Cache,
    program: &Program,
    engines: &Engines,
    compile_limit: Duration,
    watch: Option<Watch<'_>>,
) -> Result<(Loaded, Option<Proven>)> {
    engines.check_process()?;
    let profile = engines.profile();
    let build = Build::of(profile, engines.first()?);
    let name = entry_name(program, profile, build);
    let patience = Patience::new(program, compile_limit, watch);
    let ready = || known().or_else(|| from_cache(cache, &name, program, engines));

    let _lock = loop {
        if let Some(loaded) = ready() {
            return Ok(loaded);
        }
        match cache.try_lock(&name) {
            Attempt::Taken => std::thread::sleep(patience.next()?.min(Duration::from_millis(10))),
            // Its last holder may just have finished the entry.
            attempt => match ready() {
                Some(loaded) => return Ok(loaded),
                None => break attempt,
            },
        }
    };
    // Whatever has the name is damaged, foreign or from another build: we alone may replace it now.
    cache.remove(&name);
    let failed = |error: std::io::Error| {
        let what = format!("cannot keep what was compiled from `{}`", program.name());
        Error::system(what, &error, "make room on the disk and in memory, then run `ringfence doctor`")
    };
    let output = cache.output().map_err(failed)?;
    let is_large = program.is_language() && program.size() >= LEAST_BYTES;
    let unfinished = is_large.then(|| cache.unfinished(&name)).flatten();
    let (_file, place) = unfinished.unzip();
    compile::compile(program, profile, build, output.file(), place, &patience)?;
    let proven = output.finish(&name).map_err(failed)?;
    cache.forget_unfinished(&name);
    let (code, engine) = map(program.kind(), engines, &proven).map_err(|error| {
        let why = cut(&format!("{error:#}"), 500);
        let fix = if no_room(&error).is_some() { ROOM } else { "run `ringfence doctor`" };
        Error::host(format!("cannot map the code of `{}`", program.name()), why, fix)
    })?;
    Ok((keep(program, profile, code, engine, false), Some(proven)))
}

fn find(program: &Program, profile: Profile) -> Option<Loaded> {
    memo::find(program, profile).map(|(code, engine)| Loaded { code, engine, from_cache: true })
}

fn from_cache(cache: &Cache, name: &str, program: &Program, engines: &Engines) -> Option<(Loaded, Option<Proven>)> {
    let proven = cache.open(name)?;
    if let Some(loaded) = find(program, engines.profile()) {
        return Some((loaded, Some(proven)));
    }
    // Code that is proven and yet cannot be mapped is compiled again: then the error is told.
    let (code, engine) = map(program.kind(), engines, &proven).ok()?;
    Some((keep(program, engines.profile(), code, engine, true), Some(proven)))
}

fn keep(program: &Program, profile: Profile, code: Code, engine: Engine, from_cache: bool) -> Loaded {
    let code = Arc::new(code);
    memo::remember(program, profile, &code, &engine);
    Loaded { code, engine, from_cache }
}

/// Maps code into the pool's engine, or where it does not fit into that, into the roomy one.
fn map(kind: Kind, engines: &Engines, proven: &Proven) -> wasmtime::Result<(Code, Engine)> {
    whole(|| map_whole(kind, engines, proven))
}

fn map_whole(kind: Kind, engines: &Engines, proven: &Proven) -> wasmtime::Result<(Code, Engine)> {
    if engines.profile().is_instrumented() {
        let appendix = appendix::read(proven.file())?;
        let appendix = appendix.ok_or_else(|| wasmtime::Error::msg("the code of a language pack has no end"))?;
        if let Appendix::None { why } = &appendix
            && engines.profile().captured
        {
            return Ok((Code::Uncaptured(cut(why, MAX_WHY)), engines.lending().map_err(host)?.clone()));
        }
        if let Appendix::Image { at, len } = appendix {
            let engine = engines.lending().map_err(host)?;
            let Code::Module(module) = cache_unsafe::map(engine, kind, proven)? else {
                return Err(wasmtime::Error::msg("a component has no image"));
            };
            let image = memory::Image::of(proven.file().try_clone()?, at, len, len)?;
            return Ok((Code::Imaged(module, Arc::new(image)), engine.clone()));
        }
    }
    let usual = engines.usual().map_err(host)?;
    let (code, engine) = match cache_unsafe::map(usual, kind, proven) {
        Ok(code) if code.needs() <= engines.size() || !engines.is_pooled() => (code, usual),
        Ok(_) | Err(_) if engines.is_pooled() => {
            let roomy = engines.roomy().map_err(host)?;
            (cache_unsafe::map(roomy, kind, proven)?, roomy)
        }
        Ok(code) => (code, usual),
        Err(error) => return Err(error),
    };
    // The first instance would wait for it otherwise.
    match &code {
        Code::Module(module) | Code::Imaged(module, _) => module.initialize_copy_on_write_image()?,
        Code::Component(component, _) => component.initialize_copy_on_write_image()?,
        Code::Uncaptured(_) => {}
    }
    Ok((code, engine.clone()))
}

fn host(error: Error) -> wasmtime::Error {
    wasmtime::Error::msg(error.to_string())
}
