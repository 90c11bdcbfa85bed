//! Slots: where events live. A generational slab; 64 bytes, one cache line, an event.

use std::num::NonZeroU32;
use std::os::fd::RawFd;

use super::Handler;
use crate::event::{EventId, Fired, Interest, Ready, Token};

/// "No slot" in an index link.
pub(super) const NONE: u32 = u32::MAX;

/// "No descriptor". Not -1, which is what a failed call returns: that is an error to be told.
const NO_FD: RawFd = RawFd::MIN;

bitflags::bitflags! {
    /// What kind of event a slot holds and which memberships it has.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Flags: u8 {
        /// The slot holds an event.
        const OCCUPIED = 0x01;
        /// Stays pending when it fires.
        const PERSIST = 0x02;
        /// Edge triggered.
        const EDGE = 0x04;
        /// Its descriptor is not closed between a del and an add.
        const STABLE_FD = 0x08;
        /// Belongs to the base itself: not counted, keeps no loop alive.
        const INTERNAL = 0x10;
        /// In the descriptor map (libevent: `EVLIST_INSERTED`).
        const INSERTED = 0x20;
        /// In the active queue (libevent: `EVLIST_ACTIVE`).
        const ACTIVE = 0x40;
    }
}

/// Neighbours in an index-linked list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Links {
    pub(super) prev: u32,
    pub(super) next: u32,
}

impl Links {
    pub(super) const UNLINKED: Self = Self { prev: NONE, next: NONE };
}

/// One event. Its timer membership is `heap_pos`; the other two are flags.
pub(super) struct Slot<C> {
    pub(super) handler: Handler<C>,
    pub(super) token: Token,
    /// When its timeout is, or last was, due.
    pub(super) deadline_ns: u64,
    /// Interval of a persistent event with a timeout; 0 is none.
    pub(super) interval_ns: u64,
    generation: NonZeroU32,
    fd: RawFd,
    /// Position in the timer heap, or `NONE`.
    pub(super) heap_pos: u32,
    /// The other events of its descriptor; the free list of vacant slots uses `next`.
    pub(super) on_fd: Links,
    /// Its neighbours in the active queue.
    pub(super) in_queue: Links,
    pub(super) flags: Flags,
    pub(super) interest: Interest,
    /// Why it is active.
    pub(super) ready: Ready,
}

const _: () = assert!(size_of::<Slot<()>>() == 64, "a slot is one cache line");

impl<C> Slot<C> {
    pub(super) fn fd(&self) -> Option<RawFd> {
        (self.fd != NO_FD).then_some(self.fd)
    }

    pub(super) fn has_timer(&self) -> bool {
        self.heap_pos != NONE
    }

    pub(super) fn is_internal(&self) -> bool {
        self.flags.contains(Flags::INTERNAL)
    }

    pub(super) fn is_edge(&self) -> bool {
        self.flags.contains(Flags::EDGE)
    }

    /// What its handler is told now.
    pub(super) fn fired(&self, index: u32) -> Fired {
        let id = EventId { index, generation: self.generation };
        Fired { id, fd: self.fd(), ready: self.ready, token: self.token }
    }
}

/// What a new slot is filled with.
pub(super) struct Contents<C> {
    pub(super) handler: Handler<C>,
    pub(super) fd: Option<RawFd>,
    pub(super) interest: Interest,
    pub(super) token: Token,
    pub(super) flags: Flags,
}

/// All slots of a base.
pub(super) struct SlotTable<C> {
    slots: Vec<Slot<C>>,
    first_vacant: u32,
    occupied: u32,
}

impl<C> SlotTable<C> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), first_vacant: NONE, occupied: 0 }
    }

    /// How many events exist.
    pub(super) fn len(&self) -> usize {
        self.occupied as usize
    }

    /// Puts an event into a vacant slot, the most recently vacated first: its line is warm.
    pub(super) fn insert(&mut self, contents: Contents<C>) -> EventId {
        let generation = match self.slots.get(self.first_vacant as usize) {
            Some(vacant) => vacant.generation,
            None => NonZeroU32::MIN,
        };
        let slot = Slot {
            handler: contents.handler,
            token: contents.token,
            deadline_ns: 0,
            interval_ns: 0,
            generation,
            fd: contents.fd.map_or(NO_FD, |fd| fd.max(-1)),
            heap_pos: NONE,
            on_fd: Links::UNLINKED,
            in_queue: Links::UNLINKED,
            flags: contents.flags | Flags::OCCUPIED,
            interest: contents.interest,
            ready: Ready::empty(),
        };
        self.occupied += 1;
        let index = self.place(slot);
        EventId { index, generation }
    }

    fn place(&mut self, slot: Slot<C>) -> u32 {
        let index = self.first_vacant;
        if let Some(vacant) = self.slots.get_mut(index as usize) {
            self.first_vacant = vacant.on_fd.next;
            *vacant = slot;
            return index;
        }
        let index = u32::try_from(self.slots.len()).unwrap_or(NONE);
        assert!(index < NONE, "a base holds at most 2^32 - 1 events");
        self.slots.push(slot);
        index
    }

    /// Vacates the slot; from now on its id is stale.
    pub(super) fn remove(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        debug_assert!(slot.flags.contains(Flags::OCCUPIED));
        slot.flags = Flags::empty();
        // After 2^32 - 1 events in one slot its ids repeat; nobody keeps an id that long.
        slot.generation = slot.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        slot.on_fd = Links { prev: NONE, next: self.first_vacant };
        self.first_vacant = index;
        self.occupied -= 1;
    }

    /// The slot an id names; `None` when the id is stale. The one place ids are resolved.
    pub(super) fn index_of(&self, id: EventId) -> Option<u32> {
        let slot = self.slots.get(id.index as usize)?;
        (slot.generation == id.generation && slot.flags.contains(Flags::OCCUPIED))
            .then_some(id.index)
    }

    /// Indices of all occupied slots.
    #[cfg(test)]
    pub(super) fn indices(&self) -> impl Iterator<Item = u32> {
        (0_u32..)
            .zip(&self.slots)
            .filter_map(|(index, slot)| slot.flags.contains(Flags::OCCUPIED).then_some(index))
    }
}

impl<C> std::ops::Index<u32> for SlotTable<C> {
    type Output = Slot<C>;

    fn index(&self, index: u32) -> &Slot<C> {
        &self.slots[index as usize]
    }
}

impl<C> std::ops::IndexMut<u32> for SlotTable<C> {
    fn index_mut(&mut self, index: u32) -> &mut Slot<C> {
        &mut self.slots[index as usize]
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An event with nothing special about it.
    pub(in crate::base) fn plain(fd: Option<RawFd>, interest: Interest) -> Contents<()> {
        Contents {
            handler: |_, (), _| {},
            fd,
            interest,
            token: Token::default(),
            flags: Flags::PERSIST,
        }
    }

    fn timer() -> Contents<()> {
        plain(None, Interest::empty())
    }

    #[test]
    fn a_freed_id_never_names_the_slots_next_event() {
        let mut table = SlotTable::new();
        let first = table.insert(timer());
        table.remove(first.index);
        assert_eq!(table.index_of(first), None);
        let second = table.insert(timer());
        assert_eq!(second.index, first.index, "the slot is reused");
        assert_eq!(table.index_of(first), None);
        assert_eq!(table.index_of(second), Some(second.index));
    }

    #[test]
    fn generations_wrap_around_zero() {
        let mut table = SlotTable::new();
        let first = table.insert(timer());
        table.slots[0].generation = NonZeroU32::MAX;
        table.remove(first.index);
        let next = table.insert(timer());
        assert_eq!(next.generation, NonZeroU32::MIN);
        assert_eq!(table.index_of(next), Some(0));
    }

    proptest! {
        #[test]
        fn ids_resolve_exactly_while_their_event_lives(
            steps in prop::collection::vec((prop::bool::weighted(0.6), 0..100_usize), 1..200))
        {
            let (mut table, mut live, mut dead) = (SlotTable::new(), Vec::new(), Vec::new());
            for (insert, pick) in steps {
                if insert || live.is_empty() {
                    live.push(table.insert(timer()));
                } else {
                    let id: EventId = live.swap_remove(pick % live.len());
                    table.remove(id.index);
                    dead.push(id);
                }
                prop_assert!(live.iter().all(|id| table.index_of(*id) == Some(id.index)));
                prop_assert!(dead.iter().all(|id| table.index_of(*id).is_none()));
                prop_assert_eq!(table.len(), live.len());
                prop_assert_eq!(table.indices().count(), live.len());
            }
        }
    }
}
