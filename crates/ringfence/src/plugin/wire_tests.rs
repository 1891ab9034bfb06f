#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn a_tape_is_what_it_was_whatever_holds_its_bytes() {
    let mut tape = Tape::default();
    tape.word(7);
    tape.bytes(b"ab");
    tape.hold(Box::new(vec![1u8, 2, 3]));
    tape.bytes(b"");
    for large in [false, true] {
        if large {
            (0..100).for_each(|word| tape.word(word));
        }
        let (counts, bytes) = tape.pack();
        let back = Tape::unpack(counts, bytes).unwrap();
        let mut from = back.reader();
        assert_eq!((Ok(7), Ok(&b"ab"[..])), (from.word(), from.piece()));
        assert_eq!((Ok(&[1u8, 2, 3][..]), Ok(&b""[..])), (from.piece(), from.piece()));
        assert_eq!(if large { Ok(0) } else { Err(MixedUp) }, from.word());
    }
}

#[test]
fn bytes_that_are_no_tape_are_refused() {
    let (most, none) = (u64::MAX, 0);
    for (words, pieces, handles, length) in [
        (1, 0, 0, 0),
        (0, 1, 0, 0),
        (0, 0, 1, 0),
        (2, 0, 0, 15),
        (0, 0, 2, 15),
        (0, 0, 0, 1),
        (most, 1, 0, 8),
        (1, most, 0, 8),
        (1, none, most, 8),
    ] {
        assert_eq!(MixedUp, Tape::unpack(Counts { words, pieces, handles }, vec![0; length]).unwrap_err());
    }
}
