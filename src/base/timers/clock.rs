//! The base's clock: monotonic nanoseconds, read at most once per turn.
//!
//! Inside a turn "now" is one moment, as in libevent, so that timers set by handlers of one turn
//! keep their order. libevent reads its clock after every wait; this clock is read at first use.
//! A turn without timers never reads it.

use std::time::{Duration, Instant, SystemTime};

use crate::sys::clock;

/// A base's clock (libevent: `EVENT_BASE_FLAG_PRECISE_TIMER`; its default is the coarse one).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockKind {
    /// `CLOCK_MONOTONIC`; timeouts are as precise as the kernel's timers.
    #[default]
    Precise,
    /// `CLOCK_MONOTONIC_COARSE`: cheaper to read; advances by the kernel's tick, 1 to 10 ms.
    /// A timeout ends up to two ticks late, except one of zero, which is due at once. On a busy
    /// virtual machine the clock can lag by several ticks, and then a timeout is early or late by
    /// as much.
    Coarse,
}

/// See the module's documentation.
#[derive(Debug)]
pub(in crate::base) struct Clock {
    kind: ClockKind,
    /// Zero of the nanoseconds, on the clock of `kind`.
    zero_ns: u64,
    /// The same moment as an `Instant`.
    epoch: Instant,
    /// How far the clock usually lags behind the true time.
    tick_ns: u64,
    caches: bool,
    cached_ns: Option<u64>,
    /// A cached time, and the same moment on the wall clock.
    wall: Option<(u64, SystemTime)>,
    in_loop: bool,
}

impl Clock {
    pub(in crate::base) fn new(kind: ClockKind, caches: bool) -> Self {
        // The instant is read second, so that a returned instant is never before its deadline.
        let zero_ns = clock::monotonic_ns();
        let epoch = Instant::now();
        let tick_ns = match kind {
            ClockKind::Precise => 0,
            ClockKind::Coarse => clock::coarse_tick_ns(),
        };
        Self { kind, zero_ns, epoch, tick_ns, caches, cached_ns: None, wall: None, in_loop: false }
    }

    pub(in crate::base) fn kind(&self) -> ClockKind {
        self.kind
    }

    /// The current time; cached inside the loop.
    #[inline]
    pub(in crate::base) fn now_ns(&mut self) -> u64 {
        match self.cached_ns {
            Some(now_ns) => now_ns,
            None => self.read_now_ns(),
        }
    }

    fn read_now_ns(&mut self) -> u64 {
        let now_ns = self.read_ns();
        if self.in_loop && self.caches {
            self.cached_ns = Some(now_ns);
        }
        now_ns
    }

    /// The deadline of a timeout set now. It adds a coarse clock's lag, so that no timeout fires
    /// early. A timeout of zero cannot: it is due at once, as in libevent.
    #[inline]
    pub(in crate::base) fn deadline_ns(&mut self, timeout_ns: u64) -> u64 {
        let lag_ns = if timeout_ns == 0 { 0 } else { self.tick_ns };
        self.now_ns().saturating_add(timeout_ns).saturating_add(lag_ns)
    }

    /// How long to wait for a deadline from `now_ns` on. With a coarse clock at least a tick, or
    /// the loop would spin until the clock advances.
    pub(in crate::base) fn time_between(&self, now_ns: u64, deadline_ns: u64) -> Duration {
        let ns = deadline_ns.saturating_sub(now_ns);
        Duration::from_nanos(if ns == 0 { 0 } else { ns.max(self.tick_ns) })
    }

    /// The current time, without the cache.
    pub(in crate::base) fn read_ns(&self) -> u64 {
        let now_ns = match self.kind {
            ClockKind::Precise => clock::monotonic_ns(),
            ClockKind::Coarse => clock::monotonic_coarse_ns(),
        };
        // A coarse clock may lag behind the base's creation.
        now_ns.saturating_sub(self.zero_ns)
    }

    /// Reads the clock again for the rest of the turn.
    pub(in crate::base) fn refresh(&mut self) {
        self.cached_ns = None;
        self.now_ns();
    }

    /// Drops the cached time: at a new turn, and when the loop begins or ends.
    pub(in crate::base) fn forget(&mut self, in_loop: bool) {
        self.cached_ns = None;
        self.in_loop = in_loop;
    }

    pub(in crate::base) fn instant(&self, ns: u64) -> Instant {
        self.epoch + Duration::from_nanos(ns)
    }

    /// The wall clock's time at the cached moment. It is read at its first use in a turn.
    pub(in crate::base) fn system_time(&mut self) -> SystemTime {
        let now_ns = self.now_ns();
        if let Some((at_ns, wall)) = self.wall
            && self.cached_ns == Some(at_ns)
        {
            return wall;
        }
        let age_ns = self.read_ns().saturating_sub(now_ns);
        let wall = SystemTime::now() - Duration::from_nanos(age_ns);
        self.wall = self.cached_ns.map(|cached_ns| (cached_ns, wall));
        wall
    }

    /// Sets the cached time, as if the clock had been read.
    #[cfg(test)]
    pub(in crate::base) fn pretend(&mut self, now_ns: u64) {
        self.cached_ns = Some(now_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [ClockKind; 2] = [ClockKind::Precise, ClockKind::Coarse];

    #[test]
    fn inside_a_turn_now_is_one_moment() {
        for kind in KINDS {
            let mut clock = Clock::new(kind, true);
            clock.forget(true);
            let now = clock.now_ns();
            while clock.read_ns() == now {}
            assert_eq!(clock.now_ns(), now);
            clock.refresh();
            assert!(clock.now_ns() > now, "unless it is read anew");
            let refreshed = clock.now_ns();
            while clock.read_ns() == refreshed {}
            clock.forget(true);
            assert!(clock.now_ns() > refreshed);
        }
    }

    #[test]
    fn outside_the_loop_and_without_a_cache_now_is_read_afresh() {
        for (caches, in_loop) in [(true, false), (false, true)] {
            let mut clock = Clock::new(ClockKind::Precise, caches);
            clock.forget(in_loop);
            let now = clock.now_ns();
            while clock.read_ns() == now {}
            assert!(clock.now_ns() > now);
        }
    }

    #[test]
    fn a_coarse_clock_adds_a_tick_and_waits_no_less_than_one() {
        let mut clock = Clock::new(ClockKind::Coarse, true);
        assert!(clock.tick_ns >= 100_000, "a tick of {} ns", clock.tick_ns);
        let now_ns = clock.read_ns();
        let deadline_ns = clock.deadline_ns(1_000);
        assert!(deadline_ns >= now_ns + 1_000 + clock.tick_ns);
        while clock.read_ns() < deadline_ns {
            let wait = clock.time_between(clock.read_ns(), deadline_ns);
            assert!(wait.is_zero() || wait >= Duration::from_nanos(clock.tick_ns));
        }
        assert_eq!(clock.time_between(clock.read_ns(), deadline_ns), Duration::ZERO);
    }

    #[test]
    fn a_timeout_of_zero_is_due_at_once() {
        for kind in KINDS {
            let mut clock = Clock::new(kind, true);
            clock.forget(true);
            assert_eq!(clock.deadline_ns(0), clock.now_ns());
        }
    }

    #[test]
    fn the_wall_clock_is_that_of_the_cached_moment() {
        let mut clock = Clock::new(ClockKind::Precise, true);
        clock.forget(true);
        clock.refresh();
        let before = clock.system_time();
        let read_at = clock.now_ns();
        while clock.read_ns() < read_at + 20_000_000 {}
        assert_eq!(clock.system_time(), before, "two looks at one moment");
        clock.refresh();
        assert!(clock.system_time() > before, "unless it is read anew");
        clock.forget(false);
        let outside = clock.system_time();
        while clock.system_time() == outside {}
    }
}
