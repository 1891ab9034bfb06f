//! How files are told in WASI 0.1, and how `wasi_unstable` told them.

use bitflags::bitflags;

use super::descriptors::Descriptor;
use super::{Call, Done, Errno, Level};
use crate::sandbox::files::{Kind, NewTime, Stat, Times};

bitflags! {
    /// What a descriptor says it allows. Programs look at these; what really is allowed is decided at each act.
    #[derive(Clone, Copy)]
    pub(super) struct Rights: u64 {
        const FD_DATASYNC = 1 << 0;
        const FD_READ = 1 << 1;
        const FD_SEEK = 1 << 2;
        const FD_FDSTAT_SET_FLAGS = 1 << 3;
        const FD_SYNC = 1 << 4;
        const FD_TELL = 1 << 5;
        const FD_WRITE = 1 << 6;
        const FD_ADVISE = 1 << 7;
        const FD_ALLOCATE = 1 << 8;
        const PATH_CREATE_DIRECTORY = 1 << 9;
        const PATH_CREATE_FILE = 1 << 10;
        const PATH_LINK_SOURCE = 1 << 11;
        const PATH_LINK_TARGET = 1 << 12;
        const PATH_OPEN = 1 << 13;
        const FD_READDIR = 1 << 14;
        const PATH_READLINK = 1 << 15;
        const PATH_RENAME_SOURCE = 1 << 16;
        const PATH_RENAME_TARGET = 1 << 17;
        const PATH_FILESTAT_GET = 1 << 18;
        const PATH_FILESTAT_SET_SIZE = 1 << 19;
        const PATH_FILESTAT_SET_TIMES = 1 << 20;
        const FD_FILESTAT_GET = 1 << 21;
        const FD_FILESTAT_SET_SIZE = 1 << 22;
        const FD_FILESTAT_SET_TIMES = 1 << 23;
        const PATH_SYMLINK = 1 << 24;
        const PATH_REMOVE_DIRECTORY = 1 << 25;
        const PATH_UNLINK_FILE = 1 << 26;
        const POLL_FD_READWRITE = 1 << 27;

        const STREAM = Self::FD_FDSTAT_SET_FLAGS.bits() | Self::FD_FILESTAT_GET.bits()
            | Self::POLL_FD_READWRITE.bits();
        const FILE = Self::FD_SEEK.bits() | Self::FD_TELL.bits() | Self::FD_ADVISE.bits() | Self::FD_SYNC.bits()
            | Self::FD_DATASYNC.bits() | Self::FD_FILESTAT_SET_TIMES.bits() | Self::STREAM.bits();
        const FILE_WRITE = Self::FD_WRITE.bits() | Self::FD_ALLOCATE.bits() | Self::FD_FILESTAT_SET_SIZE.bits();
        const DIR = Self::PATH_OPEN.bits() | Self::FD_READDIR.bits() | Self::PATH_READLINK.bits()
            | Self::PATH_FILESTAT_GET.bits() | Self::FD_FILESTAT_GET.bits() | Self::FD_SYNC.bits()
            | Self::FD_DATASYNC.bits() | Self::FD_FDSTAT_SET_FLAGS.bits();
        const DIR_WRITE = Self::PATH_CREATE_DIRECTORY.bits() | Self::PATH_CREATE_FILE.bits()
            | Self::PATH_LINK_SOURCE.bits() | Self::PATH_LINK_TARGET.bits() | Self::PATH_RENAME_SOURCE.bits()
            | Self::PATH_RENAME_TARGET.bits()
            | Self::PATH_FILESTAT_SET_TIMES.bits() | Self::FD_FILESTAT_SET_TIMES.bits() | Self::PATH_SYMLINK.bits()
            | Self::PATH_REMOVE_DIRECTORY.bits() | Self::PATH_UNLINK_FILE.bits();
    }
}

/// The flag of a descriptor whose writes all go to the end.
pub(super) const FDFLAG_APPEND: u16 = 1;

/// The flag of a descriptor that is not to block; files and our streams never do for long.
pub(super) const FDFLAG_NONBLOCK: u16 = 4;

/// DSYNC, RSYNC and SYNC: the strongest is kept for all of them.
pub(super) const FDFLAGS_SYNC: u16 = 2 | 8 | 16;

const CHARACTER_DEVICE: u8 = 2;
const UNKNOWN: u8 = 0;

/// Makes inode numbers of one run unlike those of another program's file system.
const DEVICE: u64 = 1;

pub(super) fn file_type(kind: Kind) -> u8 {
    match kind {
        Kind::Dir => 3,
        Kind::File => 4,
        Kind::Symlink => 7,
        Kind::Other => UNKNOWN,
    }
}

impl Call<'_> {
    pub(super) fn fd_fdstat_get(&mut self, fd: u32, result: u32) -> Done {
        let terminal = |is_terminal| if is_terminal { CHARACTER_DEVICE } else { UNKNOWN };
        let (kind, flags, rights, inheriting) = match self.state.descriptors.get(fd)? {
            Descriptor::Stdin => {
                (terminal(self.state.input.is_terminal()), 0, Rights::STREAM | Rights::FD_READ, Rights::empty())
            }
            Descriptor::Output(stream) => {
                let kind = terminal(self.state.output.is_terminal(*stream));
                (kind, FDFLAG_APPEND, Rights::STREAM | Rights::FD_WRITE, Rights::empty())
            }
            Descriptor::File { handle, flags, .. } => {
                let mut rights = Rights::FILE;
                rights.set(Rights::FD_READ, handle.read);
                rights.set(Rights::FILE_WRITE, handle.write);
                (file_type(Kind::File), *flags, rights, Rights::empty())
            }
            Descriptor::Dir { handle, preopen, .. } => {
                let mut rights = Rights::DIR;
                // Something below the root may be writable even where the root itself is not.
                rights.set(Rights::DIR_WRITE, handle.is_writable() || *preopen);
                let inheriting = rights | Rights::FILE | Rights::FD_READ | Rights::FILE_WRITE;
                (file_type(Kind::Dir), 0, rights, inheriting)
            }
        };
        let mut bytes = [0; 24];
        bytes[0] = kind;
        bytes[2..4].copy_from_slice(&flags.to_le_bytes());
        bytes[8..16].copy_from_slice(&rights.bits().to_le_bytes());
        bytes[16..24].copy_from_slice(&inheriting.bits().to_le_bytes());
        self.memory.write(result, &bytes)?;
        Ok(())
    }

    pub(super) fn fd_filestat_get(&mut self, level: Level, fd: u32, result: u32) -> Done {
        let (stat, kind) = match self.state.descriptors.get(fd)? {
            Descriptor::File { handle, .. } => (handle.stat()?, None),
            Descriptor::Dir { handle, .. } => (self.state.files.stat_dir(handle)?, None),
            Descriptor::Stdin => (STREAM, Some(self.state.input.is_terminal())),
            Descriptor::Output(stream) => (STREAM, Some(self.state.output.is_terminal(*stream))),
        };
        let kind = match kind {
            Some(true) => CHARACTER_DEVICE,
            Some(false) => UNKNOWN,
            None => file_type(stat.kind),
        };
        self.write_stat(level, stat, kind, result)
    }

    pub(super) fn path_filestat_get(
        &mut self,
        level: Level,
        fd: u32,
        flags: u32,
        path: (u32, u32),
        result: u32,
    ) -> Done {
        let path = self.memory.text(path.0, path.1)?;
        let dir = self.state.descriptors.dir(fd)?;
        let stat = self.state.files.stat_at(dir, path, flags & 1 != 0)?;
        self.write_stat(level, stat, file_type(stat.kind), result)
    }

    fn write_stat(&mut self, level: Level, stat: Stat, kind: u8, result: u32) -> Done {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend(DEVICE.to_le_bytes());
        bytes.extend(stat.ino.to_le_bytes());
        match level {
            Level::Unstable => {
                bytes.extend([kind, 0, 0, 0]);
                bytes.extend(u32::try_from(stat.links).unwrap_or(u32::MAX).to_le_bytes());
            }
            Level::Preview1 => {
                bytes.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
                bytes.extend(stat.links.to_le_bytes());
            }
        }
        for number in [stat.size, stat.accessed, stat.modified, stat.changed] {
            bytes.extend(number.to_le_bytes());
        }
        self.memory.write(result, &bytes)?;
        Ok(())
    }

    pub(super) fn fd_filestat_set_times(&mut self, fd: u32, accessed: u64, modified: u64, flags: u32) -> Done {
        let times = times(accessed, modified, flags)?;
        match self.state.descriptors.get(fd)? {
            Descriptor::File { handle, .. } => self.state.files.set_file_times(handle, times)?,
            Descriptor::Dir { handle, .. } => self.state.files.set_dir_times(handle, times)?,
            Descriptor::Stdin | Descriptor::Output(_) => return Err(Errno::Badf.into()),
        }
        Ok(())
    }

    pub(super) fn path_filestat_set_times(
        &mut self,
        fd: u32,
        lookup: u32,
        path: (u32, u32),
        (accessed, modified, flags): (u64, u64, u32),
    ) -> Done {
        let times = times(accessed, modified, flags)?;
        let path = self.memory.text(path.0, path.1)?;
        let dir = self.state.descriptors.dir(fd)?;
        self.state.files.set_times_at(dir, path, lookup & 1 != 0, times)?;
        Ok(())
    }
}

/// A stream has no size and no times.
const STREAM: Stat =
    Stat { kind: Kind::Other, dev: 0, ino: 0, links: 1, size: 0, accessed: 0, modified: 0, changed: 0 };

fn times(accessed: u64, modified: u64, flags: u32) -> Result<Times, Errno> {
    let one = |set: bool, now: bool, at: u64| match (set, now) {
        (true, true) => Err(Errno::Inval),
        (true, false) => Ok(Some(NewTime::At(at))),
        (false, true) => Ok(Some(NewTime::Now)),
        (false, false) => Ok(None),
    };
    Ok(Times {
        accessed: one(flags & 1 != 0, flags & 2 != 0, accessed)?,
        modified: one(flags & 4 != 0, flags & 8 != 0, modified)?,
    })
}
