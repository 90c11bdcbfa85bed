//! Lists of slots, linked through the slots themselves. Adding and removing is O(1) and allocates
//! nothing. A slot has three pairs of links, one for each kind of list.

use std::marker::PhantomData;

use super::slot::{Links, NONE, Slot, SlotTable};

/// Which of a slot's links a list uses.
pub(in crate::base) trait Chain {
    fn links<H>(slot: &Slot<H>) -> Links;
    fn set_links<H>(slot: &mut Slot<H>, links: Links);
}

/// The events of one active queue.
#[derive(Debug)]
pub(in crate::base) struct InQueue;

impl Chain for InQueue {
    fn links<H>(slot: &Slot<H>) -> Links {
        slot.in_queue
    }

    fn set_links<H>(slot: &mut Slot<H>, links: Links) {
        slot.in_queue = links;
    }
}

/// The events of one common timeout.
#[derive(Debug)]
pub(in crate::base) struct OfTimeout;

impl Chain for OfTimeout {
    fn links<H>(slot: &Slot<H>) -> Links {
        slot.common_links()
    }

    fn set_links<H>(slot: &mut Slot<H>, links: Links) {
        slot.set_common_links(links);
    }
}

/// A list with two ends.
#[derive(Debug)]
pub(in crate::base) struct List<K> {
    first: u32,
    last: u32,
    chain: PhantomData<K>,
}

impl<K: Chain> List<K> {
    pub(in crate::base) const fn new() -> Self {
        Self { first: NONE, last: NONE, chain: PhantomData }
    }

    pub(in crate::base) fn is_empty(&self) -> bool {
        self.first == NONE
    }

    pub(in crate::base) fn first(&self) -> Option<u32> {
        slot_of(self.first)
    }

    pub(in crate::base) fn last(&self) -> Option<u32> {
        slot_of(self.last)
    }

    pub(in crate::base) fn push_back<H>(&mut self, slots: &mut SlotTable<H>, index: u32) {
        let prev = std::mem::replace(&mut self.last, index);
        K::set_links(&mut slots[index], Links { prev, next: NONE });
        self.set_next(slots, prev, index);
    }

    /// Inserts after the member `prev`, or first if that is `NONE`.
    pub(in crate::base) fn insert_after<H>(
        &mut self,
        slots: &mut SlotTable<H>,
        prev: u32,
        index: u32,
    ) {
        let next = if prev == NONE { self.first } else { K::links(&slots[prev]).next };
        K::set_links(&mut slots[index], Links { prev, next });
        self.set_next(slots, prev, index);
        self.set_prev(slots, next, index);
    }

    /// Removes the first member.
    pub(in crate::base) fn pop_front<H>(&mut self, slots: &mut SlotTable<H>) -> Option<u32> {
        let index = self.first()?;
        let slot = &mut slots[index];
        let next = K::links(slot).next;
        K::set_links(slot, Links::UNLINKED);
        self.first = next;
        self.set_prev(slots, next, NONE);
        Some(index)
    }

    /// Removes a member from any position.
    pub(in crate::base) fn remove<H>(&mut self, slots: &mut SlotTable<H>, index: u32) {
        let slot = &mut slots[index];
        let Links { prev, next } = K::links(slot);
        K::set_links(slot, Links::UNLINKED);
        self.set_next(slots, prev, next);
        self.set_prev(slots, next, prev);
    }

    /// The members from first to last.
    pub(in crate::base) fn iter<H>(&self, slots: &SlotTable<H>) -> impl Iterator<Item = u32> {
        let next = move |&index: &u32| slot_of(K::links(&slots[index]).next);
        std::iter::successors(self.first(), next)
    }

    fn set_next<H>(&mut self, slots: &mut SlotTable<H>, of: u32, next: u32) {
        if of == NONE {
            self.first = next;
        } else {
            let slot = &mut slots[of];
            K::set_links(slot, Links { next, ..K::links(slot) });
        }
    }

    fn set_prev<H>(&mut self, slots: &mut SlotTable<H>, of: u32, prev: u32) {
        if of == NONE {
            self.last = prev;
        } else {
            let slot = &mut slots[of];
            K::set_links(slot, Links { prev, ..K::links(slot) });
        }
    }

    /// Panics unless the links agree; returns how many members there are.
    #[cfg(test)]
    pub(in crate::base) fn check<H>(&self, slots: &SlotTable<H>) -> usize {
        let (mut members, mut last) = (0, NONE);
        for index in self.iter(slots) {
            assert_eq!(K::links(&slots[index]).prev, last, "slot {index} has a wrong link");
            (last, members) = (index, members + 1);
        }
        assert_eq!(self.last, last, "the list's end is wrong");
        members
    }
}

/// A list with one end, for the many lists of few members: four bytes. The newest member is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::base) struct Stack(u32);

impl Stack {
    pub(in crate::base) const EMPTY: Self = Self(NONE);

    pub(in crate::base) fn is_empty(self) -> bool {
        self.0 == NONE
    }

    /// The newest member.
    pub(in crate::base) fn first(self) -> Option<u32> {
        slot_of(self.0)
    }

    /// The member, if there is exactly one.
    pub(in crate::base) fn only<H>(self, slots: &SlotTable<H>) -> Option<u32> {
        (self.0 != NONE && slots[self.0].of_source.next == NONE).then_some(self.0)
    }

    pub(in crate::base) fn push<H>(&mut self, slots: &mut SlotTable<H>, index: u32) {
        let next = std::mem::replace(&mut self.0, index);
        slots[index].of_source = Links { prev: NONE, next };
        if next != NONE {
            slots[next].of_source.prev = index;
        }
    }

    pub(in crate::base) fn remove<H>(&mut self, slots: &mut SlotTable<H>, index: u32) {
        let links = std::mem::replace(&mut slots[index].of_source, Links::UNLINKED);
        let Links { prev, next } = links;
        if prev == NONE {
            self.0 = next;
        } else {
            slots[prev].of_source.next = next;
        }
        if next != NONE {
            slots[next].of_source.prev = prev;
        }
    }

    pub(in crate::base) fn iter<H>(self, slots: &SlotTable<H>) -> impl Iterator<Item = u32> {
        let mut cursor = self.cursor();
        std::iter::from_fn(move || cursor.next(slots))
    }

    /// A cursor before the newest member.
    pub(in crate::base) fn cursor(self) -> Cursor {
        Cursor(self.0)
    }
}

/// A position in a stack, for loops that change the slots meanwhile. The member returned last may
/// be removed; the one after it must stay.
pub(in crate::base) struct Cursor(u32);

impl Cursor {
    /// The next older member.
    pub(in crate::base) fn next<H>(&mut self, slots: &SlotTable<H>) -> Option<u32> {
        let index = slot_of(self.0)?;
        self.0 = slots[index].of_source.next;
        Some(index)
    }
}

/// The slot that a link names, if it names one.
fn slot_of(link: u32) -> Option<u32> {
    (link != NONE).then_some(link)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::events::slot::{Interval, tests::plain};
    use crate::event::{Interest, Source};

    fn ten_slots() -> SlotTable<()> {
        let mut slots = SlotTable::new();
        for _ in 0..10 {
            let id = slots.insert(plain(Source::Timer, Interest::empty()));
            slots[id.index].set_interval(Interval::Common(3));
        }
        slots
    }

    fn agrees_with_a_vector<K: Chain>(steps: &[(u8, u32, usize)]) {
        let (mut list, mut slots) = (List::<K>::new(), ten_slots());
        let mut model: Vec<u32> = Vec::new();
        for &(step, index, at) in steps {
            match (step, model.iter().position(|&member| member == index)) {
                (0, None) => {
                    list.push_back(&mut slots, index);
                    model.push(index);
                }
                (1, None) => {
                    let at = at % (model.len() + 1);
                    let prev = if at == 0 { NONE } else { model[at - 1] };
                    list.insert_after(&mut slots, prev, index);
                    model.insert(at, index);
                }
                (2, Some(at)) => {
                    list.remove(&mut slots, index);
                    model.remove(at);
                }
                (3, _) => {
                    let first = (!model.is_empty()).then(|| model.remove(0));
                    assert_eq!(list.pop_front(&mut slots), first);
                }
                _ => {}
            }
            assert_eq!(list.check(&slots), model.len());
            assert!(list.iter(&slots).eq(model.iter().copied()));
            assert_eq!(
                (list.first(), list.last()),
                (model.first().copied(), model.last().copied())
            );
        }
    }

    proptest! {
        #[test]
        fn every_kind_of_list_agrees_with_a_vector(
            steps in prop::collection::vec((0..4u8, 0..10u32, 0..10usize), 1..200))
        {
            agrees_with_a_vector::<InQueue>(&steps);
            agrees_with_a_vector::<OfTimeout>(&steps);
        }

        #[test]
        fn a_stack_agrees_with_a_vector(steps in prop::collection::vec((0..2u8, 0..10u32), 1..200))
        {
            let (mut stack, mut slots) = (Stack::EMPTY, ten_slots());
            let mut model: Vec<u32> = Vec::new();
            for (step, index) in steps {
                match (step, model.iter().position(|&member| member == index)) {
                    (0, None) => {
                        stack.push(&mut slots, index);
                        model.insert(0, index);
                    }
                    (1, Some(at)) => {
                        stack.remove(&mut slots, index);
                        model.remove(at);
                    }
                    _ => {}
                }
                prop_assert!(stack.iter(&slots).eq(model.iter().copied()));
                prop_assert_eq!(stack.first(), model.first().copied());
                prop_assert_eq!(stack.is_empty(), model.is_empty());
                let only = if let [one] = model[..] { Some(one) } else { None };
                prop_assert_eq!(stack.only(&slots), only);
            }
        }
    }
}
