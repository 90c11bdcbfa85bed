//! The changelist: unflushed changes of interest, merged to one net change per descriptor.
//!
//! It is a policy of the base, not of a backend, and follows libevent (`event_changelist_add_`).
//! A change that undoes an unflushed one vanishes. A registration that is deleted and added again
//! does not, because another file may have taken the number in between. It costs one MOD, unless
//! the descriptor is level triggered and its owner promised that it stays open.

use std::os::fd::RawFd;

use crate::backend::Change;
use crate::event::Interest;

/// When a change of interest reaches the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChangelistPolicy {
    /// At once: each change is a system call, and `add` returns the kernel's refusal.
    #[default]
    Immediate,
    /// Right before the next wait. Changes of one turn that cancel out cost nothing. A refusal
    /// reaches the event's handler as [`Ready::REFUSED`](crate::Ready::REFUSED).
    Deferred,
}

/// One descriptor's unflushed changes, merged.
#[derive(Clone, Copy, Debug)]
struct Pending {
    fd: RawFd,
    /// What the kernel watched at the last flush.
    old: Interest,
    new: Interest,
    was_edge: bool,
    edge: bool,
    was_once: bool,
    once: bool,
    /// The kernel has a registration that it disarmed by itself.
    disarmed: bool,
    /// Another file may have taken the number since the last flush.
    reused: bool,
    /// An interest that the kernel watches was deleted and added again.
    needs_mod: bool,
}

impl Pending {
    /// The first change since the last flush.
    fn new(change: Change, reused: bool) -> Self {
        let Change { fd, old, new, edge, was_once, once, was_other_trigger, disarmed } = change;
        let (was_edge, needs_mod) = (edge != was_other_trigger, was_other_trigger);
        Self { fd, old, new, was_edge, edge, was_once, once, disarmed, reused, needs_mod }
    }

    /// The net change, if the kernel needs one.
    fn net(self) -> Option<Change> {
        let Self { fd, old, new, edge, was_once, once, disarmed, needs_mod, .. } = self;
        let differs = old != new || (was_once != once && !new.is_empty());
        let was_other_trigger = false; // needs_mod includes it
        let change = Change { fd, old, new, edge, was_once, once, was_other_trigger, disarmed };
        (differs || needs_mod).then_some(change)
    }
}

/// Changes since the last flush, in the order in which descriptors first changed.
#[derive(Debug, Default)]
pub(super) struct Changelist {
    pending: Vec<Pending>,
    saved: Saved,
}

/// Recorded changes that did not reach the kernel. With the net changes they are all changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Saved {
    /// Changes merged into a pending change of the same descriptor.
    pub(super) coalesced: u64,
    /// Pending changes that cancelled out with all changes merged into them.
    pub(super) cancelled: u64,
}

impl Changelist {
    /// Merges a change in.
    ///
    /// `position` is the descriptor's index in this list plus one, 0 for none; the descriptor map
    /// stores it. `stable` is the promise of the event that is added or deleted that the descriptor
    /// stays open while the event exists.
    pub(super) fn record(&mut self, change: Change, position: &mut u32, stable: bool) {
        let deleted = change.old - change.new;
        let Some(pending) =
            (*position as usize).checked_sub(1).and_then(|position| self.pending.get_mut(position))
        else {
            let reused = !deleted.is_empty() && !stable;
            self.pending.push(Pending::new(change, reused));
            *position = u32::try_from(self.pending.len()).expect("fewer changes than descriptors");
            return;
        };
        debug_assert_eq!(pending.fd, change.fd);
        self.saved.coalesced += 1;
        let added_again = (change.new - change.old).intersects(pending.old);
        // While the kernel's registration is deleted, another file may take the number.
        pending.reused |= deleted.intersects(pending.old) && !stable;
        let may_vanish = !pending.reused && !change.edge && !pending.was_edge;
        pending.needs_mod |= (added_again && !may_vanish) || change.was_other_trigger;
        pending.new = change.new;
        pending.edge = change.edge;
        pending.once = change.once;
    }

    /// Ends the promise that a descriptor stays open: its event was freed, and its owner may now
    /// close it.
    pub(super) fn mark_reusable(&mut self, position: u32) {
        // Position 0, which is none, wraps to an index beyond every list.
        if let Some(pending) = self.pending.get_mut((position as usize).wrapping_sub(1)) {
            pending.reused = true;
        }
    }

    /// Drops the changes of a descriptor that is about to be closed. What follows is about another
    /// file, of which the kernel watches nothing.
    pub(super) fn forget(&mut self, position: u32) {
        // As in `mark_reusable`.
        if let Some(pending) = self.pending.get_mut((position as usize).wrapping_sub(1)) {
            let nothing = Change { fd: pending.fd, ..Change::default() };
            *pending = Pending::new(nothing, false);
        }
    }

    /// Moves the net changes into `net`, which it clears first. Calls `forget` for every descriptor
    /// in the list.
    pub(super) fn take(&mut self, net: &mut Vec<Change>, mut forget: impl FnMut(RawFd)) {
        net.clear();
        let recorded = self.pending.len();
        for pending in self.pending.drain(..) {
            forget(pending.fd);
            net.extend(pending.net());
        }
        self.saved.cancelled += (recorded - net.len()) as u64;
    }

    /// Drops all changes: their kernel object is gone.
    pub(super) fn clear(&mut self) {
        self.pending.clear();
    }

    /// The changes that did not reach the kernel so far.
    pub(super) fn saved(&self) -> Saved {
        self.saved
    }

    /// Whether there is nothing to flush.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Panics unless the map's positions and this list agree.
    #[cfg(test)]
    pub(super) fn check(&self, mut position_of: impl FnMut(RawFd) -> u32) {
        for (position, pending) in (1..).zip(&self.pending) {
            assert_eq!(
                position_of(pending.fd),
                position,
                "the position of fd {} is wrong",
                pending.fd
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const READ: Interest = Interest::READ;
    const WRITE: Interest = Interest::WRITE;
    const NOTHING: Interest = Interest::empty();

    fn plain(old: Interest, new: Interest) -> Change {
        Change::of(5, old, new)
    }

    /// Takes the net changes.
    fn take(list: &mut Changelist, forget: impl FnMut(RawFd)) -> Vec<Change> {
        let mut net = Vec::new();
        list.take(&mut net, forget);
        net
    }

    /// Records the way from interest to interest on one descriptor and takes the net changes.
    fn net(way: &[Interest], edge: bool, stable: bool) -> Vec<Change> {
        let (mut list, mut position) = (Changelist::default(), 0);
        for step in way.windows(2) {
            let change = Change { edge, ..plain(step[0], step[1]) };
            list.record(change, &mut position, stable);
        }
        take(&mut list, |_| position = 0)
    }

    fn one(old: Interest, new: Interest, edge: bool) -> Vec<Change> {
        vec![Change { edge, ..plain(old, new) }]
    }

    #[test]
    fn add_then_del_vanishes() {
        assert_eq!(net(&[NOTHING, READ, NOTHING], false, false), []);
        assert_eq!(net(&[READ, READ | WRITE, READ], false, false), []);
        assert_eq!(net(&[READ, READ | WRITE, READ], true, false), []);
    }

    #[test]
    fn saved_changes_are_counted() {
        let saved_on = |way: &[Interest]| {
            let (mut list, mut position) = (Changelist::default(), 0);
            for step in way.windows(2) {
                list.record(plain(step[0], step[1]), &mut position, false);
            }
            take(&mut list, |_| position = 0);
            list.saved()
        };
        assert_eq!(saved_on(&[NOTHING, READ]), Saved { coalesced: 0, cancelled: 0 });
        assert_eq!(saved_on(&[READ, NOTHING, WRITE]), Saved { coalesced: 1, cancelled: 0 });
        assert_eq!(saved_on(&[NOTHING, READ, NOTHING]), Saved { coalesced: 1, cancelled: 1 });
    }

    #[test]
    fn close_and_reuse_of_the_number_is_not_coalesced_away() {
        assert_eq!(net(&[READ, NOTHING, READ], false, false), one(READ, READ, false));
        let longer = [READ, NOTHING, READ, NOTHING, READ];
        assert_eq!(net(&longer, false, false), one(READ, READ, false));
    }

    #[test]
    fn del_then_add_vanishes_only_for_a_stable_level_triggered_descriptor() {
        assert_eq!(net(&[READ, NOTHING, READ], false, true), []);
        assert_eq!(net(&[READ, NOTHING, READ], true, true), one(READ, READ, true));
    }

    #[test]
    fn a_promise_ends_when_its_event_is_freed_and_does_not_cover_other_events() {
        for (promised, freed) in [(true, true), (false, false)] {
            let (mut list, mut position) = (Changelist::default(), 0);
            list.record(plain(READ, NOTHING), &mut position, promised);
            if freed {
                list.mark_reusable(position);
            }
            list.record(plain(NOTHING, READ), &mut position, true);
            assert_eq!(take(&mut list, |_| ()), [plain(READ, READ)]);
        }
    }

    #[test]
    fn a_change_of_trigger_always_reaches_the_kernel() {
        let (mut list, mut position) = (Changelist::default(), 0);
        let to = |old, new, edge| Change { edge, ..plain(old, new) };
        list.record(to(READ, NOTHING, false), &mut position, true);
        list.record(to(NOTHING, READ, true), &mut position, true);
        assert_eq!(take(&mut list, |_| ()), [to(READ, READ, true)]);
    }

    #[test]
    fn a_registration_to_be_reported_once_is_replaced_even_if_its_interest_is_the_same() {
        let kernel_knows_once = Change { was_once: true, ..plain(READ, READ | WRITE) };
        let (mut list, mut position) = (Changelist::default(), 0);
        list.record(kernel_knows_once, &mut position, true);
        list.record(plain(READ | WRITE, READ), &mut position, true);
        assert_eq!(take(&mut list, |_| ()), [Change { was_once: true, ..plain(READ, READ) }]);
    }

    #[test]
    fn deleting_what_was_to_be_reported_once_and_adding_it_again_may_vanish() {
        let (mut list, mut position) = (Changelist::default(), 0);
        let once = |old, new, was_once| Change { was_once, once: true, ..plain(old, new) };
        list.record(once(READ, NOTHING, true), &mut position, true);
        list.record(once(NOTHING, READ, false), &mut position, true);
        assert_eq!(take(&mut list, |_| ()), []);
    }

    #[test]
    fn del_then_add_of_another_kind_is_one_change() {
        assert_eq!(net(&[READ, NOTHING, WRITE], false, false), one(READ, WRITE, false));
    }

    proptest! {
        #[test]
        fn the_net_change_leads_where_the_single_steps_lead(
            steps in prop::collection::vec((0..4i32, 0..4u8), 1..60))
        {
            let interests = [NOTHING, READ, WRITE, READ | WRITE];
            let (mut list, mut positions) = (Changelist::default(), HashMap::new());
            let (mut kernel, mut wanted) = (HashMap::new(), HashMap::new());
            let mut deleted_again = HashMap::new();
            let (mut recorded, mut flushed) = (0, 0);
            for (count, (fd, to)) in (1..).zip(steps) {
                let new = interests[to as usize];
                let old = wanted.insert(fd, new).unwrap_or(NOTHING);
                if old != new {
                    let known: Interest = *kernel.entry(fd).or_insert(NOTHING);
                    let again: &mut bool = deleted_again.entry(fd).or_default();
                    *again |= (new - old).intersects(known);
                    let change = Change::of(fd, old, new);
                    list.record(change, positions.entry(fd).or_insert(0), false);
                    recorded += 1;
                }
                list.check(|fd| positions[&fd]);
                if count % 7 == 0 {
                    let net = take(&mut list, |fd| positions.insert(fd, 0).map_or((), |_| ()));
                    flushed += net.len() as u64;
                    let Saved { coalesced, cancelled } = list.saved();
                    prop_assert_eq!(flushed + coalesced + cancelled, recorded);
                    for change in net {
                        prop_assert_eq!(change.old, kernel[&change.fd]);
                        let again = deleted_again[&change.fd];
                        prop_assert!(change.new != change.old || again, "a needless call");
                        kernel.insert(change.fd, change.new);
                        deleted_again.remove(&change.fd);
                    }
                    prop_assert!(deleted_again.values().all(|again| !again), "a reused number");
                    deleted_again.clear();
                    prop_assert!(kernel.iter().all(|(fd, known)| wanted[fd] == *known));
                }
            }
        }
    }
}
