//! Limits: what a guest may use up.

use std::fmt::Display;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{Bytes, Seconds};
use crate::error::{Error, Result};

/// What a guest may use up, each a total over the run.
///
/// Reaching `wall`, `cpu`, `fuel`, `output`, `host_bytes` or `net_bytes` ends the run as `limited`. Growth past `memory`
/// is refused, and a run that dies of that is `limited`; one more than `open_files`, `files` or `connections`, or a byte
/// more than `disk`, is an error for the guest; a program that takes longer than `compile` is not loaded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Time on the clock, waiting included.
    pub wall: Seconds,
    /// Processor time of the guest; off unless given.
    pub cpu: Option<Seconds>,
    /// Instructions, counted by the engine the same way in every run; off unless given.
    pub fuel: Option<u64>,
    /// All linear memories, tables and garbage-collected heaps together, checked at every growth.
    pub memory: Bytes,
    /// Standard output and standard error together; what was written up to there is kept.
    pub output: Bytes,
    /// Memory the host may hold for the guest during host calls and behind its handles.
    pub host_bytes: Bytes,
    /// Files and directories open at one time.
    pub open_files: u32,
    /// Bytes it may add to the host's disk, in all it may write to; a file counts with its length.
    pub disk: Bytes,
    /// Files, directories and links it may add there.
    pub files: u32,
    /// Network connections and sockets open at one time.
    pub connections: u32,
    /// Bytes sent and received over the network together.
    pub net_bytes: Bytes,
    /// Time to compile the program, on a clock of its own; a language may take ten times as long.
    pub compile: Seconds,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall: Seconds::from_secs(30),
            cpu: None,
            fuel: None,
            memory: Bytes::mib(256),
            output: Bytes::mib(16),
            host_bytes: Bytes::mib(64),
            open_files: 64,
            disk: Bytes::mib(256),
            files: 10_000,
            connections: 64,
            net_bytes: Bytes::mib(256),
            compile: Seconds::from_secs(60),
        }
    }
}

/// Limits given at one call, which may only narrow the policy's; what is left out stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsPatch {
    /// See [`Limits::wall`].
    pub wall: Option<Seconds>,
    /// See [`Limits::cpu`].
    pub cpu: Option<Seconds>,
    /// See [`Limits::fuel`].
    pub fuel: Option<u64>,
    /// See [`Limits::memory`].
    pub memory: Option<Bytes>,
    /// See [`Limits::output`].
    pub output: Option<Bytes>,
    /// See [`Limits::host_bytes`].
    pub host_bytes: Option<Bytes>,
    /// See [`Limits::open_files`].
    pub open_files: Option<u32>,
    /// See [`Limits::disk`].
    pub disk: Option<Bytes>,
    /// See [`Limits::files`].
    pub files: Option<u32>,
    /// See [`Limits::connections`].
    pub connections: Option<u32>,
    /// See [`Limits::net_bytes`].
    pub net_bytes: Option<Bytes>,
    /// Known only to be refused with its reason: a program is compiled before any call.
    pub compile: Option<Seconds>,
}

impl Limits {
    /// These limits, narrowed by those given at a call.
    ///
    /// Fails where one is wider than the policy's, makes no sense, or cannot change after compiling.
    pub fn narrowed(&self, patch: &LimitsPatch) -> Result<Self> {
        if patch.compile.is_some() {
            return Err(Error::policy(
                "`limits.compile` is not a limit of one call",
                "a program is compiled before it is called, once for all calls",
                "leave it out here, and set `compile` in the policy's limits",
            ));
        }
        if let (None, Some(fuel)) = (self.fuel, patch.fuel) {
            return Err(Error::policy(
                format!("`limits.fuel` of {fuel} at a call, where the policy has none"),
                "fuel is counted by a program compiled for it, and the policy decides how it is compiled",
                "set `fuel` in the policy's limits, then narrow it here",
            ));
        }
        let narrowed = Self {
            wall: narrower("wall", self.wall, patch.wall)?,
            cpu: narrower_option("cpu", self.cpu, patch.cpu)?,
            fuel: narrower_option("fuel", self.fuel, patch.fuel)?,
            memory: narrower("memory", self.memory, patch.memory)?,
            output: narrower("output", self.output, patch.output)?,
            host_bytes: narrower("host_bytes", self.host_bytes, patch.host_bytes)?,
            open_files: narrower("open_files", self.open_files, patch.open_files)?,
            disk: narrower("disk", self.disk, patch.disk)?,
            files: narrower("files", self.files, patch.files)?,
            connections: narrower("connections", self.connections, patch.connections)?,
            net_bytes: narrower("net_bytes", self.net_bytes, patch.net_bytes)?,
            compile: self.compile,
        };
        narrowed.check()?;
        Ok(narrowed)
    }
}

fn narrower_option<T: PartialOrd + Display + Copy>(
    name: &str,
    policy: Option<T>,
    call: Option<T>,
) -> Result<Option<T>> {
    match policy {
        Some(limit) => narrower(name, limit, call).map(Some),
        None => Ok(call),
    }
}

fn narrower<T: PartialOrd + Display + Copy>(name: &str, policy: T, call: Option<T>) -> Result<T> {
    match call {
        Some(wider) if wider > policy => Err(Error::policy(
            format!("`limits.{name}` of {wider} at a call is wider than the policy's {policy}"),
            "a limit given at a call may only narrow the policy's",
            format!("give {policy} or less, or raise `{name}` in the policy"),
        )),
        Some(narrow) => Ok(narrow),
        None => Ok(policy),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn policy() -> Limits {
        Limits { wall: Seconds::from_secs(5), fuel: Some(1000), ..Limits::default() }
    }

    #[test]
    fn a_call_narrows_a_limit_and_leaves_the_others() {
        let patch = LimitsPatch::from_json(r#"{"wall": "1s", "cpu": 0.5, "fuel": 10, "memory": "1MiB"}"#).unwrap();
        let expected = Limits {
            wall: Seconds::from_secs(1),
            cpu: Some(Seconds::from_number(0.5).unwrap()),
            fuel: Some(10),
            memory: Bytes::mib(1),
            ..policy()
        };
        assert_eq!(Ok(expected), policy().narrowed(&patch));
        assert_eq!(Ok(policy()), policy().narrowed(&LimitsPatch::default()));
    }

    #[test]
    fn a_call_as_wide_as_the_policy_is_let_through() {
        let patch = LimitsPatch { wall: Some(Seconds::from_secs(5)), ..LimitsPatch::default() };
        assert_eq!(Ok(policy()), policy().narrowed(&patch));
    }

    #[test]
    fn no_limit_can_be_widened_at_a_call() {
        let policy = Limits { cpu: Some(Seconds::from_secs(1)), ..policy() };
        for (name, wider) in [
            ("wall", "\"6s\""),
            ("cpu", "2"),
            ("fuel", "1001"),
            ("memory", "\"257MiB\""),
            ("output", "\"1GiB\""),
            ("host_bytes", "\"65MiB\""),
            ("open_files", "65"),
            ("disk", "\"257MiB\""),
            ("files", "10001"),
            ("connections", "65"),
            ("net_bytes", "\"257MiB\""),
        ] {
            let patch = LimitsPatch::from_json(&format!("{{\"{name}\": {wider}}}")).unwrap();
            let error = policy.narrowed(&patch).unwrap_err();
            assert!(error.parts().what.contains(&format!("`limits.{name}` of ")), "{error}");
            assert!(error.parts().fix.contains(name), "{error}");
        }
    }

    #[test]
    fn a_widening_names_both_values() {
        let patch = LimitsPatch { wall: Some(Seconds::from_secs(60)), ..LimitsPatch::default() };
        let error = policy().narrowed(&patch).unwrap_err();
        assert_eq!("`limits.wall` of 1m at a call is wider than the policy's 5s", error.parts().what);
        assert_eq!("give 5s or less, or raise `wall` in the policy", error.parts().fix);
    }

    #[test]
    fn what_compiling_decided_cannot_change_at_a_call() {
        let compile = LimitsPatch::from_json(r#"{"compile": 1}"#).unwrap();
        let error = policy().narrowed(&compile).unwrap_err();
        assert!(error.parts().what.contains("`limits.compile` is not a limit of one call"), "{error}");

        let fuel = LimitsPatch { fuel: Some(10), ..LimitsPatch::default() };
        let error = Limits::default().narrowed(&fuel).unwrap_err();
        assert!(error.parts().why.contains("compiled for it"), "{error}");
    }

    #[test]
    fn a_call_is_checked_like_a_policy() {
        let none = LimitsPatch { wall: Some(Seconds::from_secs(0)), ..LimitsPatch::default() };
        assert!(policy().narrowed(&none).unwrap_err().parts().what.contains("`limits.wall`"));
        let error = LimitsPatch::from_json(r#"{"wal": 1}"#).unwrap_err();
        assert!(error.parts().what.starts_with("`limits.wal`: unknown key"), "{error}");
        assert_eq!("write `wall`", error.parts().fix);
    }
}
