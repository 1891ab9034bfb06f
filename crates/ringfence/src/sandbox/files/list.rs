//! The names in a directory.

use std::os::unix::fs::DirEntryExt;

use super::Files;
use super::handle::{DirHandle, Kind, Place};
use crate::sandbox::errno::Errno;
use crate::sandbox::limits::Share;
use crate::sandbox::stop::{Fail, Limit, Stop};
use crate::sandbox::store::Control;

/// What the host keeps for one name in a listing, in bytes, without the name itself: an entry and its allocation.
const ENTRY_BYTES: usize = size_of::<Entry>() + 16;

/// Names read between two looks at the deadline.
const NAMES_PER_LOOK: usize = 256;

/// One name in a directory.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Entry {
    pub name: String,
    pub kind: Kind,
    pub ino: u64,
}

/// The names in a directory, and the memory they take.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Listing {
    pub entries: Vec<Entry>,
    pub held: Share,
}

impl Files {
    /// The names in a directory, sorted, without `.` and `..`; a name that is not UTF-8 is left out.
    ///
    /// The host holds them until the guest has read them, all listings of a run under one total.
    /// The deadline is looked at: a directory may have millions of names.
    pub fn list(&self, dir: &DirHandle, control: &Control) -> Result<Listing, Fail> {
        let full = || Fail::Stop(Stop::Limit(Limit::HostBytes));
        let mut held = self.host_bytes.take(0).ok_or_else(full)?;
        let mut entries: Vec<Entry> = Vec::new();
        let mut keep = |entries: &mut Vec<Entry>, entry: Entry| {
            if !held.grow((ENTRY_BYTES + entry.name.len()) as u64) {
                return Err(full());
            }
            entries.push(entry);
            Ok(())
        };
        match &dir.place {
            Place::Virtual => {}
            Place::Layer { layer, dir } => {
                let mut number = 0;
                layer.names(dir, |name, kind, ino| {
                    if number % NAMES_PER_LOOK == 0 {
                        control.check()?;
                    }
                    number += 1;
                    keep(&mut entries, Entry { name, kind, ino })
                })?;
            }
            Place::Host { dir, .. } => {
                for (number, entry) in dir.entries().map_err(Errno::from)?.enumerate() {
                    if number % NAMES_PER_LOOK == 0 {
                        control.check()?;
                    }
                    let entry = entry.map_err(Errno::from)?;
                    let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else { continue };
                    keep(&mut entries, Entry { name, kind: Kind::of_cap(kind), ino: entry.ino() })?;
                }
            }
        }
        for mount in self.mounts() {
            let below = if dir.guest.is_empty() {
                Some(mount.at.as_str())
            } else {
                mount.at.strip_prefix(&dir.guest).and_then(|rest| rest.strip_prefix('/'))
            };
            let Some((name, deeper)) = below.map(|below| below.split_once('/').unwrap_or((below, ""))) else {
                continue;
            };
            if name.is_empty() {
                continue;
            }
            let is_file = deeper.is_empty() && mount.root.is_file();
            let kind = if is_file { Kind::File } else { Kind::Dir };
            if let Some(hidden) = entries.iter_mut().find(|entry| entry.name == name) {
                // Whatever the host has under that name, the guest finds the grant.
                hidden.kind = kind;
                continue;
            }
            keep(&mut entries, Entry { name: name.to_owned(), kind, ino: 1 })?;
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Listing { entries, held })
    }
}
