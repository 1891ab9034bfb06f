//! Acts on descriptors.

use super::descriptors::{Descriptor, ROOT_FD};
use super::memory::Piece;
use super::stat::{FDFLAG_APPEND, FDFLAG_NONBLOCK, FDFLAGS_SYNC, file_type};
use super::{Call, Done, Errno, Fail, Level};
use crate::sandbox::files::{Entry, Kind};
use crate::sandbox::stdio::{self, Stream, Wrote};
use crate::sandbox::store::Control;

/// Bytes of one entry of a directory, without its name.
const DIRENT_BYTES: u32 = 24;

/// Most bytes one read or write moves, as on Linux; the rest is the next call's.
const MAX_MOVED: u64 = 0x7fff_f000;

/// Most bytes moved between two looks at the deadline.
const STEP_BYTES: u32 = 1 << 20;

/// Most buffers looked at between two looks at the deadline: a guest may name hundreds of millions.
const STEP_PIECES: u32 = 1024;

/// Counts what one call has done since it last looked at the deadline.
#[derive(Default)]
struct Pace {
    pieces: u32,
    bytes: u64,
}

impl Pace {
    fn moved(&mut self, bytes: u64, control: &Control) -> Result<(), Fail> {
        self.pieces += 1;
        self.bytes += bytes;
        if self.pieces >= STEP_PIECES || self.bytes >= u64::from(STEP_BYTES) {
            control.check()?;
            *self = Self::default();
        }
        Ok(())
    }
}

/// How a read or write ended.
pub(super) enum Moved {
    /// So many bytes, and the answer is written.
    Done,
    /// Wait for standard input.
    WaitInput,
    /// Wait for a slow descriptor of the host.
    WaitOutput(stdio::Waiter),
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

    pub(super) fn fd_read(&mut self, fd: u32, vector: u32, count: u32, result: u32) -> Done<Moved> {
        match self.state.descriptors.get(fd)? {
            Descriptor::File { handle, position, .. } => {
                let (handle, start) = (handle.clone(), *position);
                if !handle.read {
                    return Err(Errno::Badf.into());
                }
                let total =
                    self.move_file(|buffer, done| handle.read_at(buffer, start.saturating_add(done)), vector, count)?;
                self.set_position(fd, start.saturating_add(total));
                self.done(total, result)
            }
            Descriptor::Stdin => {
                let (mut wanted, mut pace) = (0u32, Pace::default());
                for index in 0..count {
                    wanted = wanted.saturating_add(self.memory.piece(vector, index)?.len);
                    if wanted >= STEP_BYTES {
                        break;
                    }
                    pace.moved(0, &self.state.control)?;
                }
                let bytes = match self.state.input.read(wanted.min(STEP_BYTES) as usize)? {
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
        if !handle.read {
            return Err(Errno::Badf.into());
        }
        let read = |buffer: &mut [u8], done| handle.read_at(buffer, offset.saturating_add(done));
        let total = self.move_file(read, vector, count)?;
        self.done(total, result).map(|_| ())
    }

    /// Reads into or writes from buffer after buffer until one is not used up; the deadline is looked at between them.
    fn move_file(
        &mut self,
        mut act: impl FnMut(&mut [u8], u64) -> Result<usize, Errno>,
        vector: u32,
        count: u32,
    ) -> Result<u64, Fail> {
        let (mut total, mut pace) = (0, Pace::default());
        for index in 0..count {
            let Piece { mut start, len } = self.memory.piece(vector, index)?;
            let mut left = len.min(u32::try_from(MAX_MOVED - total).unwrap_or(u32::MAX));
            pace.moved(0, &self.state.control)?;
            while left > 0 {
                let step = left.min(STEP_BYTES);
                let moved = match act(self.memory.bytes_mut(start, step)?, total) {
                    Ok(moved) => moved,
                    // What was moved before the failure counts; the next call tells the failure.
                    Err(_) if total > 0 => return Ok(total),
                    Err(errno) => return Err(errno.into()),
                };
                total += moved as u64;
                if moved < step as usize {
                    return Ok(total);
                }
                pace.moved(moved as u64, &self.state.control)?;
                left -= step;
                start = start.saturating_add(step);
            }
            if total >= MAX_MOVED {
                break;
            }
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
                if !handle.write {
                    return Err(Errno::Badf.into());
                }
                let mut end = start;
                let write = |bytes: &mut [u8], done: u64| {
                    if append {
                        let (wrote, at) = handle.append(bytes)?;
                        end = at;
                        return Ok(wrote);
                    }
                    let at = start.checked_add(done).ok_or(Errno::Fbig)?;
                    let wrote = handle.write_at(bytes, at)?;
                    end = at.saturating_add(wrote as u64);
                    Ok(wrote)
                };
                let total = self.move_file(write, vector, count)?;
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
        if !handle.write {
            return Err(Errno::Badf.into());
        }
        let write = |bytes: &mut [u8], done: u64| handle.write_at(bytes, offset.checked_add(done).ok_or(Errno::Fbig)?);
        let total = self.move_file(write, vector, count)?;
        self.done(total, result).map(|_| ())
    }

    /// Writes what goes without waiting; less than all of it is a short write, as POSIX allows.
    fn write_stream(&mut self, stream: Stream, vector: u32, count: u32, result: u32) -> Done<Moved> {
        let (mut total, mut pace) = (0, Pace::default());
        for index in 0..count {
            let piece = self.memory.piece(vector, index)?;
            let left = u32::try_from(MAX_MOVED - total).unwrap_or(u32::MAX);
            let mut bytes = self.memory.bytes(piece.start, piece.len.min(left))?;
            pace.moved(0, &self.state.control)?;
            while !bytes.is_empty() {
                match self.state.output.write(stream, bytes)? {
                    Ok(Wrote::Done(wrote)) => {
                        bytes = &bytes[wrote..];
                        total += wrote as u64;
                        pace.moved(wrote as u64, &self.state.control)?;
                    }
                    Ok(Wrote::Wait(waiter)) if total == 0 => return Ok(Moved::WaitOutput(waiter)),
                    Err(errno) if total == 0 => return Err(errno.into()),
                    Ok(Wrote::Wait(_)) | Err(_) => return self.done(total, result),
                }
            }
            if total >= MAX_MOVED {
                break;
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
            let mut names = self.state.files.list(handle, &self.state.control)?;
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
    pub(super) fn is_ready(&mut self, fd: u32, stdin: &mut Option<bool>) -> Result<bool, Errno> {
        Ok(match self.state.descriptors.get(fd)? {
            Descriptor::Stdin => *stdin.get_or_insert_with(|| self.state.input.is_ready()),
            Descriptor::Output(_) | Descriptor::File { .. } => true,
            Descriptor::Dir { .. } => return Err(Errno::Badf),
        })
    }
}

fn dots(name: &str, ino: u64) -> Entry {
    Entry { name: name.to_owned(), kind: Kind::Dir, ino }
}

const _: () = assert!(ROOT_FD == 3, "C libraries look for preopens from 3 on");
