//! `wasi:filesystem` 0.2 on the same files as WASI 0.1: the same act gets the same answer.

use std::hash::{DefaultHasher, Hash, Hasher};

use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types as named;
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{self, Filesize, PathFlags};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::streams::{FileReader, FileWriter};
use crate::sandbox::errno::Errno;
use crate::sandbox::files::{DirHandle, Entry, FileHandle, Handle, Kind, NewTime, OpenOptions, Stat, Times};
use crate::sandbox::limits::Share;
use crate::sandbox::stop::{Fail, Stop};
use crate::sandbox::store::State;

/// Most bytes one read may return.
const PIECE_BYTES: u64 = 64 * 1024;

pub(super) struct HasFiles;

impl HasData for HasFiles {
    type Data<'a> = FilesView<'a>;
}

/// The files of a run and the table its handles live in.
pub(super) struct FilesView<'a> {
    pub(super) state: &'a mut State,
    pub(super) table: &'a mut ResourceTable,
}

/// What a descriptor of ours is; the bindings name the engine's own type, the table holds this one.
struct Open {
    handle: Handle,
    preopen: bool,
    mutate: bool,
}

/// A listing under way.
struct Listing {
    names: std::vec::IntoIter<Entry>,
    _held: Share,
}

type Descriptor = Resource<types::Descriptor>;

impl FilesView<'_> {
    fn open(&self, fd: &Descriptor) -> FsResult<&Open> {
        self.table.get(&Resource::<Open>::new_borrow(fd.rep())).map_err(FsError::trap)
    }

    fn dir(&self, fd: &Descriptor) -> FsResult<DirHandle> {
        match &self.open(fd)?.handle {
            Handle::Dir(dir) => Ok(dir.clone()),
            Handle::File(_) => Err(refused(Errno::Notdir)),
        }
    }

    fn file(&self, fd: &Descriptor) -> FsResult<FileHandle> {
        match &self.open(fd)?.handle {
            Handle::File(file) => Ok(file.clone()),
            Handle::Dir(_) => Err(refused(Errno::Isdir)),
        }
    }

    fn push(&mut self, open: Open) -> FsResult<Descriptor> {
        let own = self.table.push(open).map_err(FsError::trap)?;
        Ok(Resource::new_own(own.rep()))
    }

    /// The answer to an act; where the policy ends a run that is refused something, this is the end.
    fn done<T>(&self, done: Result<T, Errno>) -> FsResult<T> {
        if self.state.files.denials.stopped() {
            return Err(FsError::trap(Stop::Denied));
        }
        done.map_err(refused)
    }
}

fn refused(errno: Errno) -> FsError {
    errno.to_p2().into()
}

impl preopens::Host for FilesView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<named::Descriptor>, String)>> {
        let handle = Handle::Dir(self.state.files.root());
        let own = self.table.push(Open { handle, preopen: true, mutate: true })?;
        Ok(vec![(Resource::new_own(own.rep()), "/".into())])
    }
}

impl types::Host for FilesView<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<types::ErrorCode> {
        Ok(error.downcast()?.into())
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<types::ErrorCode>> {
        let error = self.table.get(&error)?.downcast_ref::<std::io::Error>();
        Ok(error.map(|error| named::ErrorCode::from(error).into()))
    }
}

impl types::HostDescriptor for FilesView<'_> {
    fn advise(&mut self, fd: Descriptor, _: Filesize, _: Filesize, _: types::Advice) -> FsResult<()> {
        self.file(&fd).map(|_| ())
    }

    fn sync_data(&mut self, fd: Descriptor) -> FsResult<()> {
        self.sync(fd)
    }

    fn sync(&mut self, fd: Descriptor) -> FsResult<()> {
        match &self.open(&fd)?.handle {
            Handle::File(file) => file.sync().map_err(refused),
            Handle::Dir(_) => Ok(()),
        }
    }

    fn get_flags(&mut self, fd: Descriptor) -> FsResult<types::DescriptorFlags> {
        let open = self.open(&fd)?;
        let mut flags = types::DescriptorFlags::empty();
        match &open.handle {
            Handle::File(file) => {
                if file.read {
                    flags |= types::DescriptorFlags::READ;
                }
                if file.write {
                    flags |= types::DescriptorFlags::WRITE;
                }
            }
            Handle::Dir(dir) => {
                flags |= types::DescriptorFlags::READ;
                if open.mutate && (open.preopen || dir.is_writable()) {
                    flags |= types::DescriptorFlags::MUTATE_DIRECTORY;
                }
            }
        }
        Ok(flags)
    }

    fn get_type(&mut self, fd: Descriptor) -> FsResult<types::DescriptorType> {
        Ok(match &self.open(&fd)?.handle {
            Handle::Dir(_) => types::DescriptorType::Directory,
            Handle::File(_) => types::DescriptorType::RegularFile,
        })
    }

    fn set_size(&mut self, fd: Descriptor, size: Filesize) -> FsResult<()> {
        self.file(&fd)?.set_size(size).map_err(refused)
    }

    fn set_times(
        &mut self,
        fd: Descriptor,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        let times = times(accessed, modified)?;
        let done = match &self.open(&fd)?.handle {
            Handle::File(file) => self.state.files.set_file_times(&file.clone(), times),
            Handle::Dir(dir) => self.state.files.set_dir_times(&dir.clone(), times),
        };
        self.done(done)
    }

    fn read(&mut self, fd: Descriptor, len: Filesize, offset: Filesize) -> FsResult<(Vec<u8>, bool)> {
        let file = self.file(&fd)?;
        let mut buffer = vec![0; len.min(PIECE_BYTES) as usize];
        let count = file.read_at(&mut buffer, offset).map_err(refused)?;
        buffer.truncate(count);
        Ok((buffer, count == 0))
    }

    fn write(&mut self, fd: Descriptor, bytes: Vec<u8>, offset: Filesize) -> FsResult<Filesize> {
        let written = self.file(&fd)?.write_at(&bytes, offset).map_err(refused)?;
        Ok(written as Filesize)
    }

    fn read_directory(&mut self, fd: Descriptor) -> FsResult<Resource<types::DirectoryEntryStream>> {
        let dir = self.dir(&fd)?;
        let listing = self.state.files.list(&dir, &self.state.control).map_err(|fail| match fail {
            Fail::Errno(errno) => refused(errno),
            Fail::Stop(stop) => FsError::trap(stop),
        })?;
        let listing = Listing { names: listing.entries.into_iter(), _held: listing.held };
        let own = self.table.push(listing).map_err(FsError::trap)?;
        Ok(Resource::new_own(own.rep()))
    }

    fn create_directory_at(&mut self, fd: Descriptor, path: String) -> FsResult<()> {
        let dir = self.dir(&fd)?;
        let done = self.state.files.make_dir_at(&dir, &path);
        self.done(done)
    }

    fn stat(&mut self, fd: Descriptor) -> FsResult<types::DescriptorStat> {
        self.stat_of(&fd).map(|stat| described(&stat))
    }

    fn stat_at(&mut self, fd: Descriptor, flags: PathFlags, path: String) -> FsResult<types::DescriptorStat> {
        self.stat_of_path(&fd, flags, &path).map(|stat| described(&stat))
    }

    fn set_times_at(
        &mut self,
        fd: Descriptor,
        flags: PathFlags,
        path: String,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        let dir = self.dir(&fd)?;
        let done = self.state.files.set_times_at(&dir, &path, follows(flags), times(accessed, modified)?);
        self.done(done)
    }

    fn link_at(&mut self, fd: Descriptor, flags: PathFlags, old: String, to: Descriptor, new: String) -> FsResult<()> {
        if follows(flags) {
            return Err(refused(Errno::Inval));
        }
        let (from, to) = (self.dir(&fd)?, self.dir(&to)?);
        let done = self.state.files.link_at(&from, &old, &to, &new);
        self.done(done)
    }

    fn open_at(
        &mut self,
        fd: Descriptor,
        path_flags: PathFlags,
        path: String,
        open_flags: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Descriptor> {
        let dir = self.dir(&fd)?;
        let mutate = flags.contains(types::DescriptorFlags::MUTATE_DIRECTORY);
        let options = OpenOptions {
            read: flags.contains(types::DescriptorFlags::READ),
            write: flags.contains(types::DescriptorFlags::WRITE),
            create: open_flags.contains(types::OpenFlags::CREATE),
            exclusive: open_flags.contains(types::OpenFlags::EXCLUSIVE),
            truncate: open_flags.contains(types::OpenFlags::TRUNCATE),
            directory: open_flags.contains(types::OpenFlags::DIRECTORY),
            follow: follows(path_flags),
            sync: flags.contains(types::DescriptorFlags::FILE_INTEGRITY_SYNC)
                || flags.contains(types::DescriptorFlags::DATA_INTEGRITY_SYNC),
        };
        let opened = self.state.files.open_at(&dir, &path, options);
        let handle = self.done(opened)?;
        self.push(Open { handle, preopen: false, mutate })
    }

    fn drop(&mut self, fd: Descriptor) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Open>::new_own(fd.rep()))?;
        Ok(())
    }

    fn readlink_at(&mut self, fd: Descriptor, path: String) -> FsResult<String> {
        let dir = self.dir(&fd)?;
        let done = self.state.files.read_link_at(&dir, &path);
        self.done(done)
    }

    fn remove_directory_at(&mut self, fd: Descriptor, path: String) -> FsResult<()> {
        let dir = self.dir(&fd)?;
        let done = self.state.files.remove_dir_at(&dir, &path);
        self.done(done)
    }

    fn rename_at(&mut self, fd: Descriptor, old: String, to: Descriptor, new: String) -> FsResult<()> {
        let (from, to) = (self.dir(&fd)?, self.dir(&to)?);
        let done = self.state.files.rename_at(&from, &old, &to, &new);
        self.done(done)
    }

    fn symlink_at(&mut self, fd: Descriptor, target: String, path: String) -> FsResult<()> {
        let dir = self.dir(&fd)?;
        let done = self.state.files.symlink_at(&target, &dir, &path);
        self.done(done)
    }

    fn unlink_file_at(&mut self, fd: Descriptor, path: String) -> FsResult<()> {
        let dir = self.dir(&fd)?;
        let done = self.state.files.unlink_at(&dir, &path);
        self.done(done)
    }

    fn read_via_stream(&mut self, fd: Descriptor, offset: Filesize) -> FsResult<Resource<DynInputStream>> {
        let file = self.file(&fd)?;
        if !file.read {
            return Err(refused(Errno::Badf));
        }
        let reader: DynInputStream = Box::new(FileReader { file, position: offset });
        self.table.push(reader).map_err(FsError::trap)
    }

    fn write_via_stream(&mut self, fd: Descriptor, offset: Filesize) -> FsResult<Resource<DynOutputStream>> {
        self.writer(&fd, Some(offset))
    }

    fn append_via_stream(&mut self, fd: Descriptor) -> FsResult<Resource<DynOutputStream>> {
        self.writer(&fd, None)
    }

    fn is_same_object(&mut self, one: Descriptor, other: Descriptor) -> wasmtime::Result<bool> {
        let (Ok(one), Ok(other)) = (self.stat_of(&one), self.stat_of(&other)) else { return Ok(false) };
        Ok(one.kind == other.kind && one.ino == other.ino)
    }

    fn metadata_hash(&mut self, fd: Descriptor) -> FsResult<types::MetadataHashValue> {
        self.stat_of(&fd).map(|stat| hashed(&stat))
    }

    fn metadata_hash_at(
        &mut self,
        fd: Descriptor,
        flags: PathFlags,
        path: String,
    ) -> FsResult<types::MetadataHashValue> {
        self.stat_of_path(&fd, flags, &path).map(|stat| hashed(&stat))
    }
}

impl FilesView<'_> {
    fn stat_of(&self, fd: &Descriptor) -> FsResult<Stat> {
        let stat = match &self.open(fd)?.handle {
            Handle::File(file) => file.stat(),
            Handle::Dir(dir) => self.state.files.stat_dir(dir),
        };
        stat.map_err(refused)
    }

    fn stat_of_path(&mut self, fd: &Descriptor, flags: PathFlags, path: &str) -> FsResult<Stat> {
        let dir = self.dir(fd)?;
        let stat = self.state.files.stat_at(&dir, path, follows(flags));
        self.done(stat)
    }

    fn writer(&mut self, fd: &Descriptor, position: Option<u64>) -> FsResult<Resource<DynOutputStream>> {
        let file = self.file(fd)?;
        if !file.write {
            return Err(refused(Errno::Badf));
        }
        let writer: DynOutputStream = Box::new(FileWriter { file, position });
        self.table.push(writer).map_err(FsError::trap)
    }
}

impl types::HostDirectoryEntryStream for FilesView<'_> {
    fn read_directory_entry(
        &mut self,
        stream: Resource<types::DirectoryEntryStream>,
    ) -> FsResult<Option<types::DirectoryEntry>> {
        let listing = self.table.get_mut(&Resource::<Listing>::new_borrow(stream.rep())).map_err(FsError::trap)?;
        Ok(listing.names.next().map(|entry| types::DirectoryEntry { type_: kind(entry.kind), name: entry.name }))
    }

    fn drop(&mut self, stream: Resource<types::DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Listing>::new_own(stream.rep()))?;
        Ok(())
    }
}

fn follows(flags: PathFlags) -> bool {
    flags.contains(PathFlags::SYMLINK_FOLLOW)
}

fn kind(kind: Kind) -> types::DescriptorType {
    match kind {
        Kind::Dir => types::DescriptorType::Directory,
        Kind::File => types::DescriptorType::RegularFile,
        Kind::Symlink => types::DescriptorType::SymbolicLink,
        Kind::Other => types::DescriptorType::Unknown,
    }
}

fn described(stat: &Stat) -> types::DescriptorStat {
    let time = |nanos: u64| {
        Some(types::Datetime { seconds: nanos / 1_000_000_000, nanoseconds: (nanos % 1_000_000_000) as u32 })
    };
    types::DescriptorStat {
        type_: kind(stat.kind),
        link_count: stat.links,
        size: stat.size,
        data_access_timestamp: time(stat.accessed),
        data_modification_timestamp: time(stat.modified),
        status_change_timestamp: time(stat.changed),
    }
}

/// A number that changes when the file does; it tells nothing about the host.
fn hashed(stat: &Stat) -> types::MetadataHashValue {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, stat.ino, stat.size, stat.modified, stat.changed).hash(&mut hasher);
        hasher.finish()
    };
    types::MetadataHashValue { lower: half(0), upper: half(1) }
}

fn times(accessed: types::NewTimestamp, modified: types::NewTimestamp) -> FsResult<Times> {
    let one = |time: types::NewTimestamp| match time {
        types::NewTimestamp::NoChange => Ok(None),
        types::NewTimestamp::Now => Ok(Some(NewTime::Now)),
        types::NewTimestamp::Timestamp(at) => {
            let nanos = at.seconds.checked_mul(1_000_000_000).and_then(|n| n.checked_add(u64::from(at.nanoseconds)));
            nanos.map(|nanos| Some(NewTime::At(nanos))).ok_or_else(|| refused(Errno::Overflow))
        }
    };
    Ok(Times { accessed: one(accessed)?, modified: one(modified)? })
}
