//! The stalls of a loading thread: the times at which it should have run and did not.
//!
//! The thread looks at the clock whenever it sends, reads, or has waited. Two things prove a stall:
//! a wait that ends long after its time, and a long gap between two looks without a wait. So it
//! shows whether the process was stopped, lost its processor, or waited for a disk. A stall that is
//! shorter than a heartbeat can hide in a wait for replies.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Longest wait while replies are outstanding. If no reply comes, the wait ends on time, and the
/// server was slow. A wait that ends later proves that the loader did not run.
pub(super) const HEARTBEAT_NS: u64 = 1_000_000;

/// A shorter delay is the cost of a wake-up, or of the work between two looks at the clock.
const STALL_NS_MIN: u64 = 500_000;

/// Finds the stalls of the calling thread.
#[derive(Debug)]
pub(super) struct Heartbeat {
    /// The latest look at the clock.
    last_ns: u64,
}

impl Heartbeat {
    /// One that has not looked at the clock yet.
    pub(super) fn new() -> Self {
        Self { last_ns: u64::MAX }
    }

    /// Begins at `now_ns`.
    pub(super) fn begin(&mut self, now_ns: u64) {
        self.last_ns = now_ns;
    }

    /// The stall before this look at the clock, if the thread has only worked since the last one.
    pub(super) fn worked(&mut self, now_ns: u64) -> Option<Range<u64>> {
        self.waited(self.last_ns, now_ns)
    }

    /// The stall at the end of a wait that had to end at `until_ns` at the latest.
    pub(super) fn waited(&mut self, until_ns: u64, now_ns: u64) -> Option<Range<u64>> {
        let expected_ns = until_ns.max(self.last_ns);
        self.last_ns = now_ns;
        (now_ns.saturating_sub(expected_ns) >= STALL_NS_MIN).then_some(expected_ns..now_ns)
    }
}

/// The stalls of a thread, or of a part of its run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stalls {
    pub(crate) count: u64,
    pub(crate) sum_ns: u64,
    pub(crate) longest_ns: u64,
}

impl Stalls {
    /// Adds a stall of this length, if it has one.
    pub(super) fn add(&mut self, length_ns: u64) {
        self.count += u64::from(length_ns > 0);
        self.sum_ns += length_ns;
        self.longest_ns = self.longest_ns.max(length_ns);
    }
}

/// How long both last.
pub(super) fn overlap_ns(one: &Range<u64>, other: &Range<u64>) -> u64 {
    one.end.min(other.end).saturating_sub(one.start.max(other.start))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn begun(now_ns: u64) -> Heartbeat {
        let mut heartbeat = Heartbeat::new();
        heartbeat.begin(now_ns);
        heartbeat
    }

    #[test]
    fn a_wait_that_ends_in_time_is_no_stall_however_long_it_was() {
        let mut heartbeat = begun(0);
        assert_eq!(heartbeat.waited(100 * MS, 100 * MS), None);
        assert_eq!(heartbeat.waited(200 * MS, 150 * MS), None);
        assert_eq!(heartbeat.waited(200 * MS, 200 * MS + STALL_NS_MIN - 1), None);
    }

    #[test]
    fn a_wait_that_ends_late_stalled_from_the_time_at_which_it_should_have_ended() {
        let mut heartbeat = begun(0);
        assert_eq!(heartbeat.waited(MS, 201 * MS), Some(MS..201 * MS));
        assert_eq!(heartbeat.worked(202 * MS), Some(201 * MS..202 * MS));
    }

    #[test]
    fn a_wait_whose_time_was_past_already_stalled_since_the_last_look_at_the_clock() {
        let mut heartbeat = begun(10 * MS);
        assert_eq!(heartbeat.waited(5 * MS, 10 * MS + 1), None);
        assert_eq!(heartbeat.waited(5 * MS, 20 * MS), Some(10 * MS + 1..20 * MS));
    }

    #[test]
    fn what_was_before_the_begin_is_no_stall() {
        assert_eq!(Heartbeat::new().worked(MS), None);
    }

    #[test]
    fn an_overlap_is_what_both_have() {
        assert_eq!(overlap_ns(&(0..10), &(5..20)), 5);
        assert_eq!(overlap_ns(&(0..10), &(10..20)), 0);
        assert_eq!(overlap_ns(&(30..40), &(10..20)), 0);
    }
}
