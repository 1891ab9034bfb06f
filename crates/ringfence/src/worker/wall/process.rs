//! What a process gives up besides calls and files: its session, its privileges, most of its limits.

use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};

use super::{Kind, not_raised};
use crate::error::Result;

/// Descriptors of a worker: its own, and a guest's, whose default is 64.
const DESCRIPTORS: u64 = 4096;

/// Largest file of a worker that may write none: images of memory that the engine keeps in memory files.
const IMAGE_BYTES: u64 = 1 << 30;

/// Refuses to go on beside other threads: Landlock and seccomp would not hold them.
pub(super) fn refuse_threads(kind: Kind) -> Result<()> {
    match std::fs::read_dir("/proc/self/task").map(Iterator::count) {
        Ok(1) => Ok(()),
        Ok(threads) => Err(not_raised(&format!("the process has {threads} threads already, which it would not hold"))),
        // It starts its threads itself, later; without /proc it was always able to compile.
        Err(_) if kind == Kind::Compiler => Ok(()),
        Err(error) => Err(not_raised(&error)),
    }
}

/// Becomes the leader of a session without a terminal, which ends with the thread that started this process.
pub(super) fn leave_session() -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| not_raised(&error))?;
    let own = Some(rustix::process::getpid());
    if rustix::process::getsid(None).ok() == own {
        return Ok(());
    }
    rustix::process::setsid()
        .map(drop)
        .map_err(|_| not_raised(&"the leader of a process group cannot leave its session"))
}

/// Lowers the limits that a worker has no use for.
///
/// Not `NPROC`: it counts every process of the user, and new processes are refused by the filter already.
pub(super) fn limit(data_bytes: Option<u64>, writes_files: bool) -> Result<()> {
    lower(Resource::Core, 0)?;
    lower(Resource::Nofile, DESCRIPTORS)?;
    if !writes_files {
        lower(Resource::Fsize, IMAGE_BYTES)?;
    }
    match data_bytes {
        // What is reserved and inaccessible does not count, what the pool has mapped writable does.
        Some(data_bytes) => lower(Resource::Data, data_now()?.saturating_add(data_bytes)),
        None => Ok(()),
    }
}

/// No privilege by a program, no other process of this user in our memory.
pub(super) fn give_up_privileges() -> Result<()> {
    rustix::thread::set_no_new_privs(true).map_err(|error| not_raised(&error))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| not_raised(&error))
}

/// Lowers a limit for good; one that is lower already stays.
fn lower(resource: Resource, wanted: u64) -> Result<()> {
    let limit = rustix::process::getrlimit(resource).maximum.map_or(wanted, |now| now.min(wanted));
    rustix::process::setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })
        .map_err(|error| not_raised(&error))
}

/// Writable private memory of this process, in bytes.
fn data_now() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| not_raised(&error))?;
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmData:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| not_raised(&"/proc/self/status does not tell how much memory there is"))
}
