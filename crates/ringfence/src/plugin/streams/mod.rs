//! Streams and futures, both ways. An instance does nothing between calls: to read one is a call, with the limits of
//! one, and what a guest reads from the host is asked for while a call is under way.

mod element_unsafe;
mod feeding;
mod inbox;
mod reading;

use wasmtime::component::{FutureAny, StreamAny};

pub(super) use feeding::Fed;
pub use feeding::Feed;
pub(super) use inbox::Inbox;
pub(super) use inbox::Standing;
pub use inbox::Stream;
pub use reading::Pulled;

use self::element_unsafe::Each;
use super::tape::Tape;
use super::types::Number;

/// What one stream or future is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Nothing: they only come.
    Nothing,
    /// Numbers, which are handed on as bytes in a row.
    Number(Number),
    /// Anything else of that size and alignment in memory.
    Other(u8, u8),
}

/// Values that came, or that are to go, at a time.
#[derive(Debug)]
pub enum Items {
    /// Numbers, little end first.
    Row(Vec<u8>),
    /// One tape for each.
    Each(Vec<Tape>),
}

impl Items {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Row(bytes) => bytes.is_empty(),
            Self::Each(tapes) => tapes.is_empty(),
        }
    }
}

/// The end of a stream or a future that the host reads, of any type.
pub(super) enum Readable {
    Stream(StreamAny),
    Future(FutureAny),
}

/// Most bytes of numbers, and most other values, that are taken at a time.
const PIECE_BYTES: usize = 64 << 10;
const PIECE_ITEMS: usize = 1024;

/// A Rust type for values of a stream: wasmtime knows them by one.
trait Item: wasmtime::component::Lift + wasmtime::component::Lower + Send + Sync + 'static {
    const MOST: usize;
    fn pack(items: Vec<Self>) -> Items;
    fn unpack(items: Items) -> Vec<Self>;
}

macro_rules! numbers {
    ($($number:ident)*) => {
        $(impl Item for $number {
            const MOST: usize = PIECE_BYTES / size_of::<$number>();

            fn pack(items: Vec<Self>) -> Items {
                Items::Row(items.into_iter().flat_map($number::to_le_bytes).collect())
            }

            fn unpack(items: Items) -> Vec<Self> {
                let Items::Row(bytes) = items else { return Vec::new() };
                let of = |bytes: &[u8]| bytes.try_into().map($number::from_le_bytes).unwrap_or_default();
                bytes.chunks_exact(size_of::<$number>()).map(of).collect()
            }
        })*
    };
}
numbers!(i8 i16 u16 i32 u32 i64 u64 f32 f64);

impl Item for u8 {
    const MOST: usize = PIECE_BYTES;

    fn pack(items: Vec<Self>) -> Items {
        Items::Row(items)
    }

    fn unpack(items: Items) -> Vec<Self> {
        if let Items::Row(bytes) = items { bytes } else { Vec::new() }
    }
}

impl Item for () {
    const MOST: usize = PIECE_ITEMS;

    fn pack(items: Vec<Self>) -> Items {
        Items::Each(items.into_iter().map(|()| Tape::default()).collect())
    }

    fn unpack(items: Items) -> Vec<Self> {
        if let Items::Each(tapes) = items { tapes.into_iter().map(drop).collect() } else { Vec::new() }
    }
}

impl<const SIZE: u8, const ALIGN: u8> Item for Each<SIZE, ALIGN> {
    const MOST: usize = PIECE_ITEMS;

    fn pack(items: Vec<Self>) -> Items {
        Items::Each(items.into_iter().map(|Self(tape)| tape).collect())
    }

    fn unpack(items: Items) -> Vec<Self> {
        if let Items::Each(tapes) = items { tapes.into_iter().map(Self).collect() } else { Vec::new() }
    }
}

/// Calls a macro with every pair of size and alignment that values may have beside numbers.
macro_rules! with_layouts {
    ($then:ident) => {
        $then! { (1, 1) (2, 1) (3, 1) (4, 1) (2, 2) (4, 2) (4, 4) (8, 4) (12, 4) (16, 4) (20, 4) (24, 4) (28, 4) (32, 4)
        (40, 4) (48, 4) (56, 4) (64, 4) (8, 8) (16, 8) (24, 8) (32, 8) (40, 8) (48, 8) (64, 8) }
    };
}

impl Element {
    /// That of values of that size, if it is one of those that there are types for.
    pub(super) fn other(size: u64, align: u64) -> Option<Self> {
        let (size, align) = (u8::try_from(size).ok()?, u8::try_from(align).ok()?);
        macro_rules! known {
            ($(($size:literal, $align:literal))*) => { matches!((size, align), $(($size, $align))|*) };
        }
        with_layouts!(known).then_some(Self::Other(size, align))
    }
}

/// What is done with the type for an element, whichever that is.
trait With {
    type Done;

    fn with<T: Item>(self) -> wasmtime::Result<Self::Done>;
}

impl Element {
    fn with<W: With>(self, work: W) -> wasmtime::Result<W::Done> {
        macro_rules! other {
            ($(($size:literal, $align:literal))*) => {
                match self {
                    Self::Nothing => work.with::<()>(),
                    Self::Number(Number::S8) => work.with::<i8>(),
                    Self::Number(Number::U8) => work.with::<u8>(),
                    Self::Number(Number::S16) => work.with::<i16>(),
                    Self::Number(Number::U16) => work.with::<u16>(),
                    Self::Number(Number::S32 | Number::I32) => work.with::<i32>(),
                    Self::Number(Number::U32) => work.with::<u32>(),
                    Self::Number(Number::S64 | Number::I64) => work.with::<i64>(),
                    Self::Number(Number::U64) => work.with::<u64>(),
                    Self::Number(Number::F32) => work.with::<f32>(),
                    Self::Number(Number::F64) => work.with::<f64>(),
                    $(Self::Other($size, $align) => work.with::<Each<$size, $align>>(),)*
                    Self::Other(..) => Err(wasmtime::Error::msg("a stream of what none can be of")),
                }
            };
        }
        with_layouts!(other)
    }
}
