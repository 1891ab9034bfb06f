//! A program: its bytes and what they are, not yet compiled.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::load::bytes::{self, Kind};
use crate::load::cache::Cache;
use crate::load::compile;
use crate::load::file::{Opened, read_file};
use crate::load::inspect::{self, Inspection};
use crate::load::patience::{Patience, Watch};
use crate::load::seen::State;
use crate::load::wit::Wasi;
use crate::policy::Limits;
use crate::text::quote;

/// A program nobody has to trust: a module or a component, as a binary or as text. Cheap to clone.
///
/// Making one looks at the first bytes only; whether the rest is valid, the compiler child finds out.
#[derive(Clone)]
pub struct Program(Arc<Inner>);

struct Inner {
    name: String,
    held: Held,
    size: usize,
    kind: Kind,
    digest: String,
    language: bool,
}

enum Held {
    /// As they were given.
    Bytes(Vec<u8>),
    /// In a file that had the digest when it was opened.
    Opened(Opened),
    /// In a file that has to have the digest.
    File(PathBuf),
}

impl Program {
    /// The program in a file.
    ///
    /// A large one that was read before and was not changed since is not read again, unless it has to be compiled:
    /// then it is refused if it was changed meanwhile.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        Self::opened(path.as_ref(), || Cache::standard().unwrap_or_else(|_| Cache::none()))
    }

    fn opened(path: &Path, cache: impl FnOnce() -> Cache) -> Result<Self> {
        let name = path.to_string_lossy();
        let opened = Opened::at(path)?;
        let Some(state) = State::of(&opened) else { return Self::from_bytes(opened.read()?, &name) };
        let cache = cache();
        if let Some(digest) = cache.digest_of(&state) {
            let size = usize::try_from(opened.metadata().len()).unwrap_or(usize::MAX);
            let (name, held, kind) = (quote(&name), Held::Opened(opened), state.kind());
            return Ok(Self(Arc::new(Inner { name, held, size, kind, digest, language: false })));
        }
        let bytes = opened.read()?;
        let digest = Sha256::digest(&bytes);
        let program = Self::digested(bytes, &digest.into(), &name, &name, false)?;
        cache.remember_digest(&state, &opened, &digest.into());
        Ok(program)
    }

    /// The same with a cache of the caller's choice.
    #[cfg(test)]
    pub(super) fn from_file_in(cache: &Path, path: &Path) -> Result<Self> {
        Self::opened(path, || Cache::at(cache).unwrap_or_else(|_| Cache::none()))
    }

    /// Whether its file was not read yet.
    #[cfg(test)]
    pub(super) fn is_open(&self) -> bool {
        matches!(self.0.held, Held::Opened(_))
    }

    /// The program these bytes are; `name` is for messages.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>, name: &str) -> Result<Self> {
        Self::of(bytes.into(), name, name, false)
    }

    /// The language pack in a file; `name` is its argument 0 and what messages call it, such as `python`.
    pub fn language_from_file(path: impl AsRef<Path>, name: &str) -> Result<Self> {
        let path = path.as_ref();
        Self::of(read_file(path)?, name, &path.to_string_lossy(), true)
    }

    /// The language pack that these bytes are.
    pub fn language_from_bytes(bytes: impl Into<Vec<u8>>, name: &str) -> Result<Self> {
        Self::of(bytes.into(), name, name, true)
    }

    /// The language pack in a file whose digest is known.
    ///
    /// The file is read only when it has to be compiled, and refused unless it has that digest: compiled code is kept
    /// under it, and is the same whatever became of the file since. Hashing 31 MB would take longer than a whole start.
    pub fn pack(path: impl AsRef<Path>, name: &str, sha256: &str, kind: Kind) -> Result<Self> {
        let path = path.as_ref();
        let size = std::fs::metadata(path).map_or(0, |file| usize::try_from(file.len()).unwrap_or(usize::MAX));
        let (held, digest) = (Held::File(path.to_path_buf()), sha256.to_owned());
        Ok(Self(Arc::new(Inner { name: quote(name), held, size, kind, digest, language: true })))
    }

    fn of(bytes: Vec<u8>, name: &str, origin: &str, language: bool) -> Result<Self> {
        let digest = Sha256::digest(&bytes).into();
        Self::digested(bytes, &digest, name, origin, language)
    }

    fn digested(bytes: Vec<u8>, digest: &[u8; 32], name: &str, origin: &str, language: bool) -> Result<Self> {
        let kind = bytes::detect(&bytes, origin)?;
        let (digest, size) = (hex(digest), bytes.len());
        Ok(Self(Arc::new(Inner { name: quote(name), held: Held::Bytes(bytes), size, kind, digest, language })))
    }

    /// What to call it in messages: already safe to print.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The bytes as they were given; for a program in the text format, that text. Those of a pack, and of a program that
    /// was not read again, are read here, and refused unless they have its digest.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>> {
        match &self.0.held {
            Held::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Held::Opened(opened) => {
                let bytes = opened.read()?;
                if hex(&Sha256::digest(&bytes)) != self.digest() {
                    return Err(Error::load(
                        format!("cannot load `{}`", self.name()),
                        "it was changed since it was opened",
                        "open it again: it is another program now",
                    ));
                }
                Ok(Cow::Owned(bytes))
            }
            Held::File(path) => {
                let read = Self::of(read_file(path)?, self.name(), &path.to_string_lossy(), true)?;
                if read.digest() != self.digest() {
                    return Err(damaged(path, read.digest(), self.digest()));
                }
                if read.kind() != self.kind() {
                    return Err(mistaken(path, read.kind()));
                }
                Ok(Cow::Owned(read.bytes()?.into_owned()))
            }
        }
    }

    /// How many bytes were given.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// A module or a component.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Whether it runs source text: it then has the stack of an interpreter, and may hold sessions.
    pub fn is_language(&self) -> bool {
        self.0.language
    }

    /// SHA-256 of the bytes as they were given, in lower-case hexadecimal.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// What it imports and exports, read without compiling it.
    pub fn inspect(&self) -> Result<Inspection> {
        inspect::inspect(self)
    }

    /// What a component imports and exports, in WIT: read without compiling it, by the compiler child.
    pub fn wit(&self, wasi: Wasi, watch: Option<Watch<'_>>) -> Result<String> {
        if self.kind() != Kind::Component {
            return Err(Error::load(
                format!("there is no WIT of `{}`", self.name()),
                "it is a module: only components have typed interfaces",
                "build a component of it (`wasm-tools component new`); `ringfence inspect` shows what a module has",
            ));
        }
        compile::wit(self, wasi, &Patience::new(self, Limits::default().compile.0, watch))
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("name", &self.0.name)
            .field("kind", &self.0.kind)
            .field("size", &self.0.size)
            .field("digest", &self.0.digest)
            .finish()
    }
}

fn damaged(path: &Path, found: &str, wanted: &str) -> Error {
    let start = |digest: &str| quote(digest.get(..16).unwrap_or(digest));
    Error::load(
        format!("the language pack `{}` cannot be used", quote(&path.to_string_lossy())),
        format!("its bytes have the digest {}…, and not {}…", start(found), start(wanted)),
        "install it again: `ringfence languages check` names the command",
    )
}

fn mistaken(path: &Path, found: Kind) -> Error {
    let (found, said) = match found {
        Kind::Module => ("a module", "component"),
        Kind::Component => ("a component", "module"),
    };
    Error::load(
        format!("the language pack `{}` cannot be used", quote(&path.to_string_lossy())),
        format!("it is {found}, and its pack.toml says `kind = \"{said}\"`"),
        "tell who made it; `ringfence languages` lists the others",
    )
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
