//! The worker itself: a process that is bound to one policy, raises its wall, and runs what it is given.

use std::collections::HashMap;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rustix::process::{Signal, getpgid, getppid, setpgid, setsid};
use zeroize::Zeroizing;

use super::descriptor_unsafe::take_stdin;
use super::frame::{Broken, Caps, Frame, Link, MAX_DESCRIPTORS};
use super::plugins::Plugins;
use super::protocol::{
    Answer, Bind, Ended, Failed, From, Load, MAX_REQUEST_BYTES, Ready, Request, Run, To, build, read, write,
};
use super::proxy::Line;
use super::turns::Turned;
use super::wall::{Needs, Wall, close_all_but};
use crate::after::Left;
use crate::error::{Error, Result};
use crate::load::Kind;
use crate::plugin::Linked;
use crate::policy::{Policy, WasiLevel};
use crate::prepared::{Recipe, profile};
use crate::result::RunResult;
use crate::run::{InWorker, Sandbox};
use crate::sandbox::engine::{self, Engines, Profile};
use crate::sandbox::files::{Grants, Space};
use crate::sandbox::host_calls::HostCalls;
use crate::sandbox::http::{Secrets, read_authorities};
use crate::sandbox::journal::Journal;
use crate::sandbox::stdio::{Sink, Source};
use crate::sandbox::store::Control;
use crate::session::Inside;

/// What a child takes of its parent, which it has to trust for what it runs, and not for how much.
pub(super) const CAPS: Caps = Caps { metadata: MAX_REQUEST_BYTES, tail: 1 << 20, descriptors: MAX_DESCRIPTORS as u32 };

/// What a worker runs: serves its parent over the socket that is its standard input, and gives the exit code.
///
/// For embeddings to call in a process that they start for it; see [`crate::worker::set_worker`]. Nothing may have
/// been opened and no thread started before.
pub fn serve() -> i32 {
    match std::panic::catch_unwind(serve_parent) {
        Ok(Ok(())) => 0,
        Ok(Err(_)) => 1,
        Err(_) => 2,
    }
}

fn serve_parent() -> Result<(), Broken> {
    let own = |why: String| Broken::Protocol(why);
    close_all_but(&[]).map_err(|error| own(error.to_string()))?;
    let socket = take_stdin().ok_or_else(|| own("it serves already".into()))?;
    let parent = Line::new(Parent { link: Link::of_child(leave(socket)?), interrupted: None });
    parent.with(|parent| parent.answer(0, &Answer::Ready(Ready { build: build() }), [&[], &[]]))?;

    let first = parent.with(Parent::next)?;
    let number = first.request;
    let Request::Bind(bind) = read(&first.metadata).map_err(own)? else {
        return Err(own("it is not bound".into()));
    };
    let mut room = match Room::bind(bind, first.descriptors) {
        Ok(room) => room,
        Err(error) => return parent.with(|parent| parent.fail(number, &error)),
    };
    parent.with(|parent| parent.answer(number, &Answer::Bound, [&[], &[]]))?;
    loop {
        let Frame { request: number, metadata, tail, descriptors } = parent.with(Parent::next)?;
        match read(&metadata).map_err(own)? {
            Request::Bind(_) => return Err(own("it is bound already".into())),
            Request::Load(load) => match room.load(load, descriptors, &parent) {
                Ok(()) => parent.with(|parent| parent.answer(number, &Answer::Loaded, [&[], &[]]))?,
                Err(error) => parent.with(|parent| parent.fail(number, &error))?,
            },
            Request::Run(run) => match room.run(*run, tail, descriptors, number, &parent) {
                Ok(result) => {
                    let ended = Answer::Ended(Box::new(Ended::of(&result)));
                    parent.with(|parent| parent.answer(number, &ended, [&result.stdout, &result.stderr]))?;
                }
                Err(error) => parent.with(|parent| parent.fail(number, &error))?,
            },
            Request::Open(open) => match room.open(open, tail, descriptors, number, &parent) {
                Ok(opened) => parent.with(|parent| parent.answer(number, &Answer::Opened(opened), [&[], &[]]))?,
                Err(error) => parent.with(|parent| parent.fail(number, &error))?,
            },
            Request::Eval(eval) => match room.eval(eval, tail, descriptors, number, &parent) {
                Ok(result) => {
                    let (turned, [streams, rest]) = Turned::of(result);
                    let turned = Answer::Turned(Box::new(turned));
                    parent.with(|parent| parent.answer(number, &turned, [&streams, &rest]))?;
                }
                Err(error) => parent.with(|parent| parent.fail(number, &error))?,
            },
            Request::Capture(capture) => match room.capture(&capture, descriptors, number, &parent) {
                Ok(caught) => parent.with(|parent| parent.answer(number, &Answer::Caught(caught), [&[], &[]]))?,
                Err(error) => parent.with(|parent| parent.fail(number, &error))?,
            },
            Request::Plug(plug) => match room.plugins.plug(plug, &room.policy, descriptors, number) {
                Ok(()) => parent.with(|parent| parent.answer(number, &Answer::Plugged, [&[], &[]]))?,
                Err(error) => parent.with(|parent| parent.fail(number, &error))?,
            },
            Request::Invoke(invoke) => match room.plugins.invoke(invoke, tail, descriptors, number) {
                Ok((answer, [tape, rest])) => parent.with(|parent| parent.answer(number, &answer, [&tape, &rest]))?,
                Err(error) => parent.with(|parent| parent.fail(number, &error))?,
            },
            Request::Touch(touch) => match room.plugins.touch(touch, tail, descriptors) {
                Ok((touched, read)) => {
                    parent.with(|parent| parent.answer(number, &Answer::Touched(touched), [&read, &[]]))?;
                }
                Err(error) => parent.with(|parent| parent.fail(number, &error))?,
            },
            // Of what has ended meanwhile.
            Request::Cancel | Request::Interrupt => {}
            Request::Returned(_) | Request::Answered(_) | Request::Settled(_) => {}
        }
    }
}

/// Leaves what the parent shares with this process: its group, its session, its life.
fn leave(socket: OwnedFd) -> Result<OwnedFd, Broken> {
    let own = |what: &str| Broken::Protocol(format!("cannot leave {what}"));
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let made_by = rustix::net::sockopt::socket_peercred(&socket).map_err(Broken::from)?.pid;
    // The parent may have been gone before we asked to hear of it.
    if getppid() != Some(made_by) {
        return Err(Broken::Closed);
    }
    // Who leads a group cannot lead a session: back into the parent's first.
    getpgid(Some(made_by)).and_then(|group| setpgid(None, Some(group))).map_err(|_| own("its group"))?;
    setsid().map_err(|_| own("its session"))?;
    // Where memory runs out, it is this process that goes.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    // A number beyond those that mean standard streams.
    rustix::io::fcntl_dupfd_cloexec(&socket, 3).map_err(Broken::from)
}

/// The parent process, at the other end of the socket.
pub(super) struct Parent {
    pub(super) link: Link,
    /// The turn whose guest is to be asked to end, where that was heard while it waited for something else.
    pub(super) interrupted: Option<u64>,
}

impl Parent {
    fn next(&mut self) -> Result<Frame, Broken> {
        loop {
            if let Some(frame) = self.link.receive(CAPS)? {
                return Ok(frame);
            }
            self.link.wait(None);
        }
    }

    fn answer(&self, number: u64, answer: &Answer, tail: [&[u8]; 2]) -> Result<(), Broken> {
        let metadata = write(answer).map_err(Broken::Protocol)?;
        self.link.send(number, &metadata, tail, &[], &mut || ControlFlow::Continue(()))
    }

    fn fail(&self, number: u64, error: &Error) -> Result<(), Broken> {
        self.answer(number, &Answer::Failed(Failed::of(error)), [&[], &[]])
    }

    /// Whether the run of this number should go on.
    pub(super) fn lets_go_on(&mut self, number: u64) -> bool {
        match self.link.receive(CAPS) {
            Ok(None) => true,
            Ok(Some(frame)) => frame.request != number || !matches!(read(&frame.metadata), Ok(Request::Cancel)),
            // Nobody waits for the result.
            Err(_) => std::process::exit(1),
        }
    }

    /// Whether the guest of the turn of this number is not to be asked to end; it is cancelled where it has to.
    pub(super) fn lets_turn_go_on(&mut self, number: u64, cancelled: &AtomicBool) -> bool {
        if self.interrupted.take() == Some(number) {
            return false;
        }
        let frame = self.link.receive(CAPS).unwrap_or_else(|_| std::process::exit(1));
        let Some(frame) = frame.filter(|frame| frame.request == number) else { return true };
        match read(&frame.metadata) {
            Ok(Request::Cancel) => {
                cancelled.store(true, Ordering::Relaxed);
                true
            }
            Ok(Request::Interrupt) => false,
            _ => true,
        }
    }
}

/// What this worker is bound to, and what it has loaded.
pub(super) struct Room {
    pub(super) policy: Policy,
    grants: Arc<Grants>,
    pub(super) programs: HashMap<u32, Sandbox>,
    /// Where the parent finds what a run wrote, should this process be killed.
    pub(super) journal: Option<Journal>,
    profile: Profile,
    /// What the last run left, where that was captured.
    pub(super) left: Option<Left>,
    pub(super) session: Option<Inside>,
    plugins: Plugins,
}

pub(super) fn no_space(error: &std::io::Error) -> Error {
    Error::system("no private /tmp", error, "please report this as a bug")
}

pub(super) fn refused(why: &str) -> Error {
    Error::host("a worker cannot do what it is asked", why, "please report this as a bug")
}

impl Room {
    fn bind(bind: Bind, descriptors: Vec<OwnedFd>) -> Result<Self> {
        let policy = Policy::from_json(&bind.policy, std::path::Path::new("/"))?;
        if descriptors.len() != bind.grants.len() + usize::from(bind.home) + 1 {
            return Err(refused("its grants do not fit their descriptors"));
        }
        let mut descriptors = descriptors.into_iter();
        let handles = bind.grants.into_iter().zip(&mut descriptors);
        let handles = handles.map(|(grant, handle)| (grant.at, grant.mode, grant.tree, handle));
        let grants = Grants::from_handles(handles, bind.has_kernel_tree_below)?;
        let home = if bind.home { descriptors.next() } else { None };
        let journal = descriptors.next().map(|file| Journal::of(file, bind.journal));
        engine::with_pool_for_one();
        // Tasks of WASI 0.3 have a stack each, which a small pool has too few of.
        if !bind.pooled || policy.wasi == WasiLevel::V0_3 {
            engine::without_pool();
        }
        if let Some(places) = bind.authorities {
            read_authorities(places.map(|place| place.map(OsString::from_vec)));
        }
        let profile = profile(&policy, bind.language);
        let profile = match bind.captured {
            true => Profile { captured: true, concurrency: false, ..profile },
            false => profile,
        };
        if bind.wall {
            raise(&policy, &grants, home, profile)?;
        }
        let (grants, programs, session) = (Arc::new(grants), HashMap::new(), None);
        let plugins = Plugins::default();
        Ok(Self { policy, grants, programs, journal, profile, left: None, session, plugins })
    }

    fn load(&mut self, load: Load, descriptors: Vec<OwnedFd>, parent: &Line) -> Result<()> {
        let kind = Kind::from_name(&load.kind).ok_or_else(|| refused("a program is of no kind"))?;
        let mut descriptors = descriptors.into_iter();
        let (code, file, rest) = (descriptors.next(), descriptors.next(), descriptors.next());
        let (Some(code), None, true) = (code, rest, file.is_some() == load.after.is_some()) else {
            return Err(refused("a program is one descriptor, and another where its runs begin after something"));
        };
        if let Some(program) = load.forget {
            self.programs.remove(&program);
            self.plugins.forget(program);
        }
        let env = load.env.into_iter().map(|variable| [variable.as_bytes(), b"\0"].concat()).collect();
        let (policy, grants) = (self.policy.clone(), self.grants.clone());
        let recipe = Recipe { program: None, policy, grants, functions: parent.functions(load.functions) };
        if let Some(plugin) = load.plugin {
            return self.plugins.load(load.program, plugin, (&self.policy, parent), |telling| {
                Linked::map((kind, code.into()), recipe, (&load.argv0, env), telling)
            });
        }
        let sandbox = Sandbox::from_image(kind, self.profile, code.into(), recipe, &load.argv0, env)?;
        let sandbox = match load.after.zip(file) {
            None => sandbox,
            Some((after, file)) => sandbox.after(after.entry, (file.as_fd(), after.length))?,
        };
        self.programs.insert(load.program, sandbox);
        Ok(())
    }

    fn run(
        &mut self,
        run: Run,
        mut tail: Vec<u8>,
        descriptors: Vec<OwnedFd>,
        number: u64,
        parent: &Line,
    ) -> Result<RunResult> {
        let sandbox = self.programs.get(&run.program).ok_or_else(|| refused("the program is not loaded"))?;
        let mut descriptors = descriptors.into_iter();
        let mut next = || descriptors.next().ok_or_else(|| refused("a run's descriptors are missing"));
        let source = match run.source {
            Some((From::Tail, len)) => {
                let at = usize::try_from(len).ok().and_then(|len| tail.len().checked_sub(len));
                Some(tail.split_off(at.ok_or_else(|| refused("a source is longer than what came"))?).into())
            }
            _ => None,
        };
        let input = match run.input {
            From::Tail if tail.is_empty() => Source::Empty,
            From::Tail => Source::Bytes(tail.into()),
            From::Descriptor => Source::Fd(Arc::new(next()?)),
        };
        let source = match run.source {
            Some((From::Descriptor, len)) => Some(whole(&next()?, len)?),
            _ => source,
        };
        let mut sink = |to: To| match to {
            To::Capture => Ok(Sink::Capture(Vec::new())),
            To::Discard => Ok(Sink::Discard),
            To::Descriptor => next().map(Sink::as_it_is),
        };
        let (stdout, stderr) = (sink(run.stdout)?, sink(run.stderr)?);
        let mut directory = |comes: bool| if comes { next().map(Some) } else { Ok(None) };
        let (tmp, layers) = (directory(run.tmp)?, directory(run.layers)?);
        let space = Space::handed(tmp, layers).map_err(|error| no_space(&error))?;
        let mut tick = || parent.with(|parent| parent.lets_go_on(number));
        let values = run.secrets.into_iter().map(|value| value.map(Zeroizing::new)).collect();
        let secrets = Secrets::with_values(&self.policy.secrets, values)?;
        let until = run.until;
        let run = crate::run::Run {
            args: run.args,
            input,
            stdout,
            stderr,
            source,
            limits: run.limits,
            cancelled: Arc::default(),
            tick: Some(&mut tick),
        };
        let journal = self.journal.clone().map(|journal| (journal, number));
        let begins = |control: &Control, host_calls: &HostCalls| parent.begins(number, control, host_calls);
        let inside = InWorker { space, secrets, journal, begins: &begins };
        self.left = None;
        let result = match until {
            None => sandbox.run_here(run, Some(inside)),
            Some(export) => sandbox.run_until(export, run, inside).map(|(result, left)| {
                self.left = Some(left);
                result
            }),
        };
        parent.ended();
        if let Ok(RunResult { changes: Some(changes), .. }) = &result {
            changes.hand_over()?;
        }
        result
    }
}

/// A file in memory, from its start.
pub(super) fn whole(file: &OwnedFd, len: u64) -> Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| refused("a source is too long"))?];
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::read(file, &mut bytes[done..]) {
            Ok(0) | Err(_) => return Err(refused("a source cannot be read")),
            Ok(count) => done += count,
        }
    }
    Ok(bytes.into())
}

/// Makes the engine and raises the wall; the process has one thread until then.
fn raise(policy: &Policy, grants: &Grants, home: Option<OwnedFd>, profile: Profile) -> Result<()> {
    Engines::of(profile)?;
    // Found once and then remembered: the kernel's clock in this process, which is looked for in ways that the wall
    // need not know.
    let _ = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Wall::of(policy, grants, Needs { home, ports: None, loads_code: true, one_at_a_time: true })?.raise()
}
