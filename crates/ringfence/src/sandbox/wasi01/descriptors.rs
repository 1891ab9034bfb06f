//! The descriptor table of a module.

use wasmtime::Memory;

use super::Errno;
use crate::sandbox::files::{DirHandle, FileHandle, Files, Listing};
use crate::sandbox::stdio::Stream;

/// The preopened root.
pub(super) const ROOT_FD: u32 = 3;

/// What a number stands for.
pub(super) enum Descriptor {
    Stdin,
    Output(Stream),
    Dir {
        handle: DirHandle,
        /// The root counts as granted, not as opened by the guest.
        preopen: bool,
        /// What a `readdir` that is under way still tells.
        listing: Option<Listing>,
    },
    File {
        handle: FileHandle,
        position: u64,
        /// As it was opened: append and not to block may be changed, the sync flags stay.
        flags: u16,
    },
}

/// The descriptor table of one run.
#[derive(Default)]
pub struct Descriptors {
    table: Vec<Option<Descriptor>>,
    /// The guest's memory, looked up at its first call.
    pub(super) memory: Option<Memory>,
}

impl Descriptors {
    /// The guest's memory, once it is known.
    pub(crate) fn memory(&self) -> Option<Memory> {
        self.memory
    }

    /// The guest's memory, known before its first call.
    pub(crate) fn set_memory(&mut self, memory: Memory) {
        self.memory = Some(memory);
    }

    /// Standard streams and the root.
    pub fn new(files: &Files) -> Self {
        let root = Descriptor::Dir { handle: files.root(), preopen: true, listing: None };
        let table = vec![
            Some(Descriptor::Stdin),
            Some(Descriptor::Output(Stream::Stdout)),
            Some(Descriptor::Output(Stream::Stderr)),
            Some(root),
        ];
        Self { table, memory: None }
    }

    /// How the table differs from the one that every run begins with, but for places in files; none if it does not.
    pub(crate) fn difference(&self) -> Option<String> {
        let first = ROOT_FD as usize + 1;
        let open = self.table.iter().skip(first).flatten().count();
        if open > 0 {
            return Some(format!("it has left {open} of its files and directories open"));
        }
        let as_begun = matches!(
            self.table.get(..first),
            Some([
                Some(Descriptor::Stdin),
                Some(Descriptor::Output(Stream::Stdout)),
                Some(Descriptor::Output(Stream::Stderr)),
                Some(Descriptor::Dir { preopen: true, .. }),
            ])
        );
        (!as_begun).then(|| "it has closed or moved its standard streams or `/`".to_owned())
    }

    pub(super) fn get(&mut self, fd: u32) -> Result<&mut Descriptor, Errno> {
        self.table.get_mut(fd as usize).and_then(Option::as_mut).ok_or(Errno::Badf)
    }

    pub(super) fn dir(&mut self, fd: u32) -> Result<&DirHandle, Errno> {
        match self.get(fd)? {
            Descriptor::Dir { handle, .. } => Ok(handle),
            Descriptor::File { .. } => Err(Errno::Notdir),
            Descriptor::Stdin | Descriptor::Output(_) => Err(Errno::Notdir),
        }
    }

    pub(super) fn file(&mut self, fd: u32) -> Result<&FileHandle, Errno> {
        match self.get(fd)? {
            Descriptor::File { handle, .. } => Ok(handle),
            _ => Err(Errno::Badf),
        }
    }

    /// The lowest free number above the standard ones: closing those never makes a file stand for them.
    pub(super) fn insert(&mut self, descriptor: Descriptor) -> Result<u32, Errno> {
        let first = ROOT_FD as usize;
        let free = self.table.iter().skip(first).position(Option::is_none).map(|index| index + first);
        let index = free.unwrap_or(self.table.len());
        let fd = u32::try_from(index).map_err(|_| Errno::Mfile)?;
        if index == self.table.len() {
            self.table.push(Some(descriptor));
        } else {
            self.table[index] = Some(descriptor);
        }
        Ok(fd)
    }

    pub(super) fn take(&mut self, fd: u32) -> Result<Descriptor, Errno> {
        self.table.get_mut(fd as usize).and_then(Option::take).ok_or(Errno::Badf)
    }

    /// Puts a descriptor where another one was.
    pub(super) fn replace(&mut self, fd: u32, descriptor: Descriptor) {
        if let Some(place) = self.table.get_mut(fd as usize) {
            *place = Some(descriptor);
        }
    }
}
