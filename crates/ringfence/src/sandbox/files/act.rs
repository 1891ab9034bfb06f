//! The acts: open, look, list, change. Every act that changes something asks the grant's mode first.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use cap_std::fs::Dir;
use rustix::fs::OFlags;

use super::bytes::Bytes;
use super::disk::NewName;
use super::handle::{DirHandle, FileHandle, Handle, Place, Stat};
use super::layer::node::DirNode;
use super::layer::{Layer, Opened, Refused};
use super::locate::{FileMount, Granted, Intent, Target, joined};
use super::{Files, beneath};
use crate::policy::Mode;
use crate::sandbox::errno::Errno;

/// Opening never waits for a pipe's other end, nor makes a terminal this process's own.
pub(super) const AT_ONCE: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY);

/// How a path is opened.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct OpenOptions {
    pub read: bool,
    pub write: bool,
    pub create: bool,
    pub exclusive: bool,
    pub truncate: bool,
    pub directory: bool,
    pub follow: bool,
    pub sync: bool,
}

impl OpenOptions {
    fn intent(&self) -> Intent {
        if self.write || self.create || self.truncate { Intent::Write } else { Intent::Read }
    }
}

impl Files {
    /// Opens a path. What is neither a directory nor a regular file is refused: a pipe may block for ever,
    /// a device may do anything.
    pub fn open_at(&mut self, base: &DirHandle, path: &str, options: OpenOptions) -> Result<Handle, Errno> {
        self.check_path(path)?;
        if options.directory && (options.create || options.exclusive || options.truncate) {
            // Linux refuses it too: it would leave a file where a directory was asked for.
            return Err(Errno::Inval);
        }
        let Some(seat) = self.open.take(1) else {
            self.denials.note_limit("open_files", &format!("/{}", joined(&base.guest, path)));
            return Err(Errno::Mfile);
        };
        let handle = match self.locate(base, path, options.intent())? {
            Target::Host { dir, mode, path, guest } => self.open_host(&dir, mode, &path, guest, options)?,
            Target::Dir(_) if options.exclusive && options.create => return Err(Errno::Exist),
            Target::Dir(_) if options.write || options.truncate || options.create => return Err(Errno::Isdir),
            Target::Dir(dir) => Handle::Dir(dir),
            Target::File(mount) => Handle::File(self.open_granted_file(mount, options)?),
            Target::Layer { layer, dir, path, guest } => self.open_in_layer(&layer, &dir, &path, guest, options)?,
        };
        Ok(handle.seated(seat))
    }

    fn open_host(
        &mut self,
        dir: &Dir,
        mode: Mode,
        path: &str,
        guest: String,
        options: OpenOptions,
    ) -> Result<Handle, Errno> {
        if options.intent() == Intent::Write {
            self.check_mode(mode, &guest)?;
        }
        let opened = match self.create_or_open(dir, path, &guest, options)? {
            Err(error) if options.directory && error.raw_os_error() == Some(EISDIR) => {
                // A directory opened with the rights of a file: what it may do is decided at each act.
                open_beneath(dir, path, OpenOptions { follow: options.follow, ..OpenOptions::default() })
            }
            opened => opened,
        };
        let file = opened.map_err(|error| self.failed(error, options.intent(), &guest))?;
        let metadata = file.metadata()?;
        self.refuse_strange(&file, &metadata, options.intent(), &guest)?;
        if metadata.is_dir() {
            let dir = Arc::new(Dir::from_std_file(file));
            return Ok(Handle::Dir(DirHandle { guest, place: Place::Host { dir, mode }, seat: None }));
        }
        if options.directory {
            return Err(Errno::Notdir);
        }
        let file = Granted::Host(Arc::new(file));
        Ok(Handle::File(self.open_mount(FileMount { file, mode, guest }, options)?))
    }

    fn open_in_layer(
        &mut self,
        layer: &Arc<Layer>,
        dir: &Arc<DirNode>,
        path: &str,
        guest: String,
        options: OpenOptions,
    ) -> Result<Handle, Errno> {
        if options.intent() == Intent::Write {
            self.check_mode(layer.mode, &guest)?;
        }
        let opened = layer.open(dir, path, options, &guest, |file| self.check_file(file, &guest));
        match opened.map_err(|refused| self.refused(refused, options.intent(), &guest))? {
            Opened::Dir(dir) => {
                let place = Place::Layer { layer: layer.clone(), dir };
                Ok(Handle::Dir(DirHandle { guest, place, seat: None }))
            }
            Opened::File(open) => Ok(Handle::File(open_file(Bytes::Layer(open), layer.mode, guest, options)?)),
        }
    }

    /// Opens on the host. A file that is made is counted, so whether it is made has to be known.
    fn create_or_open(
        &mut self,
        dir: &Dir,
        path: &str,
        guest: &str,
        options: OpenOptions,
    ) -> Result<std::io::Result<std::fs::File>, Errno> {
        let open = |options: OpenOptions| open_beneath(dir, path, options);
        if !options.create {
            return Ok(open(options));
        }
        if !options.exclusive {
            match open(OpenOptions { create: false, write: true, ..options }) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                opened => return Ok(opened),
            }
        }
        let name = NewName { dir, path, follow: options.follow && !options.exclusive };
        match self.disk.naming(guest, name, || open(OpenOptions { exclusive: true, ..options }))? {
            // A link that leads to nothing yet, or another run was faster.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && !options.exclusive => {
                self.disk.naming(guest, name, || open(options))
            }
            opened => Ok(opened),
        }
    }

    /// The guest's handle of a file; cuts it where that was asked for.
    pub(super) fn open_mount(&mut self, mount: FileMount, options: OpenOptions) -> Result<FileHandle, Errno> {
        let FileMount { file, mode, guest } = mount;
        let bytes = match file {
            Granted::Host(file) => {
                let counted = if mode == Mode::Rw { Some(self.disk.count(&file)?) } else { None };
                Bytes::Host { file, counted }
            }
            Granted::Layer(file) => Bytes::Layer(file.open(|file| self.check_file(file, &guest))?),
            Granted::Null => Bytes::Null,
        };
        open_file(bytes, mode, guest, options)
    }

    /// Refuses a file of the host that is not what it was when it was found.
    pub(super) fn check_file(&mut self, file: &std::fs::File, guest: &str) -> Result<(), Errno> {
        let metadata = file.metadata()?;
        self.refuse_strange(file, &metadata, Intent::Read, guest)?;
        if metadata.is_file() { Ok(()) } else { Err(Errno::Isdir) }
    }

    /// Refuses an opened file that is neither a directory nor a regular file, or only looks like one.
    pub(super) fn refuse_strange(
        &mut self,
        file: &std::fs::File,
        metadata: &std::fs::Metadata,
        intent: Intent,
        guest: &str,
    ) -> Result<(), Errno> {
        let usual = metadata.is_dir() || metadata.is_file();
        if usual && !self.devices.is_kernel_tree(metadata.dev(), file) {
            return Ok(());
        }
        self.denials.note(intent.kind(), &format!("/{guest}"));
        Err(Errno::Acces)
    }

    fn open_granted_file(&mut self, mount: FileMount, options: OpenOptions) -> Result<FileHandle, Errno> {
        if options.directory {
            return Err(Errno::Notdir);
        }
        if options.create && options.exclusive {
            return Err(Errno::Exist);
        }
        if options.intent() == Intent::Write {
            self.check_mode(mount.mode, &mount.guest)?;
        }
        self.open_mount(mount, options)
    }

    /// What a path leads to.
    pub fn stat_at(&mut self, base: &DirHandle, path: &str, follow: bool) -> Result<Stat, Errno> {
        match self.locate(base, path, Intent::Read)? {
            Target::Dir(dir) => self.stat_dir(&dir),
            Target::File(FileMount { file: Granted::Host(file), .. }) => Ok(Stat::of_std(&file.metadata()?)),
            Target::File(FileMount { file: Granted::Layer(file), .. }) => file.stat(),
            Target::File(FileMount { file: Granted::Null, .. }) => Ok(Stat::of_null()),
            Target::Layer { layer, dir, path, guest } => {
                layer.stat(&dir, &path, follow).map_err(|refused| self.refused(refused, Intent::Read, &guest))
            }
            Target::Host { dir, path, guest, .. } => {
                // A slash behind a link means what it leads to, with a dot or without.
                let follow = follow || path.ends_with('/') || path.ends_with("/.");
                beneath::stat(&dir, &path, follow).map_err(|error| self.failed(error, Intent::Read, &guest))
            }
        }
    }

    /// What an open directory is.
    pub fn stat_dir(&self, dir: &DirHandle) -> Result<Stat, Errno> {
        match &dir.place {
            Place::Virtual => Ok(Stat::of_virtual()),
            Place::Host { dir, .. } => Ok(Stat::of_cap(&dir.dir_metadata()?)),
            Place::Layer { dir, .. } => Ok(dir.stat()),
        }
    }

    /// What a symbolic link names; one that names a host path is not told.
    pub fn read_link_at(&mut self, base: &DirHandle, path: &str) -> Result<String, Errno> {
        let (target, guest) = match self.locate(base, path, Intent::Read)? {
            Target::Dir(_) | Target::File(_) => return Err(Errno::Inval),
            Target::Host { dir, path, guest, .. } => {
                let read = || {
                    if path.ends_with('/') {
                        // What it leads to, and that is no link.
                        return beneath::stat(&dir, &path, true).and(Err(rustix::io::Errno::INVAL.into()));
                    }
                    let (above, name) = beneath::parent(&dir, &path)?;
                    above.read_link_contents(name)
                };
                let target = read().map_err(|error| self.failed(error, Intent::Read, &guest))?;
                (target.into_os_string(), guest)
            }
            Target::Layer { layer, dir, path, guest } => {
                let target = layer.read_link(&dir, &path);
                (target.map_err(|refused| self.refused(refused, Intent::Read, &guest))?, guest)
            }
        };
        let target = target.into_string().map_err(|_| Errno::Ilseq)?;
        if target.starts_with('/') {
            self.denials.note("read", &format!("/{guest}"));
            return Err(Errno::Perm);
        }
        Ok(target)
    }

    pub(super) fn check_mode(&mut self, mode: Mode, guest: &str) -> Result<(), Errno> {
        match mode {
            Mode::Rw | Mode::Overlay | Mode::Memory => Ok(()),
            Mode::Ro => {
                self.denials.note("write", &format!("/{guest}"));
                Err(Errno::Rofs)
            }
        }
    }

    /// The error number of what a layer refused.
    pub(super) fn refused(&mut self, refused: Refused, intent: Intent, guest: &str) -> Errno {
        match refused {
            Refused::Errno(errno) => errno,
            Refused::Denied(errno) => {
                self.denials.note(intent.kind(), &format!("/{guest}"));
                errno
            }
        }
    }

    /// The error number of a failed act; a path that would have led out of its grant is a denial.
    pub(super) fn failed(&mut self, error: std::io::Error, intent: Intent, guest: &str) -> Errno {
        let escaped = error.raw_os_error().is_none() && error.kind() == std::io::ErrorKind::PermissionDenied;
        if escaped {
            self.denials.note(intent.kind(), &format!("/{guest}"));
        }
        Errno::from(error)
    }
}

/// The guest's handle of a file; cuts it where that was asked for.
fn open_file(bytes: Bytes, mode: Mode, guest: String, options: OpenOptions) -> Result<FileHandle, Errno> {
    let OpenOptions { read, write, .. } = options;
    let mut handle = FileHandle { guest, bytes, read, write: true, mode, seat: None };
    if options.truncate {
        handle.set_size(0)?;
    }
    handle.write = write;
    Ok(handle)
}

/// Asks the host. Cutting is left out: it is done, and counted, when it is known what was opened.
fn open_beneath(dir: &Dir, path: &str, options: OpenOptions) -> std::io::Result<std::fs::File> {
    // Who makes or cuts a file opens it for writing; the guest's handle stays without.
    let write = options.write || options.create || options.truncate;
    let mut flags = AT_ONCE
        | match (options.read || !options.write, write) {
            (true, true) => OFlags::RDWR,
            (_, true) => OFlags::WRONLY,
            (_, false) => OFlags::RDONLY,
        };
    flags.set(OFlags::CREATE, options.create);
    flags.set(OFlags::EXCL, options.create && options.exclusive);
    flags.set(OFlags::NOFOLLOW, !options.follow);
    flags.set(OFlags::SYNC, options.sync);
    beneath::open(dir, path, flags).map(std::fs::File::from)
}

/// What the host answers to an open for writing of a directory.
const EISDIR: i32 = rustix::io::Errno::ISDIR.raw_os_error();
