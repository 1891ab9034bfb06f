//! Programs that a compiler made of source text, kept under the digest of all that it was given.
//!
//! The compiler is a guest, and what it makes is a program nobody has to trust. It is kept like compiled code, with a
//! seal: who can write to the directory and has not its key cannot change what another's source becomes.

use std::io::{Read, Seek, SeekFrom, Write};

use crate::error::{Error, Result};
use crate::load::bytes::MAX_PROGRAM_BYTES;
use crate::load::cache::{Cache, Output};

/// Length of a key: SHA-256 in hexadecimal.
const KEY: usize = 64;

impl Cache {
    /// What was kept under this key, the SHA-256 of all it was made from in lower-case hexadecimal; `None` where there is
    /// nothing, or nothing that its seal proves.
    pub fn made(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let Some(proven) = self.open(&entry(key)?) else { return Ok(None) };
        let mut bytes = Vec::new();
        let mut file = proven.file();
        // It may have been read to its end, to be proven.
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(MAX_PROGRAM_BYTES + 1).read_to_end(&mut bytes));
        Ok((read.is_ok() && bytes.len() as u64 <= MAX_PROGRAM_BYTES && proven.is_unchanged()).then_some(bytes))
    }

    /// Keeps it. Where there is no cache or no room, it is made again the next time, that is all.
    pub fn keep_made(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let name = entry(key)?;
        if bytes.len() as u64 <= MAX_PROGRAM_BYTES
            && let Ok(output @ Output::Cached(..)) = self.output()
            && output.file().write_all(bytes).is_ok()
        {
            let _ = output.finish(&name);
        }
        Ok(())
    }
}

/// Its name in the cache. Compiled code is named by a digest first, so neither is ever taken for the other: a seal holds
/// for one name only.
fn entry(key: &str) -> Result<String> {
    if key.len() != KEY || !key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(Error::host("nothing can be kept under this key", "it is no SHA-256", "tell us of it"));
    }
    Ok(format!("made-{key}"))
}

#[cfg(test)]
#[path = "made_tests.rs"]
mod tests;
