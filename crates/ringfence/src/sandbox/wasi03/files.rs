//! `wasi:filesystem` 0.3 on the same files as the levels before it.

use std::iter;

use wasmtime::component::{Access, Accessor, FutureReader, StreamReader};
use wasmtime_wasi::p3::bindings::clocks::system_clock::Instant;
use wasmtime_wasi::p3::bindings::filesystem::preopens;
use wasmtime_wasi::p3::bindings::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode, Filesize,
    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p3::filesystem::{FilesystemError, FilesystemResult};

use super::streams::{FileConsumer, FileProducer, ListingProducer, verdict};
use crate::sandbox::components::{Descriptor, FileWriter, FilesView, HasFiles, Opening, Rights, hashed};
use crate::sandbox::errno::Errno;
use crate::sandbox::files::{Kind, NewTime, Stat, Times};
use crate::sandbox::stop::Fail;

/// How a stream ends, as the guest is told.
type Told = FutureReader<Result<(), ErrorCode>>;

impl From<Fail> for FilesystemError {
    fn from(fail: Fail) -> Self {
        match fail {
            Fail::Errno(errno) => errno.to_p3().into(),
            Fail::Stop(stop) => Self::trap(stop),
        }
    }
}

/// One act on the files. None of them waits, so the guest has its answer at once.
fn act<U, T>(
    store: &Accessor<U, HasFiles>,
    act: impl FnOnce(&mut FilesView<'_>) -> Result<T, Fail>,
) -> FilesystemResult<T> {
    Ok(store.with(|mut store| act(&mut store.get()))?)
}

/// Parts what a stream tells in its future from what ends the run.
fn told<T>(done: Result<T, Fail>) -> wasmtime::Result<Result<T, Errno>> {
    match done {
        Ok(done) => Ok(Ok(done)),
        Err(Fail::Errno(errno)) => Ok(Err(errno)),
        Err(Fail::Stop(stop)) => Err(stop.into()),
    }
}

fn write<U>(
    mut store: Access<'_, U, HasFiles>,
    writer: Result<FileWriter, Fail>,
    mut data: StreamReader<u8>,
) -> wasmtime::Result<Told> {
    let (mut verdict, future) = verdict();
    match told(writer)? {
        Ok(writer) => data.pipe(&mut store, FileConsumer { writer, verdict })?,
        Err(errno) => {
            verdict.tell(Some(errno));
            data.close(&mut store)?;
        }
    }
    FutureReader::new(&mut store, future)
}

impl preopens::Host for FilesView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Descriptor, String)>> {
        self.preopens()
    }
}

impl types::Host for FilesView<'_> {
    fn convert_error_code(&mut self, error: FilesystemError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }
}

impl types::HostDescriptor for FilesView<'_> {
    fn drop(&mut self, fd: Descriptor) -> wasmtime::Result<()> {
        self.close(&fd)
    }
}

impl<U> types::HostDescriptorWithStore<U> for HasFiles {
    fn read_via_stream(
        mut store: Access<'_, U, Self>,
        fd: Descriptor,
        offset: Filesize,
    ) -> wasmtime::Result<(StreamReader<u8>, Told)> {
        let (mut verdict, future) = verdict();
        let reader = store.get().reader(&fd, offset);
        let stream = match told(reader)? {
            Ok(reader) => StreamReader::new(&mut store, FileProducer { reader, verdict })?,
            Err(errno) => {
                verdict.tell(Some(errno));
                StreamReader::new(&mut store, iter::empty())?
            }
        };
        Ok((stream, FutureReader::new(&mut store, future)?))
    }

    fn write_via_stream(
        mut store: Access<'_, U, Self>,
        fd: Descriptor,
        data: StreamReader<u8>,
        offset: Filesize,
    ) -> wasmtime::Result<Told> {
        let writer = store.get().writer(&fd, Some(offset));
        write(store, writer, data)
    }

    fn append_via_stream(
        mut store: Access<'_, U, Self>,
        fd: Descriptor,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<Told> {
        let writer = store.get().writer(&fd, None);
        write(store, writer, data)
    }

    fn read_directory(
        mut store: Access<'_, U, Self>,
        fd: Descriptor,
    ) -> wasmtime::Result<(StreamReader<DirectoryEntry>, Told)> {
        let (mut verdict, future) = verdict();
        let names = store.get().list(&fd);
        let stream = match told(names)? {
            Ok(names) => StreamReader::new(&mut store, ListingProducer::new(names, verdict))?,
            Err(errno) => {
                verdict.tell(Some(errno));
                StreamReader::new(&mut store, iter::empty())?
            }
        };
        Ok((stream, FutureReader::new(&mut store, future)?))
    }

    async fn advise(
        store: &Accessor<U, Self>,
        fd: Descriptor,
        _: Filesize,
        _: Filesize,
        _: Advice,
    ) -> FilesystemResult<()> {
        act(store, |files| files.advise(&fd))
    }

    async fn sync_data(store: &Accessor<U, Self>, fd: Descriptor) -> FilesystemResult<()> {
        act(store, |files| files.sync(&fd))
    }

    async fn get_flags(store: &Accessor<U, Self>, fd: Descriptor) -> FilesystemResult<DescriptorFlags> {
        let Rights { read, write, mutate } = act(store, |files| files.rights(&fd))?;
        let flag = |granted, flag| if granted { flag } else { DescriptorFlags::empty() };
        Ok(flag(read, DescriptorFlags::READ)
            | flag(write, DescriptorFlags::WRITE)
            | flag(mutate, DescriptorFlags::MUTATE_DIRECTORY))
    }

    async fn get_type(store: &Accessor<U, Self>, fd: Descriptor) -> FilesystemResult<DescriptorType> {
        act(store, |files| files.kind(&fd)).map(kind)
    }

    async fn set_size(store: &Accessor<U, Self>, fd: Descriptor, size: Filesize) -> FilesystemResult<()> {
        act(store, |files| files.set_size(&fd, size))
    }

    async fn set_times(
        store: &Accessor<U, Self>,
        fd: Descriptor,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FilesystemResult<()> {
        let times = times(accessed, modified)?;
        act(store, |files| files.set_times(&fd, times))
    }

    async fn sync(store: &Accessor<U, Self>, fd: Descriptor) -> FilesystemResult<()> {
        act(store, |files| files.sync(&fd))
    }

    async fn create_directory_at(store: &Accessor<U, Self>, fd: Descriptor, path: String) -> FilesystemResult<()> {
        act(store, |files| files.make_dir_at(&fd, &path))
    }

    async fn stat(store: &Accessor<U, Self>, fd: Descriptor) -> FilesystemResult<DescriptorStat> {
        act(store, |files| files.stat(&fd)).map(|stat| described(&stat))
    }

    async fn stat_at(
        store: &Accessor<U, Self>,
        fd: Descriptor,
        flags: PathFlags,
        path: String,
    ) -> FilesystemResult<DescriptorStat> {
        act(store, |files| files.stat_at(&fd, &path, follows(flags))).map(|stat| described(&stat))
    }

    async fn set_times_at(
        store: &Accessor<U, Self>,
        fd: Descriptor,
        flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FilesystemResult<()> {
        let times = times(accessed, modified)?;
        act(store, |files| files.set_times_at(&fd, &path, follows(flags), times))
    }

    async fn link_at(
        store: &Accessor<U, Self>,
        fd: Descriptor,
        flags: PathFlags,
        old: String,
        to: Descriptor,
        new: String,
    ) -> FilesystemResult<()> {
        act(store, |files| files.link_at(&fd, &old, follows(flags), &to, &new))
    }

    async fn open_at(
        store: &Accessor<U, Self>,
        fd: Descriptor,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FilesystemResult<Descriptor> {
        let opening = Opening {
            read: flags.contains(DescriptorFlags::READ),
            write: flags.contains(DescriptorFlags::WRITE),
            mutate: flags.contains(DescriptorFlags::MUTATE_DIRECTORY),
            sync: flags.contains(DescriptorFlags::FILE_INTEGRITY_SYNC)
                || flags.contains(DescriptorFlags::DATA_INTEGRITY_SYNC),
            create: open_flags.contains(OpenFlags::CREATE),
            exclusive: open_flags.contains(OpenFlags::EXCLUSIVE),
            truncate: open_flags.contains(OpenFlags::TRUNCATE),
            directory: open_flags.contains(OpenFlags::DIRECTORY),
            follow: follows(path_flags),
        };
        act(store, |files| files.open_at(&fd, &path, opening))
    }

    async fn readlink_at(store: &Accessor<U, Self>, fd: Descriptor, path: String) -> FilesystemResult<String> {
        act(store, |files| files.read_link_at(&fd, &path))
    }

    async fn remove_directory_at(store: &Accessor<U, Self>, fd: Descriptor, path: String) -> FilesystemResult<()> {
        act(store, |files| files.remove_dir_at(&fd, &path))
    }

    async fn rename_at(
        store: &Accessor<U, Self>,
        fd: Descriptor,
        old: String,
        to: Descriptor,
        new: String,
    ) -> FilesystemResult<()> {
        act(store, |files| files.rename_at(&fd, &old, &to, &new))
    }

    async fn symlink_at(
        store: &Accessor<U, Self>,
        fd: Descriptor,
        target: String,
        path: String,
    ) -> FilesystemResult<()> {
        act(store, |files| files.symlink_at(&target, &fd, &path))
    }

    async fn unlink_file_at(store: &Accessor<U, Self>, fd: Descriptor, path: String) -> FilesystemResult<()> {
        act(store, |files| files.unlink_at(&fd, &path))
    }

    async fn is_same_object(store: &Accessor<U, Self>, fd: Descriptor, other: Descriptor) -> wasmtime::Result<bool> {
        Ok(store.with(|mut store| store.get().is_same(&fd, &other)))
    }

    async fn metadata_hash(store: &Accessor<U, Self>, fd: Descriptor) -> FilesystemResult<MetadataHashValue> {
        act(store, |files| files.stat(&fd)).map(|stat| hash(&stat))
    }

    async fn metadata_hash_at(
        store: &Accessor<U, Self>,
        fd: Descriptor,
        flags: PathFlags,
        path: String,
    ) -> FilesystemResult<MetadataHashValue> {
        act(store, |files| files.stat_at(&fd, &path, follows(flags))).map(|stat| hash(&stat))
    }
}

fn follows(flags: PathFlags) -> bool {
    flags.contains(PathFlags::SYMLINK_FOLLOW)
}

pub(super) fn kind(kind: Kind) -> DescriptorType {
    match kind {
        Kind::Dir => DescriptorType::Directory,
        Kind::File => DescriptorType::RegularFile,
        Kind::Symlink => DescriptorType::SymbolicLink,
        Kind::Other => DescriptorType::Other(None),
    }
}

fn described(stat: &Stat) -> DescriptorStat {
    let time = |nanos: u64| {
        let seconds = i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX);
        Some(Instant { seconds, nanoseconds: (nanos % 1_000_000_000) as u32 })
    };
    DescriptorStat {
        type_: kind(stat.kind),
        link_count: stat.links,
        size: stat.size,
        data_access_timestamp: time(stat.accessed),
        data_modification_timestamp: time(stat.modified),
        status_change_timestamp: time(stat.changed),
    }
}

fn hash(stat: &Stat) -> MetadataHashValue {
    MetadataHashValue { lower: hashed(stat, 0), upper: hashed(stat, 1) }
}

/// Times before 1970 are told as out of range, as the levels before cannot name them either.
fn times(accessed: NewTimestamp, modified: NewTimestamp) -> Result<Times, Fail> {
    let one = |time: NewTimestamp| match time {
        NewTimestamp::NoChange => Ok(None),
        NewTimestamp::Now => Ok(Some(NewTime::Now)),
        NewTimestamp::Timestamp(at) => {
            let seconds = u64::try_from(at.seconds).map_err(|_| Errno::Overflow)?;
            NewTime::at(seconds, at.nanoseconds).map(Some)
        }
    };
    Ok(Times { accessed: one(accessed)?, modified: one(modified)? })
}
