//! Captured output where another process can read it, should this one be killed: a file in memory that both have.
//!
//! It begins with the number of the run and the lengths of both streams; then each stream has its room. Its size is
//! sealed, so that who fills it fills no more than that.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::{pread, pwrite, retry_on_intr};
use rustix::process::{Resource, getrlimit};

use super::stdio::Stream;

/// Most of each stream that is kept so, in bytes.
const MAX_ROOM: u64 = 256 << 20;

/// What is given back to the system after a run that wrote more, in bytes.
const KEPT: u64 = 1 << 20;

const HEADER_BYTES: usize = 24;

/// Such a file. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    file: Arc<OwnedFd>,
    room: u64,
}

impl Journal {
    /// One for runs of so much output at most.
    pub(crate) fn new(output: u64) -> rustix::io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = memfd_create("ringfence-output", flags)?;
        // Past this process's own limit there would be a signal.
        let most = getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX);
        let room = output.min(MAX_ROOM).min(most.saturating_sub(HEADER_BYTES as u64) / 2);
        ftruncate(&file, HEADER_BYTES as u64 + 2 * room)?;
        fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(Self { file: Arc::new(file), room })
    }

    /// The same in the other process.
    pub(crate) fn of(file: OwnedFd, room: u64) -> Self {
        Self { file: Arc::new(file), room }
    }

    /// What the other process is given.
    pub(crate) fn handle(&self) -> (BorrowedFd<'_>, u64) {
        (self.file.as_fd(), self.room)
    }

    /// Adds what a stream has from `at` on; `lengths` are those of both streams with it.
    pub(crate) fn add(&self, run: u64, stream: Stream, at: u64, bytes: &[u8], lengths: [u64; 2]) {
        let fits = usize::try_from(self.room.saturating_sub(at)).unwrap_or(usize::MAX).min(bytes.len());
        let mut header = [0; HEADER_BYTES];
        for (place, number) in header.chunks_exact_mut(8).zip([run, lengths[0], lengths[1]]) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        // What cannot be written is missed only if this process is killed.
        let _ = self.write(self.offset(stream) + at, &bytes[..fits]).and_then(|()| self.write(0, &header));
    }

    /// Both streams of that run, as far as they were written, and no more than `limit` in all.
    pub(crate) fn read(&self, run: u64, limit: u64) -> [Vec<u8>; 2] {
        let header = self.piece(0, HEADER_BYTES as u64);
        let number = |at: usize| {
            let bytes = header.get(8 * at..8 * at + 8).and_then(|bytes| bytes.first_chunk::<8>());
            bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        if number(0) != run {
            return [Vec::new(), Vec::new()];
        }
        let stdout = self.piece(self.offset(Stream::Stdout), number(1).min(self.room).min(limit));
        let left = limit - stdout.len() as u64;
        let stderr = self.piece(self.offset(Stream::Stderr), number(2).min(self.room).min(left));
        [stdout, stderr]
    }

    /// Gives back what a run of much output took.
    pub(crate) fn trim(&self, written: u64) {
        if written > KEPT {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = fallocate(&self.file, flags, 0, HEADER_BYTES as u64 + 2 * self.room);
        }
    }

    fn offset(&self, stream: Stream) -> u64 {
        HEADER_BYTES as u64 + stream as u64 * self.room
    }

    fn write(&self, mut at: u64, mut bytes: &[u8]) -> rustix::io::Result<()> {
        while !bytes.is_empty() {
            let wrote = retry_on_intr(|| pwrite(&self.file, bytes, at))?;
            (at, bytes) = (at + wrote as u64, &bytes[wrote..]);
        }
        Ok(())
    }

    fn piece(&self, at: u64, length: u64) -> Vec<u8> {
        let mut piece = vec![0; usize::try_from(length).unwrap_or(0)];
        let mut read = 0;
        while read < piece.len() {
            match retry_on_intr(|| pread(&self.file, &mut piece[read..], at + read as u64)) {
                Ok(count) if count > 0 => read += count,
                _ => break,
            }
        }
        piece.truncate(read);
        piece
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn both_streams_come_back_as_they_were_written() {
        let journal = Journal::new(10).unwrap();
        journal.add(7, Stream::Stdout, 0, b"out", [3, 0]);
        journal.add(7, Stream::Stderr, 0, b"err", [3, 3]);
        journal.add(7, Stream::Stdout, 3, b"more", [7, 3]);
        assert_eq!([b"outmore".to_vec(), b"err".to_vec()], journal.read(7, 10));
        assert_eq!([b"outmore".to_vec(), b"e".to_vec()], journal.read(7, 8));
    }

    #[test]
    fn another_run_has_written_nothing() {
        let journal = Journal::new(10).unwrap();
        assert_eq!([0, 0], journal.read(7, 10).map(|stream| stream.len()));
        journal.add(6, Stream::Stdout, 0, b"out", [3, 0]);
        assert_eq!([0, 0], journal.read(7, 10).map(|stream| stream.len()));
    }

    #[test]
    fn attack_lengths_that_are_lies_give_no_more_than_the_limit() {
        let journal = Journal::new(10).unwrap();
        journal.add(7, Stream::Stdout, u64::MAX, b"x", [u64::MAX, u64::MAX]);
        assert_eq!([10, 0], journal.read(7, 10).map(|stream| stream.len()));
        assert_eq!([10, 10], journal.read(7, u64::MAX).map(|stream| stream.len()));
    }

    #[test]
    fn attack_the_file_cannot_be_made_larger_or_smaller() {
        let journal = Journal::new(10).unwrap();
        assert!(ftruncate(&journal.file, 0).is_err() && ftruncate(&journal.file, 1 << 20).is_err());
        assert!(pwrite(&journal.file, b"x", 1 << 20).is_err());
    }
}
