//! The acts: open, look, list, change. Every act that changes something asks the grant's mode first.

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, OpenOptionsMaybeDirExt, OpenOptionsSyncExt};
use cap_std::fs::Dir;

use super::Files;
use super::handle::{DirHandle, FileHandle, Handle, Kind, Place, Stat};
use super::locate::{FileMount, Intent, Target, joined};
use crate::policy::Mode;
use crate::sandbox::errno::Errno;
use crate::sandbox::limits::Share;
use crate::sandbox::stop::{Fail, Limit, Stop};

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

/// New timestamps; one left out stays.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Times {
    pub accessed: Option<NewTime>,
    pub modified: Option<NewTime>,
}

/// A timestamp to set.
#[derive(Clone, Copy, Debug)]
pub enum NewTime {
    /// The host's time at the act.
    Now,
    /// Nanoseconds since 1970.
    At(u64),
}

/// One name in a directory.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Entry {
    pub name: String,
    pub kind: Kind,
    pub ino: u64,
}

/// The answer where a path leads to a grant's own root, which stays where the policy hung it: Linux's at a mount.
#[derive(Clone, Copy)]
struct AtRoot {
    dir: Errno,
    file: Errno,
}

/// The names in a directory, and the memory they take.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Listing {
    pub entries: Vec<Entry>,
    pub held: Share,
}

impl Files {
    /// Opens a path. What is neither a directory nor a regular file is refused: a pipe may block for ever,
    /// a device may do anything.
    pub fn open_at(&mut self, base: &DirHandle, path: &str, options: OpenOptions) -> Result<Handle, Errno> {
        let Some(seat) = self.open.take(1) else {
            self.denials.note_limit("open_files", &format!("/{}", joined(&base.guest, path)));
            return Err(Errno::Mfile);
        };
        let handle = match self.locate(base, path, options.intent())? {
            Target::Host { dir, mode, path, guest } => self.open_host(&dir, mode, &path, guest, options)?,
            Target::Dir(_) if options.exclusive && options.create => return Err(Errno::Exist),
            Target::Dir(_) if options.write || options.truncate || (options.create && !options.directory) => {
                return Err(Errno::Isdir);
            }
            Target::Dir(dir) => Handle::Dir(dir),
            Target::File(mount) => Handle::File(self.open_granted_file(mount, options)?),
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
        let mut host = cap_std::fs::OpenOptions::new();
        host.read(options.read || !options.write)
            .write(options.write)
            .truncate(options.truncate)
            .maybe_dir(true)
            .nonblock(true)
            .follow(if options.follow { FollowSymlinks::Yes } else { FollowSymlinks::No });
        if options.create && options.exclusive {
            host.create_new(true);
        } else if options.create {
            host.create(true);
        }
        if options.sync {
            host.sync(true);
        }
        if (options.truncate || options.create) && !options.write {
            // The host wants an open for writing; the guest's handle stays without.
            host.write(true);
        }
        let opened = match dir.open_with(path, &host) {
            Err(error) if options.directory && !options.create && error.raw_os_error() == Some(EISDIR) => {
                // A directory opened with the rights of a file: what it may do is decided at each act.
                host = cap_std::fs::OpenOptions::new();
                host.read(true).maybe_dir(true).nonblock(true);
                dir.open_with(path, &host)
            }
            opened => opened,
        };
        let file = opened.map_err(|error| self.failed(error, options.intent(), &guest))?.into_std();
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            let dir = Arc::new(Dir::from_std_file(file));
            return Ok(Handle::Dir(DirHandle { guest, place: Place::Host { dir, mode }, seat: None }));
        }
        if options.directory {
            return Err(Errno::Notdir);
        }
        if !metadata.is_file() {
            self.denials.note(options.intent().kind(), &format!("/{guest}"));
            return Err(Errno::Acces);
        }
        let OpenOptions { read, write, .. } = options;
        Ok(Handle::File(FileHandle { guest, file: Arc::new(file), read, write, mode, seat: None }))
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
        if options.truncate {
            mount.file.set_len(0)?;
        }
        let FileMount { file, mode, guest } = mount;
        Ok(FileHandle { guest, file, read: options.read, write: options.write, mode, seat: None })
    }

    /// What a path leads to.
    pub fn stat_at(&mut self, base: &DirHandle, path: &str, follow: bool) -> Result<Stat, Errno> {
        match self.locate(base, path, Intent::Read)? {
            Target::Dir(dir) => self.stat_dir(&dir),
            Target::File(mount) => Ok(Stat::of_std(&mount.file.metadata()?)),
            Target::Host { dir, path, guest, .. } => {
                let metadata = if follow { dir.metadata(&path) } else { dir.symlink_metadata(&path) };
                metadata
                    .map(|metadata| Stat::of_cap(&metadata))
                    .map_err(|error| self.failed(error, Intent::Read, &guest))
            }
        }
    }

    /// What an open directory is.
    pub fn stat_dir(&self, dir: &DirHandle) -> Result<Stat, Errno> {
        match &dir.place {
            Place::Virtual => Ok(Stat::of_virtual()),
            Place::Host { dir, .. } => Ok(Stat::of_cap(&dir.dir_metadata()?)),
        }
    }

    /// The names in a directory, sorted, without `.` and `..`; a name that is not UTF-8 is left out.
    ///
    /// The host holds them until the guest has read them, all listings of a run under one total.
    pub fn list(&self, dir: &DirHandle) -> Result<Listing, Fail> {
        let full = || Fail::Stop(Stop::Limit(Limit::HostBytes));
        let mut held = self.host_bytes.take(0).ok_or_else(full)?;
        let mut entries: Vec<Entry> = Vec::new();
        let mut keep = |entries: &mut Vec<Entry>, entry: Entry| {
            if !held.grow((size_of::<Entry>() + entry.name.len()) as u64) {
                return Err(full());
            }
            entries.push(entry);
            Ok(())
        };
        if let Place::Host { dir, .. } = &dir.place {
            for entry in dir.entries().map_err(Errno::from)? {
                let entry = entry.map_err(Errno::from)?;
                let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else { continue };
                let ino = entry.metadata().map_or(0, |metadata| Stat::of_cap(&metadata).ino);
                keep(&mut entries, Entry { name, kind: Kind::of_cap(kind), ino })?;
            }
        }
        for mount in self.mounts() {
            let below = if dir.guest.is_empty() {
                Some(mount.at.as_str())
            } else {
                mount.at.strip_prefix(&dir.guest).and_then(|rest| rest.strip_prefix('/'))
            };
            let Some((name, deeper)) = below.map(|below| below.split_once('/').unwrap_or((below, ""))) else {
                continue;
            };
            if name.is_empty() || entries.iter().any(|entry| entry.name == name) {
                continue;
            }
            let is_file = deeper.is_empty() && matches!(mount.root, super::grants::Root::File(_));
            let kind = if is_file { Kind::File } else { Kind::Dir };
            keep(&mut entries, Entry { name: name.to_owned(), kind, ino: 1 })?;
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Listing { entries, held })
    }

    /// Makes a directory.
    pub fn make_dir_at(&mut self, base: &DirHandle, path: &str) -> Result<(), Errno> {
        let (dir, path, guest) = self.writable_place(base, path, AtRoot { dir: Errno::Exist, file: Errno::Exist })?;
        dir.create_dir(path.trim_end_matches('/')).map_err(|error| self.failed(error, Intent::Write, &guest))
    }

    /// Removes an empty directory.
    pub fn remove_dir_at(&mut self, base: &DirHandle, path: &str) -> Result<(), Errno> {
        let itself = matches!(path.rsplit('/').next(), Some("."));
        let busy = if itself { Errno::Inval } else { Errno::Busy };
        let (dir, path, guest) = self.writable_place(base, path, AtRoot { dir: busy, file: Errno::Notdir })?;
        self.refuse_mount_point(&guest)?;
        dir.remove_dir(&path).map_err(|error| self.failed(error, Intent::Write, &guest))
    }

    /// Removes a file or link.
    pub fn unlink_at(&mut self, base: &DirHandle, path: &str) -> Result<(), Errno> {
        let (dir, path, guest) = self.writable_place(base, path, AtRoot { dir: Errno::Isdir, file: Errno::Busy })?;
        if path.ends_with('/') {
            let metadata = dir.symlink_metadata(path.trim_end_matches('/'))?;
            return Err(if metadata.is_dir() { Errno::Isdir } else { Errno::Notdir });
        }
        dir.remove_file(&path).map_err(|error| self.failed(error, Intent::Write, &guest))
    }

    /// Moves within one grant.
    pub fn rename_at(&mut self, from: &DirHandle, old: &str, to: &DirHandle, new: &str) -> Result<(), Errno> {
        let busy = AtRoot { dir: Errno::Busy, file: Errno::Busy };
        let (old_dir, old_path, old_guest) = self.writable_place(from, old, busy)?;
        let (new_dir, new_path, new_guest) = self.writable_place(to, new, busy)?;
        self.refuse_mount_point(&old_guest)?;
        self.refuse_mount_point(&new_guest)?;
        old_dir.rename(&old_path, &new_dir, &new_path).map_err(|error| self.failed(error, Intent::Write, &new_guest))
    }

    /// Makes a second name for a file; both names must lie where writing is granted.
    pub fn link_at(&mut self, from: &DirHandle, old: &str, to: &DirHandle, new: &str) -> Result<(), Errno> {
        let (old_dir, old_path, _) = self.writable_place(from, old, AtRoot { dir: Errno::Perm, file: Errno::Xdev })?;
        let taken = AtRoot { dir: Errno::Exist, file: Errno::Exist };
        let (new_dir, new_path, new_guest) = self.writable_place(to, new, taken)?;
        if old_path.ends_with('/') || new_path.ends_with('/') {
            return Err(Errno::Noent);
        }
        old_dir.hard_link(&old_path, &new_dir, &new_path).map_err(|error| self.failed(error, Intent::Write, &new_guest))
    }

    /// Makes a symbolic link; one that names an absolute path is refused, it would mean the host's root.
    pub fn symlink_at(&mut self, target: &str, base: &DirHandle, path: &str) -> Result<(), Errno> {
        let (dir, path, guest) = self.writable_place(base, path, AtRoot { dir: Errno::Exist, file: Errno::Exist })?;
        if target.starts_with('/') {
            self.denials.note("write", target);
            return Err(Errno::Perm);
        }
        if target.is_empty() || path.ends_with('/') {
            return Err(Errno::Noent);
        }
        if target.contains('\0') {
            return Err(Errno::Inval);
        }
        dir.symlink(target, &path).map_err(|error| self.failed(error, Intent::Write, &guest))
    }

    /// What a symbolic link names; one that names a host path is not told.
    pub fn read_link_at(&mut self, base: &DirHandle, path: &str) -> Result<String, Errno> {
        match self.locate(base, path, Intent::Read)? {
            Target::Dir(_) | Target::File(_) => Err(Errno::Inval),
            Target::Host { dir, path, guest, .. } => {
                let target = dir.read_link_contents(&path).map_err(|error| self.failed(error, Intent::Read, &guest))?;
                let target = target.into_os_string().into_string().map_err(|_| Errno::Ilseq)?;
                if target.starts_with('/') {
                    self.denials.note("read", &format!("/{guest}"));
                    return Err(Errno::Perm);
                }
                Ok(target)
            }
        }
    }

    /// Sets timestamps by path.
    pub fn set_times_at(&mut self, base: &DirHandle, path: &str, follow: bool, times: Times) -> Result<(), Errno> {
        match self.locate(base, path, Intent::Write)? {
            Target::Dir(dir) => self.set_dir_times(&dir, times),
            Target::File(mount) => {
                self.check_mode(mount.mode, &mount.guest)?;
                Ok(mount.file.set_times(times.to_std())?)
            }
            Target::Host { dir, mode, path, guest } => {
                self.check_mode(mode, &guest)?;
                let (accessed, modified) = times.to_cap();
                let set = if follow {
                    dir.set_times(&path, accessed, modified)
                } else {
                    dir.set_symlink_times(&path, accessed, modified)
                };
                set.map_err(|error| self.failed(error, Intent::Write, &guest))
            }
        }
    }

    /// Sets a directory's own timestamps.
    pub fn set_dir_times(&mut self, dir: &DirHandle, times: Times) -> Result<(), Errno> {
        match &dir.place {
            Place::Virtual => {
                self.denials.note("write", &format!("/{}", dir.guest));
                Err(Errno::Acces)
            }
            Place::Host { dir: host, mode } => {
                self.check_mode(*mode, &dir.guest)?;
                Ok(host.try_clone()?.into_std_file().set_times(times.to_std())?)
            }
        }
    }

    /// Sets an open file's timestamps.
    pub fn set_file_times(&mut self, file: &FileHandle, times: Times) -> Result<(), Errno> {
        self.check_mode(file.mode, &file.guest)?;
        Ok(file.file.set_times(times.to_std())?)
    }

    /// A path where writing is granted, in the host directory it lies in.
    fn writable_place(
        &mut self,
        base: &DirHandle,
        path: &str,
        at_root: AtRoot,
    ) -> Result<(Arc<Dir>, String, String), Errno> {
        match self.locate(base, path, Intent::Write)? {
            Target::Host { dir, mode, path, guest } => {
                self.check_mode(mode, &guest)?;
                Ok((dir, path, guest))
            }
            Target::Dir(_) => Err(at_root.dir),
            Target::File(_) => Err(at_root.file),
        }
    }

    fn refuse_mount_point(&self, guest: &str) -> Result<(), Errno> {
        if self.has_mount_below(guest) { Err(Errno::Busy) } else { Ok(()) }
    }

    fn check_mode(&mut self, mode: Mode, guest: &str) -> Result<(), Errno> {
        match mode {
            Mode::Rw => Ok(()),
            Mode::Ro => {
                self.denials.note("write", &format!("/{guest}"));
                Err(Errno::Rofs)
            }
        }
    }

    /// The error number of a failed act; a path that would have led out of its grant is a denial.
    fn failed(&mut self, error: std::io::Error, intent: Intent, guest: &str) -> Errno {
        let escaped = error.raw_os_error().is_none() && error.kind() == std::io::ErrorKind::PermissionDenied;
        if escaped {
            self.denials.note(intent.kind(), &format!("/{guest}"));
        }
        Errno::from(error)
    }
}

impl FileHandle {
    /// What the file is.
    pub fn stat(&self) -> Result<Stat, Errno> {
        Ok(Stat::of_std(&self.file.metadata()?))
    }

    /// Reads from an offset; 0 bytes are the end of the file.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        if !self.read {
            return Err(Errno::Badf);
        }
        retry(|| self.file.read_at(buffer, offset))
    }

    /// Writes at an offset.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        if !self.write {
            return Err(Errno::Badf);
        }
        retry(|| self.file.write_at(bytes, offset))
    }

    /// Writes at the end; returns where the file then ends.
    pub fn append(&self, bytes: &[u8]) -> Result<(usize, u64), Errno> {
        let end = self.file.metadata()?.len();
        let written = self.write_at(bytes, end)?;
        Ok((written, end + written as u64))
    }

    /// Cuts or lengthens the file.
    pub fn set_size(&self, size: u64) -> Result<(), Errno> {
        if !self.write {
            return Err(Errno::Badf);
        }
        Ok(self.file.set_len(size)?)
    }

    /// Lets the bytes reach the disk.
    pub fn sync(&self) -> Result<(), Errno> {
        Ok(self.file.sync_all()?)
    }
}

fn retry(mut act: impl FnMut() -> std::io::Result<usize>) -> Result<usize, Errno> {
    loop {
        match act() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            done => return done.map_err(Errno::from),
        }
    }
}

/// What the host answers to an open for writing of a directory.
const EISDIR: i32 = rustix::io::Errno::ISDIR.raw_os_error();

impl NewTime {
    /// A time as guests write it.
    pub fn at(seconds: u64, nanoseconds: u32) -> Result<Self, Errno> {
        let nanos = seconds.checked_mul(1_000_000_000).and_then(|nanos| nanos.checked_add(u64::from(nanoseconds)));
        nanos.map(Self::At).ok_or(Errno::Overflow)
    }

    fn to_std(self) -> SystemTime {
        match self {
            Self::Now => SystemTime::now(),
            Self::At(nanos) => SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos),
        }
    }

    fn to_cap(self) -> cap_fs_ext::SystemTimeSpec {
        match self {
            Self::Now => cap_fs_ext::SystemTimeSpec::SymbolicNow,
            at => cap_fs_ext::SystemTimeSpec::Absolute(cap_std::time::SystemTime::from_std(at.to_std())),
        }
    }
}

impl Times {
    fn to_std(self) -> std::fs::FileTimes {
        let mut times = std::fs::FileTimes::new();
        if let Some(accessed) = self.accessed {
            times = times.set_accessed(accessed.to_std());
        }
        if let Some(modified) = self.modified {
            times = times.set_modified(modified.to_std());
        }
        times
    }

    fn to_cap(self) -> (Option<cap_fs_ext::SystemTimeSpec>, Option<cap_fs_ext::SystemTimeSpec>) {
        (self.accessed.map(NewTime::to_cap), self.modified.map(NewTime::to_cap))
    }
}
