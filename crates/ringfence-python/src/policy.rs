//! Policies: text in, a validated and opened policy out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::prelude::*;
use ringfence::load::{cache_path, state_path};
use ringfence::policy::Document;
use ringfence::sandbox::files::{Grants, Trees};

use crate::enter::enter;
use crate::tree::Tree;

/// A validated policy, its directories open.
#[pyclass(frozen, module = "ringfence._core")]
pub struct Policy {
    pub policy: ringfence::Policy,
    pub grants: Arc<Grants>,
    trees: Trees,
}

/// What no guest may see.
fn private() -> Vec<PathBuf> {
    cache_path().into_iter().chain(state_path()).collect()
}

/// What the grants in memory begin with: handed in, or unpacked within the policy's limits.
fn trees(
    py: Python<'_>,
    policy: &ringfence::Policy,
    given: Vec<PyRef<'_, Tree>>,
    unpack: Option<Bound<'_, PyAny>>,
) -> PyResult<Trees> {
    let given: Vec<_> = given.iter().map(|tree| tree.0.clone()).collect();
    let mut trees = enter(py, || {
        let mut trees = Trees::new();
        for (index, digest) in
            policy.dirs.iter().enumerate().filter_map(|(index, dir)| Some((index, dir.tree.as_ref()?)))
        {
            for tree in &given {
                if tree.digest()? == digest {
                    trees.insert(index, tree.clone());
                }
            }
        }
        Ok(trees)
    })?;
    for (index, dir) in policy.dirs.iter().enumerate() {
        if let (Some(zip), Some(unpack)) = (&dir.zip, &unpack) {
            let tree = unpack.call1((zip, policy.limits.disk.0, policy.limits.files))?;
            trees.insert(index, tree.cast::<Tree>()?.get().0.clone());
        }
    }
    Ok(trees)
}

#[pymethods]
impl Policy {
    #[new]
    #[pyo3(signature = (document, base, trees=Vec::new(), unpack=None))]
    fn new(
        py: Python<'_>,
        document: &str,
        base: &str,
        trees: Vec<PyRef<'_, Tree>>,
        unpack: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let policy = enter(py, || ringfence::Policy::from_json(document, Path::new(base)))?;
        let trees = self::trees(py, &policy, trees, unpack)?;
        enter(py, || {
            let grants = Grants::open_with(&policy, &trees, &private())?;
            Ok(Self { policy, grants, trees })
        })
    }

    #[staticmethod]
    #[pyo3(signature = (text, file, unpack=None))]
    fn from_toml(py: Python<'_>, text: &str, file: &str, unpack: Option<Bound<'_, PyAny>>) -> PyResult<Self> {
        let document = enter(py, || Document::from_toml(text, file))?;
        let trees = self::trees(py, &document.policy, Vec::new(), unpack)?;
        enter(py, || {
            let grants = Grants::open_document(&document, &trees, &private())?;
            Ok(Self { policy: document.policy, grants, trees })
        })
    }

    /// The trees that were handed in, each with its digest.
    fn trees(&self) -> Vec<(String, Tree)> {
        let digest = |(index, tree): (&usize, &Arc<_>)| {
            Some((self.policy.dirs.get(*index)?.tree.clone()?, Tree(Arc::clone(tree))))
        };
        self.trees.iter().filter_map(digest).collect()
    }

    /// What it grants that another one does not.
    fn wider_than(&self, py: Python<'_>, other: &Self) -> Vec<String> {
        py.detach(|| self.grants.wider_than(&self.policy, &other.grants, &other.policy))
    }

    fn document(&self, py: Python<'_>) -> PyResult<String> {
        enter(py, || self.policy.to_json())
    }

    fn to_toml(&self, py: Python<'_>) -> PyResult<String> {
        enter(py, || self.policy.to_toml())
    }
}

/// The JSON schema of a policy.
#[pyfunction]
pub fn policy_schema() -> String {
    ringfence::Policy::schema()
}
