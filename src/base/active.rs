//! The active queue: events whose handlers are due, in the order they became so.
//!
//! It is live, as libevent's: what a handler activates joins the end and runs in the same pass;
//! what a handler deletes leaves and does not run. Linked through the slots, so leaving is O(1).

use super::slot::{Flags, Links, NONE, SlotTable};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct ActiveQueue {
    first: u32,
    last: u32,
}

impl ActiveQueue {
    pub(super) fn new() -> Self {
        Self { first: NONE, last: NONE }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first == NONE
    }

    /// The event whose handler is due next.
    pub(super) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// Appends an event that is not in the queue.
    pub(super) fn push<C>(&mut self, slots: &mut SlotTable<C>, index: u32) {
        debug_assert!(!slots[index].flags.contains(Flags::ACTIVE));
        let prev = std::mem::replace(&mut self.last, index);
        slots[index].in_queue = Links { prev, next: NONE };
        slots[index].flags |= Flags::ACTIVE;
        if prev == NONE {
            self.first = index;
        } else {
            slots[prev].in_queue.next = index;
        }
    }

    /// Takes an event out, wherever it stands.
    pub(super) fn remove<C>(&mut self, slots: &mut SlotTable<C>, index: u32) {
        debug_assert!(slots[index].flags.contains(Flags::ACTIVE));
        slots[index].flags -= Flags::ACTIVE;
        let Links { prev, next } = std::mem::replace(&mut slots[index].in_queue, Links::UNLINKED);
        if prev == NONE {
            self.first = next;
        } else {
            slots[prev].in_queue.next = next;
        }
        if next == NONE {
            self.last = prev;
        } else {
            slots[next].in_queue.prev = prev;
        }
    }

    /// Panics unless links and flags agree.
    #[cfg(test)]
    pub(super) fn check<C>(&self, slots: &SlotTable<C>) {
        let (mut queued, mut prev, mut index) = (0, NONE, self.first);
        while index != NONE {
            let slot = &slots[index];
            assert!(slot.flags.contains(Flags::ACTIVE), "slot {index} is queued but not active");
            assert!(!slot.ready.is_empty(), "slot {index} is active without a reason");
            assert_eq!(slot.in_queue.prev, prev, "slot {index} has a torn link");
            (prev, index, queued) = (index, slot.in_queue.next, queued + 1);
        }
        assert_eq!(self.last, prev, "the queue's end is off");
        let active = slots.indices().filter(|&index| slots[index].flags.contains(Flags::ACTIVE));
        assert_eq!(active.count(), queued, "an active event is in no queue");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::super::slot::tests::plain;
    use super::*;
    use crate::event::{Interest, Ready};

    proptest! {
        #[test]
        fn the_queue_is_a_fifo_that_members_may_leave(
            steps in prop::collection::vec((0..3u8, 0..10u32), 1..200))
        {
            let (mut queue, mut slots) = (ActiveQueue::new(), SlotTable::new());
            let mut model: VecDeque<u32> = VecDeque::new();
            for _ in 0..10 {
                let id = slots.insert(plain(None, Interest::empty()));
                slots[id.index].ready = Ready::TIMEOUT;
            }
            for (step, index) in steps {
                match (step, model.iter().position(|&queued| queued == index)) {
                    (0, None) => {
                        queue.push(&mut slots, index);
                        model.push_back(index);
                    }
                    (1, Some(at)) => {
                        queue.remove(&mut slots, index);
                        model.remove(at);
                    }
                    (2, _) => {
                        prop_assert_eq!(queue.first(), model.front().copied());
                        if let Some(first) = model.pop_front() {
                            queue.remove(&mut slots, first);
                        }
                    }
                    _ => {}
                }
                queue.check(&slots);
                prop_assert_eq!(queue.is_empty(), model.is_empty());
            }
        }
    }
}
