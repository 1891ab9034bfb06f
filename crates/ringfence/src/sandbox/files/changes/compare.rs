//! The tree that a guest left, beside the directory it started from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

use super::{Act, Change, MAX_LISTED, MAX_LISTED_BYTES};
use crate::error::{Error, Result};
use crate::sandbox::errno::Errno;
use crate::sandbox::files::handle::{Kind, Stat};
use crate::sandbox::files::layer::bytes::FileNode;
use crate::sandbox::files::layer::lower::{Lower, below};
use crate::sandbox::files::layer::node::{DirNode, Node, Seen};
use crate::sandbox::files::layer::source::Source;
use crate::sandbox::files::layer::{Layer, Top};

/// Bytes compared at one time.
const PIECE_BYTES: usize = 64 << 10;

/// What stands at a name now.
#[derive(Clone, Debug)]
pub(super) enum After {
    /// A directory of the tree.
    Dir(Arc<DirNode>),
    /// Something of the host at this path, seen through a directory that was moved here.
    Lower(String),
    File(Arc<FileNode>),
    Link(OsString),
    /// A pipe, socket or device of the host under another name.
    Special,
}

impl After {
    fn of(node: Node) -> Self {
        match node {
            Node::Dir(dir) => Self::Dir(dir),
            Node::File(file) => Self::File(file),
            Node::Leaf(leaf) => leaf.target.clone().map_or(Self::Special, Self::Link),
        }
    }

    /// The file of the host that its bytes are still in.
    pub(super) fn source(&self) -> Option<&str> {
        match self {
            Self::File(file) if !file.is_copied() => file.lower.as_deref(),
            Self::Lower(path) => Some(path),
            _ => None,
        }
    }

    /// Opens a file to read what it has now.
    pub(super) fn open(&self, layer: &Layer) -> Result<Source, Errno> {
        match self {
            Self::File(file) => file.bytes(),
            Self::Lower(path) => layer.lower().ok_or(Errno::Noent)?.read(path),
            _ => Err(Errno::Isdir),
        }
    }
}

/// One name to be compared: its place, what was there, and what is.
struct Pair {
    place: String,
    before: Option<Seen>,
    after: Option<(After, Stat)>,
}

struct Comparing<'a> {
    number: usize,
    at: &'a str,
    layer: &'a Layer,
    list: &'a mut Vec<Change>,
}

/// Adds what is different in one layer to the list.
pub(super) fn compare(number: usize, at: &str, layer: &Layer, list: &mut Vec<Change>) -> Result<()> {
    let mut comparing = Comparing { number, at, layer, list };
    let failed = |errno: Errno| {
        let what = format!("what the run changed at `/{at}` cannot be told");
        let fix = "see whether the granted directory is still there and readable";
        Error::host(what, format!("the host answered {errno:?}").to_lowercase(), fix)
    };
    match &layer.top {
        Top::Dir(dir) => {
            let mut left = Vec::new();
            comparing.changed_names("", dir, &mut left).map_err(failed)?;
            while let Some(pair) = left.pop() {
                comparing.pair(pair, &mut left).map_err(failed)?;
                comparing.refuse_too_many()?;
            }
        }
        Top::File(file) => {
            let seen = file.copied();
            let after = (After::File(file.clone()), file.stat().map_err(failed)?);
            let pair = Pair { place: String::new(), before: seen, after: Some(after) };
            if seen.is_some() {
                comparing.pair(pair, &mut Vec::new()).map_err(failed)?;
            }
        }
    }
    Ok(())
}

impl Comparing<'_> {
    fn lower(&self) -> Option<&Lower> {
        self.layer.lower()
    }

    /// The names of a directory that still shows what was there: only those the tree has can differ.
    fn changed_names(&self, place: &str, dir: &Arc<DirNode>, left: &mut Vec<Pair>) -> Result<(), Errno> {
        let entries: Vec<_> = {
            let state = dir.state();
            state.entries.iter().map(|(name, entry)| (name.clone(), entry.host, entry.node.clone())).collect()
        };
        for (name, before, node) in entries {
            let after = node.map(|node| Ok::<_, Errno>((self.layer.stat_of(&node)?, After::of(node)))).transpose()?;
            let after = after.map(|(stat, after)| (after, stat));
            left.push(Pair { place: below(place, &name), before, after });
        }
        Ok(())
    }

    fn pair(&mut self, pair: Pair, left: &mut Vec<Pair>) -> Result<(), Errno> {
        let Pair { place, before, after } = pair;
        let dir_before = before.is_some_and(|before| before.kind == Kind::Dir);
        match (before, after) {
            (None, None) => {}
            (Some(before), None) => {
                self.note(&place, Act::Deleted, before.kind, Some(before), None);
                if dir_before {
                    self.names_of_both(&place, None, left)?;
                }
            }
            (None, Some((after, stat))) => {
                self.note(&place, Act::Added, stat.kind, None, Some((after.clone(), stat)));
                if stat.kind == Kind::Dir {
                    self.names_after(&place, &after, left)?;
                }
            }
            (Some(before), Some((after, stat))) if before.kind != stat.kind => {
                left.push(Pair { place: place.clone(), before: Some(before), after: None });
                left.push(Pair { place, before: None, after: Some((after, stat)) });
            }
            (Some(before), Some((after, stat))) => match (&after, stat.kind) {
                (After::Dir(dir), _) if dir.lower.as_deref() == Some(&place) => {
                    self.changed_names(&place, dir, left)?;
                }
                (After::Lower(path), _) if *path == place => {}
                (_, Kind::Dir) => self.names_of_both(&place, Some(&after), left)?,
                (After::File(file), _) if !file.is_copied() && file.lower.as_deref() == Some(&place) => {}
                (_, Kind::File) => {
                    // What the copy was made of is what the guest saw.
                    let seen = match &after {
                        After::File(file) if file.lower.as_deref() == Some(&place) => file.copied(),
                        _ => None,
                    };
                    if !self.same_bytes(&place, before, &after, &stat)? {
                        self.note(&place, Act::Modified, Kind::File, seen.or(Some(before)), Some((after, stat)));
                    }
                }
                (After::Link(target), _) => {
                    let found = self.lower().map(|lower| lower.look(&place)).transpose()?.flatten();
                    let old = found.map(|found| Lower::target(&found)).transpose().unwrap_or(None);
                    if old.as_ref() != Some(target) {
                        self.note(&place, Act::Modified, Kind::Symlink, Some(before), Some((after, stat)));
                    }
                }
                (After::Special, _) => {}
                _ => self.note(&place, Act::Modified, stat.kind, Some(before), Some((after, stat))),
            },
        }
        Ok(())
    }

    /// The names of a directory that the guest made or moved.
    fn names_after(&self, place: &str, after: &After, left: &mut Vec<Pair>) -> Result<(), Errno> {
        for (name, after) in self.after_names(after)? {
            left.push(Pair { place: below(place, &name), before: None, after: Some(after) });
        }
        Ok(())
    }

    /// The names the host has in a directory, each beside what stands there now.
    fn names_of_both(&self, place: &str, after: Option<&After>, left: &mut Vec<Pair>) -> Result<(), Errno> {
        let mut now = after.map(|after| self.after_names(after)).transpose()?.unwrap_or_default();
        if let Some(lower) = self.lower() {
            let mut names = Vec::new();
            lower.names(place, |entry| {
                names.extend(entry.name.into_string());
                Ok::<_, Errno>(names.len() < MAX_LISTED)
            })?;
            for name in names {
                let at = below(place, &name);
                let before = lower.look_on_mount(&at)?.map(|found| Seen::of(&found.stat));
                left.push(Pair { place: at, before, after: now.remove(&name) });
            }
        }
        for (name, after) in now {
            left.push(Pair { place: below(place, &name), before: None, after: Some(after) });
        }
        Ok(())
    }

    /// What a directory has now.
    fn after_names(&self, after: &After) -> Result<BTreeMap<String, (After, Stat)>, Errno> {
        let mut names = BTreeMap::new();
        let mut hidden = Vec::new();
        let path = match after {
            After::Dir(dir) => {
                let entries: Vec<_> =
                    dir.state().entries.iter().map(|(name, entry)| (name.clone(), entry.node.clone())).collect();
                for (name, node) in entries {
                    hidden.push(name.clone());
                    if let Some(node) = node {
                        let stat = self.layer.stat_of(&node)?;
                        names.insert(name, (After::of(node), stat));
                    }
                }
                dir.lower.clone()
            }
            After::Lower(path) => Some(path.clone()),
            _ => None,
        };
        hidden.sort_unstable();
        if let (Some(lower), Some(path)) = (self.lower(), path) {
            let mut shown = Vec::new();
            lower.names(&path, |entry| {
                shown.extend(entry.name.into_string().ok().filter(|name| hidden.binary_search(name).is_err()));
                Ok::<_, Errno>(shown.len() < MAX_LISTED)
            })?;
            for name in shown {
                let at = below(&path, &name);
                let Some(found) = lower.look_on_mount(&at)? else { continue };
                let after = match found.stat.kind {
                    Kind::Symlink => After::Link(Lower::target(&found)?),
                    Kind::Other => After::Special,
                    Kind::Dir | Kind::File => After::Lower(at),
                };
                names.insert(name, (after, found.stat));
            }
        }
        Ok(names)
    }

    fn same_bytes(&self, place: &str, before: Seen, after: &After, stat: &Stat) -> Result<bool, Errno> {
        if before.size != stat.size {
            return Ok(false);
        }
        let (Ok(old), new) = (self.layer.read_host(place), after.open(self.layer)?) else { return Ok(false) };
        Ok(same(&old, &new)?)
    }

    fn note(&mut self, place: &str, act: Act, kind: Kind, before: Option<Seen>, after: Option<(After, Stat)>) {
        let sized = kind != Kind::Dir;
        let path = match (self.at, place) {
            (at, "") => format!("/{at}"),
            ("", place) => format!("/{place}"),
            (at, place) => format!("/{at}/{place}"),
        };
        self.list.push(Change {
            path,
            act,
            kind,
            size_before: before.filter(|_| sized).map(|before| before.size),
            size: after.as_ref().filter(|_| sized).map(|(_, stat)| stat.size),
            layer: self.number,
            place: place.to_owned(),
            before,
            after: after.map(|(after, _)| after),
        });
    }

    fn refuse_too_many(&self) -> Result<()> {
        let long = self.list.last().is_some_and(|change| change.path.len() > MAX_LISTED_BYTES);
        if !long && self.list.len() <= MAX_LISTED {
            return Ok(());
        }
        Err(Error::host(
            "what the run changed cannot be listed",
            if long {
                format!("it made a path longer than {MAX_LISTED_BYTES} bytes, which nothing on the host can name")
            } else {
                format!("it is more than {MAX_LISTED} names")
            },
            "treat the run as hostile, or lower `Limits(files=…)` so that it is stopped earlier",
        ))
    }
}

/// Whether two files have the same bytes.
pub(super) fn same(one: &Source, other: &Source) -> std::io::Result<bool> {
    let (mut left, mut right) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    let mut at = 0;
    loop {
        let (count, found) = (fill(one, &mut left, at)?, fill(other, &mut right, at)?);
        if left[..count] != right[..found] {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
        at += count as u64;
    }
}

/// Reads until the buffer is full or the file ends.
pub(super) fn fill(file: &Source, buffer: &mut [u8], at: u64) -> std::io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], at + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
