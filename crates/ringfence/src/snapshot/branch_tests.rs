//! Branches of one module's life, for the tests of this folder: called, captured, forked, saved, loaded and rewound at
//! random, and held to what the module itself comes to by the same calls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;
use wasmtime::{Instance, Store, StoreLimits, Val, ValType};

use super::faults_unsafe::Faults;
use super::instance_tests::{Live, Pack, Plain, Replayed, depends_on_room};
use super::{Before, Capture, Rewind};

/// What is done with the branches of one module, one after the other.
const TURNS: usize = 24;

const TRAPPED: &str = "trapped";

/// A call with its arguments.
type Call = (String, Vec<Val>);

/// How often what was done, in all.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) calls: usize,
    pub(super) captures: usize,
    pub(super) rewound: usize,
    /// Branches whose memory was not as at the beginning.
    pub(super) written: usize,
    /// Branches that came to the end of a stack or a heap, which nobody compares.
    pub(super) lost: usize,
}

/// What came of a call, as text; none where that depends on how much room there is.
fn told(called: wasmtime::Result<Vec<Val>>) -> Option<String> {
    match called {
        Ok(values) => Some(values.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Err(error) if depends_on_room(&error) => None,
        Err(error) => Some(format!("{TRAPPED}: {:?}", error.downcast_ref::<wasmtime::Trap>())),
    }
}

fn shown(value: &Val) -> String {
    match value {
        Val::FuncRef(value) => format!("a function: {}", value.is_some()),
        Val::ExternRef(value) => format!("of the host: {}", value.is_some()),
        Val::V128(bits) => format!("{:x}", bits.as_u128()),
        value => format!("{value:?}"),
    }
}

/// Those that the module itself exports as `g0`, `g1` and so on.
fn globals(store: &mut Store<StoreLimits>, instance: &Instance) -> Vec<String> {
    let named = |at| instance.get_global(&mut *store, &format!("g{at}")).map(|global| global.get(&mut *store));
    (0..).map_while(named).map(|value| shown(&value)).collect()
}

fn number(random: &mut ChaCha20Rng, kind: &ValType) -> Option<Val> {
    let drawn = match random.next_u32() % 4 {
        0 => u64::from(random.next_u32() % 10),
        1 => u64::from(random.next_u32() % (3 << 20)),
        _ => random.next_u64(),
    };
    Some(match kind {
        ValType::I32 => Val::I32(drawn as i32),
        ValType::I64 => Val::I64(drawn.cast_signed()),
        ValType::F32 => Val::F32((drawn as f32).to_bits()),
        ValType::F64 => Val::F64((drawn as f64).to_bits()),
        ValType::V128 => Val::V128(u128::from(drawn).into()),
        ValType::Ref(_) => return None,
    })
}

/// An instance, and all that was called in it since the beginning, with what came of it.
struct Branch {
    live: Live,
    calls: Vec<Call>,
    results: Vec<String>,
    /// How it goes back to the beginning, as long as it may, and how large a heap of the engine's it had there.
    rewind: Option<(Rewind, Option<Faults>, usize)>,
}

impl Branch {
    fn of(live: Live, calls: Vec<Call>, results: Vec<String>) -> Self {
        Self { live, calls, results, rewind: None }
    }

    /// One that has just begun, and may be rewound.
    fn begun(pack: &Pack) -> Self {
        let mut live = pack.start().unwrap();
        let rewind = Rewind::of(&mut live.store, &live.instance, &pack.image).unwrap();
        let rewind = Some((rewind, Faults::so_far(), live.store.gc_heap_capacity()));
        Self { rewind, ..Self::of(live, Vec::new(), Vec::new()) }
    }

    /// Goes back to the beginning, unless it has trapped or grown.
    fn rewind(&mut self) -> bool {
        let Some((rewind, since, heap)) = &mut self.rewind else { return false };
        let store = &mut self.live.store;
        let may = self.results.iter().all(|result| !result.starts_with(TRAPPED)) && store.gc_heap_capacity() == *heap;
        if !may || rewind.back(store, since.as_ref()).is_err() {
            self.rewind = None;
            return false;
        }
        *since = Faults::so_far();
        self.calls.clear();
        self.results.clear();
        // What the next capture compares with is not what was captured of another life.
        self.live.before = Before::default();
        true
    }

    /// Calls a function with random arguments; nothing where what came of it depends on how much room there is.
    fn call(&mut self, name: &str, random: &mut ChaCha20Rng) -> Option<()> {
        let function = self.live.instance.get_func(&mut self.live.store, name).unwrap();
        let kinds: Vec<ValType> = function.ty(&self.live.store).params().collect();
        let given: Option<Vec<Val>> = kinds.iter().map(|kind| number(random, kind)).collect();
        let given = given.expect("parameters are numbers");
        self.results.push(told(self.live.call(name, &given))?);
        self.calls.push((name.to_owned(), given));
        Some(())
    }

    /// Holds it to a replay.
    fn check(&mut self, plain: &Plain, seed: u64) -> Option<Vec<u8>> {
        let Replayed { results, memory, mut store, instance } = plain.replayed(&self.calls);
        let results: Option<Vec<String>> = results.into_iter().map(told).collect();
        assert_eq!(results?, self.results, "seed {seed}");
        assert!(memory == self.live.bytes(), "seed {seed}: memory");
        let ours = globals(&mut self.live.store, &self.live.instance);
        assert_eq!(globals(&mut store, &instance), ours, "seed {seed}: globals");
        Some(memory)
    }
}

/// The same capture after it was in a file.
fn through_a_file(capture: &Capture, pack: &Pack) -> Capture {
    let mut body = Vec::new();
    let globals = capture.saved_globals(pack.module()).unwrap();
    let keep = &mut |piece: &[u8]| {
        body.extend_from_slice(piece);
        Ok(())
    };
    capture.save(&pack.image, keep).unwrap();
    Capture::load(&pack.image, pack.module(), (capture.size() as u64, &globals, &body)).unwrap()
}

/// Lets branches of a module live that exports these functions, and holds each to a replay.
pub(super) fn lived(
    (pack, plain): (&Pack, &Plain),
    functions: &[String],
    random: &mut ChaCha20Rng,
    done: &mut Done,
    seed: u64,
) {
    let mut branches = vec![Branch::begun(pack), Branch::begun(pack)];
    let mut kept: Vec<(Capture, Vec<Call>, Vec<String>)> = Vec::new();
    for _ in 0..TURNS {
        let at = random.next_u32() as usize % branches.len();
        let branch = &mut branches[at];
        match random.next_u32() % 9 {
            0 | 1 => {
                let large = random.next_u32().is_multiple_of(3);
                let mut capture = branch.live.capture_and_perhaps_rebase(large);
                if !Arc::ptr_eq(capture.image(), &pack.image) {
                    branch.rewind = None;
                }
                let (calls, results) = (branch.calls.clone(), branch.results.clone());
                done.captures += 1;
                if random.next_u32().is_multiple_of(3) {
                    capture = through_a_file(&capture, pack);
                }
                if random.next_u32().is_multiple_of(2) {
                    branches.push(Branch::of(pack.fork(&capture), calls, results));
                } else {
                    kept.push((capture, calls, results));
                }
            }
            2 if !kept.is_empty() => {
                let (capture, calls, results) = kept.swap_remove(random.next_u32() as usize % kept.len());
                branches.push(Branch::of(pack.fork(&capture), calls, results));
            }
            3 => done.rewound += usize::from(branch.rewind()),
            _ => match branch.call(&functions[random.next_u32() as usize % functions.len()], random) {
                Some(()) => done.calls += 1,
                None => {
                    done.lost += 1;
                    branches[at] = Branch::begun(pack);
                }
            },
        }
    }
    for branch in &mut branches {
        match branch.check(plain, seed) {
            Some(memory) => done.written += usize::from(memory != pack.image.bytes()),
            None => done.lost += 1,
        }
    }
    // They end in any order; what begins meanwhile has their memory.
    while !branches.is_empty() {
        drop(branches.swap_remove(random.next_u32() as usize % branches.len()));
        let again = pack.start().unwrap();
        assert!(again.bytes() == pack.image.bytes(), "seed {seed}: a fresh one");
        assert!(Arc::ptr_eq(&again.shown.image().unwrap(), &pack.image));
    }
}
