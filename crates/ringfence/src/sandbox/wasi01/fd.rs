//! Acts on descriptors.

use std::sync::Arc;

use super::descriptors::{Descriptor, ROOT_FD};
use super::memory::Piece;
use super::stat::{FDFLAG_APPEND, FDFLAG_NONBLOCK, FDFLAGS_SYNC, file_type};
use super::{Call, Done, Errno, Fail, Level};
use crate::sandbox::files::{Entry, Kind};
use crate::sandbox::stdio::{self, Stream, Wrote};

/// Bytes of one entry of a directory, without its name.
const DIRENT_BYTES: u32 = 24;

/// How a read or write ended.
pub(super) enum Moved {
    /// So many bytes, and the answer is written.
    Done,
    /// Wait for standard input.
    WaitInput,
    /// Wait for a slow descriptor of the host.
    WaitOutput(Arc<std::os::fd::OwnedFd>),
}

impl Call<'_> {
    pub(super) fn fd_advise(&mut self, fd: u32, advice: u32) -> Done {
        self.state.descriptors.file(fd)?;
        if advice > 5 { Err(Errno::Inval.into()) } else { Ok(()) }
    }

    /// Not offered, as in other engines: the size of a file is set by `fd_filestat_set_size`.
    pub(super) fn fd_allocate(&mut self, fd: u32) -> Done {
        self.state.descriptors.file(fd)?;
        Err(Errno::Notsup.into())
    }

    pub(super) fn fd_close(&mut self, fd: u32) -> Done {
        self.state.descriptors.take(fd)?;
        Ok(())
    }

    pub(super) fn fd_sync(&mut self, fd: u32) -> Done {
        match self.state.descriptors.get(fd)? {
            Descriptor::File { handle, .. } => Ok(handle.sync()?),
            Descriptor::Dir { .. } => Ok(()),
            _ => Err(Errno::Badf.into()),
        }
    }

    pub(super) fn fd_fdstat_set_flags(&mut self, fd: u32, flags: u32) -> Done {
        match self.state.descriptors.get(fd)? {
            Descriptor::File { flags: kept, .. } => {
                let changed = flags as u16 & (FDFLAG_APPEND | FDFLAG_NONBLOCK);
                *kept = (*kept & FDFLAGS_SYNC) | changed;
                Ok(())
            }
            _ => Err(Errno::Badf.into()),
        }
    }

    /// Rights are told, not kept: what is allowed is decided by the grant.
    pub(super) fn fd_fdstat_set_rights(&mut self, fd: u32) -> Done {
        self.state.descriptors.get(fd)?;
        Err(Errno::Notsup.into())
    }

    pub(super) fn fd_filestat_set_size(&mut self, fd: u32, size: u64) -> Done {
        Ok(self.state.descriptors.file(fd)?.set_size(size)?)
    }

    pub(super) fn fd_prestat_get(&mut self, fd: u32, result: u32) -> Done {
        if !matches!(self.state.descriptors.get(fd)?, Descriptor::Dir { preopen: true, .. }) {
            return Err(Errno::Badf.into());
        }
        // Kind 0 is a directory; the name `/` is one byte long.
        self.memory.write_u32(result, 0)?;
        self.memory.write_u32(result.checked_add(4).ok_or(Errno::Fault)?, 1)?;
        Ok(())
    }

    pub(super) fn fd_prestat_dir_name(&mut self, fd: u32, path: u32, len: u32) -> Done {
        if !matches!(self.state.descriptors.get(fd)?, Descriptor::Dir { preopen: true, .. }) {
            return Err(Errno::Badf.into());
        }
        if len < 1 {
            return Err(Errno::Nametoolong.into());
        }
        self.memory.write(path, b"/")?;
        Ok(())
    }

    pub(super) fn fd_renumber(&mut self, from: u32, to: u32) -> Done {
        self.state.descriptors.get(to)?;
        if from == to {
            return Ok(());
        }
        let moved = self.state.descriptors.take(from)?;
        self.state.descriptors.replace(to, moved);
        Ok(())
    }

    pub(super) fn fd_seek(&mut self, level: Level, fd: u32, delta: i64, whence: u32, result: u32) -> Done {
        let position = self.position(fd)?;
        let size = |call: &mut Self| -> Result<u64, Fail> { Ok(call.state.descriptors.file(fd)?.stat()?.size) };
        let from = match (level, whence) {
            (Level::Preview1, 0) | (Level::Unstable, 2) => 0,
            (Level::Preview1, 1) | (Level::Unstable, 0) => position,
            (Level::Preview1, 2) | (Level::Unstable, 1) => size(self)?,
            _ => return Err(Errno::Inval.into()),
        };
        let to = from.checked_add_signed(delta).filter(|to| i64::try_from(*to).is_ok()).ok_or(Errno::Inval)?;
        self.set_position(fd, to);
        self.memory.write_u64(result, to)?;
        Ok(())
    }

    pub(super) fn fd_tell(&mut self, fd: u32, result: u32) -> Done {
        let position = self.position(fd)?;
        self.memory.write_u64(result, position)?;
        Ok(())
    }

    fn position(&mut self, fd: u32) -> Result<u64, Errno> {
        match self.state.descriptors.get(fd)? {
            Descriptor::File { position, .. } => Ok(*position),
            Descriptor::Dir { .. } => Err(Errno::Badf),
            Descriptor::Stdin | Descriptor::Output(_) => Err(Errno::Spipe),
        }
    }

    fn set_position(&mut self, fd: u32, to: u64) {
        if let Ok(Descriptor::File { position, .. }) = self.state.descriptors.get(fd) {
            *position = to;
        }
    }

    /// The buffers of a vector; the guest names their number, so they are looked at one by one.
    fn pieces(&self, vector: u32, count: u32) -> impl Iterator<Item = Result<Piece, Errno>> + use<'_> {
        (0..count).map(move |index| self.memory.piece(vector, index))
    }

    pub(super) fn fd_read(&mut self, fd: u32, vector: u32, count: u32, result: u32) -> Done<Moved> {
        match self.state.descriptors.get(fd)? {
            Descriptor::File { handle, position, .. } => {
                let (handle, start) = (handle.clone(), *position);
                let total = self.read_file(|buffer, done| handle.read_at(buffer, start + done), vector, count)?;
                self.set_position(fd, start + total);
                self.done(total, result)
            }
            Descriptor::Stdin => {
                let mut wanted = 0usize;
                for piece in self.pieces(vector, count) {
                    wanted = wanted.saturating_add(piece?.len as usize);
                }
                let bytes = match self.state.input.read(wanted)? {
                    stdio::Read::Wait => return Ok(Moved::WaitInput),
                    stdio::Read::Bytes(bytes) => bytes,
                };
                let mut left = &bytes[..];
                for index in 0..count {
                    if left.is_empty() {
                        break;
                    }
                    let piece = self.memory.piece(vector, index)?;
                    let (now, later) = left.split_at(left.len().min(piece.len as usize));
                    self.memory.write(piece.start, now)?;
                    left = later;
                }
                self.done(bytes.len() as u64, result)
            }
            Descriptor::Dir { .. } => Err(Errno::Isdir.into()),
            Descriptor::Output(_) => Err(Errno::Badf.into()),
        }
    }

    pub(super) fn fd_pread(&mut self, fd: u32, vector: u32, count: u32, offset: u64, result: u32) -> Done {
        let handle = match self.state.descriptors.get(fd)? {
            Descriptor::File { handle, .. } => handle.clone(),
            Descriptor::Dir { .. } => return Err(Errno::Isdir.into()),
            _ => return Err(Errno::Spipe.into()),
        };
        let read = |buffer: &mut [u8], done| handle.read_at(buffer, offset.saturating_add(done));
        let total = self.read_file(read, vector, count)?;
        self.done(total, result).map(|_| ())
    }

    /// Fills buffer after buffer until one is not filled; the deadline is looked at between them.
    fn read_file(
        &mut self,
        read: impl Fn(&mut [u8], u64) -> Result<usize, Errno>,
        vector: u32,
        count: u32,
    ) -> Result<u64, Fail> {
        let mut total = 0;
        for index in 0..count {
            let piece = self.memory.piece(vector, index)?;
            if piece.len == 0 {
                continue;
            }
            let got = match read(self.memory.bytes_mut(piece.start, piece.len)?, total) {
                Ok(got) => got,
                // What was read before the failure counts; the next read tells the failure.
                Err(_) if total > 0 => break,
                Err(errno) => return Err(errno.into()),
            };
            total += got as u64;
            if got < piece.len as usize {
                break;
            }
            self.state.control.check()?;
        }
        Ok(total)
    }

    pub(super) fn fd_write(&mut self, fd: u32, vector: u32, count: u32, result: u32) -> Done<Moved> {
        match self.state.descriptors.get(fd)? {
            Descriptor::Output(stream) => {
                let stream = *stream;
                self.write_stream(stream, vector, count, result)
            }
            Descriptor::File { handle, position, flags } => {
                let (handle, start, append) = (handle.clone(), *position, *flags & FDFLAG_APPEND != 0);
                let mut end = start;
                let write = |bytes: &[u8], done: u64| {
                    if append {
                        let (wrote, at) = handle.append(bytes)?;
                        end = at;
                        return Ok(wrote);
                    }
                    let wrote = handle.write_at(bytes, start.checked_add(done).ok_or(Errno::Fbig)?)?;
                    end = start + done + wrote as u64;
                    Ok(wrote)
                };
                let total = self.write_file(write, vector, count)?;
                self.set_position(fd, end);
                self.done(total, result)
            }
            Descriptor::Dir { .. } => Err(Errno::Isdir.into()),
            Descriptor::Stdin => Err(Errno::Badf.into()),
        }
    }

    pub(super) fn fd_pwrite(&mut self, fd: u32, vector: u32, count: u32, offset: u64, result: u32) -> Done {
        let handle = match self.state.descriptors.get(fd)? {
            Descriptor::File { handle, .. } => handle.clone(),
            Descriptor::Dir { .. } => return Err(Errno::Isdir.into()),
            _ => return Err(Errno::Spipe.into()),
        };
        let write = |bytes: &[u8], done: u64| handle.write_at(bytes, offset.checked_add(done).ok_or(Errno::Fbig)?);
        let total = self.write_file(write, vector, count)?;
        self.done(total, result).map(|_| ())
    }

    fn write_file(
        &mut self,
        mut write: impl FnMut(&[u8], u64) -> Result<usize, Errno>,
        vector: u32,
        count: u32,
    ) -> Result<u64, Fail> {
        let mut total = 0;
        for index in 0..count {
            let piece = self.memory.piece(vector, index)?;
            let wrote = match write(self.memory.bytes(piece.start, piece.len)?, total) {
                Ok(wrote) => wrote,
                Err(_) if total > 0 => break,
                Err(errno) => return Err(errno.into()),
            };
            total += wrote as u64;
            if wrote < piece.len as usize {
                break;
            }
            self.state.control.check()?;
        }
        Ok(total)
    }

    /// Writes what goes without waiting; less than all of it is a short write, as POSIX allows.
    fn write_stream(&mut self, stream: Stream, vector: u32, count: u32, result: u32) -> Done<Moved> {
        let mut total = 0;
        for index in 0..count {
            let piece = self.memory.piece(vector, index)?;
            let mut bytes = self.memory.bytes(piece.start, piece.len)?;
            while !bytes.is_empty() {
                match self.state.output.write(stream, bytes)? {
                    Ok(Wrote::Done(wrote)) => {
                        bytes = &bytes[wrote..];
                        total += wrote as u64;
                    }
                    Ok(Wrote::Wait(fd)) if total == 0 => return Ok(Moved::WaitOutput(fd)),
                    Err(errno) if total == 0 => return Err(errno.into()),
                    Ok(Wrote::Wait(_)) | Err(_) => return self.done(total, result),
                }
            }
        }
        self.done(total, result)
    }

    fn done(&mut self, total: u64, result: u32) -> Done<Moved> {
        self.memory.write_u32(result, u32::try_from(total).map_err(|_| Errno::Overflow)?)?;
        Ok(Moved::Done)
    }

    pub(super) fn fd_readdir(&mut self, fd: u32, buffer: u32, len: u32, cookie: u64, result: u32) -> Done {
        let Descriptor::Dir { handle, listing, .. } = self.state.descriptors.get(fd)? else {
            return Err(Errno::Notdir.into());
        };
        if cookie == 0 || listing.is_none() {
            let own = self.state.files.stat_dir(handle)?.ino;
            *listing = None;
            let mut names = self.state.files.list(handle)?;
            names.entries.splice(..0, [dots(".", own), dots("..", own)]);
            *listing = Some(names);
        }
        let entries = listing.as_ref().map_or(&[][..], |listing| &listing.entries);
        let out = self.memory.bytes_mut(buffer, len)?;
        let mut used = 0;
        let first = usize::try_from(cookie).map_err(|_| Errno::Inval)?;
        for (index, entry) in entries.iter().enumerate().skip(first) {
            let mut bytes = Vec::with_capacity(DIRENT_BYTES as usize + entry.name.len());
            bytes.extend((index as u64 + 1).to_le_bytes());
            bytes.extend(entry.ino.to_le_bytes());
            bytes.extend(u32::try_from(entry.name.len()).map_err(|_| Errno::Overflow)?.to_le_bytes());
            bytes.extend([file_type(entry.kind), 0, 0, 0]);
            bytes.extend(entry.name.as_bytes());
            // The last one may be cut: a full buffer tells the guest to ask again with its cookie.
            let fits = bytes.len().min(out.len() - used);
            out[used..used + fits].copy_from_slice(&bytes[..fits]);
            used += fits;
            if used == out.len() {
                break;
            }
        }
        self.memory.write_u32(result, u32::try_from(used).map_err(|_| Errno::Overflow)?)?;
        Ok(())
    }

    /// Signals are not the guest's to send.
    pub(super) fn proc_raise(&mut self) -> Done {
        Err(Errno::Nosys.into())
    }

    /// There are no sockets yet.
    pub(super) fn sock(&mut self, fd: u32) -> Done {
        match self.state.descriptors.get(fd)? {
            Descriptor::Dir { .. } => Err(Errno::Badf.into()),
            _ => Err(Errno::Notsock.into()),
        }
    }

    /// Whether a descriptor can be read or written without waiting.
    pub(super) fn is_ready(&mut self, fd: u32) -> Result<bool, Errno> {
        Ok(match self.state.descriptors.get(fd)? {
            Descriptor::Stdin => self.state.input.is_ready(),
            Descriptor::Output(_) | Descriptor::File { .. } => true,
            Descriptor::Dir { .. } => return Err(Errno::Badf),
        })
    }
}

fn dots(name: &str, ino: u64) -> Entry {
    Entry { name: name.to_owned(), kind: Kind::Dir, ino }
}

const _: () = assert!(ROOT_FD == 3, "C libraries look for preopens from 3 on");
