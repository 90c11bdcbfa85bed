//! The timings of a shard: loop lag, callback times and busy share.
//!
//! It reads the clock once per turn and once per callback: the end of one callback is the start of
//! the next.

use std::time::{Duration, Instant};

use crate::base::log_interval::LogInterval;
use crate::server::placement::load::faded;
use crate::server::stats::{Recorder, ShardTimings};
use crate::sys::clock::{as_ns, monotonic_ns};

/// How often the busy share is reported to placement.
const BUSY_REPORT_INTERVAL_NS: u64 = 5_000_000;

/// Measures one shard. Times are nanoseconds of the monotonic clock.
#[derive(Debug)]
pub(super) struct Timings {
    /// When the last wait returned.
    turn_began_ns: u64,
    /// When the last callback ended, or else the wait returned.
    last_ns: u64,
    busy: Busy,
    loop_lag: Recorder,
    callback: Recorder,
    handoff: Recorder,
    handshake: Recorder,
    pub(super) slow_ns: u64,
    slow_log: LogInterval,
}

/// An exponentially weighted mean of the busy share.
#[derive(Debug, Default)]
struct Busy {
    share: f64,
    /// Not reported yet.
    busy_ns: u64,
    all_ns: u64,
}

impl Busy {
    /// Adds a turn's work and the wait after it. Returns the share when it is time to report it.
    fn add(&mut self, worked_ns: u64, waited_ns: u64) -> Option<f64> {
        self.busy_ns += worked_ns;
        self.all_ns += worked_ns + waited_ns;
        if self.all_ns < BUSY_REPORT_INTERVAL_NS {
            return None;
        }
        let weight = 1.0 - faded(Duration::from_nanos(self.all_ns));
        let share = self.busy_ns as f64 / self.all_ns as f64;
        self.share += weight * (share - self.share);
        (self.busy_ns, self.all_ns) = (0, 0);
        Some(self.share)
    }
}

impl Timings {
    pub(super) fn new(slow: Duration) -> Self {
        let now_ns = monotonic_ns();
        Self {
            turn_began_ns: now_ns,
            last_ns: now_ns,
            busy: Busy::default(),
            loop_lag: Recorder::new(),
            callback: Recorder::new(),
            handoff: Recorder::new(),
            handshake: Recorder::new(),
            slow_ns: as_ns(slow),
            slow_log: LogInterval::default(),
        }
    }

    /// A copy of the measurements.
    pub(super) fn snapshot(&self) -> ShardTimings {
        ShardTimings {
            loop_lag: self.loop_lag.timing(),
            callback: self.callback.timing(),
            handoff: self.handoff.timing(),
            handshake: self.handshake.timing(),
        }
    }

    /// Marks the end of work that is no callback of a connection. It delays the next callback, and
    /// is not part of it.
    pub(super) fn mark(&mut self) {
        self.last_ns = monotonic_ns();
    }

    /// A connection that was accepted at this time is about to run its first callback.
    pub(super) fn adopted(&mut self, accepted_at: Instant) {
        self.handoff.record(as_ns(accepted_at.elapsed()));
    }

    /// A TLS handshake is done, which began at this time.
    pub(super) fn handshake_done(&mut self, began_ns: u64) {
        self.handshake.record(monotonic_ns() - began_ns);
    }

    /// A wait returned. Returns the busy share when it is time to report it.
    pub(super) fn turn_begins(&mut self) -> Option<f64> {
        let now_ns = monotonic_ns();
        let worked_ns = self.last_ns - self.turn_began_ns;
        let waited_ns = now_ns - self.last_ns;
        (self.turn_began_ns, self.last_ns) = (now_ns, now_ns);
        self.busy.add(worked_ns, waited_ns)
    }

    /// A callback ended, which began when the previous one ended. Returns its duration.
    #[inline(always)]
    pub(super) fn callback_ends(&mut self) -> u64 {
        let now_ns = monotonic_ns();
        self.loop_lag.record(self.last_ns - self.turn_began_ns);
        let took_ns = now_ns - self.last_ns;
        self.callback.record(took_ns);
        self.last_ns = now_ns;
        took_ns
    }

    /// Rate-limits the log of slow callbacks: `None` if this one is suppressed, else how many were
    /// suppressed before it.
    pub(super) fn next_slow_log(&mut self) -> Option<u64> {
        self.slow_log.next(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::placement::load::BUSY_WINDOW;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_busy_share_follows_within_its_window_and_forgets() {
        let mut busy = Busy::default();
        for _ in 0..300 {
            busy.add(8 * MS, 2 * MS);
        }
        assert!((busy.share - 0.8).abs() < 0.01, "{}", busy.share);
        busy.add(0, 5 * as_ns(BUSY_WINDOW));
        assert!(busy.share < 0.01, "{}", busy.share);
    }

    #[test]
    fn the_busy_share_is_not_reported_at_every_turn() {
        let mut busy = Busy::default();
        assert_eq!(busy.add(MS, MS), None);
        assert!(busy.add(3 * MS, MS).is_some());
    }
}
