//! Variables of a plugin for Extism as bytes, for files, and back.
//!
//! Each is its name and its value, and before either of them how long that is: u64, little-endian.

use std::collections::BTreeMap;

use super::cost;

/// What outlives the calls of a plugin, by name.
pub type Variables = BTreeMap<String, Vec<u8>>;

/// Writes them one after the other.
pub fn written(variables: &Variables) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in variables.iter().flat_map(|(name, value)| [name.as_bytes(), value]) {
        bytes.extend((piece.len() as u64).to_le_bytes());
        bytes.extend_from_slice(piece);
    }
    bytes
}

/// Reads them; nothing where the bytes are not whole ones, each once and in order.
pub fn read(mut bytes: &[u8]) -> Option<Variables> {
    let mut variables = Variables::new();
    while !bytes.is_empty() {
        let name = String::from_utf8(piece(&mut bytes)?.to_vec()).ok()?;
        if variables.last_key_value().is_some_and(|(last, _)| *last >= name) {
            return None;
        }
        let value = piece(&mut bytes)?.to_vec();
        variables.insert(name, value);
    }
    Some(variables)
}

fn piece<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (piece, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    *bytes = rest;
    Some(piece)
}

/// What they take of what a plugin may have.
pub fn size(variables: &Variables) -> u64 {
    variables.iter().map(|(name, value)| cost(name, value)).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn some() -> Variables {
        [("", &b"empty"[..]), ("a", b""), ("b", b"\0value")].map(|(name, value)| (name.into(), value.into())).into()
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Some(Variables::new()), read(&[]));
        assert_eq!(Some(some()), read(&written(&some())));
        assert_eq!(3 * 48 + 5 + 1 + 1 + 6, size(&some()));
    }

    #[test]
    fn attack_bytes_that_are_cut_twice_there_or_longer_than_there_are_bytes_are_refused() {
        let whole = written(&some());
        let ends = [16 + 5, 16 + 5 + 16 + 1];
        for cut in 1..whole.len() {
            assert_eq!(ends.contains(&cut), read(&whole[..cut]).is_some(), "{cut}");
        }
        assert_eq!(None, read(&[whole.clone(), whole].concat()));
        assert_eq!(None, read(&[0xff; 40]));
        assert_eq!(None, read(&[&1_u64.to_le_bytes()[..], b"\xff", &0_u64.to_le_bytes()].concat()));
    }
}
