//! The bytes of a layer's files: read from the host until the first write, from then on from a private copy.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::super::disk::Disk;
use super::super::handle::Stat;
use super::super::times::{NewTime, Times};
use super::lower::Lower;
use super::node::{Seen, lock};
use super::private::Private;
use super::source::Source;
use crate::sandbox::errno::Errno;
use crate::sandbox::store::Control;

/// Bytes copied between two looks at the deadline.
const PIECE_BYTES: usize = 1 << 20;

/// What the files of one layer need, for as long as there is one of them.
#[derive(Debug)]
pub(in super::super) struct Ground {
    pub(in super::super) lower: Option<LowerRoot>,
    pub(in super::super) private: Arc<Private>,
    pub(super) disk: Disk,
    pub(super) control: Control,
    /// Makes its numbers of files unlike those of other layers and of the host.
    pub(super) device: u64,
}

/// What lies under a layer.
#[derive(Debug)]
pub(in super::super) enum LowerRoot {
    Dir(Lower),
    /// One granted file.
    File {
        file: Source,
        /// The directory of the host that it was in, and its name there, for what is applied.
        place: Option<(Lower, String)>,
    },
}

/// A regular file.
#[derive(Debug)]
pub(in super::super) struct FileNode {
    ground: Arc<Ground>,
    ino: u64,
    /// The file of the host that shows through, by its path below the layer's.
    pub(in super::super) lower: Option<String>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    links: u64,
    /// The number of the private copy.
    copy: Option<u64>,
    open: Weak<OpenFile>,
    /// The file of the host as it was when it was copied.
    copied: Option<Seen>,
}

/// An open file; all its handles share it, so what one writes the others read.
#[derive(Debug)]
pub(in super::super) struct OpenFile {
    node: Arc<FileNode>,
    /// What was there when it was opened.
    first: Source,
    /// `first` is the host's: it is only read.
    shows_lower: bool,
    /// The private copy that was made since.
    copy: OnceLock<Arc<File>>,
}

impl FileNode {
    /// A file that shows what the host has at a path.
    pub(super) fn of_lower(ground: &Arc<Ground>, path: String, stat: &Stat) -> Arc<Self> {
        let state = State { links: 1, copy: None, open: Weak::new(), copied: None };
        Arc::new(Self { ground: ground.clone(), ino: stat.ino, lower: Some(path), state: Mutex::new(state) })
    }

    /// One whose bytes are told later.
    pub(super) fn without_bytes(ground: &Arc<Ground>, ino: u64) -> Arc<Self> {
        let state = State { links: 1, copy: None, open: Weak::new(), copied: None };
        Arc::new(Self { ground: ground.clone(), ino, lower: None, state: Mutex::new(state) })
    }

    /// The number of its private copy, and what the host's file looked like when that was made.
    pub(super) fn copy_told(&self) -> (Option<u64>, Option<Seen>) {
        let state = lock(&self.state);
        (state.copy, state.copied)
    }

    /// Is as it was told.
    pub(super) fn become_copied(&self, copy: Option<u64>, copied: Option<Seen>) {
        let mut state = lock(&self.state);
        (state.copy, state.copied) = (copy, copied);
    }

    /// A new, empty one.
    pub(super) fn empty(ground: &Arc<Ground>, ino: u64) -> Result<(Arc<Self>, Arc<OpenFile>), Errno> {
        let (number, file) = ground.private.create()?;
        let state = State { links: 1, copy: Some(number), open: Weak::new(), copied: None };
        let node = Arc::new(Self { ground: ground.clone(), ino, lower: None, state: Mutex::new(state) });
        let open =
            OpenFile { node: node.clone(), first: Source::whole(file), shows_lower: false, copy: OnceLock::new() };
        let open = Arc::new(open);
        lock(&node.state).open = Arc::downgrade(&open);
        Ok((node, open))
    }

    /// Opens it; what is not a regular file any more is refused by `check`.
    pub(in super::super) fn open(
        self: &Arc<Self>,
        check: impl FnOnce(&File) -> Result<(), Errno>,
    ) -> Result<Arc<OpenFile>, Errno> {
        let mut state = lock(&self.state);
        if let Some(open) = state.open.upgrade() {
            return Ok(open);
        }
        let (first, shows_lower) = match (state.copy, &self.ground.lower, &self.lower) {
            (Some(number), ..) => (Source::whole(self.ground.private.open(number)?), false),
            (None, Some(LowerRoot::Dir(lower)), Some(path)) => (lower.read(path)?, true),
            (None, Some(LowerRoot::File { file, .. }), _) => (file.clone(), true),
            _ => return Err(Errno::Io),
        };
        if shows_lower && let Some(file) = first.as_file() {
            check(file)?;
        }
        let open = Arc::new(OpenFile { node: self.clone(), first, shows_lower, copy: OnceLock::new() });
        state.open = Arc::downgrade(&open);
        Ok(open)
    }

    pub(in super::super) fn stat(&self) -> Result<Stat, Errno> {
        let state = lock(&self.state);
        let stat = match (state.copy, &self.ground.lower, &self.lower) {
            (Some(number), ..) => self.ground.private.stat(number)?,
            (None, Some(LowerRoot::File { file, .. }), _) => file.stat()?,
            (None, Some(LowerRoot::Dir(lower)), Some(path)) => match state.open.upgrade() {
                Some(open) => open.now()?,
                None => lower.look(path)?.ok_or(Errno::Noent)?.stat,
            },
            _ => return Err(Errno::Io),
        };
        Ok(self.told(stat, state.links))
    }

    /// What the guest is told: the number it has kept since it was first seen.
    fn told(&self, stat: Stat, links: u64) -> Stat {
        Stat { dev: self.ground.device, ino: self.ino, links, ..stat }
    }

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }

    /// Opens what it has now, to be read when the guest is gone.
    pub(in super::super) fn bytes(&self) -> Result<Source, Errno> {
        match lock(&self.state).copy {
            Some(number) => self.ground.private.open(number).map(Source::whole),
            None => self.host(),
        }
    }

    /// Opens what the host has.
    pub(in super::super) fn host(&self) -> Result<Source, Errno> {
        match (&self.ground.lower, &self.lower) {
            (Some(LowerRoot::File { file, .. }), _) => Ok(file.clone()),
            (Some(LowerRoot::Dir(lower)), Some(path)) => lower.read(path),
            _ => Err(Errno::Noent),
        }
    }

    /// Whether the guest may have changed it.
    pub(in super::super) fn is_copied(&self) -> bool {
        lock(&self.state).copy.is_some()
    }

    /// What the host's file looked like when it was copied.
    pub(in super::super) fn copied(&self) -> Option<Seen> {
        lock(&self.state).copied
    }

    pub(super) fn count_links(&self, count: impl FnOnce(&mut u64)) {
        count(&mut lock(&self.state).links);
    }
}

impl Drop for FileNode {
    fn drop(&mut self) {
        let copy = self.state.get_mut().unwrap_or_else(|broken| broken.into_inner()).copy;
        if let Some(number) = copy {
            self.ground.disk.give_back(self.ground.private.remove(number));
        }
    }
}

impl OpenFile {
    pub(in super::super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        match self.copy.get() {
            Some(copy) => copy.read_at(buffer, offset),
            None => self.first.read_at(buffer, offset),
        }
    }

    /// What it is, as the host tells it.
    fn now(&self) -> std::io::Result<Stat> {
        match self.copy.get() {
            Some(copy) => Ok(Stat::of_std(&copy.metadata()?)),
            None => self.first.stat(),
        }
    }

    pub(in super::super) fn disk(&self) -> &Disk {
        &self.node.ground.disk
    }

    pub(in super::super) fn stat(&self) -> Result<Stat, Errno> {
        let stat = self.now()?;
        Ok(self.node.told(stat, lock(&self.node.state).links))
    }

    pub(in super::super) fn set_times(&self, times: Times, guest: &str) -> Result<(), Errno> {
        Ok(self.for_writing(u64::MAX, guest)?.set_times(times.to_std())?)
    }

    /// The private copy, made now if there is none; no more than `keep` bytes of the host's file are wanted.
    pub(in super::super) fn for_writing(&self, keep: u64, guest: &str) -> Result<&File, Errno> {
        if !self.shows_lower {
            return self.first.as_file().ok_or(Errno::Io);
        }
        if let Some(copy) = self.copy.get() {
            return Ok(copy);
        }
        let mut state = lock(&self.node.state);
        // Another thread may have been faster.
        if let Some(copy) = self.copy.get() {
            return Ok(copy);
        }
        let lower = &self.first;
        let ground = &self.node.ground;
        let stat = lower.stat()?;
        let wanted = stat.size.min(keep);
        let granted = ground.disk.take_bytes(wanted, guest);
        let copied = if granted < wanted {
            Err(Errno::Nospc)
        } else {
            ground.private.create().and_then(|(number, file)| {
                copy(lower, &file, wanted, &ground.control)
                    .inspect_err(|_| _ = ground.private.remove(number))
                    .map(|()| (number, file))
            })
        };
        let (number, file) = copied.inspect_err(|_| ground.disk.give_back(granted))?;
        let at = |nanos| Some(NewTime::At(nanos));
        file.set_times(Times { accessed: at(stat.accessed), modified: at(stat.modified) }.to_std())?;
        state.copy = Some(number);
        state.copied = Some(Seen::of(&stat));
        Ok(self.copy.get_or_init(|| Arc::new(file)))
    }
}

impl Ground {
    /// Keeps a copy of a file for the caller, who is under no deadline; its number.
    pub(super) fn keep(&self, from: &Source) -> Result<u64, Errno> {
        let (number, to) = self.private.create()?;
        let mut buffer = vec![0; PIECE_BYTES];
        let mut done = 0;
        loop {
            let count = super::super::bytes::retry(|| from.read_at(&mut buffer, done))?;
            if count == 0 {
                return Ok(number);
            }
            to.write_all_at(&buffer[..count], done)?;
            done += count as u64;
        }
    }
}

/// Copies so many bytes; a file that meanwhile became shorter is filled with zeros, as one that was cut.
fn copy(from: &Source, to: &File, bytes: u64, control: &Control) -> Result<(), Errno> {
    let mut buffer = vec![0; PIECE_BYTES.min(usize::try_from(bytes).unwrap_or(PIECE_BYTES))];
    let mut done = 0;
    while done < bytes {
        // The run is ended by its supervisor; this only keeps it from waiting for us.
        control.check().map_err(|_| Errno::Io)?;
        let left = usize::try_from(bytes - done).unwrap_or(usize::MAX).min(buffer.len());
        let count = super::super::bytes::retry(|| from.read_at(&mut buffer[..left], done))?;
        if count == 0 {
            return Ok(to.set_len(bytes)?);
        }
        to.write_all_at(&buffer[..count], done)?;
        done += count as u64;
    }
    Ok(())
}
