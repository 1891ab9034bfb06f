//! A private layer: what a guest writes goes into a tree of our own and never to the host, which shows through
//! where nothing was changed.
//!
//! The tree holds names, and only those that were changed or opened; bytes of written files are in one flat private
//! directory of the host ([`private`]), so an open file is a file of the host like any other. Removing what the host
//! has leaves a name without anything behind it; a directory that was moved remembers which directory of the host
//! shows through it ([`node`]).

mod acts;
pub(super) mod bytes;
pub(super) mod lower;
pub(super) mod node;
mod private;
pub(super) mod source;
pub(super) mod told;
mod walk;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use cap_std::fs::Dir;

pub(super) use self::acts::Opened;
use self::bytes::{FileNode, Ground, LowerRoot};
use self::lower::{Found, Lower, below};
use self::node::{DirNode, Entry, Leaf, Node, Seen};
pub(super) use self::private::Private;
use self::source::Source;
pub(super) use self::walk::Refused;
use self::walk::{Position, Thing};
use super::disk::Disk;
use super::handle::{Kind, Stat};
use super::memory::Tree;
use crate::policy::Mode;
use crate::sandbox::errno::Errno;
use crate::sandbox::limits::Allowance;
use crate::sandbox::store::Control;

/// What the host keeps for one name of the tree, in bytes, without the name itself: the entry, its node and both
/// their allocations.
const NODE_BYTES: usize = 512;

/// Numbers of files that the guest makes start here: no file system of the host counts so far.
const FIRST_INO: u64 = 1 << 62;

/// Devices of layers start here.
const FIRST_DEVICE: u64 = 1 << 62;

/// Each layer has as many numbers of files to itself: guests of WASI 0.1 are told of no devices.
const INOS: u64 = 1 << 32;

/// What the layers of one run share.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) private: Arc<Private>,
    pub(super) disk: Disk,
    pub(super) host_bytes: Allowance,
    pub(super) control: Control,
}

/// One grant's private layer, for one run.
#[derive(Debug)]
pub struct Layer {
    pub(super) ground: Arc<Ground>,
    pub(super) top: Top,
    /// What the guest may do there.
    pub(super) mode: Mode,
    host_bytes: Allowance,
    next_ino: AtomicU64,
}

/// What a layer stands for: a directory, or one granted file.
#[derive(Clone, Debug)]
pub(super) enum Top {
    Dir(Arc<DirNode>),
    File(Arc<FileNode>),
}

impl Layer {
    /// A layer over a directory of the host.
    pub(super) fn over_dir(run: &Run, number: u64, dir: Arc<Dir>, has_kernel_tree: bool) -> std::io::Result<Self> {
        let stat = Stat::of_cap(&dir.dir_metadata()?);
        Ok(Self::over(run, number, Lower::new(dir, has_kernel_tree), stat, Mode::Overlay))
    }

    /// A layer over a tree in memory.
    pub(super) fn over_tree(run: &Run, number: u64, tree: &Arc<Tree>, mode: Mode) -> Result<Self, Errno> {
        if tree.is_file() {
            return Self::over_file(run, number, tree.read("")?, None, mode);
        }
        let stat = tree.stat("").ok_or(Errno::Noent)?;
        Ok(Self::over(run, number, Lower::of_tree(tree.clone()), stat, mode))
    }

    fn over(run: &Run, number: u64, lower: Lower, stat: Stat, mode: Mode) -> Self {
        let ground = Self::ground(run, number, Some(LowerRoot::Dir(lower)));
        let root = DirNode::new(Stat { dev: ground.device, ..stat }, Some(String::new()), &Weak::new());
        Self::of(run, ground, Top::Dir(root), mode)
    }

    /// A layer over one file; `place` is where it is on the host.
    pub(super) fn over_file(
        run: &Run,
        number: u64,
        file: Source,
        place: Option<(Arc<Dir>, String)>,
        mode: Mode,
    ) -> Result<Self, Errno> {
        let stat = file.stat()?;
        let place = place.map(|(dir, name)| (Lower::new(dir, false), name));
        let ground = Self::ground(run, number, Some(LowerRoot::File { file, place }));
        let root = Top::File(FileNode::of_lower(&ground, String::new(), &stat));
        Ok(Self::of(run, ground, root, mode))
    }

    fn ground(run: &Run, number: u64, lower: Option<LowerRoot>) -> Arc<Ground> {
        Arc::new(Ground {
            lower,
            private: run.private.clone(),
            disk: run.disk.clone(),
            control: run.control.clone(),
            device: FIRST_DEVICE + number,
        })
    }

    fn of(run: &Run, ground: Arc<Ground>, top: Top, mode: Mode) -> Self {
        let next_ino = AtomicU64::new(FIRST_INO + (ground.device - FIRST_DEVICE) * INOS + 1);
        Self { ground, top, mode, host_bytes: run.host_bytes.clone(), next_ino }
    }

    /// The directory that shows through.
    pub(super) fn lower(&self) -> Option<&Lower> {
        match &self.ground.lower {
            Some(LowerRoot::Dir(lower)) => Some(lower),
            _ => None,
        }
    }

    /// The directory of the host that changes are applied to.
    pub(super) fn host(&self) -> Option<&Lower> {
        match &self.ground.lower {
            Some(LowerRoot::Dir(lower)) if lower.is_of_host() => Some(lower),
            Some(LowerRoot::File { place: Some((lower, _)), .. }) => Some(lower),
            _ => None,
        }
    }

    /// Where a change is below that directory: what a granted file was called there.
    pub(super) fn place_on_host<'a>(&'a self, place: &'a str) -> &'a str {
        match &self.ground.lower {
            Some(LowerRoot::File { place: Some((_, name)), .. }) => name,
            _ => place,
        }
    }

    /// Keeps a copy of a file; its number.
    pub(super) fn keep(&self, file: &Source) -> Result<u64, Errno> {
        self.ground.keep(file)
    }

    /// Opens a copy that is kept.
    pub(super) fn kept(&self, number: u64) -> Result<Source, Errno> {
        self.ground.private.open(number).map(Source::whole)
    }

    fn ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }

    /// The directory of the tree for a position; those of the host on the way there get theirs.
    fn settle(&self, at: Position) -> Result<Arc<DirNode>, Errno> {
        let mut dir = at.node;
        for name in at.names {
            let here = Position { node: dir.clone(), names: Vec::new() };
            let thing = self.look(&here, &name)?;
            match self.place(&dir, &name, thing)? {
                Node::Dir(next) => dir = next,
                // The host put something else there meanwhile.
                _ => return Err(Errno::Notdir),
            }
        }
        Ok(dir)
    }

    /// What is at a name, as a part of the tree.
    fn place(&self, dir: &Arc<DirNode>, name: &str, thing: Thing) -> Result<Node, Errno> {
        let found = match thing {
            Thing::Node(node) => return Ok(node),
            Thing::Missing => return Err(Errno::Noent),
            Thing::Lower(found) => found,
        };
        let path = below(dir.lower.as_deref().ok_or(Errno::Noent)?, name);
        let stat = self.stat_of_found(&found);
        let node = match stat.kind {
            Kind::Dir => Node::Dir(DirNode::new(stat, Some(path), &Arc::downgrade(dir))),
            Kind::File => Node::File(FileNode::of_lower(&self.ground, path, &stat)),
            Kind::Symlink => Node::Leaf(Leaf::new(stat, Some(Lower::target(&found)?))),
            Kind::Other => Node::Leaf(Leaf::new(stat, None)),
        };
        let entry = self.entry(name, Some(node.clone()), Some(Seen::of(&found.stat)), false)?;
        dir.state().entries.insert(name.to_owned(), entry);
        Ok(node)
    }

    /// Puts something at a name, or nothing; what was there is the caller's to have looked at.
    fn put(&self, dir: &Arc<DirNode>, name: &str, node: Option<Node>, counted: bool) -> Result<(), Errno> {
        let known = dir.state().entries.remove(name);
        let entry = match known {
            // Its place is kept, so this cannot fail.
            Some(entry) => Entry { counted, ..entry },
            None => {
                let host = self.host_at(dir, name)?;
                self.entry(name, None, host, counted)?
            }
        };
        let stays = node.is_some() || entry.host.is_some();
        // What was there may be the last name of a whole tree: that is taken down without our lock.
        let (before, entry) = (entry.node, Entry { node, ..entry });
        let mut state = dir.state();
        if stays {
            state.entries.insert(name.to_owned(), entry);
        }
        state.touch();
        drop(state);
        drop(before);
        Ok(())
    }

    /// What the host has at a name that the tree does not know yet.
    fn host_at(&self, dir: &DirNode, name: &str) -> Result<Option<Seen>, Errno> {
        let (Some(lower), Some(path)) = (self.lower(), &dir.lower) else { return Ok(None) };
        Ok(lower.look(&below(path, name))?.map(|found| Seen::of(&found.stat)))
    }

    fn entry(&self, name: &str, node: Option<Node>, host: Option<Seen>, counted: bool) -> Result<Entry, Errno> {
        let held = self.host_bytes.take((NODE_BYTES + name.len()) as u64).ok_or(Errno::Nomem)?;
        Ok(Entry { node, host, counted, _held: held })
    }

    pub(super) fn stat_of(&self, node: &Node) -> Result<Stat, Errno> {
        match node {
            Node::Dir(dir) => Ok(dir.stat()),
            Node::File(file) => file.stat(),
            Node::Leaf(leaf) => Ok(leaf.stat()),
        }
    }

    /// What is told of something of the host that has no node. A name of the host is a file of its own: what is
    /// written to one of several names of a file is not found under the others.
    fn stat_of_found(&self, found: &Found) -> Stat {
        let links = if found.stat.kind == Kind::Dir { found.stat.links } else { 1 };
        Stat { dev: self.ground.device, links, ..found.stat }
    }
}

/// What is known of something made just now.
fn new_stat(kind: Kind, ino: u64, size: u64) -> Stat {
    let now = super::times::nanos_of(SystemTime::now());
    Stat { kind, dev: 0, ino, links: 1, size, accessed: now, modified: now, changed: now }
}
