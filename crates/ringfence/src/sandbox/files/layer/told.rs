//! A layer told to another process: its tree as data, the bytes of its files as they lie in the private directory.
//!
//! Whoever hears it takes it for a lie until it is known to be a tree that a guest could have made: names that are
//! names, paths that do not climb, directories that hang in one place, and no more bytes than the run was allowed.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::handle::{Kind, Stat};
use super::super::locate::MAX_NAME_BYTES;
use super::bytes::FileNode;
use super::node::{DirNode, Entry, Leaf, Node, Seen};
use super::private::Private;
use super::{Layer, Top, new_stat};
use crate::sandbox::errno::Errno;

/// Bytes copied at one time.
const PIECE_BYTES: usize = 1 << 20;

/// One layer; the first node is its top, and a directory comes before what is in it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Told {
    nodes: Vec<Thing>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Thing {
    Dir {
        lower: Option<String>,
        names: Vec<Named>,
    },
    File {
        lower: Option<String>,
        /// The number of its private copy, and what the host's file looked like when it was made.
        copy: Option<u64>,
        copied: Option<Seen>,
    },
    Link(Target),
    Special,
}

/// A link's target: a guest writes text, and the host what it likes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Target {
    Text(String),
    Bytes(Vec<u8>),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    node: Option<usize>,
    host: Option<Seen>,
}

/// What is heard of another process: where its files are, and how much of them is taken.
pub(in super::super) struct Heard<'a> {
    pub(in super::super) files: &'a Private,
    pub(in super::super) bytes_left: u64,
}

/// Why what was told is not believed.
pub(in super::super) type Disbelief = String;

impl Layer {
    /// Tells it.
    pub(in super::super) fn tell(&self) -> Told {
        let mut told = Telling::default();
        match &self.top {
            Top::Dir(dir) => told.number(&Node::Dir(dir.clone())),
            Top::File(file) => told.number(&Node::File(file.clone())),
        };
        let mut nodes = Vec::new();
        while let Some(node) = told.nodes.get(nodes.len()).cloned() {
            nodes.push(told.tell(&node));
        }
        Told { nodes }
    }

    /// Becomes what was told; it must be new.
    pub(in super::super) fn hear(&self, told: Told, heard: &mut Heard<'_>) -> Result<(), Disbelief> {
        let mut built: Vec<Option<Node>> = vec![None; told.nodes.len()];
        let things: Vec<Option<Thing>> = told.nodes.into_iter().map(Some).collect();
        let mut things = things;
        match (&self.top, things.first_mut().and_then(Option::take)) {
            (Top::File(file), Some(Thing::File { copy, copied, .. })) => {
                let copy = copy.map(|number| self.take_copy(number, heard)).transpose()?;
                file.become_copied(copy, copied);
                return Ok(());
            }
            (Top::Dir(dir), Some(Thing::Dir { names, .. })) => {
                built[0] = Some(Node::Dir(dir.clone()));
                self.hear_names(0, dir, names, &mut things, &mut built, heard)?;
            }
            _ => return Err("its top is something else".into()),
        }
        for number in 1..things.len() {
            if let (Some(Node::Dir(dir)), Some(Thing::Dir { names, .. })) =
                (built[number].clone(), things[number].take())
            {
                self.hear_names(number, &dir, names, &mut things, &mut built, heard)?;
            }
        }
        Ok(())
    }

    fn hear_names(
        &self,
        above: usize,
        dir: &Arc<DirNode>,
        names: Vec<Named>,
        things: &mut [Option<Thing>],
        built: &mut [Option<Node>],
        heard: &mut Heard<'_>,
    ) -> Result<(), Disbelief> {
        for Named { name, node, host } in names {
            if !is_name(&name) {
                return Err("it has a name that is none".into());
            }
            let node = match node {
                Some(number) if number > above && number < built.len() => {
                    Some(self.hear_node(number, dir, things, built, heard)?)
                }
                Some(_) => return Err("it hangs in itself".into()),
                None => None,
            };
            let entry = self.entry(&name, node, host, false).map_err(|_| "it has more names than a guest can make")?;
            if dir.state().entries.insert(name, entry).is_some() {
                return Err("it has a name twice".into());
            }
        }
        Ok(())
    }

    fn hear_node(
        &self,
        number: usize,
        above: &Arc<DirNode>,
        things: &mut [Option<Thing>],
        built: &mut [Option<Node>],
        heard: &mut Heard<'_>,
    ) -> Result<Node, Disbelief> {
        if let Some(node) = &built[number] {
            // A second name, which a directory cannot have.
            return if matches!(node, Node::Dir(_)) {
                Err("a directory is in two places".into())
            } else {
                Ok(node.clone())
            };
        }
        let stat = |kind, size| Stat { dev: self.ground.device, ..new_stat(kind, self.ino(), size) };
        let node = match things[number].as_mut().ok_or("it hangs in itself")? {
            Thing::Dir { lower, .. } => {
                Node::Dir(DirNode::new(stat(Kind::Dir, 0), plain(lower.take())?, &Arc::downgrade(above)))
            }
            Thing::File { lower, copy, copied } => {
                let file = match plain(lower.take())? {
                    Some(path) => FileNode::of_lower(&self.ground, path, &stat(Kind::File, 0)),
                    None if copy.is_none() => return Err("a file has no bytes".into()),
                    None => FileNode::without_bytes(&self.ground, self.ino()),
                };
                let copy = copy.map(|number| self.take_copy(number, heard)).transpose()?;
                file.become_copied(copy, *copied);
                Node::File(file)
            }
            Thing::Link(target) => {
                let target = match target {
                    Target::Text(text) => OsString::from(std::mem::take(text)),
                    Target::Bytes(bytes) => OsString::from_vec(std::mem::take(bytes)),
                };
                let size = target.len() as u64;
                Node::Leaf(Leaf::new(stat(Kind::Symlink, size), Some(target)))
            }
            Thing::Special => Node::Leaf(Leaf::new(stat(Kind::Other, 0), None)),
        };
        built[number] = Some(node.clone());
        Ok(node)
    }

    /// Copies a file of the other process, which may go on writing to its own; our number.
    fn take_copy(&self, number: u64, heard: &mut Heard<'_>) -> Result<u64, Disbelief> {
        let failed = |errno: Errno| format!("a file of it cannot be read: {errno:?}").to_lowercase();
        let from = heard.files.open_made(number).map_err(failed)?;
        let size = from.metadata().map_err(|error| failed(error.into()))?.len();
        heard.bytes_left = heard.bytes_left.checked_sub(size).ok_or("its files are longer than the run's limit")?;
        let (ours, to) = self.ground.private.create().map_err(failed)?;
        copy(&from, &to, size).map_err(|error| failed(error.into()))?;
        Ok(ours)
    }
}

/// Copies so many bytes; zeros take no room.
fn copy(from: &std::fs::File, to: &std::fs::File, size: u64) -> std::io::Result<()> {
    to.set_len(size)?;
    let mut buffer = vec![0; PIECE_BYTES.min(usize::try_from(size).unwrap_or(PIECE_BYTES))];
    let mut done = 0;
    while done < size {
        let left = usize::try_from(size - done).unwrap_or(usize::MAX).min(buffer.len());
        let count = match from.read_at(&mut buffer[..left], done) {
            Ok(0) => break,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if buffer[..count].iter().any(|byte| *byte != 0) {
            to.write_all_at(&buffer[..count], done)?;
        }
        done += count as u64;
    }
    let metadata = from.metadata()?;
    to.set_times(std::fs::FileTimes::new().set_modified(metadata.modified()?))
}

fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= MAX_NAME_BYTES && !name.contains(['/', '\0'])
}

/// A path of names that does not climb.
fn plain(path: Option<String>) -> Result<Option<String>, Disbelief> {
    let is_plain = path.as_ref().is_none_or(|path| path.split('/').all(is_name));
    if is_plain { Ok(path) } else { Err("it shows a path that climbs".into()) }
}

#[derive(Default)]
struct Telling {
    nodes: Vec<Node>,
    numbers: HashMap<*const (), usize>,
}

impl Telling {
    fn number(&mut self, node: &Node) -> usize {
        let which = match node {
            Node::Dir(dir) => Arc::as_ptr(dir).cast::<()>(),
            Node::File(file) => Arc::as_ptr(file).cast(),
            Node::Leaf(leaf) => Arc::as_ptr(leaf).cast(),
        };
        *self.numbers.entry(which).or_insert_with(|| {
            self.nodes.push(node.clone());
            self.nodes.len() - 1
        })
    }

    fn tell(&mut self, node: &Node) -> Thing {
        match node {
            Node::Dir(dir) => {
                let entries: Vec<_> = {
                    let state = dir.state();
                    let told =
                        |(name, Entry { node, host, .. }): (&String, &Entry)| (name.clone(), node.clone(), *host);
                    state.entries.iter().map(told).collect()
                };
                let named = |(name, node, host): (String, Option<Node>, _)| {
                    let node = node.map(|node| self.number(&node));
                    Named { name, node, host }
                };
                Thing::Dir { lower: dir.lower.clone(), names: entries.into_iter().map(named).collect() }
            }
            Node::File(file) => {
                let (copy, copied) = file.copy_told();
                Thing::File { lower: file.lower.clone(), copy, copied }
            }
            Node::Leaf(leaf) => match &leaf.target {
                Some(target) => Thing::Link(match target.clone().into_string() {
                    Ok(text) => Target::Text(text),
                    Err(target) => Target::Bytes(target.into_vec()),
                }),
                None => Thing::Special,
            },
        }
    }
}
