//! Standard streams: captured, or handed to a file descriptor of the host, under one output total.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::errno::Errno;
use super::stop::{Limit, Stop};

/// Longest piece moved in one step, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// Longest write to a pipe that was said to be writable: more may block.
const PIPE_BYTES: usize = 4096;

/// Longest stay in one wait for a descriptor, so that its thread is soon free after the run is gone.
const WAIT_SLICE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

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
        let regular =
            rustix::fs::fstat(&fd).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file());
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
    Wait(Arc<OwnedFd>),
}

/// Both output streams of a run and their total. Clones share it.
#[derive(Clone, Debug)]
pub struct Output(Arc<Mutex<OutputState>>);

#[derive(Debug)]
struct OutputState {
    sinks: [Sink; 2],
    written: u64,
    limit: u64,
    truncated: bool,
    broken: u32,
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
        Self(Arc::new(Mutex::new(OutputState {
            sinks: [stdout, stderr],
            written: 0,
            limit,
            truncated: false,
            broken: 0,
        })))
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
        let wrote = match &mut state.sinks[stream as usize] {
            Sink::Discard => wanted.len(),
            Sink::Capture(kept) => {
                kept.extend_from_slice(wanted);
                wanted.len()
            }
            Sink::Fd { fd, regular } => match write_ready(fd, *regular, wanted) {
                Ok(Some(wrote)) => wrote,
                Ok(None) => return Ok(Ok(Wrote::Wait(fd.clone()))),
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

    /// Writes all of it, waiting where a descriptor is slow.
    pub async fn write_all(&self, stream: Stream, mut bytes: &[u8]) -> Result<Result<(), Errno>, Stop> {
        while !bytes.is_empty() {
            match self.write(stream, bytes)? {
                Ok(Wrote::Done(count)) => bytes = &bytes[count..],
                Ok(Wrote::Wait(fd)) => wait_writable(fd).await,
                Err(errno) => return Ok(Err(errno)),
            }
        }
        Ok(Ok(()))
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
    if !regular && !is_ready(fd, PollFlags::OUT) {
        return Ok(None);
    }
    let piece = &bytes[..bytes.len().min(if regular { PIECE_BYTES } else { PIPE_BYTES })];
    loop {
        match rustix::io::write(fd, piece) {
            Ok(count) => return Ok(Some(count)),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return Ok(None),
            Err(errno) => return Err(Errno::from(errno)),
        }
    }
}

fn is_ready(fd: &OwnedFd, flags: PollFlags) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut [PollFd::new(fd, flags)], Some(&now)), Ok(count) if count > 0)
}

/// Waits until a descriptor takes more.
pub async fn wait_writable(fd: Arc<OwnedFd>) {
    wait_for(fd, PollFlags::OUT).await;
}

/// Waits, off this thread and for one slice, until a descriptor is ready.
async fn wait_for(fd: Arc<OwnedFd>, flags: PollFlags) {
    let wait = move || {
        // Whatever it answers, the caller looks again.
        let _ = poll(&mut [PollFd::new(&*fd, flags)], Some(&WAIT_SLICE));
    };
    // A pool without threads to spare must not turn into a busy loop.
    if tokio::task::spawn_blocking(wait).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
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
    ended: bool,
}

impl Input {
    /// Input from a source.
    pub fn new(source: Source) -> Self {
        Self(Arc::new(Mutex::new(InputState { source, ended: false })))
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
        match &mut state.source {
            Source::Empty => Ok(Read::Bytes(Bytes::new())),
            Source::Bytes(bytes) => {
                let count = max.min(bytes.len());
                Ok(Read::Bytes(bytes.split_to(count)))
            }
            Source::Fd(fd) => {
                if !is_ready(fd, PollFlags::IN) {
                    return Ok(Read::Wait);
                }
                let mut buffer = vec![0; max.min(PIECE_BYTES)];
                match rustix::io::read(&**fd, &mut buffer) {
                    Ok(0) => {
                        state.ended = true;
                        Ok(Read::Bytes(Bytes::new()))
                    }
                    Ok(count) => {
                        buffer.truncate(count);
                        Ok(Read::Bytes(buffer.into()))
                    }
                    Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(Read::Wait),
                    Err(errno) => Err(Errno::from(errno)),
                }
            }
        }
    }

    /// Up to `max` bytes, waiting for the first of them.
    pub async fn read_some(&self, max: usize) -> Result<Bytes, Errno> {
        loop {
            match self.read(max)? {
                Read::Bytes(bytes) => return Ok(bytes),
                Read::Wait => self.wait().await,
            }
        }
    }

    /// Waits, for one slice at most, until there may be something to read.
    pub async fn wait(&self) {
        let fd = match &self.state().source {
            Source::Fd(fd) => fd.clone(),
            _ => return,
        };
        wait_for(fd, PollFlags::IN).await;
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
