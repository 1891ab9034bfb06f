//! What the kernel has to build a wall of.

use std::fmt;

use super::kernel_unsafe;

/// The oldest Landlock interface a worker is walled with: Linux 6.2.
///
/// Before it, a file granted `ro` could be emptied by opening it to read and truncate; everything that came later
/// (ports, ioctls of devices, signals, abstract sockets) is held by the seccomp filter as well.
pub const LANDLOCK_MINIMUM: u32 = 3;

/// What the kernel lacks for a worker's wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Landlock is not in the kernel, not switched on, or forbidden by a container's filter.
    NoLandlock,
    /// Landlock is there, and too old.
    OldLandlock(u32),
    /// There are no seccomp filters.
    NoSeccomp,
}

impl Lack {
    /// What would mend it.
    pub fn fix(self) -> &'static str {
        match self {
            Self::NoLandlock => {
                "start Linux with `lsm=landlock,…`, and allow `landlock_*` in a container's seccomp profile"
            }
            Self::OldLandlock(_) => "use Linux 6.2 or newer",
            Self::NoSeccomp => "use Linux with CONFIG_SECCOMP_FILTER, and not an emulation of it",
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLandlock => f.write_str("the kernel offers no Landlock"),
            Self::OldLandlock(abi) => {
                write!(
                    f,
                    "the kernel's Landlock is of ABI {abi}, and {LANDLOCK_MINIMUM} is the first that guards truncation"
                )
            }
            Self::NoSeccomp => f.write_str("the kernel offers no seccomp filters that end a process"),
        }
    }
}

/// The version of Landlock's interface; 0 where there is none.
pub fn landlock_abi() -> u32 {
    kernel_unsafe::landlock_abi()
}

/// Whether seccomp filters can be set that end a process.
pub fn seccomp() -> bool {
    kernel_unsafe::seccomp_kills()
}

/// The first thing that is missing for a worker's wall.
pub(super) fn lack() -> Option<Lack> {
    lack_of(landlock_abi(), seccomp())
}

fn lack_of(landlock_abi: u32, seccomp: bool) -> Option<Lack> {
    match landlock_abi {
        0 => Some(Lack::NoLandlock),
        old if old < LANDLOCK_MINIMUM => Some(Lack::OldLandlock(old)),
        _ if !seccomp => Some(Lack::NoSeccomp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_takes_landlock_of_abi_3_and_seccomp() {
        assert_eq!(Some(Lack::NoLandlock), lack_of(0, true));
        assert_eq!(Some(Lack::OldLandlock(2)), lack_of(2, true));
        assert_eq!(Some(Lack::NoSeccomp), lack_of(3, false));
        assert_eq!([None, None], [lack_of(3, true), lack_of(99, true)]);
        assert!(Lack::OldLandlock(2).to_string().contains("ABI 2"));
    }
}
