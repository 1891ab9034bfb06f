//! What a program is: told from its bytes, never from its name.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::text::{quote, quote_bytes};

/// Largest program, in bytes. The largest real one known to us, CPython with numpy and pandas, has 99 MB.
pub const MAX_PROGRAM_BYTES: u64 = 256 << 20;

/// Largest program in the text format, in bytes: people write it, and hostile text takes 80 times
/// its size in memory, which the compiler child has.
pub const MAX_TEXT_BYTES: u64 = 16 << 20;

/// How every binary begins: a module or a component, by the four bytes that follow.
const MAGIC: &[u8; 4] = b"\0asm";
const MODULE: [u8; 4] = [1, 0, 0, 0];
const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];

/// The two kinds of WebAssembly program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A core module, for WASI 0.1.
    Module,
    /// A component, for WASI 0.2 and later.
    Component,
}

impl Kind {
    /// The word for it, in messages and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Module => "module",
            Self::Component => "component",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Module, Self::Component].into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What these bytes are, or why they are no program; `name` is only for the message.
///
/// The text format counts as a program: `(component` begins a component, anything else a module.
pub fn detect(bytes: &[u8], name: &str) -> Result<Kind> {
    let refused = |why: &str, fix: &str| Err(Error::load(format!("cannot load `{}`", quote(name)), why, fix));
    if bytes.is_empty() {
        return refused("it is empty", "build the program again: nothing was written to it");
    }
    if bytes.len() as u64 > MAX_PROGRAM_BYTES {
        let why = format!("it is larger than {} MiB", MAX_PROGRAM_BYTES >> 20);
        return refused(&why, "strip debug information with `wasm-tools strip`, or move data into a file");
    }
    if bytes.starts_with(MAGIC) || MAGIC.starts_with(bytes) {
        return match bytes.get(4..8) {
            None => refused("it is cut off within its first 8 bytes", "copy or download it again"),
            Some(version) if version == MODULE => Ok(Kind::Module),
            Some(version) if version == COMPONENT => Ok(Kind::Component),
            Some(&[.., 1, 0]) => refused(
                "it is a component in a pre-release format",
                "build it again with newer tools, which write the WASI 0.2 format",
            ),
            Some(version) => {
                let why = format!("it has the WebAssembly version {version:02x?}, which nobody has defined");
                refused(&why, "build it as a module (version 1) or a component")
            }
        };
    }
    if let Some((why, fix)) = foreign(bytes) {
        return refused(why, fix);
    }
    match text_kind(bytes) {
        Some(_) if bytes.len() as u64 > MAX_TEXT_BYTES => {
            let why = format!("it is WebAssembly text larger than {} MiB", MAX_TEXT_BYTES >> 20);
            refused(&why, "turn it into a binary first: `wasm-tools parse program.wat -o program.wasm`")
        }
        Some(kind) => Ok(kind),
        None => {
            let start = &bytes[..bytes.len().min(16)];
            let why = if looks_like_text(bytes) {
                let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
                format!("it is text, but not WebAssembly text; it begins with `{}`", quote_bytes(line))
            } else {
                format!("it is not WebAssembly; it begins with the bytes {start:02x?}")
            };
            refused(
                &why,
                "give a `.wasm` or `.wat` program built for WASI, or say what language it is in with `--language NAME`",
            )
        }
    }
}

/// Whether a program is in the text format.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    !bytes.starts_with(MAGIC)
}

/// The program as a WebAssembly binary: text is converted, a binary is what it was.
pub(super) fn to_binary(bytes: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    if !is_text(bytes) {
        return Ok(Cow::Borrowed(bytes));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| format!("the text is not UTF-8: {error}"))?;
    let binary = wat::parse_str(text).map_err(|error| one_line(&error.to_string()))?;
    Ok(Cow::Owned(binary))
}

/// The first line of the text parser's message and the place it points at, without the picture of the source.
fn one_line(message: &str) -> String {
    let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    match lines.find_map(|line| line.strip_prefix("--> ")) {
        Some(place) => format!("{first} (line {})", place.trim_start_matches("<anon>:")),
        None => first.to_owned(),
    }
}

/// Formats people hand over by mistake: why each is not a program, and the fix.
fn foreign(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const BUILD: &str = "build it for WebAssembly instead, for example with `--target wasm32-wasip1`";
    const UNPACK: &str = "unpack it and give the program inside";
    let found = match bytes {
        [0x7f, b'E', b'L', b'F', ..] => return Some(elf(bytes)),
        [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] => {
            ("it is a native macOS binary (Mach-O), not WebAssembly", BUILD)
        }
        [b'M', b'Z', ..] => ("it is a native Windows binary (PE), not WebAssembly", BUILD),
        [0x1f, 0x8b, ..] => ("it is a gzip archive", UNPACK),
        [b'P', b'K', 3 | 5 | 7, ..] => ("it is a zip archive", UNPACK),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ("it is a zstd archive", UNPACK),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => ("it is an xz archive", UNPACK),
        [b'#', b'!', ..] => (
            "it is a script, and a script needs its interpreter",
            "give the interpreter built for WebAssembly as the program, and the script as its argument",
        ),
        _ => return None,
    };
    Some(found)
}

fn elf(bytes: &[u8]) -> (&'static str, &'static str) {
    /// The operating system wasmtime writes into what it compiled.
    const ELFOSABI_WASMTIME: u8 = 200;
    const BUILD: &str = "build it for WebAssembly instead, for example with `--target wasm32-wasip1`";
    if bytes.get(7) == Some(&ELFOSABI_WASMTIME) || wasmtime::Engine::detect_precompiled(bytes).is_some() {
        return (
            "it is native code that wasmtime compiled (a `.cwasm`), and native code from outside is never loaded: \
             nothing can check it",
            "give the `.wasm` it was made from; Ringfence keeps its own cache of compiled code",
        );
    }
    match bytes.get(16..18) {
        Some([3, 0] | [0, 3]) if !has_interpreter(bytes) => {
            ("it is a native shared library (ELF), not WebAssembly", BUILD)
        }
        Some([1, 0] | [0, 1]) => ("it is a native object file (ELF), not WebAssembly", BUILD),
        Some([4, 0] | [0, 4]) => ("it is a core dump (ELF), not WebAssembly", "give a `.wasm` program"),
        _ => ("it is a native Linux executable (ELF), not WebAssembly", BUILD),
    }
}

/// Whether an ELF file names a dynamic linker: executables do, libraries do not.
fn has_interpreter(bytes: &[u8]) -> bool {
    const PT_INTERP: u64 = 3;
    let little = bytes.get(5) == Some(&1);
    let number = |at: usize, len: usize| -> Option<u64> {
        let part = bytes.get(at..at.checked_add(len)?)?;
        let fold = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if little { part.iter().rev().fold(0, fold) } else { part.iter().fold(0, fold) })
    };
    let is_64 = bytes.get(4) == Some(&2);
    let (table, size, count) = if is_64 {
        (number(32, 8), number(54, 2), number(56, 2))
    } else {
        (number(28, 4), number(42, 2), number(44, 2))
    };
    let (Some(table), Some(size), Some(count)) = (table, size, count) else { return false };
    (0..count).any(|index| {
        let at = table.checked_add(index * size).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| number(at, 4)) == Some(PT_INTERP)
    })
}

/// The kind of a program in the text format; `None` when the bytes are not that.
fn text_kind(bytes: &[u8]) -> Option<Kind> {
    let inside = skip_blank(bytes)?.strip_prefix(b"(")?;
    let keyword = skip_blank(inside).unwrap_or_default();
    let is_component = keyword.strip_prefix(b"component").is_some_and(|rest| {
        rest.first().is_none_or(|next| next.is_ascii_whitespace() || matches!(next, b'(' | b')' | b';' | b'$'))
    });
    Some(if is_component { Kind::Component } else { Kind::Module })
}

/// What follows white space, `;; line comments` and `(; nested block comments ;)`; `None` for an open comment.
fn skip_blank(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        bytes = bytes.trim_ascii_start();
        if bytes.starts_with(b";;") {
            let end = bytes.iter().position(|byte| *byte == b'\n')?;
            bytes = &bytes[end..];
        } else if bytes.starts_with(b"(;") {
            bytes = skip_block(bytes)?;
        } else {
            return Some(bytes);
        }
    }
}

fn skip_block(mut bytes: &[u8]) -> Option<&[u8]> {
    let mut depth = 0_usize;
    loop {
        match bytes {
            [b'(', b';', rest @ ..] => (depth, bytes) = (depth + 1, rest),
            [b';', b')', rest @ ..] => {
                (depth, bytes) = (depth - 1, rest);
                if depth == 0 {
                    return Some(bytes);
                }
            }
            [_, rest @ ..] => bytes = rest,
            [] => return None,
        }
    }
}

fn looks_like_text(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(512)];
    start.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace())
}

#[cfg(test)]
#[path = "bytes_tests.rs"]
mod tests;
