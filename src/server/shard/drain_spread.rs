//! The spread of a drain: when each idle connection is due to be closed.

use std::time::{Duration, Instant};

/// The window over which idle connections are closed, so that their clients do not all reconnect at
/// once.
#[derive(Clone, Copy, Debug)]
pub(super) struct DrainSpread {
    began: Instant,
    window: Duration,
}

impl DrainSpread {
    pub(super) fn new(began: Instant, window: Duration) -> Self {
        Self { began, window }
    }

    /// Whether a connection is due to be closed. The order is unrelated to that of the clients:
    /// keys times the golden ratio fill the window evenly, however many there are.
    pub(super) fn is_due(&self, key: usize, now: Instant) -> bool {
        const GOLDEN: f64 = 0.618_033_988_749_895;
        let position = (key as f64 * GOLDEN).fract();
        now.saturating_duration_since(self.began) >= self.window.mul_f64(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_fill_the_window_evenly_and_an_empty_window_is_over_at_once() {
        let (began, window) = (Instant::now(), Duration::from_secs(10));
        let due = |after, keys: std::ops::Range<usize>| {
            let spread = DrainSpread::new(began, window);
            keys.filter(|key| spread.is_due(*key, began + window.mul_f64(after))).count()
        };
        for (after, expected) in [(0.25, 25), (0.5, 50), (0.75, 75), (1.0, 100)] {
            let found = due(after, 0..100);
            assert!(found.abs_diff(expected) <= 2, "{found} after {after} of the window");
        }
        assert!(DrainSpread::new(began, Duration::ZERO).is_due(1, began));
    }
}
