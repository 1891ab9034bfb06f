//! What this machine has, what it lacks, and what would mend it.

use std::borrow::Cow;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use serde::Serialize;

use crate::error::Parts;
use crate::load::Cache;
use crate::sandbox::engine::{Engines, Profile};
use crate::snapshot::pagemap_unsafe;
use crate::worker::wall::{self, Lack, Wall};

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub name: &'static str,
    /// What was found.
    pub value: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What would mend it.
    pub fix: Option<Cow<'static, str>>,
}

impl Finding {
    fn new(name: &'static str, value: impl Into<String>, ok: bool, fix: impl Into<Cow<'static, str>>) -> Self {
        Self { name, value: value.into(), ok, fix: if ok { None } else { Some(fix.into()) } }
    }

    fn fact(name: &'static str, value: impl Into<String>) -> Self {
        Self { name, value: value.into(), ok: true, fix: None }
    }
}

/// Looks at everything.
pub fn findings() -> Vec<Finding> {
    vec![
        Finding::fact("ringfence", env!("CARGO_PKG_VERSION")),
        Finding::fact("wasmtime", WASMTIME),
        platform(),
        kernel(),
        beneath(),
        recycling(),
        forks(),
        engine(),
        cache(),
        landlock(),
        seccomp(),
        workers(),
        compiler(),
    ]
}

/// The pinned engine; a test compares it with the lock file.
pub const WASMTIME: &str = "48.0.8";

fn platform() -> Finding {
    let value = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    let measured = cfg!(all(target_os = "linux", target_arch = "x86_64"));
    Finding::new("platform", value, measured, "only Linux on x86-64 is tested and measured: expect less elsewhere")
}

fn kernel() -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    Finding::fact("kernel", release)
}

/// Paths are contained without `openat2` too; with it they are contained by the kernel as well, and faster.
fn beneath() -> Finding {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let found = openat2(CWD, ".", flags, Mode::empty(), ResolveFlags::BENEATH).is_ok();
    let value = if found { "the kernel resolves beneath a directory" } else { "not available" };
    Finding::new(
        "openat2",
        value,
        found,
        "allow `openat2` in the container's seccomp profile, or use Linux 5.6 or newer",
    )
}

/// How memory of languages is used again, tried out.
fn recycling() -> Finding {
    let (value, fix) = pagemap_unsafe::told().reset;
    Finding { name: "recycling", value, ok: fix.is_none(), fix: fix.map(Cow::Borrowed) }
}

/// What large snapshots are.
fn forks() -> Finding {
    match pagemap_unsafe::told().images {
        Ok(()) => Finding::fact("forks", "large snapshots are files in memory, which forks map"),
        Err(why) => Finding::new(
            "forks",
            format!("large snapshots are copied for each fork: no sealed file in memory ({why})"),
            false,
            "allow `memfd_create` and `fcntl(F_ADD_SEALS)` in the container's seccomp profile",
        ),
    }
}

fn engine() -> Finding {
    match Engines::of(Profile::default()) {
        Ok(engines) if engines.is_pooled() => Finding::fact("engine", "pooled"),
        Ok(_) => Finding::new(
            "engine",
            "not pooled: too little address space",
            false,
            "lift the limit on virtual memory (`ulimit -v unlimited`): a fresh start is slower without the pool",
        ),
        Err(error) => Finding::new("engine", error.parts().why.clone(), false, error.parts().fix.clone()),
    }
}

fn cache() -> Finding {
    let cache = match Cache::standard() {
        Ok(cache) => cache,
        Err(error) => return Finding::new("cache", error.parts().why.clone(), false, error.parts().fix.clone()),
    };
    let info = cache.info();
    let path = info.path.as_deref().map_or_else(|| "none".into(), |path| path.display().to_string());
    match info.problem {
        None => Finding::fact("cache", path),
        Some(problem) => Finding::new(
            "cache",
            problem,
            false,
            "set RINGFENCE_CACHE to a directory of your own: without one every program compiles each time",
        ),
    }
}

fn landlock() -> Finding {
    let abi = wall::landlock_abi();
    let lack = if abi == 0 { Lack::NoLandlock } else { Lack::OldLandlock(abi) };
    let value = if abi == 0 { "not available".to_owned() } else { format!("ABI {abi}") };
    Finding::new("landlock", value, abi >= wall::LANDLOCK_MINIMUM, lack.fix())
}

fn seccomp() -> Finding {
    let found = wall::seccomp();
    let value = if found { "filters that end a process" } else { "not available" };
    Finding::new("seccomp", value, found, Lack::NoSeccomp.fix())
}

/// What `isolation="worker"` can do here.
fn workers() -> Finding {
    match Wall::supported() {
        Ok(()) => Finding::fact("workers", "guests can run behind a second wall"),
        Err(error) => {
            let Parts { why, fix, .. } = error.parts();
            Finding::new("workers", format!("no second wall: {why}"), false, fix.clone())
        }
    }
}

/// The compiler does without what the kernel lacks: the rest of the wall, a process of its own and its limits stay.
fn compiler() -> Finding {
    let value = match (wall::landlock_abi() > 0, wall::seccomp()) {
        (true, true) => "in a child that opens no file and starts nothing",
        (false, true) => "in a child behind seccomp alone",
        (true, false) => "in a child behind Landlock alone",
        (false, false) => "in a child with limits and no wall",
    };
    Finding::fact("compiler", value)
}
