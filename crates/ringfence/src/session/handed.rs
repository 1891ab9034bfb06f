//! A captured session on its way to another worker, or between one and a saved file: a file in memory that nobody maps.
//!
//! `length of the head u32 | the head, as JSON | what differs from its program's image`: as in a saved snapshot, without the
//! proof. Who wrote it may have fallen. What is read of it is bytes of a guest's memory and numbers that are looked at.
//! Whoever goes on from it is a worker too, of the same tenant, behind a wall of its own; its parent reads it to save it,
//! and makes nothing of its pages but sure that they are some.

use std::io::{Error, ErrorKind, Result};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::io::{pread, pwrite, retry_on_intr};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::captured::{Captured, Kept};
use crate::policy::Secret;
use crate::prepared::Prepared;

/// Longest head, in bytes: some hundred globals, and secrets.
const MAX_HEAD_BYTES: usize = 4 << 20;

/// Who is told pieces.
type Each<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;

/// What is told beside memory.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) memory_bytes: u64,
    /// Those of the policy that it had, in the order of what its guest holds instead.
    pub(super) secrets: Vec<Secret>,
    pub(super) kept: Kept,
}

/// A file that was taken apart: what it tells beside memory was looked at.
pub(super) struct Told {
    pub(super) head: Head,
    bytes: Vec<u8>,
    body: usize,
}

impl Told {
    /// What differs from its program's image, compressed.
    pub(super) fn body(&self) -> &[u8] {
        self.bytes.get(self.body..).unwrap_or_default()
    }
}

fn wrong(why: &str) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

/// Writes it from the start of a file that has so much room, and gives how much of it that took.
pub(super) fn hand_over(captured: &Captured, file: BorrowedFd<'_>, room: u64) -> Result<u64> {
    let kept = captured.kept().map_err(|error| wrong(&error.parts().why))?;
    let head = Head { memory_bytes: captured.size() as u64, secrets: captured.secrets(), kept };
    write(&head, |each| captured.save(each), file, room)
}

/// Writes a head, whatever it tells, and the pieces that `pages` tells.
pub(crate) fn write(
    head: &impl Serialize,
    pages: impl FnOnce(&mut Each<'_>) -> Result<()>,
    file: BorrowedFd<'_>,
    room: u64,
) -> Result<u64> {
    let head = serde_json::to_vec(head)?;
    let mut at = 0;
    let mut write = |mut bytes: &[u8]| {
        if room.saturating_sub(at) < bytes.len() as u64 {
            return Err(wrong("it is larger than its memory may be"));
        }
        while !bytes.is_empty() {
            let wrote = retry_on_intr(|| pwrite(file, bytes, at))?;
            (at, bytes) = (at + wrote as u64, &bytes[wrote..]);
        }
        Ok(())
    };
    write(&u32::try_from(head.len()).map_err(|_| wrong("there is too much beside its memory"))?.to_le_bytes())?;
    write(&head)?;
    pages(&mut write)?;
    Ok(at)
}

/// Reads one of a file of which so much was written.
pub(super) fn handed(prepared: Arc<Prepared>, name: &str, file: BorrowedFd<'_>, length: u64) -> Result<Captured> {
    let told = told(&prepared, file, length)?;
    let Head { memory_bytes, secrets, kept } = &told.head;
    kept.open(prepared, name, secrets, *memory_bytes, told.body())
}

/// Takes apart a file of which so much was written.
pub(super) fn told(prepared: &Prepared, file: BorrowedFd<'_>, length: u64) -> Result<Told> {
    let limit = prepared.policy.limits.memory.0;
    let (head, bytes, body) = read::<Head>(file, length, limit)?;
    head.kept.check().map_err(wrong)?;
    if head.memory_bytes > limit {
        return Err(wrong("its memory is larger than the limit `memory`"));
    }
    if !head.kept.is_over(prepared) {
        return Err(wrong("it is of another program"));
    }
    Ok(Told { head, bytes, body })
}

/// Reads a file of which so much was written, of no more memory than the limit: its head, all of it, and where its pages
/// begin.
pub(crate) fn read<H: DeserializeOwned>(file: BorrowedFd<'_>, length: u64, limit: u64) -> Result<(H, Vec<u8>, usize)> {
    // Room is made for no more than could have been written.
    if length > room(limit) {
        return Err(wrong("it is longer than any is"));
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| wrong("it is too long"))?];
    let mut done = 0;
    while done < bytes.len() {
        match retry_on_intr(|| pread(file, &mut bytes[done..], done as u64))? {
            0 => return Err(wrong("it was cut short")),
            count => done += count,
        }
    }
    let (head, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| wrong("it is too short"))?;
    let head = usize::try_from(u32::from_le_bytes(*head)).unwrap_or(usize::MAX);
    if head > MAX_HEAD_BYTES || head > rest.len() {
        return Err(wrong("it is shorter than it says"));
    }
    let body = 4 + head;
    let head = serde_json::from_slice(&rest[..head])?;
    Ok((head, bytes, body))
}

/// Room for a session of so much memory, in bytes: what cannot be made smaller grows by little when it is compressed.
pub(crate) fn room(memory: u64) -> u64 {
    memory.saturating_add(memory / 64).saturating_add(2 * MAX_HEAD_BYTES as u64)
}
