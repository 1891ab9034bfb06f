//! Memories and globals of a guest in a worker, as its parent reads and writes them: copies, in frames that are no longer
//! than what the host holds for a guest, and within bounds that both sides look at.

use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::messages::{Touch, Touched};
use crate::error::{Error, Result};
use crate::plugin::{Access, Accessed, Number, Tape};
use crate::policy::Limits;
use crate::sandbox::access::{Elsewhere, is_inside};
use crate::worker::ask::{OTHER, Told, answer_of};
use crate::worker::frame::{Broken, Caps};
use crate::worker::parcel::Parcel;
use crate::worker::place::Place;
use crate::worker::pool::Worker;
use crate::worker::protocol::{Answer, MAX_ANSWER_BYTES, Request, write};

/// Most bytes of a memory in one frame, whatever the host may hold.
const MOST_BYTES: u64 = 8 << 20;

/// Fewest bytes: a limit that is less makes no frames without end.
const FEWEST_BYTES: u64 = 4096;

/// Why nothing came of it.
pub(crate) enum Untouched {
    /// Its guest goes on.
    Not(Error),
    /// The worker has to go, or is gone.
    Gone(String),
}

/// What the worker has to go for, or an error of ours before it heard of anything.
enum Failed {
    Error(Error),
    Broken(Broken),
}

impl From<Broken> for Failed {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

fn other() -> Failed {
    Failed::Broken(Broken::Protocol(OTHER.into()))
}

type Look<'a> = &'a mut dyn FnMut() -> ControlFlow<()>;

/// A worker whose guest waits: between two calls, or in the call of this number.
struct Hand<'a> {
    worker: &'a mut Worker,
    call: Option<u64>,
    limits: &'a Limits,
    look: Look<'a>,
}

impl Hand<'_> {
    /// One question, with these bytes; the answer, with at most so many.
    fn touch(
        &mut self,
        touch: impl FnOnce(&Parcel) -> Touch,
        bytes: &[u8],
        most: u64,
    ) -> std::result::Result<(Touched, Vec<u8>), Failed> {
        let parcel = Parcel::of(bytes).map_err(Failed::Error)?;
        let number = self.call.unwrap_or_else(|| self.worker.next_request());
        let metadata = write(&Request::Touch(touch(&parcel))).map_err(Broken::Protocol)?;
        let descriptors: Vec<BorrowedFd<'_>> = parcel.file().into_iter().collect();
        self.worker.link.send(number, &metadata, [parcel.tail(bytes), &[]], &descriptors, self.look)?;
        let caps = Caps { metadata: MAX_ANSWER_BYTES, tail: most, descriptors: 0 };
        match answer_of(self.worker, number, caps, self.look)? {
            (Answer::Touched(touched @ Touched::Read), tail) => Ok((touched, tail)),
            (Answer::Touched(touched), tail) if tail.is_empty() => Ok((touched, tail)),
            _ => Err(other()),
        }
    }

    /// How many bytes a memory has: no more than it may.
    fn size(&mut self, memory: u32) -> std::result::Result<u64, Failed> {
        match self.touch(|_| Touch::Size(memory), &[], 0)? {
            (Touched::Size(size), _) if size <= self.limits.memory.0 => Ok(size),
            _ => Err(other()),
        }
    }

    /// That something is beyond the end, if that is so.
    fn outside(&self, size: u64, at: u64, len: u64) -> std::result::Result<Accessed, Failed> {
        let is_so = size <= self.limits.memory.0 && !is_inside(size, at, len);
        if is_so { Ok(Accessed::Outside(size)) } else { Err(other()) }
    }

    fn access(&mut self, memory: usize, access: Access<'_>) -> std::result::Result<Accessed, Failed> {
        let memory = u32::try_from(memory).unwrap_or(u32::MAX);
        let piece = self.limits.host_bytes.0.clamp(FEWEST_BYTES, MOST_BYTES);
        let (at, len) = match access {
            Access::Size => return self.size(memory).map(Accessed::Size),
            Access::Grow(pages) => {
                return match self.touch(|_| Touch::Grow { memory, pages }, &[], 0)? {
                    (Touched::Size(before), _) if before <= self.limits.memory.0 => Ok(Accessed::Size(before)),
                    (Touched::Full, _) => Ok(Accessed::Full),
                    _ => Err(other()),
                };
            }
            Access::Read { at, len } => (at, len),
            Access::Write { at, bytes } => (at, bytes.len() as u64),
        };
        if len > piece {
            let size = self.size(memory)?;
            if !is_inside(size, at, len) {
                return Ok(Accessed::Outside(size));
            }
        }
        let (mut done, mut read) = (0, Vec::new());
        loop {
            let now = (len - done).min(piece);
            let here = at.wrapping_add(done);
            let touched = match access {
                Access::Write { bytes, .. } => {
                    let bytes = part(bytes, done, now);
                    self.touch(|parcel| Touch::Write { memory, at: here, bytes: (parcel.from(), now) }, bytes, 0)?
                }
                _ => self.touch(|_| Touch::Read { memory, at: here, len: now }, &[], now)?,
            };
            match (touched, access) {
                ((Touched::Written, _), Access::Write { .. }) => {}
                ((Touched::Read, bytes), Access::Read { .. }) if bytes.len() as u64 == now => {
                    if now == len {
                        return Ok(Accessed::Bytes(bytes));
                    }
                    read.extend_from_slice(&bytes);
                }
                ((Touched::Outside(size), _), _) if done == 0 && now == len => return self.outside(size, at, len),
                _ => return Err(other()),
            }
            done += now;
            if done == len {
                return Ok(if matches!(access, Access::Write { .. }) {
                    Accessed::Written
                } else {
                    Accessed::Bytes(read)
                });
            }
        }
    }
}

fn part(bytes: &[u8], from: u64, len: u64) -> &[u8] {
    let range = usize::try_from(from).ok().zip(usize::try_from(from.saturating_add(len)).ok());
    range.and_then(|(from, to)| bytes.get(from..to)).unwrap_or_default()
}

/// A plugin that is read and written between two calls.
pub(crate) struct Touching<'a>(Hand<'a>);

impl<'a> Touching<'a> {
    pub(super) fn new(worker: &'a mut Worker, limits: &'a Limits, look: Look<'a>) -> Self {
        Self(Hand { worker, call: None, limits, look })
    }

    pub(crate) fn access(&mut self, memory: usize, access: Access<'_>) -> std::result::Result<Accessed, Untouched> {
        let done = self.0.access(memory, access);
        self.known(done)
    }

    /// The value of a global of that type.
    pub(crate) fn global(&mut self, index: usize, kind: Option<Number>) -> std::result::Result<u64, Untouched> {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let done = self.0.touch(|_| Touch::Global(index), &[], 0).and_then(|touched| match touched {
            (Touched::Word(word), _) if kind.is_some_and(|kind| kind.is_of(word)) => Ok(word),
            _ => Err(other()),
        });
        self.known(done)
    }

    pub(crate) fn set_global(&mut self, index: usize, to: &Tape) -> std::result::Result<(), Untouched> {
        let global = u32::try_from(index).unwrap_or(u32::MAX);
        let word = to.reader().word().unwrap_or_default();
        let done = self.0.touch(|_| Touch::Set { global, word }, &[], 0).and_then(|touched| match touched {
            (Touched::Written, _) => Ok(()),
            _ => Err(other()),
        });
        self.known(done)
    }

    fn known<T>(&self, done: std::result::Result<T, Failed>) -> std::result::Result<T, Untouched> {
        done.map_err(|failed| match failed {
            Failed::Error(error) => Untouched::Not(error),
            Failed::Broken(broken) => Untouched::Gone(match broken {
                Broken::Closed => format!("its worker died of {}", self.0.worker.how_it_died()),
                Broken::Protocol(why) => format!("its worker broke its protocol: {why}"),
                Broken::GaveUp => "its worker did not answer before the caller gave up on it".into(),
            }),
        })
    }
}

/// A guest that waits inside of a function of this process, whose memory that function may look at.
pub(super) struct Waiting {
    pub(super) place: Place<Arc<str>>,
    pub(super) limits: Limits,
    pub(super) until: Instant,
    /// What its worker has to go for.
    lost: Mutex<Option<Told>>,
}

impl Waiting {
    pub(super) fn new(place: Place<Arc<str>>, limits: Limits, until: Instant) -> Self {
        Self { place, limits, until, lost: Mutex::default() }
    }

    /// What its worker has to go for, if that has come out meanwhile.
    pub(super) fn take_lost(&self) -> Option<Told> {
        self.lost.lock().unwrap_or_else(|broken| broken.into_inner()).take()
    }
}

fn gone(why: &str) -> Error {
    Error::plugin(
        "no access to the memory of a plugin",
        why,
        "look at it while the call is under way, or call `restart()`",
    )
}

impl Elsewhere for Waiting {
    fn access(&self, memory: usize, access: Access<'_>) -> Result<Accessed> {
        let done = self.place.while_inside(|inside| {
            let mut lost = self.lost.lock().unwrap_or_else(|broken| broken.into_inner());
            if lost.is_some() {
                return Err(gone("its worker is gone"));
            }
            let mut look =
                || if Instant::now() < self.until { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
            let call = Some(inside.running.number());
            let worker = &mut inside.taken.worker;
            match (Hand { worker, call, limits: &self.limits, look: &mut look }).access(memory, access) {
                Ok(done) => Ok(done),
                Err(Failed::Error(error)) => Err(error),
                Err(Failed::Broken(broken)) => {
                    *lost = Some(inside.running.lost(&inside.taken.worker, broken));
                    Err(gone("its worker is gone"))
                }
            }
        });
        done.unwrap_or_else(|| Err(gone("the call that it was shown in is over")))
    }
}
