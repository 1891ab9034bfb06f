#![allow(clippy::unwrap_used)]

use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn what_was_made_is_found_again_under_its_key_alone() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::at(directory.path()).unwrap();
    assert_eq!(None, cache.made(KEY).unwrap());
    cache.keep_made(KEY, b"\0asm").unwrap();

    assert_eq!(Some(b"\0asm".to_vec()), Cache::at(directory.path()).unwrap().made(KEY).unwrap());
    assert_eq!(None, cache.made(&KEY.replace('0', "1")).unwrap());
    assert_eq!(1, cache.info().entries);
}

#[test]
fn what_another_wrote_there_is_not_what_was_made() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::at(directory.path()).unwrap();
    cache.keep_made(KEY, b"mine").unwrap();
    let other = KEY.replace('0', "1");
    for kind in ["cwasm", "seal"] {
        let from = directory.path().join(format!("made-{KEY}.{kind}"));
        std::fs::copy(from, directory.path().join(format!("made-{other}.{kind}"))).unwrap();
    }
    std::fs::write(directory.path().join(format!("made-{KEY}.cwasm")), b"evil").unwrap();

    assert_eq!(None, cache.made(&other).unwrap());
    assert_eq!(None, cache.made(KEY).unwrap());
}

#[test]
fn a_key_is_a_digest_and_no_path() {
    let cache = Cache::none();
    for key in ["", "../key", &KEY[1..], &KEY.to_uppercase()] {
        assert!(cache.made(key).is_err() && cache.keep_made(key, b"").is_err(), "{key}");
    }
}
