//! Contradictions that can be seen in the policy alone, before any directory is opened.

use std::collections::HashMap;
use std::fmt::Display;
use std::time::Duration;

use super::limits::Limits;
use super::place::Place;
use super::random::Random;
use super::units::{Bytes, MAX_SECONDS, Seconds};
use super::{Dir, Mode, Policy};
use crate::error::{Error, Parts, Result};
use crate::text::quote;

/// Least memory that is not a slip of the pen, in bytes: one page of linear memory.
///
/// No WASI program starts with less, and `memory = 256` means MiB.
const MIN_MEMORY: Bytes = Bytes(64 << 10);

/// Most bytes a limit may say: the address space of a process on x86-64 (47 bits).
const MAX_BYTES: Bytes = Bytes(1 << 47);

/// Most open files a limit may say: what Linux lets one process have (`fs.nr_open`).
const MAX_OPEN_FILES: u32 = 1 << 20;

/// What is wrong, and where.
#[derive(Debug)]
pub(super) struct Problem {
    place: Place,
    parts: Parts,
}

impl Problem {
    pub fn at(place: Place, parts: Parts) -> Self {
        Self { place, parts }
    }

    fn new(place: Place, what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::at(place, Parts::new(what, why, fix))
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The error, beginning with where it is.
    pub fn beginning(self, place: impl Display) -> Error {
        let Parts { what, why, fix } = self.parts;
        Error::policy(format!("{place}: {what}"), why, fix)
    }

    /// The error of a policy that stands in no file.
    pub fn unplaced(self) -> Error {
        let place = format!("`{}`", self.place);
        self.beginning(place)
    }
}

impl Policy {
    /// Whether the policy makes sense by itself: no two grants at one guest path, names that can be names,
    /// limits that let a guest run. What is on the host is not looked at.
    pub fn check(&self) -> Result<()> {
        self.examine().map_err(Problem::unplaced)
    }

    pub(super) fn examine(&self) -> Result<(), Problem> {
        self.examine_dirs()?;
        self.examine_env()?;
        self.examine_secrets()?;
        if let Random::Seed(seed) = self.random
            && i64::try_from(seed).is_err()
        {
            let place = Place::top().key("random");
            let why = "a seed is a whole number up to 2^63 - 1, so that every format can hold it";
            return Err(Problem::new(place, format!("the seed {seed} is too large"), why, "choose a smaller seed"));
        }
        self.limits.examine()
    }

    fn examine_dirs(&self) -> Result<(), Problem> {
        let mut taken: HashMap<String, &Dir> = HashMap::new();
        for (index, dir) in self.dirs.iter().enumerate() {
            let place = Place::top().key("dirs").index(index);
            examine_source(dir, &place)?;
            let at = dir.placed(&place)?;
            let place = place.key(if dir.at.is_some() { "at" } else { "host" });
            if let Some(first) = taken.get(&at) {
                return Err(Problem::new(
                    place,
                    format!("two grants at the guest path `{}`", quote(&at)),
                    format!("`{}` is already there, and the guest could see only one", first.source()),
                    "give one of them another `at`, or take it out",
                ));
            }
            if self.tmp && overlaps_tmp(&at) {
                return Err(Problem::new(
                    place,
                    format!("a grant at the guest path `{}` together with `tmp = true`", quote(&at)),
                    "the private `/tmp` and this grant would overlap, and what the guest writes could land in either",
                    "give the grant an `at` of its own, such as `/work`, or take `tmp` out",
                ));
            }
            taken.insert(at, dir);
        }
        Ok(())
    }

    fn examine_env(&self) -> Result<(), Problem> {
        for (name, value) in &self.env {
            let place = Place::top().key("env").key(name);
            examine_name(name, &place)?;
            if value.contains('\0') {
                let why = "a variable ends at the first NUL, so the guest would get only a part";
                return Err(Problem::new(place, "a value with a NUL character", why, "take the character out"));
            }
        }
        for (index, name) in self.inherit_env.iter().enumerate() {
            let place = Place::top().key("inherit_env").index(index);
            examine_name(name, &place)?;
            if self.env.contains_key(name) {
                return Err(Problem::new(
                    place,
                    format!("`{}` is both set and inherited", quote(name)),
                    "`env` gives it one value and `inherit_env` another, and the guest could see only one",
                    "take it out of `env` or out of `inherit_env`",
                ));
            }
        }
        Ok(())
    }

    fn examine_secrets(&self) -> Result<(), Problem> {
        for (index, secret) in self.secrets.iter().enumerate() {
            let place = |key: &str| Place::top().key("secrets").index(index).key(key);
            examine_name(&secret.name, &place("name"))?;
            examine_name(&secret.env, &place("env"))?;
            let other = self.secrets[..index].iter().any(|other| other.name == secret.name);
            if other || self.env.contains_key(&secret.name) || self.inherit_env.contains(&secret.name) {
                return Err(Problem::new(
                    place("name"),
                    format!("`{}` is a secret and something else", quote(&secret.name)),
                    "the guest finds the placeholder in that variable, which can hold only one value",
                    "give one of them another name",
                ));
            }
            if self.inherit_env.contains(&secret.env) {
                return Err(Problem::new(
                    place("env"),
                    format!("the value of `{}` is a secret, and is handed on by `inherit_env`", quote(&secret.env)),
                    "the guest would see it",
                    format!("take `{}` out of `inherit_env`", quote(&secret.env)),
                ));
            }
            if !self.net.http.iter().any(|grant| grant.reaches(secret.origin.url())) {
                return Err(Problem::new(
                    place("origin"),
                    format!("no grant reaches `{}`", secret.origin),
                    "a secret is sent with a request that `net.http` grants",
                    format!("add `http = [\"GET {}\"]` under `[net]`", secret.origin),
                ));
            }
        }
        Ok(())
    }
}

/// A grant has one source, and what is in memory has a mode that fits it.
fn examine_source(dir: &Dir, place: &Place) -> Result<(), Problem> {
    let refuse = |key: &str, what: &str, why: &str, fix: &str| {
        Err(Problem::new(place.clone().key(key), what.to_owned(), why.to_owned(), fix.to_owned()))
    };
    let sources = [dir.host.is_some(), dir.zip.is_some(), dir.tree.is_some()];
    if sources.iter().filter(|is_there| **is_there).count() > 1 {
        let key = if dir.zip.is_some() { "zip" } else { "tree" };
        return refuse(key, "a grant of two things", "one guest path shows one of them", "make two grants of it");
    }
    for (key, path) in [("host", &dir.host), ("zip", &dir.zip)] {
        let wrong = match path.as_ref().map(|path| path.as_os_str().as_encoded_bytes()) {
            Some([]) => format!("the {key} path is empty"),
            Some(path) if path.contains(&0) => format!("the {key} path has a NUL character"),
            _ => continue,
        };
        let fix = match key {
            "host" => "write a directory or a file, such as `host = \"data\"`, or `.` for where the policy stands",
            _ => "write a zip archive, such as `zip = \"in.zip\"`",
        };
        return refuse(key, &wrong, "there can be no such file", fix);
    }
    match dir.mode {
        Mode::Memory if dir.host.is_some() => refuse(
            "mode",
            "`memory` over a path of the host",
            "what is in memory begins empty, or with the files of a zip",
            "write `mode = \"overlay\"` to keep the host as it is, or `zip` in place of `host` for an archive",
        ),
        Mode::Rw | Mode::Overlay if dir.is_in_memory() => refuse(
            "mode",
            "a mode for the host, without anything of the host",
            "what is in memory is only read (`ro`), or written for one run (`memory`)",
            "write `mode = \"memory\"`",
        ),
        Mode::Memory => Ok(()),
        _ if sources.contains(&true) => Ok(()),
        _ => Err(Problem::new(
            place.clone(),
            "`host` is missing",
            "a grant needs a directory or file of the host, or `mode = \"memory\"` for an empty tree in memory",
            "add `host = \"data\"`",
        )),
    }
}

fn overlaps_tmp(at: &str) -> bool {
    at == "/" || at == "/tmp" || at.starts_with("/tmp/")
}

fn examine_name(name: &str, place: &Place) -> Result<(), Problem> {
    let why = match name {
        "" => "it is empty",
        _ if name.contains('=') => "`=` ends a name",
        _ if name.contains('\0') => "it has a NUL character",
        _ => return Ok(()),
    };
    let fix = match name.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            format!("write `env = {{ {} = \"{}\" }}`", quote(name), quote(value))
        }
        _ => "write a name such as `LANG`, or take it out".into(),
    };
    Err(Problem::new(place.clone(), format!("`{}` is not the name of a variable", quote(name)), why, fix))
}

impl Limits {
    /// Whether a guest can run at all under these limits, and no number is beyond reason.
    ///
    /// All but `wall`, `cpu`, `fuel`, `memory` and `compile` may be 0: the guest gets none.
    pub fn check(&self) -> Result<()> {
        self.examine().map_err(Problem::unplaced)
    }

    fn examine(&self) -> Result<(), Problem> {
        for (name, time) in [("wall", Some(self.wall)), ("cpu", self.cpu), ("compile", Some(self.compile))] {
            time.map_or(Ok(()), |time| examine_time(name, time))?;
        }
        match self.fuel {
            Some(0) => return Err(nothing_runs("fuel", "0", "1000000")),
            Some(fuel) if i64::try_from(fuel).is_err() => {
                return Err(too_much("fuel", fuel, "2^63 - 1", "no more fits into every format"));
            }
            _ => {}
        }
        if self.memory < MIN_MEMORY {
            return Err(Problem::new(
                Place::top().key("limits").key("memory"),
                format!("{} is too little memory for any program", self.memory),
                "one page of linear memory is 64KiB, and a number without a unit is bytes",
                format!("write it with its unit, such as \"{}\"", meant(self.memory)),
            ));
        }
        for (name, bytes) in [
            ("memory", self.memory),
            ("output", self.output),
            ("host_bytes", self.host_bytes),
            ("disk", self.disk),
            ("net_bytes", self.net_bytes),
        ] {
            if bytes > MAX_BYTES {
                return Err(too_much(name, bytes, "128TiB", "a process can address no more"));
            }
        }
        for (name, count) in [("open_files", self.open_files), ("connections", self.connections)] {
            if count > MAX_OPEN_FILES {
                return Err(too_much(name, count, MAX_OPEN_FILES, "a process can have no more open"));
            }
        }
        Ok(())
    }
}

/// The amount a small number without a unit most likely stood for.
fn meant(bytes: Bytes) -> String {
    match bytes.0 {
        0 => "64MiB".into(),
        mebibytes @ 1..=1024 => format!("{mebibytes}MiB"),
        kibibytes => format!("{}KiB", kibibytes.div_ceil(1024).max(64)),
    }
}

fn examine_time(name: &str, time: Seconds) -> Result<(), Problem> {
    if time.0.is_zero() {
        return Err(nothing_runs(name, time, "5s"));
    }
    if time.0 > Duration::from_secs(MAX_SECONDS) {
        return Err(too_much(name, time, "876000h", "that is a hundred years, which every clock can add to now"));
    }
    Ok(())
}

fn nothing_runs(name: &str, limit: impl Display, example: &str) -> Problem {
    Problem::new(
        Place::top().key("limits").key(name),
        format!("`{name}` of {limit} lets nothing run"),
        "a limit is reached before the first step of the guest",
        format!("write more, such as {example}, or leave `{name}` out for its default"),
    )
}

fn too_much(name: &str, limit: impl Display, most: impl Display, why: &str) -> Problem {
    Problem::new(
        Place::top().key("limits").key(name),
        format!("`{name}` of {limit} is beyond reason"),
        format!("the most is {most}: {why}"),
        format!("write {most} or less"),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn dir(host: &str, at: Option<&str>) -> Dir {
        Dir { host: Some(host.into()), at: at.map(Into::into), ..Dir::default() }
    }

    fn granting(dirs: Vec<Dir>) -> Policy {
        Policy { dirs, ..Policy::default() }
    }

    fn refused(policy: &Policy) -> String {
        policy.check().unwrap_err().parts().what.clone()
    }

    #[test]
    fn the_policy_that_grants_nothing_makes_sense() {
        assert_eq!(Ok(()), Policy::default().check());
    }

    #[test]
    fn two_grants_at_one_guest_path_are_refused_however_they_are_written() {
        for (first, second) in [
            (dir("a", Some("/data")), dir("b", Some("/data/"))),
            (dir("data", None), dir("b", Some("/./data"))),
            (dir(".", None), dir("b", Some("/"))),
        ] {
            let what = refused(&granting(vec![first, second]));
            assert!(what.starts_with("`dirs[1].at`: two grants at the guest path `/"), "{what}");
        }
        assert_eq!(Ok(()), granting(vec![dir("a", Some("/data")), dir("b", Some("/data/b"))]).check());
    }

    #[test]
    fn a_grant_that_overlaps_the_private_tmp_is_refused() {
        for at in ["/", "/tmp", "/tmp/", "/tmp/x"] {
            let policy = Policy { tmp: true, ..granting(vec![dir("a", Some(at))]) };
            assert!(refused(&policy).contains("together with `tmp = true`"));
            assert_eq!(Ok(()), Policy { tmp: false, ..policy }.check());
        }
        assert_eq!(Ok(()), Policy { tmp: true, ..granting(vec![dir("a", Some("/tmpdata"))]) }.check());
    }

    #[test]
    fn a_host_path_that_cannot_be_is_refused() {
        assert_eq!("`dirs[0].host`: the host path is empty", refused(&granting(vec![dir("", Some("/a"))])));
        assert!(refused(&granting(vec![dir("a\0b", Some("/a"))])).contains("NUL"));
    }

    #[test]
    fn a_grant_has_one_source_and_a_mode_that_fits_it() {
        let at = || Dir { at: Some("/in".into()), ..Dir::default() };
        let (zip, tree) = (|| Some("in.zip".into()), || Some("blake3:0".to_owned()));
        for (wrong, what) in [
            (at(), "`dirs[0]`: `host` is missing"),
            (Dir { host: zip(), zip: zip(), ..at() }, "`dirs[0].zip`: a grant of two things"),
            (Dir { host: zip(), tree: tree(), ..at() }, "`dirs[0].tree`: a grant of two things"),
            (Dir { host: zip(), mode: Mode::Memory, ..at() }, "`dirs[0].mode`: `memory` over a path of the host"),
            (Dir { zip: zip(), mode: Mode::Rw, ..at() }, "`dirs[0].mode`: a mode for the host"),
            (Dir { tree: tree(), mode: Mode::Overlay, ..at() }, "`dirs[0].mode`: a mode for the host"),
            (Dir { mode: Mode::Memory, ..Dir::default() }, "`dirs[0]`: `at` is missing"),
            (Dir { zip: Some("".into()), ..at() }, "`dirs[0].zip`: the zip path is empty"),
        ] {
            let said = refused(&granting(vec![wrong]));
            assert!(said.starts_with(what), "{said}");
        }
        for mode in [Mode::Ro, Mode::Memory] {
            for right in [Dir { zip: zip(), mode, ..at() }, Dir { tree: tree(), mode, ..at() }] {
                assert_eq!(Ok(()), granting(vec![right]).check());
            }
        }
        assert_eq!(Ok(()), granting(vec![Dir { mode: Mode::Memory, ..at() }]).check());
    }

    #[test]
    fn a_variable_has_a_name_and_one_source() {
        let set = |name: &str, value: &str| Policy { env: [(name.into(), value.into())].into(), ..Policy::default() };
        for (policy, what) in [
            (set("", "1"), "`` is not the name"),
            (set("A=B", "1"), "`A=B` is not the name"),
            (set("A\0", "1"), "is not the name"),
            (set("A", "1\0"), "a value with a NUL"),
            (Policy { inherit_env: vec!["A".into()], ..set("A", "1") }, "both set and inherited"),
            (Policy { inherit_env: vec!["A=1".into()], ..Policy::default() }, "`A=1` is not the name"),
            (Policy { inherit_env: vec!["".into()], ..Policy::default() }, "`` is not the name"),
        ] {
            assert!(refused(&policy).contains(what), "{what}: {}", refused(&policy));
        }
        assert_eq!(Ok(()), set("A", "a = b\n").check());
    }

    #[test]
    fn a_limit_that_lets_nothing_run_is_refused() {
        let limits = Limits::default();
        let zero = Seconds(Duration::ZERO);
        for (name, wrong) in [
            ("wall", Limits { wall: zero, ..limits }),
            ("cpu", Limits { cpu: Some(zero), ..limits }),
            ("compile", Limits { compile: zero, ..limits }),
            ("fuel", Limits { fuel: Some(0), ..limits }),
            ("memory", Limits { memory: Bytes(256), ..limits }),
        ] {
            let what = refused(&Policy { limits: wrong, ..Policy::default() });
            assert!(what.starts_with(&format!("`limits.{name}`: ")), "{what}");
        }
        let least = Limits { memory: MIN_MEMORY, output: Bytes(0), host_bytes: Bytes(0), open_files: 0, ..limits };
        assert_eq!(Ok(()), least.check());
    }

    #[test]
    fn a_memory_without_its_unit_is_told_the_one_it_meant() {
        let wrong = Limits { memory: Bytes(256), ..Limits::default() };
        assert!(wrong.check().unwrap_err().parts().fix.ends_with("\"256MiB\""));
    }

    #[test]
    fn a_limit_beyond_reason_is_refused() {
        let limits = Limits::default();
        for (name, wrong) in [
            ("wall", Limits { wall: Seconds(Duration::MAX), ..limits }),
            ("fuel", Limits { fuel: Some(u64::MAX), ..limits }),
            ("memory", Limits { memory: Bytes(u64::MAX), ..limits }),
            ("output", Limits { output: Bytes((1 << 47) + 1), ..limits }),
            ("host_bytes", Limits { host_bytes: Bytes(u64::MAX), ..limits }),
            ("open_files", Limits { open_files: u32::MAX, ..limits }),
        ] {
            let what = refused(&Policy { limits: wrong, ..Policy::default() });
            assert!(what.starts_with(&format!("`limits.{name}`: `{name}` of ")), "{what}");
        }
        assert!(refused(&Policy { random: Random::Seed(u64::MAX), ..Policy::default() }).contains("seed"));
    }
}
