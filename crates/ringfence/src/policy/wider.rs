//! Comparing policies: what one grants that another does not. Whoever cannot tell says that it is wider.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::{Clock, Dir, Limits, Mode, OnDenied, Policy, Random, WasiLevel};
use crate::error::{Error, Result};
use crate::text::quote;

/// So many of what is wider are told.
const TOLD: usize = 8;

/// Refuses what a comparison found; `what` was to be done under the wider policy.
pub(crate) fn refuse(what: String, found: &[String]) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let mut told = found.iter().take(TOLD).cloned().collect::<Vec<_>>().join(", ");
    if found.len() > TOLD {
        told = format!("{told}, and {} more", found.len() - TOLD);
    }
    Err(Error::policy(
        what,
        format!("it is wider than the policy of what is forked: {told}"),
        "narrow it, or pass `allow_wider=True` where it is meant",
    ))
}

/// What the grants of files of a policy really are, for who holds them open.
pub(crate) trait Ground {
    /// Where the grant at this place in `dirs` lies on the host.
    fn path(&self, index: usize) -> Option<PathBuf>;

    /// Whether the grant is that other one, or lies in it; in memory, whether both begin with the same files.
    fn lies_in(&self, index: usize, other: &Self, number: usize) -> bool;
}

/// The grants of files as they are written, for who holds none of them open.
struct Written<'a>(&'a Policy);

impl Ground for Written<'_> {
    fn path(&self, index: usize) -> Option<PathBuf> {
        self.0.dirs.get(index)?.host.clone()
    }

    fn lies_in(&self, index: usize, other: &Self, number: usize) -> bool {
        let (Some(mine), Some(theirs)) = (self.0.dirs.get(index), other.0.dirs.get(number)) else { return false };
        match (&mine.host, &theirs.host) {
            (Some(mine), Some(theirs)) => mine.starts_with(theirs),
            (None, None) => mine.zip == theirs.zip && mine.tree == theirs.tree,
            _ => false,
        }
    }
}

impl Policy {
    /// What this policy grants that `other` does not, one text each; none where it is as narrow, or narrower.
    ///
    /// Directories are compared as they are written. Where a guest sees a grant makes it neither wider nor narrower,
    /// but what a grant hides of another one stays hidden.
    pub fn wider_than(&self, other: &Self) -> Vec<String> {
        self.wider_on(&Written(self), other, &Written(other))
    }

    /// The same by what is open.
    pub(crate) fn wider_on<G: Ground>(&self, ground: &G, other: &Self, theirs: &G) -> Vec<String> {
        let mut found = Vec::new();
        let mine = Files { policy: self, ground };
        let others = Files { policy: other, ground: theirs };
        for (index, dir) in self.dirs.iter().enumerate() {
            if !mine.is_within(index, dir, &others) {
                let at = dir.at.as_deref().map_or_else(String::new, |at| format!(" at `{}`", quote(at)));
                found.push(format!("`dirs`: `{}` {}{at}", dir.source(), dir.mode.name()));
            }
        }
        let mut note = |is_wider: bool, what: String| {
            if is_wider {
                found.push(what);
            }
        };
        note(self.tmp && !other.tmp, "`tmp`".into());
        for (name, value) in &self.env {
            note(other.env.get(name) != Some(value), format!("`env`: `{}` as it is set", quote(name)));
        }
        for name in &self.inherit_env {
            let what = format!("`inherit_env`: `{}`", quote(name));
            note(!other.inherit_env.contains(name), what);
        }
        for (key, mine, theirs) in [("tcp", &self.net.tcp, &other.net.tcp), ("udp", &self.net.udp, &other.net.udp)] {
            for grant in mine {
                let is_within = theirs.iter().any(|wide| grant.is_within(wide));
                note(!is_within, format!("`net.{key}`: `{}`", quote(&grant.to_string())));
            }
        }
        for grant in &self.net.http {
            let is_within = other.net.http.iter().any(|wide| grant.is_within(wide));
            note(!is_within, format!("`net.http`: `{}`", quote(&grant.to_string())));
        }
        for secret in &self.secrets {
            let what = format!("`secrets`: `{}` to `{}`", quote(&secret.name), secret.origin);
            note(!other.secrets.contains(secret), what);
        }
        note(self.clock == Clock::Precise && other.clock == Clock::Coarse, "`clock`: precise".into());
        // Which seed it is gives a guest no more than another one.
        note(self.random == Random::Real && other.random != Random::Real, "`random`: real".into());
        note(self.wasi == WasiLevel::V0_3 && other.wasi == WasiLevel::V0_2, "`wasi`: 0.3".into());
        let goes_on = self.on_denied == OnDenied::Continue && other.on_denied == OnDenied::Stop;
        note(goes_on, "`on_denied`: continue".into());
        self.limits.wider_than(&other.limits, &mut note);
        found
    }
}

impl Limits {
    fn wider_than(&self, other: &Self, note: &mut impl FnMut(bool, String)) {
        fn limit<T: PartialOrd + Display>(name: &str, mine: &T, theirs: &T, note: &mut impl FnMut(bool, String)) {
            note(mine > theirs, format!("`limits.{name}`: {mine}, more than {theirs}"));
        }
        fn option<T: PartialOrd + Display>(
            name: &str,
            mine: Option<&T>,
            theirs: Option<&T>,
            note: &mut impl FnMut(bool, String),
        ) {
            match (mine, theirs) {
                (Some(mine), Some(theirs)) => limit(name, mine, theirs, note),
                (None, Some(theirs)) => note(true, format!("`limits.{name}`: none, and not {theirs}")),
                (_, None) => {}
            }
        }
        limit("wall", &self.wall, &other.wall, note);
        option("cpu", self.cpu.as_ref(), other.cpu.as_ref(), note);
        option("fuel", self.fuel.as_ref(), other.fuel.as_ref(), note);
        limit("memory", &self.memory, &other.memory, note);
        limit("output", &self.output, &other.output, note);
        limit("host_bytes", &self.host_bytes, &other.host_bytes, note);
        limit("open_files", &self.open_files, &other.open_files, note);
        limit("disk", &self.disk, &other.disk, note);
        limit("files", &self.files, &other.files, note);
        limit("connections", &self.connections, &other.connections, note);
        limit("net_bytes", &self.net_bytes, &other.net_bytes, note);
        limit("compile", &self.compile, &other.compile, note);
    }
}

/// The grants of files of one policy.
struct Files<'a, G> {
    policy: &'a Policy,
    ground: &'a G,
}

impl<G: Ground> Files<'_, G> {
    /// Whether a grant gives nothing that those others do not give.
    fn is_within(&self, index: usize, dir: &Dir, others: &Files<'_, G>) -> bool {
        let hidden = self.hidden(index);
        if dir.is_in_memory() {
            return others.policy.dirs.iter().enumerate().any(|(number, wide)| {
                let has_nothing = dir.zip.is_none() && dir.tree.is_none();
                let is_same = self.ground.lies_in(index, others.ground, number);
                wide.is_in_memory()
                    && within_mode(dir.mode, wide.mode)
                    && (has_nothing || (is_same && others.hidden(number).iter().all(|path| hides(&hidden, path))))
            });
        }
        let Some(path) = self.ground.path(index) else { return false };
        let hidden: Vec<PathBuf> = hidden.iter().map(|below| path.join(below)).collect();
        others.policy.dirs.iter().enumerate().any(|(number, wide)| {
            self.ground.lies_in(index, others.ground, number)
                && others.shows(number, wide, &path, dir.mode, &hidden, others.policy.dirs.len())
        })
    }

    /// Whether a grant shows all of a place on the host but what is hidden, itself or by what it hides it with.
    fn shows(&self, index: usize, dir: &Dir, path: &Path, mode: Mode, but: &[PathBuf], depth: usize) -> bool {
        let Some(own) = self.ground.path(index) else { return false };
        if depth == 0 || dir.is_in_memory() || !within_mode(mode, dir.mode) || !path.starts_with(&own) {
            return false;
        }
        self.hidden(index).iter().map(|below| own.join(below)).all(|hidden| {
            if path.starts_with(&hidden) {
                return false;
            }
            let shows = |(number, wide): (usize, &Dir)| {
                self.ground.lies_in(number, self.ground, index)
                    && self.shows(number, wide, &hidden, mode, but, depth - 1)
            };
            !hidden.starts_with(path) || hides(but, &hidden) || self.policy.dirs.iter().enumerate().any(shows)
        })
    }

    /// What other grants hide of one, by hanging further down in the guest's tree; relative to it.
    fn hidden(&self, index: usize) -> Vec<PathBuf> {
        let at = |dir: &Dir| dir.guest_path().ok().map(PathBuf::from);
        let Some(own) = self.policy.dirs.get(index).and_then(at) else { return Vec::new() };
        let places = self.policy.dirs.iter().filter_map(at);
        places
            .filter_map(|place| place.strip_prefix(&own).ok().map(Path::to_owned))
            .filter(|below| *below != Path::new(""))
            .collect()
    }
}

fn hides(hidden: &[PathBuf], path: &Path) -> bool {
    hidden.iter().any(|above| path.starts_with(above))
}

/// Whether the one mode lets a guest do no more to the host than the other. A private layer is less than to write, and
/// more than to read: what was written may be applied.
fn within_mode(narrow: Mode, wide: Mode) -> bool {
    match (narrow, wide) {
        (Mode::Memory, _) | (_, Mode::Memory) => wide == Mode::Memory && matches!(narrow, Mode::Memory | Mode::Ro),
        (Mode::Ro, _) | (_, Mode::Rw) | (Mode::Overlay, Mode::Overlay) => true,
        (Mode::Rw | Mode::Overlay, _) => false,
    }
}

#[cfg(test)]
#[path = "wider_tests.rs"]
mod tests;
