//! What a run changed in its private layers: listed, read, and written to the host where the caller wants it so.
//!
//! Nothing is recorded while the guest runs. The tree it left is compared with the directory below it, so a file that
//! was written and put back is no change, and one that was replaced by another of its name is a changed one.

mod apply;
mod compare;
mod refusals;
mod strays;

use std::os::unix::fs::FileExt;
use std::sync::{Arc, OnceLock};

use self::compare::After;
use super::handle::Kind;
use super::layer::node::Seen;
use super::layer::{Layer, Top};
use crate::error::{Error, Result};
use crate::sandbox::errno::Errno;
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

impl Changes {
    pub(super) fn new(layers: Vec<(String, Arc<Layer>)>) -> Self {
        Self { layers, list: OnceLock::new() }
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
fn bytes(file: &std::fs::File, size: u64) -> std::io::Result<Vec<u8>> {
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
    fn read_host(&self, place: &str) -> Result<Arc<std::fs::File>, Errno> {
        match (&self.top, self.lower()) {
            (Top::Dir(_), Some(lower)) => lower.read(place).map(Arc::new),
            (Top::File(file), _) => file.host(),
            (Top::Dir(_), None) => Err(Errno::Noent),
        }
    }
}
