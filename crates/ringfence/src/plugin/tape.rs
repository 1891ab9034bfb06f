//! Values on their way between a guest and its host: numbers in a row, in the order of their type, beside their bytes.
//!
//! A type says how its values are laid out here: a number or a character is one word; text, bytes and lists of numbers
//! are one word, the place of their bytes; a list is its length and its items; a record or a tuple its fields; what has
//! cases is the number of the case and what it carries; flags are a word for each 32 of them.

use std::fmt;
use std::ops::Range;

/// Bytes that are not copied: they stay where they are as long as this lives.
pub type Held = Box<dyn AsRef<[u8]> + Send + Sync>;

/// The values of one call, in one direction.
#[derive(Default)]
pub struct Tape {
    words: Vec<u64>,
    pieces: Vec<Piece>,
    copied: Vec<u8>,
}

enum Piece {
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

    /// Bytes, where they are.
    pub fn hold(&mut self, held: Held) {
        self.words.push(self.pieces.len() as u64);
        self.pieces.push(Piece::Held(held));
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
        match self.tape.pieces.get(index).ok_or(MixedUp)? {
            Piece::Copied(range) => self.tape.copied.get(range.clone()).ok_or(MixedUp),
            Piece::Held(held) => Ok((**held).as_ref()),
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
