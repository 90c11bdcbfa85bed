//! From a descriptor to its events (libevent: `evmap.c`): a list and three counts per descriptor.
//!
//! Counts decide what the kernel must know. The first reader of a descriptor and the last one to
//! leave are changes; those between are not.

use std::os::fd::RawFd;

use super::slot::{Flags, Links, NONE, SlotTable};
use crate::backend::{Change, Refusal};
use crate::error::{Error, Result};
use crate::event::Interest;
use crate::sys::fd::is_open;

/// What the map keeps of one descriptor; the vector of these is indexed by its number.
#[derive(Clone, Copy)]
struct Entry {
    /// The newest event; it is activated first.
    first: u32,
    reads: u16,
    writes: u16,
    closes: u16,
    edge: bool,
    /// Its place in the changelist plus one; 0 is none.
    change: u32,
}

const _: () = assert!(size_of::<Entry>() == 16, "idle descriptors should stay cheap");

impl Entry {
    const EMPTY: Self =
        Self { first: NONE, reads: 0, writes: 0, closes: 0, edge: false, change: 0 };

    fn interest(&self) -> Interest {
        let mut interest = Interest::empty();
        interest.set(Interest::READ, self.reads > 0);
        interest.set(Interest::WRITE, self.writes > 0);
        interest.set(Interest::CLOSED, self.closes > 0);
        interest
    }

    fn counts(&mut self) -> [(Interest, &mut u16); 3] {
        [
            (Interest::READ, &mut self.reads),
            (Interest::WRITE, &mut self.writes),
            (Interest::CLOSED, &mut self.closes),
        ]
    }
}

/// See the module's documentation.
pub(super) struct FdMap {
    entries: Vec<Entry>,
}

impl FdMap {
    pub(super) fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Links an event to its descriptor; the change says what the kernel must learn, if anything.
    ///
    /// Fails before it changes anything.
    pub(super) fn insert<C>(
        &mut self,
        slots: &mut SlotTable<C>,
        index: u32,
        fd: RawFd,
    ) -> Result<Option<Change>> {
        let (interest, edge) = (slots[index].interest, slots[index].is_edge());
        let entry = self.reserve(fd)?;
        if entry.first != NONE && entry.edge != edge {
            let present = if entry.edge { "edge" } else { "level" };
            return Err(Error::MixedTrigger { fd, present });
        }
        let wanted = |bit: Interest| interest.contains(bit);
        if entry.counts().iter().any(|(bit, count)| wanted(*bit) && **count == u16::MAX) {
            return Err(Error::TooManyEvents { fd });
        }
        let old = entry.interest();
        for (bit, count) in entry.counts() {
            *count += u16::from(wanted(bit));
        }
        entry.edge = edge;
        let new = entry.interest();
        let change = Change { fd, old, new, edge, once: false, disarmed: false };
        let next = std::mem::replace(&mut entry.first, index);
        slots[index].on_fd = Links { prev: NONE, next };
        if next != NONE {
            slots[next].on_fd.prev = index;
        }
        slots[index].flags |= Flags::INSERTED;
        Ok((change.old != change.new).then_some(change))
    }

    /// Unlinks an event from its descriptor; the change says what the kernel must learn.
    pub(super) fn remove<C>(
        &mut self,
        slots: &mut SlotTable<C>,
        index: u32,
        fd: RawFd,
    ) -> Option<Change> {
        let interest = slots[index].interest;
        let Links { prev, next } = std::mem::replace(&mut slots[index].on_fd, Links::UNLINKED);
        slots[index].flags -= Flags::INSERTED;
        if next != NONE {
            slots[next].on_fd.prev = prev;
        }
        let entry = &mut self.entries[fd as usize];
        if prev == NONE {
            entry.first = next;
        } else {
            slots[prev].on_fd.next = next;
        }
        let old = entry.interest();
        for (bit, count) in entry.counts() {
            *count -= u16::from(interest.contains(bit));
        }
        let (new, edge) = (entry.interest(), entry.edge);
        let change = Change { fd, old, new, edge, once: false, disarmed: false };
        (change.old != change.new).then_some(change)
    }

    /// The newest event of a descriptor, or `NONE`; the others follow through `on_fd.next`.
    pub(super) fn first(&self, fd: RawFd) -> u32 {
        usize::try_from(fd)
            .ok()
            .and_then(|fd| self.entries.get(fd))
            .map_or(NONE, |entry| entry.first)
    }

    /// The descriptor's place in the changelist plus one; 0 is none.
    pub(super) fn change_place(&self, fd: RawFd) -> u32 {
        let place = usize::try_from(fd).ok();
        place.and_then(|fd| self.entries.get(fd)).map_or(0, |entry| entry.change)
    }

    /// The same, to be kept up to date; the descriptor has had an event.
    pub(super) fn change_place_mut(&mut self, fd: RawFd) -> &mut u32 {
        &mut self.entries[fd as usize].change
    }

    /// The entry of `fd`, making room for it first.
    fn reserve(&mut self, fd: RawFd) -> Result<&mut Entry> {
        let place = usize::try_from(fd).unwrap_or(usize::MAX);
        if place >= self.entries.len() {
            // A number that names no file must not make the vector as long as itself. Within what
            // is reserved already there is no need to ask.
            if place >= self.entries.capacity() && !is_open(fd) {
                return Err(Refusal { fd, op: "add an event", errno: libc::EBADF }.into());
            }
            // Only as far as used: capacity doubles, but memory never touched costs nothing.
            self.entries.resize(place + 1, Entry::EMPTY);
        }
        Ok(&mut self.entries[place])
    }

    /// Panics unless lists, links and counts agree.
    #[cfg(test)]
    pub(super) fn check<C>(&self, slots: &SlotTable<C>) {
        let mut listed = 0;
        for (fd, entry) in self.entries.iter().enumerate() {
            let (mut counted, mut prev, mut index) = (Entry::EMPTY, NONE, entry.first);
            while index != NONE {
                let slot = &slots[index];
                assert!(slot.flags.contains(Flags::INSERTED), "slot {index} is listed on fd {fd}");
                assert_eq!(slot.fd(), Some(fd as RawFd), "slot {index} is on a foreign list");
                assert_eq!(slot.on_fd.prev, prev, "slot {index} has a torn link");
                for (bit, count) in counted.counts() {
                    *count += u16::from(slot.interest.contains(bit));
                }
                (prev, index, listed) = (index, slot.on_fd.next, listed + 1);
            }
            let counts = |e: &Entry| (e.reads, e.writes, e.closes);
            assert_eq!(counts(entry), counts(&counted), "the counts of fd {fd} are off");
        }
        let inserted =
            slots.indices().filter(|&index| slots[index].flags.contains(Flags::INSERTED));
        assert_eq!(inserted.count(), listed, "an inserted event is on no list");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::slot::tests::plain;
    use super::*;

    const READ: Interest = Interest::READ;
    const WRITE: Interest = Interest::WRITE;
    const NOTHING: Interest = Interest::empty();
    /// Standard error: open in every test process.
    const FD: RawFd = 2;

    fn event(slots: &mut SlotTable<()>, interest: Interest) -> u32 {
        slots.insert(plain(Some(FD), interest)).index
    }

    fn change(old: Interest, new: Interest) -> Option<Change> {
        Some(Change::of(FD, old, new))
    }

    #[test]
    fn only_the_first_and_the_last_reader_of_a_descriptor_are_changes() {
        let (mut map, mut slots) = (FdMap::new(), SlotTable::new());
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
        let (mut map, mut slots) = (FdMap::new(), SlotTable::new());
        let level = event(&mut slots, READ);
        let edge = event(&mut slots, WRITE);
        slots[edge].flags |= Flags::EDGE;
        map.insert(&mut slots, level, FD).unwrap();
        let error = map.insert(&mut slots, edge, FD).unwrap_err();
        assert!(matches!(error, Error::MixedTrigger { fd: FD, present: "level" }), "{error}");
        map.check(&slots);
    }

    #[test]
    fn the_65536th_event_of_a_kind_is_refused_and_changes_nothing() {
        let (mut map, mut slots) = (FdMap::new(), SlotTable::new());
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
        let (mut map, mut slots) = (FdMap::new(), SlotTable::new());
        for fd in [-1, RawFd::MIN, RawFd::MAX] {
            let index = slots.insert(plain(Some(fd), READ)).index;
            let error = map.insert(&mut slots, index, fd).unwrap_err();
            assert!(error.to_string().contains("Bad file descriptor"), "{error}");
            assert_eq!(map.first(fd), NONE);
        }
        assert_eq!(map.entries.capacity(), 0);
    }

    proptest! {
        #[test]
        fn changes_follow_the_union_of_what_is_inserted(
            steps in prop::collection::vec(0..8_u32, 1..100))
        {
            let (mut map, mut slots) = (FdMap::new(), SlotTable::new());
            let events: Vec<u32> = (0..8_u8).map(|i| {
                let bits = [READ, WRITE, Interest::CLOSED];
                let interest = (0..3).filter(|b| (i + 1) >> b & 1 == 1).map(|b| bits[b]);
                event(&mut slots, interest.fold(NOTHING, |all, bit| all | bit))
            }).collect();
            let mut inserted: Vec<u32> = Vec::new();
            let union = |slots: &SlotTable<()>, inserted: &[u32]| {
                inserted.iter().fold(NOTHING, |all, &index| all | slots[index].interest)
            };
            for pick in steps {
                let index = events[pick as usize];
                let old = union(&slots, &inserted);
                let told = match inserted.iter().position(|&other| other == index) {
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
                prop_assert_eq!(told, (old != new).then_some(change(old, new)).flatten());
                map.check(&slots);
                let (mut listed, mut at) = (Vec::new(), map.first(FD));
                while at != NONE {
                    listed.push(at);
                    at = slots[at].on_fd.next;
                }
                prop_assert_eq!(&listed, &inserted, "newest first");
            }
        }
    }
}
