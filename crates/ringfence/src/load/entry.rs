//! What an entry of the cache is called: everything that decides what compiled code looks like.

use std::hash::{Hash, Hasher};
use std::sync::Mutex;

use wasmtime::Engine;

use crate::load::Program;
use crate::load::program::hex;
use crate::process_unsafe::PerProcess;
use crate::sandbox::engine::Profile;

/// A fingerprint of the compiler with its settings: wasmtime's whole version, the processor, every tunable.
///
/// wasmtime itself only compares its major version, so that code from before a security fix would still load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Build([u8; 16]);

impl Build {
    /// The fingerprint of an engine of this profile, taken once per process.
    pub(crate) fn of(profile: Profile, engine: &Engine) -> Self {
        static KNOWN: PerProcess<Mutex<Vec<(Profile, Build)>>> = PerProcess::new();
        let mut known = KNOWN.get().lock().unwrap_or_else(|broken| broken.into_inner());
        if let Some((_, build)) = known.iter().find(|(of, _)| *of == profile) {
            return *build;
        }
        let mut hasher = Blake3(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.0.update(env!("CARGO_PKG_VERSION").as_bytes());
        hasher.0.update(FORM);
        if !profile.is_instrumented() {
            hasher.0.update(FORM_OF_COMPONENTS);
        }
        let mut fingerprint = [0; 16];
        hasher.0.finalize_xof().fill(&mut fingerprint);
        known.push((profile, Self(fingerprint)));
        Self(fingerprint)
    }

    /// The fingerprint in lower-case hexadecimal.
    pub(crate) fn to_hex(self) -> String {
        hex(&self.0)
    }
}

/// The form of compiled files. Change it with what is done to a program before wasmtime compiles it, and with what is
/// written beside its code: a build that knows another form would run something else.
const FORM: &[u8] =
    b"5: memory beside the code of what can be captured, with a maximum, without objects of the collector or segments";

/// The same of what else a program may be than that of a language.
const FORM_OF_COMPONENTS: &[u8] = b"1: names of types behind the code of components";

/// The name of the entry of a program, compiled by this build under this profile.
pub(super) fn entry_name(program: &Program, profile: Profile, build: Build) -> String {
    format!("{}-{}-{}", program.digest(), profile.name(), build.to_hex())
}

/// BLAKE3 as the standard library's hasher, for the 64 bits of an ordinary one are too few to tell builds apart.
struct Blake3(blake3::Hasher);

impl Hasher for Blake3 {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut bytes = [0; 8];
        self.0.finalize_xof().fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}
