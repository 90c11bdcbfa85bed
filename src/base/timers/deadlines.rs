//! Deadlines: every running timeout, in the heap or in the list of its common duration.
//!
//! A list is in the heap by its head's deadline, as member `SLOTS_MAX` plus its own number. So
//! timeouts of both kinds expire in one order.

use super::common_timeout::TimeoutList;
use super::heap::{Members, TimerHeap};
use crate::base::events::slot::{Interval, SLOTS_MAX, SlotTable, State};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(in crate::base) struct Deadlines {
    heap: TimerHeap,
    lists: Vec<TimeoutList>,
}

/// The members of the heap: slots below `SLOTS_MAX`, lists from there on.
struct HeapMembers<'a, H> {
    slots: &'a mut SlotTable<H>,
    lists: &'a mut [TimeoutList],
}

impl<H> Members for HeapMembers<'_, H> {
    #[inline]
    fn moved(&mut self, member: u32, position: u32) {
        match list_of(member) {
            Some(number) => self.lists[number].heap_position = position,
            None => self.slots[member].set_heap_position(position),
        }
    }

    fn deadline_ns(&self, member: u32) -> u64 {
        match list_of(member) {
            Some(number) => self.lists[number].deadline_ns(self.slots),
            None => self.slots[member].deadline_ns,
        }
    }
}

fn list_of(member: u32) -> Option<usize> {
    member.checked_sub(SLOTS_MAX).map(|number| number as usize)
}

impl Deadlines {
    /// The number of a duration's list, created if it is new; `None` if 256 others exist.
    pub(in crate::base) fn list_for(&mut self, duration_ns: u64) -> Option<u8> {
        let known = self.lists.iter().position(|list| list.duration_ns == duration_ns);
        let number = u8::try_from(known.unwrap_or(self.lists.len())).ok()?;
        if known.is_none() {
            self.lists.push(TimeoutList::new(duration_ns));
        }
        Some(number)
    }

    /// The duration of a list; `None` if the base has no such list.
    pub(in crate::base) fn duration_ns(&self, number: u8) -> Option<u64> {
        self.lists.get(usize::from(number)).map(|list| list.duration_ns)
    }

    /// Starts an event's timeout, or moves a running one. A persistent event stores `interval`.
    #[inline(always)]
    pub(in crate::base) fn start<H>(
        &mut self,
        slots: &mut SlotTable<H>,
        index: u32,
        deadline_ns: u64,
        interval: Interval,
    ) {
        if let Interval::Common(number) = interval {
            self.start_common(slots, index, deadline_ns, number);
            return;
        }
        if slots[index].state.contains(State::IN_COMMON) {
            self.stop(slots, index);
        }
        let slot = &mut slots[index];
        slot.deadline_ns = deadline_ns;
        if slot.is_persistent() {
            slot.set_interval(interval);
        }
        if slot.state.contains(State::IN_HEAP) {
            let position = slot.heap_position();
            self.heap.update(position, deadline_ns, &mut members(slots, &mut self.lists));
        } else {
            slot.state |= State::IN_HEAP;
            self.heap.insert(index, deadline_ns, &mut members(slots, &mut self.lists));
        }
    }

    /// Stops an event's timeout, if it runs.
    #[inline(always)]
    pub(in crate::base) fn stop<H>(&mut self, slots: &mut SlotTable<H>, index: u32) {
        let slot = &mut slots[index];
        if slot.state.contains(State::IN_HEAP) {
            let position = slot.heap_position();
            slot.state -= State::IN_HEAP;
            self.heap.remove(position, &mut members(slots, &mut self.lists));
        } else if slot.state.contains(State::IN_COMMON)
            && let Interval::Common(number) = slot.interval()
        {
            self.remove_from_list(slots, index, number);
        }
    }

    fn start_common<H>(
        &mut self,
        slots: &mut SlotTable<H>,
        index: u32,
        deadline_ns: u64,
        number: u8,
    ) {
        self.stop(slots, index);
        let slot = &mut slots[index];
        slot.deadline_ns = deadline_ns;
        slot.set_interval(Interval::Common(number));
        slot.state |= State::IN_COMMON;
        let list = &mut self.lists[usize::from(number)];
        let was_empty = list.is_empty();
        list.insert(slots, index);
        let (deadline_ns, position) = (list.deadline_ns(slots), list.heap_position);
        let members = &mut members(slots, &mut self.lists);
        if was_empty {
            self.heap.insert(SLOTS_MAX + u32::from(number), deadline_ns, members);
        } else {
            self.heap.update(position, deadline_ns, members);
        }
    }

    fn remove_from_list<H>(&mut self, slots: &mut SlotTable<H>, index: u32, number: u8) {
        let list = &mut self.lists[usize::from(number)];
        list.remove(slots, index);
        slots[index].state -= State::IN_COMMON;
        if !slots[index].is_persistent() {
            // Only the links needed it.
            slots[index].set_interval(Interval::None);
        }
        if list.is_empty() {
            let position = list.heap_position;
            self.heap.remove(position, &mut members(slots, &mut self.lists));
        }
    }

    /// The earliest deadline, if that is until `exact_until_ns`; otherwise a time until which no
    /// event is due.
    pub(in crate::base) fn next_ns<H>(
        &mut self,
        slots: &mut SlotTable<H>,
        exact_until_ns: u64,
    ) -> Option<u64> {
        let first = self.heap.first(&mut members(slots, &mut self.lists), exact_until_ns);
        first.map(|(_, deadline_ns)| deadline_ns)
    }

    /// The event with the earliest deadline, if it is due at `now_ns`.
    pub(in crate::base) fn first_due<H>(
        &mut self,
        slots: &mut SlotTable<H>,
        now_ns: u64,
    ) -> Option<u32> {
        let (member, deadline_ns) =
            self.heap.first(&mut members(slots, &mut self.lists), now_ns)?;
        if deadline_ns > now_ns {
            return None;
        }
        match list_of(member) {
            Some(number) => self.lists[number].first(),
            None => Some(member),
        }
    }

    pub(in crate::base) fn is_empty(&self) -> bool {
        self.heap.len() == 0
    }

    /// How many timeouts run.
    pub(in crate::base) fn len(&self) -> usize {
        let busy = self.lists.iter().filter(|list| !list.is_empty());
        busy.fold(self.heap.len(), |len, list| len - 1 + list.len())
    }

    /// Every event with a running timeout: first the heap's, then the lists'.
    pub(in crate::base) fn iter<H>(&self, slots: &SlotTable<H>) -> impl Iterator<Item = u32> {
        let alone = self.heap.iter().filter(|member| list_of(*member).is_none());
        alone.chain(self.lists.iter().flat_map(|list| list.iter(slots)))
    }

    /// Panics unless heap, lists and slots agree.
    #[cfg(test)]
    pub(in crate::base) fn check<H>(&mut self, slots: &mut SlotTable<H>) {
        let listed: usize = self.lists.iter().map(|list| list.check(slots)).sum();
        let with = |state| slots.indices().filter(|i| slots[*i].state.contains(state)).count();
        assert_eq!(listed, with(State::IN_COMMON), "an event is on no list");
        assert_eq!(self.len(), with(State::IN_COMMON) + with(State::IN_HEAP), "a wrong number");
        let busy = self.lists.iter().filter(|list| !list.is_empty()).count();
        assert_eq!(self.heap.len(), with(State::IN_HEAP) + busy, "the heap misses a member");
        let positions: Vec<u32> = self.lists.iter().map(|list| list.heap_position).collect();
        let position_of = |slots: &SlotTable<H>, member| match list_of(member) {
            Some(number) => positions[number],
            None => slots[member].heap_position(),
        };
        let members = members(slots, &mut self.lists);
        self.heap.check(&members, |member| position_of(members.slots, member));
    }
}

fn members<'a, H>(slots: &'a mut SlotTable<H>, lists: &'a mut [TimeoutList]) -> HeapMembers<'a, H> {
    HeapMembers { slots, lists }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::base::events::slot::tests::plain;
    use crate::event::{Interest, Source};

    #[test]
    fn there_are_256_durations_and_no_257th() {
        let mut deadlines = Deadlines::default();
        for number in 0..=255 {
            assert_eq!(deadlines.list_for(u64::from(number) * 10), Some(number));
        }
        assert_eq!(deadlines.list_for(1), None);
        assert_eq!(deadlines.list_for(2550), Some(255), "known ones are found again");
        assert_eq!(deadlines.duration_ns(7), Some(70));
    }

    proptest! {
        #[test]
        fn heap_and_lists_expire_in_one_order(
            steps in prop::collection::vec((0..4u8, 0..20u32, 0..60u64), 1..200))
        {
            let (mut deadlines, mut slots) = (Deadlines::default(), SlotTable::new());
            for _ in 0..20 {
                slots.insert(plain(Source::Timer, Interest::empty()));
            }
            for number in 0..3 {
                deadlines.list_for(number);
            }
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            for (step, index, at) in steps {
                match step {
                    0 | 1 => {
                        let common = Interval::Common((at % 3) as u8);
                        let interval = if step == 0 { Interval::Ns(7) } else { common };
                        deadlines.start(&mut slots, index, at, interval);
                        model.insert(index, at);
                    }
                    2 => {
                        deadlines.stop(&mut slots, index);
                        model.remove(&index);
                    }
                    _ => while let Some(due) = deadlines.first_due(&mut slots, at) {
                        let earliest = *model.values().min().unwrap();
                        prop_assert_eq!(model.remove(&due), Some(earliest), "due in order");
                        deadlines.stop(&mut slots, due);
                    },
                }
                deadlines.check(&mut slots);
                let next_ns = deadlines.next_ns(&mut slots, u64::MAX);
                prop_assert_eq!(next_ns, model.values().min().copied());
                prop_assert_eq!(deadlines.is_empty(), model.is_empty());
                prop_assert!(model.iter().all(|(index, _)| slots[*index].has_timer()));
            }
        }
    }
}
