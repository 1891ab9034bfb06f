//! Values on their way between a guest and its host: numbers in a row, in the order of their type, beside their bytes.
//!
//! A type says how its values are laid out here: a number or a character is one word; text, bytes and lists of numbers
//! are one word, the place of their bytes; a list or a map is its length and its items; a record, a tuple or a list of fixed length its fields; what has
//! cases is the number of the case and what it carries; flags are a word for each 32 of them; a resource of the guest's,
//! a stream or a future is the place of its handle, one of the host's is the host's own number for it.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use smallvec::SmallVec;
use wasmtime::AsContextMut;
use wasmtime::component::ResourceAny;

use super::handles::{Gone, Handle, Life, Meant, Owned, Taken};
use super::streams::{Element, Fed, Feed, Readable, Stream};
use crate::sandbox::components::ComponentState;

/// Bytes that are not copied: they stay where they are as long as this lives.
pub type Held = Box<dyn AsRef<[u8]> + Send + Sync>;

/// Numbers of which a few lie in the tape itself: most calls take and give no more, and memory would take a twelfth of one.
pub(super) type Words = SmallVec<[u64; 4]>;

/// The values of one call, in one direction.
#[derive(Default)]
pub struct Tape {
    pub(super) words: Words,
    pub(super) pieces: Vec<Piece>,
    pub(super) copied: Vec<u8>,
    pub(super) handles: Vec<Passed>,
    pub(super) placed: Vec<Placed>,
}

/// A handle on its way.
pub(super) enum Passed {
    /// Out of the guest, and nobody's yet.
    Raw(ResourceAny),
    Owned(Arc<Owned>),
    /// Into the guest, for good.
    Taken(Taken),
    /// Between two processes, by its number there; whether it is the guest's for good.
    Numbered(u64, bool),
    /// A stream or a future out of the guest, which nobody reads yet.
    Written(Readable, Element),
    Stream(Stream),
    /// One into the guest, which the instance has not heard of.
    Fed(Mutex<Option<Fed>>),
    Readable(Readable),
}

/// An object of the host's that a value on its way into the guest has a number for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The number.
    pub number: u32,
    /// Whether the guest has it for the length of a call.
    pub is_lent: bool,
    /// What it is one of, by its place in [`super::Types::resources`].
    pub resource: u32,
}

pub(super) enum Piece {
    Copied(Range<usize>),
    Held(Held),
}

impl Tape {
    /// One word more.
    pub fn word(&mut self, word: u64) {
        self.words.push(word);
    }

    /// Bytes, copied.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.filled(|copied| copied.extend_from_slice(bytes));
    }

    /// Bytes that are written one after the other.
    pub fn filled<T>(&mut self, fill: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let start = self.copied.len();
        let filled = fill(&mut self.copied);
        self.words.push(self.pieces.len() as u64);
        self.pieces.push(Piece::Copied(start..self.copied.len()));
        filled
    }

    /// The bytes of a piece, which was made for this tape.
    pub(super) fn of<'a>(&'a self, piece: &'a Piece) -> &'a [u8] {
        match piece {
            Piece::Copied(range) => self.copied.get(range.clone()).unwrap_or_default(),
            Piece::Held(held) => (**held).as_ref(),
        }
    }

    /// How many bytes were written last.
    pub fn last_piece(&self) -> usize {
        match self.pieces.last() {
            Some(Piece::Copied(range)) => range.len(),
            Some(Piece::Held(held)) => (**held).as_ref().len(),
            None => 0,
        }
    }

    /// Bytes, where they are.
    pub fn hold(&mut self, held: Held) {
        self.words.push(self.pieces.len() as u64);
        self.pieces.push(Piece::Held(held));
    }

    /// A resource of the guest's, for the length of a call.
    pub fn lend(&mut self, handle: &Handle) -> Result<(), Gone> {
        let owned = handle.borrowed()?;
        self.pass(Passed::Owned(owned));
        Ok(())
    }

    /// A resource of the guest's, which becomes its own again.
    pub fn give(&mut self, handle: &Handle) -> Result<(), Gone> {
        let taken = handle.taken()?;
        self.pass(Passed::Taken(taken));
        Ok(())
    }

    pub(super) fn raw(&mut self, any: ResourceAny) {
        self.pass(Passed::Raw(any));
    }

    fn pass(&mut self, passed: Passed) {
        self.words.push(self.handles.len() as u64);
        self.handles.push(passed);
    }

    /// A stream into the guest, or a future, of what comes from there; its title is for messages.
    pub fn feed(&mut self, element: Element, is_future: bool, feed: Box<dyn Feed>, title: Arc<str>) {
        self.pass(Passed::Fed(Mutex::new(Some(Fed { element, is_future, feed, title }))));
    }

    pub(super) fn written(&mut self, readable: Readable, element: Element) {
        self.pass(Passed::Written(readable, element));
    }

    /// Lets the instance read what is fed to it.
    pub(super) fn open(&mut self, mut store: impl AsContextMut<Data = ComponentState>) -> wasmtime::Result<()> {
        for passed in &mut self.handles {
            if let Passed::Fed(fed) = passed {
                let fed = fed.get_mut().unwrap_or_else(|broken| broken.into_inner()).take();
                let fed = fed.ok_or_else(|| wasmtime::Error::msg("a stream was given twice"))?;
                *passed = Passed::Readable(fed.opened(&mut store)?);
            }
        }
        Ok(())
    }

    /// Lets the host read what the instance writes.
    pub(super) fn pipe(
        &mut self,
        mut store: impl AsContextMut<Data = ComponentState>,
        over: &Arc<AtomicBool>,
    ) -> wasmtime::Result<()> {
        let handles = std::mem::take(&mut self.handles).into_iter();
        let piped = handles.map(|passed| match passed {
            Passed::Written(readable, element) => readable.piped(&mut store, element, over).map(Passed::Stream),
            other => Ok(other),
        });
        self.handles = piped.collect::<wasmtime::Result<_>>()?;
        Ok(())
    }

    /// Streams that the host reads.
    pub(super) fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.handles.iter().filter_map(|passed| if let Passed::Stream(stream) = passed { Some(stream) } else { None })
    }

    /// An object of the host's, by its number.
    pub fn place(&mut self, placed: Placed) {
        self.words.push(u64::from(placed.number));
        self.placed.push(placed);
    }

    /// The objects of the host's that are on it.
    pub fn placed(&self) -> &[Placed] {
        &self.placed
    }

    /// Makes the guest's handles on it the host's.
    pub(super) fn adopt(&mut self, life: &Arc<Life>) {
        for passed in &mut self.handles {
            let meant = match passed {
                Passed::Raw(any) => Meant::Here(*any),
                Passed::Numbered(number, false) => Meant::There(*number),
                _ => continue,
            };
            *passed = Passed::Owned(Owned::new(meant, life));
        }
    }

    /// Whether every handle on it is of that life.
    pub(super) fn is_of(&self, life: &Arc<Life>) -> bool {
        self.handles.iter().all(|passed| match passed {
            Passed::Raw(_) | Passed::Numbered(..) => false,
            Passed::Written(..) | Passed::Stream(_) | Passed::Readable(_) => false,
            Passed::Owned(owned) => owned.is_of(life),
            Passed::Taken(taken) => taken.owned.is_of(life),
            Passed::Fed(_) => true,
        })
    }

    /// Reads it from its start.
    pub fn reader(&self) -> Reader<'_> {
        Reader { tape: self, at: 0 }
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tape").field("words", &self.words.len()).finish_non_exhaustive()
    }
}

/// Where reading has got to.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    tape: &'a Tape,
    at: usize,
}

/// Values were written for another type than they are read as: a defect of ours, which no guest can cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixedUp;

impl fmt::Display for MixedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("values were written for another type than they are read as")
    }
}

impl std::error::Error for MixedUp {}

impl<'a> Reader<'a> {
    /// The next word.
    pub fn word(&mut self) -> Result<u64, MixedUp> {
        let word = self.tape.words.get(self.at).ok_or(MixedUp)?;
        self.at += 1;
        Ok(*word)
    }

    /// The next word where it is a number of things.
    pub fn count(&mut self) -> Result<usize, MixedUp> {
        usize::try_from(self.word()?).map_err(|_| MixedUp)
    }

    /// The next bytes.
    pub fn piece(&mut self) -> Result<&'a [u8], MixedUp> {
        let index = self.count()?;
        Ok(self.tape.of(self.tape.pieces.get(index).ok_or(MixedUp)?))
    }

    /// Whether there is no word any more.
    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.tape.words.len()
    }

    /// The next resource of the guest's, as the host keeps it.
    pub fn handle(&mut self) -> Result<Handle, MixedUp> {
        let index = self.count()?;
        match self.tape.handles.get(index).ok_or(MixedUp)? {
            Passed::Owned(owned) => Ok(Handle::new(owned.clone())),
            _ => Err(MixedUp),
        }
    }

    /// The next stream or future of the guest's.
    pub fn stream(&mut self) -> Result<Stream, MixedUp> {
        let index = self.count()?;
        match self.tape.handles.get(index).ok_or(MixedUp)? {
            Passed::Stream(stream) => Ok(stream.clone()),
            _ => Err(MixedUp),
        }
    }

    /// The next one on its way in.
    pub(super) fn readable(&mut self) -> Result<&'a Readable, MixedUp> {
        let index = self.count()?;
        match self.tape.handles.get(index).ok_or(MixedUp)? {
            Passed::Readable(readable) => Ok(readable),
            _ => Err(MixedUp),
        }
    }

    /// The next resource of the guest's, on its way in; what is taken is the guest's from here on.
    pub(super) fn passed(&mut self) -> Result<&'a ResourceAny, MixedUp> {
        let index = self.count()?;
        let owned = match self.tape.handles.get(index).ok_or(MixedUp)? {
            Passed::Owned(owned) => owned,
            Passed::Taken(taken) => {
                taken.owned.give();
                &taken.owned
            }
            _ => return Err(MixedUp),
        };
        match owned.meant() {
            Meant::Here(any) => Ok(any),
            Meant::There(_) => Err(MixedUp),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_written_is_read_in_order() {
        let mut tape = Tape::default();
        tape.word(7);
        tape.bytes(b"ab");
        tape.hold(Box::new(vec![1u8, 2]));
        tape.filled(|bytes| bytes.push(9));
        let mut reader = tape.reader();
        assert_eq!(Ok(7), reader.word());
        assert_eq!(Ok(&b"ab"[..]), reader.piece());
        assert_eq!(Ok(&[1u8, 2][..]), reader.piece());
        assert_eq!(Ok(&[9u8][..]), reader.piece());
        assert_eq!(Err(MixedUp), reader.word());
    }

    #[test]
    fn a_piece_that_is_not_there_is_an_error() {
        let mut tape = Tape::default();
        tape.word(3);
        assert_eq!(Err(MixedUp), tape.reader().piece());
    }
}
