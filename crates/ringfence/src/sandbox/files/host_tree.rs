//! Where grants lie on the host, and which of them lie in which.

use std::fs::Metadata;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatxFlags, statx};

use super::grants::{Grants, Mount, Root};
use crate::error::{Error, Result};
use crate::policy::wider::Ground;
use crate::policy::{Mode, Policy};

type Inode = (u64, u64);

/// Where a grant lies on the host, by inode: names can lie.
#[derive(Debug)]
pub(super) struct HostTree {
    pub(super) shown: String,
    /// Without links.
    pub(super) path: PathBuf,
    mode: Mode,
    /// The grant itself, then every directory above it.
    pub(super) ancestry: Vec<Inode>,
    /// Which mount it is on, where the kernel tells.
    mount: Option<u64>,
}

pub(super) fn ancestry(path: &Path, own: Inode) -> Vec<Inode> {
    let above = path.ancestors().skip(1).filter_map(|above| above.metadata().ok());
    std::iter::once(own).chain(above.map(|metadata| (metadata.dev(), metadata.ino()))).collect()
}

impl HostTree {
    pub(super) fn new(shown: String, path: PathBuf, mode: Mode, held: &Metadata, handle: BorrowedFd<'_>) -> Self {
        let told = statx(handle, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok();
        let mount = told.filter(|told| told.stx_mask & StatxFlags::MNT_ID.bits() != 0).map(|told| told.stx_mnt_id);
        let ancestry = ancestry(&path, (held.dev(), held.ino()));
        Self { shown, path, mode, ancestry, mount }
    }

    /// Whether what can be reached here can be reached in that other one too: no grant leads onto another mount.
    pub(super) fn lies_in(&self, other: &Self) -> bool {
        let device = |tree: &Self| tree.ancestry.first().map(|(device, _)| *device);
        self.path.starts_with(&other.path)
            && other.covers(self)
            && self.mount == other.mount
            && device(self) == device(other)
    }

    fn covers(&self, other: &Self) -> bool {
        self.ancestry.first().is_some_and(|own| other.ancestry.contains(own))
    }

    /// One host tree must not be seen as `ro` under one name and `rw` under another.
    ///
    /// A `rw` grant inside a `ro` one, at the matching guest path, is no contradiction: it hides the `ro` view.
    pub(super) fn refuse_two_modes(&self, mount: &Mount, other: &Self, other_mount: &Mount) -> Result<()> {
        let one_writes = (self.mode == Mode::Rw) != (other.mode == Mode::Rw);
        if !one_writes || !(self.covers(other) || other.covers(self)) {
            return Ok(());
        }
        let (rw, rw_mount, ro, ro_mount) = match self.mode {
            Mode::Rw => (self, mount, other, other_mount),
            _ => (other, other_mount, self, mount),
        };
        let inside = rw.path.strip_prefix(&ro.path).ok().and_then(Path::to_str);
        let guest = inside
            .filter(|inside| !inside.is_empty())
            .map(|inside| if ro_mount.at.is_empty() { inside.to_owned() } else { format!("{}/{inside}", ro_mount.at) });
        if guest.is_some_and(|guest| guest == rw_mount.at) {
            return Ok(());
        }
        Err(Error::policy(
            format!("`{}` and `{}` are one host tree", ro.shown, rw.shown),
            format!(
                "granted `{}` at `/{}` and `rw` at `/{}`, so what is not to be changed could be written",
                ro.mode.name(),
                ro_mount.at,
                rw_mount.at
            ),
            format!("grant it once, or hang the `rw` directory at its own place inside the `{}` one", ro.mode.name()),
        ))
    }

    /// Our cache and keys are never a guest's, neither from above nor from within.
    pub(super) fn refuse_private(&self, private: &[PathBuf]) -> Result<()> {
        for place in private {
            // What is not there yet will be made in the first directory above it that is.
            let there = place.ancestors().find_map(|above| Some((above == place, above.canonicalize().ok()?)));
            let Some((is_there, path)) = there else { continue };
            let Ok(metadata) = path.metadata() else { continue };
            let own = (metadata.dev(), metadata.ino());
            let theirs =
                Self { shown: String::new(), mode: Mode::Ro, ancestry: ancestry(&path, own), path, mount: None };
            if self.covers(&theirs) || is_there && theirs.covers(self) {
                return Err(Error::policy(
                    format!("cannot grant `{}`", self.shown),
                    "Ringfence's own cache, keys or saved sessions lie in it: a guest that reads or writes them could \
                     forge native code, or snapshots",
                    "grant a narrower directory, or move them with RINGFENCE_CACHE and XDG_STATE_HOME",
                ));
            }
        }
        Ok(())
    }
}

impl Grants {
    /// What one policy grants that another does not, by what their grants hold open; see [`Policy::wider_than`].
    pub fn wider_than(&self, policy: &Policy, other: &Self, theirs: &Policy) -> Vec<String> {
        policy.wider_on(self, theirs, other)
    }
}

impl Ground for Grants {
    fn path(&self, index: usize) -> Option<PathBuf> {
        Some(self.tree(index)?.path.clone())
    }

    fn lies_in(&self, index: usize, other: &Self, number: usize) -> bool {
        let root = |grants: &Self, index: usize| grants.mounts().get(index).map(|mount| mount.root.clone());
        match (self.tree(index), other.tree(number), root(self, index), root(other, number)) {
            (Some(mine), Some(theirs), ..) => mine.lies_in(theirs),
            (None, None, Some(Root::Tree(mine)), Some(Root::Tree(theirs))) => {
                matches!((mine.digest(), theirs.digest()), (Ok(mine), Ok(theirs)) if mine == theirs)
            }
            _ => false,
        }
    }
}
