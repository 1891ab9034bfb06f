//! What the host reads and writes of a module: always a copy, whether the guest is at rest or inside of a function of
//! the host.

use wasmtime::{Mutability, Val};

use super::{value, word};
use crate::error::{Error, Result};
use crate::plugin::live::Live;
use crate::plugin::pool::Instances;
use crate::plugin::tape::Tape;
use crate::plugin::{Instance, Plugin, Seat};
use crate::sandbox::access::{Access, Accessed};
use crate::worker::{Touching, Untouched};

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
    pub(in crate::plugin) fn memory(&self, index: usize, access: Access<'_>, one: bool) -> Result<Accessed> {
        self.check_process()?;
        if !matches!(access, Access::Grow(_)) {
            let is_free = matches!(&*self.seat(), Seat::Free(..));
            if let Some(done) = self.views.access(index, one && !is_free, access) {
                return done;
            }
        }
        if !one {
            return Err(self.nobodys("a memory"));
        }
        let here = |live: &mut Live| {
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
        };
        self.at_rest(here, |worker| worker.access(index, access))
    }

    pub(in crate::plugin) fn global(&self, index: usize) -> Result<Tape> {
        let here = |live: &mut Live| {
            let Some((global, _)) = live.module.as_ref().and_then(|module| module.globals.get(index)).copied() else {
                return Err(wasmtime::Error::msg("there is no such global"));
            };
            let mut tape = Tape::default();
            tape.word(word(&global.get(&mut *live.store)));
            Ok(tape)
        };
        self.at_rest(here, |worker| {
            let kind = self.shared.world.globals.get(index).map(|global| global.kind);
            let mut tape = Tape::default();
            tape.word(worker.global(index, kind)?);
            Ok(tape)
        })
    }

    pub(in crate::plugin) fn set_global(&self, index: usize, to: &Tape) -> Result<()> {
        let here = |live: &mut Live| {
            let Some((global, kind)) = live.module.as_ref().and_then(|module| module.globals.get(index)).copied()
            else {
                return Err(wasmtime::Error::msg("there is no such global"));
            };
            let to: Val = value(kind, &mut to.reader())?;
            match global.ty(&*live.store).mutability() {
                Mutability::Var => global.set(&mut *live.store, to),
                Mutability::Const => Err(wasmtime::Error::msg("it is a constant")),
            }
        };
        self.at_rest(here, |worker| worker.set_global(index, to))
    }

    /// Does something with an instance that no call is in: here, or in its worker.
    fn at_rest<T>(
        &self,
        here: impl FnOnce(&mut Live) -> wasmtime::Result<T>,
        there: impl FnOnce(&mut Touching<'_>) -> std::result::Result<T, Untouched>,
    ) -> Result<T> {
        let (mut instance, usage, mut back) = self.take()?;
        let (done, gone) = match &mut instance {
            Instance::Here(live) => (here(live).map_err(|error| crate::link::broken(&error)), None),
            Instance::Worker(plugged) => {
                let look = &self.shared.look;
                match plugged.touch(&mut || look(), there) {
                    Ok(done) => (Ok(done), None),
                    Err(Untouched::Not(error)) => (Err(error), None),
                    Err(Untouched::Gone(why)) => {
                        (Err(self.refused(&why, "call `restart()`: it begins anew, without what it had")), Some(why))
                    }
                }
            }
        };
        back.seat = Some(match gone {
            None => Seat::Free(instance, usage),
            Some(why) => Seat::Poisoned(why, usage),
        });
        done
    }

    fn nobodys(&self, what: &str) -> Error {
        self.refused(
            &format!("{what} is of one instance, and nobody can tell which of a pool is meant"),
            "look at it in a function of yours that the guest calls, or make a `Plugin`",
        )
    }
}
