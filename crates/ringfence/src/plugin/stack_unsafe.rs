//! How much of its stack a thread has left: a guest that is called without a fiber runs on its caller's.
#![allow(unsafe_code)]

use std::cell::Cell;

use crate::sandbox::engine::GUEST_STACK_BYTES;

/// Beneath a guest, for what the host does for it and for signal handlers.
const ROOM_BYTES: usize = GUEST_STACK_BYTES + (512 << 10);

/// The main thread's stack grows as far as the process's limit lets it, which anybody may change.
const UNKNOWN: usize = usize::MAX;

thread_local! {
    /// Where this thread's stack ends; 0 where nobody has asked.
    static END: Cell<usize> = const { Cell::new(0) };
}

/// Whether a guest can be called on this thread's own stack: past its end is no page that makes it a trap of the guest.
pub(super) fn has_room() -> bool {
    let place = 0u8;
    let now = (&raw const place) as usize;
    let end = END.with(|end| {
        if end.get() == 0 {
            end.set(find().unwrap_or(UNKNOWN));
        }
        end.get()
    });
    end != UNKNOWN && now.checked_sub(end).is_some_and(|left| left >= ROOM_BYTES)
}

/// The lowest address of this thread's stack.
fn find() -> Option<usize> {
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: it fills in the attributes of the thread that asks, which lives.
    if unsafe { libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) } != 0 {
        return None;
    }
    let mut start = std::ptr::null_mut();
    let mut size = 0;
    // SAFETY: the attributes were filled in, and are destroyed once, after their last use.
    let told = unsafe {
        let told = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut start, &raw mut size);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        told
    };
    (told == 0 && !start.is_null()).then_some(start as usize)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_thread_with_a_small_stack_has_no_room() {
        let small = std::thread::Builder::new().stack_size(256 << 10).spawn(has_room).unwrap();
        let ample = std::thread::Builder::new().stack_size(8 << 20).spawn(has_room).unwrap();
        assert_eq!((false, true), (small.join().unwrap(), ample.join().unwrap()));
    }
}
