#![allow(clippy::unwrap_used)]

use std::io::Cursor;

use super::*;

fn key(of: u8) -> SnapshotKey {
    SnapshotKey::given(&[of; 32]).unwrap()
}

fn file(text: &[u8], body: &[&[u8]], key: &SnapshotKey) -> Vec<u8> {
    let mut sealing = Sealing::begin(Cursor::new(Vec::new()), key, text).unwrap();
    for piece in body {
        sealing.write(piece).unwrap();
    }
    sealing.finish().unwrap().into_inner()
}

fn doubt(bytes: Vec<u8>, of: u8) -> Doubt {
    Proven::of(bytes, &key(of)).err().unwrap()
}

#[test]
fn a_file_reads_back_as_it_was_written() {
    for (text, body) in [(&b""[..], &[][..]), (b"told", &[&b"one"[..], b"", b"two"])] {
        let proven = Proven::of(file(text, body, &key(1)), &key(1)).unwrap();
        assert_eq!((text, body.concat().as_slice()), (proven.text(), proven.body()));
    }
}

#[test]
fn attack_every_bit_that_is_flipped_is_seen() {
    let whole = file(b"told", &[b"the body"], &key(1));
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            let doubt = doubt(changed, 1);
            // The head says which key to try, and so it may lie about that, and about no more.
            match at {
                0..8 => assert_eq!(Doubt::Other, doubt),
                8..12 => assert!(matches!(doubt, Doubt::Format(_))),
                12..24 => assert!(matches!(doubt, Doubt::Key { .. })),
                _ => assert!(matches!(doubt, Doubt::Damaged(_)), "{at}: {doubt:?}"),
            }
        }
    }
}

#[test]
fn attack_a_file_of_any_other_length_is_none() {
    let whole = file(b"told", &[b"the body"], &key(1));
    for len in 0..whole.len() {
        let doubt = doubt(whole[..len].to_vec(), 1);
        assert!(matches!(doubt, Doubt::Damaged(_)) || len < 8 && doubt == Doubt::Other, "{len}: {doubt:?}");
    }
    for more in [1, 31, 32, 4096] {
        let longer = [whole.clone(), vec![0; more]].concat();
        assert_eq!(Doubt::Damaged("it is longer than it says"), doubt(longer, 1));
    }
}

#[test]
fn attack_lengths_that_are_huge_make_no_room() {
    for (at, len) in [(24, 4), (28, 8)] {
        let mut lying = file(b"told", &[b"the body"], &key(1));
        lying[at..at + len].fill(0xff);
        assert!(matches!(doubt(lying, 1), Doubt::Damaged(_)));
    }
}

#[test]
fn attack_parts_of_two_files_are_no_file() {
    let (one, other) = (file(b"told", &[b"the body"], &key(1)), file(b"tale", &[b"any body"], &key(1)));
    for at in 1..one.len() {
        let mixed = [&one[..at], &other[at..]].concat();
        assert!(mixed == one || mixed == other || Proven::of(mixed, &key(1)).is_err(), "{at}");
    }
    // The same bytes, told as another length of the text.
    let mut moved = file(b"told", &[b"the body"], &key(1));
    moved[24] += 1;
    moved[28] -= 1;
    assert!(Proven::of(moved, &key(1)).is_err());
}

#[test]
fn attack_another_key_is_told_as_such() {
    assert_eq!(Doubt::Key { of_caller: true }, doubt(file(b"", &[], &key(1)), 2));
    let foreign = SnapshotKey::given(&[1; 33]).unwrap();
    assert_eq!(Doubt::Key { of_caller: true }, doubt(file(b"", &[], &foreign), 1));
    assert!(SnapshotKey::given(&[1; 31]).is_err());
}

#[test]
fn a_newer_format_is_told_as_such() {
    let mut newer = file(b"", &[], &key(1));
    newer[8] = 2;
    assert_eq!(Doubt::Format(2), doubt(newer, 1));
}
