//! What a guest holds once a path was opened, and what it is told about it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::SystemTime;

use cap_std::fs::Dir;
use serde::{Deserialize, Serialize};

use super::bytes::Bytes;
use super::layer::Layer;
use super::layer::node::DirNode;
use super::times::nanos_of;
use crate::policy::Mode;
use crate::sandbox::limits::Share;

/// An open file or directory.
#[derive(Clone, Debug)]
pub enum Handle {
    /// A directory.
    Dir(DirHandle),
    /// A regular file.
    File(FileHandle),
}

impl Handle {
    /// Gives it a place among the open files.
    pub(super) fn seated(mut self, seat: Share) -> Self {
        let place = match &mut self {
            Self::Dir(dir) => &mut dir.seat,
            Self::File(file) => &mut file.seat,
        };
        *place = Some(Arc::new(seat));
        self
    }
}

/// An open directory: its guest path, and what stands behind it.
#[derive(Clone, Debug)]
pub struct DirHandle {
    /// Without slashes at the ends; the root is empty.
    pub(super) guest: String,
    pub(super) place: Place,
    /// Its place among the open files; what the policy granted needs none.
    pub(super) seat: Option<Arc<Share>>,
}

/// What stands behind a directory.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// A directory that exists only because a grant hangs below it.
    Virtual,
    /// A directory of the host.
    Host { dir: Arc<Dir>, mode: Mode },
    /// A directory of a private layer.
    Layer { layer: Arc<Layer>, dir: Arc<DirNode> },
}

impl DirHandle {
    pub(super) fn virtual_root() -> Self {
        Self { guest: String::new(), place: Place::Virtual, seat: None }
    }

    /// Whether acts that change something are granted here.
    pub fn is_writable(&self) -> bool {
        match &self.place {
            Place::Virtual => false,
            Place::Host { mode, .. } => *mode == Mode::Rw,
            Place::Layer { layer, .. } => layer.mode != Mode::Ro,
        }
    }
}

/// An open regular file. Positions are the caller's: reads and writes name their offset.
#[derive(Clone, Debug)]
pub struct FileHandle {
    pub(super) guest: String,
    pub(super) bytes: Bytes,
    /// Opened to be read.
    pub read: bool,
    /// Opened to be written, which a `ro` grant never allows.
    pub write: bool,
    /// The grant's mode: timestamps may be set without having opened for writing.
    pub(super) mode: Mode,
    /// Its place among the open files, which a stream that outlives the descriptor keeps.
    pub(super) seat: Option<Arc<Share>>,
}

/// The number of the null device among the files that are nowhere.
const NULL_INO: u64 = 2;

/// The kinds of file that are told apart; devices of the host, pipes and sockets are never opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Kind {
    Dir,
    File,
    Symlink,
    Other,
}

impl Kind {
    pub(super) fn of_cap(kind: cap_std::fs::FileType) -> Self {
        if kind.is_dir() {
            Self::Dir
        } else if kind.is_file() {
            Self::File
        } else if kind.is_symlink() {
            Self::Symlink
        } else {
            Self::Other
        }
    }

    pub(super) fn of_rustix(kind: rustix::fs::FileType) -> Self {
        match kind {
            rustix::fs::FileType::Directory => Self::Dir,
            rustix::fs::FileType::RegularFile => Self::File,
            rustix::fs::FileType::Symlink => Self::Symlink,
            _ => Self::Other,
        }
    }
}

/// What a guest is told about a file; times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Stat {
    pub kind: Kind,
    pub dev: u64,
    pub ino: u64,
    pub links: u64,
    pub size: u64,
    pub accessed: u64,
    pub modified: u64,
    pub changed: u64,
}

impl Stat {
    /// A directory that exists only in the guest's view.
    pub(super) fn of_virtual() -> Self {
        Self { kind: Kind::Dir, dev: 0, ino: 1, links: 1, size: 0, accessed: 0, modified: 0, changed: 0 }
    }

    pub(super) fn of_std(metadata: &Metadata) -> Self {
        let kind = metadata.file_type();
        Self {
            kind: if kind.is_dir() {
                Kind::Dir
            } else if kind.is_file() {
                Kind::File
            } else if kind.is_symlink() {
                Kind::Symlink
            } else {
                Kind::Other
            },
            dev: metadata.dev(),
            ino: metadata.ino(),
            links: metadata.nlink(),
            size: metadata.size(),
            accessed: nanos(metadata.accessed()),
            modified: nanos(metadata.modified()),
            changed: unix_nanos(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    #[allow(clippy::useless_conversion, reason = "the width of the count differs from machine to machine")]
    pub(super) fn of_rustix(stat: &rustix::fs::Stat) -> Self {
        Self {
            kind: Kind::of_rustix(rustix::fs::FileType::from_raw_mode(stat.st_mode)),
            dev: stat.st_dev,
            ino: stat.st_ino,
            links: stat.st_nlink.into(),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            accessed: unix_nanos(stat.st_atime, stat.st_atime_nsec.cast_signed()),
            modified: unix_nanos(stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
            changed: unix_nanos(stat.st_ctime, stat.st_ctime_nsec.cast_signed()),
        }
    }

    /// The null device: always empty, and as old as can be told.
    pub(super) fn of_null() -> Self {
        Self { kind: Kind::Other, dev: 0, ino: NULL_INO, links: 1, size: 0, accessed: 0, modified: 0, changed: 0 }
    }

    pub(super) fn of_cap(metadata: &cap_std::fs::Metadata) -> Self {
        use cap_std::fs::MetadataExt as _;
        Self {
            kind: Kind::of_cap(metadata.file_type()),
            dev: metadata.dev(),
            ino: metadata.ino(),
            links: metadata.nlink(),
            size: metadata.size(),
            accessed: unix_nanos(metadata.atime(), metadata.atime_nsec()),
            modified: unix_nanos(metadata.mtime(), metadata.mtime_nsec()),
            changed: unix_nanos(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn nanos(time: std::io::Result<SystemTime>) -> u64 {
    time.map_or(0, nanos_of)
}

/// Times before 1970 are told as 1970.
fn unix_nanos(seconds: i64, nanos: i64) -> u64 {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(nanos).unwrap_or(0))
}
