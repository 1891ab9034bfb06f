//! From a handle and a guest's path to the grant it lies in.

use std::sync::Arc;

use cap_std::fs::Dir;

use super::grants::Root;
use super::handle::{DirHandle, Place};
use super::layer::bytes::FileNode;
use super::layer::node::DirNode;
use super::layer::{Layer, Top};
use super::{Files, is_below};
use crate::policy::Mode;
use crate::sandbox::errno::Errno;

/// Longest path a guest may name, in bytes, as on Linux.
pub const MAX_PATH_BYTES: usize = 4096;

/// Longest name, in bytes, as on Linux.
pub(super) const MAX_NAME_BYTES: usize = 255;

/// Most names one below the other in a guest path. Each open file keeps its path, and a guest goes down for ever by
/// handles; no program of the host could name what lies deeper than twice this.
pub(super) const MAX_DEPTH: usize = 1024;

/// What an act wants; it is the kind of the denial when it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    Read,
    Write,
}

impl Intent {
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Where a path leads.
pub(super) enum Target {
    /// Into a host directory; `path` is resolved beneath it and never empty.
    Host { dir: Arc<Dir>, mode: Mode, path: String, guest: String },
    /// To a granted directory itself, or to one that exists only in the guest's view.
    Dir(DirHandle),
    /// To a granted file itself.
    File(FileMount),
    /// Into a private layer; `path` is walked from `dir` and never empty.
    Layer { layer: Arc<Layer>, dir: Arc<DirNode>, path: String, guest: String },
}

/// A granted file.
pub(super) struct FileMount {
    pub(super) file: Granted,
    pub(super) mode: Mode,
    pub(super) guest: String,
}

/// What stands behind a granted file.
pub(super) enum Granted {
    Host(Arc<std::fs::File>),
    Layer(Arc<FileNode>),
    /// Nothing: it reads as empty, and what is written is gone.
    Null,
}

/// The null device, which is there without a grant: programs open it as a matter of course, and it leads nowhere. A
/// grant at or above it takes its place.
const NULL_DEVICE: &str = "dev/null";

impl Files {
    /// Walks a path from a directory the guest holds.
    pub(super) fn locate(&mut self, base: &DirHandle, path: &str, intent: Intent) -> Result<Target, Errno> {
        self.check_path(path)?;
        if path.starts_with('/') {
            self.denials.note(intent.kind(), path);
            return Err(Errno::Perm);
        }
        let target = self.lead(base, path, intent)?;
        self.check_depth(&target)?;
        if self.grants.has_kernel_tree_below()
            && let Target::Host { dir, path, guest, .. } = &target
        {
            self.refuse_kernel_tree(dir, path, guest, intent)?;
        }
        Ok(target)
    }

    /// Refuses what is no path on any host, before anything is held for it: a guest names the length.
    pub(super) fn check_path(&self, path: &str) -> Result<(), Errno> {
        let checked = check_path(path);
        if checked == Err(Errno::Nametoolong) {
            self.denials.note_limit("path", path);
        }
        checked
    }

    /// Refuses what lies deeper than any path is long.
    fn check_depth(&self, target: &Target) -> Result<(), Errno> {
        let guest = match target {
            Target::Host { guest, .. } | Target::Layer { guest, .. } => guest,
            Target::Dir(_) | Target::File(_) => return Ok(()),
        };
        if guest.len() > 2 * MAX_DEPTH && guest.bytes().filter(|byte| *byte == b'/').count() >= MAX_DEPTH {
            self.denials.note_limit("path", &format!("/{guest}"));
            return Err(Errno::Nametoolong);
        }
        Ok(())
    }

    fn lead(&mut self, base: &DirHandle, path: &str, intent: Intent) -> Result<Target, Errno> {
        if let Place::Host { dir, mode } = &base.place
            && !self.has_mount_below(&base.guest)
            && !base.guest.is_empty()
        {
            let guest = resolved(&base.guest, path);
            return Ok(Target::Host { dir: dir.clone(), mode: *mode, path: path.to_owned(), guest });
        }
        if let Place::Layer { layer, dir } = &base.place
            && !self.has_mount_below(&base.guest)
            && !base.guest.is_empty()
        {
            let guest = resolved(&base.guest, path);
            return Ok(Target::Layer { layer: layer.clone(), dir: dir.clone(), path: path.to_owned(), guest });
        }
        self.walk(base, path, intent)
    }

    /// The same through the virtual tree, where names may cross from one grant into another.
    fn walk(&mut self, base: &DirHandle, path: &str, intent: Intent) -> Result<Target, Errno> {
        let mut guest = base.guest.clone();
        // The grant we are in, and the names walked since its root.
        let mut inside = match &base.place {
            Place::Host { dir, mode } => Some((Inside::Dir(dir.clone()), *mode, Vec::new())),
            Place::Layer { layer, dir } => Some((Inside::Layer(layer.clone(), dir.clone()), layer.mode, Vec::new())),
            Place::Virtual => None,
        };
        for name in path.split('/') {
            match name {
                "." | ".." if matches!(inside, Some((Inside::File(_), ..))) => return Err(Errno::Notdir),
                "" | "." => {
                    if let Some((_, _, names)) = &mut inside
                        && !names.is_empty()
                    {
                        names.push(name.to_owned());
                    }
                }
                ".." => {
                    if guest == base.guest {
                        self.denials.note(intent.kind(), &format!("/{}", resolved(&base.guest, path)));
                        return Err(Errno::Perm);
                    }
                    guest.truncate(guest.rfind('/').unwrap_or(0));
                    match &mut inside {
                        // Still within the grant: the host resolves it, links and all.
                        Some((_, _, names)) if depth(names) > 0 => names.push(name.to_owned()),
                        _ => inside = self.enclosing(&guest),
                    }
                }
                name => {
                    guest = joined(&guest, name);
                    if let Some(mount) = self.mount_at(&guest) {
                        inside = Inside::of(&mount.root).map(|inside| (inside, mount.mode, Vec::new()));
                    } else if let Some((_, _, names)) = &mut inside {
                        names.push(name.to_owned());
                    }
                }
            }
        }
        let must_be_dir = path.ends_with('/');
        match inside {
            Some((Inside::Dir(dir), mode, names)) if names.is_empty() => {
                Ok(Target::Dir(DirHandle { guest, place: Place::Host { dir, mode }, seat: None }))
            }
            Some((Inside::Dir(dir), mode, names)) => Ok(Target::Host { dir, mode, path: names.join("/"), guest }),
            Some((Inside::Layer(layer, dir), _, names)) if names.is_empty() => {
                Ok(Target::Dir(DirHandle { guest, place: Place::Layer { layer, dir }, seat: None }))
            }
            Some((Inside::Layer(layer, dir), _, names)) => {
                Ok(Target::Layer { layer, dir, path: names.join("/"), guest })
            }
            Some((Inside::File(_), ..)) if must_be_dir => Err(Errno::Notdir),
            Some((Inside::File(file), mode, names)) if names.is_empty() => {
                Ok(Target::File(FileMount { file, mode, guest }))
            }
            Some((Inside::File(_), ..)) => Err(Errno::Notdir),
            None if guest == NULL_DEVICE && !self.has_mount_below(&guest) => match must_be_dir {
                true => Err(Errno::Notdir),
                false => Ok(Target::File(FileMount { file: Granted::Null, mode: Mode::Rw, guest })),
            },
            None if guest.is_empty() || self.has_mount_below(&guest) => {
                Ok(Target::Dir(DirHandle { guest, place: Place::Virtual, seat: None }))
            }
            None => {
                self.denials.note(intent.kind(), &format!("/{guest}"));
                Err(match intent {
                    Intent::Read => Errno::Noent,
                    Intent::Write => Errno::Acces,
                })
            }
        }
    }

    /// The grant that a guest path lies in, when `..` led out of a deeper one.
    fn enclosing(&self, guest: &str) -> Option<(Inside, Mode, Vec<String>)> {
        let mount = self
            .mounts()
            .filter(|mount| mount.at == guest || is_below(guest, &mount.at))
            .max_by_key(|mount| mount.at.len())?;
        let names = guest[mount.at.len()..].split('/').filter(|name| !name.is_empty()).map(str::to_owned);
        Some((Inside::of(&mount.root)?, mount.mode, names.collect()))
    }
}

/// What a walk through the virtual tree is in.
enum Inside {
    Dir(Arc<Dir>),
    File(Granted),
    Layer(Arc<Layer>, Arc<DirNode>),
}

impl Inside {
    fn of(root: &Root) -> Option<Self> {
        Some(match root {
            Root::Dir(dir) => Self::Dir(dir.clone()),
            Root::File(file) => Self::File(Granted::Host(file.clone())),
            Root::Layer(layer) => match &layer.top {
                Top::File(file) => Self::File(Granted::Layer(file.clone())),
                Top::Dir(dir) => Self::Layer(layer.clone(), dir.clone()),
            },
            // Each run has a layer over it in its place.
            Root::Tree(_) => return None,
        })
    }
}

/// How far below a grant's root its names lead, if none of them is a link.
fn depth(names: &[String]) -> usize {
    names.iter().fold(0, |depth, name| match name.as_str() {
        "" | "." => depth,
        ".." => depth.saturating_sub(1),
        _ => depth + 1,
    })
}

fn check_path(path: &str) -> Result<(), Errno> {
    if path.is_empty() {
        return Err(Errno::Noent);
    }
    if path.len() > MAX_PATH_BYTES
        || path.len() > MAX_NAME_BYTES && path.split('/').any(|name| name.len() > MAX_NAME_BYTES)
    {
        return Err(Errno::Nametoolong);
    }
    if path.contains('\0') { Err(Errno::Inval) } else { Ok(()) }
}

/// Where a path leads by its names alone, for messages: `..` above the root stays there.
pub(super) fn resolved(guest: &str, path: &str) -> String {
    let mut names: Vec<&str> = guest.split('/').filter(|name| !name.is_empty()).collect();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}

/// A guest path and one more name or path, without slashes at the ends.
pub(super) fn joined(guest: &str, path: &str) -> String {
    let path = path.trim_end_matches('/');
    if guest.is_empty() { path.to_owned() } else { format!("{guest}/{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_where_a_path_leads() {
        assert_eq!("etc/passwd", resolved("data", "../../../etc/./passwd"));
        assert_eq!("data/a", resolved("data", "b/../a/"));
    }

    #[test]
    fn names_lead_as_deep_as_they_say_and_never_above() {
        let depth_of = |path: &str| depth(&path.split('/').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!([0, 1, 0, 2, 0, 1], ["", "a/.", "a/..", "a//b", "a/../..", "../a"].map(depth_of));
    }

    #[test]
    fn a_path_is_refused_before_anything_is_held_for_it() {
        assert_eq!(Err(Errno::Noent), check_path(""));
        assert_eq!(Err(Errno::Inval), check_path("a\0b"));
        assert_eq!(Err(Errno::Nametoolong), check_path(&"x".repeat(MAX_PATH_BYTES + 1)));
        assert_eq!(Err(Errno::Nametoolong), check_path(&format!("a/{}", "x".repeat(MAX_NAME_BYTES + 1))));
        assert_eq!(Ok(()), check_path(&"x/".repeat(MAX_PATH_BYTES / 2)));
    }
}
