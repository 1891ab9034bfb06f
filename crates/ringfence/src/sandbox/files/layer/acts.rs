//! What a guest does to a layer, answered as Linux does.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::sync::Arc;

use super::bytes::{FileNode, OpenFile};
use super::lower::Name;
use super::node::{DirNode, Leaf, Node};
use super::walk::{Follow, Position, Refused, Spot, Thing};
use super::{Layer, new_stat};
use crate::sandbox::errno::Errno;
use crate::sandbox::files::act::OpenOptions;
use crate::sandbox::files::handle::{Kind, Stat};
use crate::sandbox::files::times::Times;

/// What an open gives.
pub(in super::super) enum Opened {
    Dir(Arc<DirNode>),
    File(Arc<OpenFile>),
}

/// A name that an act takes away or puts something at.
struct Named {
    parent: Position,
    name: String,
    thing: Thing,
    slash: bool,
}

impl Layer {
    /// Opens a path; `check` refuses a file of the host that is not what it looked like.
    pub(in super::super) fn open(
        &self,
        base: &Arc<DirNode>,
        path: &str,
        options: OpenOptions,
        guest: &str,
        check: impl FnOnce(&File) -> Result<(), Errno>,
    ) -> Result<Opened, Refused> {
        let anew = options.create && options.exclusive;
        let writes = options.write || options.create || options.truncate;
        let (parent, name, thing, slash) =
            match self.walk(base, path, if anew { Follow::Never } else { Follow::link(options.follow) })? {
                Spot::Dir(_) if anew => return Err(Errno::Exist.into()),
                Spot::Dir(_) if writes && !options.directory => return Err(Errno::Isdir.into()),
                Spot::Dir(at) => return Ok(Opened::Dir(self.settle(at)?)),
                Spot::Name { parent, name, thing, slash } => (parent, name, thing, slash),
            };
        match thing.kind() {
            None if !options.create => Err(Errno::Noent.into()),
            None if slash => Err(Errno::Isdir.into()),
            None => {
                let dir = self.settle(parent)?;
                let file = self.naming(&dir, &name, guest, |layer| {
                    let (file, open) = FileNode::empty(&layer.ground, layer.ino())?;
                    Ok((Node::File(file), open))
                })?;
                Ok(Opened::File(file))
            }
            Some(_) if anew && slash => Err(Errno::Isdir.into()),
            Some(_) if anew => Err(Errno::Exist.into()),
            Some(Kind::Dir) if writes && !options.directory => Err(Errno::Isdir.into()),
            Some(Kind::Dir) => {
                if let Thing::Lower(found) = &thing {
                    self.refuse_kernel_tree(found)?;
                }
                match self.place(&self.settle(parent)?, &name, thing)? {
                    Node::Dir(dir) => Ok(Opened::Dir(dir)),
                    _ => Err(Errno::Notdir.into()),
                }
            }
            Some(Kind::Symlink) => Err(Errno::Loop.into()),
            Some(Kind::Other) => Err(Refused::Denied(Errno::Acces)),
            Some(Kind::File) if options.directory || slash => Err(Errno::Notdir.into()),
            Some(Kind::File) => match self.place(&self.settle(parent)?, &name, thing)? {
                Node::File(file) => Ok(Opened::File(file.open(check)?)),
                _ => Err(Errno::Io.into()),
            },
        }
    }

    /// What a path leads to.
    pub(in super::super) fn stat(&self, base: &Arc<DirNode>, path: &str, follow: bool) -> Result<Stat, Refused> {
        match self.walk(base, path, Follow::link(follow))? {
            Spot::Dir(at) => self.stat_at(&at),
            Spot::Name { thing, slash, .. } if slash && thing.kind().is_some_and(|kind| kind != Kind::Dir) => {
                Err(Errno::Notdir.into())
            }
            Spot::Name { thing, .. } => match thing {
                Thing::Missing => Err(Errno::Noent.into()),
                Thing::Node(node) => Ok(self.stat_of(&node)?),
                Thing::Lower(found) => Ok(self.stat_of_found(&found)),
            },
        }
    }

    fn stat_at(&self, at: &Position) -> Result<Stat, Refused> {
        match (at.names.is_empty(), self.lower(), at.lower()) {
            (false, Some(lower), Some(path)) => {
                let found = lower.look(&path)?.ok_or(Errno::Noent)?;
                Ok(self.stat_of_found(&found))
            }
            _ => Ok(at.node.stat()),
        }
    }

    /// Calls `each` with every name in a directory, in no order; names that are no UTF-8 are left out.
    pub(in super::super) fn names<E: From<Errno>>(
        &self,
        dir: &DirNode,
        mut each: impl FnMut(String, Kind, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut hidden = HashSet::new();
        let mut own = Vec::new();
        for (name, entry) in &dir.state().entries {
            hidden.insert(name.clone());
            if let Some(node) = &entry.node {
                own.push((name.clone(), node.clone()));
            }
        }
        for (name, node) in own {
            let ino = match &node {
                Node::Dir(dir) => dir.stat().ino,
                Node::File(file) => file.ino(),
                Node::Leaf(leaf) => leaf.stat().ino,
            };
            each(name, node.kind(), ino)?;
        }
        if let (Some(lower), Some(path)) = (self.lower(), &dir.lower) {
            lower.names(path, |Name { name, ino, kind }| {
                if let Ok(name) = name.into_string()
                    && !hidden.contains(&name)
                {
                    each(name, kind.unwrap_or(Kind::Other), ino)?;
                }
                Ok::<_, E>(true)
            })?;
        }
        Ok(())
    }

    /// Makes a directory.
    pub(in super::super) fn make_dir(&self, base: &Arc<DirNode>, path: &str, guest: &str) -> Result<(), Refused> {
        let Some(Named { parent, name, thing: Thing::Missing, .. }) = self.named(base, path)? else {
            return Err(Errno::Exist.into());
        };
        let dir = self.settle(parent)?;
        self.naming(&dir, &name, guest, |layer| {
            let stat = Stat { dev: layer.ground.device, ..new_stat(Kind::Dir, layer.ino(), 0) };
            Ok((Node::Dir(DirNode::new(stat, None, &Arc::downgrade(&dir))), ()))
        })
    }

    /// Removes an empty directory.
    pub(in super::super) fn remove_dir(&self, base: &Arc<DirNode>, path: &str) -> Result<(), Refused> {
        if path.ends_with('/') {
            // A slash asks for what is behind a link: where that may not be reached, this is what is told.
            self.stat(base, path, true)?;
        }
        let Some(Named { parent, name, thing, .. }) = self.named(base, path)? else {
            return Err(Errno::Inval.into());
        };
        match thing.kind() {
            None => return Err(Errno::Noent.into()),
            Some(Kind::Dir) => {}
            Some(_) => return Err(Errno::Notdir.into()),
        }
        if let Thing::Lower(found) = &thing {
            self.refuse_kernel_tree(found)?;
        }
        let parent = self.settle(parent)?;
        let Node::Dir(dir) = self.place(&parent, &name, thing)? else { return Err(Errno::Notdir.into()) };
        if !self.is_empty(&dir)? {
            return Err(Errno::Notempty.into());
        }
        self.take_away(&parent, &name)?;
        dir.removed();
        Ok(())
    }

    /// Removes a file or link.
    pub(in super::super) fn unlink(&self, base: &Arc<DirNode>, path: &str) -> Result<(), Refused> {
        let Some(Named { parent, name, thing, slash }) = self.named(base, path)? else {
            return Err(Errno::Isdir.into());
        };
        match thing.kind() {
            None => return Err(Errno::Noent.into()),
            Some(Kind::Dir) => return Err(Errno::Isdir.into()),
            Some(_) if slash => return Err(Errno::Notdir.into()),
            Some(_) => {}
        }
        self.take_away(&self.settle(parent)?, &name)?;
        if let Thing::Node(node) = &thing {
            node.count_links(false);
        }
        Ok(())
    }

    /// Gives something another name, in the place of what has that name.
    pub(in super::super) fn rename(
        &self,
        from: &Arc<DirNode>,
        old: &str,
        to: &Arc<DirNode>,
        new: &str,
    ) -> Result<(), Refused> {
        let (Some(old), Some(new)) = (self.named(from, old)?, self.named(to, new)?) else {
            return Err(Errno::Busy.into());
        };
        let is_dir = match old.thing.kind() {
            None => return Err(Errno::Noent.into()),
            Some(kind) => kind == Kind::Dir,
        };
        if !is_dir && (old.slash || new.slash) {
            return Err(Errno::Notdir.into());
        }
        let old_parent = self.settle(old.parent)?;
        let node = self.place(&old_parent, &old.name, old.thing)?;
        let new_parent = self.settle(new.parent)?;
        if let Node::Dir(dir) = &node
            && new_parent.is_within(dir)
        {
            return Err(Errno::Inval.into());
        }
        // Placing the old one may have made what the new name leads to.
        let replaced = match self.look(&Position { node: new_parent.clone(), names: Vec::new() }, &new.name)? {
            Thing::Missing => None,
            thing => Some(self.place(&new_parent, &new.name, thing)?),
        };
        match &replaced {
            Some(other) if other.is(&node) => return Ok(()),
            // It would take the place of what it is in.
            Some(Node::Dir(other)) if old_parent.is_within(other) => return Err(Errno::Notempty.into()),
            Some(Node::Dir(_)) if !is_dir => return Err(Errno::Isdir.into()),
            Some(Node::Dir(other)) if !self.is_empty(other)? => return Err(Errno::Notempty.into()),
            Some(Node::Dir(_)) | None => {}
            Some(_) if is_dir => return Err(Errno::Notdir.into()),
            Some(_) => {}
        }
        if new_parent.state().gone {
            return Err(Errno::Noent.into());
        }
        let counted = |dir: &DirNode, name: &str| dir.state().entries.get(name).is_some_and(|entry| entry.counted);
        let (moved_counts, replaced_counts) = (counted(&old_parent, &old.name), counted(&new_parent, &new.name));
        self.put(&new_parent, &new.name, Some(node.clone()), moved_counts)?;
        // Its place is kept: this cannot fail, and nothing ever has two names by a half rename.
        self.put(&old_parent, &old.name, None, false)?;
        if replaced_counts {
            self.ground.disk.give_back_name();
        }
        match &replaced {
            Some(Node::Dir(other)) => other.removed(),
            Some(other) => other.count_links(false),
            None => {}
        }
        if let Node::Dir(dir) = &node {
            dir.moved(&new_parent);
        }
        Ok(())
    }

    /// Gives something that is no directory a second name.
    pub(in super::super) fn link(
        &self,
        from: &Arc<DirNode>,
        old: &str,
        to: &Arc<DirNode>,
        new: &str,
        guest: &str,
    ) -> Result<(), Refused> {
        let old = self.named(from, old)?;
        if old.as_ref().is_some_and(|old| old.thing.kind().is_none()) {
            return Err(Errno::Noent.into());
        }
        let Some(Named { parent, name, thing: Thing::Missing, .. }) = self.named(to, new)? else {
            return Err(Errno::Exist.into());
        };
        let Some(old) = old.filter(|old| old.thing.kind() != Some(Kind::Dir)) else { return Err(Errno::Perm.into()) };
        let node = self.place(&self.settle(old.parent)?, &old.name, old.thing)?;
        let dir = self.settle(parent)?;
        self.naming(&dir, &name, guest, |_| Ok((node.clone(), ())))?;
        node.count_links(true);
        Ok(())
    }

    /// Makes a symbolic link.
    pub(in super::super) fn symlink(
        &self,
        target: &str,
        base: &Arc<DirNode>,
        path: &str,
        guest: &str,
    ) -> Result<(), Refused> {
        let Some(Named { parent, name, thing: Thing::Missing, .. }) = self.named(base, path)? else {
            return Err(Errno::Exist.into());
        };
        let dir = self.settle(parent)?;
        self.naming(&dir, &name, guest, |layer| {
            let stat = new_stat(Kind::Symlink, layer.ino(), target.len() as u64);
            let stat = Stat { dev: layer.ground.device, ..stat };
            Ok((Node::Leaf(Leaf::new(stat, Some(OsString::from(target)))), ()))
        })
    }

    /// What a link names.
    pub(in super::super) fn read_link(&self, base: &Arc<DirNode>, path: &str) -> Result<OsString, Refused> {
        match self.walk(base, path, Follow::Slash)? {
            Spot::Dir(_) => Err(Errno::Inval.into()),
            Spot::Name { thing: Thing::Missing, .. } => Err(Errno::Noent.into()),
            Spot::Name { thing, slash, .. } if slash && thing.kind() != Some(Kind::Dir) => Err(Errno::Notdir.into()),
            Spot::Name { thing, .. } => Ok(thing.target()?),
        }
    }

    /// Sets times by path.
    pub(in super::super) fn set_times(
        &self,
        base: &Arc<DirNode>,
        path: &str,
        follow: bool,
        times: Times,
        check: impl FnOnce(&File) -> Result<(), Errno>,
    ) -> Result<(), Refused> {
        let (parent, name, thing, slash) = match self.walk(base, path, Follow::link(follow))? {
            Spot::Dir(at) => {
                self.settle(at)?.set_times(times);
                return Ok(());
            }
            Spot::Name { parent, name, thing, slash } => (parent, name, thing, slash),
        };
        match thing.kind() {
            None => return Err(Errno::Noent.into()),
            Some(kind) if slash && kind != Kind::Dir => return Err(Errno::Notdir.into()),
            Some(Kind::Other) if follow => return Err(Refused::Denied(Errno::Acces)),
            Some(_) => {}
        }
        match self.place(&self.settle(parent)?, &name, thing)? {
            Node::Dir(dir) => dir.set_times(times),
            Node::File(file) => file.open(check)?.set_times(times, &name)?,
            Node::Leaf(leaf) => leaf.set_times(times),
        }
        Ok(())
    }

    /// The name a path leads to, not followed; `None` for a directory itself.
    fn named(&self, base: &Arc<DirNode>, path: &str) -> Result<Option<Named>, Refused> {
        Ok(match self.walk(base, path, Follow::Never)? {
            Spot::Dir(_) => None,
            Spot::Name { parent, name, thing, slash } => Some(Named { parent, name, thing, slash }),
        })
    }

    /// Makes something that has a name of its own; a full disk refuses it.
    fn naming<T>(
        &self,
        dir: &Arc<DirNode>,
        name: &str,
        guest: &str,
        make: impl FnOnce(&Self) -> Result<(Node, T), Errno>,
    ) -> Result<T, Refused> {
        if dir.state().gone {
            return Err(Errno::Noent.into());
        }
        self.ground.disk.take_name(guest)?;
        let made = make(self).and_then(|(node, made)| {
            self.put(dir, name, Some(node), true)?;
            Ok(made)
        });
        Ok(made.inspect_err(|_| self.ground.disk.give_back_name())?)
    }

    /// Takes a name away.
    fn take_away(&self, dir: &Arc<DirNode>, name: &str) -> Result<(), Errno> {
        let counted = dir.state().entries.get(name).is_some_and(|entry| entry.counted);
        self.put(dir, name, None, false)?;
        if counted {
            self.ground.disk.give_back_name();
        }
        Ok(())
    }

    fn is_empty(&self, dir: &DirNode) -> Result<bool, Errno> {
        let hidden: HashSet<String> = {
            let state = dir.state();
            if state.entries.values().any(|entry| entry.node.is_some()) {
                return Ok(false);
            }
            state.entries.keys().cloned().collect()
        };
        let (Some(lower), Some(path)) = (self.lower(), &dir.lower) else { return Ok(true) };
        let mut empty = true;
        lower.names(path, |Name { name, .. }| {
            empty = name.to_str().is_some_and(|name| hidden.contains(name));
            Ok::<_, Errno>(empty)
        })?;
        Ok(empty)
    }
}
