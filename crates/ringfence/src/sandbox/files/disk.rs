//! What a run may put on the host's disk, as totals over all it may write to: bytes and names.
//!
//! A file counts with its length, holes and all, and what is removed or cut gives its part back. What was there
//! before gives nothing more than zero back, so the host never holds more for a run than its limits say.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Arc, Mutex, MutexGuard};

use cap_std::fs::Dir;
use rustix::fs::{OFlags, readlinkat};

use super::beneath;
use super::handle::{FileHandle, Kind, Stat};
use crate::policy::Limits;
use crate::sandbox::denials::Denials;
use crate::sandbox::errno::Errno;

/// The furthest that a file can go on any host.
const LAST_OFFSET: u64 = i64::MAX.unsigned_abs();

/// Links that one path leads through, as on Linux.
const MAX_LINKS: u32 = 40;

/// The totals of one run.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    totals: Arc<Mutex<Totals>>,
    denials: Denials,
}

#[derive(Debug)]
struct Totals {
    bytes: Total,
    names: Total,
    /// Files held open where they could be removed meanwhile.
    open: HashMap<Inode, Held>,
}

/// An amount that goes up and down under a limit.
#[derive(Debug)]
struct Total {
    /// Its word in the policy.
    name: &'static str,
    limit: u64,
    taken: u64,
}

type Inode = (u64, u64);

#[derive(Debug, Default)]
struct Held {
    handles: u32,
    /// Its last name is gone: it gives its bytes back when it is closed.
    nameless: bool,
}

/// An open file that counts what is written to it.
#[derive(Debug)]
pub(super) struct Counted {
    disk: Disk,
    inode: Inode,
    file: Arc<File>,
}

impl Total {
    /// Takes as much as there is, at most so much.
    fn take(&mut self, wanted: u64, guest: &str, denials: &Denials) -> u64 {
        let granted = wanted.min(self.limit.saturating_sub(self.taken));
        self.taken += granted;
        if granted < wanted {
            denials.note_limit(self.name, &format!("/{guest}"));
        }
        granted
    }

    fn is_full(&self) -> bool {
        self.taken >= self.limit
    }

    fn give_back(&mut self, amount: u64) {
        self.taken = self.taken.saturating_sub(amount);
    }
}

impl Disk {
    pub(super) fn new(limits: &Limits, denials: Denials) -> Self {
        let total = |name, limit| Total { name, limit, taken: 0 };
        let totals = Totals {
            bytes: total("disk", limits.disk.0),
            names: total("files", u64::from(limits.files)),
            open: HashMap::new(),
        };
        Self { totals: Arc::new(Mutex::new(totals)), denials }
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Makes something that has a name of its own; a full disk refuses it, unless the host would for another reason.
    pub(super) fn naming<T>(
        &self,
        guest: &str,
        name: NewName<'_>,
        make: impl FnOnce() -> std::io::Result<T>,
    ) -> Result<std::io::Result<T>, Errno> {
        if self.totals().names.is_full() {
            name.can_be_made()?;
        }
        self.take_name(guest)?;
        let made = make();
        if made.is_err() {
            self.give_back_name();
        }
        Ok(made)
    }

    /// Makes room for one name; a full disk refuses it.
    pub(super) fn take_name(&self, guest: &str) -> Result<(), Errno> {
        if self.totals().names.take(1, guest, &self.denials) == 0 { Err(Errno::Nospc) } else { Ok(()) }
    }

    pub(super) fn give_back_name(&self) {
        self.totals().names.give_back(1);
    }

    /// Bytes are gone from the disk.
    pub(super) fn give_back(&self, bytes: u64) {
        self.totals().bytes.give_back(bytes);
    }

    /// Takes as many bytes as there is room for, at most so many.
    pub(super) fn take_bytes(&self, wanted: u64, guest: &str) -> u64 {
        self.totals().bytes.take(wanted, guest, &self.denials)
    }

    /// A name is gone; `last` is what it led to.
    pub(super) fn removed(&self, last: &Stat) {
        let mut totals = self.totals();
        totals.names.give_back(1);
        if last.kind != Kind::File || last.links > 1 {
            return;
        }
        match totals.open.get_mut(&(last.dev, last.ino)) {
            Some(held) => held.nameless = true,
            None => totals.bytes.give_back(last.size),
        }
    }

    /// Counts what is written through an open file.
    pub(super) fn count(&self, file: &Arc<File>) -> Result<Arc<Counted>, Errno> {
        let metadata = file.metadata()?;
        let inode = (metadata.dev(), metadata.ino());
        self.totals().open.entry(inode).or_default().handles += 1;
        Ok(Arc::new(Counted { disk: self.clone(), inode, file: file.clone() }))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut totals = self.disk.totals();
        let Some(held) = totals.open.get_mut(&self.inode) else { return };
        held.handles -= 1;
        if held.handles == 0 {
            let nameless = held.nameless;
            totals.open.remove(&self.inode);
            if nameless && let Ok(metadata) = self.file.metadata() {
                totals.bytes.give_back(metadata.len());
            }
        }
    }
}

impl Counted {
    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }
}

/// A name to be made in a directory of the host.
#[derive(Clone, Copy)]
pub(super) struct NewName<'a> {
    pub(super) dir: &'a Dir,
    pub(super) path: &'a str,
    /// Where a link that leads to nothing has the name, what it names is made.
    pub(super) follow: bool,
}

impl NewName<'_> {
    /// Whether only the name is missing: its directory is there.
    pub(super) fn can_be_made(self) -> Result<(), Errno> {
        let mut path = self.path.trim_end_matches('/').to_owned();
        for _ in 0..MAX_LINKS {
            let above = path.rsplit_once('/').map_or(".", |(above, _)| above);
            match beneath::stat(self.dir, &path, false) {
                Ok(found) if self.follow && found.kind == Kind::Symlink => {
                    let target = beneath::open(self.dir, &path, OFlags::PATH | OFlags::NOFOLLOW)?;
                    let target = readlinkat(target, "", Vec::new())?;
                    path = format!("{above}/{}", target.to_str().map_err(|_| Errno::Ilseq)?);
                }
                Ok(_) => return Err(Errno::Exist),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    let above = beneath::stat(self.dir, above, true)?;
                    return match above.links {
                        0 => Err(Errno::Noent),
                        _ if above.kind != Kind::Dir => Err(Errno::Notdir),
                        _ => Ok(()),
                    };
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Errno::Loop)
    }
}

impl FileHandle {
    /// Writes at an offset: less than all of it where the run's disk is nearly full.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        let Some((file, disk)) = self.writable(u64::MAX)? else { return Ok(bytes.len()) };
        let end = offset.checked_add(bytes.len() as u64).filter(|_| offset <= LAST_OFFSET).ok_or(Errno::Inval)?;
        let length = file.metadata()?.len();
        let wanted = end.saturating_sub(length);
        let granted = disk.take_bytes(wanted, &self.guest);
        let fits = if granted == wanted { end } else { length + granted };
        let count = usize::try_from(fits.saturating_sub(offset)).unwrap_or(bytes.len()).min(bytes.len());
        let written = match count {
            0 if !bytes.is_empty() => Err(Errno::Nospc),
            _ => super::bytes::retry(|| file.write_at(&bytes[..count], offset)),
        };
        let grown = written.as_ref().map_or(0, |written| (offset + *written as u64).saturating_sub(length));
        disk.give_back(granted.saturating_sub(grown));
        written
    }

    /// Writes at the end; returns where the file then ends.
    pub fn append(&self, bytes: &[u8]) -> Result<(usize, u64), Errno> {
        let Some((file, _)) = self.writable(u64::MAX)? else { return Ok((bytes.len(), 0)) };
        let end = file.metadata()?.len();
        let written = self.write_at(bytes, end)?;
        Ok((written, end + written as u64))
    }

    /// Cuts or lengthens the file.
    pub fn set_size(&self, size: u64) -> Result<(), Errno> {
        if size > LAST_OFFSET {
            return if self.write { Err(Errno::Inval) } else { Err(Errno::Badf) };
        }
        let Some((file, disk)) = self.writable(size)? else { return Ok(()) };
        let length = file.metadata()?.len();
        let wanted = size.saturating_sub(length);
        let granted = disk.take_bytes(wanted, &self.guest);
        let set = if granted < wanted { Err(Errno::Nospc) } else { file.set_len(size).map_err(Errno::from) };
        disk.give_back(if set.is_ok() { length.saturating_sub(size) } else { granted });
        set
    }
}
