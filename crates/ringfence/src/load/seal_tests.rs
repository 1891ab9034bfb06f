#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn seal() -> Seal {
    Seal { tag: blake3::hash(b"code"), identity: Some(Identity([1, 2, 3, 4, 5, 6, 7])) }
}

#[test]
fn a_seal_is_read_back_as_it_was_written() {
    let key = Key::from_secret(&[7; 32]);
    for identity in [None, Some(Identity([1, 2, 3, 4, 5, 6, u64::MAX]))] {
        let bytes = Seal { identity, ..seal() }.to_bytes(&key, "name");
        let read = Seal::from_bytes(&bytes, &key, "name").unwrap();
        assert_eq!((blake3::hash(b"code"), identity), (read.tag, read.identity));
        assert_eq!(SEAL_BYTES, bytes.len());
    }
}

#[test]
fn attack_a_seal_with_any_flipped_bit_is_none() {
    let key = Key::from_secret(&[7; 32]);
    let bytes = seal().to_bytes(&key, "name");
    for bit in 0..bytes.len() * 8 {
        let mut forged = bytes.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(Seal::from_bytes(&forged, &key, "name").is_none(), "bit {bit}");
    }
    assert!(Seal::from_bytes(&bytes[..bytes.len() - 1], &key, "name").is_none());
    assert!(Seal::from_bytes(&[bytes, vec![0]].concat(), &key, "name").is_none());
}

#[test]
fn attack_a_seal_of_another_entry_or_another_key_is_none() {
    let key = Key::from_secret(&[7; 32]);
    let bytes = seal().to_bytes(&key, "name");
    assert!(Seal::from_bytes(&bytes, &key, "other").is_none());
    assert!(Seal::from_bytes(&bytes, &Key::from_secret(&[8; 32]), "name").is_none());
}

#[test]
fn young_and_future_time_stamps_are_not_believed() {
    let at = |seconds| Identity([0, 0, 0, seconds, 0, seconds, 0]);
    let now = UNIX_EPOCH + Duration::from_secs(1000);
    assert!(at(997).is_settled(now));
    assert!(!at(999).is_settled(now));
    assert!(!at(2000).is_settled(now));
    assert!(!at(u64::MAX).is_settled(now));
}
