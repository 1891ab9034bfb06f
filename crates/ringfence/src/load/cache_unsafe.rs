//! Mapping compiled code: wasmtime's `deserialize`, alone in its file.
#![allow(unsafe_code)]

use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;

use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::load::cache::Proven;
use crate::load::type_names::at_end;
use crate::load::{Code, Kind};

/// Maps compiled code into this process, ready to instantiate.
///
/// A file that changed between its proof and its mapping is an error, and nothing of it has run.
pub(super) fn map(engine: &Engine, kind: Kind, proven: &Proven) -> wasmtime::Result<Code> {
    let code = match kind {
        Kind::Module => {
            let file = proven.file().try_clone()?;
            // SAFETY: wasmtime asks for the unchanged output of its compiler, and for a file that stays as it is
            // while it is mapped. A `Proven` is made only of what our compiler child wrote: either just now, or
            // long ago and then proven by a keyed hash of these very bytes, read through this very file. It lies
            // in a directory that only this user may write to (or in no directory at all), entries are replaced
            // by renaming and never written to again, and `is_unchanged` below catches whoever does.
            Code::Module(unsafe { Module::deserialize_open_file(engine, file)? })
        }
        Kind::Component => {
            // wasmtime opens components by path only: this path is our open file, whatever its name is by now.
            let names = Arc::from(at_end(proven.file())?);
            let path = format!("/proc/self/fd/{}", proven.file().as_raw_fd());
            if Path::new(&path).exists() {
                // SAFETY: as above; the path leads to the file that was proven and to no other.
                Code::Component(unsafe { Component::deserialize_file(engine, path)? }, names)
            } else {
                let mut bytes = Vec::new();
                let mut file = proven.file();
                file.seek(SeekFrom::Start(0))?;
                file.read_to_end(&mut bytes)?;
                // SAFETY: as above; the bytes were read from the file that was proven.
                Code::Component(unsafe { Component::deserialize(engine, bytes)? }, names)
            }
        }
    };
    wasmtime::ensure!(proven.is_unchanged(), "the file changed while it was mapped");
    Ok(code)
}
