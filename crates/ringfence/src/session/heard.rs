//! What is made of the bytes of any file of a snapshot, for `make fuzz`.

use std::io::Cursor;

use super::saved::SavedSnapshot;
use crate::snapshot::SnapshotKey;
use crate::snapshot::sealed::{HEAD, Sealing};

/// Length of the head and of the tag of a file, in bytes.
pub const AROUND: (usize, usize) = (HEAD, 32);

/// A file that a holder of the key made of these, whatever they are.
pub fn sealed(text: &[u8], body: &[u8], key: &SnapshotKey) -> std::io::Result<Vec<u8>> {
    let mut sealing = Sealing::begin(Cursor::new(Vec::new()), key, text)?;
    sealing.write(body)?;
    Ok(sealing.finish()?.into_inner())
}

/// What the memory of a snapshot has in a file, and how large the memory is, in bytes; or why it is none.
pub fn unpacked(bytes: Vec<u8>, key: &SnapshotKey) -> Result<(u64, u64), String> {
    let saved = SavedSnapshot::from_bytes(bytes, "any", key).map_err(|error| error.to_string())?;
    let unpacked = saved.unpacked().map_err(|error| error.to_string())?;
    Ok((unpacked, saved.facts().memory_bytes))
}

/// What the names of the mutable globals begin with that a module exports when it was taken apart.
pub const GLOBAL: &str = crate::snapshot::instrument::GLOBAL;

/// A module without its data, and what its memory begins with; or why it cannot be taken apart.
pub fn instrumented(wasm: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    crate::snapshot::instrument::instrument(wasm).map(|found| (found.wasm, found.image))
}
