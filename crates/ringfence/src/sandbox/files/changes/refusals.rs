//! Why changes are not applied.

use std::os::unix::ffi::OsStrExt;

use super::Change;
use super::compare::After;
use crate::error::{Error, Result};
use crate::sandbox::errno::Errno;
use crate::text;

/// Conflicts named in one message.
const MAX_NAMED: usize = 5;

/// Refuses a link that would lead out of the granted directory once it is on the host.
///
/// Only `..` at its start are counted: further on they are taken from wherever another link led to.
pub(super) fn refuse_leading_out(change: &Change) -> Result<()> {
    let Some(After::Link(target)) = &change.after else { return Ok(()) };
    let depth = change.place.split('/').count() - 1;
    let names = || target.as_bytes().split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    let up = names().take_while(|name| *name == b"..").count();
    let later = names().skip(up).any(|name| name == b"..");
    if !target.as_bytes().starts_with(b"/") && up <= depth && !later {
        return Ok(());
    }
    Err(Error::policy(
        format!("the link `{}` is not put on the host", text::quote(&change.path)),
        format!("it names `{}`, which may lead out of the directory", text::quote(&target.to_string_lossy())),
        "leave it out: name what to apply with `only`",
    ))
}

pub(super) fn conflict(changes: &[&Change]) -> Error {
    let named: Vec<String> =
        changes.iter().take(MAX_NAMED).map(|change| format!("`{}`", text::quote(&change.path))).collect();
    let more =
        if changes.len() > MAX_NAMED { format!(" and {} more", changes.len() - MAX_NAMED) } else { String::new() };
    Error::conflict(
        format!("the host was changed since the guest saw it: {}{more}", named.join(", ")),
        "applying would undo what somebody else did there",
        "look at both, then run again, or apply over it with `overwrite=True`",
    )
}

pub(super) fn failed(change: &Change, errno: Errno) -> Error {
    Error::host(
        format!("cannot apply `{}`", text::quote(&change.path)),
        format!("the host answered {errno:?}").to_lowercase(),
        "make the granted directory writable for this user; what was applied before it stays, and applying goes on",
    )
}
