//! The cache's directory: where it is, whether it is private, and its key.
//!
//! Everything inside is reached through the open directory, so that swapping the path changes nothing.

use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::load::program::hex;
use crate::load::seal::Key;
use crate::text::quote;

/// What the keys of a directory are made from.
pub(super) type Secret = Zeroizing<[u8; 32]>;

/// Mode of every file in the cache: its owner's alone.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);
/// Flags of every open in the cache: no link is followed, no pipe waited for, nothing inherited.
const SAFELY: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
const KEY_FILE: &str = "key";
/// How the names of unfinished files begin.
pub(super) const TEMPORARY: &str = "tmp-";
/// How the names of unfinished work end that another compilation goes on from.
pub(super) const UNFINISHED: &str = ".part";

/// Where the cache belongs: `RINGFENCE_CACHE`, `$XDG_CACHE_HOME/ringfence/compiled` or `~/.cache/ringfence/compiled`.
pub fn standard_path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = set("RINGFENCE_CACHE") {
        return std::path::absolute(path).ok();
    }
    let base = set("XDG_CACHE_HOME").filter(|path| path.is_absolute());
    base.or_else(|| Some(set("HOME").filter(|path| path.is_absolute())?.join(".cache")))
        .map(|base| base.join("ringfence").join("compiled"))
}

/// The open directory of a cache and its key.
pub(super) struct CacheDir {
    pub(super) fd: OwnedFd,
    pub(super) key: Key,
    /// Whether nobody else may even read it.
    pub(super) private: bool,
}

/// Why a cache is not used.
pub(super) enum Unusable {
    /// Others could tamper with it: an error, for it says that something is wrong with the machine.
    Unsafe(Error),
    /// It cannot be had here: programs run without.
    Missing(String),
}

impl CacheDir {
    /// Opens the directory, making it and its key on first use.
    pub(super) fn open(path: &Path) -> Result<Self, Unusable> {
        let (fd, mode) = open_ours(path, "cache", "the cache holds native code", "or set RINGFENCE_CACHE")?;
        let mount = rustix::fs::fstatvfs(&fd).map_err(|error| missing("its file system is unknown", error.into()))?;
        if mount.f_flag.contains(StatVfsMountFlags::NOEXEC) {
            return Err(Unusable::Missing("its file system is mounted `noexec`".into()));
        }
        let secret = secret(&fd).map_err(|error| missing("its key cannot be made", error))?;
        Ok(Self { fd, key: Key::from_secret(&secret), private: mode & 0o077 == 0 })
    }

    /// Opens a private regular file of ours for reading; anything else is not there.
    pub(super) fn open_private(&self, name: &str) -> Option<File> {
        open_private(&self.fd, name).ok().flatten()
    }

    /// Opens a private file of ours to be added to, making it if it is not there.
    pub(super) fn open_unfinished(&self, name: &str) -> std::io::Result<File> {
        if open_private(&self.fd, name)?.is_none() {
            self.remove(name);
        }
        let fd = rustix::fs::openat(&self.fd, name, SAFELY | OFlags::RDWR | OFlags::CREATE, PRIVATE)?;
        Ok(File::from(fd))
    }

    /// Removes a file; one that is not there is fine.
    pub(super) fn remove(&self, name: &str) {
        let _ = rustix::fs::unlinkat(&self.fd, name, AtFlags::empty());
    }
}

fn missing(what: &str, error: std::io::Error) -> Unusable {
    Unusable::Missing(format!("{what}: {error}"))
}

/// Opens a directory that nobody else may write to, making it on first use; and its mode. `what` it is, what it holds,
/// and what else could be done are for the refusal.
pub(super) fn open_ours(path: &Path, what: &str, holds: &str, or: &str) -> Result<(OwnedFd, u32), Unusable> {
    let refuse = |why: String| {
        let path = quote(&path.to_string_lossy());
        Unusable::Unsafe(Error::host(
            format!("the {what} `{path}` is not safe to use"),
            format!("{why}, and {holds}"),
            format!("make it yours alone: `chown \"$USER\" '{path}' && chmod 700 '{path}'`, {or}"),
        ))
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    let user = rustix::process::geteuid().as_raw();
    if let Ok(link) = std::fs::symlink_metadata(path)
        && link.is_symlink()
        && link.uid() != user
        && link.uid() != 0
    {
        return Err(refuse(format!("it is a link that belongs to user {}", link.uid())));
    }
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    let fd = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|error| missing("it cannot be opened", made.err().unwrap_or(error.into())))?;
    let stat = rustix::fs::fstat(&fd).map_err(|error| missing("it cannot be looked at", error.into()))?;
    if stat.st_uid != user {
        return Err(refuse(format!("it belongs to user {}, and you are user {user}", stat.st_uid)));
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(refuse(format!("others may write to it (mode {:04o})", stat.st_mode & 0o7777)));
    }
    Ok((fd, stat.st_mode))
}

fn open_private(dir: &OwnedFd, name: &str) -> std::io::Result<Option<File>> {
    let file = match rustix::fs::openat(dir, name, SAFELY | OFlags::RDONLY, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO | Errno::ACCESS) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    let ours = metadata.is_file() && metadata.uid() == rustix::process::geteuid().as_raw();
    Ok((ours && metadata.mode() & 0o077 == 0).then_some(file))
}

/// The secret of a directory, from which its keys are made; made itself on first use.
///
/// One that is damaged, or that others could read, is replaced: what was made with it then counts as foreign.
pub(super) fn secret(dir: &OwnedFd) -> std::io::Result<Secret> {
    if let Some(secret) = read_secret(dir)? {
        return Ok(secret);
    }
    // One process makes it while the others wait. The lock is on the directory itself: it leaves nothing behind.
    rustix::io::retry_on_intr(|| rustix::fs::flock(dir, FlockOperation::LockExclusive))?;
    let secret = match read_secret(dir) {
        Ok(None) => make_secret(dir),
        known => known,
    };
    rustix::fs::flock(dir, FlockOperation::Unlock)?;
    secret?.ok_or_else(|| std::io::Error::other("it cannot be read back"))
}

fn read_secret(dir: &OwnedFd) -> std::io::Result<Option<Secret>> {
    let Some(file) = open_private(dir, KEY_FILE)? else { return Ok(None) };
    let mut secret = Zeroizing::new(Vec::with_capacity(33));
    file.take(33).read_to_end(&mut secret)?;
    Ok(<[u8; 32]>::try_from(secret.as_slice()).ok().map(Zeroizing::new))
}

fn make_secret(dir: &OwnedFd) -> std::io::Result<Option<Secret>> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *secret).map_err(|_| std::io::Error::other("no random numbers"))?;
    let mut temporary = Temporary::new(dir)?;
    temporary.file.write_all(&*secret)?;
    temporary.rename(KEY_FILE)?;
    read_secret(dir)
}

/// An unfinished file in the cache; gone when dropped, unless it was given its name.
pub(super) struct Temporary<'a> {
    dir: &'a OwnedFd,
    name: String,
    pub(super) file: File,
}

impl<'a> Temporary<'a> {
    pub(super) fn new(dir: &'a OwnedFd) -> std::io::Result<Self> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|_| std::io::Error::other("no random numbers"))?;
        let name = format!("{TEMPORARY}{}", hex(&random));
        let fd = rustix::fs::openat(dir, &name, SAFELY | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, PRIVATE)?;
        Ok(Self { dir, name, file: File::from(fd) })
    }

    /// Gives it its name, in one step, in place of what had it.
    pub(super) fn rename(mut self, name: &str) -> std::io::Result<()> {
        rustix::fs::renameat(self.dir, &self.name, self.dir, name)?;
        self.name.clear();
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            let _ = rustix::fs::unlinkat(self.dir, &self.name, AtFlags::empty());
        }
    }
}

/// The only compiler of one entry at this time; the others wait for it.
pub(super) struct EntryLock<'a> {
    dir: &'a OwnedFd,
    name: String,
    _file: File,
}

impl<'a> EntryLock<'a> {
    /// Takes the lock if it is free: `None` when another holds it.
    pub(super) fn try_new(dir: &'a OwnedFd, name: String) -> std::io::Result<Option<Self>> {
        let fd = rustix::fs::openat(dir, &name, SAFELY | OFlags::RDWR | OFlags::CREATE, PRIVATE)?;
        match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK | Errno::INTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // Its last holder may have removed the file between our open and our lock: then it guards nothing.
        let held = rustix::fs::fstat(&fd)?;
        match rustix::fs::statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) if (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino) => {
                Ok(Some(Self { dir, name, _file: File::from(fd) }))
            }
            _ => Ok(None),
        }
    }
}

impl Drop for EntryLock<'_> {
    fn drop(&mut self) {
        let _ = rustix::fs::unlinkat(self.dir, &self.name, AtFlags::empty());
    }
}
