//! WASI 0.1 (`wasi_snapshot_preview1`) and its elder (`wasi_unstable`) for core modules, on our own files and streams.

mod args;
mod descriptors;
mod fd;
mod linker;
mod memory;
mod path;
mod poll;
mod stat;

pub use descriptors::Descriptors;
pub use linker::{FUNCTIONS, add_to_linker};

use wasmtime::{Caller, Extern};

use self::memory::GuestMemory;
use super::errno::Errno;
use super::stop::{Fail, Stop};
use super::store::{Holds, State};

/// Which of the two layouts a module was built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `wasi_unstable`.
    Unstable,
    /// `wasi_snapshot_preview1`.
    Preview1,
}

impl Level {
    /// The module name of the imports.
    pub fn module(self) -> &'static str {
        match self {
            Self::Unstable => "wasi_unstable",
            Self::Preview1 => "wasi_snapshot_preview1",
        }
    }
}

type Done<T = ()> = Result<T, Fail>;

/// What a call works on: the guest's memory and our state, borrowed apart.
struct Call<'a> {
    memory: GuestMemory<'a>,
    state: &'a mut State,
}

/// Runs one call and tells the guest its error number.
fn enter<T: Holds>(caller: &mut Caller<'_, T>, act: impl FnOnce(&mut Call<'_>) -> Done) -> wasmtime::Result<i32> {
    answer(caller, act).map(|answer| answer.map_or_else(|errno| errno as i32, |()| 0))
}

/// The guest's memory and our state.
pub(crate) fn memory<'a, T: Holds>(caller: &'a mut Caller<'_, T>) -> wasmtime::Result<(&'a mut [u8], &'a mut State)> {
    let memory = match caller.data().as_ref().descriptors.memory {
        Some(memory) => memory,
        None => {
            let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
                return Err(Stop::NoMemory.into());
            };
            caller.data_mut().as_mut().descriptors.memory = Some(memory);
            memory
        }
    };
    let (bytes, holder) = memory.data_and_store_mut(caller);
    Ok((bytes, holder.as_mut()))
}

/// Runs one call whose answer the host still needs.
fn answer<T: Holds, A>(
    caller: &mut Caller<'_, T>,
    act: impl FnOnce(&mut Call<'_>) -> Done<A>,
) -> wasmtime::Result<Result<A, Errno>> {
    let (bytes, state) = memory(caller)?;
    let done = act(&mut Call { memory: GuestMemory(bytes), state });
    if state.files.denials.stopped() {
        return Err(Stop::Denied.into());
    }
    match done {
        Ok(value) => Ok(Ok(value)),
        Err(Fail::Errno(errno)) => Ok(Err(errno)),
        Err(Fail::Stop(stop)) => Err(stop.into()),
    }
}
