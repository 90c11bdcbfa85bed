//! The base's clock: monotonic nanoseconds, read at most once a turn.
//!
//! Inside a turn "now" is one moment, as in libevent, so that timers set by handlers of one turn
//! keep their order. Unlike libevent's it is read when first asked for, not after every wait: a
//! turn without timers never reads the clock.

use std::time::{Duration, Instant};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Clock {
    /// Zero of the nanoseconds.
    epoch: Instant,
    cached_ns: Option<u64>,
    in_loop: bool,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { epoch: Instant::now(), cached_ns: None, in_loop: false }
    }

    /// Now, by the cache inside the loop.
    pub(super) fn now_ns(&mut self) -> u64 {
        if let Some(now_ns) = self.cached_ns {
            return now_ns;
        }
        let now_ns = self.read_ns();
        if self.in_loop {
            self.cached_ns = Some(now_ns);
        }
        now_ns
    }

    /// Now, whatever the cache says.
    pub(super) fn read_ns(&self) -> u64 {
        as_ns(self.epoch.elapsed())
    }

    /// A new turn, or the loop's beginning and end.
    pub(super) fn forget(&mut self, in_loop: bool) {
        self.cached_ns = None;
        self.in_loop = in_loop;
    }

    pub(super) fn instant(&self, ns: u64) -> Instant {
        self.epoch + Duration::from_nanos(ns)
    }

    /// Sets the cached time, as if the clock had been read.
    #[cfg(test)]
    pub(super) fn pretend(&mut self, now_ns: u64) {
        self.cached_ns = Some(now_ns);
    }
}

/// Nanoseconds of a duration; five centuries is for ever.
pub(super) fn as_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_a_turn_now_is_one_moment() {
        let mut clock = Clock::new();
        clock.forget(true);
        let now = clock.now_ns();
        while clock.read_ns() == now {}
        assert_eq!(clock.now_ns(), now);
        clock.forget(true);
        assert!(clock.now_ns() > now);
    }

    #[test]
    fn outside_the_loop_now_is_read_afresh() {
        let mut clock = Clock::new();
        let now = clock.now_ns();
        while clock.read_ns() == now {}
        assert!(clock.now_ns() > now);
    }
}
