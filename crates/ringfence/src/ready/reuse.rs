//! Sandboxes whose instances wait: those that are used again for one tenant, and those that have spares.

use std::sync::Arc;

use super::shelf::{Shelf, Starts};
use crate::after::Begin;
use crate::error::{Error, Result};
use crate::host::HostFunctions;
use crate::load::{self, Kind, Program};
use crate::policy::Policy;
use crate::prepared::{Recipe, profile};
use crate::run::Sandbox;
use crate::sandbox::engine::Profile;
use crate::sandbox::files::Grants;
use crate::text::quote;
use crate::worker::Isolation;

/// Longest name of a tenant, in bytes.
const MAX_TENANT_BYTES: usize = 1024;

/// As many spares are too many.
const MOST_SPARES: usize = 65;

/// Whose stores the runs of a sandbox have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// A new one each.
    #[default]
    Fresh,
    /// That of an earlier run of the same tenant, rewound.
    Tenant,
}

impl Reuse {
    /// Reads its name.
    pub fn read(text: &str) -> Result<Self> {
        match text {
            "fresh" => Ok(Self::Fresh),
            "tenant" => Ok(Self::Tenant),
            _ => Err(Error::policy(
                format!("unknown reuse `{}`", quote(text)),
                "it is \"fresh\" or \"tenant\"",
                "give one of them, or leave it out: \"fresh\"",
            )),
        }
    }
}

/// Where the guests of a sandbox are, whose they are, and what they share.
#[derive(Default)]
pub struct Placing {
    /// What keeps them apart.
    pub isolation: Isolation,
    /// Whose they are.
    pub tenant: Option<String>,
    /// Whether their stores are used again.
    pub reuse: Reuse,
    /// How many instances are made ahead of need, each for one run.
    pub spares: usize,
}

impl Sandbox {
    /// A sandbox whose guests are placed so; what contradicts itself is refused.
    pub fn placed(
        program: &Program,
        policy: Policy,
        grants: Arc<Grants>,
        functions: HostFunctions,
        watch: Option<load::Watch<'_>>,
        placing: Placing,
    ) -> Result<Self> {
        let Placing { isolation, tenant, reuse, spares } = placing;
        let not = |why: &str, fix: &str| Err(Error::policy("no store can be used again", why, fix));
        let no_spares = |why: String, fix: &str| Err(Error::policy("no instances can be made ahead", why, fix));
        match (spares, reuse, isolation) {
            (0, _, _) => {}
            (MOST_SPARES.., _, _) => {
                return no_spares(
                    format!("{spares} are too many: each is memory, and one thread makes them"),
                    &format!("give `spares` below {MOST_SPARES}"),
                );
            }
            (_, Reuse::Tenant, _) => {
                return no_spares("each is used once, and `reuse` uses them again".into(), "leave one of them out");
            }
            (_, _, Isolation::Wasm) => {
                return Self::standing(program, policy, grants, functions, watch, Shelf::of(spares));
            }
            (_, _, _) => {
                return no_spares(
                    "its runs are in processes of their own, which are started ahead anyway".into(),
                    "leave `spares` out, or `isolation`",
                );
            }
        }
        match (reuse, isolation, &tenant) {
            (Reuse::Fresh, _, _) => Self::isolated(program, policy, grants, functions, watch, isolation, tenant),
            (Reuse::Tenant, _, None) => not(
                "nobody says whose runs may follow each other in it",
                "name the one they are of: `tenant=\"alice\"`, in a sandbox for each",
            ),
            (Reuse::Tenant, Isolation::Wasm, Some(tenant)) if !(1..=MAX_TENANT_BYTES).contains(&tenant.len()) => not(
                &format!("the tenant has {} bytes, not between 1 and {MAX_TENANT_BYTES}", tenant.len()),
                "name whose runs these are: `tenant=\"alice\"`",
            ),
            (Reuse::Tenant, Isolation::Wasm, Some(_)) => {
                Self::standing(program, policy, grants, functions, watch, Shelf::rewinding())
            }
            (Reuse::Tenant, _, Some(_)) => not(
                "its runs are in processes of their own, where each has a new one",
                "leave `reuse` out, or `isolation`",
            ),
        }
    }

    /// One whose instances wait: rewound where they returned, or made ahead. Where none waits, a run has a new store.
    fn standing(
        program: &Program,
        policy: Policy,
        grants: Arc<Grants>,
        functions: HostFunctions,
        watch: Option<load::Watch<'_>>,
        shelf: Shelf,
    ) -> Result<Self> {
        let (what, knob) = match shelf.rewinds() {
            true => ("no store of", "reuse"),
            false => ("no spares of", "spares"),
        };
        let not = |why: &str, fix: &str| {
            let what = format!("{what} `{}` can wait for its next run", quote(program.name()));
            Err(Error::load(what, why, format!("leave `{knob}` out{fix}")))
        };
        if program.kind() == Kind::Component {
            return not("it is a component: what its instances are is in more than one memory", "");
        }
        if shelf.rewinds() && !functions.functions.is_empty() {
            return not(
                "it is given functions, and one of them may be left behind in the middle of a call",
                ", or `imports`",
            );
        }
        let language = program.is_language();
        let recipe = Recipe { program: Some(program.clone()), policy, grants, functions };
        let usual = profile(&recipe.policy, language);
        let form = if language { usual } else { Profile { captured: true, concurrency: false, ..usual } };
        let (prepared, from_cache) = recipe.prepare_as(form, watch)?;
        if prepared.image().is_none() {
            return not(
                "its memory is not lent to it: its pack changes its tables, or the like",
                ", or give a pack of this version: `ringfence languages` lists them",
            );
        }
        let shelf = Arc::new(shelf);
        shelf.order(&prepared, &Begin::default());
        Ok(Self::of(recipe, prepared, from_cache).with_shelf(shelf))
    }

    /// How its runs began, where its instances wait.
    pub fn starts(&self) -> Option<Starts> {
        self.shelf().map(|shelf| shelf.starts())
    }
}
