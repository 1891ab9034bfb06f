//! From a policy to text: TOML for people, JSON for programs, and the schema of both.

use schemars::schema_for;
use serde::Serialize;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::limits::Limits;
use super::{Dir, Net, Policy};
use crate::error::{Error, Result};
use crate::text::quote;

impl Policy {
    /// The policy as TOML, with only what differs from the default.
    ///
    /// Reads back as the same policy where its host paths are absolute and its guest paths in normal form,
    /// as they are in every policy that was read. Fails where the policy does not hold by itself.
    pub fn to_toml(&self) -> Result<String> {
        self.check()?;
        let default = Self::default();
        let mut top = Table::new();
        put(&mut top, "tmp", self.tmp, default.tmp)?;
        put(&mut top, "inherit_env", &self.inherit_env, &default.inherit_env)?;
        put(&mut top, "clock", self.clock, default.clock)?;
        put(&mut top, "random", self.random, default.random)?;
        put(&mut top, "wasi", self.wasi, default.wasi)?;
        put(&mut top, "on_denied", self.on_denied, default.on_denied)?;
        put(&mut top, "env", &self.env, &default.env)?;
        if !self.dirs.is_empty() {
            let dirs: Result<Vec<_>> = self.dirs.iter().map(dir).collect();
            top.insert("dirs".into(), Value::Array(dirs?));
        }
        let net = net(&self.net)?;
        if !net.is_empty() {
            top.insert("net".into(), Value::Table(net));
        }
        put(&mut top, "secrets", &self.secrets, &default.secrets)?;
        let limits = limits(&self.limits)?;
        if !limits.is_empty() {
            top.insert("limits".into(), Value::Table(limits));
        }
        toml::to_string(&top).map_err(|error| defect(&error))
    }

    /// The policy as JSON, with every default filled in.
    pub fn to_json(&self) -> Result<String> {
        let mut filled = self.clone();
        for dir in &mut filled.dirs {
            path(dir)?;
            dir.at = Some(dir.guest_path()?);
        }
        serde_json::to_string(&filled).map_err(|error| defect(&error))
    }

    /// The JSON Schema of a policy, in TOML and JSON alike.
    pub fn schema() -> String {
        format!("{:#}", schema())
    }
}

/// The schema as a tree.
pub(super) fn schema() -> Json {
    schema_for!(Policy).to_value()
}

fn put<T: Serialize + PartialEq>(table: &mut Table, key: &str, value: T, default: T) -> Result<()> {
    if value != default {
        table.insert(key.into(), Value::try_from(value).map_err(|error| defect(&error))?);
    }
    Ok(())
}

fn dir(dir: &Dir) -> Result<Value> {
    let mut table = Table::new();
    if dir.tree.is_some() {
        return Err(Error::policy(
            format!("the grant at `{}` cannot be written down", quote(&dir.guest_path()?)),
            "its files were handed in by a program, and are not in the policy",
            "put them into a zip archive, and grant that: `Dir.memory(\"in.zip\", at=…)`",
        ));
    }
    if let Some(path) = path(dir)? {
        table.insert(if dir.host.is_some() { "host" } else { "zip" }.into(), path.into());
    }
    let at = dir.guest_path()?;
    let unsaid = Dir { at: None, ..dir.clone() };
    if unsaid.guest_path().as_ref() != Ok(&at) {
        table.insert("at".into(), at.into());
    }
    put(&mut table, "mode", dir.mode, Default::default())?;
    Ok(Value::Table(table))
}

fn path(dir: &Dir) -> Result<Option<&str>> {
    let Some(path) = dir.host.as_ref().or(dir.zip.as_ref()) else { return Ok(None) };
    path.to_str().map(Some).ok_or_else(|| {
        Error::policy(
            format!("the host path `{}` cannot be written down", quote(&path.to_string_lossy())),
            "it is not UTF-8, and TOML and JSON are",
            "grant it by a name that is UTF-8, through a link or a directory above it",
        )
    })
}

fn net(net: &Net) -> Result<Table> {
    let mut table = Table::new();
    put(&mut table, "tcp", &net.tcp, &Vec::new())?;
    put(&mut table, "udp", &net.udp, &Vec::new())?;
    put(&mut table, "http", &net.http, &Vec::new())?;
    Ok(table)
}

fn limits(limits: &Limits) -> Result<Table> {
    let default = Limits::default();
    let mut table = Table::new();
    put(&mut table, "wall", limits.wall.to_string(), default.wall.to_string())?;
    if let Some(cpu) = limits.cpu {
        table.insert("cpu".into(), cpu.to_string().into());
    }
    if let Some(fuel) = limits.fuel {
        put(&mut table, "fuel", Some(fuel), None)?;
    }
    put(&mut table, "memory", limits.memory.to_string(), default.memory.to_string())?;
    put(&mut table, "output", limits.output.to_string(), default.output.to_string())?;
    put(&mut table, "host_bytes", limits.host_bytes.to_string(), default.host_bytes.to_string())?;
    put(&mut table, "open_files", limits.open_files, default.open_files)?;
    put(&mut table, "disk", limits.disk.to_string(), default.disk.to_string())?;
    put(&mut table, "files", limits.files, default.files)?;
    put(&mut table, "connections", limits.connections, default.connections)?;
    put(&mut table, "net_bytes", limits.net_bytes.to_string(), default.net_bytes.to_string())?;
    put(&mut table, "compile", limits.compile.to_string(), default.compile.to_string())?;
    Ok(table)
}

fn defect(error: &dyn std::fmt::Display) -> Error {
    Error::host(
        "the policy cannot be written down",
        quote(&error.to_string()),
        "report this as a defect of Ringfence, with the policy",
    )
}
