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
}

impl FileHandle {
    /// What the file is.
    pub fn stat(&self) -> Result<Stat, Errno> {
        match &self.bytes {
            Bytes::Host { file, .. } => Ok(Stat::of_std(&file.metadata()?)),
            Bytes::Layer(open) => open.stat(),
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
        })
    }

    /// Lets the bytes reach the disk; a private copy is gone after the run and needs none.
    pub fn sync(&self) -> Result<(), Errno> {
        match &self.bytes {
            Bytes::Host { file, .. } => Ok(file.sync_all()?),
            Bytes::Layer(_) => Ok(()),
        }
    }

    /// What is written, and the disk it counts on; no more than `keep` bytes of what was there are wanted.
    pub(super) fn writable(&self, keep: u64) -> Result<(&File, &Disk), Errno> {
        match &self.bytes {
            _ if !self.write => Err(Errno::Badf),
            Bytes::Host { file, counted: Some(counted) } => Ok((file, counted.disk())),
            Bytes::Host { counted: None, .. } => Err(Errno::Badf),
            Bytes::Layer(open) => Ok((open.for_writing(keep, &self.guest)?, open.disk())),
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
