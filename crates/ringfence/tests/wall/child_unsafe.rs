//! This test binary, started again as the process behind the wall.
//!
//! What it does there is called before `main`: the test harness starts threads, and the wall goes up in one.
#![allow(unsafe_code)]

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::Signal;

/// Which wall, which deed, and where.
const WALL: &str = "RINGFENCE_TEST_WALL";
const DEED: &str = "RINGFENCE_TEST_DEED";
const HOUSE: &str = "RINGFENCE_TEST_HOUSE";

/// The exit code of a child whose deed panicked.
const PANICKED: i32 = 250;

#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    let asked = (std::env::var(WALL), std::env::var(DEED), std::env::var(HOUSE));
    let (Ok(wall), Ok(deed), Ok(house)) = asked else { return };
    let done = std::panic::catch_unwind(|| super::deed(&wall, &deed, Path::new(&house)));
    let code = match done {
        Ok(Ok(())) => 0,
        Ok(Err(errno)) => errno.raw_os_error(),
        Err(_) => PANICKED,
    };
    // SAFETY: it ends the process and runs nothing of it any more.
    unsafe { libc::_exit(code) }
}

/// How a deed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was done.
    Done,
    /// The kernel answered with this error.
    Refused(Errno),
    /// The filter ended the process.
    Killed,
    /// Another signal did.
    Signalled(i32),
    /// The test itself is wrong.
    Broken,
}

/// Does a deed in a child behind this wall.
pub fn child(wall: &str, deed: &str, house: &Path) -> Ended {
    let mut command = Command::new(std::env::current_exe().unwrap());
    if wall == "leading a group" {
        command.process_group(0);
    }
    let status = command
        .env(WALL, wall)
        .env(DEED, deed)
        .env(HOUSE, house)
        .env("TMPDIR", house.join("tmp"))
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::null())
        .status()
        .unwrap();
    match (status.code(), status.signal()) {
        (Some(0), _) => Ended::Done,
        (Some(PANICKED), _) => Ended::Broken,
        (Some(errno), _) => Ended::Refused(Errno::from_raw_os_error(errno)),
        (None, Some(signal)) if signal == Signal::SYS.as_raw() => Ended::Killed,
        (None, Some(signal)) => Ended::Signalled(signal),
        (None, None) => Ended::Broken,
    }
}
