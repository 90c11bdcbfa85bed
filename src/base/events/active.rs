//! The active queues: events whose handlers are due, one first-in-first-out queue per priority.
//!
//! As in libevent, an event that a handler activates is appended and runs in the same pass. An
//! event that a handler deletes is removed and does not run. Events for the next turn wait in
//! a queue of their own (libevent: `active_later_queue`).

use super::list::{InQueue, List};
use super::slot::{SlotTable, State};

/// See the module's documentation.
#[derive(Debug)]
pub(in crate::base) struct ActiveQueues {
    /// By priority; lower numbers run earlier.
    queues: Vec<List<InQueue>>,
    later: List<InQueue>,
    /// The number of events in all queues.
    len: u32,
}

impl ActiveQueues {
    pub(in crate::base) fn new(priorities: u8) -> Self {
        let queues = (0..priorities.max(1)).map(|_| List::new()).collect();
        Self { queues, later: List::new(), len: 0 }
    }

    /// How many priorities there are, at least one.
    pub(in crate::base) fn priorities(&self) -> u8 {
        self.queues.len() as u8
    }

    /// Whether no event is due, now or in the next turn.
    #[inline]
    pub(in crate::base) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first priority from `from` on at which an event is due.
    #[inline]
    pub(in crate::base) fn first_priority(&self, from: u8) -> Option<u8> {
        let at = self.queues.iter().skip(usize::from(from)).position(|queue| !queue.is_empty())?;
        Some(from + at as u8)
    }

    /// Removes the next event of this priority.
    pub(in crate::base) fn pop<H>(
        &mut self,
        slots: &mut SlotTable<H>,
        priority: u8,
    ) -> Option<u32> {
        // A handler may have changed the number of priorities.
        let index = self.queues.get_mut(usize::from(priority))?.pop_front(slots)?;
        self.len -= 1;
        slots[index].state -= State::ACTIVE;
        Some(index)
    }

    /// Appends an event that is in no queue to the queue of its priority.
    pub(in crate::base) fn push<H>(&mut self, slots: &mut SlotTable<H>, index: u32) {
        let slot = &mut slots[index];
        debug_assert!(!slot.is_active());
        slot.state |= State::ACTIVE;
        let priority = usize::from(slot.priority);
        self.len += 1;
        self.queues[priority].push_back(slots, index);
    }

    /// Appends an event that is in no queue to the queue of the next turn.
    pub(in crate::base) fn push_later<H>(&mut self, slots: &mut SlotTable<H>, index: u32) {
        debug_assert!(!slots[index].is_active());
        slots[index].state |= State::LATER;
        self.len += 1;
        self.later.push_back(slots, index);
    }

    /// Removes an event from its queue.
    pub(in crate::base) fn remove<H>(&mut self, slots: &mut SlotTable<H>, index: u32) {
        let slot = &mut slots[index];
        let (was_later, priority) = (slot.state.contains(State::LATER), slot.priority);
        slot.state -= State::QUEUED;
        let queue =
            if was_later { &mut self.later } else { &mut self.queues[usize::from(priority)] };
        self.len -= 1;
        queue.remove(slots, index);
    }

    /// Moves the events of the next turn into their priorities' queues, when that turn begins.
    pub(in crate::base) fn promote_later<H>(&mut self, slots: &mut SlotTable<H>) {
        while let Some(index) = self.later.first() {
            self.remove(slots, index);
            self.push(slots, index);
        }
    }

    /// Every event that is due: by priority, then those of the next turn.
    pub(in crate::base) fn iter<H>(&self, slots: &SlotTable<H>) -> impl Iterator<Item = u32> {
        self.queues.iter().chain([&self.later]).flat_map(|queue| queue.iter(slots))
    }

    /// Panics unless links and states agree.
    #[cfg(test)]
    pub(in crate::base) fn check<H>(&self, slots: &SlotTable<H>) {
        let queued: usize = self.queues.iter().map(|queue| queue.check(slots)).sum();
        for (priority, queue) in self.queues.iter().enumerate() {
            for index in queue.iter(slots) {
                assert!(slots[index].state.contains(State::ACTIVE), "slot {index} is not active");
                assert_eq!(usize::from(slots[index].priority), priority, "slot {index}");
            }
        }
        for index in self.iter(slots) {
            assert!(!slots[index].ready.is_empty(), "slot {index} is active without a reason");
        }
        let with = |state| slots.indices().filter(|i| slots[*i].state.contains(state)).count();
        assert_eq!(with(State::ACTIVE), queued, "an active event is in no queue");
        let later = self.later.check(slots);
        assert_eq!(with(State::LATER), later, "one for later is in no queue");
        assert_eq!(self.len as usize, queued + later, "the number of events is wrong");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;
    use crate::base::events::slot::tests::plain;
    use crate::event::{Interest, Ready, Source};

    const PRIORITIES: u8 = 3;

    proptest! {
        #[test]
        fn each_queue_is_a_fifo_that_members_may_leave(
            steps in prop::collection::vec((0..5u8, 0..12u32), 1..200))
        {
            let (mut active, mut slots) = (ActiveQueues::new(PRIORITIES), SlotTable::new());
            let mut model: Vec<VecDeque<u32>> = vec![VecDeque::new(); 3];
            let mut later: VecDeque<u32> = VecDeque::new();
            for number in 0..12 {
                let id = slots.insert(plain(Source::Timer, Interest::empty()));
                slots[id.index].ready = Ready::TIMEOUT;
                slots[id.index].priority = number % PRIORITIES;
            }
            for (step, index) in steps {
                let idle = !slots[index].is_active();
                let priority = index as usize % 3;
                match step {
                    0 if idle => {
                        active.push(&mut slots, index);
                        model[priority].push_back(index);
                    }
                    1 if idle => {
                        active.push_later(&mut slots, index);
                        later.push_back(index);
                    }
                    2 if !idle => {
                        active.remove(&mut slots, index);
                        model[priority].retain(|other| *other != index);
                        later.retain(|other| *other != index);
                    }
                    3 => {
                        active.promote_later(&mut slots);
                        later.drain(..).for_each(|i| model[i as usize % 3].push_back(i));
                    }
                    4 => {
                        let popped = active.pop(&mut slots, priority as u8);
                        prop_assert_eq!(popped, model[priority].pop_front());
                    }
                    _ => {}
                }
                active.check(&slots);
                for from in 0..PRIORITIES {
                    let first = (from..PRIORITIES).find(|p| !model[usize::from(*p)].is_empty());
                    prop_assert_eq!(active.first_priority(from), first);
                }
                let all: Vec<u32> = model.iter().chain([&later]).flatten().copied().collect();
                prop_assert_eq!(active.is_empty(), all.is_empty());
                prop_assert!(active.iter(&slots).eq(all));
            }
        }
    }
}
