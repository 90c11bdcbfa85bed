//! How fast: throughput of the measured window.

use serde::{Deserialize, Serialize};

/// Throughput of the measured window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RateRecord {
    /// Requests the schedule put into the window, per second of it; a closed loop offers none.
    pub(crate) offered_per_s: Option<f64>,
    /// Measured requests per second of the actual window.
    pub(crate) achieved_per_s: f64,
    /// Bytes of measured requests' payload per second, one way.
    pub(crate) bytes_per_s: f64,
    /// Seconds of the actual window, over all runs.
    pub(crate) measured_s: f64,
}

impl RateRecord {
    /// The rate of `measured` requests, and of those the schedule offered, within `measured_s`.
    pub(crate) fn new(
        measured: u64,
        offered: Option<u64>,
        mean_bytes: f64,
        measured_s: f64,
    ) -> Self {
        let per_s = |count: u64| if measured_s > 0.0 { count as f64 / measured_s } else { 0.0 };
        Self {
            offered_per_s: offered.map(per_s),
            achieved_per_s: per_s(measured),
            bytes_per_s: per_s(measured) * mean_bytes,
            measured_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_never_opened_has_rate_zero() {
        let rate = RateRecord::new(0, Some(0), 64.0, 0.0);
        assert_eq!((rate.achieved_per_s, rate.offered_per_s), (0.0, Some(0.0)));
    }

    #[test]
    fn the_rate_counts_payload_in_one_direction() {
        let rate = RateRecord::new(1_000, None, 64.0, 2.0);
        assert_eq!((rate.achieved_per_s, rate.bytes_per_s), (500.0, 32_000.0));
    }
}
