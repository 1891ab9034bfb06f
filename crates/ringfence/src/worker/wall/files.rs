//! The Landlock half: files by the handles of the grants, ports by number.

use std::os::fd::{AsFd, OwnedFd};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::fs::{FileType, fstat};

use super::kernel::LANDLOCK_MINIMUM;
use super::{Kind, Wall, not_raised};
use crate::error::Result;
use crate::policy::Mode;

/// The newest interface that was looked at right by right; the kernel's own may be older or newer.
const NEWEST: ABI = ABI::V9;

/// Most ports that become rules of their own; a policy that grants more is not held to them by this wall.
const MAX_PORTS: usize = 1024;

/// Forbids every file and port but the wall's own.
pub(super) fn restrict(wall: &Wall) -> Result<()> {
    let status = rules(wall).map_err(|error| not_raised(&error))?;
    match status {
        RulesetStatus::NotEnforced => Err(not_raised(&"Landlock took the rules and does not hold them")),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}

fn rules(wall: &Wall) -> std::result::Result<RulesetStatus, Failure> {
    let mut ruleset = Ruleset::default();
    if wall.kind == Kind::Worker {
        // What the minimum has is asked for without compromise.
        ruleset =
            ruleset.set_compatibility(CompatLevel::HardRequirement).handle_access(AccessFs::from_all(minimum()))?;
    }
    ruleset = ruleset
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(NEWEST))?;
    let ports = wall.ports.as_deref().unwrap_or_default();
    let holds_ports = ports.iter().map(|range| range.len()).sum::<usize>() <= MAX_PORTS;
    if holds_ports {
        ruleset = ruleset.handle_access(AccessNet::ConnectTcp)?;
    }
    let mut ruleset = ruleset.create()?;
    for (handle, mode) in &wall.files {
        ruleset = ruleset.add_rule(PathBeneath::new(handle, rights(handle, *mode)?))?;
    }
    if wall.ports.is_some() {
        // A local address with a port that the system chooses; a fixed one is for who wants to be found.
        ruleset = ruleset.add_rule(NetPort::new(0, AccessNet::BindTcp))?;
    }
    if holds_ports {
        for port in ports.iter().cloned().flatten() {
            ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
        }
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

fn minimum() -> ABI {
    ABI::from(LANDLOCK_MINIMUM.cast_signed())
}

/// What a grant lets a guest do, as rights: nothing is executed, and devices, sockets and pipes are not made.
fn rights(handle: &OwnedFd, mode: Mode) -> std::result::Result<BitFlags<AccessFs>, Failure> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer;
    let granted = if mode == Mode::Rw { read | write } else { read };
    let kind = FileType::from_raw_mode(fstat(handle.as_fd()).map_err(Failure::Handle)?.st_mode);
    Ok(if kind == FileType::Directory { granted } else { granted & AccessFs::from_file(NEWEST) })
}

/// Why there are no rules.
enum Failure {
    Landlock(RulesetError),
    Handle(rustix::io::Errno),
}

impl From<RulesetError> for Failure {
    fn from(error: RulesetError) -> Self {
        Self::Landlock(error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Landlock(error) => error.fmt(f),
            Self::Handle(error) => error.fmt(f),
        }
    }
}
