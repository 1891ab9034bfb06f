//! Tapes between two processes, and how far one is believed that comes from a worker: as far as its values are of their
//! types, and no further.
//!
//! The words, then the lengths of the pieces, then the numbers of handles, then the pieces, one after the other; numbers
//! are little-endian.

use serde::{Deserialize, Serialize};

use super::handles::Meant;
use super::holdings::Holdings;
use super::lift::{HANDLE_BYTES, ITEM_BYTES};
use super::tape::{MixedUp, Passed, Piece, Reader, Tape, Words};
use super::types::{Number, Shape, TypeId, Types};

const WORD: usize = size_of::<u64>();

/// Set in the number of a resource that becomes its guest's again.
const GIVEN: u64 = 1 << 63;

/// A number that no resource has.
const NONE: u64 = u64::MAX;

/// How much of a tape there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    words: u64,
    pieces: u64,
    handles: u64,
}

impl Tape {
    /// Everything that is on it, as bytes.
    pub(crate) fn pack(&self) -> (Counts, Vec<u8>) {
        let pieces = || self.pieces.iter().map(|piece| self.of(piece));
        let head = self.words.len() + self.pieces.len() + self.handles.len();
        let total = pieces().map(<[u8]>::len).sum::<usize>() + head * WORD;
        let mut bytes = Vec::with_capacity(total);
        self.words.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        pieces().for_each(|piece| bytes.extend((piece.len() as u64).to_le_bytes()));
        self.handles.iter().for_each(|passed| bytes.extend(numbered(passed).to_le_bytes()));
        pieces().for_each(|piece| bytes.extend_from_slice(piece));
        let (words, pieces, handles) = (self.words.len(), self.pieces.len(), self.handles.len());
        (Counts { words: words as u64, pieces: pieces as u64, handles: handles as u64 }, bytes)
    }

    /// The tape that these bytes are, if they are one.
    pub(crate) fn unpack(counts: Counts, mut bytes: Vec<u8>) -> Result<Self, MixedUp> {
        let count = |of: u64| usize::try_from(of).ok().filter(|of| *of <= bytes.len() / WORD).ok_or(MixedUp);
        let (words, pieces, handles) = (count(counts.words)?, count(counts.pieces)?, count(counts.handles)?);
        let head = bytes.get(..(words + pieces + handles) * WORD).ok_or(MixedUp)?;
        let mut numbers = head.chunks_exact(WORD).map(|word| {
            let mut bytes = [0; WORD];
            bytes.copy_from_slice(word);
            u64::from_le_bytes(bytes)
        });
        let words: Words = numbers.by_ref().take(words).collect();
        let lengths: Vec<u64> = numbers.by_ref().take(pieces).collect();
        let handles = numbers.map(|number| Passed::Numbered(number & !GIVEN, number & GIVEN != 0)).collect();
        let mut start = head.len();
        let mut ranges = Vec::with_capacity(pieces);
        for length in lengths {
            let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length)).ok_or(MixedUp)?;
            ranges.push(start..end);
            start = end;
        }
        if start != bytes.len() {
            return Err(MixedUp);
        }
        let head = head.len();
        if head > bytes.len() / 2 {
            // Most of it were words, which are held once.
            bytes.drain(..head);
            bytes.shrink_to_fit();
            ranges.iter_mut().for_each(|range| *range = range.start - head..range.end - head);
        }
        let pieces = ranges.into_iter().map(Piece::Copied).collect();
        Ok(Self { words, pieces, copied: bytes, handles, placed: Vec::new() })
    }

    /// Whether it holds values of these types, in this order, and nothing else, costs the host no more than `room`, and
    /// speaks of nothing that its guest does not have.
    pub(crate) fn check(
        &self,
        types: &Types,
        kinds: impl Iterator<Item = TypeId>,
        room: u64,
        holdings: &mut Holdings,
    ) -> Result<(), MixedUp> {
        let handles = self.handles.iter().enumerate();
        let mut checker = Checker { types, from: self.reader(), piece: 0, handles, left: room, holdings };
        for kind in kinds {
            checker.value(kind)?;
        }
        let is_whole = checker.from.is_at_end() && checker.piece == self.pieces.len();
        if is_whole && checker.handles.next().is_none() { Ok(()) } else { Err(MixedUp) }
    }

    /// What it takes is the guest's from here on, wherever that is; how much that was.
    pub(crate) fn give_all(&self) -> usize {
        let taken =
            self.handles.iter().filter_map(|passed| if let Passed::Taken(taken) = passed { Some(taken) } else { None });
        taken.map(|taken| taken.owned.give()).count()
    }
}

/// The number that a handle crosses as.
fn numbered(passed: &Passed) -> u64 {
    let of = |meant: &Meant| if let Meant::There(number) = meant { *number } else { NONE };
    match passed {
        Passed::Numbered(number, is_given) => number | if *is_given { GIVEN } else { 0 },
        Passed::Owned(owned) => of(owned.meant()),
        Passed::Taken(taken) => of(taken.owned.meant()) | GIVEN,
        _ => NONE,
    }
}

struct Checker<'a> {
    types: &'a Types,
    from: Reader<'a>,
    /// The one that comes next: each is somebody's, once, in their order.
    piece: usize,
    /// Those that come next, in the same way.
    handles: std::iter::Enumerate<std::slice::Iter<'a, Passed>>,
    left: u64,
    holdings: &'a mut Holdings,
}

impl<'a> Checker<'a> {
    /// Types are nested as far as wasmtime lets them, which is checked where they are read.
    fn value(&mut self, kind: TypeId) -> Result<(), MixedUp> {
        let types = self.types;
        match types.shape(kind) {
            Shape::Bool => self.case(2).map(drop),
            Shape::Number(number) => {
                let word = self.from.word()?;
                fits(number.is_of(word))
            }
            Shape::Char => {
                let word = self.from.word()?;
                fits(u32::try_from(word).is_ok_and(|word| char::from_u32(word).is_some()))
            }
            Shape::String => {
                let bytes = self.piece()?;
                fits(std::str::from_utf8(bytes).is_ok())
            }
            Shape::List(item) => match types.numbers(*item) {
                Some(number) => {
                    let bytes = self.piece()?;
                    fits(bytes.len().is_multiple_of(number.size()))
                }
                None => {
                    let count = self.count(1)?;
                    (0..count).try_for_each(|_| self.value(*item))
                }
            },
            Shape::Fixed(item, len) => match types.numbers(*item) {
                Some(number) => {
                    let bytes = self.piece()?;
                    fits((*len as usize).checked_mul(number.size()) == Some(bytes.len()))
                }
                None => {
                    self.pay(u64::from(*len))?;
                    (0..*len).try_for_each(|_| self.value(*item))
                }
            },
            Shape::Map(key, value) => {
                let count = self.count(2)?;
                (0..count).try_for_each(|_| self.value(*key).and_then(|()| self.value(*value)))
            }
            Shape::Record(fields) => fields.iter().try_for_each(|(_, kind)| self.value(*kind)),
            Shape::Tuple(kinds) => kinds.iter().try_for_each(|kind| self.value(*kind)),
            Shape::Variant(cases) => {
                let case = self.case(cases.len())?;
                self.optional(cases.get(case).and_then(|(_, kind)| *kind))
            }
            Shape::Enum(names) => self.case(names.len()).map(drop),
            Shape::Flags(names) => {
                for word in 0..names.len().div_ceil(32) {
                    let named = names.len().saturating_sub(word * 32).min(32);
                    fits(self.from.word()? >> named == 0)?;
                }
                Ok(())
            }
            Shape::Option(kind) => match self.case(2)? {
                0 => Ok(()),
                _ => self.value(*kind),
            },
            Shape::Result(ok, error) => match self.case(2)? {
                0 => self.optional(*ok),
                _ => self.optional(*error),
            },
            Shape::Own(resource) | Shape::Borrow(resource) => {
                self.pay((HANDLE_BYTES / ITEM_BYTES) as u64)?;
                let is_own = matches!(types.shape(kind), Shape::Own(_));
                self.resource(*resource, is_own)
            }
            // A plugin in a worker has none.
            Shape::Stream(_) | Shape::Future(_) => Err(MixedUp),
        }
    }

    fn resource(&mut self, resource: u32, is_own: bool) -> Result<(), MixedUp> {
        let of = self.types.resources().get(resource as usize).ok_or(MixedUp)?;
        if of.is_hosts {
            let number = u32::try_from(self.from.word()?).map_err(|_| MixedUp)?;
            return fits(match is_own {
                true => self.holdings.lets_go(resource, number),
                false => self.holdings.has(resource, number),
            });
        }
        // One of its own is handed over for good, and comes as itself from then on.
        let at = self.from.count()?;
        match self.handles.next() {
            Some((next, Passed::Numbered(number, false))) => {
                fits(is_own && at == next && self.holdings.hands_over(*number))
            }
            _ => Err(MixedUp),
        }
    }

    fn optional(&mut self, kind: Option<TypeId>) -> Result<(), MixedUp> {
        kind.map_or(Ok(()), |kind| self.value(kind))
    }

    fn case(&mut self, count: usize) -> Result<usize, MixedUp> {
        let case = self.from.count()?;
        fits(case < count).map(|()| case)
    }

    /// How many items follow, each of which costs as much as it did where it was read.
    fn count(&mut self, each: u64) -> Result<usize, MixedUp> {
        let count = self.from.count()?;
        self.pay((count as u64).saturating_mul(each)).map(|()| count)
    }

    fn piece(&mut self) -> Result<&'a [u8], MixedUp> {
        let at = self.from.clone().count()?;
        fits(at == self.piece)?;
        self.piece += 1;
        let bytes = self.from.piece()?;
        self.pay((bytes.len() / ITEM_BYTES) as u64 + 1).map(|()| bytes)
    }

    fn pay(&mut self, items: u64) -> Result<(), MixedUp> {
        self.left = self.left.checked_sub(items.saturating_mul(ITEM_BYTES as u64)).ok_or(MixedUp)?;
        Ok(())
    }
}

fn fits(is_so: bool) -> Result<(), MixedUp> {
    if is_so { Ok(()) } else { Err(MixedUp) }
}

impl Number {
    /// Whether a word is what such a number is on a tape.
    pub(crate) fn is_of(self, word: u64) -> bool {
        let signed = i128::from(word.cast_signed());
        match (self, self.range()) {
            (Self::F32, _) => u32::try_from(word).is_ok(),
            (Self::F64 | Self::U64 | Self::I64, _) => true,
            (Self::I32, _) => i32::try_from(word.cast_signed()).is_ok(),
            (_, Some((least, greatest))) => (least..=greatest).contains(&signed),
            (_, None) => true,
        }
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
