//! From a guest's memory to a tape, everything checked: cases, characters, text, and where memory ends.
//!
//! What is read costs the call's allowance of memory on the host, `host_bytes`.

use wasmtime::component::__internal::wasmtime_environ::component::{
    CanonicalAbiInfo, ComponentTypes, StringEncoding, TypeListIndex, TypeMapIndex, VariantInfo,
};
use wasmtime::component::__internal::{InterfaceType, LiftContext};
use wasmtime::component::{FutureAny, Lift, ResourceAny, StreamAny};
use wasmtime::{Result, ValRaw, bail};

use super::streams::{Element, Readable};
use super::tape::Tape;
use super::types::Number;
use crate::sandbox::stop::{Limit, Stop};

/// What the host holds for one item of a list, beside its bytes: a word here, and an object where it is made one.
pub(super) const ITEM_BYTES: usize = 32;

/// What the host holds for one resource: its place in a table or two, and an object.
pub(super) const HANDLE_BYTES: usize = 256;

/// Reads values of a guest.
pub(super) struct Lifter<'c, 'a> {
    pub(super) cx: &'c mut LiftContext<'a>,
    pub(super) tape: Tape,
}

/// Numbers that a function was called with, or that it gave.
type Flat<'s> = std::slice::Iter<'s, ValRaw>;

impl<'a> Lifter<'_, 'a> {
    fn pay(&mut self, bytes: usize) -> Result<()> {
        self.cx.consume_fuel(bytes).map_err(|_| Stop::Limit(Limit::HostBytes).into())
    }

    fn types(&self) -> &'a ComponentTypes {
        self.cx.types
    }

    fn abi(&self, kind: &InterfaceType) -> &'a CanonicalAbiInfo {
        self.types().canonical_abi(kind)
    }

    /// A value that is held in numbers.
    pub(super) fn flat(&mut self, kind: InterfaceType, from: &mut Flat<'_>) -> Result<()> {
        let types = self.types();
        match kind {
            InterfaceType::String => {
                let pair = [*next(from)?, *next(from)?];
                self.text(pair[0].get_u32(), pair[1].get_u32(), &pair)
            }
            InterfaceType::List(list) => {
                let (at, len) = (next(from)?.get_u32(), next(from)?.get_u32());
                self.list(list, at, len)
            }
            InterfaceType::Map(map) => {
                let (at, len) = (next(from)?.get_u32(), next(from)?.get_u32());
                self.map(map, at, len)
            }
            InterfaceType::FixedLengthList(of) => {
                let (kind, len) = (types[of].element, types[of].size as usize);
                self.pay(len.saturating_mul(ITEM_BYTES))?;
                if !is_number(&kind) {
                    return (0..len).try_for_each(|_| self.flat(kind, from));
                }
                let size = self.abi(&kind).size32 as usize;
                let mut row = Vec::with_capacity(from.len().min(len) * size);
                for _ in 0..len {
                    row.extend_from_slice(
                        part(&next(from)?.get_u64().to_le_bytes(), 0)?.get(..size).unwrap_or_default(),
                    );
                }
                self.tape.bytes(&row);
                Ok(())
            }
            InterfaceType::Record(of) => types[of].fields.iter().try_for_each(|field| self.flat(field.ty, from)),
            InterfaceType::Tuple(of) => types[of].types.iter().try_for_each(|kind| self.flat(*kind, from)),
            InterfaceType::Flags(of) => {
                let names = types[of].names.len();
                for word in 0..names.div_ceil(32) {
                    let bits = u64::from(next(from)?.get_u32());
                    self.tape.word(bits & mask(names, word));
                }
                Ok(())
            }
            InterfaceType::Variant(of) => {
                let cases = &types[of].cases;
                self.flat_case(kind, cases.len(), |case| cases.get_index(case).and_then(|(_, kind)| *kind), from)
            }
            InterfaceType::Enum(of) => self.flat_case(kind, types[of].names.len(), |_| None, from),
            InterfaceType::Option(of) => {
                let some = types[of].ty;
                self.flat_case(kind, 2, |case| (case == 1).then_some(some), from)
            }
            InterfaceType::Result(of) => {
                let (ok, error) = (types[of].ok, types[of].err);
                self.flat_case(kind, 2, |case| if case == 0 { ok } else { error }, from)
            }
            InterfaceType::S64 | InterfaceType::U64 | InterfaceType::Float64 => {
                self.tape.word(next(from)?.get_u64());
                Ok(())
            }
            InterfaceType::Own(_) | InterfaceType::Borrow(_) => {
                let index = next(from)?.get_u32();
                self.handle(kind, index)
            }
            InterfaceType::Stream(_) | InterfaceType::Future(_) => {
                let index = next(from)?.get_u32();
                self.readable(kind, index)
            }
            other => {
                let word = next(from)?.get_u32();
                self.number(other, word)
            }
        }
    }

    /// A number or a character of 32 bits or fewer; what is above its type's bits is not looked at.
    fn number(&mut self, kind: InterfaceType, word: u32) -> Result<()> {
        let signed = |number: i64| number.cast_unsigned();
        self.tape.word(match kind {
            InterfaceType::Bool => u64::from(word != 0),
            InterfaceType::S8 => signed(i64::from(word as i8)),
            InterfaceType::U8 => u64::from(word as u8),
            InterfaceType::S16 => signed(i64::from(word as i16)),
            InterfaceType::U16 => u64::from(word as u16),
            InterfaceType::S32 => signed(i64::from(word.cast_signed())),
            InterfaceType::U32 | InterfaceType::Float32 => u64::from(word),
            InterfaceType::Char => match char::from_u32(word) {
                Some(character) => u64::from(character),
                None => bail!("{word:#x} is not a character"),
            },
            _ => bail!("a value of a type that is not supported"),
        });
        Ok(())
    }

    fn flat_case(
        &mut self,
        kind: InterfaceType,
        count: usize,
        carries: impl Fn(usize) -> Option<InterfaceType>,
        from: &mut Flat<'_>,
    ) -> Result<()> {
        let case = self.case(next(from)?.get_u32(), count)?;
        let mut used = 1;
        if let Some(kind) = carries(case) {
            used += flat_count(self.abi(&kind))?;
            self.flat(kind, from)?;
        }
        for _ in used..flat_count(self.abi(&kind))? {
            next(from)?;
        }
        Ok(())
    }

    fn case(&mut self, case: u32, count: usize) -> Result<usize> {
        if case as usize >= count {
            bail!("case {case} of a type that has {count}");
        }
        self.tape.word(u64::from(case));
        Ok(case as usize)
    }

    /// A value in memory, which begins with these bytes.
    pub(super) fn stored(&mut self, kind: InterfaceType, bytes: &'a [u8]) -> Result<()> {
        let types = self.types();
        match kind {
            InterfaceType::String => {
                let (at, len) = (word_at(bytes, 0)?, word_at(bytes, 4)?);
                self.text(at, len, &[ValRaw::u32(at), ValRaw::u32(len)])
            }
            InterfaceType::List(list) => self.list(list, word_at(bytes, 0)?, word_at(bytes, 4)?),
            InterfaceType::Map(map) => self.map(map, word_at(bytes, 0)?, word_at(bytes, 4)?),
            InterfaceType::FixedLengthList(of) => {
                let (kind, len) = (types[of].element, types[of].size as usize);
                let size = self.abi(&kind).size32 as usize;
                if !is_number(&kind) {
                    self.pay(len.saturating_mul(ITEM_BYTES))?;
                    return (0..len).try_for_each(|index| self.stored(kind, part(bytes, index * size)?));
                }
                let Some(row) = len.checked_mul(size).and_then(|len| bytes.get(..len)) else {
                    bail!("a list beyond the end of memory")
                };
                self.pay(row.len().saturating_add(ITEM_BYTES))?;
                self.tape.bytes(row);
                Ok(())
            }
            InterfaceType::Record(of) => self.fields(types[of].fields.iter().map(|field| field.ty), bytes),
            InterfaceType::Tuple(of) => self.fields(types[of].types.iter().copied(), bytes),
            InterfaceType::Flags(of) => {
                let names = types[of].names.len();
                for word in 0..names.div_ceil(32) {
                    let bits = match names {
                        0..=8 => small(bytes, 1)?,
                        9..=16 => small(bytes, 2)?,
                        _ => word_at(bytes, word * 4)?,
                    };
                    self.tape.word(u64::from(bits) & mask(names, word));
                }
                Ok(())
            }
            InterfaceType::Variant(of) => {
                let cases = &types[of].cases;
                let carries = |case| cases.get_index(case).and_then(|(_, kind)| *kind);
                self.stored_case(&types[of].info, cases.len(), carries, bytes)
            }
            InterfaceType::Enum(of) => self.stored_case(&types[of].info, types[of].names.len(), |_| None, bytes),
            InterfaceType::Option(of) => {
                let some = types[of].ty;
                self.stored_case(&types[of].info, 2, |case| (case == 1).then_some(some), bytes)
            }
            InterfaceType::Result(of) => {
                let (ok, error) = (types[of].ok, types[of].err);
                self.stored_case(&types[of].info, 2, |case| if case == 0 { ok } else { error }, bytes)
            }
            InterfaceType::S64 | InterfaceType::U64 | InterfaceType::Float64 => {
                match bytes.first_chunk() {
                    Some(bytes) => self.tape.word(u64::from_le_bytes(*bytes)),
                    None => bail!("a value beyond the end of memory"),
                }
                Ok(())
            }
            InterfaceType::Bool | InterfaceType::S8 | InterfaceType::U8 => {
                let word = small(bytes, 1)?;
                self.number(kind, word)
            }
            InterfaceType::S16 | InterfaceType::U16 => {
                let word = small(bytes, 2)?;
                self.number(kind, word)
            }
            InterfaceType::Own(_) | InterfaceType::Borrow(_) => {
                let index = word_at(bytes, 0)?;
                self.handle(kind, index)
            }
            InterfaceType::Stream(_) | InterfaceType::Future(_) => {
                let index = word_at(bytes, 0)?;
                self.readable(kind, index)
            }
            other => {
                let word = word_at(bytes, 0)?;
                self.number(other, word)
            }
        }
    }

    /// A resource: wasmtime knows whether the guest has that handle, and of what it is one.
    fn handle(&mut self, kind: InterfaceType, index: u32) -> Result<()> {
        self.pay(HANDLE_BYTES)?;
        let (InterfaceType::Own(table) | InterfaceType::Borrow(table)) = kind else { bail!("no resource") };
        if self.cx.instance_mut().dtor_and_instance(table).1.is_some() {
            let any = ResourceAny::linear_lift_from_flat(self.cx, kind, &ValRaw::u32(index))?;
            self.tape.raw(any);
            return Ok(());
        }
        let number = match kind {
            InterfaceType::Own(table) => self.cx.guest_resource_lift_own(table, index)?.0,
            _ => self.cx.guest_resource_lift_borrow(table, index)?,
        };
        self.tape.word(u64::from(number));
        Ok(())
    }

    /// A stream or a future: wasmtime knows whether the guest has its end, and may give it away.
    fn readable(&mut self, kind: InterfaceType, index: u32) -> Result<()> {
        self.pay(HANDLE_BYTES)?;
        let types = self.types();
        let index = ValRaw::u32(index);
        let (readable, item) = match kind {
            InterfaceType::Stream(of) => {
                let stream = StreamAny::linear_lift_from_flat(self.cx, kind, &index)?;
                (Readable::Stream(stream), types[types[of].ty].payload)
            }
            InterfaceType::Future(of) => {
                let future = FutureAny::linear_lift_from_flat(self.cx, kind, &index)?;
                (Readable::Future(future), types[types[of].ty].payload)
            }
            _ => bail!("neither a stream nor a future"),
        };
        let element = match item {
            None => Some(Element::Nothing),
            Some(kind) => match number(&kind) {
                Some(number) => Some(Element::Number(number)),
                None => Element::other(self.abi(&kind).size32.into(), self.abi(&kind).align32.into()),
            },
        };
        let Some(element) = element else { bail!("a stream of what none can be of") };
        self.tape.written(readable, element);
        Ok(())
    }

    fn fields(&mut self, kinds: impl Iterator<Item = InterfaceType>, bytes: &'a [u8]) -> Result<()> {
        let mut offset = 0;
        for kind in kinds {
            let at = self.abi(&kind).next_field32_size(&mut offset);
            self.stored(kind, part(bytes, at)?)?;
        }
        Ok(())
    }

    fn stored_case(
        &mut self,
        info: &VariantInfo,
        count: usize,
        carries: impl Fn(usize) -> Option<InterfaceType>,
        bytes: &'a [u8],
    ) -> Result<()> {
        let case = self.case(small(bytes, usize::from(info.size))?, count)?;
        match carries(case) {
            Some(kind) => self.stored(kind, part(bytes, info.payload_offset32 as usize)?),
            None => Ok(()),
        }
    }

    fn text(&mut self, at: u32, len: u32, pair: &[ValRaw; 2]) -> Result<()> {
        if self.cx.options().string_encoding != StringEncoding::Utf8 {
            let text = String::linear_lift_from_flat(self.cx, InterfaceType::String, pair)?;
            self.pay(text.len() + ITEM_BYTES)?;
            self.tape.bytes(text.as_bytes());
            return Ok(());
        }
        let Some(bytes) = self.memory(at, len as usize) else { bail!("text beyond the end of memory") };
        self.pay(bytes.len().saturating_add(ITEM_BYTES))?;
        if let Err(error) = std::str::from_utf8(bytes) {
            bail!("text that is not UTF-8: {error}");
        }
        self.tape.bytes(bytes);
        Ok(())
    }

    fn list(&mut self, list: TypeListIndex, at: u32, len: u32) -> Result<()> {
        let kind = self.types()[list].element;
        let abi = self.abi(&kind);
        let (size, align) = (abi.size32 as usize, abi.align32);
        let bytes = (len as usize).checked_mul(size).and_then(|len| self.memory(at, len));
        let Some(bytes) = bytes else { bail!("a list beyond the end of memory") };
        if !at.is_multiple_of(align.max(1)) {
            bail!("a list that is not aligned");
        }
        if is_number(&kind) {
            self.pay(bytes.len().saturating_add(ITEM_BYTES))?;
            self.tape.bytes(bytes);
            return Ok(());
        }
        self.pay((len as usize).saturating_mul(ITEM_BYTES).saturating_add(ITEM_BYTES))?;
        self.tape.word(u64::from(len));
        for index in 0..len as usize {
            self.stored(kind, part(bytes, index * size)?)?;
        }
        Ok(())
    }

    fn map(&mut self, map: TypeMapIndex, at: u32, len: u32) -> Result<()> {
        let map = &self.types()[map];
        let (size, align) = (map.entry_abi.size32 as usize, map.entry_abi.align32);
        let bytes = (len as usize).checked_mul(size).and_then(|len| self.memory(at, len));
        let Some(bytes) = bytes else { bail!("a map beyond the end of memory") };
        if !at.is_multiple_of(align.max(1)) {
            bail!("a map that is not aligned");
        }
        self.pay((len as usize).saturating_mul(2 * ITEM_BYTES).saturating_add(ITEM_BYTES))?;
        self.tape.word(u64::from(len));
        for index in 0..len as usize {
            let entry = part(bytes, index * size)?;
            self.stored(map.key, entry)?;
            self.stored(map.value, part(entry, map.value_offset32 as usize)?)?;
        }
        Ok(())
    }

    /// So many bytes of the guest's memory, if it has them.
    pub(super) fn memory(&self, at: u32, len: usize) -> Option<&'a [u8]> {
        if len == 0 && at == 0 {
            return Some(&[]);
        }
        self.cx.memory().get(at as usize..)?.get(..len)
    }
}

/// Whether a list of these is handed on as bytes.
pub(super) fn is_number(kind: &InterfaceType) -> bool {
    number(kind).is_some()
}

fn number(kind: &InterfaceType) -> Option<Number> {
    Some(match kind {
        InterfaceType::S8 => Number::S8,
        InterfaceType::U8 => Number::U8,
        InterfaceType::S16 => Number::S16,
        InterfaceType::U16 => Number::U16,
        InterfaceType::S32 => Number::S32,
        InterfaceType::U32 => Number::U32,
        InterfaceType::S64 => Number::S64,
        InterfaceType::U64 => Number::U64,
        InterfaceType::Float32 => Number::F32,
        InterfaceType::Float64 => Number::F64,
        _ => return None,
    })
}

/// The bits of a word of flags that have names.
fn mask(names: usize, word: usize) -> u64 {
    let left = names.saturating_sub(word * 32).min(32);
    (1u64 << left) - 1
}

pub(super) fn flat_count(abi: &CanonicalAbiInfo) -> Result<usize> {
    match abi.flat_count(usize::MAX) {
        Some(count) => Ok(count),
        None => bail!("a value that cannot be held in numbers"),
    }
}

fn next<'s>(from: &mut Flat<'s>) -> Result<&'s ValRaw> {
    match from.next() {
        Some(value) => Ok(value),
        None => bail!("fewer numbers than its type has"),
    }
}

fn part(bytes: &[u8], at: usize) -> Result<&[u8]> {
    match bytes.get(at..) {
        Some(part) => Ok(part),
        None => bail!("a value beyond the end of memory"),
    }
}

fn word_at(bytes: &[u8], at: usize) -> Result<u32> {
    match part(bytes, at)?.first_chunk() {
        Some(bytes) => Ok(u32::from_le_bytes(*bytes)),
        None => bail!("a value beyond the end of memory"),
    }
}

fn small(bytes: &[u8], size: usize) -> Result<u32> {
    Ok(match (size, bytes) {
        (1, [byte, ..]) => u32::from(*byte),
        (2, [low, high, ..]) => u32::from(u16::from_le_bytes([*low, *high])),
        (4, _) => word_at(bytes, 0)?,
        _ => bail!("a value beyond the end of memory"),
    })
}
