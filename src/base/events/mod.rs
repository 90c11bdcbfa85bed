//! Events: their slots, the lists through the slots, and the maps and queues that hold them.

pub(super) mod active;
pub(super) mod fd_map;
pub(super) mod list;
pub(super) mod signal;
pub(super) mod slot;

use crate::base::leniency::Leniency;
use crate::base::stats::Counts;
use crate::error::Error;
use crate::event::{EventId, Ready};
use active::ActiveQueues;
use fd_map::FdMap;
use signal::{SignalMethod, Signals};
use slot::{Contents, SlotTable};

/// All events of a base, what each is a member of, and the counts of memberships.
pub(in crate::base) struct Events<H> {
    pub(in crate::base) slots: SlotTable<H>,
    pub(in crate::base) fds: FdMap,
    pub(in crate::base) signals: Signals,
    pub(in crate::base) active: ActiveQueues,
    pub(in crate::base) counts: Counts,
    /// The errors of events that are active with [`Ready::REFUSED`], until they are taken.
    refusals: Vec<(EventId, Error)>,
}

impl<H> Events<H> {
    pub(in crate::base) fn new(signals: SignalMethod, priorities: u8, leniency: Leniency) -> Self {
        Self {
            slots: SlotTable::new(),
            fds: FdMap::new(leniency),
            signals: Signals::new(signals),
            active: ActiveQueues::new(priorities),
            counts: Counts::default(),
            refusals: Vec::new(),
        }
    }

    /// Adds reasons to call an event's handler, and makes the event active in the next turn. An
    /// event that is active already stays in its queue.
    pub(in crate::base) fn activate_later(&mut self, index: u32, ready: Ready) {
        let slot = &mut self.slots[index];
        slot.ready |= ready;
        if !ready.is_empty() && !slot.is_active() {
            self.counts.activate(slot.counted());
            self.active.push_later(&mut self.slots, index);
        }
    }

    /// Removes an active event from its queue, with all reasons.
    #[inline(never)]
    pub(in crate::base) fn deactivate(&mut self, index: u32) {
        self.active.remove(&mut self.slots, index);
        let slot = &mut self.slots[index];
        self.counts.deactivate(slot.counted());
        slot.ready = Ready::empty();
        if slot.source().signal().is_some() {
            let id = slot.id(index);
            self.signals.take_calls(id);
        }
    }

    /// Stores why an event could not be pending, instead of an older error.
    pub(in crate::base) fn put_refusal(&mut self, index: u32, error: Error) {
        self.forget_refusal(index);
        self.refusals.push((self.slots[index].id(index), error));
    }

    /// Takes the error of an event that could not be pending.
    pub(in crate::base) fn take_refusal(&mut self, id: EventId) -> Option<Error> {
        let at = self.refusals.iter().position(|(refused, _)| *refused == id)?;
        Some(self.refusals.swap_remove(at).1)
    }

    /// Vacates the slot of an event that is a member of nothing.
    #[inline]
    pub(in crate::base) fn free(&mut self, index: u32) {
        if !self.refusals.is_empty() {
            self.forget_refusal(index);
        }
        self.slots.remove(index);
    }

    /// Stores another event in the slot of one that is a member of nothing.
    #[inline]
    pub(in crate::base) fn replace(&mut self, index: u32, contents: Contents<H>) -> EventId {
        if !self.refusals.is_empty() {
            self.forget_refusal(index);
        }
        self.slots.replace(index, contents)
    }

    #[cold]
    fn forget_refusal(&mut self, index: u32) {
        let id = self.slots[index].id(index);
        self.refusals.retain(|(refused, _)| *refused != id);
    }

    /// Panics unless all structures agree with each other.
    #[cfg(test)]
    pub(in crate::base) fn check(&self) {
        self.fds.check(&self.slots);
        self.active.check(&self.slots);
        let slots: Vec<_> = self.slots.indices().map(|index| &self.slots[index]).collect();
        let users = slots.iter().filter(|slot| !slot.is_internal());
        let memberships = users.clone().map(|slot| {
            let inserted = slot.state.contains(slot::State::INSERTED);
            usize::from(inserted) + usize::from(slot.has_timer()) + usize::from(slot.is_active())
        });
        assert_eq!(self.counts.now.added, memberships.sum::<usize>());
        assert_eq!(self.counts.now.active, users.filter(|slot| slot.is_active()).count());
    }
}
