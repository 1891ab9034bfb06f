//! Asking a worker: one frame there, one back; a run is waited for and believed as far as it can be, or killed.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::fs::{MemfdFlags, memfd_create};

use super::client::Caller;
use super::frame::{Broken, Caps, Frame};
use super::plugins::{Callback, Gave};
use super::pool::Worker;
use super::protocol::{self, ANSWER, Answer, Call, From, MAX_ANSWER_BYTES, Request, To, read, write};
use super::turns::{Ask, most_tail};
use crate::error::{Error, Result};
use crate::policy::Limits;
use crate::result::{Outcome, RunResult, Usage};
use crate::sandbox::files::{PrivateTmp, Space};
use crate::sandbox::soft;
use crate::sandbox::stdio::{Sink, Source};
use crate::sandbox::stop::Limit;
use crate::session::Said;
use crate::text;

/// Time that a worker has to say how a run ended, after its deadline or after it was told to end it.
pub(super) const GRACE: Duration = Duration::from_millis(300);

/// Longest wait for an answer before the caller's wish is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Most input that goes through the socket, in bytes; more goes as a file in memory.
pub(super) const MAX_TAIL_BYTES: usize = 64 << 10;

pub(super) const OTHER: &str = "it answered something else than was asked";

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
    answer_of(worker, number, ANSWER, look).map(|(answer, _)| answer)
}

/// The answer to a request, with at most so much beside it.
pub(super) fn answer_of(
    worker: &mut Worker,
    number: u64,
    caps: Caps,
    look: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<(Answer, Vec<u8>), Broken> {
    loop {
        if let Some(frame) = worker.link.receive(caps)? {
            return open_frame(frame, number);
        }
        // Also where something came: a worker that trickles is not waited for longer than one that is silent.
        worker.link.wait(Some(LOOK));
        if look().is_break() {
            return Err(Broken::GaveUp);
        }
    }
}

pub(super) fn open_frame(frame: Frame, number: u64) -> Result<(Answer, Vec<u8>), Broken> {
    if frame.request != number {
        return Err(Broken::Protocol("it answered what nobody asked".into()));
    }
    let answer = read(&frame.metadata).map_err(Broken::Protocol)?;
    Ok((answer, frame.tail))
}

/// One run to be asked for.
pub(super) struct Asked {
    pub(super) program: u32,
    pub(super) args: Vec<String>,
    pub(super) input: Source,
    pub(super) source: Option<Bytes>,
    pub(super) stdout: Sink,
    pub(super) stderr: Sink,
    pub(super) limits: Limits,
    pub(super) secrets: Vec<Option<String>>,
    /// The export that is called instead, and captured where it returns.
    pub(super) until: Option<String>,
}

/// A run or a turn that was asked for.
pub(super) struct Running {
    stdout: Sink,
    stderr: Sink,
    limits: Limits,
    number: u64,
    pub(super) started: Instant,
    kill_at: Instant,
    is_cancelled: bool,
    is_interrupted: bool,
    asked: What,
}

/// What was asked for, which says what may be answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Run,
    Turn,
    /// An instance of a plugin.
    Instance,
    /// A call of a plugin's function.
    Call,
}

impl What {
    /// Most bytes of an answer beside what is said of it.
    fn most_tail(self, limits: &Limits) -> u64 {
        if self == Self::Run { limits.output.0 } else { most_tail(limits) }
    }

    /// What the guest calls of the parent, if it can call that in there.
    fn asks(self, answer: Answer, tail: Vec<u8>) -> Option<Next> {
        match (answer, self) {
            (Answer::Call(call), Self::Run) if tail.is_empty() => Some(Next::Call(call)),
            (Answer::Ask(ask), Self::Turn) => Some(Next::Ask(ask, tail)),
            (Answer::Callback(callback), Self::Instance | Self::Call) => Some(Next::Callback(callback, tail)),
            _ => None,
        }
    }
}

/// What a worker says while it runs something.
pub(super) enum Next {
    /// The run is over.
    Over(Told),
    /// The guest calls a function, and waits.
    Call(Call),
    /// The same in a turn, with its message.
    Ask(Ask, Vec<u8>),
    /// The same of a plugin, with a tape.
    Callback(Callback, Vec<u8>),
    /// There is an instance.
    Plugged,
    /// A function of it gave a tape.
    Gave(Gave, Vec<u8>),
}

/// What came of it.
pub(super) enum Told {
    /// It ended, and the worker is as good as before; a turn has more to tell than a run.
    Ended(Box<RunResult>, Option<Box<Said>>),
    /// The worker could not run it.
    Failed(Error),
    /// The worker is gone, or has to go.
    Lost(Box<RunResult>),
}

impl Asked {
    /// Asks for it; the outer error is ours, before anything was sent.
    pub(super) fn begin(
        self,
        worker: &mut Worker,
        space: &Space,
        caller: &mut Caller<'_>,
    ) -> Result<std::result::Result<Running, Told>> {
        let started = Instant::now();
        let number = worker.next_request();
        let kill_at = started + self.limits.wall.0 + GRACE;
        let mut look = || if Instant::now() < kill_at { caller.look() } else { ControlFlow::Break(()) };
        let sent = self.send(worker, space, number, &mut look)?;
        let mut running = Running::new((number, started), kill_at, [self.stdout, self.stderr], self.limits);
        Ok(match sent {
            Ok(()) => Ok(running),
            Err(broken) => {
                running.is_cancelled = Instant::now() < kill_at;
                Err(running.lost(worker, broken))
            }
        })
    }

    /// Sends it; the outer error is ours, before anything was sent.
    fn send(
        &self,
        worker: &Worker,
        space: &Space,
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
        let text;
        let (given, after, file): (_, &[u8], Option<BorrowedFd<'_>>) = match &self.source {
            None => (None, &[], None),
            Some(bytes) if bytes.len() <= MAX_TAIL_BYTES => (Some((From::Tail, bytes.len() as u64)), bytes, None),
            Some(bytes) => {
                text = in_memory(bytes)
                    .map_err(|error| Error::system("no room for the source", &error, "free some memory"))?;
                (Some((From::Descriptor, bytes.len() as u64)), &[], Some(text.as_fd()))
            }
        };
        let (stdout, out) = sink(&self.stdout);
        let (stderr, err) = sink(&self.stderr);
        let (tmp, layers) = (space.tmp.as_ref().and_then(PrivateTmp::handle), space.layers.as_ref().map(AsFd::as_fd));
        let descriptors: Vec<BorrowedFd<'_>> = [source, file, out, err, tmp, layers].into_iter().flatten().collect();
        let request = Request::Run(Box::new(protocol::Run {
            program: self.program,
            args: self.args.clone(),
            input,
            source: given,
            stdout,
            stderr,
            tmp: tmp.is_some(),
            layers: layers.is_some(),
            until: self.until.clone(),
            limits: self.limits,
            secrets: self.secrets.clone(),
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
        Ok(worker.link.send(number, &metadata, [tail, after], &descriptors, look))
    }
}

impl Running {
    /// What was asked then by that number, and is waited for until its worker has to be killed.
    pub(super) fn new(
        (number, started): (u64, Instant),
        kill_at: Instant,
        [stdout, stderr]: [Sink; 2],
        limits: Limits,
    ) -> Self {
        let (is_cancelled, is_interrupted, asked) = (false, false, What::Run);
        Self { stdout, stderr, limits, number, started, kill_at, is_cancelled, is_interrupted, asked }
    }

    /// The same of something else than a run.
    pub(super) fn of(self, asked: What) -> Self {
        Self { asked, ..self }
    }

    /// Waits for what the worker says next, and kills it where it does not end in time.
    pub(super) fn next(&mut self, worker: &mut Worker, caller: &mut Caller<'_>) -> Next {
        let caps = Caps { metadata: MAX_ANSWER_BYTES, tail: self.asked.most_tail(&self.limits), descriptors: 0 };
        loop {
            if !self.is_interrupted && caller.is_interrupted() {
                self.interrupt(worker, Instant::now());
            }
            let frame = worker.link.receive(caps);
            let answer = frame.and_then(|frame| frame.map(|frame| open_frame(frame, self.number)).transpose());
            let now = Instant::now();
            match answer {
                Ok(None) => {}
                Ok(Some((Answer::Ended(ended), tail))) if matches!(self.asked, What::Run | What::Call) => {
                    let told = ended.into_result(tail, &self.limits, self.started.elapsed());
                    return Next::Over(self.ended(worker, told.map(|result| (result, None))));
                }
                Ok(Some((Answer::Turned(turned), tail))) if self.asked == What::Turn => {
                    let told = turned.into_result(tail, &self.limits, self.started.elapsed());
                    let told = told.map(|result| result.apart()).map(|(result, said)| (result, Some(said)));
                    return Next::Over(self.ended(worker, told));
                }
                Ok(Some((Answer::Failed(failed), _))) => {
                    return Next::Over(match failed.into_error() {
                        Ok(error) => Told::Failed(error),
                        Err(why) => self.lost(worker, Broken::Protocol(why)),
                    });
                }
                // Of a guest that is told to end: it hears of that instead.
                Ok(Some((Answer::Call(_) | Answer::Ask(_) | Answer::Callback(_), _))) if self.is_cancelled => {}
                Ok(Some((asks @ (Answer::Call(_) | Answer::Ask(_) | Answer::Callback(_)), tail)))
                    if now < self.kill_at =>
                {
                    let Some(next) = self.asked.asks(asks, tail) else {
                        return Next::Over(self.broken(worker, OTHER));
                    };
                    if caller.look().is_continue() {
                        return next;
                    }
                    self.cancel(worker, now);
                }
                Ok(Some((Answer::Plugged, tail))) if self.asked == What::Instance && tail.is_empty() => {
                    return Next::Plugged;
                }
                Ok(Some((Answer::Gave(gave), tape))) if self.asked == What::Call => return Next::Gave(gave, tape),
                Ok(Some(_)) => return Next::Over(self.broken(worker, OTHER)),
                Err(broken) => return Next::Over(self.lost(worker, broken)),
            }
            if now >= self.kill_at {
                return Next::Over(self.lost(worker, Broken::GaveUp));
            }
            let came = worker.link.wait(Some(LOOK.min(self.kill_at - now)));
            if !came && !self.is_cancelled && caller.look().is_break() {
                self.cancel(worker, now);
            }
        }
    }

    /// The number that it was asked by.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Lets the guest that called go on; the worker must not have spoken before.
    pub(super) fn go_on(
        &mut self,
        worker: &mut Worker,
        request: &Request,
        tail: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> std::result::Result<(), Told> {
        let told = match worker.link.receive(ANSWER) {
            Ok(None) if worker.link.is_between_frames() => write(request).map_err(Broken::Protocol),
            Ok(_) => Err(Broken::Protocol("it did not wait for what it had asked for".into())),
            Err(broken) => Err(broken),
        };
        let kill_at = self.kill_at;
        let mut look = || if Instant::now() < kill_at { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        told.and_then(|metadata| worker.link.send(self.number, &metadata, [tail, &[]], descriptors, &mut look))
            .map_err(|broken| self.lost(worker, broken))
    }

    /// The worker said what it must not.
    pub(super) fn broken(&self, worker: &Worker, why: &str) -> Told {
        self.lost(worker, Broken::Protocol(why.into()))
    }

    fn ended(&self, worker: &Worker, told: std::result::Result<(RunResult, Option<Said>), String>) -> Told {
        match told {
            Ok((result, said)) => Told::Ended(Box::new(self.keeping(result)), said.map(Box::new)),
            Err(why) => self.lost(worker, Broken::Protocol(why)),
        }
    }

    /// Asks the worker to have its guest end by itself; one that does not is killed soon.
    fn interrupt(&mut self, worker: &Worker, now: Instant) {
        self.is_interrupted = true;
        self.kill_at = self.kill_at.min(now + soft::GRACE + GRACE);
        self.tell(worker, &Request::Interrupt);
    }

    /// Tells it what has no answer.
    fn tell(&self, worker: &Worker, request: &Request) {
        if let Ok(metadata) = write(request) {
            let _ = worker.link.send(self.number, &metadata, [&[], &[]], &[], &mut || ControlFlow::Break(()));
        }
    }

    /// Tells the worker to end the run; one that does not even take that is killed soon.
    pub(super) fn cancel(&mut self, worker: &Worker, now: Instant) {
        self.is_cancelled = true;
        self.kill_at = self.kill_at.min(now + GRACE);
        self.tell(worker, &Request::Cancel);
    }

    /// The worker has to be killed, or died.
    pub(super) fn lost(&self, worker: &Worker, broken: Broken) -> Told {
        let why = match broken {
            Broken::Closed => format!("the worker died of {}", worker.how_it_died()),
            Broken::Protocol(why) => format!("the worker broke its protocol: {why}"),
            Broken::GaveUp => {
                let outcome =
                    if self.is_cancelled || self.is_interrupted { Outcome::Cancelled } else { Outcome::Limited };
                return Told::Lost(Box::new(self.without_answer(worker, outcome)));
            }
        };
        let result = self.without_answer(worker, Outcome::Crashed);
        Told::Lost(Box::new(RunResult { trap: Some(text::quote(&why)), ..result }))
    }

    /// What is known of the run when the worker is not heard.
    pub(super) fn without_answer(&self, worker: &Worker, outcome: Outcome) -> RunResult {
        let mut result = without_answer(outcome, self.started.elapsed());
        if let Some(journal) = &worker.journal {
            [result.stdout, result.stderr] = journal.read(self.number, self.limits.output.0);
            result.usage.output = (result.stdout.len() + result.stderr.len()) as u64;
        }
        self.keeping(result)
    }

    /// What the caller had captured before comes first.
    fn keeping(&self, mut result: RunResult) -> RunResult {
        let of = [(&self.stdout, &mut result.stdout), (&self.stderr, &mut result.stderr)];
        for (sink, now) in of {
            if let Sink::Capture(before) = sink
                && !before.is_empty()
            {
                *now = [before, &now[..]].concat();
            }
        }
        result
    }
}

pub(super) fn sink(sink: &Sink) -> (To, Option<BorrowedFd<'_>>) {
    match sink {
        Sink::Capture(_) => (To::Capture, None),
        Sink::Discard => (To::Discard, None),
        Sink::Fd { fd, .. } => (To::Descriptor, Some(fd.as_fd())),
    }
}

/// Bytes as a file that starts with them.
pub(super) fn in_memory(bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("ringfence-input", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.into())
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
