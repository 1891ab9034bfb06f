//! What an escaped guest tries, in the process that it is in.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use ringfence::sandbox::store::State;
use rustix::process::getppid;

use crate::attacks_unsafe::call;

/// Does it, or is refused.
type Deed = fn(&Path) -> std::io::Result<()>;

/// What an escaped guest tries, by number.
pub const DEEDS: [(&str, Deed); 8] = [
    ("opens /etc/passwd", |_| std::fs::read("/etc/passwd").map(drop)),
    ("lists /", |_| std::fs::read_dir("/").map(drop)),
    ("writes outside", |house| std::fs::write(house.join("written"), "x")),
    ("reads the memory of its parent", |_| std::fs::File::open(format!("/proc/{}/mem", parent())).map(drop)),
    ("connects a socket", |house| TcpStream::connect(("127.0.0.1", port(house))).map(drop)),
    ("executes a program", |_| Command::new("/bin/true").status().map(drop)),
    ("traces its parent", |_| {
        const PTRACE_SEIZE: usize = 0x4206;
        Ok(call(libc::SYS_ptrace, &[PTRACE_SEIZE, parent(), 0, 0]).map(drop)?)
    }),
    ("signals its parent", |_| {
        Ok(rustix::process::test_kill_process(getppid().unwrap_or(rustix::process::Pid::INIT))?)
    }),
];

fn parent() -> usize {
    getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs() as usize)
}

/// The directory that this process was started in the name of.
fn house() -> PathBuf {
    PathBuf::from(std::env::args_os().next().unwrap()).parent().unwrap().into()
}

fn port(house: &Path) -> u16 {
    std::fs::read_link(house.join("port")).map_or(0, |name| name.to_str().unwrap().parse().unwrap())
}

/// `planted.deed`: does one of them, and gives the error number.
pub fn functions(linker: &mut wasmtime::Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap("planted", "deed", |deed: u32| -> u32 {
        match DEEDS[deed as usize].1(&house()) {
            Ok(()) => 0,
            Err(error) => error.raw_os_error().unwrap_or(255).unsigned_abs(),
        }
    })?;
    Ok(())
}
