//! The requests of one connection whose intended time has come, oldest first, and the time of the
//! next one. The intended times themselves come from `schedule::Arrivals`.
//!
//! Only as many requests as can be sent are taken out of the schedule. A backlog is computed from
//! the schedule again, so it uses no memory.

use std::collections::VecDeque;

use crate::schedule::{Arrivals, Intensity, Window};

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

    /// Leaves out the requests that are due at `at_ns`.
    pub(crate) fn skip_to(&mut self, at_ns: u64, intensity: &Intensity) {
        while self.next_ns <= at_ns && self.next_ns != NEVER {
            self.advance(intensity);
        }
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

    /// How many requests are due and unsent at `now_ns`; about so many if the gaps are random.
    pub(crate) fn backlog(&self, now_ns: u64, intensity: &Intensity) -> f64 {
        let until_ns = now_ns.saturating_add(1).min(self.end_ns);
        self.taken.len() as f64 + self.scheduled_before(until_ns, intensity)
    }

    /// Calls `each` with the unsent requests up to the end of the schedule: with one after the
    /// other if there are about `listed_max` at most, otherwise with groups of them.
    pub(crate) fn drain(
        mut self,
        intensity: &Intensity,
        window: &Window,
        listed_max: u64,
        mut each: impl FnMut(Unsent),
    ) {
        self.taken.drain(..).for_each(|intended_ns| each(Unsent::one(intended_ns)));
        if self.scheduled_before(self.end_ns, intensity) > listed_max as f64 {
            return self.drain_groups(intensity, window, each);
        }
        while self.next_ns != NEVER {
            each(Unsent::one(self.next_ns));
            self.advance(intensity);
        }
    }

    /// Calls `each` with a group for the warm-up, and with groups for equal parts of the window.
    fn drain_groups(self, intensity: &Intensity, window: &Window, mut each: impl FnMut(Unsent)) {
        let from_ns = window.measure_from_ns.clamp(self.next_ns, self.end_ns);
        let part = |number: u64| {
            let length_ns = u128::from(self.end_ns - from_ns) * u128::from(number);
            from_ns + (length_ns / u128::from(GROUPS)) as u64
        };
        let (mut begin_ns, mut before) = (self.next_ns, 0);
        for end_ns in (0..=GROUPS).map(part) {
            // Rounding the sums instead of the parts loses no request.
            let until = self.scheduled_before(end_ns, intensity).round() as u64;
            each(Unsent {
                intended_ns: begin_ns + (end_ns - begin_ns) / 2,
                count: until - before,
                is_estimate: !self.arrivals.is_regular(),
            });
            (begin_ns, before) = (end_ns, until);
        }
    }

    /// How many requests are in the schedule before `end_ns`, the next one included.
    fn scheduled_before(&self, end_ns: u64, intensity: &Intensity) -> f64 {
        if self.next_ns >= end_ns {
            return 0.0;
        }
        1.0 + self.arrivals.left_before(end_ns.saturating_sub(self.start_ns), intensity)
    }
}

/// The number of groups with which unsent requests of the window are counted: their ages are as
/// precise as the histogram.
const GROUPS: u64 = 512;

/// Unsent requests that were intended for about the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsent {
    pub(crate) intended_ns: u64,
    pub(crate) count: u64,
    /// Whether the count is the mean number for the rate, because the gaps are random and there are
    /// too many of them.
    pub(crate) is_estimate: bool,
}

impl Unsent {
    /// One request.
    fn one(intended_ns: u64) -> Self {
        Self { intended_ns, count: 1, is_estimate: false }
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
        assert_eq!(due.backlog(1_009_000_000, &intensity), 10.0);
    }

    /// The intended times of the unsent requests, from a window that begins after 3.5 ms.
    fn unsent(due: DueRequests, intensity: &Intensity, listed_max: u64) -> Vec<Unsent> {
        let window = Window {
            start_ns: 1_000_000_000,
            measure_from_ns: 1_003_500_000,
            end_ns: 1_010_000_000,
        };
        let mut all = Vec::new();
        due.drain(intensity, &window, listed_max, |unsent| all.push(unsent));
        all
    }

    #[test]
    fn the_schedule_ends_where_the_run_does_and_what_is_unsent_is_counted() {
        let (mut due, intensity) = due_requests();
        due.take(4, 1_003_000_000, &intensity);
        due.pop();
        let times = (1..10).map(|n| Unsent::one(1_000_000_000 + n * 1_000_000));
        assert_eq!(unsent(due, &intensity, 9), times.collect::<Vec<_>>());
    }

    #[test]
    fn a_schedule_that_ends_early_still_has_the_requests_due_before() {
        let (mut due, intensity) = due_requests();
        due.end(1_004_500_000);
        assert_eq!(unsent(due, &intensity, 9).len(), 5);
    }

    #[test]
    fn many_unsent_requests_are_counted_in_groups_of_which_none_is_in_warm_up_and_window() {
        let (mut due, intensity) = due_requests();
        due.take(2, 1_003_000_000, &intensity);
        let groups = unsent(due, &intensity, 5);
        assert_eq!(groups[..2], [1_000_000_000, 1_001_000_000].map(Unsent::one));
        let counts = |window: bool| {
            let is_in_window = |unsent: &&Unsent| (unsent.intended_ns >= 1_003_500_000) == window;
            groups[2..].iter().filter(is_in_window).map(|unsent| unsent.count).sum::<u64>()
        };
        assert_eq!((counts(false), counts(true)), (2, 6));
        assert!(groups.iter().all(|unsent| !unsent.is_estimate));
        let age = |unsent: &Unsent| unsent.count * (1_010_000_000 - unsent.intended_ns);
        let ages: u64 = groups[2..].iter().map(age).sum();
        assert!(ages.abs_diff(8_000_000 + 7_000_000 + 21_000_000) < 2_000_000, "{ages}");
    }

    #[test]
    fn many_unsent_requests_with_random_gaps_are_an_estimate_that_says_so() {
        let profile = "2M".parse().unwrap();
        let intensity = Intensity::new(&profile, Duration::ZERO, Duration::from_secs(1));
        let due = || {
            let arrivals = Arrivals::new(Arrival::Poisson, 1, 0, 2);
            DueRequests::new(arrivals, &intensity, 1_000_000_000, 1_010_000_000)
        };
        let counted = unsent(due(), &intensity, 1 << 20).len() as f64;
        let groups = unsent(due(), &intensity, 1_000);
        let estimated = groups.iter().map(|unsent| unsent.count).sum::<u64>() as f64;
        assert!(groups.iter().all(|unsent| unsent.is_estimate));
        assert!((estimated - counted).abs() < 4.0 * counted.sqrt(), "{estimated}, {counted}");
    }
}
