//! Digests of large programs, remembered by the state that their files were in: to read and digest 32 MB takes longer
//! than all else of a start.
//!
//! A digest is believed only where nothing that may write to the file could have changed it unseen. Whoever writes moves
//! the time of the last change, which nobody can set. So what tells one state from another is the identity that seals of
//! compiled code have too, within one mount of one boot of the machine; and that only
//!
//! - on file systems that keep the time of the last change themselves. FAT keeps one time for both: a guest could write
//!   and then set it back. What a server elsewhere says of its files is what it likes to say;
//! - where that time was more than two seconds old before the file was read;
//! - for this kind of program: the first bytes are read each time.
//!
//! What is left is a process of this machine that may write to the file and has mapped it: what it writes long after its
//! first write moves no time. The program that runs is then one that was in this file before.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::SystemTime;

use rustix::fs::{AtFlags, StatxFlags, fstatfs, statx};

use crate::load::Kind;
use crate::load::bytes;
use crate::load::cache::Cache;
use crate::load::file::Opened;
use crate::load::program::hex;
use crate::load::seal::{Identity, Seal};

/// Smallest program whose digest is remembered, in bytes: smaller ones are digested in a millisecond.
pub(super) const LEAST_BYTES: u64 = 1 << 20;

/// `STATX_MNT_ID_UNIQUE`: the number of a mount that no later one gets, since Linux 6.8.
const UNIQUE_MOUNT: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// File systems of this machine on which nobody sets the time of the last change, by the magic number that `statfs`
/// tells: ext, XFS, Btrfs, F2FS, ZFS, those in memory, and overlays of such.
const KEEPING_TIME: [i64; 7] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x2fc1_2fc1, 0x0102_1994, 0x794c_7630];

/// One state of a large program's file.
pub(super) struct State {
    identity: Identity,
    /// What its time stamps are compared with: read before the file is.
    now: SystemTime,
    kind: Kind,
    /// Within which the identity tells states apart.
    mount: String,
    /// The file in the cache that has the digest.
    name: String,
}

impl State {
    /// The state it is in; `None` for what is small or a text, and where states cannot be told apart.
    pub(super) fn of(opened: &Opened) -> Option<Self> {
        let (file, metadata) = (opened.file(), opened.metadata());
        if metadata.len() < LEAST_BYTES || !keeps_time(fstatfs(file).ok()?.f_type) {
            return None;
        }
        let now = SystemTime::now();
        let mut head = [0; 8];
        file.read_exact_at(&mut head, 0).ok()?;
        if bytes::is_text(&head) {
            return None;
        }
        let kind = bytes::detect(&head, "").ok()?;
        let mount = mount_of(file)?;
        let name = format!("seen-{:x}-{:x}.seal", metadata.dev(), metadata.ino());
        Some(Self { identity: Identity::of(metadata), now, kind, mount, name })
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// What the digest is sealed for.
    fn sealed_for(&self) -> String {
        format!("seen-{}-{}", self.kind, self.mount)
    }
}

impl Cache {
    /// The digest of a file in this state, if it was read in it before.
    pub(super) fn digest_of(&self, state: &State) -> Option<String> {
        let dir = self.directory()?;
        let seal = Seal::read(&dir.open_private(&state.name)?, &dir.key, &state.sealed_for())?;
        (seal.identity == Some(state.identity)).then(|| hex(seal.tag.as_bytes()))
    }

    /// Remembers the digest of what was read after its state was looked at.
    pub(super) fn remember_digest(&self, state: &State, opened: &Opened, digest: &[u8; 32]) {
        let unchanged = opened.file().metadata().is_ok_and(|metadata| Identity::of(&metadata) == state.identity);
        if let Some(dir) = self.directory()
            && unchanged
            && state.identity.is_settled(state.now)
        {
            let seal = Seal { tag: blake3::Hash::from_bytes(*digest), identity: Some(state.identity) };
            // Without it the next start reads the whole file again.
            let _ = seal.write(dir, &state.name, &state.sealed_for());
        }
    }
}

fn keeps_time(magic: i64) -> bool {
    KEEPING_TIME.contains(&magic)
}

/// The mount that a file lies on, of all that there ever were on this machine.
fn mount_of(file: &File) -> Option<String> {
    let told = statx(file, c"", AtFlags::EMPTY_PATH, UNIQUE_MOUNT).ok()?;
    if told.stx_mask & UNIQUE_MOUNT.bits() == 0 {
        return None;
    }
    let mut boot = String::new();
    File::open("/proc/sys/kernel/random/boot_id").ok()?.take(64).read_to_string(&mut boot).ok()?;
    (!boot.is_empty()).then(|| format!("{}-{:x}", boot.trim_end(), told.stx_mnt_id))
}

#[cfg(test)]
#[path = "seen_tests.rs"]
mod tests;
