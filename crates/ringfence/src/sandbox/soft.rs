//! Ends that a guest hears of: its interpreter raises an exception first, and is stopped only if it does not end then.
//!
//! The guest says beforehand which words of its memory to write. It may say anything, and change them at any time:
//! what lies outside of its memory is not written, and what lies inside is its own.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use wasmtime::{Instance, Memory, Store};

use super::store::State;
use crate::language::abi;

/// Time between telling a guest and stopping it.
pub const GRACE: Duration = Duration::from_millis(200);

/// What a guest is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A limit of time is reached.
    Deadline = 0,
    /// Ctrl-C.
    Interrupt = 1,
}

impl Notice {
    /// All of them, in the order of their numbers in the guest ABI.
    pub const ALL: [Self; 2] = [Self::Deadline, Self::Interrupt];
}

/// What to write where: `value` to the first address, `bits` into the word at the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    store: u32,
    value: u32,
    set: u32,
    bits: u32,
}

impl Words {
    /// The four words at a place in the guest's memory, if that is inside.
    pub fn read(memory: &[u8], at: u32) -> Option<Self> {
        let word = |index: usize| word(memory, u32::try_from(at as usize + 4 * index).ok()?);
        Some(Self { store: word(0)?, value: word(1)?, set: word(2)?, bits: word(3)? })
    }

    fn write(self, memory: &mut [u8]) {
        put(memory, self.store, |_| self.value);
        put(memory, self.set, |word| word | self.bits);
    }

    fn take_back(self, memory: &mut [u8]) {
        put(memory, self.store, |_| 0);
        put(memory, self.set, |word| word & !self.bits);
    }
}

fn word(memory: &[u8], at: u32) -> Option<u32> {
    memory.get(at as usize..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn put(memory: &mut [u8], at: u32, new: impl FnOnce(u32) -> u32) {
    if at == 0 {
        return;
    }
    let Some(place) = memory.get_mut(at as usize..).and_then(|rest| rest.first_chunk_mut::<4>()) else { return };
    *place = new(u32::from_le_bytes(*place)).to_le_bytes();
}

/// The soft ends of one run, or of one turn of a session.
#[derive(Debug, Default)]
pub struct Soft {
    /// When the guest is told of its deadline.
    deadline: Option<Instant>,
    /// The same of its processor time.
    cpu: Option<Duration>,
    words: OnceLock<[Option<Words>; 2]>,
    /// What it was told, and 1; 0 when nothing.
    told: AtomicU8,
    interrupted: AtomicBool,
    /// When it is stopped after Ctrl-C.
    ends: Mutex<Option<Instant>>,
}

impl Soft {
    /// Tells of a deadline, of processor time, and of Ctrl-C.
    pub fn new(deadline: Option<Instant>, cpu: Option<Duration>) -> Self {
        Self { deadline, cpu, ..Self::default() }
    }

    /// What to write; without it the guest is told nothing.
    pub fn set_words(&self, words: [Option<Words>; 2]) {
        let _ = self.words.set(words);
    }

    fn words(&self, notice: Notice) -> Option<Words> {
        self.words.get().and_then(|words| words[notice as usize])
    }

    fn ends(&self) -> MutexGuard<'_, Option<Instant>> {
        self.ends.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Asks the guest to end, at its next tick; false when it cannot be asked, or was asked before.
    pub fn interrupt(&self) -> bool {
        if self.words(Notice::Interrupt).is_none() || self.interrupted.swap(true, Ordering::SeqCst) {
            return false;
        }
        *self.ends() = Some(Instant::now() + GRACE);
        true
    }

    /// Whether it was asked to end and did not.
    pub fn is_over(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst) && self.ends().is_some_and(|end| Instant::now() >= end)
    }

    /// What the guest was told.
    pub fn told(&self) -> Option<Notice> {
        Notice::ALL.into_iter().find(|notice| *notice as u8 + 1 == self.told.load(Ordering::SeqCst))
    }

    /// Whether it was asked to end by Ctrl-C.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// How long a guest may wait before it may have to be told something; none once it was.
    pub fn patience(&self) -> Option<Duration> {
        match self.told() {
            Some(_) => None,
            None if self.is_interrupted() => Some(Duration::ZERO),
            None => Some(self.deadline.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()))),
        }
    }

    /// Tells the guest what it has to be told by now, once; whether it did.
    pub fn tell(&self, memory: &mut [u8], cpu_used: impl FnOnce() -> Duration) -> bool {
        if self.told().is_some() {
            return false;
        }
        let notice = if self.is_interrupted() {
            Notice::Interrupt
        } else if self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
            || self.cpu.is_some_and(|limit| cpu_used() >= limit)
        {
            Notice::Deadline
        } else {
            return false;
        };
        let Some(words) = self.words(notice) else { return false };
        words.write(memory);
        self.told.store(notice as u8 + 1, Ordering::SeqCst);
        true
    }

    /// After the turn: what nobody noticed is not for the next one.
    pub fn take_back(&self, memory: &mut [u8]) {
        if let Some(words) = self.told().and_then(|notice| self.words(notice)) {
            words.take_back(memory);
        }
    }
}

/// Notes where a guest's memory is, so that it can be interrupted; none where it has none.
pub(crate) fn know_memory(store: &mut Store<State>, instance: &Instance) -> Option<Memory> {
    let memory = instance.get_memory(&mut *store, "memory")?;
    store.data_mut().descriptors.set_memory(memory);
    Some(memory)
}

/// Asks a pack what to write to interrupt it.
pub(crate) async fn words(store: &mut Store<State>, instance: &Instance) -> wasmtime::Result<[Option<Words>; 2]> {
    let mut words = [None; 2];
    let Ok(interrupt) = instance.get_typed_func::<u32, u32>(&mut *store, abi::INTERRUPT) else { return Ok(words) };
    let Some(memory) = know_memory(store, instance) else { return Ok(words) };
    for (kind, words) in (0..).zip(&mut words) {
        let at = interrupt.call_async(&mut *store, kind).await?;
        *words = if at == 0 { None } else { Words::read(memory.data(&*store), at) };
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soft(words: [u32; 4]) -> Soft {
        let mut memory = vec![0; 16];
        for (at, word) in words.into_iter().enumerate() {
            memory[4 * at..4 * at + 4].copy_from_slice(&word.to_le_bytes());
        }
        let soft = Soft::new(Some(Instant::now()), None);
        soft.set_words([Words::read(&memory, 0), None]);
        soft
    }

    #[test]
    fn a_guest_is_told_once_and_what_it_did_not_notice_is_taken_back() {
        let soft = soft([4, 7, 8, 2]);
        let mut memory = vec![0; 12];
        memory[8] = 1;
        assert!(soft.tell(&mut memory, || Duration::ZERO));
        assert_eq!([0, 0, 0, 0, 7, 0, 0, 0, 3, 0, 0, 0], memory[..]);
        assert!(!soft.tell(&mut memory, || Duration::ZERO));
        soft.take_back(&mut memory);
        assert_eq!([0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], memory[..]);
    }

    #[test]
    fn attack_words_outside_of_the_memory_are_not_written() {
        for outside in [9, 10, 12, u32::MAX, u32::MAX - 3, 1 << 31] {
            let mut memory = vec![0; 12];
            soft([outside, 7, outside, 2]).tell(&mut memory, || Duration::ZERO);
            assert_eq!([0; 12], memory[..]);
            assert_eq!(None, Words::read(&memory, outside));
        }
    }

    #[test]
    fn ctrl_c_is_told_where_there_are_words_for_it() {
        assert!(!soft([4, 7, 8, 2]).interrupt());
        let soft = Soft::new(None, None);
        soft.set_words([None, Some(Words { store: 4, value: 9, set: 0, bits: 0 })]);
        assert!(soft.interrupt() && !soft.interrupt() && !soft.is_over());
        let mut memory = vec![0; 8];
        assert!(soft.tell(&mut memory, || Duration::ZERO));
        assert_eq!((9, Some(Notice::Interrupt)), (memory[4], soft.told()));
    }
}
