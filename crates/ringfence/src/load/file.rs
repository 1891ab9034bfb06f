//! Reading a program from the file system without being held up by what is there.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use crate::error::{Error, Parts, Result};
use crate::load::MAX_PROGRAM_BYTES;
use crate::text::quote;

/// The bytes of a program's file. Only a regular file is read: a pipe or a device could go on for ever.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    Opened::at(path)?.read()
}

/// A regular file, open to be read as a program.
pub(super) struct Opened {
    name: String,
    file: File,
    metadata: Metadata,
}

impl Opened {
    pub(super) fn at(path: &Path) -> Result<Self> {
        let name = quote(&path.to_string_lossy());
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidInput | ErrorKind::InvalidFilename => {
                let fix = "check the path; it is taken from the current directory";
                Error::ProgramNotFound(Parts::new(format!("no such program: `{name}`"), error.to_string(), fix))
            }
            ErrorKind::PermissionDenied => Error::load(
                cannot_read(&name),
                "you may not read it",
                format!("allow it: `chmod u+r {name}`, or run as its owner"),
            ),
            _ => unreadable(&name, &error),
        };
        let refused = |why: String| Err(Error::load(cannot_read(&name), why, "give a `.wasm` or `.wat` file"));

        // Looked at before it is opened, for opening some devices does something; and again after, for it may be
        // swapped.
        if let Some(why) = no_program(&std::fs::metadata(path).map_err(failed)?.file_type()) {
            return refused(why.into());
        }
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(nonblock).open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if let Some(why) = no_program(&metadata.file_type()) {
            return refused(why.into());
        }
        if metadata.len() > MAX_PROGRAM_BYTES {
            return refused(format!("it has {} MiB, more than {}", metadata.len() >> 20, MAX_PROGRAM_BYTES >> 20));
        }
        Ok(Self { name, file, metadata })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// As it was when it was opened.
    pub(super) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// All of the file, and no more than one byte past the largest program even if it grows meanwhile.
    pub(super) fn read(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.metadata.len()).unwrap_or_default() + 1);
        let mut rest = FromStart { file: &self.file, at: 0 }.take(MAX_PROGRAM_BYTES + 1);
        rest.read_to_end(&mut bytes).map_err(|error| unreadable(&self.name, &error))?;
        Ok(bytes)
    }
}

/// A file from its first byte on, wherever others have read to.
struct FromStart<'a> {
    file: &'a File,
    at: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn cannot_read(name: &str) -> String {
    format!("cannot read `{name}`")
}

fn unreadable(name: &str, error: &std::io::Error) -> Error {
    Error::load(cannot_read(name), error.to_string(), "check the file and the file system it is on")
}

fn no_program(kind: &std::fs::FileType) -> Option<&'static str> {
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("it is a directory")
    } else if kind.is_fifo() {
        Some("it is a pipe, and only a regular file is read")
    } else if kind.is_socket() {
        Some("it is a socket")
    } else {
        Some("it is a device, and only a regular file is read")
    }
}
