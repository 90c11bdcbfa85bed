//! Timers: the clock, and the running timeouts of events.

pub(super) mod clock;
pub(super) mod common_timeout;
pub(super) mod deadlines;
mod heap;

use std::time::Duration;

use super::events::slot::SlotTable;
use clock::{Clock, ClockKind};
use deadlines::Deadlines;

/// The next deadline is looked up exactly if it is as near as this. The loop may wake without need
/// for one that has moved away, but once a second at most.
const NEAR_NS: u64 = 1_000_000_000;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Timers {
    pub(super) clock: Clock,
    pub(super) deadlines: Deadlines,
    /// When the timeout was due that the last re-armed event has expired by.
    pub(super) expired_ns: u64,
}

impl Timers {
    pub(super) fn new(kind: ClockKind, caches_time: bool) -> Self {
        let clock = Clock::new(kind, caches_time);
        Self { clock, deadlines: Deadlines::default(), expired_ns: 0 }
    }

    /// By how long the earliest timeout is overdue in this turn; `None` if none is due.
    pub(super) fn overdue<H>(&mut self, slots: &mut SlotTable<H>) -> Option<Duration> {
        if self.deadlines.is_empty() {
            return None;
        }
        let now_ns = self.clock.now_ns();
        let deadline_ns = self.deadlines.next_ns(slots, now_ns)?;
        now_ns.checked_sub(deadline_ns).map(Duration::from_nanos)
    }

    /// The time until the next timeout is due; `None` if none runs. It may be shorter if it is more
    /// than a second.
    pub(super) fn time_to_next<H>(&mut self, slots: &mut SlotTable<H>) -> Option<Duration> {
        if self.deadlines.is_empty() {
            return None;
        }
        let now_ns = self.clock.read_ns();
        let deadline_ns = self.deadlines.next_ns(slots, now_ns.saturating_add(NEAR_NS))?;
        Some(self.clock.time_between(now_ns, deadline_ns))
    }
}
