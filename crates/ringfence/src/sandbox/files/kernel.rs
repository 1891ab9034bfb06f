//! File systems that are doors into the kernel and not files.
//!
//! A grant of one is refused when the policy is made. One that is mounted below a grant (`/proc` below `/`) is
//! refused here, act by act: `/proc/self/mem` says that it is a regular file, and it is this process's memory.

use std::os::fd::AsFd;
use std::path::Path;

use cap_std::fs::Dir;

use super::Files;
use super::locate::Intent;
use crate::sandbox::errno::Errno;

/// What they are called in the table of mounts, by the magic number that `statfs` tells.
const KERNEL_TREES: [(i64, &str); 20] = [
    (0x9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x6462_6720, "debugfs"),
    (0x7472_6163, "tracefs"),
    (0x6367_7270, "cgroup2"),
    (0x0027_e0eb, "cgroup"),
    (0xcafe_4a11, "bpf"),
    (0x7363_6673, "securityfs"),
    (0x6265_6570, "configfs"),
    (0x4249_4e4d, "binfmt_misc"),
    (0xde5e_81e4, "efivarfs"),
    (0x6165_676c, "pstore"),
    (0xf97c_ff8c, "selinuxfs"),
    (0x4341_5d53, "smackfs"),
    (0x6573_5543, "fusectl"),
    (0x1980_0202, "mqueue"),
    (0x6e73_6673, "nsfs"),
    (0x6759_6969, "rpc_pipefs"),
    (0x6e66_7364, "nfsd"),
    (0x0765_5821, "resctrl"),
];

/// Most devices that are remembered as harmless in one run.
const MAX_DEVICES: usize = 64;

/// The name of the kernel tree that an open file or directory lies on, if it does.
pub(super) fn kernel_tree(file: impl AsFd) -> rustix::io::Result<Option<&'static str>> {
    let found = rustix::fs::fstatfs(file)?;
    Ok(KERNEL_TREES.iter().find(|(magic, _)| *magic == found.f_type).map(|(_, name)| *name))
}

/// Whether one is mounted somewhere below a path; where that cannot be known, it may be.
pub(super) fn is_mounted_below(path: &Path) -> bool {
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else { return true };
    mounts.lines().any(|line| {
        // `36 35 98:0 /root /mount/point rw,noatime master:1 - ext3 /dev/root rw`
        let point = line.split(' ').nth(4);
        let kind = line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').next());
        kind.is_some_and(|kind| KERNEL_TREES.iter().any(|(_, name)| *name == kind))
            && point.is_some_and(|point| Path::new(point).starts_with(path))
    })
}

/// The devices of one run that are known to be no kernel trees: their files need no second question.
#[derive(Debug, Default)]
pub(super) struct KnownDevices(Vec<u64>);

impl KnownDevices {
    /// Whether a file that says it is on this device lies on a kernel tree; what cannot be asked does.
    pub(super) fn is_kernel_tree(&mut self, device: u64, file: impl AsFd) -> bool {
        if self.0.contains(&device) {
            return false;
        }
        let harmless = matches!(kernel_tree(file), Ok(None));
        if harmless && self.0.len() < MAX_DEVICES {
            self.0.push(device);
        }
        !harmless
    }
}

impl Files {
    /// Refuses an act on a path whose directory is on a kernel tree; asked only where a grant has one below it.
    pub(super) fn refuse_kernel_tree(
        &mut self,
        dir: &Dir,
        path: &str,
        guest: &str,
        intent: Intent,
    ) -> Result<(), Errno> {
        let Some((above, _)) = path.trim_end_matches('/').rsplit_once('/') else { return Ok(()) };
        // A directory that cannot be opened is the act's own failure.
        let Ok(above) = dir.open_dir(if above.is_empty() { "." } else { above }) else { return Ok(()) };
        if matches!(kernel_tree(&above), Ok(None)) {
            return Ok(());
        }
        self.denials.note(intent.kind(), &format!("/{guest}"));
        Err(Errno::Perm)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn proc_is_a_kernel_tree_and_the_root_has_it_below() {
        let open = |path: &str| std::fs::File::open(path).unwrap();
        assert_eq!(Some("proc"), kernel_tree(open("/proc/self/status")).unwrap());
        assert_eq!(None, kernel_tree(open("/")).unwrap());
        assert!(is_mounted_below(Path::new("/")));
        assert!(!is_mounted_below(tempfile::tempdir().unwrap().path()));
    }

    #[test]
    fn a_device_is_asked_once() {
        let mut known = KnownDevices::default();
        let root = std::fs::File::open("/").unwrap();
        assert!(!known.is_kernel_tree(7, &root));
        assert!(known.is_kernel_tree(8, std::fs::File::open("/proc/self/status").unwrap()));
        assert_eq!(vec![7], known.0);
    }
}
