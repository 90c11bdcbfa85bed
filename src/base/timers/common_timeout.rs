//! Common timeouts: many events with one duration, each set and re-set in O(1).
//!
//! Events with the same duration are due in the order they were set. A list per duration is
//! therefore sorted by construction, and only its head is in the timer heap (libevent:
//! `event_base_init_common_timeout`).

use crate::base::events::list::{List, OfTimeout};
use crate::base::events::slot::{NONE, SlotTable};

/// A duration that many events of one base share; made by
/// [`Registry::common_timeout`](crate::Registry::common_timeout).
///
/// libevent encodes it as a `timeval` with tagged microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommonTimeout {
    pub(in crate::base) number: u8,
}

/// The events of one common timeout, earliest first.
#[derive(Debug)]
pub(in crate::base) struct TimeoutList {
    pub(in crate::base) duration_ns: u64,
    events: List<OfTimeout>,
    len: usize,
    /// The list's position in the timer heap, while it has a head.
    pub(in crate::base) heap_position: u32,
}

impl TimeoutList {
    pub(in crate::base) fn new(duration_ns: u64) -> Self {
        Self { duration_ns, events: List::new(), len: 0, heap_position: NONE }
    }

    pub(in crate::base) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(in crate::base) fn len(&self) -> usize {
        self.len
    }

    /// The deadline of its earliest event; `u64::MAX` if it is empty.
    pub(in crate::base) fn deadline_ns<H>(&self, slots: &SlotTable<H>) -> u64 {
        self.events.first().map_or(u64::MAX, |index| slots[index].deadline_ns)
    }

    pub(in crate::base) fn first(&self) -> Option<u32> {
        self.events.first()
    }

    /// Inserts an event by its deadline. It searches from the end, because the new event is nearly
    /// always the latest. Equal deadlines keep the order in which they were set.
    pub(in crate::base) fn insert<H>(&mut self, slots: &mut SlotTable<H>, index: u32) {
        let deadline_ns = slots[index].deadline_ns;
        let mut prev = self.events.last().unwrap_or(NONE);
        while prev != NONE && slots[prev].deadline_ns > deadline_ns {
            prev = slots[prev].common_links().prev;
        }
        self.events.insert_after(slots, prev, index);
        self.len += 1;
    }

    pub(in crate::base) fn remove<H>(&mut self, slots: &mut SlotTable<H>, index: u32) {
        self.events.remove(slots, index);
        self.len -= 1;
    }

    pub(in crate::base) fn iter<H>(&self, slots: &SlotTable<H>) -> impl Iterator<Item = u32> {
        self.events.iter(slots)
    }

    /// Panics unless links and order agree; returns how many events there are.
    #[cfg(test)]
    pub(in crate::base) fn check<H>(&self, slots: &SlotTable<H>) -> usize {
        let mut last_ns = 0;
        for index in self.iter(slots) {
            assert!(
                slots[index].deadline_ns >= last_ns,
                "slot {index} is due before its predecessor"
            );
            last_ns = slots[index].deadline_ns;
        }
        self.events.check(slots)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::base::events::slot::{Interval, tests::plain};
    use crate::event::{Interest, Source};

    proptest! {
        #[test]
        fn the_list_agrees_with_an_ordered_map(
            steps in prop::collection::vec((0..2u8, 0..20u32, 0..30u64), 1..200))
        {
            let (mut list, mut slots) = (TimeoutList::new(5), SlotTable::new());
            for _ in 0..20 {
                let id = slots.insert(plain(Source::Timer, Interest::empty()));
                slots[id.index].set_interval(Interval::Common(0));
            }
            // By deadline, then by when it was set.
            let mut model: BTreeMap<(u64, usize), u32> = BTreeMap::new();
            for (when, (step, index, deadline_ns)) in steps.into_iter().enumerate() {
                match (step, model.iter().find(|(_, member)| **member == index).map(|m| *m.0)) {
                    (0, None) => {
                        slots[index].deadline_ns = deadline_ns;
                        list.insert(&mut slots, index);
                        model.insert((deadline_ns, when), index);
                    }
                    (1, Some(key)) => {
                        list.remove(&mut slots, index);
                        model.remove(&key);
                    }
                    _ => {}
                }
                prop_assert_eq!(list.check(&slots), model.len());
                prop_assert!(list.iter(&slots).eq(model.values().copied()));
                let first = model.first_key_value().map_or(u64::MAX, |((at, _), _)| *at);
                prop_assert_eq!(list.deadline_ns(&slots), first);
            }
        }
    }
}
