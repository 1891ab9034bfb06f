#![allow(clippy::unwrap_used, clippy::panic)]

use super::super::instance_tests::{Live, Pack};
use super::*;

const PAGES: usize = 160;

fn pack() -> Pack {
    let wat = format!(
        r#"(module (memory (export "memory") {PAGES}) (global (mut i32) (i32.const 1))
        (func (export "grow") (drop (memory.grow (i32.const 64))))
        (data (i32.const 4000) "of the pack") (data (i32.const 5000000) "of the pack"))"#
    );
    Pack::of(&wat::parse_str(wat).unwrap()).unwrap()
}

fn write(live: &mut Live, pages: Range<usize>, byte: u8) {
    for page in pages {
        live.bytes_mut()[page * PAGE_BYTES + 7] = byte;
    }
}

/// Pages that are held by nobody else.
fn own(capture: &Capture) -> usize {
    capture.pages.iter().filter(|(_, page)| Arc::strong_count(page) == 1).count()
}

#[test]
fn capture_holds_what_changed_since_the_one_before_and_shares_the_rest() {
    let mut live = pack().start().unwrap();
    write(&mut live, 10..310, 1);
    let first = live.capture();
    assert_eq!((300, 300), (first.pages.len(), own(&first)));
    write(&mut live, 20..25, 2);
    write(&mut live, 400..402, 2);
    let second = live.capture();
    assert_eq!((302, 7), (second.pages.len(), own(&second)));
    let unchanged = live.capture();
    assert_eq!((302, 0), (unchanged.pages.len(), own(&unchanged)));
    // As the image has it again: written to, and not different.
    write(&mut live, 10..310, 0);
    assert_eq!(2, live.capture().pages.len());
}

#[test]
fn captures_of_forks_of_captures_hold_what_each_changed() {
    let pack = pack();
    let mut live = pack.start().unwrap();
    write(&mut live, 10..310, 1);
    let mut captures = vec![live.capture()];
    for generation in 1..6 {
        let mut fork = pack.fork(captures.last().unwrap());
        write(&mut fork, 50 * generation..50 * generation + 3, 10);
        captures.push(fork.capture());
        assert_eq!(3, own(captures.last().unwrap()), "generation {generation}");
    }
    for (generation, capture) in captures.iter().enumerate() {
        let fork = pack.fork(capture);
        assert_eq!(3 * generation, fork.bytes().iter().filter(|byte| **byte == 10).count());
    }
}

#[test]
fn what_is_compared_in_vain_too_often_becomes_the_base_of_what_follows() {
    let pack = pack();
    let mut live = pack.start().unwrap();
    write(&mut live, 0..1500, 1);
    let first = live.capture();
    assert_eq!(1500, first.pages.len());
    write(&mut live, 0..2, 2);
    live.call("grow", &[]).unwrap();
    let end = live.bytes().len() - 9;
    live.bytes_mut()[end] = 9;
    let expected = live.bytes().to_vec();
    let rebased = live.capture();
    assert_eq!(0, rebased.pages.len());
    assert!(!Arc::ptr_eq(rebased.image(), first.image()) && rebased.image().bytes() == expected);
    assert!(live.bytes() == expected);
    write(&mut live, 3..6, 3);
    let next = live.capture();
    assert_eq!((3, 3), (next.pages.len(), own(&next)));
    assert!(Arc::ptr_eq(rebased.image(), next.image()));
    // Forks of forks begin from there too.
    let mut fork = pack.fork(&next);
    assert!(fork.bytes() == live.bytes());
    write(&mut fork, 100..101, 4);
    let of_fork = fork.capture();
    assert_eq!((4, 1), (of_fork.pages.len(), own(&of_fork)));
    assert!(pack.fork(&rebased).bytes() == expected);
    assert!(pack.fork(&first).bytes()[..2 * PAGE_BYTES] == [&page(1, true)[..], &page(1, false)[..]].concat());
}

fn page(byte: u8, first: bool) -> [u8; PAGE_BYTES] {
    let mut page = [0; PAGE_BYTES];
    page[7] = byte;
    if first {
        page[4000..4011].copy_from_slice(b"of the pack");
    }
    page
}

#[test]
fn captures_that_nobody_keeps_become_the_base_as_well() {
    let mut live = pack().start().unwrap();
    write(&mut live, 0..1500, 1);
    let held: Vec<usize> = (0..4).map(|_| live.capture().pages.len()).collect();
    assert_eq!([1500, 0, 0, 0], held[..]);
    // What changes as a whole each time is no reason to.
    for byte in 2..5 {
        write(&mut live, 0..900, byte);
        assert_eq!(900, live.capture().pages.len());
    }
}

#[test]
fn attack_memory_that_came_to_show_a_capture_is_never_lent_as_the_packs_own() {
    let pack = pack();
    for _ in 0..3 {
        let mut live = pack.start().unwrap();
        assert!(live.bytes() == pack.image.bytes());
        write(&mut live, 0..1500, 1);
        let _first = live.capture();
        let secret = live.capture();
        assert!(!Arc::ptr_eq(secret.image(), &pack.image));
        write(&mut live, 1500..2000, 1);
        drop(live);
        // What waits to be used again waits under the number of what it shows.
        assert!(pack.start().unwrap().bytes() == pack.image.bytes());
        assert!(pack.fork(&secret).bytes() == secret.image().bytes());
    }
}
