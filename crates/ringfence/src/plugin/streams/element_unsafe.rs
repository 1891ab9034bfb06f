//! A value of a stream, of any type of that size: its type is known when it is read or written, and what is unsafe is to
//! say how large it is before.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext};
use wasmtime::component::{ComponentType, Lift, Lower};
use wasmtime::{Result, ValRaw, bail};

use crate::plugin::lift::Lifter;
use crate::plugin::lower::Lowerer;
use crate::plugin::tape::Tape;

/// One value.
pub(super) struct Each<const SIZE: u8, const ALIGN: u8>(pub(super) Tape);

// SAFETY: the size and the alignment are those of the type, or it is refused here; it is in memory always, so that
// nothing is read of `Lower`.
unsafe impl<const SIZE: u8, const ALIGN: u8> ComponentType for Each<SIZE, ALIGN> {
    type Lower = ValRaw;
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo {
        size32: SIZE as u32,
        align32: ALIGN as u32,
        size64: SIZE as u32,
        align64: ALIGN as u32,
        flat_count: None,
    };

    fn typecheck(kind: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        let abi = types.types.canonical_abi(kind);
        if abi.size32 != u32::from(SIZE) || abi.align32 != u32::from(ALIGN) {
            bail!("a stream whose values have another size");
        }
        Ok(())
    }
}

// SAFETY: memory is written within its bounds only, by the type that the guest has.
unsafe impl<const SIZE: u8, const ALIGN: u8> Lower for Each<SIZE, ALIGN> {
    fn linear_lower_to_flat<T>(
        &self,
        _cx: &mut LowerContext<'_, T>,
        _kind: InterfaceType,
        _to: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        bail!("a value of a stream outside of one")
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, kind: InterfaceType, at: usize) -> Result<()> {
        Lowerer { cx, from: self.0.reader() }.store(kind, at)
    }
}

// SAFETY: it reads memory within its bounds, and checks what that says.
unsafe impl<const SIZE: u8, const ALIGN: u8> Lift for Each<SIZE, ALIGN> {
    fn linear_lift_from_flat(_cx: &mut LiftContext<'_>, _kind: InterfaceType, _from: &Self::Lower) -> Result<Self> {
        bail!("a value of a stream outside of one")
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, kind: InterfaceType, bytes: &[u8]) -> Result<Self> {
        let at = (bytes.as_ptr() as usize).checked_sub(cx.memory().as_ptr() as usize);
        let Some(bytes) = at.and_then(|at| cx.memory().get(at..)) else { bail!("a value beyond the end of memory") };
        let mut lifter = Lifter { cx, tape: Tape::default() };
        lifter.stored(kind, bytes)?;
        Ok(Self(lifter.tape))
    }
}
