//! Compiling a program nobody trusts: in a child process that can be killed, under a deadline.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::sync::RwLock;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::error::{Error, Result};
use crate::load::Program;
use crate::load::cache::memory_file;
use crate::load::child::{EXIT_HOST, EXIT_REFUSED, EXIT_TOO_MUCH, JOB_VARIABLE, Job, MAX_THREADS, MEMORY_BYTES, Task};
use crate::load::entry::Build;
use crate::load::patience::Patience;
use crate::load::wit::Wasi;
use crate::sandbox::engine::Profile;
use crate::text::cut;

/// Most of the child's complaint that is read, in bytes.
const MAX_COMPLAINT: u64 = 4096;

/// Most of a component's WIT that is read, in bytes; the child writes less.
const MAX_WIT: u64 = 8 << 20;

/// Most of it that is shown, in characters.
const SHOWN_COMPLAINT: usize = 500;

static COMPILER: RwLock<Option<Vec<OsString>>> = RwLock::new(None);

/// Sets the command that runs [`crate::load::compile_child`]; it inherits nothing but `LD_LIBRARY_PATH`.
///
/// Left unset, it is the program `ringfence-compiler` beside the running one.
pub fn set_compiler(command: Vec<OsString>) {
    *COMPILER.write().unwrap_or_else(|broken| broken.into_inner()) = Some(command);
}

fn compiler() -> Result<Vec<OsString>> {
    if let Some(command) = COMPILER.read().unwrap_or_else(|broken| broken.into_inner()).clone() {
        return Ok(command);
    }
    let here = std::env::current_exe().map_err(|error| no_compiler(&error))?;
    Ok(vec![here.with_file_name("ringfence-compiler").into_os_string()])
}

fn no_compiler(error: &std::io::Error) -> Error {
    Error::system("the compiler could not be started", error, "run `ringfence doctor`; a new installation mends it")
}

/// Compiles the program into the file, which holds compiled code only once this returns well.
pub(super) fn compile(
    program: &Program,
    profile: Profile,
    build: Build,
    output: &File,
    patience: &Patience<'_>,
) -> Result<()> {
    let (build, limit) = (build.to_hex(), patience.limit());
    let job = Job { task: Task::Code, profile, kind: program.kind(), limit, build, parent: std::process::id() };
    child(program, &job, output, patience)
}

/// Reads a component's types, in a child as well: what nobody trusts may have very many.
pub(super) fn wit(program: &Program, wasi: Wasi, patience: &Patience<'_>) -> Result<String> {
    let mut output = memory_file("ringfence-wit").map_err(|error| no_compiler(&error))?;
    let job = Job {
        task: Task::Wit(wasi),
        profile: Profile::default(),
        kind: program.kind(),
        limit: patience.limit(),
        build: "any".into(),
        parent: std::process::id(),
    };
    child(program, &job, &output, patience)?;
    let mut bytes = Vec::new();
    let read = output.seek(SeekFrom::Start(0)).and_then(|_| output.take(MAX_WIT).read_to_end(&mut bytes));
    read.map_err(|error| no_compiler(&error))?;
    // It comes out of a process that has read hostile bytes: no line of it is taken as it is.
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().map(|line| cut(line, usize::MAX) + "\n").collect())
}

fn child(program: &Program, job: &Job, output: &File, patience: &Patience<'_>) -> Result<()> {
    let failed = |error: std::io::Error| no_compiler(&error);
    let mut input = memory_file("ringfence-program").map_err(failed)?;
    input.write_all(&program.bytes()?).and_then(|()| input.seek(SeekFrom::Start(0))).map_err(failed)?;
    let complaint = memory_file("ringfence-complaint").map_err(failed)?;
    let command = compiler()?;
    let (executable, arguments) =
        command.split_first().ok_or_else(|| no_compiler(&std::io::Error::other("its command is empty")))?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS).to_string();
    let child = Command::new(executable)
        .args(arguments)
        .env_clear()
        // Some Pythons do not start without it, and who could set it has set it for us too.
        .envs(std::env::var_os("LD_LIBRARY_PATH").map(|path| ("LD_LIBRARY_PATH", path)))
        .env("RAYON_NUM_THREADS", &threads)
        // Each arena of the allocator reserves 64 MiB of the address space that the child may use.
        .env("MALLOC_ARENA_MAX", &threads)
        .env(JOB_VARIABLE, job.to_text())
        .current_dir("/")
        .stdin(input)
        .stdout(output.try_clone().map_err(failed)?)
        .stderr(complaint.try_clone().map_err(failed)?)
        // A group of its own: Ctrl-C is for us, and we end the child.
        .process_group(0)
        .spawn()
        .map_err(|error| no_compiler(&error))?;
    let status = Running(child).wait(patience)?;
    if status.success() {
        return Ok(());
    }
    Err(failure(program, patience, status, &read_complaint(complaint)))
}

/// A child that does not outlive this value, and leaves no zombie.
struct Running(Child);

impl Running {
    fn wait(mut self, patience: &Patience<'_>) -> Result<ExitStatus> {
        let pid = Pid::from_child(&self.0);
        let exited = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok();
        loop {
            if let Some(status) = self.0.try_wait().map_err(|error| no_compiler(&error))? {
                return Ok(status);
            }
            let step = patience.next()?;
            match &exited {
                Some(exited) => {
                    let time = Timespec { tv_sec: 0, tv_nsec: step.subsec_nanos().into() };
                    let mut fds = [PollFd::new(exited, PollFlags::IN)];
                    // A signal may cut it short: then the clock and the caller are asked sooner.
                    let _ = rustix::event::poll(&mut fds, Some(&time));
                }
                None => std::thread::sleep(step.min(Duration::from_millis(5))),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail when it has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read_complaint(mut file: File) -> String {
    let mut bytes = Vec::new();
    // What cannot be read is not shown.
    let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(MAX_COMPLAINT).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// How a compiler that finds no more memory ends: by its own hand, or by the system's.
const OUT_OF_MEMORY: [Signal; 3] = [Signal::ABORT, Signal::KILL, Signal::SEGV];

const SMALLER: &str = "make it smaller: `wasm-opt -Oz` merges functions, and large data belongs into a file";

fn failure(program: &Program, patience: &Patience<'_>, status: ExitStatus, complaint: &str) -> Error {
    let what = format!("cannot compile `{}`", program.name());
    let shown = cut(&complaint.replace('\n', " "), SHOWN_COMPLAINT);
    match (status.code(), status.signal()) {
        (Some(EXIT_REFUSED), _) => {
            let fix = match shown.contains("component model async") {
                true => "let it use WASI 0.3: `--wasi 0.3`, or `wasi = \"0.3\"` in the policy",
                false => "build it again with current tools; `wasm-tools validate --features all` says more",
            };
            Error::load(what, if shown.is_empty() { "it is not valid WebAssembly".to_owned() } else { shown }, fix)
        }
        (_, Some(signal)) if signal == Signal::XCPU.as_raw() => patience.used_up(),
        (_, Some(signal)) if signal == Signal::SYS.as_raw() => Error::host(
            what,
            "the compiler asked the kernel for what its wall forbids, and was ended",
            "report it with the program and what `ringfence doctor` prints: either it is an attack, or a call is missing",
        ),
        (Some(EXIT_TOO_MUCH), _) if !shown.is_empty() => Error::load(what, shown, SMALLER),
        (_, Some(signal)) if !OUT_OF_MEMORY.map(Signal::as_raw).contains(&signal) => Error::host(
            what,
            format!("the compiler died of signal {signal}, which is neither the program's fault nor a limit"),
            "run it again; if it happens twice, run `ringfence doctor` and report it with the program",
        ),
        (Some(EXIT_TOO_MUCH), _) | (_, Some(_)) => Error::load(
            what,
            format!("compiling it takes more than the compiler may use: {} GiB of memory", MEMORY_BYTES >> 30),
            SMALLER,
        ),
        (Some(EXIT_HOST), _) => Error::host(what, shown, "run `ringfence doctor`; a new installation mends it"),
        (Some(code), None) => no_compiler(&std::io::Error::other(format!("it ended with exit code {code}: {shown}"))),
        (None, None) => no_compiler(&std::io::Error::other("it ended in an unknown way")),
    }
}
