//! Logs about events that may repeat without end: at most one a second.

use std::time::{Duration, Instant};

/// The minimum interval between two log lines.
const INTERVAL: Duration = Duration::from_secs(1);

/// See the module's documentation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogInterval {
    logged_at: Option<Instant>,
    suppressed: u64,
}

impl LogInterval {
    /// Whether to log an event of this moment. If so, returns how many events were not logged since
    /// the last line.
    pub(crate) fn next(&mut self, now: Instant) -> Option<u64> {
        if self.logged_at.is_some_and(|logged_at| now - logged_at < INTERVAL) {
            self.suppressed += 1;
            return None;
        }
        self.logged_at = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_logged_once_a_second_with_the_number_suppressed() {
        let (mut interval, start) = (LogInterval::default(), Instant::now());
        let next = |ms| interval.next(start + Duration::from_millis(ms));
        assert_eq!(
            [0, 10, 999, 1000, 1500, 2001].map(next),
            [Some(0), None, None, Some(2), None, Some(1)]
        );
    }
}
