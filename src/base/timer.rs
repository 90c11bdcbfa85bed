//! The timer heap: which timeout is due next.
//!
//! A 4-ary min-heap of (deadline, slot). Deadlines lie in the heap itself, so that sifting does
//! not touch the slots but to write an event's new position into its own, which makes deleting
//! and re-setting O(log n) without a search. Equal deadlines have no order among each other.

/// Children per node: half the levels of a binary heap, siblings in one cache line.
const ARITY: usize = 4;

/// Where the heap tells each member its position.
pub(super) trait Positions {
    /// The member `index` is now at `position`.
    fn moved(&mut self, index: u32, position: u32);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Timer {
    deadline_ns: u64,
    index: u32,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct TimerHeap {
    timers: Vec<Timer>,
}

impl TimerHeap {
    /// How many timers are pending.
    pub(super) fn len(&self) -> usize {
        self.timers.len()
    }

    /// The earliest deadline.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.timers.first().map(|timer| timer.deadline_ns)
    }

    /// The member that is due at `now_ns`, the earliest first.
    pub(super) fn first_due(&self, now_ns: u64) -> Option<u32> {
        let timer = self.timers.first()?;
        (timer.deadline_ns <= now_ns).then_some(timer.index)
    }

    /// Adds a member.
    pub(super) fn insert(&mut self, index: u32, deadline_ns: u64, positions: &mut impl Positions) {
        let last = self.timers.len();
        assert!(last < u32::MAX as usize, "fewer timers than slots");
        self.timers.push(Timer { deadline_ns, index });
        self.sift_up(last, positions);
    }

    /// Gives the member at `position` another deadline.
    pub(super) fn update(
        &mut self,
        position: u32,
        deadline_ns: u64,
        positions: &mut impl Positions,
    ) {
        let position = position as usize;
        let earlier = deadline_ns < self.timers[position].deadline_ns;
        self.timers[position].deadline_ns = deadline_ns;
        if earlier {
            self.sift_up(position, positions);
        } else {
            self.sift_down(position, positions);
        }
    }

    /// Takes the member at `position` out.
    pub(super) fn remove(&mut self, position: u32, positions: &mut impl Positions) {
        let position = position as usize;
        let removed = self.timers.swap_remove(position);
        let Some(moved) = self.timers.get(position) else { return };
        if moved.deadline_ns < removed.deadline_ns {
            self.sift_up(position, positions);
        } else {
            self.sift_down(position, positions);
        }
    }

    fn sift_up(&mut self, mut position: usize, positions: &mut impl Positions) {
        let timer = self.timers[position];
        while position > 0 {
            let parent = (position - 1) / ARITY;
            if self.timers[parent].deadline_ns <= timer.deadline_ns {
                break;
            }
            self.put(position, self.timers[parent], positions);
            position = parent;
        }
        self.put(position, timer, positions);
    }

    fn sift_down(&mut self, mut position: usize, positions: &mut impl Positions) {
        let timer = self.timers[position];
        while let Some(child) = self.earliest_child(position) {
            if self.timers[child].deadline_ns >= timer.deadline_ns {
                break;
            }
            self.put(position, self.timers[child], positions);
            position = child;
        }
        self.put(position, timer, positions);
    }

    fn earliest_child(&self, position: usize) -> Option<usize> {
        let first = position * ARITY + 1;
        let end = (first + ARITY).min(self.timers.len());
        (first..end).min_by_key(|&child| self.timers[child].deadline_ns)
    }

    fn put(&mut self, position: usize, timer: Timer, positions: &mut impl Positions) {
        self.timers[position] = timer;
        positions.moved(timer.index, position as u32);
    }

    /// Panics unless every parent is due no later than its children and members know their place.
    #[cfg(test)]
    pub(super) fn check(&self, mut position_of: impl FnMut(u32) -> u32) {
        for (position, timer) in self.timers.iter().enumerate() {
            assert_eq!(position_of(timer.index), position as u32, "slot {}", timer.index);
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

    impl Positions for HashMap<u32, u32> {
        fn moved(&mut self, index: u32, position: u32) {
            self.insert(index, position);
        }
    }

    proptest! {
        #[test]
        fn the_heap_agrees_with_an_ordered_set(
            steps in prop::collection::vec((0..4u8, 0..40u32, 0..50u64), 1..300))
        {
            let (mut heap, mut positions) = (TimerHeap::default(), HashMap::new());
            let mut model: BTreeSet<(u64, u32)> = BTreeSet::new();
            for (step, index, deadline) in steps {
                let old = model.iter().find(|(_, member)| *member == index).copied();
                match (step, old) {
                    (0 | 1, None) => {
                        heap.insert(index, deadline, &mut positions);
                        model.insert((deadline, index));
                    }
                    (1, Some(old)) => {
                        heap.update(positions[&index], deadline, &mut positions);
                        model.remove(&old);
                        model.insert((deadline, index));
                    }
                    (2, Some(old)) => {
                        heap.remove(positions[&index], &mut positions);
                        model.remove(&old);
                    }
                    (3, _) => {
                        while let Some(due) = heap.first_due(deadline) {
                            let (earliest, _) = *model.first().unwrap();
                            prop_assert!(model.remove(&(earliest, due)), "due in order");
                            heap.remove(positions[&due], &mut positions);
                        }
                        prop_assert!(model.first().is_none_or(|(next, _)| *next > deadline));
                    }
                    _ => {}
                }
                heap.check(|index| positions[&index]);
                prop_assert_eq!(heap.len(), model.len());
                prop_assert_eq!(heap.next_deadline(), model.first().map(|(next, _)| *next));
            }
        }
    }
}
