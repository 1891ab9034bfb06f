//! The private `/tmp` of one run: a directory of the host that goes when the run does.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;

use super::grants::{Mount, Root};
use super::home::LAYERS;
use crate::error::{Error, Result};
use crate::policy;

/// Where the guest's files are, below the directory that is ours.
pub(super) const FILES: &CStr = c"files";

/// A private `/tmp`, and the grant of it.
pub(crate) struct PrivateTmp {
    pub(super) mount: Mount,
    removal: Removal,
}

/// Who removes it, and how.
enum Removal {
    /// Somebody else.
    NotOurs,
    /// The directory goes last, when it is empty.
    Directory(PathBuf),
}

impl PrivateTmp {
    pub(super) fn new() -> Result<Self> {
        Self::in_directory(&std::env::temp_dir()).map_err(|error| no_tmp(&error))
    }

    /// One whose directory another process made, and removes.
    pub(crate) fn of_handle(files: OwnedFd) -> std::io::Result<Self> {
        Ok(Self::of_mount(Mount::from_handle("tmp".into(), policy::Mode::Rw, files)?))
    }

    /// One in a home, which is emptied as a whole.
    pub(super) fn of_mount(mount: Mount) -> Self {
        Self { mount, removal: Removal::NotOurs }
    }

    /// The directory of the guest's files.
    pub(crate) fn handle(&self) -> Option<BorrowedFd<'_>> {
        match &self.mount.root {
            Root::Dir(dir) => Some(dir.as_fd()),
            Root::File(_) | Root::Layer(_) | Root::Tree(_) => None,
        }
    }

    pub(super) fn in_directory(parent: &Path) -> std::io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("ringfence-").tempdir_in(parent)?;
        let files = directory.path().join("files");
        mkdirat(CWD, &files, Mode::RWXU)?;
        let mount = Mount::temporary("tmp", &files)?;
        // From here on it is ours to remove: what `TempDir` does is recursive.
        Ok(Self { mount, removal: Removal::Directory(directory.keep()) })
    }
}

impl Drop for PrivateTmp {
    fn drop(&mut self) {
        match &self.removal {
            Removal::NotOurs => {}
            Removal::Directory(directory) => remove(directory),
        }
    }
}

pub(super) fn no_tmp(error: &std::io::Error) -> Error {
    Error::system(
        "no private /tmp for the guest",
        error,
        "free space in the temporary directory, or set TMPDIR to one that has some",
    )
}

pub(super) fn remove(directory: &Path) {
    // What cannot be removed is left: the run's result is worth more than its rubbish.
    let opened = openat(CWD, directory, DIRECTORY, Mode::empty());
    let _ = opened.and_then(|top| empty(&top)).and_then(|()| unlinkat(CWD, directory, AtFlags::REMOVEDIR));
}

/// How a directory of ours is opened.
pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes everything below a directory that only its owner can reach, however deep a guest made it.
///
/// A recursive removal holds a descriptor and a stack frame for each level: ten thousand nested directories end
/// this process. So each directory inside another is first moved up to the top, and nothing is ever deep.
pub(super) fn empty(top: &OwnedFd) -> rustix::io::Result<()> {
    let gone = [FILES, LAYERS].map(|name| unlinkat(top, name, AtFlags::REMOVEDIR));
    if gone.contains(&Ok(())) && gone.iter().all(|gone| matches!(gone, Ok(()) | Err(Errno::NOENT))) {
        return Ok(());
    }
    let mut moved = 0u64;
    loop {
        let mut removed_one = false;
        for entry in Dir::read_from(top)? {
            let entry = entry?;
            let name = entry.file_name();
            if is_dots(name) {
                continue;
            }
            let inner = openat(top, name, DIRECTORY, Mode::empty())?;
            flatten(&inner, top, &mut moved)?;
            unlinkat(top, name, AtFlags::REMOVEDIR)?;
            removed_one = true;
        }
        if !removed_one {
            return Ok(());
        }
    }
}

/// Empties a directory: its files are removed, its directories are moved to the top under new names.
fn flatten(inner: &OwnedFd, top: &OwnedFd, moved: &mut u64) -> rustix::io::Result<()> {
    for entry in Dir::read_from(inner.as_fd())? {
        let entry = entry?;
        let name = entry.file_name();
        if is_dots(name) {
            continue;
        }
        if entry.file_type() != FileType::Directory && unlinkat(inner, name, AtFlags::empty()).is_ok() {
            continue;
        }
        if unlinkat(inner, name, AtFlags::REMOVEDIR).is_err() {
            renameat(inner, name, top, format!("{moved}"))?;
            *moved += 1;
        }
    }
    Ok(())
}

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::symlink;

    use super::*;

    fn files(tmp: &PrivateTmp) -> PathBuf {
        match &tmp.removal {
            Removal::Directory(directory) => directory.join("files"),
            _ => unreachable!(),
        }
    }

    #[test]
    fn a_tree_deeper_than_any_stack_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let tmp = PrivateTmp::in_directory(parent.path()).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut deep = openat(CWD, files(&tmp), flags, Mode::empty()).unwrap();
        for _ in 0..6_000 {
            mkdirat(&deep, "d", Mode::RWXU).unwrap();
            deep = openat(&deep, "d", flags, Mode::empty()).unwrap();
        }
        drop(deep);
        drop(tmp);
        assert_eq!(0, std::fs::read_dir(parent.path()).unwrap().count());
    }

    #[test]
    fn links_are_removed_and_what_they_name_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("kept"), "x").unwrap();
        let tmp = PrivateTmp::in_directory(parent.path()).unwrap();
        let files = files(&tmp);
        std::fs::create_dir_all(files.join("a/b/c")).unwrap();
        std::fs::create_dir(files.join("empty")).unwrap();
        std::fs::write(files.join("a/0"), "named like a moved directory").unwrap();
        std::fs::create_dir_all(files.join("a/b/0/1")).unwrap();
        symlink(outside.path(), files.join("a/link")).unwrap();
        symlink(outside.path(), files.join("link")).unwrap();
        drop(tmp);
        assert_eq!(0, std::fs::read_dir(parent.path()).unwrap().count());
        assert!(outside.path().join("kept").exists());
    }
}
