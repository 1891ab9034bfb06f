//! From a path to the place in a layer it leads to: name by name, every link followed by us and never out of it.

use std::ffi::OsString;
use std::sync::Arc;

use super::Layer;
use super::lower::{Found, Lower, below};
use super::node::{DirNode, Node};
use crate::sandbox::errno::Errno;
use crate::sandbox::files::handle::Kind;
use crate::sandbox::files::locate::MAX_NAME_BYTES;

/// Links that one path leads through, as on Linux.
const MAX_LINKS: u32 = 40;

/// When the last name of a path is followed, if it is a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    Link,
    /// Only with a slash behind it.
    Slash,
    Never,
}

impl Follow {
    pub(super) fn link(follow: bool) -> Self {
        if follow { Self::Link } else { Self::Slash }
    }
}

/// Why an act on a layer did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Refused {
    /// As a host would answer.
    Errno(Errno),
    /// By us: it is told among the denials too.
    Denied(Errno),
}

impl<E: Into<Errno>> From<E> for Refused {
    fn from(error: E) -> Self {
        match error.into() {
            // Onto another mount.
            Errno::Xdev => Self::Denied(Errno::Perm),
            errno => Self::Errno(errno),
        }
    }
}

/// A directory: one of the tree, or one of the host below it that nothing was changed in.
#[derive(Clone, Debug)]
pub(super) struct Position {
    pub(super) node: Arc<DirNode>,
    /// Names of the host's directories from there on.
    pub(super) names: Vec<String>,
}

/// Where a path leads.
pub(super) enum Spot {
    /// To a directory itself, by `.` or `..`.
    Dir(Position),
    /// To a name in a directory.
    Name { parent: Position, name: String, thing: Thing, slash: bool },
}

/// What is at a name.
pub(super) enum Thing {
    Missing,
    Node(Node),
    Lower(Found),
}

impl Thing {
    pub(super) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Missing => None,
            Self::Node(node) => Some(node.kind()),
            Self::Lower(found) => Some(found.stat.kind),
        }
    }

    pub(super) fn target(&self) -> Result<OsString, Errno> {
        match self {
            Self::Node(Node::Leaf(leaf)) => leaf.target.clone().ok_or(Errno::Inval),
            Self::Lower(found) if found.stat.kind == Kind::Symlink => Lower::target(found),
            _ => Err(Errno::Inval),
        }
    }
}

impl Position {
    /// The path of the host that shows through here, if one does.
    pub(super) fn lower(&self) -> Option<String> {
        let lower = self.node.lower.as_deref()?;
        Some(self.names.iter().fold(lower.to_owned(), |path, name| below(&path, name)))
    }
}

impl Layer {
    /// Walks a path from a directory.
    pub(super) fn walk(&self, base: &Arc<DirNode>, path: &str, follow: Follow) -> Result<Spot, Refused> {
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        // The directories above the one we are in, which never lead above where we started.
        let mut above: Vec<Arc<DirNode>> = Vec::new();
        let mut at = Position { node: base.clone(), names: Vec::new() };
        let mut links = 0;
        while let Some(name) = rest.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    if at.names.pop().is_none() {
                        at.node = above.pop().ok_or(Refused::Denied(Errno::Perm))?;
                    }
                    continue;
                }
                _ if name.len() > MAX_NAME_BYTES => return Err(Errno::Nametoolong.into()),
                _ => {}
            }
            let slash = !rest.is_empty() && rest.iter().all(String::is_empty);
            let last = rest.is_empty() || slash;
            if !last && let Some(position) = self.leap(&at, &name, &mut rest)? {
                at = position;
                continue;
            }
            let thing = self.look(&at, &name)?;
            match thing.kind() {
                Some(Kind::Symlink) if !last || follow == Follow::Link || follow == Follow::Slash && slash => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::Loop.into());
                    }
                    let target = thing.target()?.into_string().map_err(|_| Errno::Ilseq)?;
                    if target.starts_with('/') {
                        return Err(Refused::Denied(Errno::Perm));
                    }
                    rest.extend(target.split('/').rev().map(str::to_owned));
                }
                _ if last => return Ok(Spot::Name { parent: at, name, thing, slash }),
                Some(Kind::Dir) => match thing {
                    Thing::Node(Node::Dir(dir)) => {
                        // What is below a position is of the host alone, so here nothing is.
                        above.push(std::mem::replace(&mut at.node, dir));
                    }
                    Thing::Lower(found) => {
                        self.refuse_kernel_tree(&found)?;
                        at.names.push(name);
                    }
                    _ => return Err(Errno::Io.into()),
                },
                Some(_) => return Err(Errno::Notdir.into()),
                None => return Err(Errno::Noent.into()),
            }
        }
        Ok(Spot::Dir(at))
    }

    /// What is at a name in a directory.
    pub(super) fn look(&self, at: &Position, name: &str) -> Result<Thing, Errno> {
        if at.names.is_empty()
            && let Some(entry) = at.node.state().entries.get(name)
        {
            return Ok(entry.node.clone().map_or(Thing::Missing, Thing::Node));
        }
        let (Some(lower), Some(path)) = (self.lower(), at.lower()) else { return Ok(Thing::Missing) };
        let Some(found) = lower.look(&below(&path, name))? else { return Ok(Thing::Missing) };
        Ok(Thing::Lower(found))
    }

    /// Goes down the host's directories in one step, where all names but the last are plain and none is a link.
    fn leap(&self, at: &Position, name: &str, rest: &mut Vec<String>) -> Result<Option<Position>, Errno> {
        let Some(lower) = self.lower().filter(|lower| lower.is_plain()) else { return Ok(None) };
        let Some(path) = at.lower() else { return Ok(None) };
        // The last name is looked at by itself.
        let Some(last) = rest.iter().position(|name| !name.is_empty()) else { return Ok(None) };
        let plain = rest.iter().rev().take_while(|name| !matches!(name.as_str(), "" | "." | "..")).count();
        let down = plain.min(rest.len() - 1 - last);
        if down == 0 || at.names.is_empty() && at.node.state().entries.contains_key(name) {
            return Ok(None);
        }
        let names = || rest.iter().rev().take(down);
        let path = names().fold(below(&path, name), |path, name| below(&path, name));
        match lower.look(&path) {
            Ok(Some(found)) if found.stat.kind == Kind::Dir => {
                let mut position = at.clone();
                position.names.push(name.to_owned());
                position.names.extend(names().cloned());
                rest.truncate(rest.len() - down);
                Ok(Some(position))
            }
            // A link on the way, or nothing there: name by name it is told which.
            _ => Ok(None),
        }
    }

    /// The kernel's own trees are not gone into.
    pub(super) fn refuse_kernel_tree(&self, found: &Found) -> Result<(), Refused> {
        match self.lower() {
            Some(lower) if lower.is_kernel_tree(found) => Err(Refused::Denied(Errno::Perm)),
            _ => Ok(()),
        }
    }
}
