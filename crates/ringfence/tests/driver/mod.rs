//! A guest that does what a script says: every act is one call of WASI 0.1 with any arguments, and each error
//! number comes back. So an attack is a table and not a program.
//!
//! The script is handed over as standard input: acts, then the bytes they point at. The guest reads it to
//! [`BASE`], does act after act, and writes the error numbers to standard output.

#![allow(dead_code, reason = "every test takes what it needs")]

mod guest;
pub mod pty_unsafe;
pub mod table;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ringfence::load::set_compiler;
use ringfence::policy::{Limits, Policy, Seconds};
use ringfence::sandbox::files::Grants;
use ringfence::sandbox::stdio::{Sink, Source};
use ringfence::{Program, Run, RunResult, Sandbox};

pub use guest::FUNCTIONS;

/// Where the script lies in the guest's memory.
pub const BASE: u32 = 0x1_0000;
/// Where its bytes lie.
const BYTES: u32 = BASE + 0x1_0000;
/// Where answers go that no one looks at, and where the acts of a test may leave some.
pub const OUT: u32 = 0x100;
/// The preopened root.
pub const ROOT: u32 = 3;
/// The first number that an open gets.
pub const FIRST: u32 = 4;

pub const FOLLOW: u32 = 1;
pub const CREATE: u32 = 1;
pub const DIRECTORY: u32 = 2;
pub const EXCLUSIVE: u32 = 4;
pub const TRUNCATE: u32 = 8;
pub const READ: u64 = 1 << 1;
pub const WRITE: u64 = 1 << 6;

pub const OK: u32 = 0;
pub const ACCES: u32 = 2;
pub const BADF: u32 = 8;
pub const BUSY: u32 = 10;
pub const EXIST: u32 = 20;
pub const FAULT: u32 = 21;
pub const INVAL: u32 = 28;
pub const ISDIR: u32 = 31;
pub const LOOP: u32 = 32;
pub const MFILE: u32 = 33;
pub const NAMETOOLONG: u32 = 37;
pub const NOENT: u32 = 44;
pub const NOTDIR: u32 = 54;
pub const NOTEMPTY: u32 = 55;
pub const NOTSUP: u32 = 58;
pub const PERM: u32 = 63;
pub const ROFS: u32 = 69;
pub const SPIPE: u32 = 70;

/// One argument of an act: a number, or text, which is an address and a length.
pub enum Arg {
    Number(u64),
    Text(Vec<u8>),
}

impl From<u64> for Arg {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Arg {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<i32> for Arg {
    fn from(number: i32) -> Self {
        Self::Number(i64::from(number).cast_unsigned())
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<&String> for Arg {
    fn from(text: &String) -> Self {
        Self::Text(text.as_str().into())
    }
}

impl From<&[u8]> for Arg {
    fn from(text: &[u8]) -> Self {
        Self::Text(text.into())
    }
}

/// `act!(script, "path_unlink_file", ROOT, "data/file")`.
#[macro_export]
macro_rules! act {
    ($script:expr, $name:expr $(, $arg:expr)* $(,)?) => {
        $script.act($name, 1, vec![$($crate::driver::Arg::from($arg)),*])
    };
}

/// What the guest is to do.
#[derive(Default)]
pub struct Script {
    acts: Vec<u8>,
    count: u32,
    bytes: Vec<u8>,
}

impl Script {
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes in the guest's memory; their address.
    pub fn bytes(&mut self, bytes: &[u8]) -> u32 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let at = BYTES + u32::try_from(self.bytes.len()).unwrap();
        self.bytes.extend(bytes);
        at
    }

    /// One buffer, as a vector of it; its address.
    pub fn vector(&mut self, start: u32, len: u32) -> u32 {
        let mut piece = start.to_le_bytes().to_vec();
        piece.extend(len.to_le_bytes());
        self.bytes(&piece)
    }

    /// The same act until it fails, `times` at most.
    pub fn act(&mut self, name: &str, times: u32, args: Vec<Arg>) -> &mut Self {
        let index = FUNCTIONS.iter().position(|(known, _)| *known == name).expect(name);
        let mut numbers = Vec::new();
        for arg in args {
            match arg {
                Arg::Number(number) => numbers.push(number),
                Arg::Text(text) => numbers.extend([self.bytes(&text).into(), text.len() as u64]),
            }
        }
        assert_eq!(FUNCTIONS[index].1.len(), numbers.len(), "arguments of {name}");
        numbers.resize(9, 0);
        self.acts.extend(u32::try_from(index).unwrap().to_le_bytes());
        self.acts.extend(times.to_le_bytes());
        self.acts.extend(numbers.into_iter().flat_map(u64::to_le_bytes));
        self.count += 1;
        self
    }

    /// Opens a path from the root for reading; links are followed.
    pub fn open(&mut self, path: &str) -> &mut Self {
        act!(self, "path_open", ROOT, FOLLOW, path, 0, READ, 0, 0, OUT)
    }

    /// Opens a path from the root for writing and makes the file.
    pub fn create(&mut self, path: &str) -> &mut Self {
        act!(self, "path_open", ROOT, FOLLOW, path, CREATE, READ | WRITE, 0, 0, OUT)
    }

    /// Reads up to `len` bytes of a descriptor and prints them to standard error.
    pub fn print(&mut self, fd: u32, len: u32) -> &mut Self {
        let buffer = self.bytes(&vec![0; len as usize]);
        let vector = self.vector(buffer, len);
        act!(self, "fd_read", fd, vector, 1, OUT);
        // What was not read is NUL, which is not printed by a terminal and taken off by `Answer::said`.
        act!(self, "fd_write", 2, vector, 1, OUT)
    }

    /// What the guest reads as its script.
    pub fn image(&self) -> Vec<u8> {
        let mut image = self.count.to_le_bytes().to_vec();
        image.resize(16, 0);
        image.extend(&self.acts);
        assert!(image.len() <= (BYTES - BASE) as usize, "too many acts");
        image.resize((BYTES - BASE) as usize, 0);
        image.extend(&self.bytes);
        image
    }

    /// Runs it.
    pub fn run(&self, sandbox: &Sandbox) -> Answer {
        let result = sandbox.run(run(Source::Bytes(self.image().into()), sandbox)).unwrap();
        let errnos = result.stdout.chunks_exact(4).map(|errno| u32::from_le_bytes(errno.try_into().unwrap())).collect();
        Answer { errnos, result }
    }
}

/// What came of a script.
pub struct Answer {
    /// One for each act that was done.
    pub errnos: Vec<u32>,
    pub result: RunResult,
}

impl Answer {
    /// What it printed.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.result.stderr).replace('\0', "")
    }

    /// How it ended: `exited`, or `limited wall`.
    pub fn ended(&self) -> String {
        ended(&self.result)
    }

    /// What was refused, as `write /data/file`.
    pub fn denied(&self) -> Vec<String> {
        self.result.denials.iter().map(|denial| format!("{} {}", denial.kind, denial.what)).collect()
    }
}

pub fn ended(result: &RunResult) -> String {
    match result.limit {
        Some(limit) => format!("{} {limit}", result.outcome.name()),
        None => result.outcome.name().to_owned(),
    }
}

/// A run with captured output.
pub fn run<'a>(input: Source, sandbox: &Sandbox) -> Run<'a> {
    Run {
        args: Vec::new(),
        input,
        stdout: Sink::Capture(Vec::new()),
        stderr: Sink::Capture(Vec::new()),
        source: None,
        limits: sandbox.policy().limits,
        cancelled: Arc::new(AtomicBool::new(false)),
        tick: None,
    }
}

/// The policy of a JSON document; relative hosts lie in `base`.
pub fn policy(document: &str, base: &Path) -> Policy {
    Policy::from_json(document, base).unwrap()
}

/// A policy that grants one directory or file.
pub fn grant(host: &Path, at: &str, mode: &str) -> Policy {
    policy(&format!(r#"{{"dirs": [{{"host": {host:?}, "at": {at:?}, "mode": {mode:?}}}]}}"#), Path::new("/"))
}

/// A sandbox of any program.
pub fn sandbox(wasm: &[u8], policy: Policy) -> Sandbox {
    set_compiler(vec![env!("CARGO_BIN_EXE_ringfence-compiler").into()]);
    let program = Program::from_bytes(wasm, "guest").unwrap();
    let grants = Grants::open(&policy, &[]).unwrap();
    Sandbox::new(&program, policy, grants, None).unwrap()
}

/// A sandbox of the guest that does what a script says.
pub fn driver(policy: Policy) -> Sandbox {
    sandbox(&wat::parse_str(guest::text()).unwrap(), policy)
}

/// A sandbox of a program in text.
pub fn text(wat: &str, policy: Policy) -> Sandbox {
    sandbox(&wat::parse_str(wat).unwrap(), policy)
}

/// Limits for short tests.
pub fn limits(change: impl FnOnce(&mut Limits)) -> Policy {
    let mut policy = policy("{}", Path::new("/"));
    change(&mut policy.limits);
    policy
}

pub fn seconds(seconds: f64) -> Seconds {
    Seconds::from_number(seconds).unwrap()
}

pub fn wall(wall: f64) -> Policy {
    limits(|limits| limits.wall = seconds(wall))
}

/// Runs a program without input.
pub fn once(sandbox: &Sandbox) -> RunResult {
    sandbox.run(run(Source::Empty, sandbox)).unwrap()
}

/// A module around the body of `_start`, with `exit`.
pub fn module(fields: &str, body: &str) -> String {
    format!(
        r#"(module
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          {fields}
          (func (export "_start") {body}))"#
    )
}

/// A wait of so many nanoseconds.
pub fn wait(script: &mut Script, nanos: u64) {
    let mut subscription = [0u8; 48];
    subscription[16..20].copy_from_slice(&1u32.to_le_bytes());
    subscription[24..32].copy_from_slice(&nanos.to_le_bytes());
    let subscription = script.bytes(&subscription);
    crate::act!(script, "poll_oneoff", subscription, OUT, 1, OUT + 32);
}

/// A wait for a descriptor to become readable.
pub fn wait_for(script: &mut Script, fd: u32) {
    let mut subscription = [0u8; 48];
    subscription[8] = 1;
    subscription[16..20].copy_from_slice(&fd.to_le_bytes());
    let subscription = script.bytes(&subscription);
    crate::act!(script, "poll_oneoff", subscription, OUT, 1, OUT + 32);
}
