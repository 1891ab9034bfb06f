//! Sandboxes whose guests run in workers, and the same sandboxes in there.

use std::fs::File;
use std::sync::Arc;

use super::{Client, Isolation};
use crate::error::Result;
use crate::given::environment;
use crate::host::HostFunctions;
use crate::load::{self, Kind, Program};
use crate::policy::Policy;
use crate::prepared::{Recipe, profile};
use crate::run::Sandbox;
use crate::sandbox::engine::{Engines, Profile};
use crate::sandbox::files::Grants;

impl Sandbox {
    /// The same as [`Sandbox::with_functions`], to run in workers of that isolation, which serve one policy and tenant
    /// only. The functions stay in this process: a worker knows their names, and asks for each call.
    ///
    /// Everything that can be refused is refused here: compiled and linked in this process, run in another.
    pub fn isolated(
        program: &Program,
        policy: Policy,
        grants: Arc<Grants>,
        functions: HostFunctions,
        watch: Option<load::Watch<'_>>,
        isolation: Isolation,
        tenant: Option<String>,
    ) -> Result<Self> {
        let Some(place) = Client::place(&policy, &grants, isolation, tenant, program.is_language())? else {
            return Self::with_functions(program, policy, grants, functions, watch);
        };
        let engines = Engines::of(profile(&policy, program.is_language()))?;
        let (loaded, image) = load::load_for_worker(program, &engines, policy.limits.compile.0, watch)?;
        let from_cache = loaded.from_cache;
        let env = environment(&policy);
        let recipe = Recipe { program: Some(program.clone()), policy, grants, functions };
        let prepared = recipe.link(loaded, engines, program.name(), env)?;
        let worker = Client::new(place, program, image, &prepared);
        Ok(Self::of(recipe, prepared, from_cache).in_worker(worker))
    }

    /// In a worker: a program from code that the parent process proved.
    pub(super) fn from_image(
        kind: Kind,
        profile: Profile,
        file: File,
        recipe: Recipe,
        name: &str,
        env: Vec<Vec<u8>>,
    ) -> Result<Self> {
        let engines = Engines::of(profile)?;
        let (code, engine) = load::map_image(kind, &engines, file)?;
        let loaded = load::Loaded { code: Arc::new(code), engine, from_cache: true };
        let prepared = recipe.link(loaded, engines, name, env)?;
        Ok(Self::of(recipe, prepared, true))
    }
}
