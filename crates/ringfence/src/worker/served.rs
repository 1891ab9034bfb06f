//! The session of a worker, as the worker serves it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bytes::Bytes;
use zeroize::Zeroizing;

use super::child::{Room, no_space, refused, whole};
use super::protocol::{From, To};
use super::proxy::Line;
use super::turns::{Capture, Caught, Eval, Open, Opened};
use crate::error::Result;
use crate::lasting::CENTURY;
use crate::sandbox::files::Space;
use crate::sandbox::host_calls::{HostCalls, Relay};
use crate::sandbox::http::Secrets;
use crate::sandbox::stdio::Sink;
use crate::sandbox::store::Control;
use crate::session::{Given, Handed, InWorker, Inside, Turn, TurnResult};

impl Room {
    /// Opens a session, in the place of the one before.
    pub(super) fn open(
        &mut self,
        open: Open,
        tail: Vec<u8>,
        descriptors: Vec<OwnedFd>,
        number: u64,
        parent: &Line,
    ) -> Result<Opened> {
        self.session = None;
        let sandbox = self.programs.get(&open.program).ok_or_else(|| refused("the program is not loaded"))?;
        let mut descriptors = descriptors.into_iter();
        let list = match open.functions {
            Some(place) => Some(handed(place, tail, &mut descriptors)?),
            None => None,
        };
        let mut directory = |comes: bool| match comes {
            true => descriptors.next().map(Some).ok_or_else(|| refused("a session's directories are missing")),
            false => Ok(None),
        };
        let (tmp, layers) = (directory(open.tmp)?, directory(open.layers)?);
        let space = Space::handed(tmp, layers).map_err(|error| no_space(&error))?;
        let values = open.secrets.into_iter().map(|value| value.map(Zeroizing::new)).collect();
        let secrets = Secrets::with_values(&self.policy.secrets, values)?;
        let functions = list.map(|list| Arc::new(parent.session_functions(list)) as Arc<dyn Relay>);
        let mut tick = || parent.with(|parent| parent.lets_go_on(number));
        let given = Given { space, secrets };
        let session = match open.copy {
            None => Inside::open(sandbox, &open.name, given, functions, &mut tick)?,
            Some(length) => {
                let file = descriptors.next().ok_or_else(|| refused("a session to go on from is missing"))?;
                Inside::copy(sandbox, &open.name, (file.as_fd(), length), given, functions, &mut tick)?
            }
        };
        let hears = session.hears();
        self.session = Some(session);
        Ok(Opened { hears })
    }

    /// Writes what it is to a file, from which another worker goes on.
    pub(super) fn capture(
        &mut self,
        capture: &Capture,
        descriptors: Vec<OwnedFd>,
        number: u64,
        parent: &Line,
    ) -> Result<Caught> {
        let left = self.left.take();
        let file = descriptors.into_iter().next().ok_or_else(|| refused("there is no file for a session"))?;
        let mut tick = || parent.with(|parent| parent.lets_go_on(number));
        let caught = match (&mut self.session, left) {
            (_, Some(left)) => left.hand_over((file.as_fd(), capture.room)),
            (Some(session), None) => session.capture((file.as_fd(), capture.room), &mut tick)?,
            (None, None) => return Err(refused("there is nothing to capture")),
        };
        if matches!(caught, Handed::Gone(_)) {
            self.session = None;
        }
        Ok(match caught {
            Handed::Written(length) => Caught::Written(length),
            Handed::Not(error) => Caught::Not(error.parts().why.clone(), error.parts().fix.clone()),
            Handed::Gone(why) => Caught::Gone(why),
        })
    }

    /// Runs a turn of it.
    pub(super) fn eval(
        &mut self,
        eval: Eval,
        tail: Vec<u8>,
        descriptors: Vec<OwnedFd>,
        number: u64,
        parent: &Line,
    ) -> Result<TurnResult> {
        let Some(session) = &mut self.session else { return Err(refused("there is no session")) };
        let mut descriptors = descriptors.into_iter();
        let source = handed(eval.source, tail, &mut descriptors)?;
        let mut sink = |to: To| match to {
            To::Capture => Ok(Sink::Capture(Vec::new())),
            To::Discard => Ok(Sink::Discard),
            To::Descriptor => {
                descriptors.next().map(Sink::as_it_is).ok_or_else(|| refused("a turn's descriptors are missing"))
            }
        };
        let (stdout, stderr) = (sink(eval.stdout)?, sink(eval.stderr)?);
        let cancelled: Arc<AtomicBool> = Arc::default();
        let mut tick = || parent.with(|parent| parent.lets_turn_go_on(number, &cancelled));
        let limits = eval.limits;
        let turn = Turn {
            source,
            stdout,
            stderr,
            limits: Default::default(),
            cancelled: cancelled.clone(),
            tick: Some(&mut tick),
        };
        let begins = |control: &Control, host_calls: &HostCalls| parent.begins(number, control, host_calls);
        let journal = self.journal.clone().map(|journal| (journal, number));
        let ends = Instant::now() + Duration::from_nanos(eval.ends_nanos).min(CENTURY);
        let result = session.eval(turn, limits, InWorker { ends, journal, begins: &begins });
        parent.ended();
        result
    }
}

/// Bytes that came in the tail, or in a file.
pub(super) fn handed(
    (from, len): (From, u64),
    tail: Vec<u8>,
    descriptors: &mut impl Iterator<Item = OwnedFd>,
) -> Result<Bytes> {
    match from {
        From::Tail if tail.len() as u64 == len => Ok(tail.into()),
        From::Tail => Err(refused("a text is not as long as what came")),
        From::Descriptor => whole(&descriptors.next().ok_or_else(|| refused("a text is missing"))?, len),
    }
}
