//! Acts on paths below a directory.

use super::descriptors::Descriptor;
use super::stat::{FDFLAG_APPEND, FDFLAG_NONBLOCK, FDFLAGS_SYNC, Rights};
use super::{Call, Done, Errno};
use crate::sandbox::files::{Handle, OpenOptions};

/// A path in guest memory: where it starts and how long it is.
type Path = (u32, u32);

/// The numbers of `path_open`.
pub(super) struct Open {
    pub(super) lookup: u32,
    pub(super) oflags: u32,
    pub(super) rights: u64,
    pub(super) fdflags: u32,
}

impl Call<'_> {
    pub(super) fn path_open(&mut self, fd: u32, path: Path, open: &Open, result: u32) -> Done {
        let rights = Rights::from_bits_truncate(open.rights);
        let flags = open.fdflags as u16 & (FDFLAG_APPEND | FDFLAG_NONBLOCK | FDFLAGS_SYNC);
        let options = OpenOptions {
            read: rights.contains(Rights::FD_READ),
            write: rights.contains(Rights::FD_WRITE),
            create: open.oflags & 1 != 0,
            directory: open.oflags & 2 != 0,
            exclusive: open.oflags & 4 != 0,
            truncate: open.oflags & 8 != 0,
            follow: open.lookup & 1 != 0,
            sync: flags & FDFLAGS_SYNC != 0,
        };
        let path = self.memory.text(path.0, path.1)?;
        let dir = self.state.descriptors.dir(fd)?;
        let descriptor = match self.state.files.open_at(dir, path, options)? {
            Handle::Dir(handle) => Descriptor::Dir { handle, preopen: false, listing: None },
            Handle::File(handle) => Descriptor::File { handle, position: 0, flags },
        };
        let opened = self.state.descriptors.insert(descriptor)?;
        self.memory.write_u32(result, opened)?;
        Ok(())
    }

    pub(super) fn path_create_directory(&mut self, fd: u32, path: Path) -> Done {
        let path = self.memory.text(path.0, path.1)?;
        Ok(self.state.files.make_dir_at(self.state.descriptors.dir(fd)?, path)?)
    }

    pub(super) fn path_remove_directory(&mut self, fd: u32, path: Path) -> Done {
        let path = self.memory.text(path.0, path.1)?;
        Ok(self.state.files.remove_dir_at(self.state.descriptors.dir(fd)?, path)?)
    }

    pub(super) fn path_unlink_file(&mut self, fd: u32, path: Path) -> Done {
        let path = self.memory.text(path.0, path.1)?;
        Ok(self.state.files.unlink_at(self.state.descriptors.dir(fd)?, path)?)
    }

    pub(super) fn path_rename(&mut self, from: u32, old: Path, to: u32, new: Path) -> Done {
        let (old, new) = (self.memory.text(old.0, old.1)?, self.memory.text(new.0, new.1)?);
        let from = self.state.descriptors.dir(from)?.clone();
        Ok(self.state.files.rename_at(&from, old, self.state.descriptors.dir(to)?, new)?)
    }

    pub(super) fn path_link(&mut self, from: u32, lookup: u32, old: Path, to: u32, new: Path) -> Done {
        if lookup & 1 != 0 {
            // A second name for what a link leads to could be a second name for something outside.
            return Err(Errno::Inval.into());
        }
        let (old, new) = (self.memory.text(old.0, old.1)?, self.memory.text(new.0, new.1)?);
        let from = self.state.descriptors.dir(from)?.clone();
        Ok(self.state.files.link_at(&from, old, self.state.descriptors.dir(to)?, new)?)
    }

    pub(super) fn path_symlink(&mut self, target: Path, fd: u32, path: Path) -> Done {
        let (target, path) = (self.memory.text(target.0, target.1)?, self.memory.text(path.0, path.1)?);
        Ok(self.state.files.symlink_at(target, self.state.descriptors.dir(fd)?, path)?)
    }

    pub(super) fn path_readlink(&mut self, fd: u32, path: Path, buffer: u32, len: u32, result: u32) -> Done {
        let path = self.memory.text(path.0, path.1)?;
        let target = self.state.files.read_link_at(self.state.descriptors.dir(fd)?, path)?;
        let fits = &target.as_bytes()[..target.len().min(len as usize)];
        self.memory.write(buffer, fits)?;
        self.memory.write_u32(result, u32::try_from(fits.len()).map_err(|_| Errno::Overflow)?)?;
        Ok(())
    }
}
