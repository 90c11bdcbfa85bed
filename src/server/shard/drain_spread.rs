//! The spread of a drain: when each connection's turn to be closed has come.

use std::time::{Duration, Instant};

/// A window over which idle connections are closed, so that their clients do not all come back at
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

    /// Whether a connection's turn has come. Turns follow no order that clients have: keys times
    /// the golden ratio fill the window evenly, however many there are.
    pub(super) fn is_due(&self, key: usize, now: Instant) -> bool {
        const GOLDEN: f64 = 0.618_033_988_749_895;
        let place = (key as f64 * GOLDEN).fract();
        now.saturating_duration_since(self.began) >= self.window.mul_f64(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_fill_the_window_evenly_and_a_window_of_nothing_is_over_at_once() {
        let (began, window) = (Instant::now(), Duration::from_secs(10));
        let come = |after, keys: std::ops::Range<usize>| {
            let spread = DrainSpread::new(began, window);
            keys.filter(|key| spread.is_due(*key, began + window.mul_f64(after))).count()
        };
        for (after, expected) in [(0.25, 25), (0.5, 50), (0.75, 75), (1.0, 100)] {
            let found = come(after, 0..100);
            assert!(found.abs_diff(expected) <= 2, "{found} after {after} of the window");
        }
        assert!(DrainSpread::new(began, Duration::ZERO).is_due(1, began));
    }
}
