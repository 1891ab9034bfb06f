#![allow(clippy::unwrap_used)]

use super::*;

const KEY: Key = [7; 32];

fn held(unfinished: &Unfinished, name: u8) -> Option<Vec<u8>> {
    unfinished.get(&[name; NAME]).map(Cow::into_owned)
}

fn again(file: &File, key: Key) -> Unfinished {
    Unfinished::new(file.try_clone().unwrap(), key)
}

#[test]
fn functions_are_there_for_the_next_compiler_up_to_where_the_last_was_killed() {
    let file = tempfile::tempfile().unwrap();
    let first = again(&file, KEY);
    assert!(first.insert(&[1; NAME], vec![1; 100]) && first.insert(&[2; NAME], Vec::new()));
    assert!(first.insert(&[3; NAME], vec![3; 50]));
    assert_eq!(Some(vec![1; 100]), held(&first, 1));
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();

    let second = again(&file, KEY);
    assert_eq!([Some(vec![1; 100]), Some(Vec::new()), None], [1, 2, 3].map(|name| held(&second, name)));
    assert!(second.insert(&[3; NAME], vec![4; 20]));
    assert_eq!(Some(vec![4; 20]), held(&again(&file, KEY), 3));
}

#[test]
fn attack_functions_that_no_compiler_of_this_program_wrote_are_not_there() {
    let file = tempfile::tempfile().unwrap();
    assert!(again(&file, KEY).insert(&[1; NAME], vec![1; 100]));
    assert_eq!(None, held(&again(&file, [8; 32]), 1));

    let whole = file.metadata().unwrap().len();
    for at in (0..whole).step_by(7) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        assert_eq!(None, held(&again(&file, KEY), 1), "byte {at}");
        file.write_all_at(&byte, at).unwrap();
    }
    // The code of one function under the name of another.
    file.write_all_at(&[2; NAME], 0).unwrap();
    assert_eq!([None, None], [1, 2].map(|name| held(&again(&file, KEY), name)));
    // A length beyond the end, and beyond all ends.
    file.write_all_at(&u32::MAX.to_le_bytes(), (NAME + TAG) as u64).unwrap();
    assert_eq!([None, None], [1, 2].map(|name| held(&again(&file, KEY), name)));
}

#[test]
fn place_goes_to_the_child_as_text() {
    let place = Place { fd: 12, key: KEY };
    assert_eq!(Some(&place), Place::from_text(&place.to_text()).as_ref());
    for text in ["", "-", "12", "12:", "x:07", "12:zz"] {
        assert_eq!(None, Place::from_text(text), "{text}");
    }
}
