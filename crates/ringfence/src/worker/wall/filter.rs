//! The seccomp half: three filters from the tables of calls. Of all their answers the kernel takes the hardest.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule};

use super::calls::{self, Call};
use super::{Kind, Wall, not_raised};
use crate::error::Result;

/// Ends this process at every call that is not in the tables, from now on.
pub(super) fn install(wall: &Wall) -> Result<()> {
    let own = rustix::process::getpid().as_raw_nonzero().get().unsigned_abs();
    let mut allowed = calls::computing(own);
    let mut refused = Vec::new();
    match wall.kind {
        Kind::Worker => {
            allowed.extend(calls::files());
            allowed.extend(calls::messages());
            if wall.writes_files() {
                allowed.extend(calls::changes());
            }
            allowed.extend(calls::memory(wall.loads_code));
            if wall.ports.is_some() {
                allowed.extend(calls::sockets());
                refused.extend(calls::resolving());
            }
        }
        Kind::Compiler => {
            allowed.extend(calls::memory(false));
            refused.extend(calls::opening());
        }
    }
    allowed.extend(calls::missing());
    allowed.extend(refused.iter().cloned());

    // The last one forbids setting filters, so it goes last.
    if !refused.is_empty() {
        apply(refused, SeccompAction::Allow, SeccompAction::Errno(libc::EACCES.unsigned_abs()))?;
    }
    apply(calls::missing(), SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS.unsigned_abs()))?;
    apply(allowed, SeccompAction::KillProcess, SeccompAction::Allow)
}

fn apply(calls: Vec<Call>, otherwise: SeccompAction, matched: SeccompAction) -> Result<()> {
    let program = program(calls, otherwise, matched).map_err(|error| not_raised(&error))?;
    seccompiler::apply_filter(&program).map_err(|error| not_raised(&error))
}

fn program(
    calls: Vec<Call>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> std::result::Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in calls {
        let cases = call.rules()?;
        match rules.get_mut(&call.number) {
            // No case is every case.
            Some(known) if known.is_empty() || cases.is_empty() => known.clear(),
            Some(known) => known.extend(cases),
            None => drop(rules.insert(call.number, cases)),
        }
    }
    SeccompFilter::new(rules, otherwise, matched, std::env::consts::ARCH.try_into()?)?.try_into()
}
