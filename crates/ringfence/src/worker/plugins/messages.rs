//! What is said about a plugin.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Given;
use crate::plugin::{Counts, Holdings, Tape, World};
use crate::policy::Limits;
use crate::worker::protocol::From;

/// An instance of a plugin. Descriptors come in the order of the fields.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::worker) struct Plug {
    pub(super) program: u32,
    /// Whether a directory for `/tmp` comes too.
    pub(super) tmp: bool,
    /// Whether a directory for private layers comes too.
    pub(super) layers: bool,
    /// The values of the policy's secrets, in their order; what is not set is missing.
    pub(super) secrets: Vec<Option<String>>,
}

/// A tape on its way into a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::worker) struct Handed {
    pub(super) counts: Counts,
    /// Where it is, and its length in bytes.
    pub(super) place: (From, u64),
}

/// A call of a function that the plugin exports.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::worker) struct Invoke {
    /// Its place among all that are exported; none where the guest is only told of what was dropped.
    pub(super) function: Option<u32>,
    pub(super) params: Handed,
    /// Resources of the guest that the parent has let go of.
    pub(super) dropped: Vec<u64>,
    /// The longest that it may take.
    pub(super) wall_nanos: u64,
}

/// What it gave: the tail is a tape.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::worker) struct Gave {
    pub(in crate::worker) counts: Counts,
    pub(super) fuel: Option<u64>,
    pub(super) memory_bytes: u64,
}

/// The guest calls a function of the parent, and waits: the tail is a tape.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::worker) struct Callback {
    /// Its place among all that are imported. After those come the resources of the host's: to drop one of its objects
    /// is called with its number.
    pub(super) function: u32,
    pub(in crate::worker) counts: Counts,
    /// What the guest has used up to here.
    pub(super) cpu_nanos: u64,
    pub(super) memory_bytes: u64,
}

/// What is called of the parent.
pub(super) enum Call {
    /// The function at that place, with that.
    Function(usize, Tape),
    /// The end of an object: its resource, and its number.
    Drop(u32, u32),
}

/// What came of such a call.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::worker) struct Settled {
    /// None where the function broke, which ends the guest. Why is not told: that is for the caller of the plugin.
    pub(super) result: Option<Handed>,
    /// Processor time that functions have used in this call.
    pub(in crate::worker) cpu_nanos: u64,
}

/// What is done with a memory or a global of the guest, by its place among those that are exported: between two calls, or
/// while it waits inside of a function of the parent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(in crate::worker) enum Touch {
    Size(u32),
    Read {
        memory: u32,
        at: u64,
        len: u64,
    },
    Write {
        memory: u32,
        at: u64,
        /// Where the bytes are, and how many.
        bytes: (From, u64),
    },
    /// By so many pages.
    Grow {
        memory: u32,
        pages: u64,
    },
    Global(u32),
    Set {
        global: u32,
        word: u64,
    },
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::worker) enum Touched {
    /// Bytes that the memory has, or had before it grew.
    Size(u64),
    /// The tail is what was read.
    Read,
    Written,
    /// That is beyond its end, which is here.
    Outside(u64),
    /// It may not grow so far.
    Full,
    Word(u64),
}

/// What a call has used, as a worker tells it: bounded by what it may.
pub(super) struct Used {
    pub(super) fuel: Option<u64>,
    pub(super) memory: u64,
}

impl Gave {
    /// The values, if they are what that function gives.
    pub(super) fn into_values(
        self,
        tail: Vec<u8>,
        world: &World,
        function: Option<usize>,
        (limits, holdings): (&Limits, &mut Holdings),
    ) -> Result<(Tape, Used), String> {
        let wrong = |_| "it gave what that function does not give".to_owned();
        let result = match function {
            Some(function) => world.exported(function).ok_or("it gave the values of no function")?.result,
            None => None,
        };
        let tape = Tape::unpack(self.counts, tail).map_err(wrong)?;
        tape.check(&world.types, result.into_iter(), room(limits), holdings).map_err(wrong)?;
        let fuel = limits.fuel.map(|most| self.fuel.unwrap_or(0).min(most));
        Ok((tape, Used { fuel, memory: self.memory_bytes.min(limits.memory.0) }))
    }
}

impl Callback {
    /// What it calls, if that can be called so.
    pub(super) fn to_call(
        &self,
        tail: Vec<u8>,
        given: &Given,
        (limits, holdings): (&Limits, &mut Holdings),
    ) -> Result<Call, String> {
        let wrong = |_| "it called a function with what that does not take".to_owned();
        let (world, index) = (&given.world, usize::try_from(self.function).unwrap_or(usize::MAX));
        let tape = Tape::unpack(self.counts, tail).map_err(wrong)?;
        if let Some(resource) = index.checked_sub(world.imported_count()) {
            let mut from = tape.reader();
            let number = from.word().ok().and_then(|number| u32::try_from(number).ok()).filter(|_| from.is_at_end());
            let resource = u32::try_from(resource).unwrap_or(u32::MAX);
            let number = number.filter(|number| holdings.lets_go(resource, *number));
            return Ok(Call::Drop(resource, number.ok_or("it dropped an object that it does not have")?));
        }
        let is_given = given.imports.as_ref().is_some_and(|imports| !imports.is_stub(index));
        let function = world.imported(index).filter(|_| is_given);
        let function = function.ok_or("it called a function that it was not given")?;
        if !holdings.has_room() {
            return Err("it has more handles than a guest may have".into());
        }
        let params = function.params.iter().map(|(_, kind)| *kind);
        tape.check(&world.types, params, room(limits), holdings).map_err(wrong)?;
        Ok(Call::Function(index, tape))
    }

    /// Processor time of the guest.
    pub(super) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_nanos)
    }

    /// The most memory that it had.
    pub(super) fn memory(&self, limits: &Limits) -> u64 {
        self.memory_bytes.min(limits.memory.0)
    }
}

/// What values may cost on the way out of a worker: the guest paid for them there, in another currency where they were
/// few numbers.
fn room(limits: &Limits) -> u64 {
    limits.host_bytes.0.saturating_mul(2).saturating_add(4096)
}
