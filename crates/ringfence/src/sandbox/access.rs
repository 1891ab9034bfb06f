//! What a host does with a guest's memory: always a copy, and within its bounds.

use crate::error::Result;

/// What to do with a memory, in bytes.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Access<'a> {
    Size,
    Read {
        at: u64,
        len: u64,
    },
    Write {
        at: u64,
        bytes: &'a [u8],
    },
    /// By so many pages.
    Grow(u64),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accessed {
    /// How many bytes the memory has, or had before it grew.
    Size(u64),
    /// What was read.
    Bytes(Vec<u8>),
    /// It was written.
    Written,
    /// That is beyond its end, which is here.
    Outside(u64),
    /// It may not grow so far.
    Full,
}

/// Memories that are in another process, of a guest that waits for this one.
pub(crate) trait Elsewhere: Send + Sync {
    /// Does it, where the guest waits still.
    fn access(&self, memory: usize, access: Access<'_>) -> Result<Accessed>;
}

/// Whether so many bytes from there on are in a memory of that size.
pub(crate) fn is_inside(size: u64, at: u64, len: u64) -> bool {
    at.checked_add(len).is_some_and(|end| end <= size)
}

impl Access<'_> {
    /// Does it, unless it is to grow.
    pub(crate) fn of(self, memory: &mut [u8]) -> Accessed {
        let size = memory.len() as u64;
        let range = |at: u64, len: u64| {
            let end = at.checked_add(len).filter(|_| is_inside(size, at, len))?;
            Some(usize::try_from(at).ok()?..usize::try_from(end).ok()?)
        };
        match self {
            Self::Size | Self::Grow(_) => Accessed::Size(size),
            Self::Read { at, len } => match range(at, len).and_then(|range| memory.get(range)) {
                Some(bytes) => Accessed::Bytes(bytes.to_vec()),
                None => Accessed::Outside(size),
            },
            Self::Write { at, bytes } => match range(at, bytes.len() as u64).and_then(|range| memory.get_mut(range)) {
                Some(place) => {
                    place.copy_from_slice(bytes);
                    Accessed::Written
                }
                None => Accessed::Outside(size),
            },
        }
    }
}
