//! Where the bytes of written files are: one directory of the host for a run, flat, its files named by number.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat, unlinkat};
use tempfile::TempDir;

use super::super::handle::Stat;
use crate::sandbox::errno::Errno;

/// The directory, made when the first file is written; it goes with the last who needs it.
#[derive(Debug, Default)]
pub(in super::super) struct Private {
    made: OnceLock<Made>,
    next: AtomicU64,
    /// Another process takes what is there: nothing is removed any more.
    is_handed_over: AtomicBool,
}

#[derive(Debug)]
struct Made {
    dir: OwnedFd,
    /// None where another process made it, and removes it.
    path: Option<TempDir>,
}

/// What a handed over directory has beside the files.
const TOLD: &str = "told";

impl Private {
    /// One that another process made, and removes.
    pub(in super::super) fn of_handle(dir: OwnedFd) -> Self {
        let made = OnceLock::from(Made { dir, path: None });
        Self { made, next: AtomicU64::new(0), is_handed_over: AtomicBool::new(false) }
    }

    /// Leaves all to the process that made the directory, with what it is told of it.
    pub(in super::super) fn hand_over(&self, told: &[u8]) -> Result<(), Errno> {
        self.is_handed_over.store(true, Ordering::Relaxed);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.made()?.dir, TOLD, flags, Mode::RUSR | Mode::WUSR)?);
        Ok(file.write_all(told)?)
    }

    /// What was told, at most so many bytes. Whoever wrote it may have put anything in its place.
    pub(in super::super) fn told(&self, most: u64) -> Result<Vec<u8>, Errno> {
        let file = self.open_strange(TOLD)?;
        let mut told = Vec::new();
        file.take(most.saturating_add(1)).read_to_end(&mut told)?;
        if told.len() as u64 > most { Err(Errno::Fbig) } else { Ok(told) }
    }

    /// Opens a file that somebody else made, to read it.
    pub(super) fn open_made(&self, number: u64) -> Result<File, Errno> {
        self.open_strange(&number.to_string())
    }

    fn open_strange(&self, name: &str) -> Result<File, Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(openat(&self.made()?.dir, name, flags, Mode::empty())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(Errno::Inval) }
    }

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
        if let Some(path) = self.made.get().and_then(|made| made.path.as_ref()) {
            // It is flat, and what cannot be removed is left.
            let _ = std::fs::remove_dir_all(path.path());
        }
    }

    /// Removes a file and tells how long it was.
    pub(super) fn remove(&self, number: u64) -> u64 {
        let Some(made) = self.made.get() else { return 0 };
        let size = self.stat(number).map_or(0, |stat| stat.size);
        if self.is_handed_over.load(Ordering::Relaxed) {
            return size;
        }
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
        Ok(self.made.get_or_init(|| Made { dir, path: Some(path) }))
    }
}
