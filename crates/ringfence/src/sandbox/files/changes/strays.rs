//! Names of our own beside a file that is applied, and what a process that died left under them.
//!
//! What is being written is `.ringfence-new-…`, and locked by whoever writes it. To be exchanged with the old file it
//! is given `.ringfence-old-…`, a name that says which file is the new one and what the old one looked like: so what
//! is found there later is known to be one of the two, or somebody else's, which is left alone.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, flock, openat, statat, unlinkat};

use crate::sandbox::errno::Errno;
use crate::sandbox::files::handle::{Kind, Stat};
use crate::sandbox::files::layer::node::Seen;

const NEW: &str = ".ringfence-new-";
const OLD: &str = ".ringfence-old-";

/// A name for what is being written.
pub(super) fn new_name() -> Result<OsString, Errno> {
    Ok(format!("{NEW}{:016x}", random()?).into())
}

/// A name under which a new file changes places with an old one; 0 where there is no new one.
pub(super) fn old_name(new: u64, old: &Seen) -> Result<OsString, Errno> {
    Ok(format!("{OLD}{new:x}-{}-{:016x}", old.mark(), random()?).into())
}

/// Says that it is being written, until it is closed.
pub(super) fn lock(file: &File) {
    // A file system without locks only keeps what is left there.
    let _ = flock(file, FlockOperation::NonBlockingLockExclusive);
}

/// Removes what was left in a directory by those who died; a failure leaves it there.
pub(super) fn clear(dir: &OwnedFd) {
    let Ok(entries) = Dir::read_from(dir) else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().to_str() else { continue };
        if (name.starts_with(NEW) || name.starts_with(OLD)) && is_left(dir, name) {
            let _ = unlinkat(dir, name, AtFlags::empty());
        }
    }
}

fn is_left(dir: &OwnedFd, name: &str) -> bool {
    let Ok(stat) = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
    let stat = Stat::of_rustix(&stat);
    if let Some(said) = name.strip_prefix(OLD) {
        let Some((new, old)) = said.split_once('-') else { return false };
        let Some((old, _)) = old.rsplit_once('-') else { return false };
        if stat.kind != Kind::Dir && old == Seen::of(&stat).mark() {
            return true;
        }
        if new != format!("{:x}", stat.ino) {
            // Neither: somebody wrote the file at that very moment, and this is theirs.
            return false;
        }
    }
    match stat.kind {
        Kind::Symlink => true,
        Kind::File => is_unlocked(dir, name.as_ref()),
        Kind::Dir | Kind::Other => false,
    }
}

fn is_unlocked(dir: impl AsFd, name: &OsStr) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(dir, name, flags, Mode::empty());
    file.is_ok_and(|file| flock(file, FlockOperation::NonBlockingLockExclusive).is_ok())
}

fn random() -> Result<u64, Errno> {
    getrandom::u64().map_err(|_| Errno::Io)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    fn seen(dir: &OwnedFd, name: &str) -> Seen {
        Seen::of(&Stat::of_rustix(&statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).unwrap()))
    }

    #[test]
    fn what_the_dead_left_is_removed_and_nothing_else() {
        let tree = tempfile::tempdir().unwrap();
        let at = |name: &OsStr| tree.path().join(name);
        let dir = OwnedFd::from(File::open(tree.path()).unwrap());
        std::fs::write(at("file".as_ref()), "old").unwrap();
        let old = seen(&dir, "file");
        // Being written when its writer died, and by one who lives.
        std::fs::write(at(&new_name().unwrap()), "half of").unwrap();
        symlink("anywhere", at(&new_name().unwrap())).unwrap();
        let writing = new_name().unwrap();
        let writer = File::create(at(&writing)).unwrap();
        lock(&writer);
        // Before the exchange, and after it.
        std::fs::write(at("new".as_ref()), "new").unwrap();
        let ino = at("new".as_ref()).metadata().unwrap().ino();
        std::fs::rename(at("new".as_ref()), at(&old_name(ino, &old).unwrap())).unwrap();
        std::fs::rename(at("file".as_ref()), at(&old_name(ino, &old).unwrap())).unwrap();
        // After an exchange with what somebody else had just put there.
        let theirs = old_name(ino, &old).unwrap();
        std::fs::write(at(&theirs), "written by somebody else").unwrap();
        std::fs::write(at(".ringfence-note".as_ref()), "a name like ours").unwrap();

        clear(&dir);

        let mut left: Vec<_> =
            std::fs::read_dir(tree.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let mut expected = vec![writing, theirs, ".ringfence-note".into()];
        left.sort();
        expected.sort();
        assert_eq!(expected, left);
        drop(writer);
        clear(&dir);
        assert_eq!(2, std::fs::read_dir(tree.path()).unwrap().count());
    }
}
