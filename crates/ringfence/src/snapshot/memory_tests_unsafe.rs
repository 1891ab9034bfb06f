#![allow(clippy::unwrap_used)]

use super::*;

/// Fills it, and lets go of it.
fn leave_full(lent: Lent) {
    // SAFETY: accessible up to its size, and nobody else has it.
    unsafe { std::slice::from_raw_parts_mut(lent.as_ptr(), lent.byte_size()) }.fill(0xaa);
}

#[test]
fn a_heap_that_another_store_had_is_zeros_and_as_small_as_it_began() {
    for round in 0..20 {
        let mut heap = Lent::blank(GC_HEAP_BYTES).unwrap();
        // SAFETY: accessible up to its size, and nobody else has it.
        let bytes = unsafe { std::slice::from_raw_parts(heap.as_ptr(), heap.byte_size()) };
        assert_eq!((GC_HEAP_BYTES, None), (bytes.len(), bytes.iter().position(|byte| *byte != 0)), "round {round}");
        if round % 3 == 1 {
            heap.grow_to(GC_HEAP_BYTES * (2 + round)).unwrap();
        }
        leave_full(heap);
        leave_full(Lent::blank(GC_HEAP_BYTES + (round << 16)).unwrap());
    }
}
