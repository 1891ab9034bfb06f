//! Standard streams: captured, or handed to a file descriptor of the host, under one output total.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::{Errno as Host, ReadWriteFlags, preadv2, pwritev2};
use tokio::sync::Notify;

use super::errno::Errno;
use super::journal::Journal;
use super::stop::{Limit, Stop};

/// Longest piece moved in one step, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// Longest write to a pipe that was said to be writable: more may block.
const PIPE_BYTES: usize = 4096;

/// Longest stay in one wait for a descriptor, so that its thread is soon free after the run is gone.
const WAIT_SLICE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Longest stay of a guest in one wait, should that thread never come.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Where a guest's output goes.
#[derive(Debug)]
pub enum Sink {
    /// Kept in memory for the result.
    Capture(Vec<u8>),
    /// Written to a file descriptor of the host.
    Fd {
        /// The descriptor, ours to close.
        fd: Arc<OwnedFd>,
        /// A regular file never blocks for long, so it is written in large pieces.
        regular: bool,
    },
    /// Counted and dropped.
    Discard,
}

impl Sink {
    /// A sink that writes to a descriptor.
    pub fn fd(fd: OwnedFd) -> Self {
        let regular = is_regular(&fd);
        let fd = if rustix::termios::isatty(&fd) { unblocked(&fd).unwrap_or(fd) } else { fd };
        Self::Fd { fd: Arc::new(fd), regular }
    }
}

impl Sink {
    /// Bytes that were captured.
    fn captured(&self) -> u64 {
        match self {
            Self::Capture(kept) => kept.len() as u64,
            _ => 0,
        }
    }

    /// A sink that writes to a descriptor that was prepared by [`Sink::fd`] in another process.
    pub(crate) fn as_it_is(fd: OwnedFd) -> Self {
        let regular = is_regular(&fd);
        Self::Fd { fd: Arc::new(fd), regular }
    }
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Stream {
    Stdout = 0,
    Stderr = 1,
}

/// How far a write got.
pub enum Wrote {
    /// So many bytes are written.
    Done(usize),
    /// Nothing yet: wait for this descriptor.
    Wait(Waiter),
}

/// Both output streams of a run and their total. Clones share it.
#[derive(Clone, Debug)]
pub struct Output(Arc<Mutex<OutputState>>);

#[derive(Debug)]
struct OutputState {
    sinks: [Sink; 2],
    waiters: [Option<Waiter>; 2],
    written: u64,
    limit: u64,
    truncated: bool,
    broken: u32,
    /// In a worker: where what is captured goes too, and the number of the run.
    journal: Option<(Journal, u64)>,
}

/// Writes to a pipe nobody reads that a guest may make. A native program dies of its first; one that handles the
/// error has these to say goodbye, and one that does not look would otherwise write until its deadline.
const MAX_BROKEN_WRITES: u32 = 16;

/// The exit code of a native program that such a pipe ends, as a shell tells it.
const BROKEN_PIPE_EXIT: u32 = 128 + 13;

/// What a run wrote.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Written {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub bytes: u64,
    pub truncated: bool,
}

impl Output {
    /// Two sinks under one total.
    pub fn new(stdout: Sink, stderr: Sink, limit: u64) -> Self {
        let sinks = [stdout, stderr];
        let waiters = [&sinks[0], &sinks[1]].map(|sink| match sink {
            Sink::Fd { fd, .. } => Some(Waiter::new(fd.clone(), PollFlags::OUT)),
            Sink::Capture(_) | Sink::Discard => None,
        });
        let state = OutputState { sinks, waiters, written: 0, limit, truncated: false, broken: 0, journal: None };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Writes what is captured into a journal too, for the run of that number.
    pub(crate) fn keep_in(&self, journal: Journal, run: u64) {
        self.state().journal = Some((journal, run));
    }

    fn state(&self) -> MutexGuard<'_, OutputState> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Writes what fits: past the total the rest is dropped, the result says so, and the run ends.
    pub fn write(&self, stream: Stream, bytes: &[u8]) -> Result<Result<Wrote, Errno>, Stop> {
        let mut state = self.state();
        let left = usize::try_from(state.limit - state.written).unwrap_or(usize::MAX);
        if left == 0 && !bytes.is_empty() {
            state.truncated = true;
            return Err(Stop::Limit(Limit::Output));
        }
        let wanted = &bytes[..bytes.len().min(left)];
        let OutputState { sinks, waiters, journal, .. } = &mut *state;
        let wrote = match &mut sinks[stream as usize] {
            Sink::Discard => wanted.len(),
            Sink::Capture(kept) => {
                let at = kept.len() as u64;
                kept.extend_from_slice(wanted);
                if let Some((journal, run)) = journal {
                    journal.add(*run, stream, at, wanted, [&sinks[0], &sinks[1]].map(Sink::captured));
                }
                wanted.len()
            }
            Sink::Fd { fd, regular } => match write_ready(fd, *regular, wanted) {
                Ok(Some(wrote)) => wrote,
                Ok(None) => {
                    let waiter =
                        waiters[stream as usize].get_or_insert_with(|| Waiter::new(fd.clone(), PollFlags::OUT));
                    return Ok(Ok(Wrote::Wait(waiter.clone())));
                }
                Err(errno) => {
                    state.broken += u32::from(errno == Errno::Pipe);
                    if state.broken > MAX_BROKEN_WRITES {
                        return Err(Stop::Exit(BROKEN_PIPE_EXIT));
                    }
                    return Ok(Err(errno));
                }
            },
        };
        state.written += wrote as u64;
        Ok(Ok(Wrote::Done(wrote)))
    }

    /// Most bytes to take for one write that may have to wait: what waits is held by the host, once for each handle
    /// that a guest makes of a stream.
    pub fn permit(&self, stream: Stream) -> usize {
        match &self.state().sinks[stream as usize] {
            Sink::Fd { regular: false, .. } => PIPE_BYTES,
            _ => PIECE_BYTES,
        }
    }

    /// Whether something was dropped because the total was reached.
    pub fn is_truncated(&self) -> bool {
        self.state().truncated
    }

    /// Whether a stream goes to a terminal.
    pub fn is_terminal(&self, stream: Stream) -> bool {
        match &self.state().sinks[stream as usize] {
            Sink::Fd { fd, .. } => rustix::termios::isatty(fd),
            _ => false,
        }
    }

    /// Everything that was kept, once the run is over.
    pub fn take(&self) -> Written {
        let mut state = self.state();
        let mut kept = |stream: Stream| match &mut state.sinks[stream as usize] {
            Sink::Capture(kept) => std::mem::take(kept),
            _ => Vec::new(),
        };
        let (stdout, stderr) = (kept(Stream::Stdout), kept(Stream::Stderr));
        Written { stdout, stderr, bytes: state.written, truncated: state.truncated }
    }
}

/// Writes to a descriptor if that does not block; `None` when it would.
fn write_ready(fd: &OwnedFd, regular: bool, bytes: &[u8]) -> Result<Option<usize>, Errno> {
    let piece = &bytes[..bytes.len().min(PIECE_BYTES)];
    let write = || {
        if regular {
            return rustix::io::write(fd, piece);
        }
        // A pipe that had room when it was asked may be full by now: another run may write to it.
        match pwritev2(fd, &[IoSlice::new(piece)], AT_POSITION, ReadWriteFlags::NOWAIT) {
            Err(Host::NOTSUP | Host::INVAL | Host::NOSYS | Host::PERM) if is_ready(fd, PollFlags::OUT) => {
                rustix::io::write(fd, &piece[..piece.len().min(PIPE_BYTES)])
            }
            Err(Host::NOTSUP | Host::INVAL | Host::NOSYS | Host::PERM) => Err(Host::AGAIN),
            wrote => wrote,
        }
    };
    match rustix::io::retry_on_intr(write) {
        Ok(count) => Ok(Some(count)),
        Err(Host::AGAIN) => Ok(None),
        Err(errno) => Err(Errno::from(errno)),
    }
}

/// Reads from a descriptor if that does not block; `None` when it would.
fn read_ready(fd: &OwnedFd, regular: bool, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
    let read = if regular {
        rustix::io::read(fd, buffer)
    } else {
        match preadv2(fd, &mut [IoSliceMut::new(buffer)], AT_POSITION, ReadWriteFlags::NOWAIT) {
            Err(Host::NOTSUP | Host::INVAL | Host::NOSYS | Host::PERM) => {
                if !is_ready(fd, PollFlags::IN) {
                    return Ok(None);
                }
                rustix::io::read(fd, buffer)
            }
            read => read,
        }
    };
    match read {
        Ok(count) => Ok(Some(count)),
        Err(Host::INTR | Host::AGAIN) => Ok(None),
        Err(errno) => Err(Errno::from(errno)),
    }
}

/// The same terminal through a description of our own, which does not block: one that is stopped (Ctrl-S) says that
/// it has room and then holds the writer. The caller's own description stays as it is.
fn unblocked(terminal: &OwnedFd) -> Option<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(format!("/proc/self/fd/{}", terminal.as_raw_fd()), flags, rustix::fs::Mode::empty()).ok()
}

/// The offset that means the descriptor's own position.
const AT_POSITION: u64 = u64::MAX;

fn is_regular(fd: &OwnedFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file())
}

fn is_ready(fd: &OwnedFd, flags: PollFlags) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut [PollFd::new(fd, flags)], Some(&now)), Ok(count) if count > 0)
}

/// Waits until a descriptor takes more.
pub async fn wait_writable(waiter: Waiter) {
    waiter.wait().await;
}

/// Waits for one descriptor, on one thread however many wait: a guest may make ten thousand handles of a stream.
#[derive(Clone, Debug)]
pub struct Waiter(Arc<Waiting>);

#[derive(Debug)]
struct Waiting {
    fd: Arc<OwnedFd>,
    flags: PollFlags,
    under_way: AtomicBool,
    over: Notify,
}

impl Waiter {
    fn new(fd: Arc<OwnedFd>, flags: PollFlags) -> Self {
        Self(Arc::new(Waiting { fd, flags, under_way: AtomicBool::new(false), over: Notify::new() }))
    }

    /// Waits, off this thread and for a slice or two, until the descriptor may be ready; the caller looks again.
    async fn wait(&self) {
        let mut over = std::pin::pin!(self.0.over.notified());
        over.as_mut().enable();
        if !self.0.under_way.swap(true, Ordering::SeqCst) {
            let waiting = self.0.clone();
            // Not awaited: whoever waits hears of it, and it ends by itself when nobody does.
            drop(tokio::task::spawn_blocking(move || {
                let _ = poll(&mut [PollFd::new(&*waiting.fd, waiting.flags)], Some(&WAIT_SLICE));
                waiting.under_way.store(false, Ordering::SeqCst);
                waiting.over.notify_waiters();
            }));
        }
        // Where no thread is free for it, this is slower and not a busy loop.
        let _ = tokio::time::timeout(LONGEST_WAIT, over).await;
    }
}

/// Where a guest's input comes from.
#[derive(Debug)]
pub enum Source {
    /// Nothing: the end of the file at once.
    Empty,
    /// These bytes.
    Bytes(Bytes),
    /// A file descriptor of the host.
    Fd(Arc<OwnedFd>),
}

/// What a read found.
pub enum Read {
    /// Some bytes; none means the end.
    Bytes(Bytes),
    /// Nothing yet.
    Wait,
}

/// Standard input of a run. Clones share their place in it.
#[derive(Clone, Debug)]
pub struct Input(Arc<Mutex<InputState>>);

#[derive(Debug)]
struct InputState {
    source: Source,
    waiter: Option<Waiter>,
    regular: bool,
    ended: bool,
}

impl Input {
    /// Input from a source.
    pub fn new(source: Source) -> Self {
        let (waiter, regular) = match &source {
            Source::Fd(fd) => (Some(Waiter::new(fd.clone(), PollFlags::IN)), is_regular(fd)),
            Source::Empty | Source::Bytes(_) => (None, true),
        };
        Self(Arc::new(Mutex::new(InputState { source, waiter, regular, ended: false })))
    }

    fn state(&self) -> MutexGuard<'_, InputState> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Up to `max` bytes if there are any without waiting.
    pub fn read(&self, max: usize) -> Result<Read, Errno> {
        let mut state = self.state();
        if state.ended || max == 0 {
            return Ok(Read::Bytes(Bytes::new()));
        }
        let regular = state.regular;
        match &mut state.source {
            Source::Empty => Ok(Read::Bytes(Bytes::new())),
            Source::Bytes(bytes) => {
                let count = max.min(bytes.len());
                Ok(Read::Bytes(bytes.split_to(count)))
            }
            Source::Fd(fd) => {
                let mut buffer = vec![0; max.min(PIECE_BYTES)];
                let Some(count) = read_ready(fd, regular, &mut buffer)? else { return Ok(Read::Wait) };
                state.ended = count == 0;
                buffer.truncate(count);
                Ok(Read::Bytes(buffer.into()))
            }
        }
    }

    /// Waits, for one slice at most, until there may be something to read.
    pub async fn wait(&self) {
        let waiter = self.state().waiter.clone();
        if let Some(waiter) = waiter {
            waiter.wait().await;
        }
    }

    /// Whether a read would not wait.
    pub fn is_ready(&self) -> bool {
        let state = self.state();
        match &state.source {
            Source::Fd(fd) => state.ended || is_ready(fd, PollFlags::IN),
            _ => true,
        }
    }

    /// Whether it comes from a terminal.
    pub fn is_terminal(&self) -> bool {
        match &self.state().source {
            Source::Fd(fd) => rustix::termios::isatty(fd),
            _ => false,
        }
    }
}

/// A guest's stream error as the host's, for levels that carry one.
pub fn io_error(errno: Errno) -> io::Error {
    match errno {
        Errno::Pipe => io::ErrorKind::BrokenPipe.into(),
        _ => io::Error::other(format!("{errno:?}")),
    }
}
