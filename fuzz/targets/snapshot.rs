//! Any file as a saved snapshot. As it is, it is believed only if the key made it. Sealed by a holder of the key, whatever
//! it says of itself, nothing is unpacked beyond the memory that it tells of, and errors are safe to print.
//!
//! An input is a file; of one that does not begin as those do, the first line is its text and the rest its body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::session::SnapshotKey;
use ringfence::session::heard::{AROUND, sealed, unpacked};

fn parts(input: &[u8]) -> (&[u8], &[u8]) {
    let (head, tag) = AROUND;
    if input.starts_with(b"rfsaved\0") && input.len() > head + tag {
        let inside = &input[head..input.len() - tag];
        let text = u32::from_le_bytes([input[24], input[25], input[26], input[27]]) as usize;
        return inside.split_at(text.min(inside.len()));
    }
    let line = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    (&input[..line], input.get(line + 1..).unwrap_or_default())
}

fn check(bytes: Vec<u8>, key: &SnapshotKey) {
    match unpacked(bytes, key) {
        Ok((unpacked, memory)) => assert!(unpacked <= memory, "{unpacked} bytes of {memory}"),
        Err(why) => {
            assert!(why.len() < 10_000, "an error of {} bytes", why.len());
            assert!(!why.chars().any(|c| c.is_control() && c != '\n'), "{why:?}");
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let key = SnapshotKey::given(&[7; 32]).unwrap();
    check(input.to_vec(), &key);
    let (text, body) = parts(input);
    if let Ok(made) = sealed(text, body, &key) {
        // Whoever has another key believes nothing of it.
        assert!(unpacked(made.clone(), &SnapshotKey::given(&[8; 32]).unwrap()).is_err());
        check(made, &key);
    }
});
