//! What a run changed in its private layers: listed, read, and written to the host where the caller wants it so.
//!
//! Nothing is recorded while the guest runs. The tree it left is compared with the directory below it, so a file that
//! was written and put back is no change, and one that was replaced by another of its name is a changed one.

mod apply;
mod compare;
mod refusals;
mod strays;

use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use self::compare::After;
use super::disk::Disk;
use super::grants::{Grants, Mount, Root};
use super::handle::Kind;
use super::layer::node::Seen;
use super::layer::source::Source;
use super::layer::told::{Heard, Told};
use super::layer::{self, Layer, Private, Top};
use crate::error::{Error, Result};
use crate::policy::{Limits, Mode, OnDenied};
use crate::sandbox::denials::Denials;
use crate::sandbox::errno::Errno;
use crate::sandbox::limits::Allowance;
use crate::sandbox::store::Control;
use crate::text;

/// Longest path that is listed, in bytes, as on Linux: no program of the host could name a longer one.
const MAX_LISTED_BYTES: usize = 4096;

/// Most changes that are listed: a guest can move a directory of millions with one call.
const MAX_LISTED: usize = 1_000_000;

/// What became of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// It was there and is gone.
    Deleted,
    /// It was not there.
    Added,
    /// It has other bytes, or names another place.
    Modified,
}

impl Act {
    /// The word in the result.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Added => "added",
            Self::Modified => "modified",
        }
    }
}

/// One name that is not as it was.
#[derive(Clone, Debug)]
pub struct Change {
    /// Where the guest has it: an absolute path.
    pub path: String,
    /// What became of it.
    pub act: Act,
    /// What it is, or was.
    pub kind: Kind,
    /// Bytes it had; of a directory none.
    pub size_before: Option<u64>,
    /// Bytes it has now.
    pub size: Option<u64>,
    /// Which layer.
    layer: usize,
    /// Where it is below that layer's directory of the host.
    place: String,
    /// What the host had there when it was first seen.
    before: Option<Seen>,
    after: Option<After>,
}

/// The private layers of a run that has ended, and what is different in them. Their bytes live as long as this does.
#[derive(Debug)]
pub struct Changes {
    layers: Vec<(String, Arc<Layer>)>,
    list: OnceLock<Result<Vec<Change>>>,
}

/// The private layers of a run whose changes are told, each with where it hangs.
pub(super) fn layers(mounts: &[Mount]) -> Vec<(String, Arc<Layer>)> {
    let layer = |mount: &Mount| match &mount.root {
        Root::Layer(layer) if layer.mode != Mode::Ro => Some((mount.at.clone(), layer.clone())),
        _ => None,
    };
    mounts.iter().filter_map(layer).collect()
}

impl Changes {
    pub(super) fn new(layers: Vec<(String, Arc<Layer>)>) -> Self {
        Self { layers, list: OnceLock::new() }
    }

    /// Those of a run that nobody can tell of any more.
    pub(crate) fn unknown(why: &str) -> Self {
        let error = Error::host(
            "what the run changed is not known",
            why,
            "run again with a longer `wall`, or without `isolation`, where a private layer outlives its guest",
        );
        Self { layers: Vec::new(), list: OnceLock::from(Err(error)) }
    }

    /// Tells them to the process that made the directory they are in.
    pub(crate) fn hand_over(&self) -> Result<()> {
        let Some((_, first)) = self.layers.first() else { return Ok(()) };
        let told: Vec<_> = self.layers.iter().map(|(_, layer)| layer.tell()).collect();
        let told = serde_json::to_vec(&told).map_err(|error| error.to_string());
        let handed = told.and_then(|told| {
            let handed = first.ground.private.hand_over(&told);
            handed.map_err(|errno| format!("the host answered {errno:?}").to_lowercase())
        });
        handed.map_err(|why| {
            Error::host("what the run changed cannot be told", why, "free space in the temporary directory")
        })
    }

    /// What the run of another process changed in private layers over our grants, heard of it in its directory.
    ///
    /// All bytes are copied: whatever has escaped there may go on writing to its own. Fails with why it is not believed.
    pub(crate) fn hear(
        grants: &Grants,
        dir: OwnedFd,
        limits: &Limits,
        control: Control,
    ) -> std::result::Result<Self, String> {
        let files = Private::of_handle(dir);
        // As much as the tree takes in memory, each name and number written out.
        let most = limits.host_bytes.0.saturating_mul(4);
        let told =
            files.told(most).map_err(|errno| format!("what it changed cannot be read: {errno:?}").to_lowercase())?;
        let told: Vec<Told> = serde_json::from_slice(&told).map_err(|_| "what it changed cannot be understood")?;
        let denials = Denials::new(Instant::now(), OnDenied::Continue);
        let run = layer::Run {
            private: Arc::default(),
            disk: Disk::new(limits, denials),
            host_bytes: Allowance::new(limits.host_bytes.0),
            control,
        };
        let layers = layers(&grants.layered(&run).map_err(|error| error.parts().why.clone())?);
        if layers.len() != told.len() {
            return Err("it tells of other private layers than it has".into());
        }
        let mut heard = Heard { files: &files, bytes_left: limits.disk.0 };
        for ((_, layer), told) in layers.iter().zip(told) {
            layer.hear(told, &mut heard).map_err(|why| format!("what it changed is no tree: {why}"))?;
        }
        Ok(Self::new(layers))
    }

    /// What is different, sorted by path; compared when it is first asked for.
    pub fn list(&self) -> Result<&[Change]> {
        let list = self.list.get_or_init(|| {
            let mut list = Vec::new();
            for (number, (at, layer)) in self.layers.iter().enumerate() {
                compare::compare(number, at, layer, &mut list)?;
            }
            list.sort_by(|one: &Change, other| (&one.path, one.act).cmp(&(&other.path, other.act)));
            Ok(list)
        });
        list.as_deref().map_err(Clone::clone)
    }

    /// What the run left in a file that it added or modified.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        let change = self.file(path, |change| matches!(change.after, Some(After::File(_) | After::Lower(_))))?;
        let (_, layer) = &self.layers[change.layer];
        let read = change.after.as_ref().map(|after| after.open(layer)).transpose();
        let file = read.map_err(|errno| unreadable(path, errno))?;
        let read = file.map(|file| bytes(&file, change.size.unwrap_or(0))).transpose();
        Ok(read.map_err(|error| Error::system(shown(path), &error, RUN_AGAIN))?.unwrap_or_default())
    }

    /// What the host has in a file that was modified or deleted, as long as nobody changed it since.
    pub fn read_before(&self, path: &str) -> Result<Vec<u8>> {
        let change = self.file(path, |change| change.before.is_some_and(|before| before.kind == Kind::File))?;
        let (_, layer) = &self.layers[change.layer];
        let file = layer.read_host(&change.place).map_err(|errno| unreadable(path, errno))?;
        bytes(&file, change.size_before.unwrap_or(0)).map_err(|error| Error::system(shown(path), &error, RUN_AGAIN))
    }

    /// Removes the bytes from the disk; the list stays.
    pub fn close(&self) {
        for (_, layer) in &self.layers {
            layer.ground.private.close();
        }
    }

    /// What a link names that was added or modified.
    pub fn target(&self, path: &str) -> Option<String> {
        let change = self.list().ok()?.iter().find(|change| change.path == path && change.act != Act::Deleted)?;
        match &change.after {
            Some(After::Link(target)) => Some(target.to_string_lossy().into_owned()),
            _ => None,
        }
    }

    fn file(&self, path: &str, is: impl Fn(&Change) -> bool) -> Result<&Change> {
        let found = self.list()?.iter().find(|change| change.path == path && change.kind == Kind::File && is(change));
        found.ok_or_else(|| {
            Error::host(
                format!("`{}` is not a file that the run changed", text::quote(path)),
                "only the bytes of changed files are kept",
                "look at `result.changes` for those there are",
            )
        })
    }
}

const RUN_AGAIN: &str = "run the program again, or look at the host's own copy";

fn shown(path: &str) -> String {
    format!("cannot read `{}`", text::quote(path))
}

fn unreadable(path: &str, errno: Errno) -> Error {
    Error::host(shown(path), format!("{errno:?}").to_lowercase(), RUN_AGAIN)
}

/// All bytes of a file; one that grows meanwhile is read as far as it went.
fn bytes(file: &Source, size: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

impl Layer {
    /// Reads a file of the host below this layer.
    fn read_host(&self, place: &str) -> Result<Source, Errno> {
        match (&self.top, self.lower()) {
            (Top::Dir(_), Some(lower)) => lower.read(place),
            (Top::File(file), _) => file.host(),
            (Top::Dir(_), None) => Err(Errno::Noent),
        }
    }
}

#[cfg(test)]
#[path = "heard_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
