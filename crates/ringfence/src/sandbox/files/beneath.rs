//! From a directory of the host and a guest's path to what lies there: beneath the directory, and on its mount.
//!
//! The kernel walks where it has `openat2`; else the names are opened one by one here, each link is followed by us,
//! and the mount of each is compared with the first one's.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags, fstat, openat, openat2, readlinkat, statx};
use rustix::io::Errno as Failed;

use super::handle::Stat;

/// Links that one path leads through, as on Linux.
const MAX_LINKS: u32 = 40;

/// How often the kernel is asked again because something was moved while it looked.
const MAX_TRIES: u32 = 4;

/// Permissions of a file that is made, less those that the process takes away.
const NEW_FILE: u32 = 0o666;

/// Only names a place: nothing is opened that could block or change.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The kernel answered that it has no `openat2`.
static ONE_BY_ONE: AtomicBool = AtomicBool::new(false);

/// Opens a path.
pub(super) fn open(root: impl AsFd, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    open_by_kernel(&root, path, flags).unwrap_or_else(|| open_one_by_one(&root, path, flags)).map_err(told)
}

/// What a path leads to.
pub(super) fn stat(root: impl AsFd, path: &str, follow: bool) -> io::Result<Stat> {
    let flags = if follow { OFlags::PATH } else { LOOK };
    Ok(Stat::of_rustix(&fstat(open(root, path, flags)?)?))
}

/// The directory that a path's last name is in, and that name, with the slashes behind it.
///
/// The name is never `..`; where it would be, it is `.` in the directory that the whole path leads to. Nor is anything
/// mounted at it, which no guest can change: acts on the name do not ask again.
pub(super) fn parent(root: &Arc<Dir>, path: &str) -> io::Result<(Arc<Dir>, String)> {
    let trimmed = path.trim_end_matches('/');
    let (above, name) = match trimmed.rsplit_once('/') {
        Some((_, "." | "..")) => (Some(trimmed), "."),
        None if trimmed == ".." => (Some(trimmed), "."),
        Some((above, _)) => (Some(above), &path[above.len() + 1..]),
        None => (None, path),
    };
    let dir = match above {
        Some(above) => Arc::new(Dir::from_std_file(open(root, above, OFlags::PATH | OFlags::DIRECTORY)?.into())),
        None => root.clone(),
    };
    match openat(&dir, name.trim_end_matches('/'), LOOK, Mode::empty()) {
        Err(Failed::NOENT) => {}
        found => Mounted::of(&dir).and_then(|mount| mount.refuse_other(found?)).map_err(told)?,
    }
    Ok((dir, name.to_owned()))
}

/// One that leads out is told as `cap-std` tells it: without the host's number.
fn told(error: Failed) -> io::Error {
    match error {
        Failed::XDEV => io::Error::new(io::ErrorKind::PermissionDenied, "it leads out of what was granted"),
        error => error.into(),
    }
}

/// What tells one mount from another; where the kernel does not number them, the device has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mounted {
    Number(u64),
    Device(u64),
}

impl Mounted {
    pub(super) fn of(file: impl AsFd) -> rustix::io::Result<Self> {
        match statx(&file, "", AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MNT_ID) {
            Ok(found) if StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID) => {
                Ok(Self::Number(found.stx_mnt_id))
            }
            _ => Ok(Self::Device(fstat(&file)?.st_dev)),
        }
    }

    /// Refuses what is on another mount, with the number that `openat2` has for it.
    pub(super) fn refuse_other(self, file: impl AsFd) -> rustix::io::Result<()> {
        if Self::of(file)? == self { Ok(()) } else { Err(Failed::XDEV) }
    }
}

fn permissions(flags: OFlags) -> Mode {
    if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(NEW_FILE) } else { Mode::empty() }
}

/// None where the kernel or a container's filter has no `openat2`, or is not done with it.
fn open_by_kernel(root: impl AsFd, path: &str, flags: OFlags) -> Option<rustix::io::Result<OwnedFd>> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    for _ in 0..MAX_TRIES {
        if ONE_BY_ONE.load(Ordering::Relaxed) {
            break;
        }
        match openat2(&root, path, flags, permissions(flags), resolve) {
            Err(Failed::AGAIN) => {}
            Err(Failed::NOSYS) => ONE_BY_ONE.store(true, Ordering::Relaxed),
            // A filter's answer, or the file's own: asked for by name it says which.
            Err(Failed::PERM) => break,
            opened => return Some(opened),
        }
    }
    None
}

fn open_one_by_one(root: impl AsFd, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let mount = Mounted::of(&root)?;
    let mut above: Vec<OwnedFd> = Vec::new();
    let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    if path.is_empty() {
        return Err(Failed::NOENT);
    }
    if path.starts_with('/') {
        return Err(Failed::XDEV);
    }
    let mut links = 0;
    while let Some(name) = rest.pop() {
        match name.as_str() {
            "" | "." => continue,
            ".." => {
                above.pop().ok_or(Failed::XDEV)?;
                continue;
            }
            _ => {}
        }
        let here = above.last().map_or(root.as_fd(), AsFd::as_fd);
        let last = rest.iter().all(String::is_empty);
        let slash = last && !rest.is_empty();
        if slash && flags.contains(OFlags::CREATE) {
            return Err(Failed::ISDIR);
        }
        let found = match openat(here, &name, LOOK, Mode::empty()) {
            Err(Failed::NOENT) if last && flags.contains(OFlags::CREATE) => {
                // What took the name meanwhile is not followed.
                return openat(here, &name, flags | OFlags::NOFOLLOW, permissions(flags));
            }
            found => found?,
        };
        mount.refuse_other(&found)?;
        let kind = rustix::fs::FileType::from_raw_mode(fstat(&found)?.st_mode);
        let followed = !last || slash || !flags.intersects(OFlags::NOFOLLOW | OFlags::EXCL);
        if kind.is_symlink() && followed {
            links += 1;
            if links > MAX_LINKS {
                return Err(Failed::LOOP);
            }
            let target = readlinkat(&found, "", Vec::new())?.into_string().map_err(|_| Failed::ILSEQ)?;
            if target.starts_with('/') {
                return Err(Failed::XDEV);
            }
            rest.extend(target.split('/').rev().map(str::to_owned));
        } else if last && !slash {
            let opened = openat(here, &name, flags | OFlags::NOFOLLOW, permissions(flags))?;
            mount.refuse_other(&opened)?;
            return Ok(opened);
        } else if kind.is_dir() {
            above.push(found);
        } else {
            return Err(Failed::NOTDIR);
        }
    }
    openat(above.last().map_or(root.as_fd(), AsFd::as_fd), ".", flags, Mode::empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;

    use super::*;

    /// What came of it: the file, or the number.
    fn answer(opened: rustix::io::Result<OwnedFd>) -> Result<(u64, u64), Failed> {
        opened.map(|file| fstat(file).unwrap()).map(|stat| (stat.st_dev, stat.st_ino))
    }

    #[test]
    fn one_by_one_a_path_leads_where_the_kernel_says() {
        let house = tempfile::tempdir().unwrap();
        let at = |name: &str| house.path().join("root").join(name);
        std::fs::create_dir_all(at("dir/deep")).unwrap();
        std::fs::write(at("file"), "").unwrap();
        std::fs::write(at("dir/file"), "").unwrap();
        std::fs::write(house.path().join("secret"), "").unwrap();
        for (name, target) in [
            ("to_file", "file"),
            ("to_dir", "dir"),
            ("to_dir_slash", "dir/"),
            ("to_file_slash", "file/"),
            ("chain", "to_dir/file"),
            ("out", "../secret"),
            ("absolute", "/etc/passwd"),
            ("dangling", "nothing"),
            ("round", "round"),
            ("dir/up", "../file"),
            ("dir/up_and_out", "../../secret"),
            ("dir/deep/self", "."),
        ] {
            symlink(target, at(name)).unwrap();
        }
        let root = File::open(at("")).unwrap();
        let names = [
            "file",
            "dir",
            "to_file",
            "to_dir",
            "to_dir_slash",
            "to_file_slash",
            "chain",
            "out",
            "absolute",
            "dangling",
            "round",
            "nothing",
            ".",
            "..",
            "",
            "dir/up",
            "dir/up_and_out",
            "dir/deep/self",
            "dir/deep/self/../file",
        ];
        let mut paths: Vec<String> = names.iter().map(ToString::to_string).collect();
        for end in ["/", "/.", "/..", "//file", "/../file", "/../../secret", "/nothing"] {
            paths.extend(names.iter().map(|name| format!("{name}{end}")));
        }
        let reading = OFlags::CLOEXEC | OFlags::RDONLY;
        let making = OFlags::CLOEXEC | OFlags::RDWR | OFlags::CREATE;
        for path in paths {
            for flags in [reading, reading | OFlags::NOFOLLOW, LOOK, OFlags::PATH, making, making | OFlags::EXCL] {
                let clear =
                    || ["nothing", "dir/nothing", "dir/deep/nothing"].map(|name| _ = std::fs::remove_file(at(name)));
                clear();
                let Some(by_kernel) = open_by_kernel(&root, &path, flags) else { return };
                let made = at("nothing").exists();
                let by_kernel = answer(by_kernel);
                clear();
                let one_by_one = answer(open_one_by_one(&root, &path, flags));
                assert_eq!(by_kernel.map(|_| ()), one_by_one.map(|_| ()), "{path} {flags:?}");
                assert_eq!(made, at("nothing").exists(), "{path} {flags:?}");
                if flags.intersection(OFlags::CREATE).is_empty() {
                    assert_eq!(by_kernel, one_by_one, "{path} {flags:?}");
                }
            }
        }
    }

    #[test]
    fn another_mount_is_not_entered() {
        let root = File::open("/").unwrap();
        for path in ["proc", "proc/", "proc/self/status", "usr/../proc/version", "proc/..", "proc/../etc/passwd"] {
            let reading = OFlags::CLOEXEC | OFlags::RDONLY;
            for opened in [open_one_by_one(&root, path, reading), open_one_by_one(&root, path, LOOK)] {
                assert_eq!(Err(Failed::XDEV), answer(opened), "{path}");
            }
            if let Some(opened) = open_by_kernel(&root, path, reading) {
                assert_eq!(Err(Failed::XDEV), answer(opened), "{path}");
            }
        }
        assert_eq!(io::ErrorKind::PermissionDenied, open(&root, "proc", LOOK).unwrap_err().kind());
        assert!(stat(&root, "etc/passwd", true).is_ok());
        assert!(open(File::open("/proc").unwrap(), "version", LOOK).is_ok(), "the root may be on any mount");
    }

    #[test]
    fn the_last_name_of_a_path_is_in_the_directory_before_it() {
        let house = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(house.path().join("a/b")).unwrap();
        let root = Arc::new(Dir::from_std_file(File::open(house.path()).unwrap()));
        let ino = |path: &str| stat(&root, path, true).unwrap().ino;
        for (path, above, name) in [
            ("a", ".", "a"),
            ("a/", ".", "a/"),
            (".", ".", "."),
            ("a/x", "a", "x"),
            ("a//b//", "a", "b//"),
            ("a/.", "a", "."),
            ("a/b/..", "a", "."),
            ("a/../", ".", "."),
        ] {
            let (dir, last) = parent(&root, path).unwrap();
            assert_eq!((ino(above), name), (stat(&dir, ".", true).unwrap().ino, last.as_str()), "{path}");
        }
        assert!(parent(&root, "..").is_err() && parent(&root, "a/../..").is_err());
    }
}
