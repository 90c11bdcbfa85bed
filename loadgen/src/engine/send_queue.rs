//! What is to be done when: at most one entry for each lane.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// When a lane wants to be looked at again.
#[derive(Debug)]
pub(crate) struct Agenda {
    heap: BinaryHeap<Reverse<(u64, u32)>>,
    /// The time that counts for each lane; other entries of the heap are out of date.
    times: Vec<u64>,
}

/// No time at all.
const NEVER: u64 = u64::MAX;

impl Agenda {
    /// Nothing to do for `lanes` lanes.
    pub(crate) fn new(lanes: usize) -> Self {
        Self { heap: BinaryHeap::with_capacity(lanes), times: vec![NEVER; lanes] }
    }

    /// Looks at the lane at `at_ns`, and not at a time set before.
    pub(crate) fn set(&mut self, lane: u32, at_ns: u64) {
        let time = &mut self.times[lane as usize];
        if *time != at_ns {
            *time = at_ns;
            if at_ns != NEVER {
                self.heap.push(Reverse((at_ns, lane)));
            }
        }
    }

    /// Forgets the lane's time.
    pub(crate) fn clear(&mut self, lane: u32) {
        self.times[lane as usize] = NEVER;
    }

    /// When there is something to do next.
    pub(crate) fn next_ns(&mut self) -> Option<u64> {
        self.drop_outdated();
        self.heap.peek().map(|Reverse((at_ns, _))| *at_ns)
    }

    /// Takes the first lane whose time has come.
    pub(crate) fn due(&mut self, now_ns: u64) -> Option<u32> {
        self.drop_outdated();
        let &Reverse((at_ns, lane)) = self.heap.peek()?;
        if at_ns > now_ns {
            return None;
        }
        self.heap.pop();
        self.clear(lane);
        Some(lane)
    }

    fn drop_outdated(&mut self) {
        while let Some(&Reverse((at_ns, lane))) = self.heap.peek() {
            if self.times[lane as usize] == at_ns {
                return;
            }
            self.heap.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Set(u32, u64),
        Clear(u32),
        Due(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u32..6, 0_u64..20).prop_map(|(lane, at_ns)| Step::Set(lane, at_ns)),
            (0_u32..6).prop_map(Step::Clear),
            (0_u64..20).prop_map(Step::Due),
        ]
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_list_that_is_searched(steps in prop::collection::vec(step(), 1..80)) {
            let mut agenda = Agenda::new(6);
            let mut list = [None::<u64>; 6];
            for step in steps {
                match step {
                    Step::Set(lane, at_ns) => {
                        agenda.set(lane, at_ns);
                        list[lane as usize] = Some(at_ns);
                    }
                    Step::Clear(lane) => {
                        agenda.clear(lane);
                        list[lane as usize] = None;
                    }
                    Step::Due(now_ns) => {
                        let due = agenda.due(now_ns);
                        let set = (0_u32..).zip(&list);
                        let first = set.filter_map(|(lane, at_ns)| Some(((*at_ns)?, lane))).min();
                        let first_due = first.filter(|(at_ns, _)| *at_ns <= now_ns);
                        prop_assert_eq!(due, first_due.map(|(_, lane)| lane));
                        if let Some(lane) = due {
                            list[lane as usize] = None;
                        }
                    }
                }
                prop_assert_eq!(agenda.next_ns(), list.iter().flatten().copied().min());
            }
        }
    }
}
