//! The compiler child: a process that compiles one program nobody trusts, and may be killed at any time.
//!
//! Its input is a file on stdin, its output one on stdout, its complaint a few lines on stderr. What it is asked
//! for comes in one variable of its otherwise empty environment, so that every embedding can start it in its own way.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal};
use wasmparser::Parser;
use wasmtime::Engine;

use crate::load::bytes::{Kind, MAX_PROGRAM_BYTES, to_binary};
use crate::load::cache::MAX_CODE_BYTES;
use crate::load::caps::{Counts, Uncounted};
use crate::load::entry::Build;
use crate::load::image::write_sparsely;
use crate::load::type_names;
use crate::load::unfinished::Place;
use crate::load::wit::{Wasi, wit};
use crate::sandbox::engine::Profile;
use crate::snapshot::appendix;
use crate::snapshot::instrument::{Instrumented, instrument};
use crate::worker::wall::Wall;

/// Address space of the compiler, in bytes. CPython with numpy and pandas takes half of it.
pub(super) const MEMORY_BYTES: u64 = 4 << 30;

/// Threads of the compiler: each takes address space of its own, and a machine may have hundreds of processors.
pub(super) const MAX_THREADS: usize = 8;

/// The variable that carries a [`Job`].
pub(super) const JOB_VARIABLE: &str = "RINGFENCE_COMPILE";

/// The program was refused; stderr says why.
pub(super) const EXIT_REFUSED: i32 = 60;
/// The program has more than is compiled, stderr says of what; or the compiler needed more memory than it may use.
pub(super) const EXIT_TOO_MUCH: i32 = 61;
/// Something on our side failed; stderr says what.
pub(super) const EXIT_HOST: i32 = 62;

/// What a compiler child makes of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Code,
    /// Its imports and exports in WIT, which takes reading all its types.
    Wit(Wasi),
}

impl Task {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Code, "code"), (Self::Wit(Wasi::Named), "wit"), (Self::Wit(Wasi::Written), "wit-with-wasi")];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(task, _)| *task == self).map_or("code", |(_, name)| name)
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(task, _)| *task)
    }
}

/// What a compiler child is asked for.
pub(super) struct Job {
    pub(super) task: Task,
    pub(super) profile: Profile,
    pub(super) kind: Kind,
    pub(super) limit: Duration,
    /// The parent's build and process: a child that does not fit them gives up.
    pub(super) build: String,
    pub(super) parent: u32,
    /// What an earlier child has made of it already.
    pub(super) unfinished: Option<Place>,
}

impl Job {
    pub(super) fn to_text(&self) -> String {
        let Self { task, profile, kind, limit, build, parent, unfinished } = self;
        let unfinished = unfinished.as_ref().map_or("-".into(), Place::to_text);
        format!("{} {} {kind} {} {build} {parent} {unfinished}", task.name(), profile.name(), limit.as_secs())
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        Some(Self {
            task: Task::from_name(words.next()?)?,
            profile: Profile::from_name(words.next()?)?,
            kind: Kind::from_name(words.next()?)?,
            limit: Duration::from_secs(words.next()?.parse().ok()?),
            build: words.next()?.to_owned(),
            parent: words.next()?.parse().ok()?,
            unfinished: words.next().and_then(Place::from_text),
        })
    }
}

/// Why there is no compiled code.
enum Failure {
    Refused(String),
    TooMuch(String),
    Host(String),
}

/// What the compiler child runs: compiles stdin to stdout under limits, and gives the exit code.
///
/// For embeddings to call in a process that they start for it; see [`crate::load::set_compiler`].
pub fn compile_child() -> i32 {
    let (code, text) = match std::panic::catch_unwind(compile) {
        Ok(Ok(())) => return 0,
        Ok(Err(Failure::Refused(text))) => (EXIT_REFUSED, text),
        Ok(Err(Failure::TooMuch(text))) => (EXIT_TOO_MUCH, text),
        Ok(Err(Failure::Host(text))) => (EXIT_HOST, text),
        // Whoever panics, guest bytes made it do so; the message is on stderr already.
        Err(_) => (EXIT_REFUSED, "the compiler broke down".to_owned()),
    };
    let _ = writeln!(std::io::stderr(), "{text}");
    code
}

fn compile() -> Result<(), Failure> {
    let job = std::env::var(JOB_VARIABLE).ok().and_then(|text| Job::from_text(&text));
    let job = job.ok_or_else(|| Failure::Host(format!("{JOB_VARIABLE} does not hold a job")))?;
    let unfinished = job.unfinished.as_ref().and_then(|place| place.open(job.parent));
    confine(&job)?;

    let given = read_program()?;
    let binary = to_binary(&given).map_err(Failure::Refused)?;
    Counts::of(&binary).map_err(|uncounted| match uncounted {
        Uncounted::Invalid(text) => Failure::Refused(text),
        Uncounted::Excess(text) => Failure::TooMuch(text),
    })?;
    let is_component = Parser::is_component(&binary);
    if is_component != (job.kind == Kind::Component) {
        return Err(Failure::Refused(format!("it begins like a {} and is none", job.kind)));
    }

    if let Task::Wit(wasi) = job.task {
        let text = wit(&binary, wasi).map_err(Failure::Refused)?;
        let written = stdio(rustix::stdio::stdout())?.write_all(text.as_bytes());
        return written.map_err(|error| Failure::Host(format!("cannot write: {error}")));
    }
    let failed = |error: wasmtime::Error| Failure::Host(format!("{error:#}"));
    let mut config = job.profile.config();
    if let Some(unfinished) = unfinished {
        config.enable_incremental_compilation(unfinished).map_err(failed)?;
    }
    let engine = Engine::new(&config).map_err(failed)?;
    if Build::of(job.profile, &engine).to_hex() != job.build {
        return Err(Failure::Host("the compiler is of another build of Ringfence".into()));
    }
    let instrumented = job.profile.is_instrumented().then(|| instrument(&binary));
    let (binary, image) = match instrumented {
        Some(Ok(Instrumented { wasm, image })) => (Cow::Owned(wasm), Some(Ok(image))),
        // Whoever asks for it as it was given has another profile, and other code.
        Some(Err(why)) if job.profile.captured => return written(&[], Some(Err(why)), &[]),
        Some(Err(why)) => (binary, Some(Err(why))),
        None => (binary, None),
    };
    let code = match job.kind {
        Kind::Module => engine.precompile_module(&binary),
        Kind::Component => engine.precompile_component(&binary),
    };
    let code = code.map_err(|error| match error.is::<wasmtime::OutOfMemory>() {
        true => Failure::TooMuch(String::new()),
        false => Failure::Refused(format!("{error:#}")),
    })?;
    if code.len() as u64 > MAX_CODE_BYTES {
        return Err(Failure::TooMuch(format!(
            "it compiles to {} MiB, more than {}",
            code.len() >> 20,
            MAX_CODE_BYTES >> 20
        )));
    }
    let is_plugin = job.kind == Kind::Component && !job.profile.is_instrumented();
    let names = if is_plugin { type_names::of(&binary) } else { Vec::new() };
    written(&code, image, &names)
}

fn written(code: &[u8], image: Option<Result<Vec<u8>, String>>, names: &[u8]) -> Result<(), Failure> {
    let mut output = stdio(rustix::stdio::stdout())?;
    let code_len = code.len() as u64;
    let written = write_sparsely(&mut output, code).and_then(|()| match image {
        Some(image) => appendix::append(&mut output, code_len, &image),
        None => output.set_len(code_len),
    });
    let written = written.and_then(|()| match names {
        [] => Ok(()),
        names => output.seek(SeekFrom::End(0)).and_then(|_| type_names::append(&mut output, names)),
    });
    written.map_err(|error| Failure::Host(format!("cannot write: {error}")))
}

fn read_program() -> Result<Vec<u8>, Failure> {
    let mut given = Vec::new();
    let mut input = stdio(rustix::stdio::stdin())?.take(MAX_PROGRAM_BYTES + 1);
    input.read_to_end(&mut given).map_err(|error| Failure::Host(format!("cannot read: {error}")))?;
    Ok(given)
}

/// The file itself, without the line buffering that the standard library puts before it.
fn stdio(fd: impl AsFd) -> Result<File, Failure> {
    fd.as_fd().try_clone_to_owned().map(File::from).map_err(|error| Failure::Host(error.to_string()))
}

/// Gives up everything that compiling does not need, before the first byte of the program is read.
fn confine(job: &Job) -> Result<(), Failure> {
    // Without its parent nobody waits for the result. The parent may be gone before we ask to hear of it.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let parent = rustix::process::getppid().map(|parent| parent.as_raw_nonzero().get().cast_unsigned());
    if parent != Some(job.parent) {
        return Err(Failure::Host("the parent process is gone".into()));
    }
    // Where memory runs out, it is this process that goes.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");

    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS) as u64;
    // The parent's clock is the one that counts; this one is for a parent that was stopped.
    let seconds = job.limit.as_secs().saturating_add(2).saturating_mul(threads);
    lower(Resource::As, MEMORY_BYTES)?;
    lower(Resource::Cpu, seconds)?;
    lower(Resource::Core, 0)?;
    lower(Resource::Fsize, MAX_CODE_BYTES)?;
    lower(Resource::Nofile, 32)?;
    // Last: nothing is opened any more.
    Wall::compiler().raise().map_err(|error| Failure::Host(error.to_string()))
}

/// Lowers a limit for good; one that is lower already stays.
fn lower(resource: Resource, wanted: u64) -> Result<(), Failure> {
    let limit = rustix::process::getrlimit(resource).maximum.map_or(wanted, |now| now.min(wanted));
    rustix::process::setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })
        .map_err(|error| Failure::Host(format!("cannot limit the compiler: {error}")))
}
