//! From a descriptor to its events (libevent: `evmap.c`): a list and three counts per descriptor.
//!
//! The counts decide when the kernel needs a change: for the first reader of a descriptor and for
//! the last, but not for those in between. The same holds for writers and closes.

use std::os::fd::RawFd;

use super::list::Stack;
use super::slot::{SlotTable, State};
use crate::backend::{Change, RefusedChange};
use crate::base::leniency::Leniency;
use crate::error::{Error, Result};
use crate::event::{Interest, Ready};
use crate::sys::fd::is_open;

bitflags::bitflags! {
    /// How the kernel watches a descriptor.
    #[derive(Clone, Copy)]
    struct Watch: u8 {
        /// Its events are edge triggered.
        const EDGE = 0x01;
        /// It is registered to be reported once: its only event does not persist.
        const ONCE = 0x02;
        /// It was reported once, so the kernel no longer watches it, whatever the counts are.
        const DISARMED = 0x04;
    }
}

/// The map's entry of one descriptor; the vector of entries is indexed by its number.
#[derive(Clone, Copy)]
struct FdEntry {
    /// The newest event is activated first.
    events: Stack,
    reads: u16,
    writes: u16,
    closes: u16,
    watch: Watch,
    /// Its index in the changelist plus one; 0 is none.
    change: u32,
}

const _: () = assert!(size_of::<FdEntry>() == 16, "idle descriptors should stay cheap");

impl FdEntry {
    const EMPTY: Self = Self {
        events: Stack::EMPTY,
        reads: 0,
        writes: 0,
        closes: 0,
        watch: Watch::empty(),
        change: 0,
    };

    /// The union of its events' interests.
    #[inline]
    fn interest(&self) -> Interest {
        let mut interest = Interest::empty();
        interest.set(Interest::READ, self.reads > 0);
        interest.set(Interest::WRITE, self.writes > 0);
        interest.set(Interest::CLOSED, self.closes > 0);
        interest
    }

    /// What the backend watches.
    #[inline]
    fn armed(&self) -> Interest {
        if self.watch.contains(Watch::DISARMED) { Interest::empty() } else { self.interest() }
    }

    /// Whether a count is at its limit for one more event with this interest.
    #[inline]
    fn is_full(&self, interest: Interest) -> bool {
        let full = |bit, count| interest.contains(bit) && count == u16::MAX;
        full(Interest::READ, self.reads)
            || full(Interest::WRITE, self.writes)
            || full(Interest::CLOSED, self.closes)
    }

    #[inline]
    fn add(&mut self, interest: Interest) {
        self.reads += u16::from(interest.contains(Interest::READ));
        self.writes += u16::from(interest.contains(Interest::WRITE));
        self.closes += u16::from(interest.contains(Interest::CLOSED));
    }

    #[inline]
    fn subtract(&mut self, interest: Interest) {
        self.reads -= u16::from(interest.contains(Interest::READ));
        self.writes -= u16::from(interest.contains(Interest::WRITE));
        self.closes -= u16::from(interest.contains(Interest::CLOSED));
    }

    /// The change from `old` to `new`, as its events want it watched now.
    #[inline]
    fn change(&self, fd: RawFd, old: Interest, new: Interest) -> Change {
        Change {
            fd,
            old,
            new,
            edge: self.watch.contains(Watch::EDGE),
            was_once: false,
            was_other_trigger: false,
            once: self.watch.contains(Watch::ONCE),
            disarmed: self.watch.contains(Watch::DISARMED),
        }
    }
}

/// See the module's documentation.
pub(in crate::base) struct FdMap {
    entries: Vec<FdEntry>,
    /// The events of negative descriptors, which the kernel does not watch.
    negative: Stack,
    leniency: Leniency,
}

impl FdMap {
    pub(in crate::base) fn new(leniency: Leniency) -> Self {
        Self { entries: Vec::new(), negative: Stack::EMPTY, leniency }
    }

    /// Links an event to its descriptor; returns the change that the kernel needs, if any.
    ///
    /// A lone event that does not persist is registered to be reported once, so that its firing
    /// needs no further change. An error leaves the map unchanged.
    #[inline]
    pub(in crate::base) fn insert<H>(
        &mut self,
        slots: &mut SlotTable<H>,
        index: u32,
        fd: RawFd,
    ) -> Result<Option<Change>> {
        if fd < 0 && self.leniency.contains(Leniency::NEGATIVE_FD) {
            self.negative.push(slots, index);
            slots[index].state |= State::INSERTED;
            return Ok(None);
        }
        let (interest, edge) = (slots[index].interest(), slots[index].is_edge());
        let mixes_triggers = self.leniency.contains(Leniency::MIXED_TRIGGERS);
        let entry = self.reserve(fd)?;
        let alone = entry.events.is_empty();
        let is_mixed = !alone && entry.watch.contains(Watch::EDGE) != edge;
        if is_mixed && !mixes_triggers {
            let present = if edge { "level" } else { "edge" };
            return Err(Error::MixedTrigger { fd, present });
        }
        if entry.is_full(interest) {
            return Err(Error::TooManyEvents { fd });
        }
        let (before, old) = match alone {
            true => (Interest::empty(), Interest::empty()),
            false => (entry.interest(), entry.armed()),
        };
        let was_once = entry.watch.contains(Watch::ONCE);
        entry.add(interest);
        let once = alone && !slots[index].is_persistent();
        entry.watch.set(Watch::EDGE, edge);
        entry.watch.set(Watch::ONCE, once);
        // Once reported, it is disarmed: no registration is left to be replaced.
        let was_once = was_once && !old.is_empty();
        let was_other_trigger = is_mixed && !old.is_empty();
        let change =
            Change { was_once, was_other_trigger, ..entry.change(fd, old, before | interest) };
        let must_update = old != change.new || was_once || was_other_trigger;
        if must_update {
            entry.watch -= Watch::DISARMED;
        }
        entry.events.push(slots, index);
        slots[index].state |= State::INSERTED;
        Ok(must_update.then_some(change))
    }

    /// Unlinks an event from its descriptor; returns the change that the kernel needs, if any.
    #[inline(always)]
    pub(in crate::base) fn remove<H>(
        &mut self,
        slots: &mut SlotTable<H>,
        index: u32,
        fd: RawFd,
    ) -> Option<Change> {
        slots[index].state -= State::INSERTED;
        if fd < 0 {
            self.negative.remove(slots, index);
            return None;
        }
        let interest = slots[index].interest();
        let entry = &mut self.entries[fd as usize];
        entry.events.remove(slots, index);
        let is_last = entry.events.is_empty();
        let before = if is_last { interest } else { entry.interest() };
        let is_disarmed = entry.watch.contains(Watch::DISARMED);
        let old = if is_disarmed { Interest::empty() } else { before };
        entry.subtract(interest);
        let new = if is_last { Interest::empty() } else { entry.interest() };
        let was_once = entry.watch.contains(Watch::ONCE);
        let change = Change { was_once, ..entry.change(fd, old, new) };
        (old != change.new).then_some(change)
    }

    /// The events of a descriptor that the backend reported, and whether it stops watching a
    /// descriptor when it reports it. `None` if the descriptor never had an event.
    #[inline]
    pub(in crate::base) fn reported(&self, fd: RawFd) -> Option<(Stack, bool)> {
        let entry = self.entries.get(fd as usize)?;
        Some((entry.events, entry.watch.contains(Watch::ONCE)))
    }

    /// Handles a report of such a descriptor. If its event does not wait for `ready`, returns the
    /// change that makes the backend watch again.
    pub(in crate::base) fn reported_once<H>(
        &mut self,
        slots: &SlotTable<H>,
        fd: RawFd,
        ready: Ready,
    ) -> Option<Change> {
        let entry = self.entries.get_mut(usize::try_from(fd).ok()?)?;
        if entry.events.is_empty() {
            // The report is older than the change that ended the registration.
            return None;
        }
        entry.watch |= Watch::DISARMED;
        let only = entry.events.only(slots)?;
        let reported = ready.intersects(slots[only].interest().into());
        let again = entry.change(fd, Interest::empty(), entry.interest());
        if reported {
            return None;
        }
        entry.watch -= Watch::DISARMED;
        Some(again)
    }

    /// Forgets a disarmed registration: an event of the descriptor was freed, and its owner may now
    /// close it.
    pub(in crate::base) fn forget_disarmed(&mut self, fd: RawFd) {
        let entry = usize::try_from(fd).ok().and_then(|fd| self.entries.get_mut(fd));
        if let Some(entry) = entry.filter(|entry| entry.events.is_empty()) {
            entry.watch -= Watch::DISARMED | Watch::ONCE;
        }
    }

    /// The events of a descriptor.
    pub(in crate::base) fn events_of(&self, fd: RawFd) -> Stack {
        // A negative number converts to one above every descriptor.
        self.entries.get(fd as usize).map_or(Stack::EMPTY, |entry| entry.events)
    }

    /// Every event that waits for a descriptor.
    pub(in crate::base) fn iter<H>(&self, slots: &SlotTable<H>) -> impl Iterator<Item = u32> {
        let watched = self.entries.iter().flat_map(|entry| entry.events.iter(slots));
        watched.chain(self.negative.iter(slots))
    }

    /// The changes that register all descriptors with a new kernel object.
    pub(in crate::base) fn register_all(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (fd, entry) in (0..).zip(&mut self.entries) {
            entry.change = 0;
            entry.watch -= Watch::DISARMED;
            if !entry.events.is_empty() {
                changes.push(entry.change(fd, Interest::empty(), entry.interest()));
            }
        }
        changes
    }

    /// The descriptor's index in the changelist plus one; 0 is none.
    pub(in crate::base) fn change_position(&self, fd: RawFd) -> u32 {
        let index = usize::try_from(fd).ok();
        index.and_then(|fd| self.entries.get(fd)).map_or(0, |entry| entry.change)
    }

    /// The same, to update it; the descriptor must have had an event.
    pub(in crate::base) fn change_position_mut(&mut self, fd: RawFd) -> &mut u32 {
        &mut self.entries[fd as usize].change
    }

    /// The entry of `fd`; grows the map if needed.
    #[inline]
    fn reserve(&mut self, fd: RawFd) -> Result<&mut FdEntry> {
        let index = usize::try_from(fd).unwrap_or(usize::MAX);
        if index >= self.entries.len() {
            self.grow(fd, index)?;
        }
        Ok(&mut self.entries[index])
    }

    #[cold]
    fn grow(&mut self, fd: RawFd, index: usize) -> Result<()> {
        // A large number without an open file must not make the vector as long. Within the
        // capacity there is nothing to check.
        if index >= self.entries.capacity() && !is_open(fd) {
            return Err(RefusedChange { fd, op: "add an event", errno: libc::EBADF }.into());
        }
        // The length grows only as needed. Capacity doubles, but untouched memory is free.
        self.entries.resize(index + 1, FdEntry::EMPTY);
        Ok(())
    }

    /// Panics unless lists, links and counts agree.
    #[cfg(test)]
    pub(in crate::base) fn check<H>(&self, slots: &SlotTable<H>) {
        let mut listed = 0;
        for (fd, entry) in self.entries.iter().enumerate() {
            let (mut counted, mut prev) = (FdEntry::EMPTY, super::slot::NONE);
            for index in entry.events.iter(slots) {
                let slot = &slots[index];
                assert!(slot.state.contains(State::INSERTED), "slot {index} is listed on fd {fd}");
                assert_eq!(
                    slot.source().fd(),
                    Some(fd as RawFd),
                    "slot {index} is on a wrong list"
                );
                assert_eq!(slot.of_source.prev, prev, "slot {index} has a wrong link");
                counted.add(slot.interest());
                (prev, listed) = (index, listed + 1);
            }
            let counts = |e: &FdEntry| (e.reads, e.writes, e.closes);
            assert_eq!(counts(entry), counts(&counted), "the counts of fd {fd} are wrong");
            if entry.watch.contains(Watch::ONCE) && !entry.events.is_empty() {
                let only = entry.events.only(slots).expect("a once-watched fd has one event");
                assert!(!slots[only].is_persistent(), "slot {only} persists on a once-watched fd");
            }
        }
        listed += self.negative.iter(slots).count();
        let on_fds = |index: &u32| {
            let slot = &slots[*index];
            slot.state.contains(State::INSERTED) && slot.source().fd().is_some()
        };
        assert_eq!(slots.indices().filter(on_fds).count(), listed, "an event is on no list");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::events::slot::{EventFlags, tests::plain};
    use crate::event::Source;

    const READ: Interest = Interest::READ;
    const WRITE: Interest = Interest::WRITE;
    const NOTHING: Interest = Interest::empty();
    /// Standard error: open in every test process.
    const FD: RawFd = 2;

    fn event(slots: &mut SlotTable<()>, interest: Interest) -> u32 {
        slots.insert(plain(Source::Fd(FD), interest)).index
    }

    fn one_shot(slots: &mut SlotTable<()>, interest: Interest) -> u32 {
        let index = event(slots, interest);
        slots[index].flags -= EventFlags::PERSIST;
        index
    }

    fn change(old: Interest, new: Interest) -> Option<Change> {
        Some(Change::of(FD, old, new))
    }

    #[test]
    fn only_the_first_and_the_last_reader_of_a_descriptor_are_changes() {
        let (mut map, mut slots) = (FdMap::new(Leniency::empty()), SlotTable::new());
        let [one, two] = [READ, READ].map(|interest| event(&mut slots, interest));
        let writer = event(&mut slots, WRITE);
        assert_eq!(map.insert(&mut slots, one, FD).unwrap(), change(NOTHING, READ));
        assert_eq!(map.insert(&mut slots, two, FD).unwrap(), None);
        assert_eq!(map.insert(&mut slots, writer, FD).unwrap(), change(READ, READ | WRITE));
        assert_eq!(map.remove(&mut slots, one, FD), None);
        assert_eq!(map.remove(&mut slots, two, FD), change(READ | WRITE, WRITE));
        assert_eq!(map.remove(&mut slots, writer, FD), change(WRITE, NOTHING));
    }

    #[test]
    fn mixing_edge_and_level_on_one_descriptor_is_refused_and_changes_nothing() {
        let (mut map, mut slots) = (FdMap::new(Leniency::empty()), SlotTable::new());
        let level = event(&mut slots, READ);
        let edge = event(&mut slots, WRITE);
        slots[edge].flags |= EventFlags::EDGE;
        map.insert(&mut slots, level, FD).unwrap();
        let error = map.insert(&mut slots, edge, FD).unwrap_err();
        assert!(matches!(error, Error::MixedTrigger { fd: FD, present: "level" }), "{error}");
        map.check(&slots);
    }

    #[test]
    fn a_lone_one_shot_event_is_registered_once_and_needs_no_deletion() {
        let (mut map, mut slots) = (FdMap::new(Leniency::empty()), SlotTable::new());
        let index = one_shot(&mut slots, READ);
        let once = change(NOTHING, READ).map(|change| Change { once: true, ..change });
        assert_eq!(map.insert(&mut slots, index, FD).unwrap(), once);
        assert_eq!(map.reported_once(&slots, FD, Ready::READ), None);
        assert_eq!(map.remove(&mut slots, index, FD), None, "the kernel stopped by itself");
        let again = once.map(|change| Change { disarmed: true, ..change });
        assert_eq!(map.insert(&mut slots, index, FD).unwrap(), again, "a MOD will do");
        let gone = change(READ, NOTHING).map(|c| Change { was_once: true, once: true, ..c });
        assert_eq!(map.remove(&mut slots, index, FD), gone, "nothing was reported since");
    }

    #[test]
    fn a_second_event_ends_watching_once() {
        let (mut map, mut slots) = (FdMap::new(Leniency::empty()), SlotTable::new());
        let [first, second] = [READ, READ].map(|interest| one_shot(&mut slots, interest));
        map.insert(&mut slots, first, FD).unwrap();
        let lasting = change(READ, READ).map(|change| Change { was_once: true, ..change });
        assert_eq!(map.insert(&mut slots, second, FD).unwrap(), lasting);
        assert!(map.reported(FD).is_some_and(|(_, is_once)| !is_once));
        assert_eq!(map.remove(&mut slots, first, FD), None);
        assert_eq!(map.remove(&mut slots, second, FD), change(READ, NOTHING));
        map.check(&slots);
    }

    #[test]
    fn an_event_that_joins_one_that_was_reported_has_the_descriptor_watched_again() {
        let (mut map, mut slots) = (FdMap::new(Leniency::empty()), SlotTable::new());
        let first = one_shot(&mut slots, READ);
        let second = event(&mut slots, WRITE);
        map.insert(&mut slots, first, FD).unwrap();
        map.reported_once(&slots, FD, Ready::READ);
        let both = change(NOTHING, READ | WRITE).map(|c| Change { disarmed: true, ..c });
        assert_eq!(map.insert(&mut slots, second, FD).unwrap(), both);
        assert_eq!(map.remove(&mut slots, first, FD), change(READ | WRITE, WRITE));
    }

    #[test]
    fn a_report_that_no_event_waits_for_rearms_the_descriptor() {
        let (mut map, mut slots) = (FdMap::new(Leniency::empty()), SlotTable::new());
        let index = one_shot(&mut slots, READ);
        map.insert(&mut slots, index, FD).unwrap();
        let again = change(NOTHING, READ).map(|c| Change { once: true, disarmed: true, ..c });
        assert_eq!(map.reported_once(&slots, FD, Ready::WRITE), again);
    }

    #[test]
    fn a_freed_event_takes_what_was_known_of_its_descriptor_along() {
        let (mut map, mut slots) = (FdMap::new(Leniency::empty()), SlotTable::new());
        let index = one_shot(&mut slots, READ);
        map.insert(&mut slots, index, FD).unwrap();
        map.reported_once(&slots, FD, Ready::READ);
        map.remove(&mut slots, index, FD);
        map.forget_disarmed(FD);
        let fresh = change(NOTHING, READ).map(|change| Change { once: true, ..change });
        assert_eq!(map.insert(&mut slots, index, FD).unwrap(), fresh);
    }

    #[test]
    fn a_new_kernel_object_learns_of_every_descriptor() {
        let (mut map, mut slots) = (FdMap::new(Leniency::empty()), SlotTable::new());
        let reader = event(&mut slots, READ);
        map.insert(&mut slots, reader, FD).unwrap();
        assert_eq!(map.register_all(), change(NOTHING, READ).as_slice());
    }

    #[test]
    fn the_65536th_event_of_a_kind_is_refused_and_changes_nothing() {
        let (mut map, mut slots) = (FdMap::new(Leniency::empty()), SlotTable::new());
        for _ in 0..u16::MAX {
            let index = event(&mut slots, READ);
            map.insert(&mut slots, index, FD).unwrap();
        }
        let reader = event(&mut slots, READ | WRITE);
        let error = map.insert(&mut slots, reader, FD).unwrap_err();
        assert!(matches!(error, Error::TooManyEvents { fd: FD }), "{error}");
        map.check(&slots);
    }

    #[test]
    fn a_number_that_names_no_file_is_refused_before_memory_is_spent() {
        let (mut map, mut slots) = (FdMap::new(Leniency::empty()), SlotTable::new());
        for fd in [-1, RawFd::MIN, RawFd::MAX] {
            let index = slots.insert(plain(Source::Fd(fd), READ)).index;
            let error = map.insert(&mut slots, index, fd).unwrap_err();
            assert!(error.to_string().contains("Bad file descriptor"), "{error}");
            assert_eq!(map.events_of(fd), Stack::EMPTY);
        }
        assert_eq!(map.entries.capacity(), 0);
    }

    proptest! {
        #[test]
        fn changes_follow_the_union_of_what_is_inserted(
            steps in prop::collection::vec(0..8_u32, 1..100))
        {
            let (mut map, mut slots) = (FdMap::new(Leniency::empty()), SlotTable::new());
            let events: Vec<u32> = (0..8_u8).map(|i| {
                let bits = [READ, WRITE, Interest::CLOSED];
                let interest = (0..3).filter(|b| (i + 1) >> b & 1 == 1).map(|b| bits[b]);
                event(&mut slots, interest.fold(NOTHING, |all, bit| all | bit))
            }).collect();
            let mut inserted: Vec<u32> = Vec::new();
            let union = |slots: &SlotTable<()>, inserted: &[u32]| {
                inserted.iter().fold(NOTHING, |all, &index| all | slots[index].interest())
            };
            for pick in steps {
                let index = events[pick as usize];
                let old = union(&slots, &inserted);
                let reported = match inserted.iter().position(|&other| other == index) {
                    Some(at) => {
                        inserted.remove(at);
                        map.remove(&mut slots, index, FD)
                    }
                    None => {
                        inserted.insert(0, index);
                        map.insert(&mut slots, index, FD).unwrap()
                    }
                };
                let new = union(&slots, &inserted);
                prop_assert_eq!(reported, (old != new).then_some(change(old, new)).flatten());
                map.check(&slots);
                prop_assert!(map.iter(&slots).eq(inserted.iter().copied()), "newest first");
            }
        }
    }
}
