//! What plugins for Extism ask of their host: blocks of memory that both can see, input and output, variables.
//!
//! Extism's own runtime has a module for it, the kernel, whose exports its plugins import. Here it is the host's, so that
//! its memory counts as the guest's, and everything is checked.

mod linker;
mod variables;

pub use linker::{FUNCTIONS, add_to_linker, bytes, kept, kernel_function};
pub use variables::{Variables, read as read_variables, size as size_of_variables, written as written_variables};

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::limits::Limiter;

/// What is granted to a plugin, and how its functions of the host take their values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Text under names, which it may read.
    pub config: BTreeMap<String, String>,
    /// Bytes that its variables may have together.
    pub var_bytes: u64,
    /// The least level that is worth saying: 0 is everything, 5 nothing.
    pub log_level: i32,
    /// Functions of the host: which of their parameters are blocks of memory, and whether what they give is one.
    pub functions: BTreeMap<String, (Vec<bool>, bool)>,
}

/// Where the first block begins: no address is 0.
const BASE: u64 = 64;

/// What the host keeps beside each block costs the guest as much of its memory.
const HEAD_BYTES: u64 = 64;

/// Growth comes in pieces of this.
const PAGE_BYTES: u64 = 64 << 10;

/// Beside the name and the value of a variable, as Extism counts.
const VAR_BYTES: u64 = 48;

/// Messages of one call that are kept, and bytes of them.
const MAX_LOGS: usize = 200;
const MAX_LOG_BYTES: usize = 64 << 10;

/// What a variable takes of what all of them may.
fn cost(name: &str, value: &[u8]) -> u64 {
    (name.len() + value.len()) as u64 + VAR_BYTES
}

struct Block {
    len: u64,
    capacity: u64,
}

/// The state of one plugin.
#[derive(Default)]
pub struct Kernel {
    settings: Settings,
    /// By address.
    memory: Vec<u8>,
    next: u64,
    blocks: BTreeMap<u64, Block>,
    /// Blocks that may be used again, by what they hold.
    free: BTreeSet<(u64, u64)>,
    input: (u64, u64),
    output: (u64, u64),
    error: u64,
    vars: Variables,
    logs: Vec<(i32, String)>,
    logged: usize,
}

impl Kernel {
    /// One without variables.
    pub fn new(settings: Settings) -> Self {
        Self { settings, next: BASE, ..Self::default() }
    }

    /// What outlives its calls, by name.
    pub fn variables(&self) -> &Variables {
        &self.vars
    }

    /// Those of the plugin that it is a copy of.
    pub fn set_variables(&mut self, variables: Variables) {
        self.vars = variables;
    }

    /// A call begins: nothing of the one before is left but variables. `false` where its input is more than the guest
    /// may have.
    pub fn begin(&mut self, input: &[u8], limiter: &mut Limiter) -> bool {
        if let Some(used) = usize::try_from(self.next).ok().and_then(|next| self.memory.get_mut(..next)) {
            used.fill(0);
        }
        let Self { settings, memory, vars, .. } = std::mem::take(self);
        *self = Self { settings, memory, vars, next: BASE, ..Self::default() };
        let at = self.keep(input, limiter);
        self.input = (at, input.len() as u64);
        at != 0 || input.is_empty()
    }

    /// What the call gave: output, what it says went wrong, and what it has logged.
    pub fn end(&mut self) -> (&[u8], &[u8], &[(i32, String)]) {
        let output = self.range(self.output.0, self.output.1).unwrap_or_default();
        (output, self.block(self.error).unwrap_or_default(), &self.logs)
    }

    /// A new block; 0 where there is no room.
    fn alloc(&mut self, len: u64, limiter: &mut Limiter) -> u64 {
        let Some(capacity) = len.checked_next_multiple_of(16).filter(|_| len > 0) else { return 0 };
        let at = self.next + HEAD_BYTES;
        let Some(end) = at.checked_add(capacity) else { return 0 };
        let have = self.memory.len() as u64;
        if end > have {
            // Not sooner, as in Extism's kernel: some plugins free twice what they have given away.
            let free = self.free.range((capacity, 0)..).next().copied();
            if let Some((capacity, at)) = free.filter(|(found, _)| found / 4 <= capacity) {
                self.free.remove(&(capacity, at));
                self.blocks.insert(at, Block { len, capacity });
                return at;
            }
            let more = (end - have).next_multiple_of(PAGE_BYTES);
            let Ok(more) = usize::try_from(more) else { return 0 };
            if self.memory.try_reserve_exact(more).is_err() || !limiter.grow(more) {
                return 0;
            }
            self.memory.resize(self.memory.len() + more, 0);
        }
        self.next = end;
        self.blocks.insert(at, Block { len, capacity });
        at
    }

    fn free(&mut self, at: u64) {
        let Some(block) = self.blocks.remove(&at) else { return };
        self.free.insert((block.capacity, at));
        if at == self.input.0 {
            self.input.1 = 0;
        }
    }

    /// A new block with these bytes; 0 for none, and where there is no room.
    pub fn keep(&mut self, bytes: &[u8], limiter: &mut Limiter) -> u64 {
        let at = self.alloc(bytes.len() as u64, limiter);
        if at != 0
            && let Some(place) = self.range_mut(at, bytes.len() as u64)
        {
            place.copy_from_slice(bytes);
        }
        at
    }

    /// Bytes of the block that begins there.
    pub fn block(&self, at: u64) -> Option<&[u8]> {
        self.range(at, self.blocks.get(&at)?.len)
    }

    fn len(&self, at: u64) -> u64 {
        self.blocks.get(&at).map_or(0, |block| block.len)
    }

    fn range(&self, at: u64, len: u64) -> Option<&[u8]> {
        let end = at.checked_add(len).filter(|end| *end <= self.next)?;
        self.memory.get(usize::try_from(at).ok()?..usize::try_from(end).ok()?)
    }

    fn range_mut(&mut self, at: u64, len: u64) -> Option<&mut [u8]> {
        let end = at.checked_add(len).filter(|end| *end <= self.next)?;
        self.memory.get_mut(usize::try_from(at).ok()?..usize::try_from(end).ok()?)
    }

    /// What is outside of all blocks reads as 0, as it does in Extism's kernel.
    fn load<const N: usize>(&self, at: u64) -> [u8; N] {
        self.range(at, N as u64).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
    }

    fn load_input<const N: usize>(&self, at: u64) -> [u8; N] {
        match at.checked_add(N as u64) {
            Some(end) if end <= self.input.1 => self.load(self.input.0 + at),
            _ => [0; N],
        }
    }

    /// And is not written.
    fn store<const N: usize>(&mut self, at: u64, bytes: [u8; N]) {
        if at >= BASE
            && let Some(place) = self.range_mut(at, N as u64)
        {
            place.copy_from_slice(&bytes);
        }
    }

    /// The text of a block that the guest gives away.
    fn taken(&mut self, at: u64) -> Result<String, &'static str> {
        let text = self.block(at).map(|bytes| String::from_utf8(bytes.to_vec()));
        self.free(at);
        text.ok_or("a block that is not there")?.map_err(|_| "text that is not UTF-8")
    }

    fn set_var(&mut self, name: String, value: Option<Vec<u8>>) -> Result<(), &'static str> {
        let Some(value) = value else {
            self.vars.remove(&name);
            return Ok(());
        };
        let others = self.vars.iter().filter(|(known, _)| **known != name);
        let used = others.map(|(name, value)| cost(name, value)).fold(cost(&name, &value), u64::saturating_add);
        if used > self.settings.var_bytes {
            return Err("more variables than it may have");
        }
        self.vars.insert(name, value);
        Ok(())
    }

    fn log(&mut self, level: i32, text: String) {
        if level >= self.settings.log_level && self.logs.len() < MAX_LOGS && self.logged + text.len() <= MAX_LOG_BYTES {
            self.logged += text.len();
            self.logs.push((level, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel() -> (Kernel, Limiter) {
        (Kernel::new(Settings { var_bytes: 200, ..Settings::default() }), Limiter::new(1 << 20))
    }

    #[test]
    fn blocks_do_not_overlap_and_are_used_again() {
        let (mut kernel, mut limiter) = kernel();
        let (one, two) = (kernel.keep(b"one", &mut limiter), kernel.keep(b"two!", &mut limiter));
        assert_eq!((Some(&b"one"[..]), Some(&b"two!"[..])), (kernel.block(one), kernel.block(two)));
        kernel.free(one);
        assert_eq!(None, kernel.block(one));
        assert_ne!(one, kernel.keep(b"again", &mut limiter));
        let mut more = (0..).map(|_| kernel.keep(b"again", &mut limiter)).take_while(|at| *at != 0);
        assert!(more.any(|at| at == one), "it was not used again");
    }

    #[test]
    fn what_is_outside_is_nothing() {
        let (mut kernel, mut limiter) = kernel();
        assert!(kernel.begin(b"12345678", &mut limiter));
        for at in [0, 1, u64::MAX, u64::MAX - 7, 1 << 40] {
            kernel.store(at, [1; 8]);
            assert_eq!([0; 8], kernel.load::<8>(at));
        }
        assert_eq!([0; 8], kernel.load_input::<8>(1));
        assert_eq!(*b"12345678", kernel.load_input::<8>(0));
    }

    #[test]
    fn memory_ends_at_the_limit_and_small_blocks_cost_what_they_cost_the_host() {
        let (mut kernel, mut limiter) = kernel();
        let count = (0..100_000).take_while(|_| kernel.alloc(1, &mut limiter) != 0).count();
        assert!((10_000..20_000).contains(&count), "{count}");
        assert_eq!(0, kernel.alloc(u64::MAX, &mut limiter));
        assert_eq!(0, kernel.alloc(0, &mut limiter));
    }

    #[test]
    fn a_call_finds_nothing_of_the_one_before_but_variables() {
        let (mut kernel, mut limiter) = kernel();
        let at = kernel.keep(b"secret", &mut limiter);
        assert_eq!(Ok(()), kernel.set_var("name".into(), Some(vec![7; 90])));
        assert!(kernel.set_var("more".into(), Some(vec![7; 90])).is_err());
        assert!(kernel.begin(b"", &mut limiter));
        assert_eq!([0; 1], kernel.load::<1>(at));
        assert_eq!(0, kernel.alloc(3, &mut limiter).wrapping_sub(at));
        assert_eq!(Some(&[0, 0, 0][..]), kernel.block(at));
        assert_eq!(Some(90), kernel.vars.get("name").map(Vec::len));
    }
}
