//! Frames over one Unix socket: lengths checked before anything is kept for them.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv,
    recvmsg, sendmsg,
};

/// Length of what every frame begins with.
pub(super) const HEADER_BYTES: usize = 24;

/// Most descriptors with one frame: what Linux passes in one message.
pub(super) const MAX_DESCRIPTORS: usize = 253;

/// Most bytes asked of the socket in one step.
const PIECE_BYTES: usize = 256 << 10;

/// Time between two looks around of a sender that has to wait.
const LOOK: Duration = Duration::from_millis(20);

/// One message, whole.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) request: u64,
    pub(super) metadata: Vec<u8>,
    pub(super) tail: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
}

/// The most that is taken of the other side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    pub(super) metadata: u32,
    pub(super) tail: u64,
    pub(super) descriptors: u32,
}

/// Why there is no talking to the other side any more.
#[derive(Debug)]
pub(super) enum Broken {
    /// It is gone.
    Closed,
    /// It said what it must not.
    Protocol(String),
    /// The caller would not wait any longer.
    GaveUp,
}

impl From<Errno> for Broken {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => Self::Closed,
            errno => Self::Protocol(format!("the socket failed: {errno}")),
        }
    }
}

struct Header {
    metadata: usize,
    descriptors: usize,
    request: u64,
    tail: usize,
}

impl Header {
    fn read(bytes: &[u8], caps: Caps) -> Result<Option<Self>, Broken> {
        let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let number = |from: usize, to: usize| {
            header[from..to].iter().rev().fold(0u64, |number, byte| (number << 8) | u64::from(*byte))
        };
        let (metadata, descriptors, request, tail) = (number(0, 4), number(4, 8), number(8, 16), number(16, 24));
        if metadata > u64::from(caps.metadata) || tail > caps.tail || descriptors > u64::from(caps.descriptors) {
            let why = format!("a frame of {metadata} and {tail} bytes with {descriptors} descriptors is too long");
            return Err(Broken::Protocol(why));
        }
        let (Ok(metadata), Ok(descriptors), Ok(tail)) = (metadata.try_into(), descriptors.try_into(), tail.try_into())
        else {
            return Err(Broken::Protocol("a frame is longer than memory".into()));
        };
        Ok(Some(Self { metadata, descriptors, request, tail }))
    }

    fn total(&self) -> usize {
        HEADER_BYTES.saturating_add(self.metadata).saturating_add(self.tail)
    }
}

/// One end of the socket.
pub(super) struct Link {
    socket: OwnedFd,
    pending: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
    takes_descriptors: bool,
}

impl Link {
    /// A parent's end: descriptors that come are closed by the kernel before we see them.
    pub(super) fn of_parent(socket: OwnedFd) -> Self {
        Self { socket, pending: Vec::new(), descriptors: VecDeque::new(), takes_descriptors: false }
    }

    /// A child's end.
    pub(super) fn of_child(socket: OwnedFd) -> Self {
        Self { takes_descriptors: true, ..Self::of_parent(socket) }
    }

    /// Sends one frame; `look` is asked every 20 ms while the other side does not take it.
    pub(super) fn send(
        &self,
        request: u64,
        metadata: &[u8],
        tail: [&[u8]; 2],
        descriptors: &[BorrowedFd<'_>],
        look: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<(), Broken> {
        let too_long = || Broken::Protocol("what is to be sent is too long for a frame".into());
        if descriptors.len() > MAX_DESCRIPTORS {
            return Err(too_long());
        }
        let length = u32::try_from(metadata.len()).map_err(|_| too_long())?;
        let mut header = [0; HEADER_BYTES];
        header[0..4].copy_from_slice(&length.to_le_bytes());
        header[4..8].copy_from_slice(&u32::try_from(descriptors.len()).unwrap_or(0).to_le_bytes());
        header[8..16].copy_from_slice(&request.to_le_bytes());
        header[16..24].copy_from_slice(&((tail[0].len() + tail[1].len()) as u64).to_le_bytes());

        let parts = [&header, metadata, tail[0], tail[1]];
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let mut sent = 0;
        while sent < total {
            let mut skip = sent;
            let slices = parts.map(|part| {
                let from = skip.min(part.len());
                skip -= from;
                IoSlice::new(&part[from..])
            });
            // Descriptors go with the first byte.
            let with = if sent == 0 { descriptors } else { &[] };
            match self.send_once(&slices, with) {
                Ok(count) => sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if look().is_break() {
                        return Err(Broken::GaveUp);
                    }
                    self.ready(PollFlags::OUT, Some(LOOK));
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn send_once(&self, slices: &[IoSlice<'_>], descriptors: &[BorrowedFd<'_>]) -> rustix::io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        if descriptors.is_empty() {
            return sendmsg(&self.socket, slices, &mut SendAncillaryBuffer::default(), flags);
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(Errno::MSGSIZE);
        }
        sendmsg(&self.socket, slices, &mut ancillary, flags)
    }

    /// The next frame if all of it is there; never waits.
    pub(super) fn receive(&mut self, caps: Caps) -> Result<Option<Frame>, Broken> {
        loop {
            let header = Header::read(&self.pending, caps)?;
            let missing = match &header {
                Some(header) => header.total().saturating_sub(self.pending.len()),
                None => HEADER_BYTES,
            };
            if let (Some(header), 0) = (header, missing) {
                return self.frame(&header).map(Some);
            }
            let read = if self.takes_descriptors { self.read_with_descriptors(missing) } else { self.read(missing) };
            match read {
                Ok(0) => return Err(Broken::Closed),
                Ok(_) => {}
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
            if self.descriptors.len() > caps.descriptors as usize {
                return Err(Broken::Protocol("more descriptors came than were announced".into()));
            }
        }
    }

    /// Whether nothing of a next frame is there yet, as far as was received.
    pub(super) fn is_between_frames(&self) -> bool {
        self.pending.is_empty()
    }

    fn frame(&mut self, header: &Header) -> Result<Frame, Broken> {
        if self.descriptors.len() < header.descriptors {
            return Err(Broken::Protocol("fewer descriptors came than were announced".into()));
        }
        let rest = self.pending.split_off(header.total());
        let mut whole = std::mem::replace(&mut self.pending, rest);
        let tail = whole.split_off(HEADER_BYTES + header.metadata);
        let metadata = whole.split_off(HEADER_BYTES);
        let descriptors = self.descriptors.drain(..header.descriptors).collect();
        Ok(Frame { request: header.request, metadata, tail, descriptors })
    }

    fn read(&mut self, missing: usize) -> rustix::io::Result<usize> {
        // Room grows with what has come, never with what was announced.
        self.pending.reserve(missing.clamp(4096, PIECE_BYTES));
        recv(&self.socket, spare_capacity(&mut self.pending), RecvFlags::DONTWAIT).map(|(count, _)| count)
    }

    fn read_with_descriptors(&mut self, missing: usize) -> rustix::io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let start = self.pending.len();
        self.pending.resize(start + missing.clamp(4096, PIECE_BYTES), 0);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let message = recvmsg(&self.socket, &mut [IoSliceMut::new(&mut self.pending[start..])], &mut ancillary, flags);
        self.pending.truncate(start + message.as_ref().map_or(0, |message| message.bytes));
        for received in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = received {
                self.descriptors.extend(descriptors);
            }
        }
        message.map(|message| message.bytes)
    }

    /// Whether something came, after at most so long; without a time, as long as it takes.
    pub(super) fn wait(&self, time: Option<Duration>) -> bool {
        self.ready(PollFlags::IN, time)
    }

    fn ready(&self, flags: PollFlags, time: Option<Duration>) -> bool {
        is_ready(self.socket.as_fd(), flags, time)
    }
}

/// Whether a descriptor is ready, after at most so long.
pub(super) fn is_ready(fd: BorrowedFd<'_>, flags: PollFlags, time: Option<Duration>) -> bool {
    let time = time.map(|time| Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() });
    matches!(poll(&mut [PollFd::from_borrowed_fd(fd, flags)], time.as_ref()), Ok(count) if count > 0)
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
