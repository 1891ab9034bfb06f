//! What the host reads and writes of a module: always a copy, whether the guest is at rest or inside of a function of
//! the host.

use wasmtime::{Mutability, Val};

use super::{value, word};
use crate::error::{Error, Result};
use crate::plugin::live::Live;
use crate::plugin::pool::Instances;
use crate::plugin::tape::Tape;
use crate::plugin::{Instance, Plugin, Seat};

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

impl Access<'_> {
    fn of(self, memory: &mut [u8]) -> Accessed {
        let size = memory.len() as u64;
        let range = |at: u64, len: u64| {
            let end = at.checked_add(len).filter(|end| *end <= size)?;
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

impl Instances {
    /// Reads, writes or grows a memory: of a guest at rest, or of the one that calls the function of the host that asks.
    pub fn memory(&self, index: usize, access: Access<'_>) -> Result<Accessed> {
        match self {
            Self::One(plugin) => plugin.memory(index, access, true),
            Self::Pool(pool) => pool.first()?.memory(index, access, false),
        }
    }

    /// The value of a global.
    pub fn global(&self, index: usize) -> Result<Tape> {
        self.one("a global")?.global(index)
    }

    /// Sets a global.
    pub fn set_global(&self, index: usize, to: &Tape) -> Result<()> {
        self.one("a global")?.set_global(index, to)
    }

    fn one(&self, what: &str) -> Result<&Plugin> {
        match self {
            Self::One(plugin) => Ok(plugin),
            Self::Pool(pool) => Err(pool.first()?.nobodys(what)),
        }
    }
}

impl Plugin {
    fn memory(&self, index: usize, access: Access<'_>, one: bool) -> Result<Accessed> {
        self.check_process()?;
        if !matches!(access, Access::Grow(_)) {
            let views = &self.views;
            let is_free = matches!(&*self.seat(), Seat::Free(..));
            if let Some(done) = views.with(index, one && !is_free, |memory| access.of(memory)) {
                return Ok(done);
            }
        }
        if !one {
            return Err(self.nobodys("a memory"));
        }
        self.at_rest(|live| {
            let Some(memory) = live.module.as_ref().and_then(|module| module.memories.get(index)).copied() else {
                return Err(wasmtime::Error::msg("there is no such memory"));
            };
            Ok(match access {
                Access::Grow(pages) => {
                    let before = memory.data_size(&*live.store) as u64;
                    let limit = live.limit;
                    live.store.data_mut().state.limiter.begin(limit);
                    memory.grow(&mut *live.store, pages).map_or(Accessed::Full, |_| Accessed::Size(before))
                }
                access => access.of(memory.data_mut(&mut *live.store)),
            })
        })
    }

    fn global(&self, index: usize) -> Result<Tape> {
        self.at_rest(|live| {
            let Some((global, _)) = live.module.as_ref().and_then(|module| module.globals.get(index)).copied() else {
                return Err(wasmtime::Error::msg("there is no such global"));
            };
            let mut tape = Tape::default();
            tape.word(word(&global.get(&mut *live.store)));
            Ok(tape)
        })
    }

    fn set_global(&self, index: usize, to: &Tape) -> Result<()> {
        self.at_rest(|live| {
            let Some((global, kind)) = live.module.as_ref().and_then(|module| module.globals.get(index)).copied()
            else {
                return Err(wasmtime::Error::msg("there is no such global"));
            };
            let to: Val = value(kind, &mut to.reader())?;
            match global.ty(&*live.store).mutability() {
                Mutability::Var => global.set(&mut *live.store, to),
                Mutability::Const => Err(wasmtime::Error::msg("it is a constant")),
            }
        })
    }

    /// Does something with an instance that no call is in.
    fn at_rest<T>(&self, act: impl FnOnce(&mut Live) -> wasmtime::Result<T>) -> Result<T> {
        let (mut instance, usage, mut back) = self.take()?;
        let done = match &mut instance {
            Instance::Here(live) => act(live),
            Instance::Worker(_) => Err(wasmtime::Error::msg("it is in a worker")),
        };
        back.seat = Some(Seat::Free(instance, usage));
        done.map_err(|error| crate::link::broken(&error))
    }

    fn nobodys(&self, what: &str) -> Error {
        self.refused(
            &format!("{what} is of one instance, and nobody can tell which of a pool is meant"),
            "look at it in a function of yours that the guest calls, or make a `Plugin`",
        )
    }
}
