//! A program: its bytes and what they are, not yet compiled.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::load::bytes::{self, Kind};
use crate::load::compile;
use crate::load::inspect::{self, Inspection};
use crate::load::patience::{Patience, Watch};
use crate::load::read_file;
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
    /// In a file that has to have the digest.
    File(PathBuf),
}

impl Program {
    /// The program in a file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_bytes(read_file(path)?, &path.to_string_lossy())
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
        let kind = bytes::detect(&bytes, origin)?;
        let digest = hex(&Sha256::digest(&bytes));
        let size = bytes.len();
        Ok(Self(Arc::new(Inner { name: quote(name), held: Held::Bytes(bytes), size, kind, digest, language })))
    }

    /// What to call it in messages: already safe to print.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The bytes as they were given; for a program in the text format, that text. Those of a pack are read here, and
    /// refused unless they have its digest.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>> {
        match &self.0.held {
            Held::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
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
