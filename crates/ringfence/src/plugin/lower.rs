//! From a tape to a guest's memory. The guest says where: what it says is checked by wasmtime at every allocation.

use wasmtime::component::__internal::wasmtime_environ::component::{
    CanonicalAbiInfo, ComponentTypes, TypeListIndex, TypeMapIndex, VariantInfo,
};
use wasmtime::component::__internal::{InterfaceType, LowerContext};
use wasmtime::component::Lower;
use wasmtime::{Result, ValRaw, bail};

use super::lift::{flat_count, is_number};
use super::streams::Readable;
use super::tape::Reader;

/// Writes values into a guest.
pub(super) struct Lowerer<'c, 'a, 't, T: 'static> {
    pub(super) cx: &'c mut LowerContext<'a, T>,
    pub(super) from: Reader<'t>,
}

/// Numbers to call a function with, as far as they are written.
pub(super) struct Flat<'s> {
    pub(super) to: &'s mut [ValRaw],
    pub(super) at: usize,
}

impl Flat<'_> {
    fn push(&mut self, value: ValRaw) -> Result<()> {
        match self.to.get_mut(self.at) {
            Some(place) => *place = value,
            None => bail!("more numbers than its type has"),
        }
        self.at += 1;
        Ok(())
    }
}

impl<'a, 't, T: 'static> Lowerer<'_, 'a, 't, T> {
    fn types(&self) -> &'a ComponentTypes {
        self.cx.types
    }

    fn abi(&self, kind: &InterfaceType) -> &'a CanonicalAbiInfo {
        self.types().canonical_abi(kind)
    }

    /// A value in numbers.
    pub(super) fn flat(&mut self, kind: InterfaceType, to: &mut Flat<'_>) -> Result<()> {
        let types = self.types();
        match kind {
            InterfaceType::String => {
                let (at, len) = self.text()?;
                to.push(at)?;
                to.push(len)
            }
            InterfaceType::List(list) => {
                let (at, len) = self.list(list)?;
                to.push(ValRaw::i64(i64::from(at)))?;
                to.push(ValRaw::i64(i64::from(len)))
            }
            InterfaceType::Map(map) => {
                let (at, len) = self.map(map)?;
                to.push(ValRaw::i64(i64::from(at)))?;
                to.push(ValRaw::i64(i64::from(len)))
            }
            InterfaceType::FixedLengthList(of) => {
                let (kind, len) = (types[of].element, types[of].size as usize);
                if !is_number(&kind) {
                    return (0..len).try_for_each(|_| self.flat(kind, to));
                }
                let size = self.abi(&kind).size32 as usize;
                for item in self.row(len * size)?.chunks(size.max(1)) {
                    let mut bytes = [0; 8];
                    bytes.iter_mut().zip(item).for_each(|(to, from)| *to = *from);
                    to.push(number(&kind, u64::from_le_bytes(bytes)))?;
                }
                Ok(())
            }
            InterfaceType::Record(of) => types[of].fields.iter().try_for_each(|field| self.flat(field.ty, to)),
            InterfaceType::Tuple(of) => types[of].types.iter().try_for_each(|kind| self.flat(*kind, to)),
            InterfaceType::Flags(of) => {
                for _ in 0..types[of].names.len().div_ceil(32) {
                    to.push(ValRaw::u32(self.from.word()? as u32))?;
                }
                Ok(())
            }
            InterfaceType::Variant(of) => {
                let cases = &types[of].cases;
                self.flat_case(kind, |case| cases.get_index(case).and_then(|(_, kind)| *kind), to)
            }
            InterfaceType::Enum(_) => self.flat_case(kind, |_| None, to),
            InterfaceType::Option(of) => {
                let some = types[of].ty;
                self.flat_case(kind, |case| (case == 1).then_some(some), to)
            }
            InterfaceType::Result(of) => {
                let (ok, error) = (types[of].ok, types[of].err);
                self.flat_case(kind, |case| if case == 0 { ok } else { error }, to)
            }
            InterfaceType::S64 | InterfaceType::U64 => to.push(ValRaw::u64(self.from.word()?)),
            InterfaceType::Float64 => to.push(ValRaw::f64(self.from.word()?)),
            InterfaceType::Float32 => to.push(ValRaw::f32(self.from.word()? as u32)),
            InterfaceType::Own(_) | InterfaceType::Borrow(_) => to.push(ValRaw::u32(self.handle(kind)?)),
            InterfaceType::Stream(_) | InterfaceType::Future(_) => to.push(ValRaw::u32(self.readable(kind)?)),
            _ => to.push(ValRaw::u32(self.from.word()? as u32)),
        }
    }

    fn flat_case(
        &mut self,
        kind: InterfaceType,
        carries: impl Fn(usize) -> Option<InterfaceType>,
        to: &mut Flat<'_>,
    ) -> Result<()> {
        let end = to.at + flat_count(self.abi(&kind))?;
        let case = self.from.count()?;
        to.push(ValRaw::u32(case as u32))?;
        if let Some(kind) = carries(case) {
            self.flat(kind, to)?;
        }
        while to.at < end {
            to.push(ValRaw::u64(0))?;
        }
        Ok(())
    }

    /// A value into memory, where there is room for it.
    pub(super) fn store(&mut self, kind: InterfaceType, at: usize) -> Result<()> {
        let types = self.types();
        match kind {
            InterfaceType::String => {
                let (start, len) = self.text()?;
                self.put(at, &start.get_u32().to_le_bytes())?;
                self.put(at + 4, &len.get_u32().to_le_bytes())
            }
            InterfaceType::List(list) => {
                let (start, len) = self.list(list)?;
                self.put(at, &start.to_le_bytes())?;
                self.put(at + 4, &len.to_le_bytes())
            }
            InterfaceType::Map(map) => {
                let (start, len) = self.map(map)?;
                self.put(at, &start.to_le_bytes())?;
                self.put(at + 4, &len.to_le_bytes())
            }
            InterfaceType::FixedLengthList(of) => {
                let (kind, len) = (types[of].element, types[of].size as usize);
                let size = self.abi(&kind).size32 as usize;
                if !is_number(&kind) {
                    return (0..len).try_for_each(|index| self.store(kind, at + index * size));
                }
                let row = self.row(len * size)?;
                self.put(at, row)
            }
            InterfaceType::Record(of) => self.fields(types[of].fields.iter().map(|field| field.ty), at),
            InterfaceType::Tuple(of) => self.fields(types[of].types.iter().copied(), at),
            InterfaceType::Flags(of) => {
                let names = types[of].names.len();
                for word in 0..names.div_ceil(32) {
                    let bits = self.from.word()? as u32;
                    match names {
                        0..=8 => self.small(at, bits, 1)?,
                        9..=16 => self.small(at, bits, 2)?,
                        _ => self.small(at + word * 4, bits, 4)?,
                    }
                }
                Ok(())
            }
            InterfaceType::Variant(of) => {
                let cases = &types[of].cases;
                let carries = |case| cases.get_index(case).and_then(|(_, kind)| *kind);
                self.store_case(&types[of].info, carries, at)
            }
            InterfaceType::Enum(of) => self.store_case(&types[of].info, |_| None, at),
            InterfaceType::Option(of) => {
                let some = types[of].ty;
                self.store_case(&types[of].info, |case| (case == 1).then_some(some), at)
            }
            InterfaceType::Result(of) => {
                let (ok, error) = (types[of].ok, types[of].err);
                self.store_case(&types[of].info, |case| if case == 0 { ok } else { error }, at)
            }
            InterfaceType::S64 | InterfaceType::U64 | InterfaceType::Float64 => {
                let word = self.from.word()?;
                self.put(at, &word.to_le_bytes())
            }
            InterfaceType::Bool | InterfaceType::S8 | InterfaceType::U8 => {
                let word = self.from.word()? as u32;
                self.small(at, word, 1)
            }
            InterfaceType::S16 | InterfaceType::U16 => {
                let word = self.from.word()? as u32;
                self.small(at, word, 2)
            }
            InterfaceType::Own(_) | InterfaceType::Borrow(_) => {
                let index = self.handle(kind)?;
                self.small(at, index, 4)
            }
            InterfaceType::Stream(_) | InterfaceType::Future(_) => {
                let index = self.readable(kind)?;
                self.small(at, index, 4)
            }
            _ => {
                let word = self.from.word()? as u32;
                self.small(at, word, 4)
            }
        }
    }

    /// A resource: the number of a handle that the guest has from here on.
    fn handle(&mut self, kind: InterfaceType) -> Result<u32> {
        let (InterfaceType::Own(table) | InterfaceType::Borrow(table)) = kind else { bail!("no resource") };
        if self.cx.instance().dtor_and_instance(table).1.is_some() {
            let any = self.from.passed()?;
            let mut index = std::mem::MaybeUninit::new(ValRaw::u32(0));
            any.linear_lower_to_flat(self.cx, kind, &mut index)?;
            return Ok(super::values_unsafe::index(index));
        }
        let number = self.from.word()? as u32;
        match kind {
            InterfaceType::Own(table) => self.cx.guest_resource_lower_own(table, number),
            _ => self.cx.guest_resource_lower_borrow(table, number),
        }
    }

    /// The number of the end that the guest reads.
    fn readable(&mut self, kind: InterfaceType) -> Result<u32> {
        let mut index = std::mem::MaybeUninit::new(ValRaw::u32(0));
        match self.from.readable()? {
            Readable::Stream(stream) => stream.linear_lower_to_flat(self.cx, kind, &mut index)?,
            Readable::Future(future) => future.linear_lower_to_flat(self.cx, kind, &mut index)?,
        }
        Ok(super::values_unsafe::index(index))
    }

    fn fields(&mut self, kinds: impl Iterator<Item = InterfaceType>, at: usize) -> Result<()> {
        let mut offset = at;
        for kind in kinds {
            let at = self.abi(&kind).next_field32_size(&mut offset);
            self.store(kind, at)?;
        }
        Ok(())
    }

    fn store_case(
        &mut self,
        info: &VariantInfo,
        carries: impl Fn(usize) -> Option<InterfaceType>,
        at: usize,
    ) -> Result<()> {
        let case = self.from.count()?;
        self.small(at, case as u32, usize::from(info.size))?;
        match carries(case) {
            Some(kind) => self.store(kind, at + info.payload_offset32 as usize),
            None => Ok(()),
        }
    }

    /// Text in the guest's encoding, which wasmtime knows: where it is now, and how long.
    fn text(&mut self) -> Result<(ValRaw, ValRaw)> {
        let Ok(text) = std::str::from_utf8(self.from.piece()?) else { bail!("text that is not UTF-8") };
        let mut pair = std::mem::MaybeUninit::new([ValRaw::u64(0); 2]);
        text.linear_lower_to_flat(self.cx, InterfaceType::String, &mut pair)?;
        Ok(super::values_unsafe::written(pair))
    }

    fn list(&mut self, list: TypeListIndex) -> Result<(u32, u32)> {
        let kind = self.types()[list].element;
        let abi = self.abi(&kind);
        let (size, align) = (abi.size32 as usize, abi.align32);
        if is_number(&kind) {
            let bytes = self.from.piece()?;
            let at = self.cx.realloc(0, 0, align, bytes.len())?;
            self.put(at, bytes)?;
            return Ok((u32::try_from(at)?, u32::try_from(bytes.len() / size.max(1))?));
        }
        let len = self.from.count()?;
        let Some(bytes) = len.checked_mul(size) else { bail!("a list that is too long") };
        let at = self.cx.realloc(0, 0, align, bytes)?;
        for index in 0..len {
            self.store(kind, at + index * size)?;
        }
        Ok((u32::try_from(at)?, u32::try_from(len)?))
    }

    fn map(&mut self, map: TypeMapIndex) -> Result<(u32, u32)> {
        let map = &self.types()[map];
        let size = map.entry_abi.size32 as usize;
        let len = self.from.count()?;
        let Some(bytes) = len.checked_mul(size) else { bail!("a map that is too long") };
        let at = self.cx.realloc(0, 0, map.entry_abi.align32, bytes)?;
        for index in 0..len {
            self.store(map.key, at + index * size)?;
            self.store(map.value, at + index * size + map.value_offset32 as usize)?;
        }
        Ok((u32::try_from(at)?, u32::try_from(len)?))
    }

    /// The bytes of a list of numbers that has to have so many.
    fn row(&mut self, len: usize) -> Result<&'t [u8]> {
        let row = self.from.piece()?;
        if row.len() != len {
            bail!("a list of another length than its type has");
        }
        Ok(row)
    }

    fn small(&mut self, at: usize, word: u32, size: usize) -> Result<()> {
        let [a, b, c, d] = word.to_le_bytes();
        match size {
            1 => self.put(at, &[a]),
            2 => self.put(at, &[a, b]),
            _ => self.put(at, &[a, b, c, d]),
        }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        match self.cx.as_slice_mut().get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len())) {
            Some(place) => place.copy_from_slice(bytes),
            None => bail!("a value beyond the end of memory"),
        }
        Ok(())
    }
}

/// A number as it is called with: those smaller than 32 bits are what they are in 32.
fn number(kind: &InterfaceType, bits: u64) -> ValRaw {
    match kind {
        InterfaceType::S8 => ValRaw::i32(i32::from(bits as i8)),
        InterfaceType::S16 => ValRaw::i32(i32::from(bits as i16)),
        InterfaceType::S64 | InterfaceType::U64 => ValRaw::u64(bits),
        InterfaceType::Float64 => ValRaw::f64(bits),
        InterfaceType::Float32 => ValRaw::f32(bits as u32),
        _ => ValRaw::u32(bits as u32),
    }
}
