//! How large values are in a guest's memory, as the canonical ABI has it: told once for each type.

use super::types::{Shape, TypeId};

/// That of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) size: u64,
    pub(super) align: u64,
    /// Whether nothing in it is a handle.
    pub(super) is_plain: bool,
}

impl Layout {
    const HANDLE: Self = Self { size: 4, align: 4, is_plain: false };

    fn plain(size: u64, align: u64) -> Self {
        Self { size, align, is_plain: true }
    }

    /// That of a type whose parts have theirs.
    pub(super) fn of(shape: &Shape, known: &[Self]) -> Self {
        let part = |kind: &TypeId| known.get(kind.0 as usize).copied().unwrap_or(Self::HANDLE);
        match shape {
            Shape::Bool => Self::plain(1, 1),
            Shape::Number(number) => Self::plain(number.size() as u64, number.size() as u64),
            Shape::Char => Self::plain(4, 4),
            Shape::String => Self::plain(8, 4),
            Shape::List(item) => Self { is_plain: part(item).is_plain, ..Self::plain(8, 4) },
            Shape::Map(key, value) => {
                Self { is_plain: part(key).is_plain && part(value).is_plain, ..Self::plain(8, 4) }
            }
            Shape::Fixed(item, len) => {
                let item = part(item);
                Self { size: item.size.saturating_mul(u64::from(*len)), ..item }
            }
            Shape::Record(fields) => Self::row(fields.iter().map(|(_, kind)| part(kind))),
            Shape::Tuple(kinds) => Self::row(kinds.iter().map(part)),
            Shape::Variant(cases) => {
                Self::cases(cases.len(), cases.iter().filter_map(|(_, kind)| kind.as_ref().map(part)))
            }
            Shape::Enum(names) => Self::cases(names.len(), std::iter::empty()),
            Shape::Option(some) => Self::cases(2, std::iter::once(part(some))),
            Shape::Result(ok, error) => {
                Self::cases(2, [ok, error].into_iter().filter_map(|kind| kind.as_ref().map(part)))
            }
            Shape::Flags(names) => match names.len() {
                0..=8 => Self::plain(1, 1),
                9..=16 => Self::plain(2, 2),
                more => Self::plain(4 * more.div_ceil(32) as u64, 4),
            },
            Shape::Own(_) | Shape::Borrow(_) | Shape::Stream(_) | Shape::Future(_) => Self::HANDLE,
        }
    }

    fn row(parts: impl Iterator<Item = Self>) -> Self {
        let mut whole = Self::plain(0, 1);
        for part in parts {
            whole.size = whole.size.next_multiple_of(part.align).saturating_add(part.size);
            whole.align = whole.align.max(part.align);
            whole.is_plain &= part.is_plain;
        }
        whole.padded()
    }

    fn cases(count: usize, carried: impl Iterator<Item = Self>) -> Self {
        let number = match count {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 4,
        };
        let mut most = Self::plain(0, 1);
        for part in carried {
            most.size = most.size.max(part.size);
            most.align = most.align.max(part.align);
            most.is_plain &= part.is_plain;
        }
        let align = most.align.max(number);
        let size = number.next_multiple_of(most.align).saturating_add(most.size);
        Self { size, align, is_plain: most.is_plain }.padded()
    }

    fn padded(self) -> Self {
        Self { size: self.size.checked_next_multiple_of(self.align).unwrap_or(u64::MAX), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::types::Number;

    #[test]
    fn values_are_as_large_as_the_canonical_abi_says() {
        let number = |number| Layout::of(&Shape::Number(number), &[]);
        let known = [number(Number::U8), number(Number::U64), number(Number::U16)];
        let record = Shape::Record(vec![("a".into(), TypeId(0)), ("b".into(), TypeId(2)), ("c".into(), TypeId(0))]);
        assert_eq!(Layout::plain(6, 2), Layout::of(&record, &known));
        assert_eq!(Layout::plain(16, 8), Layout::of(&Shape::Option(TypeId(1)), &known));
        assert_eq!(Layout::plain(2, 1), Layout::of(&Shape::Result(None, Some(TypeId(0))), &known));
        assert_eq!(Layout::plain(12, 2), Layout::of(&Shape::Fixed(TypeId(2), 6), &known));
        assert!(!Layout::of(&Shape::List(TypeId(9)), &known).is_plain);
    }
}
