//! The files of a run behind the handles of components: what every level's `wasi:filesystem` asks for.

use std::hash::{DefaultHasher, Hash, Hasher};

use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::{ResourceTableError, filesystem};

use crate::sandbox::errno::Errno;
use crate::sandbox::files::{DirHandle, FileHandle, Handle, Kind, Listing, OpenOptions, Stat, Times};
use crate::sandbox::stop::{Fail, Limit, Stop};
use crate::sandbox::store::State;

pub(crate) struct HasFiles;

impl HasData for HasFiles {
    type Data<'a> = FilesView<'a>;
}

/// The files of a run and the table its handles live in.
pub(crate) struct FilesView<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) table: &'a mut ResourceTable,
}

/// A descriptor as the bindings name it: with the engine's own type, while the table holds ours.
pub(crate) type Descriptor = Resource<filesystem::Descriptor>;

/// What a descriptor of ours is.
struct Open {
    handle: Handle,
    preopen: bool,
    mutate: bool,
}

/// How a component opens a path: the flags of its level by name.
#[derive(Clone, Copy)]
pub(crate) struct Opening {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) mutate: bool,
    pub(crate) sync: bool,
    pub(crate) create: bool,
    pub(crate) exclusive: bool,
    pub(crate) truncate: bool,
    pub(crate) directory: bool,
    pub(crate) follow: bool,
}

/// What a descriptor may be used for.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rights {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) mutate: bool,
}

impl From<ResourceTableError> for Fail {
    fn from(error: ResourceTableError) -> Self {
        match error {
            ResourceTableError::Full => Stop::Limit(Limit::HostBytes).into(),
            _ => Errno::Badf.into(),
        }
    }
}

impl FilesView<'_> {
    fn open(&self, fd: &Descriptor) -> Result<&Open, Fail> {
        Ok(self.table.get(&Resource::<Open>::new_borrow(fd.rep()))?)
    }

    fn dir(&self, fd: &Descriptor) -> Result<DirHandle, Fail> {
        match &self.open(fd)?.handle {
            Handle::Dir(dir) => Ok(dir.clone()),
            Handle::File(_) => Err(Errno::Notdir.into()),
        }
    }

    pub(crate) fn file(&self, fd: &Descriptor) -> Result<FileHandle, Fail> {
        match &self.open(fd)?.handle {
            Handle::File(file) => Ok(file.clone()),
            Handle::Dir(_) => Err(Errno::Isdir.into()),
        }
    }

    fn push(&mut self, open: Open) -> Result<Descriptor, Fail> {
        Ok(Resource::new_own(self.table.push(open)?.rep()))
    }

    /// The answer to an act; where the policy ends a run that is refused something, this is the end.
    fn done<T>(&self, done: Result<T, Errno>) -> Result<T, Fail> {
        if self.state.files.denials.stopped() {
            return Err(Stop::Denied.into());
        }
        Ok(done?)
    }

    pub(crate) fn preopens(&mut self) -> wasmtime::Result<Vec<(Descriptor, String)>> {
        let handle = Handle::Dir(self.state.files.root());
        let root = self.table.push(Open { handle, preopen: true, mutate: true })?;
        Ok(vec![(Resource::new_own(root.rep()), "/".into())])
    }

    pub(crate) fn open_at(&mut self, fd: &Descriptor, path: &str, opening: Opening) -> Result<Descriptor, Fail> {
        let dir = self.dir(fd)?;
        let Opening { read, write, mutate, sync, create, exclusive, truncate, directory, follow } = opening;
        // Who makes or cuts a file writes it; who does not ask to write it reads it.
        let (read, write) = (read || !write, write || create || truncate);
        let options = OpenOptions { read, write, create, exclusive, truncate, directory, follow, sync };
        let opened = self.state.files.open_at(&dir, path, options);
        let handle = self.done(opened)?;
        self.push(Open { handle, preopen: false, mutate })
    }

    pub(crate) fn close(&mut self, fd: &Descriptor) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Open>::new_own(fd.rep()))?;
        Ok(())
    }

    /// Taken as read: what the host reads ahead is its own business.
    pub(crate) fn advise(&self, fd: &Descriptor) -> Result<(), Fail> {
        match self.open(fd)?.handle {
            Handle::File(_) => Ok(()),
            Handle::Dir(_) => Err(Errno::Badf.into()),
        }
    }

    pub(crate) fn sync(&self, fd: &Descriptor) -> Result<(), Fail> {
        match &self.open(fd)?.handle {
            Handle::File(file) => Ok(file.sync()?),
            Handle::Dir(_) => Ok(()),
        }
    }

    pub(crate) fn rights(&self, fd: &Descriptor) -> Result<Rights, Fail> {
        let open = self.open(fd)?;
        Ok(match &open.handle {
            Handle::File(file) => Rights { read: file.read, write: file.write, mutate: false },
            Handle::Dir(dir) => {
                let mutate = open.mutate && (open.preopen || dir.is_writable());
                Rights { read: true, write: false, mutate }
            }
        })
    }

    pub(crate) fn kind(&self, fd: &Descriptor) -> Result<Kind, Fail> {
        Ok(match &self.open(fd)?.handle {
            Handle::Dir(_) => Kind::Dir,
            Handle::File(_) => Kind::File,
        })
    }

    pub(crate) fn set_size(&self, fd: &Descriptor, size: u64) -> Result<(), Fail> {
        match &self.open(fd)?.handle {
            Handle::File(file) => Ok(file.set_size(size)?),
            Handle::Dir(_) => Err(Errno::Badf.into()),
        }
    }

    pub(crate) fn set_times(&mut self, fd: &Descriptor, times: Times) -> Result<(), Fail> {
        let done = match self.open(fd)?.handle.clone() {
            Handle::File(file) => self.state.files.set_file_times(&file, times),
            Handle::Dir(dir) => self.state.files.set_dir_times(&dir, times),
        };
        self.done(done)
    }

    pub(crate) fn set_times_at(&mut self, fd: &Descriptor, path: &str, follow: bool, times: Times) -> Result<(), Fail> {
        let dir = self.dir(fd)?;
        let done = self.state.files.set_times_at(&dir, path, follow, times);
        self.done(done)
    }

    pub(crate) fn list(&self, fd: &Descriptor) -> Result<Listing, Fail> {
        self.state.files.list(&self.dir(fd)?, &self.state.control)
    }

    pub(crate) fn stat(&self, fd: &Descriptor) -> Result<Stat, Fail> {
        Ok(match &self.open(fd)?.handle {
            Handle::File(file) => file.stat(),
            Handle::Dir(dir) => self.state.files.stat_dir(dir),
        }?)
    }

    pub(crate) fn stat_at(&mut self, fd: &Descriptor, path: &str, follow: bool) -> Result<Stat, Fail> {
        let dir = self.dir(fd)?;
        let stat = self.state.files.stat_at(&dir, path, follow);
        self.done(stat)
    }

    pub(crate) fn is_same(&self, one: &Descriptor, other: &Descriptor) -> bool {
        let (Ok(one), Ok(other)) = (self.stat(one), self.stat(other)) else { return false };
        (one.kind, one.dev, one.ino) == (other.kind, other.dev, other.ino)
    }

    pub(crate) fn make_dir_at(&mut self, fd: &Descriptor, path: &str) -> Result<(), Fail> {
        let dir = self.dir(fd)?;
        let done = self.state.files.make_dir_at(&dir, path);
        self.done(done)
    }

    pub(crate) fn remove_dir_at(&mut self, fd: &Descriptor, path: &str) -> Result<(), Fail> {
        let dir = self.dir(fd)?;
        let done = self.state.files.remove_dir_at(&dir, path);
        self.done(done)
    }

    pub(crate) fn unlink_at(&mut self, fd: &Descriptor, path: &str) -> Result<(), Fail> {
        let dir = self.dir(fd)?;
        let done = self.state.files.unlink_at(&dir, path);
        self.done(done)
    }

    pub(crate) fn rename_at(&mut self, from: &Descriptor, old: &str, to: &Descriptor, new: &str) -> Result<(), Fail> {
        let (from, to) = (self.dir(from)?, self.dir(to)?);
        let done = self.state.files.rename_at(&from, old, &to, new);
        self.done(done)
    }

    pub(crate) fn link_at(
        &mut self,
        from: &Descriptor,
        old: &str,
        follow: bool,
        to: &Descriptor,
        new: &str,
    ) -> Result<(), Fail> {
        if follow {
            return Err(Errno::Inval.into());
        }
        let (from, to) = (self.dir(from)?, self.dir(to)?);
        let done = self.state.files.link_at(&from, old, &to, new);
        self.done(done)
    }

    pub(crate) fn symlink_at(&mut self, target: &str, fd: &Descriptor, path: &str) -> Result<(), Fail> {
        let dir = self.dir(fd)?;
        let done = self.state.files.symlink_at(target, &dir, path);
        self.done(done)
    }

    pub(crate) fn read_link_at(&mut self, fd: &Descriptor, path: &str) -> Result<String, Fail> {
        let dir = self.dir(fd)?;
        let done = self.state.files.read_link_at(&dir, path);
        self.done(done)
    }

    pub(crate) fn reader(&self, fd: &Descriptor, position: u64) -> Result<FileReader, Fail> {
        let file = self.file(fd)?;
        if file.read { Ok(FileReader { file, position }) } else { Err(Errno::Badf.into()) }
    }

    /// A writer from a position on; without one it appends.
    pub(crate) fn writer(&self, fd: &Descriptor, position: Option<u64>) -> Result<FileWriter, Fail> {
        let file = self.file(fd)?;
        if file.write { Ok(FileWriter { file, position }) } else { Err(Errno::Badf.into()) }
    }
}

/// Reads a file from a position on.
pub(crate) struct FileReader {
    file: FileHandle,
    position: u64,
}

impl FileReader {
    /// Reads the next piece; 0 bytes are the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let count = self.file.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

/// Writes a file from a position on, or always at its end.
pub(crate) struct FileWriter {
    file: FileHandle,
    /// `None` appends.
    position: Option<u64>,
}

impl FileWriter {
    /// Writes some of it, at least one byte.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let count = match &mut self.position {
            None => self.file.append(bytes)?.0,
            Some(position) => {
                let count = self.file.write_at(bytes, *position)?;
                *position += count as u64;
                count
            }
        };
        if count == 0 { Err(Errno::Io) } else { Ok(count) }
    }
}

/// A number that changes when the file does; it tells nothing about the host.
pub(crate) fn hashed(stat: &Stat, half: u8) -> u64 {
    let mut hasher = DefaultHasher::new();
    (half, stat.ino, stat.size, stat.modified, stat.changed).hash(&mut hasher);
    hasher.finish()
}
