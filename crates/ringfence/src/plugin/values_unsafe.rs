//! Values of any type for wasmtime's own typed calls.
//!
//! wasmtime calls a function fastest when it knows the types of it, and it knows them by traits that are implemented for
//! each type. Here they are implemented once, for a tape of whatever the function's type is: `lift` and `lower` walk
//! that type, and nothing of them is unsafe. The other way in, lists of `Val`, makes an object of fifty bytes of every
//! byte.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext};
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower};
use wasmtime::{Result, ValRaw, bail};

use super::lift::Lifter;
use super::lower::{Flat, Lowerer};
use super::tape::Tape;

/// Numbers that a function is called with directly; with more, they are handed over in memory.
pub(super) const MAX_FLAT: usize = 16;

/// What goes into a guest: `N` numbers at most.
pub(super) struct Lowered<const N: usize>(pub(super) Tape);

/// What comes out of a guest in `N` numbers, or in its memory.
pub(super) struct Lifted<const N: usize>(pub(super) Tape);

/// Nothing: how large values are is looked up for each type, and never taken from here.
const NOTHING: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

// SAFETY: `Lower` is a row of `ValRaw`. The size says that nothing is in memory: no offset is derived from it.
unsafe impl<const N: usize> ComponentType for Lowered<N> {
    type Lower = [ValRaw; N];
    const ABI: CanonicalAbiInfo = NOTHING;

    fn typecheck(kind: &InterfaceType, _types: &InstanceType<'_>) -> Result<()> {
        is_list(kind)
    }
}

// SAFETY: a list of values is what every type here is.
unsafe impl<const N: usize> ComponentNamedList for Lowered<N> {}

// SAFETY: every number of `to` is written, and those of the type among them; memory is written within its bounds only.
unsafe impl<const N: usize> Lower for Lowered<N> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        kind: InterfaceType,
        to: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        let mut numbers = [ValRaw::u64(0); N];
        let InterfaceType::Tuple(of) = kind else { bail!("a function without a list of values") };
        let list = &cx.types[of];
        let fits = list.abi.flat_count(N).is_some();
        let (size, align) = (list.abi.size32 as usize, list.abi.align32);
        let mut lowerer = Lowerer { cx, from: self.0.reader() };
        if fits {
            lowerer.flat(kind, &mut Flat { to: &mut numbers, at: 0 })?;
        } else {
            let at = lowerer.cx.realloc(0, 0, align, size)?;
            lowerer.store(kind, at)?;
            match numbers.first_mut() {
                Some(first) => *first = ValRaw::i64(i64::try_from(at)?),
                None => bail!("no room for the place of the values"),
            }
        }
        to.write(numbers);
        Ok(())
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, kind: InterfaceType, at: usize) -> Result<()> {
        Lowerer { cx, from: self.0.reader() }.store(kind, at)
    }
}

// SAFETY: as for `Lowered`.
unsafe impl<const N: usize> ComponentType for Lifted<N> {
    type Lower = [ValRaw; N];
    const ABI: CanonicalAbiInfo = NOTHING;

    fn typecheck(kind: &InterfaceType, _types: &InstanceType<'_>) -> Result<()> {
        is_list(kind)
    }
}

// SAFETY: as for `Lowered`.
unsafe impl<const N: usize> ComponentNamedList for Lifted<N> {}

// SAFETY: it reads numbers and memory, and checks what they say.
unsafe impl<const N: usize> Lift for Lifted<N> {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, kind: InterfaceType, from: &Self::Lower) -> Result<Self> {
        let InterfaceType::Tuple(of) = kind else { bail!("a function without a list of values") };
        let list = &cx.types[of];
        let fits = list.abi.flat_count(N).is_some();
        let (size, align) = (list.abi.size32 as usize, list.abi.align32);
        let mut lifter = Lifter { cx, tape: Tape::default() };
        if fits {
            lifter.flat(kind, &mut from.iter())?;
        } else {
            let at = from.first().map_or(u32::MAX, ValRaw::get_u32);
            if !at.is_multiple_of(align.max(1)) {
                bail!("a result that is not aligned");
            }
            let Some(bytes) = lifter.memory(at, size) else { bail!("a result beyond the end of memory") };
            lifter.stored(kind, bytes)?;
        }
        Ok(Self(lifter.tape))
    }

    /// The bytes are none, as the size says, at the place of the values.
    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, kind: InterfaceType, bytes: &[u8]) -> Result<Self> {
        let at = (bytes.as_ptr() as usize).checked_sub(cx.memory().as_ptr() as usize);
        let Some(bytes) = at.and_then(|at| cx.memory().get(at..)) else { bail!("values beyond the end of memory") };
        let mut lifter = Lifter { cx, tape: Tape::default() };
        lifter.stored(kind, bytes)?;
        Ok(Self(lifter.tape))
    }
}

fn is_list(kind: &InterfaceType) -> Result<()> {
    match kind {
        InterfaceType::Tuple(_) => Ok(()),
        _ => bail!("a function without a list of values"),
    }
}

/// Where wasmtime wrote text, and how long.
pub(super) fn written(pair: MaybeUninit<[ValRaw; 2]>) -> (ValRaw, ValRaw) {
    // SAFETY: it was initialized when it was made.
    let [at, len] = unsafe { pair.assume_init() };
    (at, len)
}

/// The number that wasmtime wrote for a handle.
pub(super) fn index(index: MaybeUninit<ValRaw>) -> u32 {
    // SAFETY: it was initialized when it was made.
    unsafe { index.assume_init() }.get_u32()
}
