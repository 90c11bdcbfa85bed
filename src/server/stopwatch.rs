//! The stopwatch of a shard: how late its callbacks begin, how long they take, how busy it is.
//!
//! One clock reading a turn and one a callback: the end of one is the beginning of the next.

use std::time::{Duration, Instant};

use super::load::faded;
use super::service::PeerAddress;
use super::worker::Worker;
use crate::base::Registry;
use crate::event::{Fired, Ready};

/// It is told to those who place connections each time so much has passed.
const BUSY_TOLD_EVERY: Duration = Duration::from_millis(5);
/// Log lines about slow callbacks: one in so much time, and the number of those left out.
const SLOW_TOLD_EVERY: Duration = Duration::from_secs(1);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Stopwatch {
    /// When the last wait returned.
    turn_began: Instant,
    /// When the last callback ended, or else the wait returned.
    last: Instant,
    busy: Busy,
    slow: Duration,
    slow_told_at: Option<Instant>,
    slow_untold: u64,
}

/// An exponentially weighted mean of the busy share.
#[derive(Debug, Default)]
struct Busy {
    share: f64,
    /// Not told yet.
    busy: Duration,
    all: Duration,
}

impl Busy {
    /// A turn's work and the wait after it; the share, when it is time to tell.
    fn add(&mut self, worked: Duration, waited: Duration) -> Option<f64> {
        self.busy += worked;
        self.all += worked + waited;
        if self.all < BUSY_TOLD_EVERY {
            return None;
        }
        let weight = 1.0 - faded(self.all);
        let share = self.busy.as_secs_f64() / self.all.as_secs_f64();
        self.share += weight * (share - self.share);
        (self.busy, self.all) = (Duration::ZERO, Duration::ZERO);
        Some(self.share)
    }
}

impl Stopwatch {
    pub(super) fn new(slow: Duration) -> Self {
        let now = Instant::now();
        Self {
            turn_began: now,
            last: now,
            busy: Busy::default(),
            slow,
            slow_told_at: None,
            slow_untold: 0,
        }
    }

    /// Nanoseconds from a moment of another thread to now.
    pub(super) fn since(&self, moment: Instant) -> u64 {
        as_ns(moment.elapsed())
    }

    /// A callback begins; how late.
    fn begins(&self) -> u64 {
        as_ns(self.last - self.turn_began)
    }

    /// It ended; how long it took.
    fn ends(&mut self) -> Duration {
        let now = Instant::now();
        let took = now - self.last;
        self.last = now;
        took
    }

    /// Whether a slow callback is to be told, and how many were not before it.
    fn tells_slow(&mut self) -> Option<u64> {
        if self.slow_told_at.is_some_and(|told_at| self.last - told_at < SLOW_TOLD_EVERY) {
            self.slow_untold += 1;
            return None;
        }
        self.slow_told_at = Some(self.last);
        Some(std::mem::take(&mut self.slow_untold))
    }
}

fn as_ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Worker {
    /// Right after each wait.
    pub(super) fn after_wait(&mut self) {
        let Some(stopwatch) = &mut self.stopwatch else { return };
        let now = Instant::now();
        let worked = stopwatch.last - stopwatch.turn_began;
        let waited = now - stopwatch.last;
        (stopwatch.turn_began, stopwatch.last) = (now, now);
        if let Some(share) = stopwatch.busy.add(worked, waited) {
            self.stats.busy = share;
            self.handoff.load().set_busy_permille((share * 1000.0) as u32);
        }
    }

    /// Runs the callback of a connection's event, and measures it.
    pub(super) fn timed(
        &mut self,
        registry: &mut Registry<Self>,
        fired: Fired,
        callback: fn(&mut Self, &mut Registry<Self>, usize, Ready),
    ) {
        let key = fired.token.0 as usize;
        let Some(stopwatch) = &self.stopwatch else {
            callback(self, registry, key, fired.ready);
            return;
        };
        self.stats.timings.loop_lag.record(stopwatch.begins());
        callback(self, registry, key, fired.ready);
        let Some(stopwatch) = &mut self.stopwatch else { return };
        let took = stopwatch.ends();
        self.stats.timings.callback.record(as_ns(took));
        if took >= stopwatch.slow {
            self.was_slow(key, took);
        }
    }

    fn was_slow(&mut self, key: usize, took: Duration) {
        self.stats.slow_callbacks += 1;
        let Some(untold) = self.stopwatch.as_mut().and_then(|stopwatch| stopwatch.tells_slow())
        else {
            return;
        };
        let peer = self
            .connections
            .get(key)
            .map_or(PeerAddress::Unknown, |connection| connection.peer().address());
        log::warn!(
            target: "shard",
            shard = self.handoff.shard(), peer:%, took_us = as_ns(took) / 1000, untold;
            "a callback was slow, and everybody on its shard waited"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::BUSY_WINDOW;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_busy_share_follows_within_its_window_and_forgets() {
        let mut busy = Busy::default();
        for _ in 0..300 {
            busy.add(8 * MS, 2 * MS);
        }
        assert!((busy.share - 0.8).abs() < 0.01, "{}", busy.share);
        busy.add(Duration::ZERO, 5 * BUSY_WINDOW);
        assert!(busy.share < 0.01, "{}", busy.share);
    }

    #[test]
    fn the_busy_share_is_not_told_at_every_turn() {
        let mut busy = Busy::default();
        assert_eq!(busy.add(MS, MS), None);
        assert!(busy.add(3 * MS, MS).is_some());
    }

    #[test]
    fn slow_callbacks_are_told_once_in_a_while_with_how_many_were_not() {
        let mut stopwatch = Stopwatch::new(MS);
        assert_eq!(stopwatch.tells_slow(), Some(0));
        assert_eq!(stopwatch.tells_slow(), None);
        assert_eq!(stopwatch.tells_slow(), None);
        stopwatch.last += SLOW_TOLD_EVERY;
        assert_eq!(stopwatch.tells_slow(), Some(2));
    }
}
