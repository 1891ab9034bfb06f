//! What each side of the protocol makes of any bytes, for `make fuzz`.

use std::time::Duration;

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};

use super::ask::open_frame;
use super::child::CAPS;
use super::frame::{Broken, Caps, Frame, Link};
use super::plugins::{Callback, Gave};
use super::protocol::{Answer, MAX_ANSWER_BYTES, Request, read};
use super::turns::most_tail;
use crate::error::Error;
use crate::host::{Signature, ValueType};
use crate::plugin::Tape;
use crate::policy::Limits;
use crate::result::RunResult;
use crate::sandbox::language::message_of;
use crate::session::TurnResult;

/// What a parent believes.
#[derive(Debug)]
pub enum Believed {
    /// That a run ended so.
    Ended(Box<RunResult>),
    /// That the worker failed so.
    Failed(Error),
    /// That its guest calls this function with so many numbers.
    Called(usize, usize),
    /// That a turn ended so.
    Turned(Box<TurnResult>),
    /// That its guest asks the functions of its session something, in so many bytes.
    Asked(usize),
    /// That a plugin gave, or calls a function with, a tape.
    Gave(Tape),
    /// Something else that it may say.
    Other,
}

/// What a parent believes of bytes that came in pieces of so many bytes, until it breaks off; and why it did.
pub fn by_parent(sent: &[u8], piece: usize, limits: &Limits) -> (Vec<Believed>, Option<String>) {
    let caps = Caps { metadata: MAX_ANSWER_BYTES, tail: most_tail(limits), descriptors: 0 };
    let functions = [[ValueType::I32, ValueType::I64], [ValueType::F32, ValueType::F64]];
    let functions = functions.map(|params| Signature { params: params.into(), results: Vec::new() });
    heard(sent, piece, caps, Link::of_parent, |frame| {
        let number = frame.request;
        let (answer, tail) = open_frame(frame, number).map_err(why)?;
        Ok(match answer {
            Answer::Ended(ended) => {
                Believed::Ended(Box::new(ended.into_result(tail, limits, Duration::from_secs(1))?))
            }
            Answer::Failed(failed) => Believed::Failed(failed.into_error()?),
            Answer::Call(call) => {
                let (function, params) = call.of(&functions)?;
                Believed::Called(function, params.len())
            }
            Answer::Turned(turned) => {
                Believed::Turned(Box::new(turned.into_result(tail, limits, Duration::from_secs(1))?))
            }
            Answer::Ask(_) => {
                message_of(&tail, limits.host_bytes.0).map_err(|_| "it is no call")?;
                Believed::Asked(tail.len())
            }
            Answer::Gave(Gave { counts, .. }) | Answer::Callback(Callback { counts, .. }) => {
                Believed::Gave(Tape::unpack(counts, tail).map_err(|why| why.to_string())?)
            }
            Answer::Ready(_) | Answer::Bound | Answer::Loaded | Answer::Plugged => Believed::Other,
            Answer::Opened(_) | Answer::Caught(_) | Answer::Touched(_) => Believed::Other,
        })
    })
}

/// The same for a child: how many requests it understands.
pub fn by_child(sent: &[u8], piece: usize) -> (usize, Option<String>) {
    let (understood, why) =
        heard(sent, piece, CAPS, Link::of_child, |frame| read::<Request>(&frame.metadata).map(drop));
    (understood.len(), why)
}

fn heard<T>(
    sent: &[u8],
    piece: usize,
    caps: Caps,
    link: fn(std::os::fd::OwnedFd) -> Link,
    mut take: impl FnMut(Frame) -> Result<T, String>,
) -> (Vec<T>, Option<String>) {
    let mut taken = Vec::new();
    let flags = SocketFlags::CLOEXEC;
    let Ok((ours, theirs)) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None) else {
        return (taken, None);
    };
    let mut link = link(ours);
    for piece in sent.chunks(piece.max(1)) {
        if send(&theirs, piece, SendFlags::DONTWAIT).is_err() {
            break;
        }
        loop {
            match link.receive(caps).map_err(why).and_then(|frame| frame.map(&mut take).transpose()) {
                Ok(Some(one)) => taken.push(one),
                Ok(None) => break,
                Err(why) => return (taken, Some(why)),
            }
        }
    }
    (taken, None)
}

fn why(broken: Broken) -> String {
    format!("{broken:?}")
}
