//! One worker process: started, watched, killed, and how it died.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::RwLock;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};

use super::frame::is_ready;
use crate::error::{Error, Result};

static WORKER: RwLock<Option<Vec<OsString>>> = RwLock::new(None);

/// Sets the command that runs [`crate::worker::serve`]; it inherits nothing but `LD_LIBRARY_PATH`.
///
/// Left unset, it is the program `ringfence-worker` beside the running one.
pub fn set_worker(command: Vec<OsString>) {
    *WORKER.write().unwrap_or_else(|broken| broken.into_inner()) = Some(command);
}

fn worker() -> std::io::Result<Vec<OsString>> {
    if let Some(command) = WORKER.read().unwrap_or_else(|broken| broken.into_inner()).clone() {
        return Ok(command);
    }
    Ok(vec![std::env::current_exe()?.with_file_name("ringfence-worker").into_os_string()])
}

/// No worker could be started, or none that lives.
pub(super) fn not_started(why: &str) -> Error {
    Error::host("no worker for this run", why, "run `ringfence doctor`; a new installation mends what is broken")
}

/// A child process that does not outlive this value.
#[derive(Debug)]
pub(super) struct Process {
    /// Kills and waits by descriptor: a number may by then be another process's.
    handle: OwnedFd,
}

impl Process {
    /// Starts one. It ends when the *thread* that calls this does.
    pub(super) fn start() -> Result<(Self, OwnedFd)> {
        let failed = |error: std::io::Error| not_started(&error.to_string());
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(|error| Error::system("no worker for this run", &error.into(), "run `ringfence doctor`"))?;
        let command = worker().map_err(failed)?;
        let (executable, arguments) =
            command.split_first().ok_or_else(|| not_started("the command that starts one is empty"))?;
        let child = Command::new(executable)
            .args(arguments)
            .env_clear()
            // Some Pythons do not start without it, and who could set it has set it for us too.
            .envs(std::env::var_os("LD_LIBRARY_PATH").map(|path| ("LD_LIBRARY_PATH", path)))
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for us; a session of its own it makes itself.
            .process_group(0)
            .spawn()
            .map_err(|error| Error::system("no worker for this run", &error, "run `ringfence doctor`"))?;
        match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(handle) => Ok((Self { handle }, ours)),
            Err(error) => {
                let mut child = child;
                let _ = child.kill();
                let _ = child.wait();
                Err(not_started(&format!("the kernel gives no handle to a process: {error}")))
            }
        }
    }

    /// Whether it has ended, after at most so long.
    pub(super) fn is_dead(&self, time: Duration) -> bool {
        is_ready(self.handle.as_fd(), PollFlags::IN, Some(time))
    }

    /// Ends it, whatever it does.
    pub(super) fn kill(&self) {
        // Fails where it has ended by itself.
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
    }

    /// How it died, in words, once; its remains are gone after that. `None` while it lives.
    pub(super) fn death(&self) -> Option<String> {
        match waitid(WaitId::PidFd(self.handle.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(None) => None,
            Ok(Some(status)) => Some(match (status.terminating_signal(), status.exit_status()) {
                (Some(signal), _) => format!("signal {signal}{}", name(signal)),
                (None, Some(code)) => format!("exit code {code}"),
                (None, None) => "an unknown cause".into(),
            }),
            // Somebody else waits for every child of this process.
            Err(_) if self.is_dead(Duration::ZERO) => Some("an unknown cause".into()),
            Err(_) => None,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // Its remains, if it is gone at once; `pool` buries those that take longer before it drops them.
        let _ = self.death();
    }
}

/// What a signal means for a worker.
fn name(signal: i32) -> &'static str {
    match Signal::from_named_raw(signal) {
        Some(Signal::SYS) => ", a system call that the wall forbids",
        Some(Signal::SEGV) => ", memory that is not there",
        Some(Signal::BUS) => ", memory that is gone",
        Some(Signal::ABORT) => ", by its own hand",
        Some(Signal::KILL) => ", killed from outside or out of memory",
        Some(Signal::XFSZ) => ", a file larger than the wall lets it write",
        _ => "",
    }
}
