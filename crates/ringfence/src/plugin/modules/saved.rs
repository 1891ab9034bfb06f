//! Snapshots of plugins as files, and back: nothing of one is looked at before all of it was proven.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use wasmtime::Module;

use super::captured::{Kept, Snapshot};
use crate::error::{Error, Parts, Result};
use crate::plugin::inside::Hooks;
use crate::plugin::{Imports, Look, Shared, Source};
use crate::policy::{Policy, wider};
use crate::prepared::Entry;
use crate::sandbox::extism::{Settings, Variables, read_variables, size_of_variables, written_variables};
use crate::sandbox::http::are_placeholders;
use crate::session::{SnapshotKey, bytes_of, damaged, doubtful, resolved, write};
use crate::snapshot::sealed::Proven;
use crate::snapshot::{Capture, Image, SavedGlobal};
use crate::text::quote;

/// What a file tells of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginFacts {
    /// The version of Ringfence that wrote it.
    pub ringfence: String,
    /// The engine that ran it: told, and not compared.
    pub engine: String,
    /// When it was saved, in seconds since 1970.
    pub saved: u64,
    /// What its plugin was called.
    pub plugin: String,
    /// SHA-256 of its program, in hexadecimal.
    pub program: String,
    /// The policy, as JSON.
    pub policy: String,
    /// How large its memory is, in bytes.
    pub memory_bytes: u64,
    /// BLAKE3 of what the memory of its program begins with.
    image: String,
    globals: Vec<SavedGlobal>,
    /// What its guest holds instead of secrets, in the order of its policy.
    placeholders: Vec<String>,
    /// Of a plugin for Extism: how many bytes of variables come before the pages of its memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    variables: Option<u64>,
}

/// A file that was proven, and has yet to become a snapshot.
pub struct SavedPlugin {
    shown: String,
    proven: Proven,
    facts: PluginFacts,
}

/// The module that instances are made of, and what the memory of each begins with.
fn program(shared: &Shared) -> Option<(&Module, &Arc<Image>)> {
    match &shared.prepared.entry {
        Entry::ModulePlugin(linked) => Some((linked.module(), shared.prepared.image()?)),
        _ => None,
    }
}

impl Snapshot {
    /// Writes it to a file: whole or not at all, for its owner alone.
    pub fn save(&self, path: &Path, key: &SnapshotKey) -> Result<()> {
        self.check_process()?;
        let Self { shared, kept, .. } = self;
        let not = |why: &str, fix: &str| {
            Error::plugin(format!("nothing is saved of this snapshot of the plugin `{}`", shared.name), why, fix)
        };
        let Some((module, image)) = program(shared) else {
            return Err(not("its memory is not lent to it", "please report this as a bug"));
        };
        let globals = kept.memory.saved_globals(module);
        let variables = shared.extism.as_ref().map(|_| written_variables(&kept.variables));
        let prepared = &shared.prepared;
        let facts = PluginFacts {
            ringfence: env!("CARGO_PKG_VERSION").into(),
            engine: prepared.build(),
            saved: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            plugin: shared.name.clone(),
            program: prepared.program_digest().unwrap_or_default().into(),
            policy: prepared.policy.to_json()?,
            memory_bytes: kept.memory.size() as u64,
            image: image.digest().to_hex().to_string(),
            globals: globals.map_err(|error| not(&error.to_string(), "please report this as a bug"))?,
            placeholders: placeholders(kept, &prepared.policy),
            variables: variables.as_ref().map(|bytes| bytes.len() as u64),
        };
        write(path, key, &facts, |each| {
            each(variables.as_deref().unwrap_or_default())?;
            kept.memory.save(image, each)
        })
    }
}

/// What stands for the secrets of a policy; of one that the guest knows nothing of, what nobody can hold.
fn placeholders(kept: &Kept, policy: &Policy) -> Vec<String> {
    let known = |secret| kept.secrets.iter().find(|(held, _)| held == secret);
    policy.secrets.iter().filter_map(|secret| known(secret).map(|(_, held)| (**held).to_owned())).collect()
}

impl SavedPlugin {
    /// Reads a file and proves it: nothing else of it is looked at before.
    pub fn read(path: &Path, key: &SnapshotKey) -> Result<Self> {
        let shown = quote(&path.to_string_lossy());
        let proven = Proven::of(bytes_of(path)?, key).map_err(|doubt| doubtful(&shown, &doubt))?;
        // Who holds the key wrote it: another version, or a session was saved there.
        let facts: PluginFacts = match serde_json::from_slice(proven.text()) {
            Ok(facts) => facts,
            Err(_) if is_of_a_session(proven.text()) => {
                return Err(Error::SnapshotMismatch(Parts::new(
                    format!("the snapshot `{shown}` is of no plugin"),
                    "it is of a session of a language",
                    "load it as such: `ringfence.Snapshot.load(path)`",
                )));
            }
            Err(error) => {
                let why = format!("its head is authentic and not understood: {}", quote(&error.to_string()));
                return Err(damaged(&shown, &why));
            }
        };
        // One that is another text would be put in the place of that text.
        if !are_placeholders(&facts.placeholders) {
            return Err(damaged(&shown, "a placeholder in it is none"));
        }
        Ok(Self { shown, proven, facts })
    }

    /// What it tells of itself.
    pub fn facts(&self) -> &PluginFacts {
        &self.facts
    }

    /// Refuses a program that is not the one that it was saved with.
    pub fn check_program(&self, digest: &str) -> Result<()> {
        if digest == self.facts.program {
            return Ok(());
        }
        let start = |digest: &str| quote(digest.get(..16).unwrap_or(digest));
        Err(self.mismatch(&format!(
            "it is memory of `{}` with the digest {}…, and what is given has {}…",
            quote(&self.facts.plugin),
            start(&self.facts.program),
            start(digest)
        )))
    }

    /// The variables in it, as many as a plugin that is granted this may have, and the pages of its memory.
    fn parts(&self, extism: Option<&Settings>) -> Result<(Variables, &[u8])> {
        let (settings, length) = match (extism, self.facts.variables) {
            (None, None) => return Ok((Variables::new(), self.proven.body())),
            (Some(settings), Some(length)) => (settings, length),
            (Some(_), None) => return Err(self.other("it is of no plugin for Extism", "ringfence.PluginSnapshot")),
            (None, Some(_)) => {
                return Err(self.other("it is of a plugin for Extism", "ringfence.extism.PluginSnapshot"));
            }
        };
        let parts = usize::try_from(length).ok().and_then(|length| self.proven.body().split_at_checked(length));
        let read = parts.and_then(|(variables, pages)| Some((read_variables(variables)?, pages)));
        let (variables, pages) = read.ok_or_else(|| damaged(&self.shown, "its variables are none"))?;
        let size = size_of_variables(&variables);
        if size > settings.var_bytes {
            return Err(Error::policy(
                format!("no snapshot from `{}`", self.shown),
                format!("its variables take {size} bytes, and it may have {}", settings.var_bytes),
                "raise `var_bytes`",
            ));
        }
        Ok((variables, pages))
    }

    fn other(&self, why: &str, class: &str) -> Error {
        Error::SnapshotMismatch(Parts::new(
            format!("the snapshot `{}` is of another kind of plugin", self.shown),
            why,
            format!("load it as such: `{class}.load(path, program)`"),
        ))
    }

    fn mismatch(&self, why: &str) -> Error {
        Error::SnapshotMismatch(Parts::new(
            format!("the snapshot `{}` cannot go on here", self.shown),
            why,
            "give the program that it was saved with, or make the state anew, and save it again",
        ))
    }
}

fn is_of_a_session(text: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(text).is_ok_and(|facts| facts.get("language").is_some())
}

impl Source {
    /// A snapshot of a file for forks of this source, whose policy may be wider than the one that it was saved under only
    /// where that is asked for.
    pub fn loading(
        self,
        saved: &SavedPlugin,
        imports: Option<Arc<dyn Imports>>,
        inline: bool,
        look: Look,
        allow_wider: bool,
    ) -> Result<Snapshot> {
        saved.check_program(self.recipe.program.as_ref().map_or("", |program| program.digest()))?;
        let SavedPlugin { shown, facts, .. } = saved;
        let theirs = Policy::from_json(&facts.policy, Path::new("/"))?;
        let policy = &self.recipe.policy;
        if !allow_wider {
            // Nobody holds the saved grants open: they are compared by where they lead now.
            let found = resolved(policy).wider_than(&resolved(&theirs));
            wider::refuse(format!("no snapshot from `{shown}` under that policy"), &found)?;
        }
        let limit = policy.limits.memory.0;
        if facts.memory_bytes > limit {
            return Err(Error::policy(
                format!("no snapshot from `{shown}`"),
                format!("its memory has {} bytes, and the limit `memory` is {limit}", facts.memory_bytes),
                "raise `memory` in the policy's limits",
            ));
        }
        let (variables, pages) = saved.parts(self.extism.as_ref())?;
        let shared = self.link(imports, inline, Hooks::of(look))?;
        let Some((module, image)) = program(&shared) else {
            return Err(saved.mismatch("its program cannot be captured in this version"));
        };
        if image.digest().to_hex().as_str() != facts.image {
            return Err(saved.mismatch("this version takes the memory of its program apart in another way"));
        }
        if theirs.secrets.len() != facts.placeholders.len() {
            return Err(damaged(shown, "it has other placeholders than secrets"));
        }
        let memory = Capture::load(image, module, (facts.memory_bytes, &facts.globals, pages));
        let memory = memory.map_err(|error| match error.raw_os_error() {
            Some(_) => Error::system(format!("no snapshot from `{shown}`"), &error, super::captured::NO_MEMORY),
            None => damaged(shown, &error.to_string()),
        })?;
        let held = facts.placeholders.iter().map(|placeholder| Arc::from(placeholder.as_str()));
        let kept = Kept { memory, secrets: theirs.secrets.into_iter().zip(held).collect(), variables };
        Ok(Snapshot::of(Arc::new(shared), kept))
    }
}

impl std::fmt::Debug for SavedPlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SavedPlugin").field("shown", &self.shown).finish_non_exhaustive()
    }
}
