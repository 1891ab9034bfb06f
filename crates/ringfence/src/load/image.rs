//! A file of compiled code for workers to map: proven here, open for reading only.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use crate::load::cache::{Proven, memory_file, seal};

/// Compiled code that was proven.
pub(crate) struct Image {
    proven: Proven,
    /// Why there is none, where there is none.
    copy: OnceLock<Result<File, String>>,
}

impl Image {
    pub(super) fn new(proven: Proven) -> Self {
        Self { proven, copy: OnceLock::new() }
    }

    /// The file that was proven.
    pub(crate) fn file(&self) -> &File {
        self.proven.file()
    }

    /// Its bytes in memory, for a worker that may open no file: wasmtime opens components by path, and files in
    /// memory are none of the wall's.
    pub(crate) fn copy(&self) -> Result<&File, String> {
        let made = self.copy.get_or_init(|| copied(self.file()).map_err(|error| error.to_string()));
        made.as_ref().map_err(String::clone)
    }

    /// Whether the file is still what was proven.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.proven.is_unchanged()
    }
}

fn copied(from: &File) -> std::io::Result<File> {
    let mut copy = memory_file("ringfence-code")?;
    let length = from.metadata()?.len();
    let mut buffer = vec![0; 256 << 10];
    let mut at = 0;
    while at < length {
        let count = from.read_at(&mut buffer, at)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        write_sparsely(&mut copy, &buffer[..count])?;
        at += count as u64;
    }
    copy.set_len(length)?;
    seal(&copy)?;
    // Its own description, at its start, which cannot write.
    reopened(&copy)
}

/// The same file, to be read only.
pub(super) fn reopened(file: &File) -> std::io::Result<File> {
    use std::os::fd::AsRawFd;
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Writes what is not zero and leaves holes for the rest: a program of 60 bytes may have a memory image of 256 MiB,
/// and should not take that much of the disk. The caller sets the length.
pub(crate) fn write_sparsely(output: &mut File, code: &[u8]) -> std::io::Result<()> {
    const CHUNK: usize = 64 << 10;
    for chunk in code.chunks(CHUNK) {
        if chunk.iter().all(|byte| *byte == 0) {
            output.seek_relative(chunk.len() as i64)?;
        } else {
            output.write_all(chunk)?;
        }
    }
    Ok(())
}
