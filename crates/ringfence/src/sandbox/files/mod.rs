//! Files: one virtual root under every WASI level, with the granted directories and files hung into it.
//!
//! The guest's only preopen is `/`. A path is walked through the virtual tree to the grant it lies in and then
//! resolved beneath that grant's own directory handle, which was opened when the policy was made. So a refusal
//! is seen by us and not lost in the guest's C library, a single file can be granted, and `..` or a link never
//! leads out: `cap-std` resolves beneath the handle (`openat2` where the kernel has it), and every act that
//! writes is checked against the grant's mode before the host is asked.

mod act;
mod bytes;
mod changes;
mod disk;
mod grants;
mod handle;
mod kernel;
mod layer;
mod list;
mod locate;
mod names;
mod times;
mod tmp;

pub use act::OpenOptions;
pub use changes::{Act, Change, Changes};
pub use grants::Grants;
pub use handle::{DirHandle, FileHandle, Handle, Kind, Stat};
pub use list::{Entry, Listing};
pub use locate::MAX_PATH_BYTES;
pub use times::{NewTime, Times};

use std::sync::Arc;
use std::time::Instant;

use self::disk::Disk;
use self::grants::{Mount, Root};
use self::kernel::KnownDevices;
pub(crate) use self::tmp::{PrivateTmp, TmpHome};
use super::denials::Denials;
use super::limits::Allowance;
use super::store::Control;
use crate::error::Result;
use crate::policy::{Limits, Mode, Policy};

/// The files of one run.
pub struct Files {
    grants: Arc<Grants>,
    /// The private `/tmp`; its host directory goes with the run.
    tmp: Option<PrivateTmp>,
    /// Grants with a private layer of this run.
    layered: Vec<Mount>,
    /// Places for open files.
    open: Allowance,
    /// Memory for listings.
    host_bytes: Allowance,
    /// What it may put on the disk.
    disk: Disk,
    /// Where files are really files.
    devices: KnownDevices,
    /// What was refused.
    pub denials: Denials,
}

impl Files {
    /// A view of what was granted, with a fresh `/tmp` if the policy gives one.
    pub fn new(
        grants: Arc<Grants>,
        policy: &Policy,
        limits: &Limits,
        started: Instant,
        control: &Control,
    ) -> Result<Self> {
        let tmp = if policy.tmp { Some(PrivateTmp::new()?) } else { None };
        Self::with_tmp(grants, policy, limits, started, control, tmp)
    }

    /// The same with a `/tmp` that was made before.
    pub(crate) fn with_tmp(
        grants: Arc<Grants>,
        policy: &Policy,
        limits: &Limits,
        started: Instant,
        control: &Control,
        tmp: Option<PrivateTmp>,
    ) -> Result<Self> {
        let denials = Denials::new(started, policy.on_denied);
        let disk = Disk::new(limits, denials.clone());
        let host_bytes = Allowance::new(limits.host_bytes.0);
        let run = layer::Run {
            private: Arc::default(),
            disk: disk.clone(),
            host_bytes: host_bytes.clone(),
            control: control.clone(),
        };
        Ok(Self {
            layered: grants.layered(&run)?,
            grants,
            tmp,
            open: Allowance::new(u64::from(limits.open_files)),
            host_bytes,
            disk,
            devices: KnownDevices::default(),
            denials,
        })
    }

    /// The root of everything the guest sees.
    pub fn root(&self) -> DirHandle {
        self.mount_at("").map_or_else(DirHandle::virtual_root, |mount| mount.root_handle())
    }

    /// What the run changed in its private layers, where it has any.
    pub fn changes(&self) -> Option<Changes> {
        let layer = |mount: &Mount| match &mount.root {
            Root::Layer(layer) => Some((mount.at.clone(), layer.clone())),
            _ => None,
        };
        let layers: Vec<_> = self.layered.iter().filter_map(layer).collect();
        (!layers.is_empty()).then(|| Changes::new(layers))
    }

    fn mounts(&self) -> impl Iterator<Item = &Mount> {
        let granted = self.grants.mounts().iter().filter(|mount| mount.mode != Mode::Overlay);
        granted.chain(&self.layered).chain(self.tmp.as_ref().map(|tmp| &tmp.mount))
    }

    /// The grant that hangs exactly here.
    fn mount_at(&self, guest: &str) -> Option<&Mount> {
        self.mounts().find(|mount| mount.at == guest)
    }

    /// Whether a grant hangs somewhere below here.
    fn has_mount_below(&self, guest: &str) -> bool {
        self.mounts().any(|mount| is_below(&mount.at, guest))
    }
}

/// Whether `path` lies strictly below `above`; both without slashes at the ends, the root empty.
fn is_below(path: &str, above: &str) -> bool {
    if above.is_empty() {
        return !path.is_empty();
    }
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn below_means_a_whole_name_further_down() {
        assert!(is_below("data/sub", "data") && is_below("data", ""));
        assert!(!is_below("database", "data") && !is_below("data", "data") && !is_below("", ""));
    }
}
