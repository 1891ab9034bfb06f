//! Where the guest sees a grant: a path in one normal form, so that equal places are equal text.

use std::path::{Component, Path};

use super::check::Problem;
use super::files::Dir;
use super::place::Place;
use crate::error::{Parts, Result};
use crate::text::quote;

/// Longest guest path and longest name in it, in bytes: what Linux takes (`PATH_MAX`, `NAME_MAX`).
const MAX_PATH: usize = 4095;
const MAX_NAME: usize = 255;

impl Dir {
    /// Where the guest sees this grant, in normal form: absolute, no `.`, no `/` at the end.
    ///
    /// Without `at` it is the host path as it was written, made absolute at `/`:
    /// `data` is `/data`, `./a/b` is `/a/b`, `.` is `/`.
    /// Fails for what no guest path can be, and for a host path with `..` and no `at`.
    pub fn guest_path(&self) -> Result<String> {
        self.placed(&Place::top()).map_err(Problem::unplaced)
    }

    /// The guest path of the grant that stands at `place`.
    pub(super) fn placed(&self, place: &Place) -> Result<String, Problem> {
        match &self.at {
            Some(at) => normal(at).map_err(|parts| Problem::at(place.clone().key("at"), parts)),
            None => match &self.host {
                Some(host) => from_host(host).map_err(|parts| Problem::at(place.clone().key("host"), parts)),
                None => {
                    let why = "what is in memory has no host path to be named after";
                    let fix = "say where the guest sees it: add `at = \"/scratch\"`";
                    Err(Problem::at(place.clone(), Parts::new("`at` is missing", why, fix)))
                }
            },
        }
    }
}

fn normal(at: &str) -> Result<String, Parts> {
    let shown = quote(at);
    let refused = |why: &str, fix: String| Err(Parts::new(format!("`at = \"{shown}\"` is not a guest path"), why, fix));
    if at.is_empty() {
        return refused(
            "it is empty",
            "write where the guest sees the grant, such as `at = \"/data\"`, or leave `at` out".into(),
        );
    }
    if at.chars().any(char::is_control) {
        return refused("it has a control character", "take the character out".into());
    }
    let Some(below) = at.strip_prefix('/') else {
        let fix = format!("write `at = \"/{}\"`", quote(at.trim_start_matches("./")));
        return refused("it is not absolute, and a guest has no working directory to start from", fix);
    };
    if at.len() > MAX_PATH || below.split('/').any(|name| name.len() > MAX_NAME) {
        return refused(
            "it is longer than 4095 bytes, or a name in it is longer than 255",
            "write a shorter one".into(),
        );
    }
    let below = below.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(below);
    let mut path = String::with_capacity(at.len());
    for name in below.split('/') {
        match name {
            ".." => return refused("`..` could lead out of the grant", "write the path it comes to".into()),
            "" if !below.is_empty() => return refused("a name in it is empty", "write one `/` between names".into()),
            "" | "." => {}
            _ => {
                path.push('/');
                path.push_str(name);
            }
        }
    }
    if path.is_empty() {
        path.push('/');
    }
    Ok(path)
}

fn from_host(host: &Path) -> Result<String, Parts> {
    let shown = quote(&host.to_string_lossy());
    let refused = |why: &str| {
        let fix = "say where the guest sees it: add `at = \"/data\"`";
        Err(Parts::new(format!("the host path `{shown}` does not make a guest path"), why, fix))
    };
    let mut path = String::new();
    for component in host.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => {
                let Some(name) = name.to_str() else { return refused("it is not UTF-8, and a guest path is") };
                path.push('/');
                path.push_str(name);
            }
            Component::ParentDir => return refused("it has `..`, which leads nowhere below `/`"),
            Component::Prefix(_) => return refused("it has a drive, and a guest path has none"),
        }
    }
    if path.is_empty() {
        path.push('/');
    }
    normal(&path).or_else(|parts| refused(&parts.why))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn guest_path(host: &str, at: Option<&str>) -> Result<String> {
        Dir { host: Some(host.into()), at: at.map(Into::into), ..Dir::default() }.guest_path()
    }

    #[test]
    fn a_host_path_is_seen_as_it_was_written() {
        for (host, expected) in [
            ("data", "/data"),
            ("./a/b", "/a/b"),
            (".", "/"),
            ("./", "/"),
            ("/", "/"),
            ("/srv/data/", "/srv/data"),
            ("a//b/./c", "/a/b/c"),
        ] {
            assert_eq!(Ok(expected.to_owned()), guest_path(host, None), "{host}");
        }
    }

    #[test]
    fn a_host_path_that_climbs_needs_its_guest_path_said() {
        for host in ["../x", "a/../b", "/srv/../etc"] {
            let error = guest_path(host, None).unwrap_err();
            assert!(error.parts().fix.contains("`at = "), "{error}");
            assert_eq!(Ok("/x".to_owned()), guest_path(host, Some("/x")));
        }
    }

    #[test]
    fn one_place_has_one_text() {
        for (at, expected) in [("/", "/"), ("/.", "/"), ("/data/", "/data"), ("/./data/.", "/data"), ("/a/b", "/a/b")] {
            assert_eq!(Ok(expected.to_owned()), guest_path("x", Some(at)), "{at}");
        }
    }

    #[test]
    fn what_is_no_guest_path_is_refused_and_shown_escaped() {
        let long = format!("/{}", "x".repeat(256));
        for at in ["", "data", "./data", "/a/../b", "/..", "//", "/a//b", "//a", "/a\0b", "/a\x1bb", &long] {
            let error = guest_path("x", Some(at)).unwrap_err();
            assert!(error.parts().what.starts_with("`at`: "), "{error}");
            assert!(!error.to_string().contains('\x1b'), "{error}");
        }
        assert_eq!("write `at = \"/data\"`", guest_path("x", Some("./data")).unwrap_err().parts().fix);
    }

    #[test]
    #[cfg(unix)]
    fn a_host_path_of_any_bytes_can_be_granted_with_its_guest_path_said() {
        use std::os::unix::ffi::OsStrExt;
        let host = Path::new(std::ffi::OsStr::from_bytes(b"a\xff")).to_path_buf();
        let dir = Dir { host: Some(host), ..Dir::default() };
        assert!(dir.guest_path().unwrap_err().parts().why.contains("UTF-8"));
        assert_eq!(Ok("/a".to_owned()), Dir { at: Some("/a".into()), ..dir }.guest_path());
    }
}
