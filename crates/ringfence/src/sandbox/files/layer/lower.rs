//! The directory under a layer, of the host or in memory: looked at and read, never written, and no link of it is ever followed here.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, ResolveFlags, fstat, openat, openat2, readlinkat, statat};
use rustix::io::Errno as Failed;

use super::super::beneath::Mounted;
use super::super::handle::{Kind, Stat};
use super::super::kernel::kernel_tree;
use super::super::locate::MAX_PATH_BYTES;
use super::super::memory::Tree;
use super::source::Source;
use crate::sandbox::errno::Errno;

/// A directory under a layer, and the names that lead down from it.
#[derive(Debug)]
pub(in super::super) struct Lower(Base);

#[derive(Debug)]
enum Base {
    Host(Host),
    Memory(Arc<Tree>),
}

/// A directory of the host.
#[derive(Debug)]
struct Host {
    root: Arc<Dir>,
    /// Something like `/proc` is mounted below it.
    has_kernel_tree: bool,
    /// The kernel answered that it has no `openat2`: names are opened one by one.
    one_by_one: AtomicBool,
}

/// What lies at a path of the host.
#[derive(Debug)]
pub(in super::super) struct Found {
    /// Opened only to be named: it can be neither read nor written. What is in memory needs no opening.
    fd: Option<OwnedFd>,
    pub(in super::super) stat: Stat,
}

/// A name in a directory of the host; it may be no UTF-8, and then no guest can name it.
pub(in super::super) struct Name {
    pub(in super::super) name: OsString,
    pub(in super::super) ino: u64,
    pub(in super::super) kind: Option<Kind>,
}

/// Only names a place: nothing is opened that could block or change.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Reads, without waiting for a pipe that took a file's place and without taking a terminal.
const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

impl Lower {
    pub(in super::super) fn new(root: Arc<Dir>, has_kernel_tree: bool) -> Self {
        Self(Base::Host(Host { root, has_kernel_tree, one_by_one: AtomicBool::new(false) }))
    }

    /// A tree in memory.
    pub(super) fn of_tree(tree: Arc<Tree>) -> Self {
        Self(Base::Memory(tree))
    }

    /// Whether it is a directory of the host.
    pub(super) fn is_of_host(&self) -> bool {
        matches!(self.0, Base::Host(_))
    }

    /// Whether a path may be looked up in one step: nothing on the way has to be asked for.
    pub(super) fn is_plain(&self) -> bool {
        !matches!(self.0, Base::Host(Host { has_kernel_tree: true, .. }))
    }

    /// What is at a path, if anything is.
    pub(in super::super) fn look(&self, path: &str) -> Result<Option<Found>, Errno> {
        let host = match &self.0 {
            Base::Host(host) => host,
            Base::Memory(tree) => return Ok(tree.stat(path).map(|stat| Found { fd: None, stat })),
        };
        match host.open(path, LOOK) {
            Ok(fd) => {
                let stat = Stat::of_rustix(&fstat(&fd)?);
                Ok(Some(Found { fd: Some(fd), stat }))
            }
            Err(Failed::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The same, where what is mounted by somebody is not seen.
    pub(in super::super) fn look_on_mount(&self, path: &str) -> Result<Option<Found>, Errno> {
        match self.look(path) {
            Err(Errno::Xdev) => Ok(None),
            looked => looked,
        }
    }

    /// Opens a file to read it.
    pub(in super::super) fn read(&self, path: &str) -> Result<Source, Errno> {
        match &self.0 {
            Base::Host(host) => Ok(Source::whole(File::from(host.open(path, READ)?))),
            Base::Memory(tree) => tree.read(path),
        }
    }

    /// What a link names.
    pub(in super::super) fn target(link: &Found) -> Result<OsString, Errno> {
        let target = readlinkat(link.fd.as_ref().ok_or(Errno::Inval)?, "", Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    /// Whether a directory is a door into the kernel.
    pub(super) fn is_kernel_tree(&self, dir: &Found) -> bool {
        !self.is_plain() && dir.fd.as_ref().is_some_and(|fd| !matches!(kernel_tree(fd), Ok(None)))
    }

    /// Calls `each` with every name in a directory until it returns false.
    pub(in super::super) fn names<E: From<Errno>>(
        &self,
        path: &str,
        mut each: impl FnMut(Name) -> Result<bool, E>,
    ) -> Result<(), E> {
        let errno = |error: Failed| E::from(Errno::from(error));
        let host = match &self.0 {
            Base::Host(host) => host,
            Base::Memory(tree) => {
                for (name, stat) in tree.list(path)? {
                    if !each(Name { name: name.into(), ino: stat.ino, kind: Some(stat.kind) })? {
                        break;
                    }
                }
                return Ok(());
            }
        };
        let dir = host.open(path, READ | OFlags::DIRECTORY).map_err(errno)?;
        let mut buffer = Vec::with_capacity(32 << 10);
        let mut entries = RawDir::new(&dir, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(errno)?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let kind = match entry.file_type() {
                rustix::fs::FileType::Unknown => {
                    let stat = statat(&dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
                    stat.ok().map(|stat| Kind::of_rustix(rustix::fs::FileType::from_raw_mode(stat.st_mode)))
                }
                kind => Some(Kind::of_rustix(kind)),
            };
            let name = Name { name: OsStr::from_bytes(name).to_owned(), ino: entry.ino(), kind };
            if !each(name)? {
                break;
            }
        }
        Ok(())
    }

    /// Opens a path of the host's names without a link or another mount among them; the last is not followed either.
    pub(in super::super) fn open(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        match &self.0 {
            Base::Host(host) => host.open(path, flags),
            Base::Memory(_) => Err(Failed::NOENT),
        }
    }
}

impl Host {
    fn open(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let path = if path.is_empty() { "." } else { path };
        if !self.one_by_one.load(Ordering::Relaxed) && path.len() < MAX_PATH_BYTES {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
            loop {
                match openat2(self.root.as_fd(), path, flags, Mode::empty(), resolve) {
                    // The host moved something while the kernel looked.
                    Err(Failed::AGAIN) => {}
                    Err(Failed::NOSYS | Failed::PERM) => {
                        self.one_by_one.store(true, Ordering::Relaxed);
                        break;
                    }
                    opened => return opened,
                }
            }
        }
        let mount = Mounted::of(&self.root)?;
        let mut names = path.split('/').peekable();
        let mut at: Option<OwnedFd> = None;
        while let Some(name) = names.next() {
            let last = names.peek().is_none();
            let flags = if last { flags } else { LOOK | OFlags::DIRECTORY };
            let above = at.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
            let opened = openat(above, name, flags, Mode::empty())?;
            mount.refuse_other(&opened)?;
            at = Some(opened);
        }
        at.ok_or(Failed::NOENT)
    }
}

/// A path of the host and one more name.
pub(in super::super) fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}
