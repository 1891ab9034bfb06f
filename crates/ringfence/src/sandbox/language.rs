//! What a language pack may ask of its host: messages of `ringfence.host_call`.
//!
//! Guest code can send any message from any address, so each length and pointer is checked, and no answer is longer
//! than what the host may hold for the guest. Nothing here calls back into the guest.

use bytes::Bytes;
use wasmtime::{Caller, Linker};

use super::store::State;
use super::wasi01;
use crate::language::abi::{self, Kind};

/// The messages of one run.
#[derive(Default)]
pub struct Exchange {
    /// The source text that was handed in.
    pub source: Option<Bytes>,
    /// An answer that was longer than its buffer, until the next message.
    kept: Bytes,
}

impl Exchange {
    /// With a source text to hand in.
    pub fn new(source: Option<Bytes>) -> Self {
        Self { source, kept: Bytes::new() }
    }

    fn answer(&self, message: &[u8]) -> Result<Bytes, i64> {
        let (kind, payload) = message.split_first().ok_or(abi::REFUSED)?;
        match (Kind::of(*kind).ok_or(abi::REFUSED)?, payload) {
            (Kind::Source, []) => self.source.clone().ok_or(abi::ABSENT),
            (Kind::Source, _) => Err(abi::REFUSED),
        }
    }
}

/// Links both functions.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(abi::MODULE, abi::HOST_CALL, |mut caller: Caller<'_, State>, at, len, out, capacity| {
        call(&mut caller, (at, len), (out, capacity))
    })?;
    linker.func_wrap(abi::MODULE, abi::HOST_TAKE, |mut caller: Caller<'_, State>, out, len| {
        take(&mut caller, (out, len))
    })?;
    Ok(())
}

/// A piece of guest memory as the guest names it.
type Piece = (u32, u32);

fn call(caller: &mut Caller<'_, State>, message: Piece, out: Piece) -> wasmtime::Result<i64> {
    let (memory, state) = wasi01::memory(caller)?;
    let Some(message) = piece(memory, message) else { return Ok(abi::REFUSED) };
    state.exchange.kept = Bytes::new();
    let answer = match state.exchange.answer(message) {
        Ok(answer) if answer.len() as u64 > state.host_bytes => return Ok(abi::TOO_LONG),
        Ok(answer) => answer,
        Err(refusal) => return Ok(refusal),
    };
    Ok(give(memory, &mut state.exchange, answer, out))
}

/// Writes an answer where there is room for it, and keeps it where there is not.
fn give(memory: &mut [u8], exchange: &mut Exchange, answer: Bytes, (out, capacity): Piece) -> i64 {
    let Ok(len) = u32::try_from(answer.len()) else { return abi::TOO_LONG };
    if len <= capacity {
        let Some(into) = piece_mut(memory, (out, len)) else { return abi::REFUSED };
        into.copy_from_slice(&answer);
    } else {
        exchange.kept = answer;
    }
    len.into()
}

fn take(caller: &mut Caller<'_, State>, (out, len): Piece) -> wasmtime::Result<i32> {
    let (memory, state) = wasi01::memory(caller)?;
    let kept = std::mem::take(&mut state.exchange.kept);
    if kept.len() != len as usize {
        return Ok(-1);
    }
    let Some(into) = piece_mut(memory, (out, len)) else { return Ok(-1) };
    into.copy_from_slice(&kept);
    Ok(0)
}

fn piece(memory: &[u8], (at, len): Piece) -> Option<&[u8]> {
    memory.get(at as usize..(at as usize).checked_add(len as usize)?)
}

fn piece_mut(memory: &mut [u8], (at, len): Piece) -> Option<&mut [u8]> {
    memory.get_mut(at as usize..(at as usize).checked_add(len as usize)?)
}
