//! What one run has on the disk: its private `/tmp`, and the bytes of its private layers. A worker has a home for both.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, mkdirat, openat};

use super::grants::Mount;
use super::tmp::{DIRECTORY, FILES, PrivateTmp, empty, no_tmp, remove};
use crate::error::Result;
use crate::policy;

/// Where the bytes of private layers are, in a worker's home.
pub(super) const LAYERS: &CStr = c"layers";

/// What was made for one run before it starts; what is missing it makes for itself.
#[derive(Default)]
pub(crate) struct Space {
    pub(crate) tmp: Option<PrivateTmp>,
    /// The directory for the bytes of its private layers, empty.
    pub(crate) layers: Option<OwnedFd>,
    /// Goes last.
    _emptied: Option<Emptied>,
}

impl Space {
    /// What a worker was handed for a run.
    pub(crate) fn handed(tmp: Option<OwnedFd>, layers: Option<OwnedFd>) -> std::io::Result<Self> {
        Ok(Self { tmp: tmp.map(PrivateTmp::of_handle).transpose()?, layers, _emptied: None })
    }
}

/// Empties a home when it is dropped.
struct Emptied(Arc<OwnedFd>);

impl Drop for Emptied {
    fn drop(&mut self) {
        // What cannot be removed goes before the next run, or with the home.
        let _ = empty(&self.0);
    }
}

/// A place for what the runs of one worker have on the disk, one after the other; it goes with the worker.
///
/// The worker may write in it, and so may whatever has escaped in the worker: it is used by handle only.
pub(crate) struct Home {
    directory: PathBuf,
    handle: Arc<OwnedFd>,
}

impl Home {
    /// A new and empty one.
    pub(crate) fn new() -> Result<Self> {
        let made = tempfile::Builder::new().prefix("ringfence-").tempdir().map_err(|error| no_tmp(&error))?;
        let handle = openat(CWD, made.path(), DIRECTORY, Mode::empty()).map_err(|error| no_tmp(&error.into()))?;
        Ok(Self { directory: made.keep(), handle: Arc::new(handle) })
    }

    /// The directory, open.
    pub(crate) fn handle(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// What one run needs of it; there is one at a time.
    pub(crate) fn space(&self, has_tmp: bool, has_layers: bool) -> Result<Space> {
        let make = |name: &CStr| {
            mkdirat(&self.handle, name, Mode::RWXU)?;
            openat(&self.handle, name, DIRECTORY, Mode::empty())
        };
        let tmp = || {
            // What a run that was killed left behind.
            empty(&self.handle)?;
            has_tmp.then(|| Mount::from_handle("tmp".into(), policy::Mode::Rw, make(FILES)?)).transpose()
        };
        let tmp = tmp().map_err(|error| no_tmp(&error))?.map(PrivateTmp::of_mount);
        let layers = has_layers.then(|| make(LAYERS)).transpose().map_err(|error| no_tmp(&error.into()))?;
        Ok(Space { tmp, layers, _emptied: Some(Emptied(self.handle.clone())) })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        remove(&self.directory);
    }
}
