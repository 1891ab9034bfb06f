//! What a guest is given to start with: its name, its arguments, its variables.

use crate::error::{Error, Result};
use crate::policy::Policy;

/// The program's own name as the guest sees it: no host path shows.
pub(crate) fn argv0(name: &str) -> String {
    let file = std::path::Path::new(name).file_name().map(|file| file.to_string_lossy().into_owned());
    file.unwrap_or_else(|| "program".into()).replace('\0', "")
}

pub(crate) fn arguments(argv0: &str, args: Vec<String>) -> Result<Vec<Vec<u8>>> {
    let all = std::iter::once(argv0.to_owned()).chain(args);
    all.map(|arg| {
        if arg.contains('\0') {
            return Err(Error::policy(
                "an argument cannot be handed to the guest",
                "it contains a NUL character, which ends arguments",
                "take the NUL out, or hand the data over as input",
            ));
        }
        let mut bytes = arg.into_bytes();
        bytes.push(0);
        Ok(bytes)
    })
    .collect()
}

pub(crate) fn environment(policy: &Policy) -> Vec<Vec<u8>> {
    let inherited = policy.inherit_env.iter().filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)));
    let mut all: Vec<(String, String)> =
        policy.env.iter().map(|(name, value)| (name.clone(), value.clone())).chain(inherited).collect();
    all.sort();
    all.into_iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}
