//! Seals: what proves that a cached entry is exactly what our compiler wrote.
//!
//! A seal holds a keyed BLAKE3 tag over the compiled code, bound to the entry's name, and the identity of the
//! file it was found in. Nobody without the key of this cache can make one.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::load::cache_dir::{CacheDir, Temporary};

const MAGIC: &[u8; 8] = b"rfseal01";
const TAG: usize = 32;
const IDENTITY: usize = 7 * 8;

/// Length of a seal, in bytes.
const SEAL_BYTES: usize = MAGIC.len() + TAG + 1 + IDENTITY + TAG;

/// Age a file must have before its time stamps are believed to tell two contents apart.
///
/// A change within the same tick of the file system's clock leaves them as they were; the coarsest tick in use
/// (FAT) is 2 s.
const SETTLED: Duration = Duration::from_secs(2);

/// The keys of one cache, made from its key file.
pub(super) struct Key {
    content: [u8; 32],
    seal: [u8; 32],
    unfinished: [u8; 32],
}

impl Key {
    pub(super) fn from_secret(secret: &[u8; 32]) -> Self {
        Self {
            content: blake3::derive_key("ringfence 2026 cache: compiled code", secret),
            seal: blake3::derive_key("ringfence 2026 cache: seal", secret),
            unfinished: blake3::derive_key("ringfence 2026 cache: unfinished", secret),
        }
    }

    /// The key of an entry's unfinished work: whoever compiles it may know this, and no other.
    pub(super) fn of_unfinished(&self, name: &str) -> [u8; 32] {
        *named(&self.unfinished, name).finalize().as_bytes()
    }

    /// The tag of a file's whole content under an entry's name, read through this very file.
    pub(super) fn tag(&self, name: &str, mut file: &File) -> std::io::Result<blake3::Hash> {
        file.seek(SeekFrom::Start(0))?;
        let mut hasher = named(&self.content, name);
        hasher.update_reader(file)?;
        Ok(hasher.finalize())
    }
}

fn named(key: &[u8; 32], name: &str) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
    hasher
}

/// What tells one state of one file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity([u64; 7]);

impl Identity {
    pub(super) fn of(file: &Metadata) -> Self {
        let [modified, modified_ns] = [file.mtime(), file.mtime_nsec()].map(i64::cast_unsigned);
        let [changed, changed_ns] = [file.ctime(), file.ctime_nsec()].map(i64::cast_unsigned);
        Self([file.dev(), file.ino(), file.size(), modified, modified_ns, changed, changed_ns])
    }

    /// Whether the other state differs by no more than the time of the last change of its links or mode.
    pub(super) fn has_content_of(&self, other: &Self) -> bool {
        self.0[..5] == other.0[..5]
    }

    /// Whether its time stamps lie far enough back to be believed.
    pub(super) fn is_settled(&self, now: SystemTime) -> bool {
        let [.., modified, modified_ns, changed, changed_ns] = self.0;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let settled = |seconds: u64, nanoseconds: u64| {
            let stamp = Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanoseconds));
            stamp.and_then(|stamp| now.checked_sub(stamp)).is_some_and(|age| age > SETTLED)
        };
        settled(modified, modified_ns) && settled(changed, changed_ns)
    }
}

/// A seal that was authentic when it was read.
pub(super) struct Seal {
    /// The tag of the compiled code; of a program that was only read, its SHA-256.
    pub(super) tag: blake3::Hash,
    /// The file the tag was last checked in; none while its time stamps were too young to be believed.
    pub(super) identity: Option<Identity>,
}

impl Seal {
    /// The seal in a file, if the holder of the key made it for this entry.
    pub(super) fn read(file: &File, key: &Key, name: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(SEAL_BYTES + 1);
        file.take(SEAL_BYTES as u64 + 1).read_to_end(&mut bytes).ok()?;
        Self::from_bytes(&bytes, key, name)
    }

    /// Writes it to a file of the cache, for the entry `name`.
    pub(super) fn write(&self, dir: &CacheDir, file: &str, name: &str) -> std::io::Result<()> {
        let mut temporary = Temporary::new(&dir.fd)?;
        temporary.file.write_all(&self.to_bytes(&dir.key, name))?;
        temporary.rename(file)
    }

    fn to_bytes(&self, key: &Key, name: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEAL_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(self.tag.as_bytes());
        bytes.push(u8::from(self.identity.is_some()));
        let identity = self.identity.unwrap_or(Identity([0; 7]));
        bytes.extend(identity.0.iter().flat_map(|number| number.to_le_bytes()));
        let proof = named(&key.seal, name).update(&bytes).finalize();
        bytes.extend_from_slice(proof.as_bytes());
        bytes
    }

    /// The seal these bytes are, if the holder of the key made it for this entry.
    fn from_bytes(bytes: &[u8], key: &Key, name: &str) -> Option<Self> {
        if bytes.len() != SEAL_BYTES {
            return None;
        }
        let (signed, proof) = bytes.split_last_chunk::<TAG>()?;
        // Compared in constant time: that is what `Hash` does.
        if named(&key.seal, name).update(signed).finalize() != blake3::Hash::from_bytes(*proof) {
            return None;
        }
        let (tag, rest) = signed.strip_prefix(MAGIC)?.split_first_chunk::<TAG>()?;
        let (has_identity, rest) = rest.split_first()?;
        let (numbers, _) = rest.as_chunks::<8>();
        let identity =
            Identity(numbers.iter().map(|number| u64::from_le_bytes(*number)).collect::<Vec<_>>().try_into().ok()?);
        Some(Self { tag: blake3::Hash::from_bytes(*tag), identity: (*has_identity == 1).then_some(identity) })
    }
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
