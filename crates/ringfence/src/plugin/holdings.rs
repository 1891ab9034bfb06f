//! Handles that cross between two processes: what a guest in a worker may speak of, as its parent counts it, and what it
//! has handed over, as the worker knows it again.

use std::collections::HashMap;

use super::handles::Handle;
use super::tape::{MixedUp, Passed, Placed, Tape};

/// Handles of both sides that a guest may have, as its parent counts: the engine of an honest worker stops at 100,000.
const MOST_HANDLES: u64 = 1 << 17;

/// What the parent knows of one instance. Whatever its worker says, it has handed over no more resources than came, in
/// the order of their numbers, and holds no other objects than it was given and has not given back.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    /// Resources of its own that it has handed over, and those of them that nobody has any more.
    given: u64,
    gone: u64,
    /// Objects of the host's that it has, by their numbers: of which resource, and whether for the length of a call.
    objects: HashMap<u32, (u32, bool)>,
}

impl Holdings {
    /// It is given these objects.
    pub(crate) fn hand(&mut self, placed: &[Placed]) {
        self.objects.extend(placed.iter().map(|placed| (placed.number, (placed.resource, placed.is_lent))));
    }

    /// The call is over that it was lent these for.
    pub(crate) fn end(&mut self, placed: &[Placed]) {
        for placed in placed.iter().filter(|placed| placed.is_lent) {
            self.objects.remove(&placed.number);
        }
    }

    /// So many of its resources were dropped, or are its own again.
    pub(crate) fn forget(&mut self, count: usize) {
        self.gone += count as u64;
    }

    /// Whether it may have one handle more.
    pub(crate) fn has_room(&self) -> bool {
        self.given.saturating_sub(self.gone).saturating_add(self.objects.len() as u64) < MOST_HANDLES
    }

    /// Whether that is the number of a resource which it may hand over now.
    pub(super) fn hands_over(&mut self, number: u64) -> bool {
        let is_next = number == self.given && self.has_room();
        self.given += u64::from(is_next);
        is_next
    }

    /// Whether it has that object of that resource.
    pub(super) fn has(&self, resource: u32, number: u32) -> bool {
        self.objects.get(&number).is_some_and(|(of, _)| *of == resource)
    }

    /// Whether it may give that object back, or drop it; it does not have it from here on.
    pub(crate) fn lets_go(&mut self, resource: u32, number: u32) -> bool {
        let owns = self.objects.get(&number) == Some(&(resource, false));
        owns && self.objects.remove(&number).is_some()
    }
}

/// What the worker knows: the resources of its guest that its parent has, by their numbers.
#[derive(Default)]
pub(super) struct Numbered {
    handles: HashMap<u64, Handle>,
    next: u64,
}

impl Numbered {
    /// Its parent has let go of these.
    pub(super) fn forget(&mut self, numbers: &[u64]) {
        for number in numbers {
            if let Some(handle) = self.handles.remove(number) {
                handle.drop_resource();
            }
        }
    }

    /// Gives numbers to what is on its way out.
    pub(super) fn leave(&mut self, tape: &mut Tape) {
        for passed in &mut tape.handles {
            if let Passed::Owned(owned) = passed {
                self.handles.insert(self.next, Handle::new(owned.clone()));
                *passed = Passed::Numbered(self.next, false);
                self.next += 1;
            }
        }
    }

    /// Finds what is on its way in by its numbers; what the guest takes is its parent's no more.
    pub(super) fn enter(&mut self, tape: &mut Tape) -> Result<(), MixedUp> {
        for passed in &mut tape.handles {
            let Passed::Numbered(number, is_given) = passed else { return Err(MixedUp) };
            let handle = self.handles.get(number).ok_or(MixedUp)?;
            *passed = match is_given {
                false => Passed::Owned(handle.borrowed().map_err(|_| MixedUp)?),
                true => {
                    let taken = handle.taken().map_err(|_| MixedUp)?;
                    self.handles.remove(number);
                    Passed::Taken(taken)
                }
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_over_has_the_next_number_and_no_other() {
        let mut holdings = Holdings::default();
        let handed = [0, 0, 2, 1, u64::MAX, 2].map(|number| holdings.hands_over(number));
        assert_eq!([true, false, false, true, false, true], handed);
    }

    #[test]
    fn there_are_no_more_handles_than_a_guest_may_have() {
        let mut holdings = Holdings::default();
        assert!((0..MOST_HANDLES).all(|number| holdings.hands_over(number)));
        assert!(!holdings.hands_over(MOST_HANDLES));
        holdings.forget(1);
        assert!(holdings.hands_over(MOST_HANDLES) && !holdings.has_room());
    }

    #[test]
    fn an_object_is_held_as_what_it_was_given_as_until_it_is_let_go_of_once() {
        let mut holdings = Holdings::default();
        let placed = [(7, false), (8, true)].map(|(number, is_lent)| Placed { number, is_lent, resource: 3 });
        holdings.hand(&placed);
        assert!(holdings.has(3, 7) && holdings.has(3, 8) && !holdings.has(2, 7) && !holdings.has(3, 9));
        assert_eq!([false, false], [holdings.lets_go(2, 7), holdings.lets_go(3, 8)]);
        assert_eq!([true, false], [holdings.lets_go(3, 7), holdings.lets_go(3, 7)]);
        holdings.end(&placed);
        assert!(!holdings.has(3, 8));
    }
}
