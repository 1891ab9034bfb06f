#![allow(clippy::unwrap_used)]

use super::*;

/// What `read_pages` is told, as text.
fn told(body: &[u8], size: usize) -> Result<Vec<(usize, usize)>> {
    let mut runs = Vec::new();
    read_pages(body, size, &mut |at, bytes| {
        runs.push((at, bytes.len()));
        Ok(())
    })?;
    Ok(runs)
}

/// A block of these bytes.
fn block(raw: &[u8]) -> Vec<u8> {
    let compressed = lz4_flex::block::compress(raw);
    [&(raw.len() as u32).to_le_bytes(), &(compressed.len() as u32).to_le_bytes(), compressed.as_slice()].concat()
}

fn run(first: u32, count: u32) -> Vec<u8> {
    let pages = vec![7; count as usize * PAGE_BYTES];
    [&first.to_le_bytes(), &count.to_le_bytes(), pages.as_slice()].concat()
}

const END: [u8; 8] = [0; 8];

#[test]
fn runs_are_read_in_whatever_blocks_they_come() {
    let raw = [run(1, 2), run(9, 1), END.to_vec()].concat();
    for cut in [1, 4, 7, 8, 9, 5000, 8192, raw.len() - 1] {
        let body = [block(&raw[..cut]), block(&raw[cut..])].concat();
        assert_eq!(vec![(4096, 8192), (9 * 4096, 4096)], told(&body, 1 << 16).unwrap(), "{cut}");
    }
}

#[test]
fn attack_pages_outside_of_memory_or_out_of_order_are_refused() {
    for runs in [
        run(16, 1),
        run(15, 2),
        run(u32::MAX, 1),
        [run(3, 2), run(4, 1)].concat(),
        [run(3, 1), run(2, 1)].concat(),
        [0_u32.to_le_bytes(), u32::MAX.to_le_bytes()].concat(),
        [0_u32.to_le_bytes(), 257_u32.to_le_bytes()].concat(),
    ] {
        let body = block(&[runs, END.to_vec()].concat());
        assert!(told(&body, 1 << 16).is_err());
    }
}

#[test]
fn attack_an_end_that_is_missing_or_early_is_refused() {
    for raw in [
        run(1, 1),
        [END.to_vec(), run(1, 1)].concat(),
        [END, END].concat(),
        [1_u32.to_le_bytes(), 0_u32.to_le_bytes()].concat(),
        [run(1, 1), END[..7].to_vec()].concat(),
    ] {
        assert!(told(&block(&raw), 1 << 16).is_err());
    }
    assert!(told(&[], 1 << 16).is_err());
    assert!(told(&[block(&END), block(&END)].concat(), 1 << 16).is_err());
}

#[test]
fn attack_a_bomb_unfolds_no_further_than_its_memory() {
    // 255 times as long as it is written, and all of it behind the memory's end.
    let zeros = block(&vec![0; BLOCK_BYTES]);
    assert!(zeros.len() < 5000);
    let body = [block(&[0_u32.to_le_bytes(), 256_u32.to_le_bytes()].concat()), zeros.clone(), zeros].concat();
    let mut most = 0;
    let refused = read_pages(&body, 1 << 16, &mut |_, bytes| {
        most = most.max(bytes.len());
        Ok(())
    });
    assert!(refused.is_err() && most == 0);
    let lying = [&(BLOCK_BYTES as u32 + 1).to_le_bytes()[..], &[1, 0, 0, 0, 0]].concat();
    assert!(told(&lying, usize::MAX).is_err());
    let lying = [&u32::MAX.to_le_bytes()[..], &u32::MAX.to_le_bytes()].concat();
    assert!(told(&lying, usize::MAX).is_err());
}

#[test]
fn attack_random_bytes_never_break_it() {
    let mut random = 1_u64;
    let mut next = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as u8
    };
    let whole = block(&[run(1, 1), END.to_vec()].concat());
    for _ in 0..20_000 {
        let mut changed = whole.clone();
        let at = usize::from(next()) % changed.len();
        changed[at] = next();
        let _ = told(&changed, 1 << 16);
        let noise: Vec<u8> = (0..next()).map(|_| next()).collect();
        let _ = told(&noise, 1 << 16);
    }
}
