//! A session on its way from one worker to another: written by the one, sealed by us, read by the other.
//!
//! Who writes it may have fallen. This process makes the file, so large and no larger, never maps it, and reads it only to
//! save it; it is sealed before anybody is given it, and only workers of the same tenant are. What a saved file holds goes
//! the same way, written by us.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::process::{Resource, getrlimit};

use super::ask::{GRACE, ask};
use super::client::Caller;
use super::frame::Broken;
use super::pool::Worker;
use super::protocol::{Answer, Request};
use super::remote::Remote;
use super::turns::{Capture, Caught};
use crate::apart;
use crate::error::{Error, Result};
use crate::session::room;
use crate::text::{cut, quote};

/// Longest reason of a worker, in characters.
const WHY_CHARS: usize = 600;

/// What a session was, in a file in memory that nobody can change any more.
pub(crate) struct Carried {
    file: OwnedFd,
    length: u64,
}

impl Carried {
    /// What `write` writes to a file that has so much room, and says how much that was.
    pub(crate) fn written(
        room: u64,
        write: impl FnOnce(BorrowedFd<'_>) -> std::io::Result<u64>,
    ) -> std::io::Result<Self> {
        if room > most_bytes() {
            return Err(std::io::Error::other("it is larger than the limit of files, `ulimit -f`"));
        }
        let file = empty(room)?;
        let length = write(file.as_fd())?;
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SEAL)?;
        Ok(Self { file, length })
    }

    /// A descriptor, and how much of the file there is.
    pub(crate) fn handle(&self) -> (BorrowedFd<'_>, u64) {
        (self.file.as_fd(), self.length)
    }
}

/// What came of it, and the session where it goes on.
pub(crate) enum Taken {
    /// It was written.
    Carried(Box<Remote>, Carried),
    /// It cannot be, and goes on.
    Not(Box<Remote>, Error),
    /// Its worker is gone, and why.
    Gone(String),
}

impl Remote {
    /// Has its worker write what it is.
    pub(crate) fn capture(
        mut self: Box<Self>,
        name: &str,
        cancelled: Arc<AtomicBool>,
        tick: &mut dyn FnMut() -> bool,
    ) -> Result<Taken> {
        let limits = self.limits();
        let mut caller = Caller::new(cancelled, apart::outer()?, tick);
        let until = Instant::now() + limits.wall.0 + GRACE;
        let mut look = || if Instant::now() < until { caller.look() } else { ControlFlow::Break(()) };
        let Some(worker) = self.worker() else { return Ok(Taken::Gone("its worker is gone".into())) };
        Ok(match carry(worker, limits.memory.0, &mut look) {
            Wrote::Carried(carried) => Taken::Carried(self, carried),
            Wrote::Not(why, fix) => {
                let what = format!("no fork of this session of `{name}`");
                Taken::Not(self, Error::session(what, why, fix))
            }
            Wrote::Failed(error) => Taken::Not(self, error),
            Wrote::Gone(_) if Instant::now() >= until => {
                Taken::Gone("its worker did not answer in time while it was captured".into())
            }
            Wrote::Gone(why) => Taken::Gone(why),
        })
    }
}

/// What a worker wrote.
pub(super) enum Wrote {
    /// It is there, and sealed.
    Carried(Carried),
    /// It cannot be captured, and the worker goes on: why, and the fix.
    Not(String, String),
    /// The same, for want of something that is not the guest's.
    Failed(Error),
    /// The worker is gone, or has to go, and why.
    Gone(String),
}

/// Has a worker write what it holds, of so much memory at most.
pub(super) fn carry(worker: &mut Worker, memory: u64, look: &mut dyn FnMut() -> ControlFlow<()>) -> Wrote {
    let room = room(memory).min(most_bytes());
    let file = match empty(room) {
        Ok(file) => file,
        Err(error) => {
            return Wrote::Failed(Error::system(
                "no room for what is on its way between workers",
                &error.into(),
                "raise `ulimit -v`, `ulimit -f` or `ulimit -n`; `ringfence doctor` tells what the system refuses",
            ));
        }
    };
    Wrote::Gone(match ask(worker, &Request::Capture(Capture { room }), &[file.as_fd()], look) {
        Ok(Answer::Caught(Caught::Written(length))) if length <= room => {
            // Refused by the kernel for as long as the worker has it mapped to write to it.
            match fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SEAL) {
                Ok(()) => return Wrote::Carried(Carried { file, length }),
                Err(_) => "it broke its protocol: it holds on to what it has handed over".into(),
            }
        }
        Ok(Answer::Caught(Caught::Not(why, fix))) => {
            return Wrote::Not(cut(&why, WHY_CHARS), cut(&fix, WHY_CHARS));
        }
        Ok(Answer::Caught(Caught::Gone(why))) => cut(&why, WHY_CHARS),
        Ok(Answer::Failed(failed)) => match failed.into_error() {
            Ok(error) => return Wrote::Failed(error),
            Err(why) => format!("its worker broke its protocol: {}", quote(&why)),
        },
        Ok(_) => "its worker broke its protocol: it answered something else than was asked".into(),
        Err(Broken::GaveUp) => "the caller gave up on it while it was captured".into(),
        Err(Broken::Protocol(why)) => format!("its worker broke its protocol: {}", quote(&why)),
        Err(Broken::Closed) => format!("its worker died of {}", worker.how_it_died()),
    })
}

/// Longest file that this process may write: past that there would be a signal.
fn most_bytes() -> u64 {
    getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX)
}

/// A file in memory of that size, for good.
fn empty(room: u64) -> rustix::io::Result<OwnedFd> {
    let file = memfd_create("ringfence-session", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&file, room)?;
    fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK)?;
    Ok(file)
}
