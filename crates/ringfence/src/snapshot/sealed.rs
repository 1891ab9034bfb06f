//! Files that are believed only whole: a bounded head, what it tells of, a body, and a tag over all of it.
//!
//! ```text
//! "rfsaved\0"   format u32   owner of the key u32   id of the key 8   length of the text u32   length of the body u64
//! the text       the body      the tag 32
//! ```
//!
//! Numbers are little-endian. Of a file that was not proven yet, nothing but the head is looked at, and that only says
//! which key to try. The tag is keyed BLAKE3 over the body, the text and the head: in this order, since the length of
//! the body is known when it is written. Lengths are in the head, so that no two files have one tag.

use std::fs::File;
use std::io::{Read, Result, Seek, SeekFrom, Write};

use super::key::{Owner, SnapshotKey};

const MAGIC: &[u8; 8] = b"rfsaved\0";

/// The format that is written, and the only one that is read.
pub(crate) const FORMAT: u32 = 1;

/// Length of the head, in bytes.
pub(crate) const HEAD: usize = 36;

const TAG: usize = 32;

/// Longest text, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = 4 << 20;

/// Longest file, in bytes: all that 32 bits can address, none of which can be made smaller.
pub(super) const MAX_FILE_BYTES: u64 = 5 << 30;

/// Why a file is not believed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It does not begin as ours do.
    Other,
    /// Its format is another one: this.
    Format(u32),
    /// It was made with the key of an installation, or of a caller, and not with this one.
    Key { of_caller: bool },
    /// It is not whole, or was changed.
    Damaged(&'static str),
}

/// A file that was proven to be what a holder of the key wrote.
pub(crate) struct Proven {
    bytes: Vec<u8>,
    text: usize,
}

impl Proven {
    /// Proves these bytes.
    pub(crate) fn of(bytes: Vec<u8>, key: &SnapshotKey) -> std::result::Result<Self, Doubt> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
            return Err(if bytes.starts_with(MAGIC) { Doubt::Damaged("it was cut") } else { Doubt::Other });
        };
        let Some(numbers) = head.strip_prefix(MAGIC) else { return Err(Doubt::Other) };
        let (words, _) = numbers.as_chunks::<4>();
        let [format, owner, id0, id1, text, low, high] = words else { return Err(Doubt::Damaged("its head is short")) };
        let word = |word: &[u8; 4]| u32::from_le_bytes(*word);
        if word(format) != FORMAT {
            return Err(Doubt::Format(word(format)));
        }
        if word(owner) != key.owner as u32 || [*id0, *id1].concat() != key.id {
            return Err(Doubt::Key { of_caller: word(owner) == Owner::Caller as u32 });
        }
        let (text, body) = (word(text) as usize, u64::from(word(low)) | u64::from(word(high)) << 32);
        let body = usize::try_from(body).map_err(|_| Doubt::Damaged("its head is wrong"))?;
        let whole = text.checked_add(body).and_then(|len| len.checked_add(TAG));
        match whole {
            Some(whole) if rest.len() == whole && text <= MAX_TEXT_BYTES => {}
            Some(whole) if rest.len() < whole => return Err(Doubt::Damaged("it was cut")),
            _ => return Err(Doubt::Damaged("it is longer than it says")),
        }
        let (told, rest) = rest.split_at(text);
        let (held, tag) = rest.split_at(body);
        let tag = <[u8; TAG]>::try_from(tag).map_err(|_| Doubt::Damaged("its tag is short"))?;
        // Compared in constant time: that is what `Hash` does.
        if key.hasher().update(held).update(told).update(head).finalize() != blake3::Hash::from_bytes(tag) {
            return Err(Doubt::Damaged("its bytes were changed"));
        }
        Ok(Self { bytes, text })
    }

    /// What the writer told of it.
    pub(crate) fn text(&self) -> &[u8] {
        self.bytes.get(HEAD..HEAD + self.text).unwrap_or_default()
    }

    /// What it is about.
    pub(crate) fn body(&self) -> &[u8] {
        self.bytes.get(HEAD + self.text..self.bytes.len().saturating_sub(TAG)).unwrap_or_default()
    }

    /// How long the whole file is, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Writes a file: first the body, piece by piece.
pub(crate) struct Sealing<'a, W> {
    to: W,
    key: &'a SnapshotKey,
    hasher: blake3::Hasher,
    text: &'a [u8],
    body: u64,
}

impl<'a, W: Write + Seek> Sealing<'a, W> {
    pub(crate) fn begin(mut to: W, key: &'a SnapshotKey, text: &'a [u8]) -> Result<Self> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(std::io::Error::other("what it tells of itself is too long"));
        }
        to.write_all(&[0; HEAD])?;
        to.write_all(text)?;
        Ok(Self { to, key, hasher: key.hasher(), text, body: 0 })
    }

    pub(crate) fn write(&mut self, piece: &[u8]) -> Result<()> {
        self.hasher.update(piece);
        self.body += piece.len() as u64;
        self.to.write_all(piece)
    }

    pub(crate) fn finish(mut self) -> Result<W> {
        let mut head = MAGIC.to_vec();
        head.extend(FORMAT.to_le_bytes());
        head.extend((self.key.owner as u32).to_le_bytes());
        head.extend(self.key.id);
        head.extend((self.text.len() as u32).to_le_bytes());
        head.extend(self.body.to_le_bytes());
        let tag = self.hasher.update(self.text).update(&head).finalize();
        self.to.write_all(tag.as_bytes())?;
        self.to.seek(SeekFrom::Start(0))?;
        self.to.write_all(&head)?;
        self.to.flush()?;
        Ok(self.to)
    }
}

/// The whole of a file, read once into memory of our own: whoever changes the file later changes nothing, and a file that
/// gets shorter is only short.
pub(crate) fn read(file: &File) -> Result<Vec<u8>> {
    let said = file.metadata()?.len();
    if said > MAX_FILE_BYTES {
        return Err(std::io::Error::other("it is longer than any saved snapshot"));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve(usize::try_from(said).map_err(std::io::Error::other)? + 1).map_err(std::io::Error::other)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[path = "sealed_tests.rs"]
mod tests;
