//! What a worker is bound to for life: one policy with its open grants, one tenant, one height of wall.

use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use rustix::fs::fstat;

use super::Isolation;
use super::frame::MAX_DESCRIPTORS;
use super::protocol::{Bind, Grant};
use crate::error::{Error, Result};
use crate::policy::{HttpGrant, Policy};
use crate::sandbox::engine;
use crate::sandbox::files::{Grants, Home, Space};
use crate::sandbox::http::{self, Places};
use crate::sandbox::journal::Journal;
use crate::text;

/// Longest name of a tenant, in bytes.
const MAX_TENANT_BYTES: usize = 1024;

/// Descriptors that are no grants: the home, and the journal.
const OWN_DESCRIPTORS: usize = 2;

/// Workers are shared by runs whose bindings are equal, and by no others.
pub(crate) struct Binding {
    pub(super) policy: Policy,
    pub(super) grants: Arc<Grants>,
    pub(super) isolation: Isolation,
    key: Key,
}

#[derive(Clone, PartialEq, Eq)]
struct Key {
    /// The whole policy, names of variables and host paths included.
    policy: String,
    tenant: Option<String>,
    isolation: Isolation,
    /// Whether it runs language packs, and nothing else: its engine is made before the wall goes up.
    language: bool,
    /// Whether its programs are made to be captured, and nothing else.
    captured: bool,
    /// Device and inode of each grant: one path may by now lead elsewhere than when another policy was made. What
    /// is held open has its inode to itself.
    inodes: Vec<(u64, u64)>,
    /// Where certificate authorities are, if any are needed: what a worker has read stays.
    authorities: Option<Places>,
}

impl PartialEq for Binding {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Binding {
    pub(super) fn new(
        policy: Policy,
        grants: Arc<Grants>,
        isolation: Isolation,
        tenant: Option<String>,
        language: bool,
    ) -> Result<Self> {
        if let Some(tenant) = &tenant
            && (tenant.is_empty() || tenant.len() > MAX_TENANT_BYTES)
        {
            return Err(Error::policy(
                format!("`{}` is not a tenant", text::quote(tenant)),
                format!("a tenant is a text of 1 to {MAX_TENANT_BYTES} bytes"),
                "give a short name, such as a customer's number",
            ));
        }
        let mut inodes = Vec::new();
        for (.., handle) in grants.handed() {
            let stat = fstat(handle)
                .map_err(|error| Error::system("a granted directory is gone", &error.into(), "make the policy anew"))?;
            inodes.push((stat.st_dev, stat.st_ino));
        }
        if inodes.len() + OWN_DESCRIPTORS > MAX_DESCRIPTORS {
            return Err(Error::policy(
                format!("{} grants are too many for a worker", inodes.len()),
                format!("a worker takes at most {} directories and files", MAX_DESCRIPTORS - OWN_DESCRIPTORS),
                "grant the directory that they are in",
            ));
        }
        let speaks_tls = policy.net.http.iter().any(HttpGrant::is_https);
        let authorities = speaks_tls.then(http::places);
        let captured = false;
        let key = Key { policy: policy.to_json()?, tenant, isolation, language, captured, inodes, authorities };
        Ok(Self { policy, grants, isolation, key })
    }

    /// The same for programs that are made to be captured.
    pub(super) fn capturing(&self) -> Self {
        let (policy, grants) = (self.policy.clone(), self.grants.clone());
        Self { policy, grants, isolation: self.isolation, key: Key { captured: true, ..self.key.clone() } }
    }

    /// Whether the other one is of the same tenant and has a wall of the same height, whatever its policy.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        (&self.key.tenant, self.key.isolation) == (&other.key.tenant, other.key.isolation)
    }

    /// A place for the private `/tmp`s and layers of a worker that is bound so.
    pub(super) fn home(&self) -> Result<Option<Home>> {
        self.has_home().then(Home::new).transpose()
    }

    fn has_home(&self) -> bool {
        self.policy.tmp || self.grants.has_layers()
    }

    /// What one run needs of that place.
    pub(super) fn space(&self, home: Option<&Home>) -> Result<Space> {
        let space = home.map(|home| home.space(self.policy.tmp, self.grants.has_layers())).transpose()?;
        Ok(space.unwrap_or_default())
    }

    /// A place for what runs of a worker that is bound so have written.
    pub(super) fn journal(&self) -> Result<Journal> {
        Journal::new(self.policy.limits.output.0)
            .map_err(|error| Error::system("no room for a worker's output", &error.into(), "free some memory"))
    }

    /// What to tell the worker, and what to hand over with it.
    pub(super) fn to_bind(&self, journal: u64) -> Result<(Bind, Vec<BorrowedFd<'_>>)> {
        let mut policy = self.policy.clone();
        // It has handles for the directories, and the values come with each program: nothing more of the host.
        policy.dirs.clear();
        policy.env.clear();
        policy.inherit_env.clear();
        let grants = self.grants.handed().map(|(at, mode, tree, _)| Grant { at: at.to_owned(), mode, tree }).collect();
        let bind = Bind {
            policy: policy.to_json()?,
            grants,
            home: self.has_home(),
            has_kernel_tree_below: self.grants.has_kernel_tree_below(),
            wall: self.isolation == Isolation::Worker,
            language: self.key.language,
            captured: self.key.captured,
            authorities: self.key.authorities.clone().map(|places| places.map(|place| place.map(OsString::into_vec))),
            pooled: engine::is_pooling(),
            journal,
        };
        Ok((bind, self.grants.handed().map(|(.., handle)| handle).collect()))
    }
}
