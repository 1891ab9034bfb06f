//! What follows the code in the compiled file of a language pack: the image of its memory, or why there is none.
//!
//! The file is one, so that one seal proves it and one descriptor hands it to a worker. Its last bytes say what there is.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use crate::load::write_sparsely;

const MAGIC: &[u8; 8] = b"rfimage1";

/// Length of what says where the rest is, in bytes.
const TRAILER: usize = 32;

/// Images lie at multiples of this, in bytes: no processor has larger pages.
const ALIGNMENT: u64 = 64 << 10;

/// Longest reason that is kept, in bytes.
const MAX_REASON: usize = 200;

/// What a compiled file of a language pack has beside code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Appendix {
    /// The image of its memory: where it begins in the file, and its length.
    Image { at: u64, len: usize },
    /// Its memory is made by its code, because it could not be taken out.
    None { why: String },
}

/// Writes what follows `code_len` bytes of code, which are in the file already.
pub(crate) fn append(file: &mut File, code_len: u64, image: &Result<Vec<u8>, String>) -> std::io::Result<()> {
    let at = code_len.next_multiple_of(ALIGNMENT);
    let mut reason = String::new();
    let (kind, bytes) = match image {
        Ok(image) => (1_u64, image.as_slice()),
        Err(why) => {
            reason.extend(why.chars().take(MAX_REASON / 4));
            (0, reason.as_bytes())
        }
    };
    file.set_len(at)?;
    file.seek(SeekFrom::Start(at))?;
    write_sparsely(file, bytes)?;
    let len = bytes.len() as u64;
    file.set_len(at + len)?;
    file.seek(SeekFrom::Start(at + len))?;
    let mut trailer = MAGIC.to_vec();
    trailer.extend([kind, at, len].iter().flat_map(|number| number.to_le_bytes()));
    file.write_all(&trailer)
}

/// What follows the code; `None` where the file does not end as ours do.
pub(crate) fn read(file: &File) -> std::io::Result<Option<Appendix>> {
    let size = file.metadata()?.len();
    let Some(end) = size.checked_sub(TRAILER as u64) else { return Ok(None) };
    let mut trailer = [0; TRAILER];
    file.read_exact_at(&mut trailer, end)?;
    let Some(numbers) = trailer.strip_prefix(MAGIC) else { return Ok(None) };
    let (numbers, _) = numbers.as_chunks::<8>();
    let [kind, at, len] = numbers else { return Ok(None) };
    let [kind, at, len] = [kind, at, len].map(|number| u64::from_le_bytes(*number));
    if !at.is_multiple_of(ALIGNMENT) || at.checked_add(len) != Some(end) {
        return Ok(None);
    }
    let Ok(len) = usize::try_from(len) else { return Ok(None) };
    match kind {
        1 if len > 0 && (len as u64).is_multiple_of(ALIGNMENT) => Ok(Some(Appendix::Image { at, len })),
        0 if len <= MAX_REASON => {
            let mut why = vec![0; len];
            file.read_exact_at(&mut why, at)?;
            Ok(Some(Appendix::None { why: String::from_utf8_lossy(&why).into_owned() }))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
#[path = "appendix_tests.rs"]
mod tests;
