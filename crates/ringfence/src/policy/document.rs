//! A policy as a document: TOML or JSON text, whose errors name where they are in it.

use std::path::Path;

use serde::Deserialize;
use toml::de::DeTable;

use super::Policy;
use super::explain::{Form, explain, repeated};
use super::limits::LimitsPatch;
use super::place::Place;
use super::read::read;
use super::tree::Node;
use crate::error::{Error, Parts, Result};
use crate::text::{cut, quote};

/// Longest policy that is read, in bytes: a thousand times a long one.
pub const MAX_TEXT: usize = 1 << 20;

/// A policy that was read from text, and where each part of it stands there.
#[derive(Debug)]
pub struct Document {
    /// The policy: it makes sense by itself, its host paths are absolute, every grant has its guest path.
    pub policy: Policy,
    source: Source,
}

/// Text that was read, and how to name a place in it.
#[derive(Debug)]
struct Source {
    tree: Node,
    naming: Naming,
}

#[derive(Debug)]
enum Naming {
    /// `file:line`
    Lines { file: String, ends: Vec<usize> },
    /// The way down, from the place of the tree in a policy.
    Way { top: Place },
}

impl Document {
    /// Reads TOML. `file` is what errors name; relative host paths are taken from the directory it is in.
    pub fn from_toml(text: &str, file: &str) -> Result<Self> {
        let source = Source::from_toml(text, file)?;
        let base = Path::new(file).parent().unwrap_or(Path::new(""));
        Self::from_source(source, base)
    }

    /// Reads JSON, with the keys of the TOML. Relative host paths are taken from `base`.
    pub fn from_json(text: &str, base: &Path) -> Result<Self> {
        Self::from_source(Source::from_json(text, Place::top())?, base)
    }

    fn from_source(source: Source, base: &Path) -> Result<Self> {
        let mut policy: Policy = source.read()?;
        policy.examine().map_err(|problem| {
            let place = source.name(problem.place());
            problem.beginning(place)
        })?;
        for dir in &mut policy.dirs {
            // Before the host path becomes absolute: `data` is seen at `/data`.
            dir.at = Some(dir.guest_path()?);
            for path in [&mut dir.host, &mut dir.zip].into_iter().flatten() {
                *path = std::path::absolute(base.join(&path)).map_err(|error| {
                    Error::host(
                        format!("the host path `{}` cannot be made absolute", quote(&path.to_string_lossy())),
                        error.to_string(),
                        "run from a directory that exists, or write the host path from `/`",
                    )
                })?;
            }
        }
        Ok(Self { policy, source })
    }

    /// A policy error about what stands at `place`, naming file and line where there is a file.
    ///
    /// For what only the host can tell: that a directory is not there, or is granted twice.
    pub fn refuse(&self, place: &Place, what: &str, why: impl Into<String>, fix: impl Into<String>) -> Error {
        Error::policy(format!("{}: {what}", self.source.name(place)), why, fix)
    }
}

impl Policy {
    /// A policy from TOML text; see [`Document::from_toml`].
    pub fn from_toml(text: &str, file: &str) -> Result<Self> {
        Document::from_toml(text, file).map(|document| document.policy)
    }

    /// A policy from JSON text; see [`Document::from_json`].
    pub fn from_json(text: &str, base: &Path) -> Result<Self> {
        Document::from_json(text, base).map(|document| document.policy)
    }
}

impl LimitsPatch {
    /// Limits for one call, from a JSON object with some of the keys of `limits`.
    pub fn from_json(text: &str) -> Result<Self> {
        Source::from_json(text, Place::top().key("limits"))?.read()
    }
}

impl Source {
    fn from_toml(text: &str, file: &str) -> Result<Self> {
        let file = cut(file, 1024);
        bounded(text, &file)?;
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        let naming = Naming::Lines { file, ends };
        let parsed = DeTable::parse(text).map_err(|error| {
            let key = error.span().and_then(|span| text.get(span));
            let parts = match (error.message(), key) {
                ("duplicate key", Some(key)) => repeated(&cut(key, 64)),
                (message, _) => {
                    Parts::new("this is not TOML", cut(message, 400), "mend it: a line is like `tmp = true`")
                }
            };
            naming.error(&Place::top(), error.span().map(|span| span.start), parts)
        })?;
        let tree = Node::from_toml(&parsed).map_err(|unreadable| {
            let parts = Parts::new("this value cannot be read", unreadable.why, "write a smaller or flatter one");
            naming.error(&Place::top(), Some(unreadable.offset), parts)
        })?;
        Ok(Self { tree, naming })
    }

    fn from_json(text: &str, top: Place) -> Result<Self> {
        let naming = Naming::Way { top };
        bounded(text, &naming.name(&Place::top(), None))?;
        let tree = serde_json::from_str(text).map_err(|error| {
            let parts =
                Parts::new("this is not JSON", cut(&error.to_string(), 400), "mend it: it is like `{\"tmp\": true}`");
            naming.error(&Place::top(), None, parts)
        })?;
        Ok(Self { tree, naming })
    }

    fn read<'de, T: Deserialize<'de>>(&'de self) -> Result<T> {
        read(&self.tree).map_err(|fault| {
            let (top, form) = match &self.naming {
                Naming::Lines { .. } => (Place::top(), Form::Toml),
                Naming::Way { top } => (top.clone(), Form::Json),
            };
            self.naming.error(&fault.place(), fault.offset, explain(&fault, &self.tree, &top, form))
        })
    }

    fn name(&self, place: &Place) -> String {
        self.naming.name(place, self.tree.offset_of(place))
    }
}

impl Naming {
    fn name(&self, place: &Place, offset: Option<usize>) -> String {
        match self {
            Self::Lines { file, ends } => match offset {
                Some(offset) => format!("{file}:{}", ends.partition_point(|end| *end < offset) + 1),
                None => file.clone(),
            },
            Self::Way { top } => match place.below(top) {
                place if place.is_top() => "policy".into(),
                place => format!("`{place}`"),
            },
        }
    }

    fn error(&self, place: &Place, offset: Option<usize>, parts: Parts) -> Error {
        let Parts { what, why, fix } = parts;
        Error::policy(format!("{}: {what}", self.name(place, offset)), why, fix)
    }
}

fn bounded(text: &str, name: &str) -> Result<()> {
    if text.len() <= MAX_TEXT {
        return Ok(());
    }
    let why = format!("it is {} bytes long, and a policy is at most {MAX_TEXT}", text.len());
    Err(Error::policy(format!("{name}: too long for a policy"), why, "give the policy file, not another one"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Bytes, Dir, Limits, Random, Seconds};
    use super::*;

    fn toml_what(text: &str) -> String {
        Policy::from_toml(text, "dir/policy.toml").unwrap_err().parts().what.clone()
    }

    fn json_error(text: &str) -> Parts {
        Policy::from_json(text, Path::new("/")).unwrap_err().parts().clone()
    }

    #[test]
    fn what_is_said_is_what_is_granted() {
        let text = "random = 42\n[[dirs]]\nhost = \"data\"\n[limits]\nwall = 0.5\nmemory = \"64MiB\"\n";
        let limits = Limits { wall: Seconds::from_number(0.5).unwrap(), memory: Bytes::mib(64), ..Limits::default() };
        let dirs = vec![Dir { host: Some("/etc/app/data".into()), at: Some("/data".into()), ..Dir::default() }];
        let expected = Policy { random: Random::Seed(42), dirs, limits, ..Policy::default() };
        assert_eq!(Ok(expected), Policy::from_toml(text, "/etc/app/policy.toml"));
    }

    #[test]
    fn a_host_path_is_taken_from_the_file_and_seen_as_it_was_written() {
        let granted = |host: &str| {
            let policy = Policy::from_toml(&format!("[[dirs]]\nhost = \"{host}\""), "/srv/policy.toml").unwrap();
            let dir = policy.dirs.into_iter().next().unwrap();
            (dir.host.unwrap().to_str().unwrap().to_owned(), dir.at.unwrap())
        };
        for (host, absolute, at) in [
            ("data", "/srv/data", "/data"),
            ("./a/b", "/srv/a/b", "/a/b"),
            (".", "/srv", "/"),
            ("/usr/share", "/usr/share", "/usr/share"),
        ] {
            assert_eq!((absolute.to_owned(), at.to_owned()), granted(host), "{host}");
        }
        let json = Policy::from_json(r#"{"dirs": [{"host": "data"}]}"#, Path::new("/base")).unwrap();
        assert_eq!(Some(Path::new("/base/data")), json.dirs[0].host.as_deref());
    }

    #[test]
    fn a_relative_file_name_is_taken_from_the_current_directory() {
        let policy = Policy::from_toml("[[dirs]]\nhost = \"data\"", "policy.toml").unwrap();
        assert_eq!(Some(std::env::current_dir().unwrap().join("data")), policy.dirs[0].host);
    }

    #[test]
    fn a_toml_error_names_file_and_line_whatever_ends_the_lines() {
        for text in ["tmp = true\nx = 1\n", "tmp = true\r\nx = 1\r\n", "\u{feff}tmp = true\nx = 1", "#é\nx=1"] {
            assert_eq!("dir/policy.toml:2: unknown key `x`", toml_what(text), "{text:?}");
        }
        assert_eq!("dir/policy.toml:3: unknown key `x`", toml_what("dirs = [\n  { host = \"a\",\n    x = 1 },\n]"));
    }

    #[test]
    fn a_json_error_names_the_way_to_the_key() {
        for (text, what) in [
            (r#"{"limits": {"wal": 1}}"#, "`limits.wal`: unknown key"),
            (r#"{"dirs": [{"host": "a"}, {"host": "b", "mode": "x"}]}"#, "`dirs[1].mode`: cannot be `\"x\"`"),
            (r#"{"limits": {"wall": 1, "wall": 2}}"#, "`limits.wall`: `wall` is there twice"),
            (r#"{"env": {"A": "1", "A": "2"}}"#, "`env.A`: `A` is there twice"),
            (r#"{"tmp": null}"#, "`tmp`: cannot be `null`"),
            (r#"{"dirs": [{"host": "a", "at": "/"}, {"host": ".."}]}"#, "`dirs[1].host`: the host path `..` "),
            (r#"{"limits": [1, 2]}"#, "`limits`: cannot be a list"),
            ("[]", "policy: cannot be a list"),
            ("{", "policy: this is not JSON"),
        ] {
            assert!(json_error(text).what.starts_with(what), "{:?}", json_error(text));
        }
        assert_eq!("move it into `limits`", json_error(r#"{"wall": 1}"#).fix);
    }

    #[test]
    fn null_in_json_leaves_an_option_off() {
        let policy = Policy::from_json(r#"{"limits": {"cpu": null, "fuel": null}}"#, Path::new("/"));
        assert_eq!(Ok(Policy::default()), policy);
    }

    #[test]
    fn what_only_the_host_can_tell_names_its_line_too() {
        let text = "[[dirs]]\nhost = \"a\"\n\n[[dirs]]\nhost = \"b\"\n";
        let place = Place::top().key("dirs").index(1).key("host");
        let what = |document: Document| document.refuse(&place, "it is not there", "why", "fix").parts().what.clone();
        assert_eq!("p.toml:5: it is not there", what(Document::from_toml(text, "p.toml").unwrap()));
        let json = Document::from_json(r#"{"dirs": [{"host": "a"}, {"host": "b"}]}"#, Path::new("/")).unwrap();
        assert_eq!("`dirs[1].host`: it is not there", what(json));
    }
}
