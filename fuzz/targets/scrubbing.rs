//! A secret in any text, in any of its usual spellings, answered in any pieces: what comes out is the same as of the
//! whole, and the secret is nowhere in it.
//!
//! An input is the value, a line feed, the size of the pieces, and text in which the bytes 1 to 5 stand for the value.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use ringfence::sandbox::http::{Patterns, Scrubber};

/// The value as it is, in capitals, in percent encoding, in hexadecimal digits, and with two bytes a character.
fn spellings(value: &str) -> [Vec<u8>; 5] {
    let each = |write: &dyn Fn(u8) -> String| value.bytes().map(write).collect::<String>().into_bytes();
    [
        value.into(),
        value.to_ascii_uppercase().into(),
        each(&|byte| format!("%{byte:02X}")),
        each(&|byte| format!("{byte:02x}")),
        value.bytes().flat_map(|byte| [byte, 0]).take(value.len() * 2 - 1).collect(),
    ]
}

fuzz_target!(|input: &[u8]| {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
    let (value, rest) = (&input[..end], &input[end + 1..]);
    let Some((piece, text)) = rest.split_first() else { return };
    let printable = value.iter().all(|byte| (b' '..=b'~').contains(byte));
    let Some(value) = std::str::from_utf8(value).ok().filter(|value| printable && (8..100).contains(&value.len()))
    else {
        return;
    };
    let spellings = spellings(value);
    let mut said = Vec::new();
    for byte in text {
        match usize::from(*byte).checked_sub(1).and_then(|at| spellings.get(at)) {
            Some(spelling) => said.extend_from_slice(spelling),
            None => said.push(*byte),
        }
    }
    // No spelling has a byte of this, so that it completes none.
    let patterns = Patterns::of([(value, Arc::from("\u{7f}"))].into_iter()).unwrap().unwrap();
    let whole = patterns.scrub(&said);

    let mut scrubber = Scrubber::new(patterns);
    let mut clean = Vec::new();
    for piece in said.chunks(1 + usize::from(*piece)) {
        clean.extend(scrubber.push(piece));
    }
    clean.extend(scrubber.finish());
    assert!(whole == clean, "{:?} in pieces of {piece}", String::from_utf8_lossy(&said));
    let lower = clean.to_ascii_lowercase();
    for spelling in spellings {
        let spelling = spelling.to_ascii_lowercase();
        assert!(
            !lower.windows(spelling.len()).any(|window| window == spelling),
            "{:?}",
            String::from_utf8_lossy(&said)
        );
    }
});
