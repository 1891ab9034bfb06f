//! Timestamps: told to the host without ever opening what may block.

use std::time::{Duration, SystemTime};

use cap_fs_ext::DirExt;
use cap_std::fs::Dir;
use rustix::fs::OFlags;

use super::act::{AT_ONCE, OpenOptions};
use super::bytes::Bytes;
use super::handle::{DirHandle, FileHandle, Place, Stat};
use super::locate::{Intent, Target};
use super::{Files, beneath};
use crate::sandbox::errno::Errno;

/// New timestamps; one left out stays.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Times {
    pub accessed: Option<NewTime>,
    pub modified: Option<NewTime>,
}

/// A timestamp to set.
#[derive(Clone, Copy, Debug)]
pub enum NewTime {
    /// The host's time at the act.
    Now,
    /// Nanoseconds since 1970.
    At(u64),
}

impl Files {
    /// Sets timestamps by path.
    pub fn set_times_at(&mut self, base: &DirHandle, path: &str, follow: bool, times: Times) -> Result<(), Errno> {
        match self.locate(base, path, Intent::Write)? {
            Target::Dir(dir) => self.set_dir_times(&dir, times),
            Target::File(mount) => {
                let file = self.open_mount(mount, OpenOptions::default())?;
                self.set_file_times(&file, times)
            }
            Target::Layer { layer, dir, path, guest } => {
                self.check_mode(layer.mode, &guest)?;
                let set = layer.set_times(&dir, &path, follow, times, |file| self.check_file(file, &guest));
                set.map_err(|refused| self.refused(refused, Intent::Write, &guest))
            }
            Target::Host { dir, mode, path, guest } => {
                self.check_mode(mode, &guest)?;
                if follow || path.ends_with('/') || path.ends_with("/.") {
                    let file = self.open_for_times(&dir, &path, &guest)?;
                    return Ok(file.set_times(times.to_std())?);
                }
                let (accessed, modified) = times.to_cap();
                beneath::parent(&dir, &path)
                    .and_then(|(above, name)| above.set_symlink_times(name, accessed, modified))
                    .map_err(|error| self.failed(error, Intent::Write, &guest))
            }
        }
    }

    /// Opens what a path leads to, only to set its timestamps.
    ///
    /// `Dir::set_times` opens for writing and waits for a pipe's reader, which may never come.
    fn open_for_times(&mut self, dir: &Dir, path: &str, guest: &str) -> Result<std::fs::File, Errno> {
        let open = |write: bool| {
            let flags = AT_ONCE | if write { OFlags::WRONLY } else { OFlags::RDONLY };
            beneath::open(dir, path, flags).map(std::fs::File::from)
        };
        // A file that cannot be read may still be written.
        let opened = match open(false) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::ACCESS.raw_os_error()) => open(true),
            opened => opened,
        };
        let file = opened.map_err(|error| self.failed(error, Intent::Write, guest))?;
        let metadata = file.metadata()?;
        self.refuse_strange(&file, &metadata, Intent::Write, guest)?;
        Ok(file)
    }

    /// Sets a directory's own timestamps.
    pub fn set_dir_times(&mut self, dir: &DirHandle, times: Times) -> Result<(), Errno> {
        match &dir.place {
            Place::Virtual => {
                self.denials.note("write", &format!("/{}", dir.guest));
                Err(Errno::Acces)
            }
            Place::Layer { layer, dir: node } => {
                self.check_mode(layer.mode, &dir.guest)?;
                node.set_times(times);
                Ok(())
            }
            Place::Host { dir: host, mode } => {
                self.check_mode(*mode, &dir.guest)?;
                Ok(host.try_clone()?.into_std_file().set_times(times.to_std())?)
            }
        }
    }

    /// Sets an open file's timestamps.
    pub fn set_file_times(&mut self, file: &FileHandle, times: Times) -> Result<(), Errno> {
        self.check_mode(file.mode, &file.guest)?;
        match &file.bytes {
            Bytes::Host { file, .. } => Ok(file.set_times(times.to_std())?),
            Bytes::Layer(open) => open.set_times(times, &file.guest),
            Bytes::Null => Err(Errno::Perm),
        }
    }
}

/// Nanoseconds since 1970; a time before that is told as that.
pub(super) fn nanos_of(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

impl NewTime {
    /// A time as guests write it.
    pub fn at(seconds: u64, nanoseconds: u32) -> Result<Self, Errno> {
        let nanos = seconds.checked_mul(1_000_000_000).and_then(|nanos| nanos.checked_add(u64::from(nanoseconds)));
        nanos.map(Self::At).ok_or(Errno::Overflow)
    }

    fn to_std(self) -> SystemTime {
        match self {
            Self::Now => SystemTime::now(),
            Self::At(nanos) => SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos),
        }
    }

    fn to_cap(self) -> cap_fs_ext::SystemTimeSpec {
        match self {
            Self::Now => cap_fs_ext::SystemTimeSpec::SymbolicNow,
            at => cap_fs_ext::SystemTimeSpec::Absolute(cap_std::time::SystemTime::from_std(at.to_std())),
        }
    }
}

impl Times {
    /// Changes what is told of something that is no file of the host.
    pub(super) fn set(self, stat: &mut Stat) {
        let nanos = |time: NewTime| nanos_of(time.to_std());
        stat.accessed = self.accessed.map_or(stat.accessed, nanos);
        stat.modified = self.modified.map_or(stat.modified, nanos);
        stat.changed = nanos_of(SystemTime::now());
    }

    pub(super) fn to_std(self) -> std::fs::FileTimes {
        let mut times = std::fs::FileTimes::new();
        if let Some(accessed) = self.accessed {
            times = times.set_accessed(accessed.to_std());
        }
        if let Some(modified) = self.modified {
            times = times.set_modified(modified.to_std());
        }
        times
    }

    fn to_cap(self) -> (Option<cap_fs_ext::SystemTimeSpec>, Option<cap_fs_ext::SystemTimeSpec>) {
        (self.accessed.map(NewTime::to_cap), self.modified.map(NewTime::to_cap))
    }
}
