//! A program: its bytes and what they are, not yet compiled.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::load::bytes::{self, Kind};
use crate::load::inspect::{self, Inspection};
use crate::load::read_file;
use crate::text::quote;

/// A program nobody has to trust: a module or a component, as a binary or as text. Cheap to clone.
///
/// Making one looks at the first bytes only; whether the rest is valid, the compiler child finds out.
#[derive(Clone)]
pub struct Program(Arc<Inner>);

struct Inner {
    name: String,
    bytes: Vec<u8>,
    kind: Kind,
    digest: String,
    language: bool,
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

    fn of(bytes: Vec<u8>, name: &str, origin: &str, language: bool) -> Result<Self> {
        let kind = bytes::detect(&bytes, origin)?;
        if language && kind == Kind::Component {
            return Err(Error::load(
                format!("`{}` is no language pack", quote(origin)),
                "it is a component, and a language pack is one core module",
                "run it as a program, without a language",
            ));
        }
        let digest = hex(&Sha256::digest(&bytes));
        Ok(Self(Arc::new(Inner { name: quote(name), bytes, kind, digest, language })))
    }

    /// What to call it in messages: already safe to print.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The bytes as they were given; for a program in the text format, that text.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// How many bytes were given.
    pub fn size(&self) -> usize {
        self.0.bytes.len()
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
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("name", &self.0.name)
            .field("kind", &self.0.kind)
            .field("size", &self.0.bytes.len())
            .field("digest", &self.0.digest)
            .finish()
    }
}

/// Bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
