//! The time at which each connection is served next: at most one per connection.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The times at which connections are to be served: for a request, or to connect again.
#[derive(Debug)]
pub(crate) struct SendQueue {
    heap: BinaryHeap<Reverse<(u64, u32)>>,
    /// The current time of each connection; entries of the heap with another time are out of date.
    times: Vec<u64>,
}

/// Not served.
const NEVER: u64 = u64::MAX;

impl SendQueue {
    /// A queue without a time for any of `connections` connections.
    pub(crate) fn new(connections: usize) -> Self {
        Self { heap: BinaryHeap::with_capacity(connections), times: vec![NEVER; connections] }
    }

    /// Sets the time at which the connection is served; replaces an earlier one.
    pub(crate) fn set(&mut self, connection: u32, at_ns: u64) {
        let time = &mut self.times[connection as usize];
        // Removing an old time from the heap would take a search. `drop_outdated` skips it.
        if *time != at_ns {
            *time = at_ns;
            if at_ns != NEVER {
                self.heap.push(Reverse((at_ns, connection)));
            }
        }
    }

    /// Removes the connection's time.
    pub(crate) fn clear(&mut self, connection: u32) {
        self.times[connection as usize] = NEVER;
    }

    /// The earliest time of all.
    pub(crate) fn next_ns(&mut self) -> Option<u64> {
        self.drop_outdated();
        self.heap.peek().map(|Reverse((at_ns, _))| *at_ns)
    }

    /// Removes and returns the first connection that is due.
    pub(crate) fn pop_due(&mut self, now_ns: u64) -> Option<u32> {
        self.drop_outdated();
        let &Reverse((at_ns, connection)) = self.heap.peek()?;
        if at_ns > now_ns {
            return None;
        }
        self.heap.pop();
        self.clear(connection);
        Some(connection)
    }

    fn drop_outdated(&mut self) {
        while let Some(&Reverse((at_ns, connection))) = self.heap.peek() {
            if self.times[connection as usize] == at_ns {
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
        PopDue(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u32..6, 0_u64..20).prop_map(|(connection, at_ns)| Step::Set(connection, at_ns)),
            (0_u32..6).prop_map(Step::Clear),
            (0_u64..20).prop_map(Step::PopDue),
        ]
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_list_that_is_searched(steps in prop::collection::vec(step(), 1..80)) {
            let mut send_queue = SendQueue::new(6);
            let mut list = [None::<u64>; 6];
            for step in steps {
                match step {
                    Step::Set(connection, at_ns) => {
                        send_queue.set(connection, at_ns);
                        list[connection as usize] = Some(at_ns);
                    }
                    Step::Clear(connection) => {
                        send_queue.clear(connection);
                        list[connection as usize] = None;
                    }
                    Step::PopDue(now_ns) => {
                        let due = send_queue.pop_due(now_ns);
                        let set = (0_u32..).zip(&list);
                        let times = set.filter_map(|(number, at_ns)| Some(((*at_ns)?, number)));
                        let first = times.min();
                        let first_due = first.filter(|(at_ns, _)| *at_ns <= now_ns);
                        prop_assert_eq!(due, first_due.map(|(_, connection)| connection));
                        if let Some(connection) = due {
                            list[connection as usize] = None;
                        }
                    }
                }
                prop_assert_eq!(send_queue.next_ns(), list.iter().flatten().copied().min());
            }
        }
    }
}
