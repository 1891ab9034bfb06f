//! What lasts of an installation: the folder of its state, and the secret in it.
//!
//! Not in the cache, which people empty: what was authenticated with a key is worth as much as the key.

use std::path::PathBuf;

use super::cache_dir::{Secret, Unusable, open_ours, secret};
use crate::error::{Error, Result};

/// Where state is kept: `$XDG_STATE_HOME/ringfence` or `~/.local/state/ringfence`.
pub fn state_path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state"))).map(|base| base.join("ringfence"))
}

/// The secret of this user's installation, made on first use as that of a cache is.
pub(crate) fn installation_secret() -> Result<Secret> {
    let none = |why: String| {
        Error::host(
            "no key of this installation",
            why,
            "give one: `key=` with 32 bytes or more that you keep, such as `secrets.token_bytes(32)`",
        )
    };
    let path = state_path().ok_or_else(|| none("neither XDG_STATE_HOME nor HOME is set".into()))?;
    let opened = open_ours(&path, "folder", "it holds the key of saved snapshots", "or set XDG_STATE_HOME");
    let (fd, _) = opened.map_err(|unusable| match unusable {
        Unusable::Unsafe(error) => error,
        Unusable::Missing(why) => none(format!("`{}`: {why}", crate::text::quote(&path.to_string_lossy()))),
    })?;
    secret(&fd).map_err(|error| none(error.to_string()))
}
