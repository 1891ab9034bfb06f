//! Files: one virtual root under every WASI level, with the granted directories and files hung into it.
//!
//! The guest's only preopen is `/`. A path is walked through the virtual tree to the grant it lies in and then
//! resolved beneath that grant's own directory handle, which was opened when the policy was made. So a refusal
//! is seen by us and not lost in the guest's C library, a single file can be granted, and `..` or a link never
//! leads out, nor onto another mount: it is resolved beneath the handle (`beneath.rs`; `openat2` where the kernel has
//! it), and every act that writes is checked against the grant's mode before the host is asked.

mod act;
mod beneath;
mod bytes;
mod changes;
mod disk;
mod grants;
mod handle;
mod home;
mod host_tree;
mod kernel;
mod layer;
mod list;
mod locate;
mod memory;
mod names;
mod times;
mod tmp;

pub use act::OpenOptions;
pub use changes::{Act, Change, Changes};
pub use grants::{Grants, Trees};
pub use handle::{DirHandle, FileHandle, Handle, Kind, Stat};
pub use list::{Entry, Listing};
pub use locate::MAX_PATH_BYTES;
pub(crate) use memory::Index;
pub use memory::Tree;
pub use times::{NewTime, Times};

use std::sync::Arc;
use std::time::Instant;

use self::disk::Disk;
use self::grants::Mount;
pub(crate) use self::home::{Home, Space};
use self::kernel::KnownDevices;
use self::layer::Private;
pub(crate) use self::tmp::PrivateTmp;
use super::denials::Denials;
use super::limits::Allowance;
use super::store::Control;
use crate::error::Result;
use crate::policy::{Limits, OnDenied, Policy};

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
    /// A view of what was granted; a `/tmp` that the policy gives is made where the space has none.
    pub(crate) fn new(
        grants: Arc<Grants>,
        policy: &Policy,
        limits: &Limits,
        started: Instant,
        control: &Control,
        space: Space,
    ) -> Result<Self> {
        let tmp = match space.tmp {
            None if policy.tmp => Some(PrivateTmp::new()?),
            tmp => tmp,
        };
        let denials = Denials::new(started, policy.on_denied);
        let disk = Disk::new(limits, denials.clone());
        let host_bytes = Allowance::new(limits.host_bytes.0);
        // Most runs have none, and make nothing for it.
        let layered = if grants.mounts().iter().any(Mount::has_layer) {
            let run = layer::Run {
                private: Arc::new(space.layers.map_or_else(Private::default, Private::of_handle)),
                disk: disk.clone(),
                host_bytes: host_bytes.clone(),
                // Its layers outlive the run: they keep no stream of it open, and no connection.
                control: Control { output: Control::of_nobody().output, network: None, ..control.clone() },
            };
            grants.layered(&run)?
        } else {
            Vec::new()
        };
        Ok(Self {
            layered,
            grants,
            tmp,
            open: Allowance::new(u64::from(limits.open_files)),
            host_bytes,
            disk,
            devices: KnownDevices::default(),
            denials,
        })
    }

    /// Those of nobody, who has none.
    pub(crate) fn of_nobody(grants: Arc<Grants>, limits: &Limits, started: Instant) -> Self {
        let denials = Denials::new(started, OnDenied::Stop);
        Self {
            disk: Disk::new(limits, denials.clone()),
            layered: Vec::new(),
            grants,
            tmp: None,
            open: Allowance::new(0),
            host_bytes: Allowance::new(0),
            devices: KnownDevices::default(),
            denials,
        }
    }

    /// The root of everything the guest sees.
    pub fn root(&self) -> DirHandle {
        self.mount_at("").map_or_else(DirHandle::virtual_root, |mount| mount.root_handle())
    }

    /// What the run changed in its private layers, where it has any.
    pub fn changes(&self) -> Option<Changes> {
        let layers = changes::layers(&self.layered);
        (!layers.is_empty()).then(|| Changes::new(layers))
    }

    fn mounts(&self) -> impl Iterator<Item = &Mount> {
        let granted = self.grants.mounts().iter().filter(|mount| !mount.has_layer());
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
