//! The requests of one connection whose intended time has come, oldest first, and the time of the
//! next one. The intended times themselves come from `schedule::Arrivals`.
//!
//! Only as many requests as can be sent are taken out of the schedule. A backlog is computed from
//! the schedule again, so it uses no memory.

use std::collections::VecDeque;

use crate::schedule::{Arrivals, Intensity};

/// No further request.
const NEVER: u64 = u64::MAX;

/// The requests of one connection that are due, and its position in the schedule.
#[derive(Debug)]
pub(crate) struct DueRequests {
    arrivals: Arrivals,
    /// Start of the run, from which the schedule counts.
    start_ns: u64,
    /// No request is intended for this time or later.
    end_ns: u64,
    /// Intended time of the next request in the schedule.
    next_ns: u64,
    /// The intended times of the requests that are taken out and not sent yet.
    taken: VecDeque<u64>,
}

impl DueRequests {
    /// The requests of a connection that follows `arrivals` from `start_ns` to `end_ns`.
    pub(crate) fn new(
        arrivals: Arrivals,
        intensity: &Intensity,
        start_ns: u64,
        end_ns: u64,
    ) -> Self {
        let mut due = Self { arrivals, start_ns, end_ns, next_ns: 0, taken: VecDeque::new() };
        due.advance(intensity);
        due
    }

    fn advance(&mut self, intensity: &Intensity) {
        let at_ns = self.start_ns.saturating_add(self.arrivals.advance(intensity));
        self.next_ns = if at_ns < self.end_ns { at_ns } else { NEVER };
    }

    /// Takes requests that are due at `now_ns` out of the schedule, until `most` are ready. Returns
    /// how many are ready.
    pub(crate) fn take(&mut self, most: usize, now_ns: u64, intensity: &Intensity) -> usize {
        while self.taken.len() < most && self.next_ns <= now_ns {
            self.taken.push_back(self.next_ns);
            self.advance(intensity);
        }
        self.taken.len().min(most)
    }

    /// The intended time of the oldest request that is ready. The caller sends it now.
    pub(crate) fn pop(&mut self) -> Option<u64> {
        self.taken.pop_front()
    }

    /// When the oldest unsent request is due, which may be past; nothing when the schedule has
    /// ended.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        // Those taken out are older than the next one in the schedule.
        let next_ns = self.taken.front().copied().unwrap_or(self.next_ns);
        (next_ns != NEVER).then_some(next_ns)
    }

    /// Ends the schedule: no request is intended for `now_ns` or later.
    pub(crate) fn end(&mut self, now_ns: u64) {
        self.end_ns = self.end_ns.min(now_ns);
        if self.next_ns >= self.end_ns {
            self.next_ns = NEVER;
        }
    }

    /// About how many requests are due and unsent, without iterating over them. Those still in the
    /// schedule are estimated from the intensity, divided by the number of connections.
    pub(crate) fn backlog(&self, now_ns: u64, intensity: &Intensity, connections: u32) -> f64 {
        let waiting = if self.next_ns > now_ns {
            0.0
        } else {
            let since = |at_ns: u64| intensity.due_by(at_ns.saturating_sub(self.start_ns));
            let until_ns = now_ns.min(self.end_ns);
            // The next one itself is due; the intensity counts those after it.
            1.0 + (since(until_ns) - since(self.next_ns)).max(0.0) / f64::from(connections)
        };
        self.taken.len() as f64 + waiting
    }

    /// Calls `each` with the intended time of every unsent request, to the end of the schedule.
    pub(crate) fn drain(mut self, intensity: &Intensity, mut each: impl FnMut(u64)) {
        self.taken.drain(..).for_each(&mut each);
        while self.next_ns != NEVER {
            each(self.next_ns);
            self.advance(intensity);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::schedule::Arrival;

    /// One connection of two with a request each millisecond from 1 s on, for 10 ms.
    fn due_requests() -> (DueRequests, Intensity) {
        let profile = "2000".parse().unwrap();
        let intensity = Intensity::new(&profile, Duration::ZERO, Duration::from_secs(1));
        let arrivals = Arrivals::new(Arrival::Constant, 1, 0, 2);
        let due = DueRequests::new(arrivals, &intensity, 1_000_000_000, 1_010_000_000);
        (due, intensity)
    }

    #[test]
    fn requests_are_taken_when_their_time_has_come_and_not_before() {
        let (mut due, intensity) = due_requests();
        assert_eq!(due.next_ns(), Some(1_000_000_000));
        assert_eq!(due.take(9, 999_999_999, &intensity), 0);
        assert_eq!(due.take(9, 1_002_500_000, &intensity), 3);
        assert_eq!((due.pop(), due.pop()), (Some(1_000_000_000), Some(1_001_000_000)));
        assert_eq!(due.next_ns(), Some(1_002_000_000), "the one that is left");
    }

    #[test]
    fn no_more_is_taken_than_can_be_sent() {
        let (mut due, intensity) = due_requests();
        assert_eq!(due.take(2, 1_009_000_000, &intensity), 2);
        assert_eq!(due.take(2, 1_009_000_000, &intensity), 2);
        assert_eq!(due.taken.len(), 2);
        assert_eq!(due.backlog(1_009_000_000, &intensity, 2), 10.0);
    }

    #[test]
    fn the_schedule_ends_where_the_run_does_and_what_is_unsent_is_counted() {
        let (mut due, intensity) = due_requests();
        due.take(4, 1_003_000_000, &intensity);
        due.pop();
        let mut unsent = Vec::new();
        due.drain(&intensity, |at_ns| unsent.push(at_ns));
        assert_eq!(unsent, (1..10).map(|n| 1_000_000_000 + n * 1_000_000).collect::<Vec<u64>>());
    }

    #[test]
    fn a_schedule_that_ends_early_still_has_the_requests_due_before() {
        let (mut due, intensity) = due_requests();
        due.end(1_004_500_000);
        let mut unsent = 0;
        due.drain(&intensity, |_| unsent += 1);
        assert_eq!(unsent, 5);
    }
}
