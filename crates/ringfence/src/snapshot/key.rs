//! Keys of saved snapshots: nobody without the key can make a file that is believed.

use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::load::installation_secret;

/// Shortest key that is taken, in bytes.
const MIN_KEY_BYTES: usize = 32;

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// This user's, on this machine.
    Installation = 0,
    /// The caller's: for files that move between machines.
    Caller = 1,
}

/// What authenticates saved snapshots.
pub struct SnapshotKey {
    pub(super) owner: Owner,
    /// Tells keys apart, and nothing about them.
    pub(super) id: [u8; 8],
    key: Zeroizing<[u8; 32]>,
}

impl SnapshotKey {
    /// The key of this installation, made on first use.
    pub fn of_installation() -> Result<Self> {
        let secret = installation_secret()?;
        Ok(Self::of(Owner::Installation, "ringfence 2026 snapshot: key of an installation", &*secret))
    }

    /// A key of the caller's own, 32 bytes or longer.
    pub fn given(secret: &[u8]) -> Result<Self> {
        if secret.len() < MIN_KEY_BYTES {
            return Err(Error::policy(
                format!("a key of {} bytes", secret.len()),
                "whoever guesses it can make snapshots that are believed",
                "give 32 random bytes or more, such as `secrets.token_bytes(32)`; a password is no key",
            ));
        }
        Ok(Self::of(Owner::Caller, "ringfence 2026 snapshot: key of a caller", secret))
    }

    fn of(owner: Owner, context: &str, secret: &[u8]) -> Self {
        let key = Zeroizing::new(blake3::derive_key(context, secret));
        let mut id = [0; 8];
        blake3::Hasher::new_keyed(&key).update(b"id").finalize_xof().fill(&mut id);
        Self { owner, id, key }
    }

    /// Begins the tag of a file.
    pub(super) fn hasher(&self) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(b"file");
        hasher
    }
}

impl std::fmt::Debug for SnapshotKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotKey").field("owner", &self.owner).finish_non_exhaustive()
    }
}
