//! Asking a worker: one frame there, one back; a run is waited for and believed as far as it can be, or killed.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};

use super::client::Caller;
use super::frame::{Broken, Caps, Frame};
use super::pool::Worker;
use super::protocol::{self, ANSWER, Answer, From, MAX_ANSWER_BYTES, Request, To, read, write};
use crate::error::{Error, Result};
use crate::policy::Limits;
use crate::result::{Outcome, RunResult, Usage};
use crate::sandbox::files::PrivateTmp;
use crate::sandbox::stdio::{Sink, Source};
use crate::sandbox::stop::Limit;
use crate::text;

/// Time that a worker has to say how a run ended, after its deadline or after it was told to end it.
const GRACE: Duration = Duration::from_millis(300);

/// Longest wait for an answer before the caller's wish is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Most input that goes through the socket, in bytes; more goes as a file in memory.
const MAX_TAIL_BYTES: usize = 64 << 10;

/// Asks what has no output, and gives the answer.
pub(super) fn ask(
    worker: &mut Worker,
    request: &Request,
    descriptors: &[BorrowedFd<'_>],
    look: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Answer, Broken> {
    let number = worker.next_request();
    let metadata = write(request).map_err(Broken::Protocol)?;
    worker.link.send(number, &metadata, [&[], &[]], descriptors, look)?;
    answer(worker, number, look)
}

/// The answer to a request, which has no output.
pub(super) fn answer(
    worker: &mut Worker,
    number: u64,
    look: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Answer, Broken> {
    loop {
        if let Some(frame) = worker.link.receive(ANSWER)? {
            return open(frame, number).map(|(answer, _)| answer);
        }
        if !worker.link.wait(Some(LOOK)) && look().is_break() {
            return Err(Broken::GaveUp);
        }
    }
}

fn open(frame: Frame, number: u64) -> Result<(Answer, Vec<u8>), Broken> {
    if frame.request != number {
        return Err(Broken::Protocol("it answered what nobody asked".into()));
    }
    let answer = read(&frame.metadata).map_err(Broken::Protocol)?;
    Ok((answer, frame.tail))
}

/// One run to be asked for.
pub(super) struct Asked<'a> {
    pub(super) program: u32,
    pub(super) args: Vec<String>,
    pub(super) input: Source,
    pub(super) stdout: Sink,
    pub(super) stderr: Sink,
    pub(super) tmp: Option<&'a PrivateTmp>,
    pub(super) limits: Limits,
}

/// What came of it.
pub(super) enum Told {
    /// The run ended, and the worker is as good as before.
    Ended(Box<RunResult>),
    /// The worker could not run it.
    Failed(Error),
    /// The worker is gone, or has to go.
    Lost(Box<RunResult>),
}

impl Asked<'_> {
    /// Asks, waits for the end, and kills the worker where it does not end in time.
    pub(super) fn run(self, worker: &mut Worker, caller: &mut Caller<'_>) -> Result<Told> {
        let started = Instant::now();
        let mut kill_at = started + self.limits.wall.0 + GRACE;
        let limits = self.limits;
        let number = worker.next_request();
        let mut is_cancelled = false;
        let kept = [&self.stdout, &self.stderr].map(|sink| match sink {
            Sink::Capture(kept) => kept.clone(),
            _ => Vec::new(),
        });

        let mut look = || if Instant::now() < kill_at { caller.look() } else { ControlFlow::Break(()) };
        match self.send(worker, number, &mut look)? {
            Ok(()) => {}
            Err(Broken::GaveUp) => {
                let outcome = if Instant::now() < kill_at { Outcome::Cancelled } else { Outcome::Limited };
                return Ok(lost(without_answer(outcome, started.elapsed())));
            }
            Err(broken) => return Ok(lost(crashed(worker, broken, started))),
        }
        let caps = Caps { metadata: MAX_ANSWER_BYTES, tail: limits.output.0, descriptors: 0 };
        loop {
            match worker.link.receive(caps).and_then(|frame| frame.map(|frame| open(frame, number)).transpose()) {
                Ok(None) => {}
                Ok(Some((Answer::Ended(ended), tail))) => {
                    return Ok(match ended.into_result(tail, &limits, started.elapsed()) {
                        Ok(result) => Told::Ended(Box::new(keeping(kept, result))),
                        Err(why) => lost(crashed(worker, Broken::Protocol(why), started)),
                    });
                }
                Ok(Some((Answer::Failed(failed), _))) => {
                    return Ok(match failed.into_error() {
                        Ok(error) => Told::Failed(error),
                        Err(why) => lost(crashed(worker, Broken::Protocol(why), started)),
                    });
                }
                Ok(Some(_)) => {
                    let why = "it answered something else than how the run ended".into();
                    return Ok(lost(crashed(worker, Broken::Protocol(why), started)));
                }
                Err(broken) => return Ok(lost(crashed(worker, broken, started))),
            }
            let now = Instant::now();
            if now >= kill_at {
                let outcome = if is_cancelled { Outcome::Cancelled } else { Outcome::Limited };
                return Ok(lost(without_answer(outcome, started.elapsed())));
            }
            if !worker.link.wait(Some(LOOK.min(kill_at - now))) && !is_cancelled && caller.look().is_break() {
                is_cancelled = true;
                kill_at = kill_at.min(now + GRACE);
                cancel(worker, number);
            }
        }
    }

    /// Sends it; the outer error is ours, before anything was sent.
    fn send(
        &self,
        worker: &Worker,
        number: u64,
        look: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<std::result::Result<(), Broken>> {
        let memory;
        let (input, tail, source): (From, &[u8], Option<BorrowedFd<'_>>) = match &self.input {
            Source::Empty => (From::Tail, &[], None),
            Source::Bytes(bytes) if bytes.len() <= MAX_TAIL_BYTES => (From::Tail, bytes, None),
            Source::Bytes(bytes) => {
                memory = in_memory(bytes)
                    .map_err(|error| Error::system("no room for the guest's input", &error, "free some memory"))?;
                (From::Descriptor, &[], Some(memory.as_fd()))
            }
            Source::Fd(fd) => (From::Descriptor, &[], Some(fd.as_fd())),
        };
        let (stdout, out) = sink(&self.stdout);
        let (stderr, err) = sink(&self.stderr);
        let tmp = self.tmp.and_then(PrivateTmp::handle);
        let descriptors: Vec<BorrowedFd<'_>> = [source, out, err, tmp].into_iter().flatten().collect();
        let request = Request::Run(Box::new(protocol::Run {
            program: self.program,
            args: self.args.clone(),
            input,
            stdout,
            stderr,
            tmp: tmp.is_some(),
            limits: self.limits,
        }));
        let metadata = match write(&request) {
            Ok(metadata) if metadata.len() <= protocol::MAX_REQUEST_BYTES as usize => metadata,
            _ => {
                return Err(Error::policy(
                    "the arguments cannot be handed to the guest",
                    format!("they are longer than {} MiB", protocol::MAX_REQUEST_BYTES >> 20),
                    "hand the data over as input",
                ));
            }
        };
        Ok(worker.link.send(number, &metadata, [tail, &[]], &descriptors, look))
    }
}

fn sink(sink: &Sink) -> (To, Option<BorrowedFd<'_>>) {
    match sink {
        Sink::Capture(_) => (To::Capture, None),
        Sink::Discard => (To::Discard, None),
        Sink::Fd { fd, .. } => (To::Descriptor, Some(fd.as_fd())),
    }
}

/// Bytes as a file that starts with them.
fn in_memory(bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("ringfence-input", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.into())
}

/// Tells a worker to end a run; one that does not even take that is killed soon.
fn cancel(worker: &Worker, number: u64) {
    if let Ok(metadata) = write(&Request::Cancel) {
        let _ = worker.link.send(number, &metadata, [&[], &[]], &[], &mut || ControlFlow::Break(()));
    }
}

/// What a caller had captured before comes first.
fn keeping(kept: [Vec<u8>; 2], mut result: RunResult) -> RunResult {
    let [stdout, stderr] = kept;
    for (mut before, now) in [(stdout, &mut result.stdout), (stderr, &mut result.stderr)] {
        if !before.is_empty() {
            before.append(now);
            *now = before;
        }
    }
    result
}

fn lost(result: RunResult) -> Told {
    Told::Lost(Box::new(result))
}

/// The result of a run whose worker has to be killed, or died.
fn crashed(worker: &Worker, broken: Broken, started: Instant) -> RunResult {
    let why = match broken {
        Broken::Closed => format!("the worker died of {}", worker.how_it_died()),
        Broken::Protocol(why) => format!("the worker broke its protocol: {why}"),
        Broken::GaveUp => "the worker did not answer".into(),
    };
    RunResult { trap: Some(text::quote(&why)), ..without_answer(Outcome::Crashed, started.elapsed()) }
}

/// The result of a run of which nothing is known but how it was ended, and when.
pub(super) fn without_answer(outcome: Outcome, wall: Duration) -> RunResult {
    RunResult {
        outcome,
        exit_code: None,
        limit: (outcome == Outcome::Limited).then(|| Limit::Wall.name()),
        trap: None,
        backtrace: None,
        stdout: Vec::new(),
        stderr: Vec::new(),
        truncated: false,
        usage: Usage { wall, ..Usage::default() },
        denials: Vec::new(),
        changes: None,
        host_calls: 0,
        raised: None,
        abandoned: None,
    }
}
