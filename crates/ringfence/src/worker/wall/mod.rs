//! The second wall: what a process may still ask of the kernel, for the day the first wall has a bug.
//!
//! It is made from a policy and raised once, in a process that is about to read what nobody trusts. Landlock
//! answers for files and ports, seccomp for every other call, limits for what both let through.

mod calls;
mod descriptors_unsafe;
mod files;
mod filter;
mod kernel;
mod kernel_unsafe;
mod process;

use std::fs::File;
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;

pub use descriptors_unsafe::close_all_but;
pub use kernel::{LANDLOCK_MINIMUM, Lack, landlock_abi, seccomp};

use crate::error::{Error, Result};
use crate::policy::{Endpoint, Mode, Net, Policy};
use crate::sandbox::engine::MEMORIES_FOR_ONE;
use crate::sandbox::files::Grants;

/// What a process behind a [`Wall`] needs beyond its policy; the default is nothing.
#[derive(Debug, Default)]
pub struct Needs {
    /// The directory below which the private `/tmp` and layers of each run are made; only this process may use it.
    pub home: Option<OwnedFd>,
    /// TCP ports that it may connect to. `None` is those that the policy's grants name, and without such a grant no
    /// socket of any kind.
    pub ports: Option<Vec<RangeInclusive<u16>>>,
    /// Whether compiled code is still to be mapped. Where it is not, nothing can be made executable any more.
    pub loads_code: bool,
    /// Whether its engine is made and runs one guest at a time ([`with_pool_for_one`], or [`without_pool`]). Private
    /// memory is bounded only then: what a pool for a thousand keeps is no bound worth the name.
    ///
    /// [`with_pool_for_one`]: crate::sandbox::engine::with_pool_for_one
    /// [`without_pool`]: crate::sandbox::engine::without_pool
    pub one_at_a_time: bool,
}

/// What a walled process may still do; made from a policy before the wall goes up.
#[derive(Debug)]
pub struct Wall {
    kind: Kind,
    files: Vec<(OwnedFd, Mode)>,
    ports: Option<Vec<RangeInclusive<u16>>>,
    loads_code: bool,
    /// Private memory it may take beyond what it has when the wall goes up, in bytes.
    data_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Runs guests: every part of the wall, or none of it.
    Worker,
    /// Compiles: as much of the wall as the kernel has.
    Compiler,
}

/// Private memory of a worker that is no guest's, in bytes: thread stacks, the allocator, code while it is loaded.
const OWN_BYTES: u64 = 256 << 20;

impl Wall {
    /// Whether this kernel has what a worker's wall is made of; the error names what it lacks.
    pub fn supported() -> Result<()> {
        match kernel::lack() {
            None => Ok(()),
            Some(lack) => Err(Error::host(
                "no second wall on this machine",
                lack.to_string(),
                format!(
                    "{}; or `isolation=\"process\"`, a process without the wall; `ringfence doctor` says more",
                    lack.fix()
                ),
            )),
        }
    }

    /// The wall of a process that runs guests under this policy, from the handles that its grants hold.
    pub fn of(policy: &Policy, grants: &Grants, needs: Needs) -> Result<Self> {
        let Needs { home, ports, loads_code, one_at_a_time } = needs;
        let mut files = Vec::new();
        for (handle, mode) in grants.handles() {
            files.push((handle.try_clone_to_owned().map_err(|error| not_raised(&error))?, mode));
        }
        match (policy.tmp || grants.has_layers(), home) {
            (true, Some(home)) => files.push((home, Mode::Rw)),
            (true, None) => {
                return Err(not_raised(&"the policy has a `/tmp` or a private layer, and no directory for it"));
            }
            (false, _) => {}
        }
        let ports = ports.or_else(|| ports_of(&policy.net));
        if ports.is_some() {
            // Where they are missing the resolver does without, here as elsewhere.
            files.extend(RESOLVER_FILES.iter().filter_map(|path| Some((File::open(path).ok()?.into(), Mode::Ro))));
        }
        let limits = &policy.limits;
        let memories = limits.memory.0.saturating_mul(MEMORIES_FOR_ONE.into());
        let data_bytes =
            [limits.host_bytes.0, limits.output.0, OWN_BYTES].into_iter().fold(memories, u64::saturating_add);
        Ok(Self { kind: Kind::Worker, files, ports, loads_code, data_bytes: one_at_a_time.then_some(data_bytes) })
    }

    /// The wall of a process that computes and has its pipes: no file, no socket, no other program.
    pub fn compiler() -> Self {
        Self { kind: Kind::Compiler, files: Vec::new(), ports: None, loads_code: false, data_bytes: None }
    }

    /// Raises the wall around this process, for good. Threads started later are behind it too.
    ///
    /// Fails where this process already has more than one thread, and where a part of a worker's wall does not
    /// hold: then the process may be half walled and has to end. A worker becomes the leader of a session, which
    /// the leader of a process group cannot; and it dies with the *thread* that started it.
    pub fn raise(self) -> Result<()> {
        if self.kind == Kind::Worker {
            Self::supported()?;
        }
        process::refuse_threads(self.kind)?;
        if self.kind == Kind::Worker {
            process::leave_session()?;
            process::limit(self.data_bytes, self.writes_files())?;
        }
        process::give_up_privileges()?;
        if self.kind == Kind::Worker || kernel::landlock_abi() > 0 {
            files::restrict(&self)?;
        }
        if self.kind == Kind::Worker || kernel::seccomp() {
            filter::install(&self)?;
        }
        Ok(())
    }

    fn writes_files(&self) -> bool {
        self.files.iter().any(|(_, mode)| *mode == Mode::Rw)
    }
}

/// Name servers answer here where UDP is too short for it.
const NAME_SERVER_PORT: u16 = 53;

/// What the resolver reads at a run's first question.
const RESOLVER_FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// The TCP ports of network grants, those of name servers included.
fn ports_of(net: &Net) -> Option<Vec<RangeInclusive<u16>>> {
    let tcp = net.tcp.iter().map(Endpoint::ports);
    let http = net.http.iter().map(|grant| grant.port()..=grant.port());
    let all = || tcp.chain(http).chain([NAME_SERVER_PORT..=NAME_SERVER_PORT]).collect();
    (!net.is_empty()).then(all)
}

fn not_raised(why: &dyn std::fmt::Display) -> Error {
    Error::host(
        "the second wall could not be raised",
        why.to_string(),
        "run `ringfence doctor`; `isolation=\"process\"` is a process without the wall",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_those_of_the_grants() {
        assert_eq!(None, ports_of(&Net::default()));
        let net = r#"{"net": {"tcp": ["a.example:443", "b.example:8000-8010"], "udp": ["c.example:123"]}}"#;
        let net = Policy::from_json(net, std::path::Path::new("/")).unwrap().net;
        assert_eq!(Some(vec![443..=443, 8000..=8010, 53..=53]), ports_of(&net));
    }
}
