//! Sessions: one instance of a language pack that lives on between turns.
//!
//! `open → live → turn → result`. A turn runs on its caller's thread, and from its first call of a function of the host
//! on, on a thread that its caller can leave behind. What ends a turn other than by its own return leaves the instance
//! in an unknown state: it is dropped, and the session is poisoned. In isolation the instance is in a worker
//! (`inside`), and a turn is a question to it (`worker/remote.rs`).

mod captured;
mod discard_unsafe;
mod fork;
mod handed;
pub mod heard;
mod inside;
mod live;
mod result;
mod saved;
mod spent;
mod turn;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::apart;
use crate::error::{Error, Result};
use crate::host::SessionFunctions;
use crate::policy::{Limits, LimitsPatch};
use crate::prepared::Recipe;
use crate::process_unsafe::{Here, generation};
use crate::run::Sandbox;
use crate::sandbox::files::Space;
use crate::sandbox::host_calls::HostCalls;
use crate::sandbox::http::Secrets;
use crate::worker::{Client, Remote};

pub use crate::snapshot::SnapshotKey;
pub use fork::{Forking, Snapshot};
pub(crate) use handed::{read as read_handed, room, write as write_handed};
pub(crate) use inside::{Handed, Inside};
use live::Live;
pub(crate) use result::Said;
pub use result::{TurnError, TurnOutcome, TurnResult, TurnValue};
pub use saved::{SavedFacts, SavedSnapshot, Saving};
pub(crate) use saved::{bytes_of, damaged, doubtful, resolved, write};
use spent::Spent;
pub use turn::Turn;
pub(crate) use turn::{InWorker, no_memory};

/// What a session is opened with.
#[derive(Default)]
pub struct Opening<'a> {
    /// What guest code may call.
    pub functions: Option<Arc<dyn SessionFunctions>>,
    /// Set it from any thread to give up.
    pub cancelled: Arc<AtomicBool>,
    /// Called about every 50 ms while it is opened; `false` gives up.
    pub tick: Option<&'a mut dyn FnMut() -> bool>,
}

/// One live instance of a language pack.
pub struct Session {
    recipe: Arc<Recipe>,
    worker: Option<Arc<Client>>,
    name: String,
    functions: Option<Functions>,
    generation: u64,
    closed: AtomicBool,
    seat: Here<Mutex<Seat>>,
}

/// The functions of a session.
#[derive(Clone)]
pub(crate) struct Functions {
    pub(crate) functions: Arc<dyn SessionFunctions>,
    /// The last number of a call that was begun.
    pub(crate) numbers: Arc<AtomicU64>,
}

impl Functions {
    /// Those of a session whose guest has begun so many calls.
    fn new(functions: Arc<dyn SessionFunctions>, begun: u64) -> Self {
        Self { functions, numbers: Arc::new(AtomicU64::new(begun)) }
    }

    /// The calls of one turn.
    pub(crate) fn calls(&self) -> HostCalls {
        HostCalls::of_session(self.functions.clone(), self.numbers.clone())
    }
}

/// What an instance needs of the process that it serves.
pub(crate) struct Given {
    /// What it has on the disk.
    pub(crate) space: Space,
    /// The values of its secrets.
    pub(crate) secrets: Secrets,
}

/// Where the instance is.
enum Instance {
    Here(Box<Live>),
    Worker(Box<Remote>),
}

enum Seat {
    Free(Instance, Spent),
    /// A turn has it.
    Taken,
    /// It is gone, and why.
    Poisoned(String),
    Closed,
}

impl Session {
    /// Opens a session of a sandbox whose program is a language pack.
    pub fn open(sandbox: &Sandbox, opening: Opening<'_>) -> Result<Self> {
        let Opening { functions, cancelled, tick } = opening;
        let instance = match sandbox.worker() {
            Some(worker) => {
                let list = functions.as_ref().map(|functions| functions.list());
                Instance::Worker(Box::new(worker.open(sandbox.name(), list, None, cancelled, tick)?))
            }
            None => {
                let secrets = Secrets::from_environment(&sandbox.policy().secrets)?;
                let given = Given { space: Space::default(), secrets };
                Instance::Here(Box::new(Live::open(&sandbox.prepared()?, sandbox.name(), given, cancelled, tick)?))
            }
        };
        let functions = functions.map(|functions| Functions::new(functions, 0));
        Ok(Self {
            recipe: sandbox.recipe().clone(),
            worker: sandbox.worker().cloned(),
            name: sandbox.name().to_owned(),
            functions,
            generation: generation(),
            closed: AtomicBool::new(false),
            seat: Here::new(Mutex::new(Seat::Free(instance, Spent::default()))),
        })
    }

    /// The limits of the session: those of time, processor, fuel and output are totals over its turns.
    pub fn limits(&self) -> &Limits {
        &self.recipe.policy.limits
    }

    /// Runs one turn and waits for its end.
    pub fn eval(&self, turn: Turn<'_>) -> Result<TurnResult> {
        self.check_process()?;
        check_turn(&turn.limits)?;
        let limits = match turn.limits == LimitsPatch::default() {
            true => *self.limits(),
            false => self.limits().narrowed(&turn.limits)?,
        };
        let outer = apart::outer()?;
        let taken = self.take()?;
        let Taken { instance, mut spent, back } = taken;
        let limits = match spent.left(limits, self.limits()) {
            Ok(limits) => limits,
            Err(limit) => {
                back.put(Seat::Free(instance, spent));
                return Err(self.used_up(limit.name()));
            }
        };
        let functions = self.functions.as_ref();
        let (instance, result) = match instance {
            Instance::Here(live) => {
                let (live, result) = turn::run(live, functions, limits, turn, outer)?;
                (live.map(Instance::Here), result)
            }
            Instance::Worker(remote) => {
                let (remote, result) = remote.eval(functions, limits, turn, outer)?;
                (remote.map(Instance::Worker), result)
            }
        };
        spent.add(&result.usage);
        let seat = match instance {
            Some(instance) => Seat::Free(instance, spent),
            None => Seat::Poisoned(result.why()),
        };
        back.put(seat);
        Ok(result)
    }

    /// Why no turn can run any more, if none can.
    pub fn poisoned(&self) -> Option<String> {
        if self.generation != generation() {
            return Some("it is in the parent of this process".into());
        }
        match &*self.seat() {
            Seat::Poisoned(why) => Some(why.clone()),
            _ => None,
        }
    }

    /// Frees everything. A turn that is under way goes on, and is its last.
    pub fn close(&self) {
        if self.generation != generation() {
            return;
        }
        self.closed.store(true, Ordering::SeqCst);
        let mut seat = self.seat();
        if !matches!(*seat, Seat::Taken) {
            let gone = std::mem::replace(&mut *seat, Seat::Closed);
            // Unmapping takes a while, and nobody has to wait for it.
            drop(seat);
            drop(gone);
        }
    }

    fn seat(&self) -> MutexGuard<'_, Seat> {
        self.seat.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    fn check_process(&self) -> Result<()> {
        if self.generation == generation() {
            return Ok(());
        }
        Err(self.refused("this process was forked, and the session is in its parent", "call `restart()` here"))
    }

    fn take(&self) -> Result<Taken<'_>> {
        let mut seat = self.seat();
        match std::mem::replace(&mut *seat, Seat::Taken) {
            Seat::Free(instance, spent) => Ok(Taken { instance, spent, back: Back { session: self, seat: None } }),
            Seat::Taken => Err(self.refused(
                "a turn is under way, and a session runs one at a time",
                "wait for its end, or open one session for each thread and for each function that runs code",
            )),
            Seat::Poisoned(why) => {
                let told = self.refused(&why, "call `restart()`: it begins anew, without what it had defined");
                *seat = Seat::Poisoned(why);
                Err(told)
            }
            Seat::Closed => {
                *seat = Seat::Closed;
                Err(self.refused("it was closed", "open a new one"))
            }
        }
    }

    fn used_up(&self, limit: &str) -> Error {
        self.refused(
            &format!("its turns have used up the total `{limit}` of its policy"),
            &format!("raise `{limit}` in the policy's limits, which are totals over a session, or call `restart()`"),
        )
    }

    fn refused(&self, why: &str, fix: &str) -> Error {
        Error::session(format!("no turn in this session of `{}`", self.name), why, fix)
    }
}

/// The instance, and the way back to its seat.
struct Taken<'a> {
    instance: Instance,
    spent: Spent,
    back: Back<'a>,
}

/// Whatever happens to a turn, its seat does not stay taken.
struct Back<'a> {
    session: &'a Session,
    seat: Option<Seat>,
}

impl Back<'_> {
    fn put(mut self, seat: Seat) {
        self.seat = Some(seat);
    }
}

impl Drop for Back<'_> {
    fn drop(&mut self) {
        if self.session.generation != generation() {
            return;
        }
        let seat = self.seat.take().unwrap_or_else(|| Seat::Poisoned("its last turn could not be run".into()));
        let is_closed = self.session.closed.load(Ordering::SeqCst);
        let gone = std::mem::replace(&mut *self.session.seat(), if is_closed { Seat::Closed } else { seat });
        drop(gone);
    }
}

/// Refuses limits that are of a whole session: what they bound outlives a turn.
fn check_turn(patch: &LimitsPatch) -> Result<()> {
    let whole = [
        ("host_bytes", patch.host_bytes.is_some()),
        ("open_files", patch.open_files.is_some()),
        ("disk", patch.disk.is_some()),
        ("files", patch.files.is_some()),
        ("connections", patch.connections.is_some()),
        ("net_bytes", patch.net_bytes.is_some()),
    ];
    match whole.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((name, _)) => Err(Error::policy(
            format!("`limits.{name}` is not a limit of one turn"),
            "what it bounds outlives the turn: it is a total over the session",
            format!("leave it out here, and set `{name}` in the policy's limits"),
        )),
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("name", &self.name).finish_non_exhaustive()
    }
}
