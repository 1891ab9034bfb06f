//! Calls of a session's functions that go on while the guest does, bounded in number and size.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::host::{Raised, SessionFunctions};
use crate::language::abi;
use crate::language::value::{Item, Writer};
use crate::text;

/// How many calls of one turn may be under way at once.
const MAX_UNDER_WAY: usize = 100;

/// Longest wait for calls that are under way: then the guest hears what else there is, such as its deadline, and
/// waits again.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

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
    /// Whether it calls a function.
    pub(crate) fn is_call(&self) -> bool {
        matches!(self, Self::Call { .. } | Self::Begin { .. })
    }
}

struct Begun {
    name: String,
    cost: u64,
}

/// The calls of one turn that were begun, and have neither given their answer nor been cancelled.
#[derive(Default)]
pub(crate) struct UnderWay {
    begun: Mutex<BTreeMap<u64, Begun>>,
    /// The last number: none is used again in a session.
    numbers: Arc<AtomicU64>,
}

impl UnderWay {
    /// None yet, in a session that numbers its calls so.
    pub(crate) fn new(numbers: Arc<AtomicU64>) -> Self {
        Self { begun: Mutex::default(), numbers }
    }

    /// Whether there is room for what a message asks for, and something to wait for.
    pub(crate) fn admit(&self, message: &Message, room: u64) -> Result<(), i64> {
        let begun = self.begun();
        match message {
            Message::Begin { cost, .. } => {
                let held = begun.values().map(|begun| begun.cost).fold(*cost, u64::saturating_add);
                if begun.len() < MAX_UNDER_WAY && held <= room { Ok(()) } else { Err(abi::TOO_LONG) }
            }
            Message::Wait(_) if begun.is_empty() => Err(abi::ABSENT),
            _ => Ok(()),
        }
    }

    /// Whose function the guest is about to be inside of.
    pub(crate) fn name_of(&self, message: &Message) -> String {
        let begun = self.begun();
        let name = match message {
            Message::Call { name, .. } | Message::Begin { name, .. } => Some(name),
            Message::Wait(_) => begun.values().next().map(|begun| &begun.name),
            Message::Cancel(number) => begun.get(number).map(|begun| &begun.name),
        };
        name.cloned().unwrap_or_default()
    }

    /// What the guest is told; what panics has broken.
    pub(crate) fn answer(&self, functions: &dyn SessionFunctions, message: Message) -> Result<Vec<u8>, Raised> {
        let name = self.name_of(&message);
        catch_unwind(AssertUnwindSafe(|| self.asked(functions, message)))
            .unwrap_or_else(|_| Err(Raised::new(format!("`{}` panicked", text::quote(&name)))))
    }

    fn asked(&self, functions: &dyn SessionFunctions, message: Message) -> Result<Vec<u8>, Raised> {
        match message {
            Message::Call { name, arguments } => functions.call(&name, &arguments),
            Message::Begin { name, arguments, cost } => {
                let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
                if let Some(ended) = functions.begin(number, &name, &arguments)? {
                    return Ok(ended);
                }
                self.begun().insert(number, Begun { name, cost });
                Ok(items(&[Item::List(2), whole(2), whole(number)]))
            }
            Message::Wait(longest) => {
                let mut ended = functions.wait(longest.min(LONGEST_WAIT))?;
                let mut begun = self.begun();
                ended.retain(|(number, _)| begun.remove(number).is_some());
                let mut answer = items(&[Item::List(ended.len())]);
                for (number, value) in ended {
                    answer.extend(items(&[Item::List(2), whole(number)]));
                    answer.extend(value);
                }
                Ok(answer)
            }
            Message::Cancel(number) => {
                if self.begun().remove(&number).is_some() {
                    functions.cancel(number);
                }
                Ok(items(&[Item::Null]))
            }
        }
    }

    fn begun(&self) -> MutexGuard<'_, BTreeMap<u64, Begun>> {
        self.begun.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

/// A whole number.
pub(crate) fn whole(number: u64) -> Item<'static> {
    Item::Whole { negative: false, number }
}

/// Items behind each other.
pub(crate) fn items(items: &[Item<'_>]) -> Vec<u8> {
    let mut writer = Writer::default();
    items.iter().for_each(|item| writer.item(*item));
    writer.into_bytes()
}
