#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::super::own_unsafe::{KEPT_BYTES, PAGE_BYTES};
use super::super::pagemap_unsafe::written;
use super::*;

const LEN: usize = 8 << 20;

/// An image with data, and with pages that are holes of the file.
fn image() -> (File, View) {
    let mut file = tempfile::tempfile().unwrap();
    file.set_len(LEN as u64).unwrap();
    file.write_all(&(0..LEN / 2).map(|at| (at % 251) as u8).collect::<Vec<_>>()).unwrap();
    let view = View::of(&file, 0, LEN).unwrap();
    (file, view)
}

fn bytes(region: &mut Region) -> &mut [u8] {
    // SAFETY: accessible up to its size, and borrowed with the region.
    unsafe { std::slice::from_raw_parts_mut(region.base(), region.size()) }
}

fn told_nothing(_: Range<usize>, _: usize, _: &mut dyn FnMut(Range<usize>)) -> Option<usize> {
    None
}

#[test]
fn a_region_that_was_reset_shows_its_image_and_nothing_else_whatever_was_written() {
    let (file, view) = image();
    let mut region = Region::reserve().unwrap();
    region.show(&file, 0, LEN).unwrap();
    let mut random = ChaCha20Rng::seed_from_u64(7);
    for round in 0..60 {
        let is_told = round % 3 != 0;
        for _ in 0..[0, 1, 40, 700, 3000][round % 5] {
            let at = random.next_u64() as usize % LEN;
            let end = LEN.min(at + random.next_u32() as usize % 9000);
            bytes(&mut region)[at..end].fill(0xaa);
        }
        if round % 4 == 1 {
            region.grow_to(LEN + (1 << 20)).unwrap();
            bytes(&mut region)[LEN..].fill(0xbb);
        }
        match is_told {
            true => region.reset(&view, None).unwrap(),
            false => {
                region.cut(LEN).unwrap();
                // SAFETY: accessible up to its size, and nobody else has it.
                let memory = unsafe { std::slice::from_raw_parts_mut(region.base(), LEN) };
                region.own.reset_by(memory, view.bytes(), told_nothing).unwrap();
            }
        }
        assert!(bytes(&mut region) == view.bytes(), "round {round}, told: {is_told}");
    }
}

#[test]
fn a_region_is_reset_without_the_kernel_only_where_nothing_but_its_own_pages_were_written() {
    let (file, view) = image();
    let mut region = Region::reserve().unwrap();
    region.show(&file, 0, LEN).unwrap();
    let mut random = ChaCha20Rng::seed_from_u64(8);
    let (mut again, mut usual) = (0, vec![0_usize; 30]);
    usual.fill_with(|| random.next_u64() as usize % LEN);
    for round in 0..200 {
        let since = Faults::so_far();
        for at in &usual {
            bytes(&mut region)[*at] = 0xaa;
        }
        if round % 3 == 0 {
            bytes(&mut region)[random.next_u64() as usize % LEN] = 0xbb;
        }
        if round % 7 == 0 {
            region.grow_to(LEN + (1 << 20)).unwrap();
            bytes(&mut region)[LEN..].fill(0xcc);
        }
        if round % 11 == 0 {
            // Another thread's faults are not this one's, so it must not be the judge.
            let base = region.base() as usize + random.next_u64() as usize % LEN;
            // SAFETY: inside of the region, which nobody else touches meanwhile.
            std::thread::spawn(move || unsafe { (base as *mut u8).write_volatile(0xdd) }).join().unwrap();
            region.reset(&view, None).unwrap();
        } else {
            again += usize::from(region.own.is_known() && since.as_ref().is_some_and(Faults::none_since));
            region.reset(&view, since.as_ref()).unwrap();
        }
        assert!(bytes(&mut region) == view.bytes(), "round {round}");
    }
    if Faults::so_far().is_some() && crate::snapshot::pagemap_unsafe::is_there() {
        assert!(again > 0, "the kernel was asked each time");
    }
}

#[test]
fn what_a_region_grows_by_is_zeros_each_time() {
    let (file, view) = image();
    let mut region = Region::reserve().unwrap();
    region.show(&file, 0, LEN).unwrap();
    for _ in 0..3 {
        region.grow_to(LEN + (1 << 20)).unwrap();
        region.grow_to(LEN + (3 << 20)).unwrap();
        assert!(bytes(&mut region)[LEN..].iter().all(|byte| *byte == 0));
        bytes(&mut region)[LEN..].fill(0xbb);
        region.reset(&view, None).unwrap();
        assert_eq!(LEN, region.size());
    }
}

#[test]
fn a_region_keeps_what_was_written_resident_and_no_more_than_its_share() {
    if !crate::snapshot::pagemap_unsafe::is_there() {
        return;
    }
    let (file, view) = image();
    let mut region = Region::reserve().unwrap();
    region.show(&file, 0, LEN).unwrap();
    let resident = |region: &Region| {
        let (base, mut pages) = (region.base() as usize, 0);
        written(base..base + LEN, LEN, &mut |range| pages += range.len() / PAGE_BYTES).unwrap();
        pages
    };
    for at in (0..LEN).step_by(1 << 20) {
        bytes(&mut region)[at] = 1;
    }
    region.reset(&view, None).unwrap();
    assert_eq!(8, resident(&region));
    bytes(&mut region).fill(1);
    region.reset(&view, None).unwrap();
    assert_eq!(KEPT_BYTES / PAGE_BYTES, resident(&region));
}

#[test]
fn a_region_grows_to_its_reservation_and_not_beyond() {
    let mut region = Region::reserve().unwrap();
    region.grow_to(RESERVATION).unwrap();
    assert!(region.grow_to(RESERVATION + 1).is_err());
    assert!(region.grow_to(0).is_err());
}

#[test]
fn a_region_of_zeros_that_was_wiped_is_zeros_whatever_was_written() {
    let mut region = Region::reserve().unwrap();
    region.grow_to(1 << 20).unwrap();
    for round in 0..4 {
        bytes(&mut region)[round << 14..][..40_000].fill(0xaa);
        region.wipe().unwrap();
        assert!(bytes(&mut region).iter().all(|byte| *byte == 0), "round {round}");
    }
}
