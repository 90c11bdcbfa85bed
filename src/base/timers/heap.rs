//! The timer heap: finds the timeout that is due next.
//!
//! A 4-ary min-heap of (deadline, member). The heap stores the deadlines, so sifting touches
//! members only to write their new position. With that position a deletion is O(log n) without
//! a search. Equal deadlines have no order.
//!
//! The heap is lazy about deadlines that move later, as an idle timeout's does at each activity.
//! The member stores the new deadline; the heap reads it when the old one reaches the top. The
//! heap's deadlines are never later than the true ones, so it still finds the earliest first. Nor
//! does it read one that is far away, unless it is asked for.

/// Children per node: half the levels of a binary heap, siblings in one cache line.
const ARITY: usize = 4;

/// Those whose deadlines are in the heap.
pub(in crate::base) trait Members {
    /// The member is now at `position`.
    fn moved(&mut self, member: u32, position: u32);

    /// The member's true deadline: never earlier than the heap's.
    fn deadline_ns(&self, member: u32) -> u64;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Timer {
    deadline_ns: u64,
    member: u32,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(in crate::base) struct TimerHeap {
    timers: Vec<Timer>,
}

impl TimerHeap {
    /// How many timers are pending.
    pub(in crate::base) fn len(&self) -> usize {
        self.timers.len()
    }

    /// The member that is due first, and when, if that is until `exact_until_ns`. Otherwise no
    /// member is due until then, and the result is a time before which none is due.
    pub(in crate::base) fn first(
        &mut self,
        members: &mut impl Members,
        exact_until_ns: u64,
    ) -> Option<(u32, u64)> {
        loop {
            let &Timer { deadline_ns, member } = self.timers.first()?;
            if deadline_ns > exact_until_ns {
                return Some((member, deadline_ns));
            }
            let true_ns = members.deadline_ns(member);
            debug_assert!(true_ns >= deadline_ns, "the heap missed an earlier deadline");
            if true_ns == deadline_ns {
                return Some((member, deadline_ns));
            }
            self.sift_down(0, Timer { deadline_ns: true_ns, member }, members);
        }
    }

    /// Adds a member.
    #[inline(always)]
    pub(in crate::base) fn insert(
        &mut self,
        member: u32,
        deadline_ns: u64,
        members: &mut impl Members,
    ) {
        let last = self.timers.len();
        assert!(last < u32::MAX as usize, "fewer timers than slots");
        let timer = Timer { deadline_ns, member };
        self.timers.push(timer);
        self.sift_up(last, timer, members);
    }

    /// Changes the deadline of the member at `position`.
    #[inline]
    pub(in crate::base) fn update(
        &mut self,
        position: u32,
        deadline_ns: u64,
        members: &mut impl Members,
    ) {
        let position = position as usize;
        let timer = self.timers[position];
        if deadline_ns < timer.deadline_ns {
            self.sift_up(position, Timer { deadline_ns, ..timer }, members);
        }
    }

    /// Removes the member at `position`.
    #[inline]
    pub(in crate::base) fn remove(&mut self, position: u32, members: &mut impl Members) {
        let position = position as usize;
        let removed = self.timers.swap_remove(position);
        // The last timer has taken the position, unless it was the removed one itself.
        if position < self.timers.len() {
            self.sift(position, removed.deadline_ns, members);
        }
    }

    /// Puts the timer at `position`, whose place had this deadline, where it belongs.
    #[inline(never)]
    fn sift(&mut self, position: usize, deadline_ns: u64, members: &mut impl Members) {
        let timer = self.timers[position];
        if timer.deadline_ns < deadline_ns {
            self.sift_up(position, timer, members);
        } else {
            self.sift_down(position, timer, members);
        }
    }

    /// Puts a timer at `position` or nearer to the top, where it belongs.
    #[inline(always)]
    fn sift_up(&mut self, mut position: usize, timer: Timer, members: &mut impl Members) {
        while position > 0 {
            let parent = (position - 1) / ARITY;
            if self.timers[parent].deadline_ns <= timer.deadline_ns {
                break;
            }
            self.put(position, self.timers[parent], members);
            position = parent;
        }
        self.put(position, timer, members);
    }

    /// Puts a timer at `position` or farther from the top, where it belongs.
    fn sift_down(&mut self, mut position: usize, timer: Timer, members: &mut impl Members) {
        while let Some(child) = self.earliest_child(position) {
            if self.timers[child].deadline_ns >= timer.deadline_ns {
                break;
            }
            self.put(position, self.timers[child], members);
            position = child;
        }
        self.put(position, timer, members);
    }

    fn earliest_child(&self, position: usize) -> Option<usize> {
        let first = position * ARITY + 1;
        let end = (first + ARITY).min(self.timers.len());
        (first..end).min_by_key(|&child| self.timers[child].deadline_ns)
    }

    #[inline(always)]
    fn put(&mut self, position: usize, timer: Timer, members: &mut impl Members) {
        self.timers[position] = timer;
        members.moved(timer.member, position as u32);
    }

    /// Every member, in no order.
    pub(in crate::base) fn iter(&self) -> impl Iterator<Item = u32> {
        self.timers.iter().map(|timer| timer.member)
    }

    /// Panics unless every parent is due no later than its children, no member is due before the
    /// heap's deadline for it, and members store their positions.
    #[cfg(test)]
    pub(in crate::base) fn check(&self, members: &impl Members, position_of: impl Fn(u32) -> u32) {
        for (position, timer) in self.timers.iter().enumerate() {
            let member = timer.member;
            assert_eq!(position_of(member), position as u32, "member {member}'s position is wrong");
            assert!(
                timer.deadline_ns <= members.deadline_ns(member),
                "member {member} would expire late"
            );
            if let Some(child) = self.earliest_child(position) {
                assert!(
                    timer.deadline_ns <= self.timers[child].deadline_ns,
                    "the heap is out of order"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use proptest::prelude::*;

    use super::*;

    /// The position and the true deadline of each member.
    #[derive(Default)]
    struct Table(HashMap<u32, (u32, u64)>);

    impl Table {
        fn position(&self, member: u32) -> u32 {
            self.0[&member].0
        }
    }

    impl Members for Table {
        fn moved(&mut self, member: u32, position: u32) {
            self.0.get_mut(&member).expect("a known member").0 = position;
        }

        fn deadline_ns(&self, member: u32) -> u64 {
            self.0[&member].1
        }
    }

    proptest! {
        #[test]
        fn the_heap_agrees_with_an_ordered_set(
            steps in prop::collection::vec((0..4u8, 0..40u32, 0..50u64), 1..300))
        {
            let (mut heap, mut members) = (TimerHeap::default(), Table::default());
            let mut model: BTreeSet<(u64, u32)> = BTreeSet::new();
            for (step, member, deadline) in steps {
                let old = model.iter().find(|(_, other)| *other == member).copied();
                match (step, old) {
                    (0 | 1, None) => {
                        members.0.insert(member, (0, deadline));
                        heap.insert(member, deadline, &mut members);
                        model.insert((deadline, member));
                    }
                    (1, Some(old)) => {
                        let position = members.position(member);
                        members.0.insert(member, (position, deadline));
                        heap.update(position, deadline, &mut members);
                        model.remove(&old);
                        model.insert((deadline, member));
                    }
                    (2, Some(old)) => {
                        heap.remove(members.position(member), &mut members);
                        model.remove(&old);
                    }
                    (3, _) => {
                        let due = |(_, at): &(u32, u64)| *at <= deadline;
                        while let Some((member, at)) =
                            heap.first(&mut members, u64::MAX).filter(due)
                        {
                            prop_assert_eq!(model.first().map(|(earliest, _)| *earliest), Some(at));
                            prop_assert!(model.remove(&(at, member)));
                            heap.remove(members.position(member), &mut members);
                        }
                        prop_assert!(model.first().is_none_or(|(next, _)| *next > deadline));
                    }
                    _ => {}
                }
                heap.check(&members, |member| members.position(member));
                prop_assert_eq!(heap.len(), model.len());
                let first = heap.first(&mut members, u64::MAX).map(|(_, at)| at);
                prop_assert_eq!(first, model.first().map(|(next, _)| *next));
            }
        }
    }

    #[test]
    fn a_deadline_that_moves_away_costs_nothing_until_the_old_one_is_reached() {
        let (mut heap, mut members) = (TimerHeap::default(), Table::default());
        for member in 0..100 {
            members.0.insert(member, (0, 10));
            heap.insert(member, 10, &mut members);
        }
        let position = members.position(50);
        members.0.insert(50, (position, 1000));
        heap.update(position, 1000, &mut members);
        assert_eq!(members.position(50), position);
        for _ in 0..99 {
            let (member, at) = heap.first(&mut members, u64::MAX).unwrap();
            assert_eq!(at, 10);
            heap.remove(members.position(member), &mut members);
        }
        assert_eq!(heap.first(&mut members, u64::MAX), Some((50, 1000)));
    }
    #[test]
    fn deadlines_that_moved_away_were_sorted_at_each_question_though_none_was_near() {
        let (mut heap, mut members) = (TimerHeap::default(), Table::default());
        for member in 0..10 {
            members.0.insert(member, (0, 1_000));
            heap.insert(member, 1_000, &mut members);
        }
        for member in 0..10 {
            let position = members.position(member);
            members.0.insert(member, (position, 2_000));
        }
        let first = heap.timers[0].member;
        assert_eq!(heap.first(&mut members, 999), Some((first, 1_000)), "none is due before");
        assert_eq!(heap.timers.iter().filter(|timer| timer.deadline_ns == 1_000).count(), 10);
        assert_eq!(heap.first(&mut members, 1_000).map(|(_, at)| at), Some(2_000));
        assert!(heap.timers.iter().all(|timer| timer.deadline_ns == 2_000));
    }
}
