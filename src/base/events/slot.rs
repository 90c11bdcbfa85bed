//! Slots: the storage of events, a generational slab. A slot is 64 bytes, one cache line.

use std::num::NonZeroU32;

use crate::error::{Error, Result};
use crate::event::{EventId, Fired, Interest, PackedSource, Ready, Source, Token};

/// "No slot" in a link.
pub(in crate::base) const NONE: u32 = u32::MAX;

/// Neighbours in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::base) struct Links {
    pub(in crate::base) prev: u32,
    pub(in crate::base) next: u32,
}

impl Links {
    pub(in crate::base) const UNLINKED: Self = Self { prev: NONE, next: NONE };
}

bitflags::bitflags! {
    /// The event's description, fixed when it is created. The numbers are libevent's `EV_*`, where
    /// it has them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in crate::base) struct EventFlags: u8 {
        /// Ends when it fires.
        const ONCE = 0x01;
        const READ = 0x02;
        const WRITE = 0x04;
        /// Belongs to the base itself: it is not counted and does not keep the loop alive.
        const INTERNAL = 0x08;
        /// Stays pending when it fires.
        const PERSIST = 0x10;
        /// Edge triggered.
        const EDGE = 0x20;
        /// Its descriptor is not closed while it exists.
        const STABLE_FD = 0x40;
        const CLOSED = 0x80;
    }
}

bitflags::bitflags! {
    /// The memberships of an event. They combine.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in crate::base) struct State: u8 {
        /// The slot holds an event.
        const OCCUPIED = 0x01;
        /// In the map of descriptors or of signals (libevent: `EVLIST_INSERTED`).
        const INSERTED = 0x02;
        /// In the timer heap.
        const IN_HEAP = 0x04;
        /// In the list of a common timeout. (With `IN_HEAP`, libevent's `EVLIST_TIMEOUT`.)
        const IN_COMMON = 0x08;
        /// In an active queue (libevent: `EVLIST_ACTIVE`).
        const ACTIVE = 0x10;
        /// Becomes active at the next turn (libevent: `EVLIST_ACTIVE_LATER`).
        const LATER = 0x20;

        /// Waits for its source, or its timeout runs.
        const PENDING = Self::INSERTED.bits() | Self::TIMED.bits();
        /// Its timeout runs.
        const TIMED = Self::IN_HEAP.bits() | Self::IN_COMMON.bits();
        /// In a queue, now or at the next turn.
        const QUEUED = Self::ACTIVE.bits() | Self::LATER.bits();
    }
}

/// The interval of a persistent event and, while it is in the list of a common timeout, its
/// successor there. One word holds both, because such an event's interval is its list's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct IntervalWord(u64);

/// What re-arms a persistent event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::base) enum Interval {
    None,
    Ns(u64),
    /// The number of a common timeout.
    Common(u8),
}

impl IntervalWord {
    const NONE: Self = Self(0);
    /// Set for a common timeout; its number and link are in the lower bits. 2^63 ns are 292 years.
    const COMMON: u64 = 1 << 63;
    const NUMBER_SHIFT: u32 = 32;

    #[inline]
    fn pack(interval: Interval) -> Self {
        match interval {
            Interval::None => Self::NONE,
            Interval::Ns(ns) => Self(ns.min(Self::COMMON - 1)),
            Interval::Common(number) => {
                Self(Self::COMMON | u64::from(number) << Self::NUMBER_SHIFT | u64::from(NONE))
            }
        }
    }

    fn unpack(self) -> Interval {
        match self.0 {
            0 => Interval::None,
            ns if ns & Self::COMMON == 0 => Interval::Ns(ns),
            word => Interval::Common((word >> Self::NUMBER_SHIFT) as u8),
        }
    }

    fn link(self) -> u32 {
        self.0 as u32
    }

    fn set_link(&mut self, link: u32) {
        debug_assert!(self.0 & Self::COMMON != 0, "only a common timeout links its events");
        // The link is the lower half.
        self.0 = self.0 >> 32 << 32 | u64::from(link);
    }
}

/// One event. `H` is the type of its handler, which this folder stores and never calls.
pub(in crate::base) struct Slot<H> {
    pub(in crate::base) handler: H,
    pub(in crate::base) token: Token,
    /// The deadline of its current or last timeout.
    pub(in crate::base) deadline_ns: u64,
    interval: IntervalWord,
    generation: NonZeroU32,
    source: PackedSource,
    /// Its position in the timer heap, or its predecessor in the list of a common timeout.
    timer_link: u32,
    /// The other events of its source; the list of vacant slots uses `next`.
    pub(in crate::base) of_source: Links,
    /// Its neighbours in the active queue.
    pub(in crate::base) in_queue: Links,
    pub(in crate::base) flags: EventFlags,
    pub(in crate::base) state: State,
    /// Why it is active.
    pub(in crate::base) ready: Ready,
    /// Lower numbers run earlier.
    pub(in crate::base) priority: u8,
}

const _: () = assert!(size_of::<Slot<fn()>>() == 64, "a slot is one cache line");

impl<H> Slot<H> {
    #[inline]
    fn new(contents: Contents<H>, generation: NonZeroU32) -> Self {
        Self {
            handler: contents.handler,
            token: contents.token,
            deadline_ns: 0,
            interval: IntervalWord::NONE,
            generation,
            source: PackedSource::pack(contents.source),
            timer_link: NONE,
            of_source: Links::UNLINKED,
            in_queue: Links::UNLINKED,
            flags: contents.flags,
            state: State::OCCUPIED,
            ready: Ready::empty(),
            priority: contents.priority,
        }
    }

    pub(in crate::base) fn source(&self) -> Source {
        self.source.unpack()
    }

    /// Whether it may wait for a descriptor or a signal.
    #[inline]
    pub(in crate::base) fn has_source(&self) -> bool {
        !self.source.is_timer()
    }

    pub(in crate::base) fn interest(&self) -> Interest {
        Interest::from_bits_truncate(self.flags.bits())
    }

    pub(in crate::base) fn has_timer(&self) -> bool {
        self.state.intersects(State::TIMED)
    }

    pub(in crate::base) fn is_active(&self) -> bool {
        self.state.intersects(State::QUEUED)
    }

    pub(in crate::base) fn is_internal(&self) -> bool {
        self.flags.contains(EventFlags::INTERNAL)
    }

    pub(in crate::base) fn is_edge(&self) -> bool {
        self.flags.contains(EventFlags::EDGE)
    }

    pub(in crate::base) fn is_persistent(&self) -> bool {
        self.flags.contains(EventFlags::PERSIST)
    }

    /// 1 for the user's events, 0 for those of the base itself.
    pub(in crate::base) fn counted(&self) -> usize {
        usize::from(!self.is_internal())
    }

    pub(in crate::base) fn has_interval(&self) -> bool {
        self.interval != IntervalWord::NONE
    }

    pub(in crate::base) fn interval(&self) -> Interval {
        self.interval.unpack()
    }

    /// Only while it is in no list of a common timeout.
    #[inline]
    pub(in crate::base) fn set_interval(&mut self, interval: Interval) {
        debug_assert!(!self.state.contains(State::IN_COMMON));
        self.interval = IntervalWord::pack(interval);
    }

    /// Moves its deadline away, if it is in the timer heap, which need not know. Returns whether it
    /// did.
    #[inline]
    pub(in crate::base) fn postpone(&mut self, deadline_ns: u64) -> bool {
        let moves_away = self.state.contains(State::IN_HEAP) && deadline_ns >= self.deadline_ns;
        if moves_away {
            self.deadline_ns = deadline_ns;
        }
        moves_away
    }

    pub(in crate::base) fn heap_position(&self) -> u32 {
        debug_assert!(self.state.contains(State::IN_HEAP));
        self.timer_link
    }

    pub(in crate::base) fn set_heap_position(&mut self, position: u32) {
        self.timer_link = position;
    }

    pub(in crate::base) fn common_links(&self) -> Links {
        Links { prev: self.timer_link, next: self.interval.link() }
    }

    pub(in crate::base) fn set_common_links(&mut self, links: Links) {
        self.timer_link = links.prev;
        self.interval.set_link(links.next);
    }

    pub(in crate::base) fn id(&self, index: u32) -> EventId {
        EventId { index, generation: self.generation }
    }

    /// The argument of its handler.
    pub(in crate::base) fn fired(&self, index: u32) -> Fired {
        Fired { id: self.id(index), source: self.source, ready: self.ready, token: self.token }
    }
}

/// No slot has this index or a higher one: the timer heap numbers common timeouts with them.
pub(in crate::base) const SLOTS_MAX: u32 = NONE - 256;

/// The contents of a new slot.
pub(in crate::base) struct Contents<H> {
    pub(in crate::base) handler: H,
    pub(in crate::base) source: Source,
    pub(in crate::base) flags: EventFlags,
    pub(in crate::base) priority: u8,
    pub(in crate::base) token: Token,
}

/// All slots of a base.
pub(in crate::base) struct SlotTable<H> {
    slots: Vec<Slot<H>>,
    first_vacant: u32,
    occupied: u32,
}

impl<H> SlotTable<H> {
    pub(in crate::base) fn new() -> Self {
        Self { slots: Vec::new(), first_vacant: NONE, occupied: 0 }
    }

    /// How many events exist.
    pub(in crate::base) fn len(&self) -> usize {
        self.occupied as usize
    }

    /// Stores an event in the most recently vacated slot, which is likely to be cached.
    #[inline]
    pub(in crate::base) fn insert(&mut self, contents: Contents<H>) -> EventId {
        self.occupied += 1;
        let index = self.first_vacant;
        let Some(vacant) = self.slots.get_mut(index as usize) else {
            return self.push(Slot::new(contents, NonZeroU32::MIN));
        };
        self.first_vacant = vacant.of_source.next;
        *vacant = Slot::new(contents, vacant.generation);
        vacant.id(index)
    }

    /// Stores an event in a new slot, because none is vacant.
    #[cold]
    fn push(&mut self, slot: Slot<H>) -> EventId {
        let index = u32::try_from(self.slots.len()).unwrap_or(NONE);
        assert!(index < SLOTS_MAX, "a base holds at most {SLOTS_MAX} events");
        let id = slot.id(index);
        self.slots.push(slot);
        id
    }

    /// Stores another event in an occupied slot; from now on the id of the one before it is stale.
    #[inline]
    pub(in crate::base) fn replace(&mut self, index: u32, contents: Contents<H>) -> EventId {
        let slot = &mut self.slots[index as usize];
        debug_assert_eq!(slot.state, State::OCCUPIED);
        *slot = Slot::new(contents, after(slot.generation));
        slot.id(index)
    }

    /// Vacates the slot; from now on its id is stale.
    #[inline]
    pub(in crate::base) fn remove(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        debug_assert!(slot.state.contains(State::OCCUPIED));
        slot.state = State::empty();
        slot.generation = after(slot.generation);
        slot.of_source = Links { prev: NONE, next: self.first_vacant };
        self.first_vacant = index;
        self.occupied -= 1;
    }

    /// The slot of an id; `None` if the id is stale. All ids are resolved here.
    #[inline]
    pub(in crate::base) fn index_of(&self, id: EventId) -> Option<u32> {
        let slot = self.slots.get(id.index as usize)?;
        (slot.generation == id.generation && slot.state.contains(State::OCCUPIED))
            .then_some(id.index)
    }

    /// The same, with an error if the id is stale.
    #[inline]
    pub(in crate::base) fn resolve(&self, id: EventId) -> Result<u32> {
        match self.index_of(id) {
            Some(index) => Ok(index),
            None => Err(stale(id)),
        }
    }

    /// Indices of all occupied slots.
    pub(in crate::base) fn indices(&self) -> impl Iterator<Item = u32> {
        (0_u32..)
            .zip(&self.slots)
            .filter_map(|(index, slot)| slot.state.contains(State::OCCUPIED).then_some(index))
    }
}

/// The generation of a slot's next event. After 2^32 - 1 events in one slot its ids repeat. No
/// program holds an id that long.
#[inline]
fn after(generation: NonZeroU32) -> NonZeroU32 {
    generation.checked_add(1).unwrap_or(NonZeroU32::MIN)
}

#[cold]
fn stale(id: EventId) -> Error {
    Error::Stale(id)
}

impl<H> std::ops::Index<u32> for SlotTable<H> {
    type Output = Slot<H>;

    fn index(&self, index: u32) -> &Slot<H> {
        &self.slots[index as usize]
    }
}

impl<H> std::ops::IndexMut<u32> for SlotTable<H> {
    fn index_mut(&mut self, index: u32) -> &mut Slot<H> {
        &mut self.slots[index as usize]
    }
}

#[cfg(test)]
pub(in crate::base) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A persistent event with nothing special about it.
    pub(in crate::base) fn plain(source: Source, interest: Interest) -> Contents<()> {
        Contents {
            handler: (),
            source,
            flags: EventFlags::from_bits_retain(interest.bits()) | EventFlags::PERSIST,
            priority: 0,
            token: Token::default(),
        }
    }

    fn timer() -> Contents<()> {
        plain(Source::Timer, Interest::empty())
    }

    #[test]
    fn an_interval_survives_being_packed_and_a_link_changes_nothing_of_it() {
        for interval in [
            Interval::None,
            Interval::Ns(1),
            Interval::Ns(u64::MAX >> 1),
            Interval::Common(0),
            Interval::Common(255),
        ] {
            let mut word = IntervalWord::pack(interval);
            assert_eq!(word.unpack(), interval);
            if matches!(interval, Interval::Common(_)) {
                for link in [0, 7, NONE] {
                    word.set_link(link);
                    assert_eq!((word.link(), word.unpack()), (link, interval));
                }
            }
        }
        assert_eq!(
            IntervalWord::pack(Interval::Ns(u64::MAX)).unpack(),
            Interval::Ns(u64::MAX >> 1)
        );
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
