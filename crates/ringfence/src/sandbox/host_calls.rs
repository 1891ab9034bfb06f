//! Calls from a guest to functions of the host.
//!
//! A call leaves the guest: its fiber is suspended, the function runs on the thread's own stack, outside every
//! runtime, and its answer is handed back in. So a function may do what any other code may, run a guest included.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::host::{HostFunction, HostFunctions, Raised, SessionFunctions, Value, ValueType};
use crate::language::abi;
use crate::language::value::{Item, Writer};
use crate::text;

/// Where the guest's thread is: in the guest, in a function (its index and 1), in one of a session's, or given up.
const IN_GUEST: usize = 0;
const IN_SESSION: usize = usize::MAX - 1;
const ABANDONED: usize = usize::MAX;

/// How many calls of one turn may be under way at once.
pub const MAX_UNDER_WAY: usize = 100;

/// Longest wait for calls that are under way: then the guest hears what else there is, such as its deadline, and
/// waits again.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// The host calls of one run. Clones share them.
#[derive(Clone, Default)]
pub struct HostCalls(Option<Arc<Calls>>);

struct Calls {
    functions: Arc<[HostFunction]>,
    session: Option<Arc<dyn SessionFunctions>>,
    /// In a worker: where the session's functions are instead.
    relay: Option<Arc<dyn Relay>>,
    /// The session's function that is called.
    name: Mutex<String>,
    /// Calls that were begun, and have neither given their answer nor been cancelled.
    under_way: Mutex<BTreeMap<u64, Begun>>,
    /// Of calls that were begun: no number is used again in a session.
    numbers: Arc<AtomicU64>,
    mailbox: Mutex<Mailbox>,
    /// Whose turn it is to ask: a guest of WASI 0.3 may ask again before it is answered.
    turn: tokio::sync::Mutex<()>,
    place: AtomicUsize,
    made: AtomicU64,
    /// Time inside functions, in nanoseconds.
    took: AtomicU64,
    memory_peak: AtomicU64,
}

enum Mailbox {
    Empty,
    /// With whom the answer wakes: wasmtime polls nothing that is not woken.
    Asked(Ask, Waker),
    Answered(Result<Reply, Raised>),
}

/// What a guest asks for: a function that it imports, or something about those of its session.
enum Ask {
    Numbers {
        index: usize,
        params: Vec<Value>,
        results: Arc<[ValueType]>,
    },
    Message(Message),
    /// A message that is handed on whole.
    Relayed(Vec<u8>),
    /// Work of a function that is called so, by what it is called.
    Work(Arc<str>, Work),
}

/// A call of a plugin, which keeps its answer to itself.
pub(crate) type Work = Box<dyn FnOnce() -> Result<(), Raised> + Send>;

/// The functions of a session that are in another process, which is asked for whatever its guest asks.
pub(crate) trait Relay: Send + Sync {
    /// What is told to a guest that asks what functions there are.
    fn list(&self) -> Vec<u8>;

    /// Hands a message on, and waits: its answer, or the number that refuses it; an error ends the turn.
    fn hand_on(&self, message: &[u8]) -> Result<Result<Vec<u8>, i64>, Raised>;
}

/// What a guest asks for about its session's functions; arguments are encoded.
pub(crate) enum Message {
    /// A call, and its answer.
    Call { name: String, arguments: Vec<u8> },
    /// A call that may go on while the guest does; the cost is what the host holds for it.
    Begin { name: String, arguments: Vec<u8>, cost: u64 },
    /// The answers of those that have ended, after no longer than this.
    Wait(Duration),
    /// The end of one whose answer is not wanted.
    Cancel(u64),
}

impl Message {
    /// Whether it calls a function, and does not only ask after one.
    pub(crate) fn is_call(&self) -> bool {
        matches!(self, Self::Call { .. } | Self::Begin { .. })
    }
}

struct Begun {
    name: String,
    cost: u64,
}

enum Reply {
    Numbers(Vec<Value>),
    Message(Vec<u8>),
    /// A message that was handed on, and refused there.
    Refused(i64),
    /// Work was done.
    Done,
}

impl HostCalls {
    /// None made yet, to these functions.
    pub fn new(functions: &HostFunctions) -> Self {
        match functions.functions.is_empty() {
            true => Self(None),
            false => Self::of(functions.functions.clone(), None, None, Arc::default()),
        }
    }

    /// None made yet, to the functions of a session that numbers its calls so.
    pub fn of_session(functions: Arc<dyn SessionFunctions>, numbers: Arc<AtomicU64>) -> Self {
        Self::of(Arc::new([]), Some(functions), None, numbers)
    }

    /// Those of a plugin, which says with each call what there is to do.
    pub(crate) fn of_plugin() -> Self {
        Self::of(Arc::new([]), None, None, Arc::default())
    }

    /// The same in a worker, whose parent has the functions, numbers the calls, and counts them.
    pub(crate) fn relayed(relay: Arc<dyn Relay>) -> Self {
        Self::of(Arc::new([]), None, Some(relay), Arc::default())
    }

    fn of(
        functions: Arc<[HostFunction]>,
        session: Option<Arc<dyn SessionFunctions>>,
        relay: Option<Arc<dyn Relay>>,
        numbers: Arc<AtomicU64>,
    ) -> Self {
        Self(Some(Arc::new(Calls {
            functions,
            session,
            relay,
            name: Mutex::default(),
            under_way: Mutex::default(),
            numbers,
            mailbox: Mutex::new(Mailbox::Empty),
            turn: tokio::sync::Mutex::default(),
            place: AtomicUsize::new(IN_GUEST),
            made: AtomicU64::new(0),
            took: AtomicU64::new(0),
            memory_peak: AtomicU64::new(0),
        })))
    }

    /// The functions of a session, if it has any.
    pub fn session(&self) -> Option<&Arc<dyn SessionFunctions>> {
        self.0.as_ref()?.session.as_ref()
    }

    /// Whether the guest waits for an answer.
    pub fn is_asked(&self) -> bool {
        self.0.as_ref().is_some_and(|calls| matches!(*calls.mailbox(), Mailbox::Asked(..)))
    }

    /// Calls the function the guest asked for; `false` when the caller of the run has given up meanwhile.
    pub fn answer(&self) -> bool {
        let Some(calls) = &self.0 else { return true };
        let asked = std::mem::replace(&mut *calls.mailbox(), Mailbox::Empty);
        let Mailbox::Asked(asked, waker) = asked else { return true };
        let place = match &asked {
            Ask::Numbers { index, .. } => index + 1,
            Ask::Message(message) => {
                calls.note(message);
                IN_SESSION
            }
            Ask::Relayed(_) => IN_SESSION,
            Ask::Work(name, _) => {
                (**name).clone_into(&mut calls.name());
                IN_SESSION
            }
        };
        if calls.place.compare_exchange(IN_GUEST, place, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return false;
        }
        let answer = calls.counted(asked);
        *calls.mailbox() = Mailbox::Answered(answer);
        waker.wake();
        calls.place.compare_exchange(place, IN_GUEST, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Gives up on a guest that is inside a function: its name, or `None` when it is not inside one.
    ///
    /// From then on the guest runs no further instruction: its end begins when the function returns.
    pub fn abandon(&self) -> Option<String> {
        let calls = self.0.as_ref()?;
        let place = calls.place.load(Ordering::SeqCst);
        if place == IN_GUEST || place == ABANDONED {
            return None;
        }
        calls.place.compare_exchange(place, ABANDONED, Ordering::SeqCst, Ordering::SeqCst).ok()?;
        match place {
            IN_SESSION => Some(text::quote(&calls.name())),
            place => calls.functions.get(place - 1).map(HostFunction::title),
        }
    }

    /// Counts one that is made elsewhere.
    pub(crate) fn count(&self) {
        if let Some(calls) = &self.0 {
            calls.made.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether these are the calls of the same run.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(calls), Some(others)) => Arc::ptr_eq(calls, others),
            _ => false,
        }
    }

    /// The run is over: a task of its guest's that still waits for an answer is to ask the next one.
    pub(crate) fn leave(&self) {
        let Some(calls) = &self.0 else { return };
        if let Mailbox::Asked(_, waker) = std::mem::replace(&mut *calls.mailbox(), Mailbox::Empty) {
            waker.wake();
        }
    }

    /// Calls made so far.
    pub fn made(&self) -> u64 {
        self.0.as_ref().map_or(0, |calls| calls.made.load(Ordering::Relaxed))
    }

    /// Time inside functions so far.
    pub fn took(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |calls| Duration::from_nanos(calls.took.load(Ordering::Relaxed)))
    }

    /// The most memory the guest had taken when it last called.
    pub fn memory_peak(&self) -> u64 {
        self.0.as_ref().map_or(0, |calls| calls.memory_peak.load(Ordering::Relaxed))
    }

    /// Whether one more call may be begun, whose arguments cost this.
    pub(crate) fn has_room(&self, cost: u64, room: u64) -> bool {
        self.0.as_ref().is_some_and(|calls| {
            let under_way = calls.under_way();
            let held: u64 = under_way.values().map(|begun| begun.cost).fold(cost, u64::saturating_add);
            under_way.len() < MAX_UNDER_WAY && held <= room
        })
    }

    /// Whether a call is under way.
    pub(crate) fn is_under_way(&self) -> bool {
        self.0.as_ref().is_some_and(|calls| !calls.under_way().is_empty())
    }

    /// Why a message about the session's functions is refused as things stand, if it is.
    pub(crate) fn refuses(&self, message: &Message, room: u64) -> Option<i64> {
        match message {
            Message::Begin { cost, .. } if !self.has_room(*cost, room) => Some(abi::TOO_LONG),
            Message::Wait(_) if !self.is_under_way() => Some(abi::ABSENT),
            _ => None,
        }
    }

    /// What a guest in another process asks of the session's functions, for whoever talks to that.
    pub(crate) fn perform(&self, message: Message) -> Result<Vec<u8>, Raised> {
        let calls = self.0.as_ref().ok_or_else(mixed_up)?;
        match calls.counted(Ask::Message(message))? {
            Reply::Message(answer) => Ok(answer),
            _ => Err(mixed_up()),
        }
    }

    /// Notes whose function is about to be at work.
    pub(crate) fn note(&self, message: &Message) {
        if let Some(calls) = &self.0 {
            calls.note(message);
        }
    }

    /// The function of the session that was at work last.
    pub(crate) fn name(&self) -> String {
        self.0.as_ref().map_or_else(String::new, |calls| text::quote(&calls.name()))
    }

    /// Whether messages are handed on.
    pub(crate) fn relay(&self) -> Option<&Arc<dyn Relay>> {
        self.0.as_ref()?.relay.as_ref()
    }

    /// From inside the guest: asks the functions of the session, and waits.
    pub(crate) async fn call(&self, message: Message, peak: u64) -> Result<Vec<u8>, Raised> {
        match self.ask(Ask::Message(message), peak).await? {
            Reply::Message(answer) => Ok(answer),
            _ => Err(mixed_up()),
        }
    }

    /// The same where the message is handed on.
    pub(crate) async fn hand_on(&self, message: Vec<u8>, peak: u64) -> Result<Result<Vec<u8>, i64>, Raised> {
        match self.ask(Ask::Relayed(message), peak).await? {
            Reply::Message(answer) => Ok(Ok(answer)),
            Reply::Refused(number) => Ok(Err(number)),
            _ => Err(mixed_up()),
        }
    }

    /// From inside the guest: calls the function at that index, and waits for its numbers.
    pub(super) async fn numbers(
        &self,
        index: usize,
        params: Vec<Value>,
        results: Arc<[ValueType]>,
        peak: u64,
    ) -> Result<Vec<Value>, Raised> {
        match self.ask(Ask::Numbers { index, params, results }, peak).await? {
            Reply::Numbers(values) => Ok(values),
            _ => Err(mixed_up()),
        }
    }

    /// From inside the guest: asks for work to be done, and waits.
    pub(crate) async fn work(&self, name: Arc<str>, work: Work, peak: u64) -> Result<(), Raised> {
        let Some(calls) = &self.0 else { return Err(mixed_up()) };
        let _turn = calls.turn.lock().await;
        match self.ask(Ask::Work(name, work), peak).await? {
            Reply::Done => Ok(()),
            _ => Err(mixed_up()),
        }
    }

    /// From inside the guest: asks, and waits to be answered.
    async fn ask(&self, ask: Ask, peak: u64) -> Result<Reply, Raised> {
        let Some(calls) = &self.0 else { return Err(Raised::new("a host function was called by a guest without any")) };
        calls.memory_peak.store(peak, Ordering::Relaxed);
        let mut ask = Some(ask);
        std::future::poll_fn(|context| {
            let mut mailbox = calls.mailbox();
            let asked = ask.take().map(|ask| Mailbox::Asked(ask, context.waker().clone()));
            match asked.unwrap_or_else(|| std::mem::replace(&mut *mailbox, Mailbox::Empty)) {
                Mailbox::Answered(answer) => return Poll::Ready(answer),
                Mailbox::Asked(ask, _) => *mailbox = Mailbox::Asked(ask, context.waker().clone()),
                Mailbox::Empty => {}
            }
            Poll::Pending
        })
        .await
    }
}

fn mixed_up() -> Raised {
    Raised::new("a host function was answered for another")
}

impl Calls {
    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    fn name(&self) -> MutexGuard<'_, String> {
        self.name.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Answers, counts and times.
    fn counted(&self, asked: Ask) -> Result<Reply, Raised> {
        if !matches!(&asked, Ask::Message(message) if !message.is_call()) {
            self.made.fetch_add(1, Ordering::Relaxed);
        }
        let began = Instant::now();
        let answer = self.reply(asked);
        self.took.fetch_add(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        answer
    }

    fn reply(&self, asked: Ask) -> Result<Reply, Raised> {
        match asked {
            Ask::Numbers { index, params, results } => {
                let function = self.functions.get(index).ok_or_else(mixed_up)?;
                function.answer(&params, &results).map(Reply::Numbers)
            }
            Ask::Message(message) => {
                let functions = self.session.as_ref().ok_or_else(mixed_up)?;
                match catch_unwind(AssertUnwindSafe(|| self.about(&**functions, message))) {
                    Ok(answer) => answer.map(Reply::Message),
                    Err(_) => Err(Raised::new(format!("`{}` panicked", text::quote(&self.name())))),
                }
            }
            Ask::Work(name, work) => match catch_unwind(AssertUnwindSafe(work)) {
                Ok(done) => done.map(|()| Reply::Done),
                Err(_) => Err(Raised::new(format!("`{}` panicked", text::quote(&name)))),
            },
            Ask::Relayed(message) => {
                let relay = self.relay.as_ref().ok_or_else(mixed_up)?;
                Ok(match relay.hand_on(&message)? {
                    Ok(answer) => Reply::Message(answer),
                    Err(number) => Reply::Refused(number),
                })
            }
        }
    }

    /// Notes whose function the guest is about to be inside of.
    fn note(&self, message: &Message) {
        let under_way = self.under_way();
        let name = match message {
            Message::Call { name, .. } | Message::Begin { name, .. } => Some(name),
            Message::Wait(_) => under_way.values().next().map(|begun| &begun.name),
            Message::Cancel(number) => under_way.get(number).map(|begun| &begun.name),
        };
        name.map_or("", String::as_str).clone_into(&mut self.name());
    }

    fn about(&self, functions: &dyn SessionFunctions, message: Message) -> Result<Vec<u8>, Raised> {
        let mut answer = Writer::default();
        match message {
            Message::Call { name, arguments } => return functions.call(&name, &arguments),
            Message::Begin { name, arguments, cost } => {
                let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
                if let Some(ended) = functions.begin(number, &name, &arguments)? {
                    return Ok(ended);
                }
                self.under_way().insert(number, Begun { name, cost });
                answer.item(Item::List(2));
                answer.item(Item::Whole { negative: false, number: 2 });
                answer.item(Item::Whole { negative: false, number });
            }
            Message::Wait(longest) => {
                let mut ended = functions.wait(longest.min(LONGEST_WAIT))?;
                let mut under_way = self.under_way();
                ended.retain(|(number, _)| under_way.remove(number).is_some());
                answer.item(Item::List(ended.len()));
                let mut answer = answer.into_bytes();
                for (number, value) in ended {
                    let mut pair = Writer::default();
                    pair.item(Item::List(2));
                    pair.item(Item::Whole { negative: false, number });
                    answer.extend(pair.into_bytes());
                    answer.extend(value);
                }
                return Ok(answer);
            }
            Message::Cancel(number) => {
                if self.under_way().remove(&number).is_some() {
                    functions.cancel(number);
                }
                answer.item(Item::Null);
            }
        }
        Ok(answer.into_bytes())
    }

    fn under_way(&self) -> MutexGuard<'_, BTreeMap<u64, Begun>> {
        self.under_way.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}
