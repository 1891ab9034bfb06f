//! Where the bytes of written files are: one directory of the host for a run, flat, its files named by number.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat, unlinkat};
use tempfile::TempDir;

use super::super::handle::Stat;
use crate::sandbox::errno::Errno;

/// The directory, made when the first file is written; it goes with the last who needs it.
#[derive(Debug, Default)]
pub(in super::super) struct Private {
    made: OnceLock<Made>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Made {
    dir: OwnedFd,
    path: TempDir,
}

impl Private {
    /// Makes a file; its number.
    pub(super) fn create(&self) -> Result<(u64, File), Errno> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.made()?.dir, number.to_string(), flags, Mode::RUSR | Mode::WUSR)?;
        Ok((number, File::from(file)))
    }

    /// Opens a file that was made.
    pub(super) fn open(&self, number: u64) -> Result<File, Errno> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(openat(&self.made()?.dir, number.to_string(), flags, Mode::empty())?))
    }

    /// What is known of a file that was made.
    pub(super) fn stat(&self, number: u64) -> Result<Stat, Errno> {
        Ok(Stat::of_rustix(&statat(&self.made()?.dir, number.to_string(), AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// Removes the directory now, for an owner that may never be dropped.
    pub(in super::super) fn close(&self) {
        if let Some(made) = self.made.get() {
            // It is flat, and what cannot be removed is left.
            let _ = std::fs::remove_dir_all(made.path.path());
        }
    }

    /// Removes a file and tells how long it was.
    pub(super) fn remove(&self, number: u64) -> u64 {
        let Some(made) = self.made.get() else { return 0 };
        let size = self.stat(number).map_or(0, |stat| stat.size);
        // What cannot be removed goes with the directory.
        let _ = unlinkat(&made.dir, number.to_string(), AtFlags::empty());
        size
    }

    fn made(&self) -> Result<&Made, Errno> {
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let path = tempfile::Builder::new().prefix("ringfence-").tempdir()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = openat(CWD, path.path(), flags, Mode::empty())?;
        Ok(self.made.get_or_init(|| Made { dir, path }))
    }
}
