//! The bytes of an open file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::disk::{Counted, Disk};
use super::handle::{FileHandle, Stat};
use super::layer::bytes::OpenFile;
use crate::sandbox::errno::Errno;

/// Where they are.
#[derive(Clone, Debug)]
pub(super) enum Bytes {
    /// In a file of the host, which is counted where the grant lets it be written.
    Host { file: Arc<File>, counted: Option<Arc<Counted>> },
    /// In a private layer.
    Layer(Arc<OpenFile>),
    /// Nowhere: the null device.
    Null,
}

impl FileHandle {
    /// What the file is.
    pub fn stat(&self) -> Result<Stat, Errno> {
        match &self.bytes {
            Bytes::Host { file, .. } => Ok(Stat::of_std(&file.metadata()?)),
            Bytes::Layer(open) => open.stat(),
            Bytes::Null => Ok(Stat::of_null()),
        }
    }

    /// Reads from an offset; 0 bytes are the end of the file.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        if !self.read {
            return Err(Errno::Badf);
        }
        retry(|| match &self.bytes {
            Bytes::Host { file, .. } => file.read_at(buffer, offset),
            Bytes::Layer(open) => open.read_at(buffer, offset),
            Bytes::Null => Ok(0),
        })
    }

    /// Lets the bytes reach the disk; a private copy is gone after the run and needs none.
    pub fn sync(&self) -> Result<(), Errno> {
        match &self.bytes {
            Bytes::Host { file, .. } => Ok(file.sync_all()?),
            Bytes::Layer(_) | Bytes::Null => Ok(()),
        }
    }

    /// What is written, and the disk it counts on; no more than `keep` bytes of what was there are wanted. Nothing
    /// where what is written is gone at once.
    pub(super) fn writable(&self, keep: u64) -> Result<Option<(&File, &Disk)>, Errno> {
        match &self.bytes {
            _ if !self.write => Err(Errno::Badf),
            Bytes::Host { file, counted: Some(counted) } => Ok(Some((file, counted.disk()))),
            Bytes::Host { counted: None, .. } => Err(Errno::Badf),
            Bytes::Layer(open) => Ok(Some((open.for_writing(keep, &self.guest)?, open.disk()))),
            Bytes::Null => Ok(None),
        }
    }
}

pub(super) fn retry(mut act: impl FnMut() -> std::io::Result<usize>) -> Result<usize, Errno> {
    loop {
        match act() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            done => return done.map_err(Errno::from),
        }
    }
}
