#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn written(code: &[u8], image: &Result<Vec<u8>, String>) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(code).unwrap();
    append(&mut file, code.len() as u64, image).unwrap();
    file
}

#[test]
fn an_image_is_found_where_it_was_put() {
    let mut image = vec![0; 128 << 10];
    image[70_000] = 7;
    let file = written(b"code", &Ok(image.clone()));
    let Some(Appendix::Image { at, len }) = read(&file).unwrap() else { panic!("no image") };
    let mut found = vec![1; len];
    file.read_exact_at(&mut found, at).unwrap();
    assert!(found == image && at == ALIGNMENT);
}

#[test]
fn a_reason_is_told_again() {
    let file = written(&[1; 70_000], &Err("it changes its tables".into()));
    assert_eq!(Some(Appendix::None { why: "it changes its tables".into() }), read(&file).unwrap());
}

#[test]
fn attack_a_file_that_was_cut_has_no_image() {
    let file = written(b"code", &Ok(vec![0; 64 << 10]));
    let size = file.metadata().unwrap().len();
    for size in [size - 1, size - 32, size - 33, 31, 3, 0] {
        file.set_len(size).unwrap();
        assert_eq!(None, read(&file).unwrap(), "{size} bytes");
    }
}

#[test]
fn attack_an_end_that_lies_is_no_end() {
    let file = written(b"code", &Ok(vec![0; 64 << 10]));
    let end = file.metadata().unwrap().len() - 32;
    for (at, value) in [(8, 2_u64), (16, 1), (16, 0), (16, u64::MAX), (24, 0), (24, 1), (24, u64::MAX), (24, 1 << 40)] {
        let mut before = [0; 8];
        file.read_exact_at(&mut before, end + at).unwrap();
        file.write_all_at(&value.to_le_bytes(), end + at).unwrap();
        assert_eq!(None, read(&file).unwrap(), "{value} at {at}");
        file.write_all_at(&before, end + at).unwrap();
    }
    assert!(read(&file).unwrap().is_some());
}
