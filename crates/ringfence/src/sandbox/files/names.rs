//! The acts that make, move and take away names. Every one asks the grant's mode first.

use std::sync::Arc;

use cap_std::fs::Dir;

use super::disk::NewName;
use super::handle::{DirHandle, Kind, Stat};
use super::layer::node::DirNode;
use super::layer::{Layer, Refused};
use super::locate::{Intent, MAX_PATH_BYTES, Target};
use super::{Files, beneath};
use crate::sandbox::errno::Errno;

/// The answer where a path leads to a grant's own root, which stays where the policy hung it: Linux's at a mount.
#[derive(Clone, Copy)]
struct AtRoot {
    dir: Errno,
    file: Errno,
}

/// Where a change goes: from where, the path there, and the guest's own.
enum Writable {
    Host(Arc<Dir>, String, String),
    Layer(Arc<Layer>, Arc<DirNode>, String, String),
}

impl Writable {
    fn path(&self) -> &str {
        match self {
            Self::Host(_, path, _) | Self::Layer(_, _, path, _) => path,
        }
    }

    fn guest(&self) -> &str {
        match self {
            Self::Host(_, _, guest) | Self::Layer(_, _, _, guest) => guest,
        }
    }
}

impl Files {
    /// Makes a directory.
    pub fn make_dir_at(&mut self, base: &DirHandle, path: &str) -> Result<(), Errno> {
        let taken = AtRoot { dir: Errno::Exist, file: Errno::Exist };
        let (dir, path, guest) = match self.writable_place(base, path, taken)? {
            Writable::Host(dir, path, guest) => (dir, path, guest),
            Writable::Layer(layer, dir, path, guest) => {
                return self.done(layer.make_dir(&dir, &path, &guest), &guest);
            }
        };
        let (dir, path) = self.parent(&dir, &path, &guest)?;
        let made = self.disk.naming(&guest, NewName { dir: &dir, path: &path, follow: false }, || {
            dir.create_dir(path.trim_end_matches('/'))
        })?;
        made.map_err(|error| self.failed(error, Intent::Write, &guest))
    }

    /// Removes an empty directory.
    pub fn remove_dir_at(&mut self, base: &DirHandle, path: &str) -> Result<(), Errno> {
        let itself = matches!(path.rsplit('/').next(), Some("."));
        let busy = if itself { Errno::Inval } else { Errno::Busy };
        let (dir, path, guest) = match self.writable_place(base, path, AtRoot { dir: busy, file: Errno::Notdir })? {
            Writable::Host(dir, path, guest) => (dir, path, guest),
            Writable::Layer(layer, dir, path, guest) => {
                self.refuse_mount_point(&guest)?;
                return self.done(layer.remove_dir(&dir, &path), &guest);
            }
        };
        self.refuse_mount_point(&guest)?;
        if path.ends_with('/') {
            // A slash asks for what is behind a link: where that may not be reached, this is what is told.
            beneath::stat(&dir, &path, true).map_err(|error| self.failed(error, Intent::Write, &guest))?;
        }
        let (dir, path) = self.parent(&dir, &path, &guest)?;
        let last = dir.symlink_metadata(path.trim_end_matches('/')).map(|metadata| Stat::of_cap(&metadata));
        dir.remove_dir(path.trim_end_matches('/')).map_err(|error| self.failed(error, Intent::Write, &guest))?;
        self.gone(last)
    }

    /// Removes a file or link.
    pub fn unlink_at(&mut self, base: &DirHandle, path: &str) -> Result<(), Errno> {
        let at_root = AtRoot { dir: Errno::Isdir, file: Errno::Busy };
        let (dir, path, guest) = match self.writable_place(base, path, at_root)? {
            Writable::Host(dir, path, guest) => (dir, path, guest),
            Writable::Layer(layer, dir, path, guest) => return self.done(layer.unlink(&dir, &path), &guest),
        };
        let (dir, path) = self.parent(&dir, &path, &guest)?;
        if path.ends_with('/') {
            let metadata = dir.symlink_metadata(path.trim_end_matches('/'))?;
            return Err(if metadata.is_dir() { Errno::Isdir } else { Errno::Notdir });
        }
        let last = dir.symlink_metadata(&path).map(|metadata| Stat::of_cap(&metadata));
        dir.remove_file(&path).map_err(|error| self.failed(error, Intent::Write, &guest))?;
        self.gone(last)
    }

    /// Moves within one grant.
    pub fn rename_at(&mut self, from: &DirHandle, old: &str, to: &DirHandle, new: &str) -> Result<(), Errno> {
        let busy = AtRoot { dir: Errno::Busy, file: Errno::Busy };
        let (old, new) = (self.writable_place(from, old, busy)?, self.writable_place(to, new, busy)?);
        self.refuse_mount_point(old.guest())?;
        self.refuse_mount_point(new.guest())?;
        let (old_dir, old_path, old_guest, new_dir, new_path, new_guest) = match (old, new) {
            (Writable::Host(old_dir, old_path, old_guest), Writable::Host(new_dir, new_path, new_guest)) => {
                (old_dir, old_path, old_guest, new_dir, new_path, new_guest)
            }
            (Writable::Layer(layer, from, old, _), Writable::Layer(other, to, new, guest))
                if Arc::ptr_eq(&layer, &other) =>
            {
                return self.done(layer.rename(&from, &old, &to, &new), &guest);
            }
            _ => return Err(Errno::Xdev),
        };
        let (old_dir, old_path) = self.parent(&old_dir, &old_path, &old_guest)?;
        let (new_dir, new_path) = self.parent(&new_dir, &new_path, &new_guest)?;
        let look = |dir: &Dir, path: &str| {
            let metadata = dir.symlink_metadata(path.trim_end_matches('/'));
            metadata.map(|metadata| Stat::of_cap(&metadata))
        };
        let dots = |path: &str| matches!(path.trim_end_matches('/').rsplit('/').next(), Some("." | ".."));
        if (old_path.ends_with('/') || new_path.ends_with('/')) && !dots(&old_path) && !dots(&new_path) {
            // `cap-std` takes the slash off, where Linux refuses what is no directory.
            let old = look(&old_dir, &old_path).map_err(|error| self.failed(error, Intent::Write, &old_guest))?;
            if old.kind != Kind::Dir {
                return Err(Errno::Notdir);
            }
        }
        let replaced = look(&new_dir, &new_path);
        let same =
            |one: &Stat| look(&old_dir, &old_path).is_ok_and(|other| (one.dev, one.ino) == (other.dev, other.ino));
        // Two names of one file: the host does nothing.
        let nothing = replaced.as_ref().is_ok_and(same);
        old_dir
            .rename(&old_path, &new_dir, &new_path)
            .map_err(|error| self.failed(error, Intent::Write, &new_guest))?;
        if nothing || replaced.is_err() { Ok(()) } else { self.gone(replaced) }
    }

    /// Makes a second name for a file; both names must lie where writing is granted.
    pub fn link_at(&mut self, from: &DirHandle, old: &str, to: &DirHandle, new: &str) -> Result<(), Errno> {
        let old = self.writable_place(from, old, AtRoot { dir: Errno::Perm, file: Errno::Xdev })?;
        let new = self.writable_place(to, new, AtRoot { dir: Errno::Exist, file: Errno::Exist })?;
        if old.path().ends_with('/') || new.path().ends_with('/') {
            return Err(Errno::Noent);
        }
        let (old_dir, old_path, old_guest, new_dir, new_path, new_guest) = match (old, new) {
            (Writable::Host(old_dir, old_path, old_guest), Writable::Host(new_dir, new_path, new_guest)) => {
                (old_dir, old_path, old_guest, new_dir, new_path, new_guest)
            }
            (Writable::Layer(layer, from, old, _), Writable::Layer(other, to, new, guest))
                if Arc::ptr_eq(&layer, &other) =>
            {
                return self.done(layer.link(&from, &old, &to, &new, &guest), &guest);
            }
            _ => return Err(Errno::Xdev),
        };
        let (old_dir, old_path) = self.parent(&old_dir, &old_path, &old_guest)?;
        let old = old_dir.symlink_metadata(&old_path);
        let old = old.map_err(|error| self.failed(error, Intent::Write, &old_guest))?;
        let (new_dir, new_path) = self.parent(&new_dir, &new_path, &new_guest)?;
        let name = NewName { dir: &new_dir, path: &new_path, follow: false };
        if old.is_dir() {
            name.can_be_made()?;
            return Err(Errno::Perm);
        }
        let made = self.disk.naming(&new_guest, name, || old_dir.hard_link(&old_path, &new_dir, &new_path))?;
        made.map_err(|error| self.failed(error, Intent::Write, &new_guest))
    }

    /// Makes a symbolic link; one that names an absolute path is refused, it would mean the host's root.
    pub fn symlink_at(&mut self, target: &str, base: &DirHandle, path: &str) -> Result<(), Errno> {
        if target.len() > MAX_PATH_BYTES {
            return Err(Errno::Nametoolong);
        }
        let place = self.writable_place(base, path, AtRoot { dir: Errno::Exist, file: Errno::Exist })?;
        if target.starts_with('/') {
            self.denials.note("write", target);
            return Err(Errno::Perm);
        }
        if target.is_empty() || place.path().ends_with('/') {
            return Err(Errno::Noent);
        }
        if target.contains('\0') {
            return Err(Errno::Inval);
        }
        let (dir, path, guest) = match place {
            Writable::Host(dir, path, guest) => (dir, path, guest),
            Writable::Layer(layer, dir, path, guest) => {
                return self.done(layer.symlink(target, &dir, &path, &guest), &guest);
            }
        };
        let (dir, path) = self.parent(&dir, &path, &guest)?;
        let made = self
            .disk
            .naming(&guest, NewName { dir: &dir, path: &path, follow: false }, || dir.symlink(target, &path))?;
        made.map_err(|error| self.failed(error, Intent::Write, &guest))
    }

    /// A path where writing is granted.
    fn writable_place(&mut self, base: &DirHandle, path: &str, at_root: AtRoot) -> Result<Writable, Errno> {
        match self.locate(base, path, Intent::Write)? {
            Target::Host { dir, mode, path, guest } => {
                self.check_mode(mode, &guest)?;
                Ok(Writable::Host(dir, path, guest))
            }
            Target::Layer { layer, dir, path, guest } => {
                self.check_mode(layer.mode, &guest)?;
                Ok(Writable::Layer(layer, dir, path, guest))
            }
            Target::Dir(_) => Err(at_root.dir),
            Target::File(_) => Err(at_root.file),
        }
    }

    /// The directory of the host that a path's last name is in, and the name: no act walks a path by itself.
    fn parent(&mut self, dir: &Arc<Dir>, path: &str, guest: &str) -> Result<(Arc<Dir>, String), Errno> {
        beneath::parent(dir, path).map_err(|error| self.failed(error, Intent::Write, guest))
    }

    /// A name was removed; what it led to was looked at before.
    fn gone(&self, last: std::io::Result<Stat>) -> Result<(), Errno> {
        if let Ok(last) = last {
            self.disk.removed(&last);
        }
        Ok(())
    }

    fn refuse_mount_point(&self, guest: &str) -> Result<(), Errno> {
        if self.has_mount_below(guest) { Err(Errno::Busy) } else { Ok(()) }
    }

    /// The answer to a change of a layer.
    fn done(&mut self, done: Result<(), Refused>, guest: &str) -> Result<(), Errno> {
        done.map_err(|refused| self.refused(refused, Intent::Write, guest))
    }
}
