//! Snapshots as files: what is told of one, and the way back to a snapshot under a policy of this day.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::captured::{self, Captured, Kept};
use super::fork::{self, Snapshot};
use super::handed::{self, Head, Told};
use crate::error::{Error, Parts, Result};
use crate::host::SessionFunctions;
use crate::language::value::{Item, Reader};
use crate::policy::{Policy, wider};
use crate::prepared::Prepared;
use crate::run::Sandbox;
use crate::snapshot::SnapshotKey;
use crate::snapshot::place::Making;
use crate::snapshot::read_pages;
use crate::snapshot::sealed::{self, Doubt, Proven, Sealing};
use crate::text::{cut, quote};
use crate::worker::Carried;

/// Longest reason that something of a worker is refused for, in characters.
const WHY_CHARS: usize = 600;

/// How a snapshot is saved.
#[derive(Clone, Copy, Debug)]
pub struct Saving<'a> {
    /// What authenticates the file.
    pub key: &'a SnapshotKey,
    /// What the caller calls its language.
    pub language: &'a str,
    /// What the caller calls the pack, for whoever has another one.
    pub pack: &'a str,
    /// Something of the caller's own, handed back as it is.
    pub note: &'a str,
}

/// What a file tells of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedFacts {
    /// The version of Ringfence that wrote it.
    pub ringfence: String,
    /// The engine that ran it: told, and not compared. Nothing in the file was made by a compiler.
    pub engine: String,
    /// When it was saved, in seconds since 1970.
    pub saved: u64,
    /// What its caller called its language.
    pub language: String,
    /// What its caller called the pack.
    pub pack: String,
    /// SHA-256 of its program, in hexadecimal.
    pub program: String,
    /// The policy, as JSON.
    pub policy: String,
    /// The functions of its host that its code knows, by name.
    pub functions: Vec<String>,
    /// Something of the caller's own.
    pub note: String,
    /// How large its memory is, in bytes.
    pub memory_bytes: u64,
    /// How many calls its guest had begun.
    begun: u64,
    kept: Kept,
}

/// A file that was proven, and has yet to become a snapshot.
pub struct SavedSnapshot {
    shown: String,
    proven: Proven,
    facts: SavedFacts,
}

impl Snapshot {
    /// Writes it to a file: whole or not at all, for its owner alone.
    pub fn save(&self, path: &Path, saving: &Saving<'_>) -> Result<()> {
        self.check_process("nothing is saved of this snapshot of")?;
        let prepared;
        let held = match &self.kept {
            fork::Kept::Here(here) => {
                prepared = here.captured.prepared().clone();
                Held::Here(&here.captured)
            }
            fork::Kept::Apart(carried) => {
                prepared = self.recipe().prepare(None)?.0;
                Held::Apart(self.looked_at(carried, &prepared)?)
            }
        };
        let facts = SavedFacts {
            ringfence: env!("CARGO_PKG_VERSION").into(),
            engine: prepared.build(),
            saved: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            language: saving.language.into(),
            pack: saving.pack.into(),
            program: prepared.program_digest().unwrap_or_default().into(),
            policy: prepared.policy.to_json()?,
            functions: self.known.clone(),
            note: saving.note.into(),
            memory_bytes: held.memory_bytes(),
            begun: self.begun,
            kept: held.kept()?,
        };
        write(path, saving.key, &facts, |each| held.save(each))
    }

    /// What a worker has written of it, which may have fallen: nothing is signed that another program would not go on from
    /// as from any guest's memory.
    fn looked_at(&self, carried: &Carried, prepared: &Prepared) -> Result<Told> {
        let wrong = |why: &str| {
            Error::session(
                format!("nothing is saved of this snapshot of `{}`", self.recipe().name()),
                format!("its worker wrote what is no session: {}", quote(&cut(why, WHY_CHARS))),
                "call `restart()` on its session, or open a new one: what is in this one cannot be kept",
            )
        };
        let (file, length) = carried.handle();
        let told = handed::told(prepared, file, length).map_err(|error| wrong(&error.to_string()))?;
        if told.head.secrets != prepared.policy.secrets {
            return Err(wrong("it names other secrets than its policy"));
        }
        let Head { memory_bytes, secrets, kept } = &told.head;
        let checked = kept.check_memory(prepared, secrets, *memory_bytes, told.body());
        checked.map_err(|error| wrong(&error.to_string()))?;
        Ok(told)
    }
}

/// What is saved: a capture of this process, or what a worker wrote of one.
enum Held<'a> {
    Here(&'a Captured),
    Apart(Told),
}

impl Held<'_> {
    fn memory_bytes(&self) -> u64 {
        match self {
            Self::Here(captured) => captured.size() as u64,
            Self::Apart(told) => told.head.memory_bytes,
        }
    }

    fn kept(&self) -> Result<Kept> {
        match self {
            Self::Here(captured) => captured.kept(),
            Self::Apart(told) => Ok(told.head.kept.clone()),
        }
    }

    fn save(&self, each: &mut dyn FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
        match self {
            Self::Here(captured) => captured.save(each),
            Self::Apart(told) => each(told.body()),
        }
    }
}

impl SavedSnapshot {
    /// Reads a file and proves it: nothing else of it is looked at before.
    pub fn read(path: &Path, key: &SnapshotKey) -> Result<Self> {
        Self::from_bytes(bytes_of(path)?, &path.to_string_lossy(), key)
    }

    /// The same of bytes that were read already; `name` is for messages.
    pub fn from_bytes(bytes: Vec<u8>, name: &str, key: &SnapshotKey) -> Result<Self> {
        let shown = quote(name);
        let proven = Proven::of(bytes, key).map_err(|doubt| doubtful(&shown, &doubt))?;
        // Who holds the key wrote it: another version, or an own program.
        let facts: SavedFacts = serde_json::from_slice(proven.text()).map_err(|error| {
            if serde_json::from_slice::<serde_json::Value>(proven.text())
                .is_ok_and(|facts| facts.get("plugin").is_some())
            {
                return Error::SnapshotMismatch(Parts::new(
                    format!("the snapshot `{shown}` is of no session"),
                    "it is of a plugin",
                    "load it with its program: `ringfence.PluginSnapshot.load(path, program)`",
                ));
            }
            let why = format!("its head is authentic and not understood: {}", quote(&error.to_string()));
            damaged(&shown, &why)
        })?;
        facts.kept.check().map_err(|why| damaged(&shown, why))?;
        Ok(Self { shown, proven, facts })
    }

    /// What it tells of itself.
    pub fn facts(&self) -> &SavedFacts {
        &self.facts
    }

    /// How long the file is, in bytes.
    pub fn file_bytes(&self) -> usize {
        self.proven.len()
    }

    /// How many bytes of memory are in it; nothing of them is kept.
    pub(super) fn unpacked(&self) -> std::io::Result<u64> {
        let mut unpacked = 0;
        let size = usize::try_from(self.facts.memory_bytes).map_err(std::io::Error::other)?;
        read_pages(self.proven.body(), size, &mut |_, pages| {
            unpacked += pages.len() as u64;
            Ok(())
        })?;
        Ok(unpacked)
    }

    /// Refuses a program that is not the one that it was saved with.
    pub fn check_program(&self, digest: &str) -> Result<()> {
        if digest == self.facts.program {
            return Ok(());
        }
        let pack = quote(&self.facts.pack);
        let start = |digest: &str| quote(digest.get(..16).unwrap_or(digest));
        Err(self.mismatch(format!(
            "it is memory of {pack} with the digest {}…, and what is here has {}…",
            start(&self.facts.program),
            start(digest)
        )))
    }

    fn mismatch(&self, why: String) -> Error {
        let (language, version) = (quote(&self.facts.language), quote(&self.facts.ringfence));
        Error::SnapshotMismatch(Parts::new(
            format!("the snapshot `{}` cannot go on here", self.shown),
            why,
            format!(
                "take the pack that Ringfence {version} came with: `ringfence languages install {language}` from there; \
                 or make the state anew, and save it again"
            ),
        ))
    }

    /// A snapshot of it for forks under the sandbox's policy, which may be narrower than the one that it was saved
    /// under, and wider only where that is asked for.
    pub fn open(
        &self,
        sandbox: &Sandbox,
        functions: Option<Arc<dyn SessionFunctions>>,
        allow_wider: bool,
    ) -> Result<Snapshot> {
        let prepared = sandbox.prepared()?;
        self.check_program(prepared.program_digest().unwrap_or_default())?;
        if !self.facts.kept.is_over(&prepared) {
            let why = "this version takes the memory of its program apart in another way";
            return Err(self.mismatch(why.into()));
        }
        let saved = Policy::from_json(&self.facts.policy, Path::new("/"))?;
        if !allow_wider {
            self.refuse_wider(sandbox.policy(), &saved)?;
        }
        let SavedFacts { kept, memory_bytes, .. } = &self.facts;
        let limit = sandbox.policy().limits.memory.0;
        if *memory_bytes > limit {
            return Err(Error::policy(
                format!("no snapshot from `{}`", self.shown),
                format!("its memory has {memory_bytes} bytes, and the limit `memory` is {limit}"),
                "raise `memory` in the policy's limits",
            ));
        }
        let damage = |error: std::io::Error| match error.raw_os_error() {
            Some(_) => self.no_memory(&error),
            None => damaged(&self.shown, &error.to_string()),
        };
        let body = self.proven.body();
        let kept = match sandbox.worker() {
            None => {
                let captured = kept.open(prepared, sandbox.name(), &saved.secrets, *memory_bytes, body);
                fork::Kept::here(captured.map_err(damage)?)
            }
            Some(_) => {
                kept.check_memory(&prepared, &saved.secrets, *memory_bytes, body).map_err(damage)?;
                let head = Head { memory_bytes: *memory_bytes, secrets: saved.secrets, kept: kept.clone() };
                fork::Kept::Apart(self.carried(&head)?)
            }
        };
        Ok(Snapshot::loaded(sandbox, kept, functions, self.facts.functions.clone(), self.facts.begun))
    }

    /// The same for workers.
    fn carried(&self, head: &Head) -> Result<Carried> {
        let (body, room) = (self.proven.body(), handed::room(self.proven.len() as u64));
        let carried = Carried::written(room, |file| handed::write(head, |each| each(body), file, room));
        carried.map_err(|error| self.no_memory(&error))
    }

    /// The file is as it was written; the system has no room for what is in it.
    fn no_memory(&self, error: &std::io::Error) -> Error {
        Error::system(format!("no snapshot from `{}`", self.shown), error, captured::NO_MEMORY)
    }

    /// Nobody holds the saved grants open: they are compared by where they lead now.
    fn refuse_wider(&self, policy: &Policy, saved: &Policy) -> Result<()> {
        let found = resolved(policy).wider_than(&resolved(saved));
        wider::refuse(format!("no snapshot from `{}` under that policy", self.shown), &found)
    }
}

/// Writes a file of facts and of a memory: whole or not at all, for its owner alone.
pub(crate) fn write(
    path: &Path,
    key: &SnapshotKey,
    facts: &impl Serialize,
    save: impl FnOnce(&mut dyn FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()>,
) -> Result<()> {
    let failed = |error: std::io::Error| {
        let what = format!("the snapshot was not saved at `{}`", quote(&path.to_string_lossy()));
        Error::system(what, &error, "name a file in a directory that you may write to, where there is room")
    };
    let text = serde_json::to_vec(facts).map_err(|error| failed(error.into()))?;
    let making = Making::at(path).map_err(failed)?;
    let write = || {
        let mut sealing = Sealing::begin(std::io::BufWriter::new(making.file()), key, &text)?;
        save(&mut |piece| sealing.write(piece))?;
        sealing.finish().map(drop)
    };
    write().and_then(|()| making.finish()).map_err(failed)
}

/// What a file holds, of which nothing is believed yet.
pub(crate) fn bytes_of(path: &Path) -> Result<Vec<u8>> {
    let shown = quote(&path.to_string_lossy());
    let what = || format!("no snapshot at `{shown}`");
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::SnapshotNotFound(Parts::new(
            what(),
            "there is no such file",
            "name a file that `snapshot.save` wrote; `ringfence session list` lists those with names",
        )),
        _ => Error::system(what(), &error, "name a file that you may read"),
    };
    // A pipe is not waited for.
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC | rustix::fs::OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).map_err(|error| failed(error.into()))?;
    let file = std::fs::File::from(file);
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Error::snapshot(what(), "it is no regular file", "name a file that `snapshot.save` wrote"));
    }
    let bytes = sealed::read(&file).map_err(failed)?;
    Ok(bytes)
}

/// The same policy with the hosts of its grants as they are behind all links; one that is not there stays as written.
pub(crate) fn resolved(policy: &Policy) -> Policy {
    let mut resolved = policy.clone();
    for host in resolved.dirs.iter_mut().filter_map(|dir| dir.host.as_mut()) {
        if let Ok(real) = host.canonicalize() {
            *host = real;
        }
    }
    resolved
}

/// The names of functions in what a guest is told of them.
pub(super) fn names(list: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(list);
    let (mut names, mut is_name) = (Vec::new(), false);
    while let Ok(item) = reader.item() {
        // Maps of texts: a name is what follows the key.
        match item {
            Item::Text(text) if is_name => {
                names.push(text.to_owned());
                is_name = false;
            }
            Item::Text("name") => is_name = true,
            _ => is_name = false,
        }
    }
    names
}

pub(crate) fn doubtful(shown: &str, doubt: &Doubt) -> Error {
    let what = format!("the snapshot `{shown}` cannot be loaded");
    match doubt {
        Doubt::Other => Error::snapshot(
            format!("`{shown}` is no saved snapshot"),
            "it does not begin as those do",
            "name a file that `snapshot.save` wrote",
        ),
        Doubt::Format(format) if *format > sealed::FORMAT => Error::SnapshotNewer(Parts::new(
            what,
            format!("its format is {format}, and this Ringfence reads {}", sealed::FORMAT),
            "take the version of Ringfence that saved it, or a newer one",
        )),
        Doubt::Format(format) => damaged(shown, &format!("there is no format {format}")),
        Doubt::Key { of_caller: true } => Error::SnapshotForeign(Parts::new(
            what,
            "it was saved with a key that was passed in, and that is another one",
            "pass the same: `Snapshot.load(path, key=…)`",
        )),
        Doubt::Key { of_caller: false } => Error::SnapshotForeign(Parts::new(
            what,
            "it was saved with the key of an installation, and that is not this user's on this machine",
            "save it with a key of your own, and load it with the same: `snapshot.save(path, key=…)`",
        )),
        Doubt::Damaged(why) => damaged(shown, why),
    }
}

pub(crate) fn damaged(shown: &str, why: &str) -> Error {
    Error::snapshot(
        format!("the snapshot `{shown}` cannot be loaded"),
        why,
        "take another copy of it, or save it again: one that is not as it was written is never used",
    )
}

impl std::fmt::Debug for SavedSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SavedSnapshot").field("shown", &self.shown).finish_non_exhaustive()
    }
}
