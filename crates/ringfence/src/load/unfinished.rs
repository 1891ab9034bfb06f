//! What a compilation that was killed had made already: functions of a large program, for the next one to go on from.
//!
//! The file is in the cache beside the entry that it is to become. Each function in it is bound by a tag to the entry and
//! to this cache's key, so a compiler that reads it believes nobody but an earlier compiler of the same program.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard};

use wasmtime::CacheStore;

use crate::load::program::hex;

/// Smallest program of which unfinished work is kept, in bytes: keeping it takes a third of the time again.
pub(super) const LEAST_BYTES: usize = 64 << 20;

/// Most that is kept, in bytes.
const MAX_BYTES: u64 = 768 << 20;

/// Length of what functions are found by.
const NAME: usize = 32;
const TAG: usize = blake3::OUT_LEN;
const HEAD: usize = NAME + TAG + size_of::<u32>();

/// The key of one entry's unfinished work.
pub(super) type Key = [u8; 32];

/// Where a compiler child finds it: a file of its parent's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    fd: i32,
    key: Key,
}

impl Place {
    /// The file stays open for as long as the child runs.
    pub(super) fn of(file: &File, key: Key) -> Self {
        Self { fd: file.as_raw_fd(), key }
    }

    pub(super) fn to_text(&self) -> String {
        format!("{}:{}", self.fd, hex(&self.key))
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        let (fd, digits) = text.split_once(':')?;
        let key = *blake3::Hash::from_hex(digits).ok()?.as_bytes();
        Some(Self { fd: fd.parse().ok()?, key })
    }

    /// In the child, before its wall; none where it cannot be had, and then the work begins anew.
    pub(super) fn open(&self, parent: u32) -> Option<Arc<Unfinished>> {
        let path = format!("/proc/{parent}/fd/{}", self.fd);
        let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
        Some(Arc::new(Unfinished::new(file, self.key)))
    }
}

/// Functions by what decides their code.
pub(super) struct Unfinished {
    file: File,
    key: Key,
    functions: Mutex<Functions>,
}

#[derive(Default)]
struct Functions {
    /// Where a function's code is, its length, and its tag.
    known: HashMap<[u8; NAME], (u64, u32, blake3::Hash)>,
    end: u64,
}

impl Unfinished {
    fn new(file: File, key: Key) -> Self {
        let functions = Mutex::new(Functions::read(&file));
        Self { file, key, functions }
    }

    fn functions(&self) -> MutexGuard<'_, Functions> {
        self.functions.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    fn tag(&self, name: &[u8; NAME], code: &[u8]) -> blake3::Hash {
        blake3::Hasher::new_keyed(&self.key).update(name).update(code).finalize()
    }
}

impl Functions {
    /// All that the file says is in it, up to where it was cut off; nothing is believed yet.
    fn read(file: &File) -> Self {
        let mut functions = Self::default();
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let mut head = [0; HEAD];
        while file.read_exact_at(&mut head, functions.end).is_ok() {
            let Some((name, rest)) = head.split_first_chunk::<NAME>() else { break };
            let Some((tag, size)) = rest.split_first_chunk::<TAG>() else { break };
            let Ok(size) = size.try_into().map(u32::from_le_bytes) else { break };
            let at = functions.end + HEAD as u64;
            let end = at + u64::from(size);
            if end > length {
                break;
            }
            functions.known.insert(*name, (at, size, blake3::Hash::from_bytes(*tag)));
            functions.end = end;
        }
        functions
    }
}

impl std::fmt::Debug for Unfinished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unfinished").field("functions", &self.functions().known.len()).finish_non_exhaustive()
    }
}

impl CacheStore for Unfinished {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let name = key.try_into().ok()?;
        let (at, size, tag) = *self.functions().known.get(&name)?;
        let mut code = vec![0; size as usize];
        self.file.read_exact_at(&mut code, at).ok()?;
        (self.tag(&name, &code) == tag).then_some(Cow::Owned(code))
    }

    fn insert(&self, key: &[u8], code: Vec<u8>) -> bool {
        let (Ok(name), Ok(size)) = (key.try_into(), u32::try_from(code.len())) else { return false };
        let tag = self.tag(&name, &code);
        let mut record = Vec::with_capacity(HEAD + code.len());
        record.extend_from_slice(&name);
        record.extend_from_slice(tag.as_bytes());
        record.extend_from_slice(&size.to_le_bytes());
        record.extend_from_slice(&code);
        let mut functions = self.functions();
        let at = functions.end;
        let end = at + record.len() as u64;
        if end > MAX_BYTES || self.file.write_all_at(&record, at).is_err() {
            return false;
        }
        functions.end = end;
        functions.known.insert(name, (at + HEAD as u64, size, tag)).is_none()
    }
}

#[cfg(test)]
#[path = "unfinished_tests.rs"]
mod tests;
