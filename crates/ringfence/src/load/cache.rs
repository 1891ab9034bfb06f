//! The cache of compiled code: entries that our own compiler wrote, proven before they are mapped.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{MemfdFlags, SealFlags};

use crate::error::Result;
use crate::load::cache_dir::{CacheDir, EntryLock, Temporary, UNFINISHED, Unusable, standard_path};
use crate::load::image::reopened;
use crate::load::inventory::{self, CacheInfo, Pruned};
use crate::load::seal::{Identity, Seal};
use crate::load::unfinished::Place;

/// Largest compiled program, in bytes. CPython with numpy and pandas compiles to 261 MB.
pub(super) const MAX_CODE_BYTES: u64 = 1 << 30;

/// Size past which the least recently used entries make room for a new one, in bytes.
pub(super) const MAX_CACHE_BYTES: u64 = 8 << 30;

/// How often a use is noted, for `prune` to know which entries were used last.
const NOTED: Duration = Duration::from_secs(60);

/// A private directory of compiled programs.
///
/// An entry is a `.cwasm` file and a `.seal` that only the holder of this cache's key can make. Only what the
/// seal proves is ever mapped; anything else is compiled again.
pub struct Cache {
    path: Option<PathBuf>,
    dir: Option<CacheDir>,
    problem: Option<String>,
}

impl Cache {
    /// The cache of this user: `RINGFENCE_CACHE`, else `$XDG_CACHE_HOME/ringfence/compiled`, else `~/.cache/ringfence/compiled`.
    ///
    /// Fails when others could tamper with it. Where there can be none, programs are compiled for each process:
    /// [`Cache::info`] says why.
    pub fn standard() -> Result<Self> {
        match standard_path() {
            Some(path) => Self::at(&path),
            None => {
                let problem = "neither RINGFENCE_CACHE, XDG_CACHE_HOME nor HOME is set".to_owned();
                Ok(Self { path: None, dir: None, problem: Some(problem) })
            }
        }
    }

    /// The cache in this directory, made if it is not there.
    pub fn at(path: &Path) -> Result<Self> {
        let (dir, problem) = match CacheDir::open(path) {
            Ok(dir) => (Some(dir), None),
            Err(Unusable::Missing(problem)) => (None, Some(problem)),
            Err(Unusable::Unsafe(error)) => return Err(error),
        };
        Ok(Self { path: Some(path.to_owned()), dir, problem })
    }

    /// No cache: every process compiles for itself.
    pub fn none() -> Self {
        Self { path: None, dir: None, problem: Some("it was turned off".into()) }
    }

    pub(super) fn directory(&self) -> Option<&CacheDir> {
        self.dir.as_ref()
    }

    /// Where it is, and what is in it.
    pub fn info(&self) -> CacheInfo {
        inventory::info(self.path.as_deref(), self.dir.as_ref(), self.problem.clone())
    }

    /// Removes the least recently used entries until no more than `keep_bytes` are left, and whatever killed
    /// processes left behind.
    pub fn prune(&self, keep_bytes: u64) -> Pruned {
        self.dir.as_ref().map(|dir| inventory::prune(dir, keep_bytes)).unwrap_or_default()
    }

    /// The entry of that name, proven to be what our compiler wrote; `None` when there is none such.
    pub(super) fn open(&self, name: &str) -> Option<Proven> {
        let dir = self.dir.as_ref()?;
        let seal_file = dir.open_private(&seal_name(name))?;
        let seal = Seal::read(&seal_file, &dir.key, name)?;

        let file = dir.open_private(&code_name(name))?;
        let identity = Identity::of(&file.metadata().ok()?);
        if seal.identity != Some(identity) {
            // The clock is read before the file, so that no change after it is taken for an old one.
            let now = SystemTime::now();
            if file.metadata().ok()?.len() > MAX_CODE_BYTES || dir.key.tag(name, &file).ok()? != seal.tag {
                return None;
            }
            if identity.is_settled(now) {
                let seal = Seal { tag: seal.tag, identity: Some(identity) };
                // Not needed for this run: without it the next one reads the whole file again.
                let _ = seal.write(dir, &seal_name(name), name);
            }
        }
        note_use(&seal_file);
        let proven = Proven { file, identity };
        proven.is_unchanged().then_some(proven)
    }

    /// Takes the lock of an entry; `None` while another process or thread holds it.
    pub(super) fn try_lock(&self, name: &str) -> Attempt<'_> {
        let Some(dir) = &self.dir else { return Attempt::Pointless };
        match EntryLock::try_new(&dir.fd, format!("{name}.lock")) {
            Ok(Some(lock)) => Attempt::Locked(lock),
            Ok(None) => Attempt::Taken,
            // A cache that cannot be written to can still be read.
            Err(_) => Attempt::Pointless,
        }
    }

    /// Forgets an entry.
    pub(super) fn remove(&self, name: &str) {
        if let Some(dir) = &self.dir {
            dir.remove(&seal_name(name));
            dir.remove(&code_name(name));
        }
    }

    /// Where unfinished work on an entry is kept, and the file; to be asked for by whoever has its lock.
    pub(super) fn unfinished(&self, name: &str) -> Option<(File, Place)> {
        let dir = self.dir.as_ref()?;
        let file = dir.open_unfinished(&unfinished_name(name)).ok()?;
        let place = Place::of(&file, dir.key.of_unfinished(name));
        Some((file, place))
    }

    /// Forgets unfinished work.
    pub(super) fn forget_unfinished(&self, name: &str) {
        if let Some(dir) = &self.dir {
            dir.remove(&unfinished_name(name));
        }
    }

    /// A file for the compiler to write to: in the cache where there is one, else in memory.
    pub(super) fn output(&self) -> std::io::Result<Output<'_>> {
        if let Some(dir) = &self.dir
            && let Ok(temporary) = Temporary::new(&dir.fd)
        {
            return Ok(Output::Cached(dir, temporary));
        }
        Ok(Output::Unnamed(memory_file("ringfence-code")?))
    }
}

/// What came of trying to lock an entry.
pub(super) enum Attempt<'a> {
    /// It is ours, for as long as this is held.
    Locked(#[expect(dead_code, reason = "held, not read")] EntryLock<'a>),
    /// Another compiles it.
    Taken,
    /// There is nothing to share it through.
    Pointless,
}

/// The file a compiler child writes to.
pub(super) enum Output<'a> {
    /// To become an entry of the cache.
    Cached(&'a CacheDir, Temporary<'a>),
    /// For this process only.
    Unnamed(File),
}

impl Output<'_> {
    pub(super) fn file(&self) -> &File {
        match self {
            Self::Cached(_, temporary) => &temporary.file,
            Self::Unnamed(file) => file,
        }
    }

    /// What the compiler wrote, to be mapped; also kept as the entry of that name where there is a cache.
    ///
    /// To be called when the compiler has exited well: nobody writes to the file any more.
    pub(super) fn finish(self, name: &str) -> std::io::Result<Proven> {
        let file = self.file().try_clone()?;
        if let Self::Cached(dir, temporary) = self {
            // Without an entry the next process compiles again, that is all: this one has its code.
            let _ = keep(dir, temporary, name);
        }
        let identity = Identity::of(&file.metadata()?);
        Ok(Proven { file, identity })
    }
}

fn keep(dir: &CacheDir, temporary: Temporary<'_>, name: &str) -> std::io::Result<()> {
    let tag = dir.key.tag(name, &temporary.file)?;
    inventory::make_room(dir, temporary.file.metadata()?.len());
    // First the code, then the seal: code without a seal is not there.
    temporary.rename(&code_name(name))?;
    // Its time stamps are seconds too young to be believed: the identity comes with a later use.
    Seal { tag, identity: None }.write(dir, &seal_name(name), name)
}

/// Notes a use in the seal's time stamp: that of the code belongs to its identity.
fn note_use(seal: &File) {
    let now = SystemTime::now();
    let noted = seal.metadata().and_then(|metadata| metadata.modified());
    if noted.is_ok_and(|noted| now.duration_since(noted).is_ok_and(|age| age > NOTED)) {
        let _ = seal.set_modified(now);
    }
}

fn code_name(name: &str) -> String {
    format!("{name}.cwasm")
}

fn unfinished_name(name: &str) -> String {
    format!("{name}{UNFINISHED}")
}

fn seal_name(name: &str) -> String {
    format!("{name}.seal")
}

/// A file that nobody else can open by name, in memory.
pub(super) fn memory_file(name: &str) -> std::io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?))
}

/// Ends all writing to a file in memory.
pub(super) fn seal(file: &File) -> std::io::Result<()> {
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    Ok(rustix::fs::fcntl_add_seals(file, seals)?)
}

/// Compiled code that our own compiler wrote: proven by its seal, or just written by a child that we started.
///
/// Only this file makes one, and only of this is code mapped.
pub(super) struct Proven {
    file: File,
    identity: Identity,
}

impl Proven {
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// What a worker was handed by the parent that proved it: there is no key on this side of the wall.
    pub(super) fn by_parent(file: File) -> std::io::Result<Self> {
        let identity = Identity::of(&file.metadata()?);
        Ok(Self { file, identity })
    }

    /// The same file for a worker to map: it cannot be written to through this.
    pub(super) fn for_worker(self) -> std::io::Result<Self> {
        // Only a file in memory has seals: a worker could open it again for writing, where no wall sees it.
        if rustix::fs::fcntl_get_seals(&self.file).is_ok() {
            seal(&self.file)?;
        }
        Ok(Self { file: reopened(&self.file)?, identity: self.identity })
    }

    /// Whether the file is still as it was when it was proven; asked again once it is mapped.
    ///
    /// Pruning may take its name away meanwhile, which is a change too, but not of what is in it.
    pub(super) fn is_unchanged(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| {
            let now = Identity::of(&metadata);
            now == self.identity || (metadata.nlink() == 0 && now.has_content_of(&self.identity))
        })
    }
}
