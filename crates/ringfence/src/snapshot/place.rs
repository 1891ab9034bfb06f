//! Where a file is put: whole or not at all, and for its owner alone.

use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fchmod, linkat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use crate::load::hex;

const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A file in the making. Until it is put in its place nobody sees it, or at most a hidden name beside that.
pub(crate) struct Making<'a> {
    dir: OwnedFd,
    name: &'a std::ffi::OsStr,
    /// What it is called meanwhile, where the file system has no files without names.
    hidden: Option<String>,
    file: File,
}

impl<'a> Making<'a> {
    /// Begins a file that will be at `path`. What is there now has to be a file, or nothing.
    pub(crate) fn at(path: &'a Path) -> Result<Self> {
        let name = path.file_name().ok_or_else(|| Error::other("it names no file"))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = openat(CWD, parent, OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY, Mode::empty())?;
        // A link, a pipe or `/dev/null` would be replaced by a file, which is never what was meant.
        match statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) if FileType::from_raw_mode(there.st_mode) != FileType::RegularFile => {
                return Err(Error::other("what is there is no regular file"));
            }
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let unnamed = openat(&dir, ".", OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, PRIVATE);
        let (file, hidden) = match unnamed {
            Ok(file) => (file, None),
            Err(_) => {
                let hidden = hidden_name(name)?;
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
                (openat(&dir, &hidden, flags, PRIVATE)?, Some(hidden))
            }
        };
        let making = Self { dir, name, hidden, file: file.into() };
        // Whatever the umask took away.
        fchmod(&making.file, PRIVATE)?;
        Ok(making)
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Puts it in its place, in one step, when every byte of it is on the disk.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.file.sync_data()?;
        if self.hidden.is_none() {
            // A link cannot take the place of a file; a name can.
            let hidden = hidden_name(self.name)?;
            let file = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            linkat(CWD, file, &self.dir, &hidden, AtFlags::SYMLINK_FOLLOW)?;
            self.hidden = Some(hidden);
        }
        if let Some(hidden) = &self.hidden {
            renameat(&self.dir, hidden, &self.dir, self.name)?;
            self.hidden = None;
        }
        // The name too; there are file systems that cannot say.
        let _ = rustix::fs::fsync(&self.dir);
        Ok(())
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        if let Some(hidden) = &self.hidden {
            let _ = unlinkat(&self.dir, hidden, AtFlags::empty());
        }
    }
}

fn hidden_name(name: &std::ffi::OsStr) -> Result<String> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|_| Error::other("no random numbers"))?;
    let start: String =
        name.to_string_lossy().chars().filter(|letter| letter.is_ascii_alphanumeric()).take(40).collect();
    Ok(format!(".{start}.saving-{}", hex(&random)))
}
