//! A growing pause after failures that repeat, and how often they are logged.

use std::time::{Duration, Instant};

use super::log_interval::LogInterval;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct BackOff {
    min: Duration,
    max: Duration,
    next: Duration,
    log: LogInterval,
}

impl BackOff {
    /// A back-off whose pauses double from `min` to `max`.
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min, log: LogInterval::default() }
    }

    /// The pause to make now; the next one is twice as long.
    pub(crate) fn next_pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.max);
        pause
    }

    /// The failures have ended.
    pub(crate) fn reset(&mut self) {
        self.next = self.min;
    }

    /// Whether to log a failure of this moment: at most once a second.
    pub(crate) fn is_time_to_log(&mut self, now: Instant) -> bool {
        self.log.next(now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn pauses_double_up_to_the_maximum_and_begin_anew_after_a_success() {
        let mut back_off = BackOff::new(10 * MS, 1000 * MS);
        let pauses: Vec<_> = (0..9).map(|_| back_off.next_pause().as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        back_off.reset();
        assert_eq!(back_off.next_pause(), 10 * MS);
    }
}
