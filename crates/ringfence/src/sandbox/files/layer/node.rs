//! The tree of a layer: what the guest changed, and the directories on the way there. All else shows through.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::super::handle::{Kind, Stat};
use super::super::times::Times;
use super::bytes::FileNode;
use crate::sandbox::limits::Share;

/// Something in the tree; a second name for it is a second reference.
#[derive(Clone, Debug)]
pub(in super::super) enum Node {
    Dir(Arc<DirNode>),
    File(Arc<FileNode>),
    /// A link, or a pipe, socket or device of the host that was given another name.
    Leaf(Arc<Leaf>),
}

/// A directory.
#[derive(Debug)]
pub(in super::super) struct DirNode {
    /// The directory of the host that shows through, by its path below the layer's; `None` shows nothing.
    pub(in super::super) lower: Option<String>,
    state: Mutex<DirState>,
}

#[derive(Debug)]
pub(in super::super) struct DirState {
    pub(in super::super) entries: BTreeMap<String, Entry>,
    stat: Stat,
    /// Where it hangs; nothing for the root, and for one that was removed.
    parent: Weak<DirNode>,
    /// It was removed and is only still open: nothing can be put into it.
    pub(super) gone: bool,
}

/// What stands at a name instead of what the host has there.
#[derive(Debug)]
pub(in super::super) struct Entry {
    /// Nothing, where the guest took away what the host has.
    pub(in super::super) node: Option<Node>,
    /// What the host had there when it was first seen.
    pub(in super::super) host: Option<Seen>,
    /// The name was counted when it was made.
    pub(super) counted: bool,
    pub(super) _held: Share,
}

/// What a file of the host looked like, so that a later change of it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Seen {
    pub(in super::super) kind: Kind,
    pub(in super::super) size: u64,
    modified: u64,
    dev: u64,
    ino: u64,
}

impl Seen {
    pub(in super::super) fn of(stat: &Stat) -> Self {
        // A directory's size and time change with every name in it, which is not a change of what it is.
        let (size, modified) = if stat.kind == Kind::Dir { (0, 0) } else { (stat.size, stat.modified) };
        Self { kind: stat.kind, size, modified, dev: stat.dev, ino: stat.ino }
    }

    /// The same as text for a name.
    pub(in super::super) fn mark(&self) -> String {
        format!("{:x}-{:x}-{:x}", self.ino, self.size, self.modified)
    }
}

/// A link or a special file.
#[derive(Debug)]
pub(in super::super) struct Leaf {
    stat: Mutex<Stat>,
    /// What a link names.
    pub(in super::super) target: Option<OsString>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds a lock leaves its part of the tree half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Node {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Dir(_) => Kind::Dir,
            Self::File(_) => Kind::File,
            Self::Leaf(leaf) => leaf.stat().kind,
        }
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dir(one), Self::Dir(other)) => Arc::ptr_eq(one, other),
            (Self::File(one), Self::File(other)) => Arc::ptr_eq(one, other),
            (Self::Leaf(one), Self::Leaf(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// One name more, or one less.
    pub(super) fn count_links(&self, more: bool) {
        let count = |links: &mut u64| *links = if more { *links + 1 } else { links.saturating_sub(1) };
        match self {
            Self::Dir(_) => {}
            Self::File(file) => file.count_links(count),
            Self::Leaf(leaf) => count(&mut lock(&leaf.stat).links),
        }
    }
}

impl DirNode {
    pub(super) fn new(stat: Stat, lower: Option<String>, parent: &Weak<Self>) -> Arc<Self> {
        let state = DirState { entries: BTreeMap::new(), stat, parent: parent.clone(), gone: false };
        Arc::new(Self { lower, state: Mutex::new(state) })
    }

    pub(in super::super) fn state(&self) -> MutexGuard<'_, DirState> {
        lock(&self.state)
    }

    pub(in super::super) fn stat(&self) -> Stat {
        self.state().stat
    }

    pub(in super::super) fn set_times(&self, times: Times) {
        times.set(&mut self.state().stat);
    }

    pub(super) fn parent(&self) -> Option<Arc<Self>> {
        self.state().parent.upgrade()
    }

    /// Hangs it somewhere else.
    pub(super) fn moved(&self, parent: &Arc<Self>) {
        self.state().parent = Arc::downgrade(parent);
    }

    /// It has no name any more.
    pub(super) fn removed(&self) {
        let mut state = self.state();
        state.parent = Weak::new();
        state.gone = true;
    }

    /// Whether it is `above`, or lies below it.
    pub(super) fn is_within(self: &Arc<Self>, above: &Arc<Self>) -> bool {
        let mut at = Some(self.clone());
        while let Some(dir) = at {
            if Arc::ptr_eq(&dir, above) {
                return true;
            }
            at = dir.parent();
        }
        false
    }
}

impl DirState {
    /// Its names changed just now.
    pub(super) fn touch(&mut self) {
        let now = super::super::times::nanos_of(SystemTime::now());
        (self.stat.modified, self.stat.changed) = (now, now);
    }
}

impl Drop for DirNode {
    /// A guest makes trees deeper than any stack, so what hangs in it is taken down without going down.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut left: Vec<Entry> = std::mem::take(&mut state.entries).into_values().collect();
        while let Some(entry) = left.pop() {
            if let Some(Node::Dir(dir)) = entry.node
                && let Some(mut dir) = Arc::into_inner(dir)
            {
                let state = dir.state.get_mut().unwrap_or_else(PoisonError::into_inner);
                left.extend(std::mem::take(&mut state.entries).into_values());
            }
        }
    }
}

impl Leaf {
    pub(super) fn new(stat: Stat, target: Option<OsString>) -> Arc<Self> {
        Arc::new(Self { stat: Mutex::new(stat), target })
    }

    pub(in super::super) fn stat(&self) -> Stat {
        *lock(&self.stat)
    }

    pub(in super::super) fn set_times(&self, times: Times) {
        times.set(&mut lock(&self.stat));
    }
}
