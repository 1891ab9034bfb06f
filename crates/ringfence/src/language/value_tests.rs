#![allow(clippy::unwrap_used)]

use super::*;

fn written(items: &[Item<'_>]) -> Vec<u8> {
    let mut writer = Writer::default();
    items.iter().for_each(|item| writer.item(*item));
    writer.into_bytes()
}

#[test]
fn encoding_is_that_of_the_standard() {
    // Examples of RFC 8949, appendix A.
    let whole = |negative, number| Item::Whole { negative, number };
    let rows: [(Item<'_>, &[u8]); 14] = [
        (whole(false, 0), b"\x00"),
        (whole(false, 23), b"\x17"),
        (whole(false, 24), b"\x18\x18"),
        (whole(false, 1000), b"\x19\x03\xe8"),
        (whole(false, 1_000_000), b"\x1a\x00\x0f\x42\x40"),
        (whole(false, u64::MAX), b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff"),
        (whole(true, 99), b"\x38\x63"),
        (Item::Large { negative: true, bytes: b"\x01\0\0\0\0\0\0\0\0" }, b"\xc3\x49\x01\0\0\0\0\0\0\0\0"),
        (Item::Float(1.1), b"\xfb\x3f\xf1\x99\x99\x99\x99\x99\x9a"),
        (Item::Bool(true), b"\xf5"),
        (Item::Null, b"\xf6"),
        (Item::Bytes(b"\x01\x02\x03\x04"), b"\x44\x01\x02\x03\x04"),
        (Item::Text("IETF"), b"\x64IETF"),
        (Item::List(0), b"\x80"),
    ];
    for (item, bytes) in rows {
        assert_eq!(bytes, written(&[item]));
        assert_eq!(Ok(item), Reader::new(bytes).item());
        assert_eq!(Ok(bytes.len() as u64 + ITEM_BYTES), cost(bytes));
    }
}

#[test]
fn attack_what_is_no_value_is_refused() {
    let deep = [vec![0x81; 101], vec![0x00]].concat();
    let rows: [&[u8]; 21] = [
        b"",
        b"\x00\x00",
        b"\x18",
        b"\x81",
        b"\x9f\xff",
        b"\x5f\xff",
        b"\xf7",
        b"\xf9\x00\x00",
        b"\xfa\x00\x00\x00\x00",
        b"\xff",
        b"\xc1\x00",
        b"\xc2\x00",
        b"\xd8\x20\x60",
        b"\x1c",
        b"\x62\xc3\x28",
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x00",
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00",
        b"\x5b\x00\x00\x00\x01\x00\x00\x00\x00\x00",
        b"\xa1\x80\x00",
        b"\xa1\xf6\x00",
        &deep,
    ];
    for bytes in rows {
        assert_eq!(Err(Malformed), cost(bytes), "{bytes:x?}");
    }
}

#[test]
fn attack_small_bytes_that_become_large_are_counted_as_large() {
    let nested = [b"\x99\xff\xff".to_vec(), vec![0x80; 65535]].concat();
    assert_eq!(Ok(nested.len() as u64 + 65536 * ITEM_BYTES), cost(&nested));
}

#[test]
fn a_hundred_levels_are_read() {
    assert!(cost(&[vec![0x81; 100], vec![0x00]].concat()).is_ok());
}

#[test]
fn attack_random_bytes_never_break_the_reader() {
    let mut state = 1_u64;
    for _ in 0..100_000 {
        let bytes: Vec<u8> = (0..state % 40)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 56) as u8
            })
            .collect();
        state = state.wrapping_add(1);
        if let Ok(cost) = cost(&bytes) {
            assert!(cost >= bytes.len() as u64 + ITEM_BYTES, "{bytes:x?}");
        }
    }
}
