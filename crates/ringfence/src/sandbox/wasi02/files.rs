//! `wasi:filesystem` 0.2 on the same files as WASI 0.1: the same act gets the same answer.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types as named;
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{self, Filesize, PathFlags};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use crate::sandbox::components::{Descriptor, FilesView, Opening, PIECE_BYTES, Rights, hashed};
use crate::sandbox::errno::Errno;
use crate::sandbox::files::{Entry, Kind, NewTime, Stat, Times};
use crate::sandbox::limits::Share;
use crate::sandbox::stop::Fail;

/// A listing under way.
struct Listing {
    entries: std::vec::IntoIter<Entry>,
    _held: Share,
}

impl From<Fail> for FsError {
    fn from(fail: Fail) -> Self {
        match fail {
            Fail::Errno(errno) => errno.to_p2().into(),
            Fail::Stop(stop) => Self::trap(stop),
        }
    }
}

impl preopens::Host for FilesView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<named::Descriptor>, String)>> {
        self.preopens()
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
        Ok(self.table.get(&error)?.downcast_ref::<Errno>().map(|errno| errno.to_p2().into()))
    }
}

impl types::HostDescriptor for FilesView<'_> {
    fn advise(&mut self, fd: Descriptor, _: Filesize, _: Filesize, _: types::Advice) -> FsResult<()> {
        Ok(FilesView::advise(self, &fd)?)
    }

    fn sync_data(&mut self, fd: Descriptor) -> FsResult<()> {
        Ok(FilesView::sync(self, &fd)?)
    }

    fn sync(&mut self, fd: Descriptor) -> FsResult<()> {
        Ok(FilesView::sync(self, &fd)?)
    }

    fn get_flags(&mut self, fd: Descriptor) -> FsResult<types::DescriptorFlags> {
        let Rights { read, write, mutate } = self.rights(&fd)?;
        let flag = |granted, flag| if granted { flag } else { types::DescriptorFlags::empty() };
        Ok(flag(read, types::DescriptorFlags::READ)
            | flag(write, types::DescriptorFlags::WRITE)
            | flag(mutate, types::DescriptorFlags::MUTATE_DIRECTORY))
    }

    fn get_type(&mut self, fd: Descriptor) -> FsResult<types::DescriptorType> {
        Ok(kind(FilesView::kind(self, &fd)?))
    }

    fn set_size(&mut self, fd: Descriptor, size: Filesize) -> FsResult<()> {
        Ok(FilesView::set_size(self, &fd, size)?)
    }

    fn set_times(
        &mut self,
        fd: Descriptor,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        Ok(FilesView::set_times(self, &fd, times(accessed, modified)?)?)
    }

    fn read(&mut self, fd: Descriptor, len: Filesize, offset: Filesize) -> FsResult<(Vec<u8>, bool)> {
        let mut buffer = vec![0; len.min(PIECE_BYTES as u64) as usize];
        let count = self.file(&fd)?.read_at(&mut buffer, offset).map_err(Fail::from)?;
        buffer.truncate(count);
        Ok((buffer, count == 0))
    }

    fn write(&mut self, fd: Descriptor, bytes: Vec<u8>, offset: Filesize) -> FsResult<Filesize> {
        let written = self.file(&fd)?.write_at(&bytes, offset).map_err(Fail::from)?;
        Ok(written as Filesize)
    }

    fn read_directory(&mut self, fd: Descriptor) -> FsResult<Resource<types::DirectoryEntryStream>> {
        let names = self.list(&fd)?;
        let listing = Listing { entries: names.entries.into_iter(), _held: names.held };
        let own = self.table.push(listing).map_err(Fail::from)?;
        Ok(Resource::new_own(own.rep()))
    }

    fn create_directory_at(&mut self, fd: Descriptor, path: String) -> FsResult<()> {
        Ok(self.make_dir_at(&fd, &path)?)
    }

    fn stat(&mut self, fd: Descriptor) -> FsResult<types::DescriptorStat> {
        Ok(described(&FilesView::stat(self, &fd)?))
    }

    fn stat_at(&mut self, fd: Descriptor, flags: PathFlags, path: String) -> FsResult<types::DescriptorStat> {
        Ok(described(&FilesView::stat_at(self, &fd, &path, follows(flags))?))
    }

    fn set_times_at(
        &mut self,
        fd: Descriptor,
        flags: PathFlags,
        path: String,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        Ok(FilesView::set_times_at(self, &fd, &path, follows(flags), times(accessed, modified)?)?)
    }

    fn link_at(&mut self, fd: Descriptor, flags: PathFlags, old: String, to: Descriptor, new: String) -> FsResult<()> {
        Ok(FilesView::link_at(self, &fd, &old, follows(flags), &to, &new)?)
    }

    fn open_at(
        &mut self,
        fd: Descriptor,
        path_flags: PathFlags,
        path: String,
        open_flags: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Descriptor> {
        let opening = Opening {
            read: flags.contains(types::DescriptorFlags::READ),
            write: flags.contains(types::DescriptorFlags::WRITE),
            mutate: flags.contains(types::DescriptorFlags::MUTATE_DIRECTORY),
            sync: flags.contains(types::DescriptorFlags::FILE_INTEGRITY_SYNC)
                || flags.contains(types::DescriptorFlags::DATA_INTEGRITY_SYNC),
            create: open_flags.contains(types::OpenFlags::CREATE),
            exclusive: open_flags.contains(types::OpenFlags::EXCLUSIVE),
            truncate: open_flags.contains(types::OpenFlags::TRUNCATE),
            directory: open_flags.contains(types::OpenFlags::DIRECTORY),
            follow: follows(path_flags),
        };
        Ok(FilesView::open_at(self, &fd, &path, opening)?)
    }

    fn drop(&mut self, fd: Descriptor) -> wasmtime::Result<()> {
        self.close(&fd)
    }

    fn readlink_at(&mut self, fd: Descriptor, path: String) -> FsResult<String> {
        Ok(self.read_link_at(&fd, &path)?)
    }

    fn remove_directory_at(&mut self, fd: Descriptor, path: String) -> FsResult<()> {
        Ok(self.remove_dir_at(&fd, &path)?)
    }

    fn rename_at(&mut self, fd: Descriptor, old: String, to: Descriptor, new: String) -> FsResult<()> {
        Ok(FilesView::rename_at(self, &fd, &old, &to, &new)?)
    }

    fn symlink_at(&mut self, fd: Descriptor, target: String, path: String) -> FsResult<()> {
        Ok(FilesView::symlink_at(self, &target, &fd, &path)?)
    }

    fn unlink_file_at(&mut self, fd: Descriptor, path: String) -> FsResult<()> {
        Ok(self.unlink_at(&fd, &path)?)
    }

    fn read_via_stream(&mut self, fd: Descriptor, offset: Filesize) -> FsResult<Resource<DynInputStream>> {
        let reader: DynInputStream = Box::new(self.reader(&fd, offset)?);
        Ok(self.table.push(reader).map_err(Fail::from)?)
    }

    fn write_via_stream(&mut self, fd: Descriptor, offset: Filesize) -> FsResult<Resource<DynOutputStream>> {
        let writer: DynOutputStream = Box::new(self.writer(&fd, Some(offset))?);
        Ok(self.table.push(writer).map_err(Fail::from)?)
    }

    fn append_via_stream(&mut self, fd: Descriptor) -> FsResult<Resource<DynOutputStream>> {
        let writer: DynOutputStream = Box::new(self.writer(&fd, None)?);
        Ok(self.table.push(writer).map_err(Fail::from)?)
    }

    fn is_same_object(&mut self, one: Descriptor, other: Descriptor) -> wasmtime::Result<bool> {
        Ok(self.is_same(&one, &other))
    }

    fn metadata_hash(&mut self, fd: Descriptor) -> FsResult<types::MetadataHashValue> {
        Ok(hash(&FilesView::stat(self, &fd)?))
    }

    fn metadata_hash_at(
        &mut self,
        fd: Descriptor,
        flags: PathFlags,
        path: String,
    ) -> FsResult<types::MetadataHashValue> {
        Ok(hash(&FilesView::stat_at(self, &fd, &path, follows(flags))?))
    }
}

impl types::HostDirectoryEntryStream for FilesView<'_> {
    fn read_directory_entry(
        &mut self,
        stream: Resource<types::DirectoryEntryStream>,
    ) -> FsResult<Option<types::DirectoryEntry>> {
        let listing = self.table.get_mut(&Resource::<Listing>::new_borrow(stream.rep())).map_err(Fail::from)?;
        Ok(listing.entries.next().map(|entry| types::DirectoryEntry { type_: kind(entry.kind), name: entry.name }))
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

fn hash(stat: &Stat) -> types::MetadataHashValue {
    types::MetadataHashValue { lower: hashed(stat, 0), upper: hashed(stat, 1) }
}

fn times(accessed: types::NewTimestamp, modified: types::NewTimestamp) -> Result<Times, Fail> {
    let one = |time: types::NewTimestamp| match time {
        types::NewTimestamp::NoChange => Ok(None),
        types::NewTimestamp::Now => Ok(Some(NewTime::Now)),
        types::NewTimestamp::Timestamp(at) => NewTime::at(at.seconds, at.nanoseconds).map(Some),
    };
    Ok(Times { accessed: one(accessed)?, modified: one(modified)? })
}
