//! The one who watches a guest: polls it, looks at the clock meanwhile, and answers its calls.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::ending::Ending;
use crate::error::{Error, Result};
use crate::process_unsafe::{Here, PerProcess, leave};
use crate::sandbox::host_calls::HostCalls;
use crate::sandbox::stop::Stop;
use crate::sandbox::store::Control;

/// Time between two looks at a waiting guest.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// Polls a guest until it is done or has to be stopped; a stopped one is dropped where it stands.
pub(crate) struct Supervisor<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) control: &'a Control,
    pub(crate) host_calls: &'a HostCalls,
}

/// Why the supervisor looks up from its guest.
enum Step {
    Ended(wasmtime::Result<Ending>),
    /// The guest waits for the answer of a host function.
    Call,
}

/// Made at the first wait: most guests never wait.
type Alarm = Option<Here<Pin<Box<tokio::time::Sleep>>>>;

/// A guest that is under way: on this thread, or if it can be sent, on any.
pub(crate) struct Guest<F>(Here<Pin<Box<F>>>);

impl<F: Future<Output = wasmtime::Result<Ending>>> Guest<F> {
    /// One that has not begun. Nothing of it is touched in a child that is forked while it runs.
    pub(crate) fn new(guest: F) -> Self {
        Self(Here::new(Box::pin(guest)))
    }
}

/// How far a guest got by itself.
pub(crate) enum Far<F> {
    Ended(Ending),
    /// Up to its first call of a function of the host, which is still to be answered.
    Calls(Guest<F>),
}

impl Supervisor<'_> {
    /// Runs a guest to its end. A panic is our defect: the guest is gone, the caller is told, the process lives.
    pub(crate) fn end(
        &self,
        guest: impl Future<Output = wasmtime::Result<Ending>>,
        tick: &mut dyn FnMut() -> bool,
    ) -> Ending {
        self.through(Guest::new(guest), tick)
    }

    /// The same for one that was made before.
    pub(crate) fn through<F>(&self, guest: Guest<F>, tick: &mut dyn FnMut() -> bool) -> Ending
    where
        F: Future<Output = wasmtime::Result<Ending>>,
    {
        match self.begin(guest, tick) {
            Far::Ended(ending) => ending,
            Far::Calls(guest) => self.go_on(guest, tick),
        }
    }

    /// Runs a guest until it calls a function of the host, or to its end.
    pub(crate) fn begin<F>(&self, guest: Guest<F>, tick: &mut dyn FnMut() -> bool) -> Far<F>
    where
        F: Future<Output = wasmtime::Result<Ending>>,
    {
        let run = || {
            let Guest(mut guest) = guest;
            match self.runtime.block_on(self.step(guest.as_mut(), &mut None, tick)) {
                Step::Ended(ended) => Ok(ended),
                Step::Call => Err(Guest(guest)),
            }
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Err(guest)) => Far::Calls(guest),
            Ok(Ok(ended)) => Far::Ended(ending(Ok(ended))),
            Err(panic) => Far::Ended(ending(Err(panic))),
        }
    }

    /// Runs a guest to its end that has called a function of the host.
    pub(crate) fn go_on<F>(&self, guest: Guest<F>, tick: &mut dyn FnMut() -> bool) -> Ending
    where
        F: Future<Output = wasmtime::Result<Ending>>,
    {
        let run = || {
            let Guest(mut guest) = guest;
            let mut alarm = None;
            loop {
                // Outside the runtime and the guest's stack: a host function may run guests of its own.
                let goes_on = self.host_calls.answer();
                if !guest.is_ours() {
                    leave("a host function forked, and this child came back from it: its caller is in the parent");
                }
                if !goes_on {
                    return Err(Stop::Cancelled.into());
                }
                match self.runtime.block_on(self.step(guest.as_mut(), &mut alarm, tick)) {
                    Step::Ended(ended) => return ended,
                    Step::Call => {}
                }
            }
        };
        ending(catch_unwind(AssertUnwindSafe(run)))
    }

    async fn step(
        &self,
        mut guest: Pin<&mut impl Future<Output = wasmtime::Result<Ending>>>,
        alarm: &mut Alarm,
        tick: &mut dyn FnMut() -> bool,
    ) -> Step {
        let stopped = |stop: Stop| Poll::Ready(Step::Ended(Err(stop.into())));
        let next_look = || tokio::time::Instant::from_std(self.control.deadline.min(Instant::now() + LOOK));
        poll_fn(|context| {
            loop {
                if let Poll::Ready(ended) = guest.as_mut().poll(context) {
                    return Poll::Ready(Step::Ended(ended));
                }
                if self.host_calls.is_asked() {
                    return Poll::Ready(Step::Call);
                }
                if let Err(stop) = self.control.check() {
                    return stopped(stop);
                }
                if let Some(network) = &self.control.network {
                    network.push(context);
                }
                let alarm = alarm.get_or_insert_with(|| Here::new(Box::pin(tokio::time::sleep_until(next_look()))));
                if alarm.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                // A signal's handler runs in there, and may fork.
                let goes_on = tick();
                if !alarm.is_ours() || (!goes_on && !self.control.interrupt()) {
                    return stopped(Stop::Cancelled);
                }
                alarm.as_mut().reset(next_look());
            }
        })
        .await
    }
}

fn ending(ended: std::thread::Result<wasmtime::Result<Ending>>) -> Ending {
    match ended {
        Ok(Ok(ending)) => ending,
        Ok(Err(error)) => Ending::of_error(&error),
        Err(panic) => {
            let why = panic.downcast_ref::<String>().map(String::as_str);
            Ending::crashed(why.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a host function panicked"))
        }
    }
}

/// The clockwork under every run: timers, and waits for descriptors; sockets only for runs that may have some, so
/// that all others neither open the system's queue of events nor pay for a thread that waits on it.
pub(crate) fn runtime(sockets: bool) -> Result<&'static Runtime> {
    static RUNTIMES: PerProcess<[OnceLock<std::result::Result<Runtime, String>>; 2]> = PerProcess::new();
    let runtime = RUNTIMES.get()[usize::from(sockets)].get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .worker_threads(1)
            .thread_name("ringfence")
            // A thread that waited for a descriptor is not kept long: an idle process has few.
            .thread_keep_alive(Duration::from_secs(1))
            .enable_time();
        if sockets {
            builder.enable_io();
        }
        builder.build().map_err(|error| error.to_string())
    });
    runtime.as_ref().map_err(|why| {
        Error::host("no threads for Ringfence", why.clone(), "raise this process's limits (`ulimit -u`, `ulimit -n`)")
    })
}
