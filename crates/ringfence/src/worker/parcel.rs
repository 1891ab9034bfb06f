//! Bytes on their way to a worker: short ones in a frame's tail, long ones as a file in memory.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::ask::{MAX_TAIL_BYTES, in_memory};
use super::protocol::From;
use crate::error::{Error, Result};

/// How some bytes go.
pub(super) struct Parcel(Option<OwnedFd>);

impl Parcel {
    /// How these do.
    pub(super) fn of(bytes: &[u8]) -> Result<Self> {
        if bytes.len() <= MAX_TAIL_BYTES {
            return Ok(Self(None));
        }
        let file = in_memory(bytes)
            .map_err(|error| Error::system("no room for what a worker is handed", &error, "free some memory"))?;
        Ok(Self(Some(file)))
    }

    /// Where the worker finds them.
    pub(super) fn from(&self) -> From {
        if self.0.is_some() { From::Descriptor } else { From::Tail }
    }

    /// What of them goes into the frame.
    pub(super) fn tail<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        if self.0.is_some() { &[] } else { bytes }
    }

    /// What goes with it.
    pub(super) fn file(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd)
    }
}
