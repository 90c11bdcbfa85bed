//! How far the requests of a run depend on each other, estimated from its intervals.
//!
//! An index of dispersion counts, in each interval, the requests beyond a percentile of the whole
//! run. That percentile is not known while the interval lasts. What an interval stores are
//! its own p50 and p99. Their ranks among all requests of the run say nearly the same: where many
//! requests are beyond the run's percentile, the interval's own lies as far beyond it (Bahadur,
//! 1966).
//!
//! The method has limits. It does not see dependence within an interval. p90, p99.9 and p99.99 take
//! the index of their neighbours. Intervals do not describe connects, lateness and the service
//! times of an open loop; their confidence intervals assume independent requests. In a stall a
//! whole interval is beyond the run's p99. Its share is bounded by 1 %, so the index is then rather
//! too small than too large.

use super::IntervalRecord;
use crate::latency::{Batch, Latency, P50, P99, Percentile, dispersion};

/// Fewer intervals than this say nothing about the variance between them.
const INTERVALS_MIN: usize = 5;

/// The factor by which requests depend on each other, 1 where they do not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dispersion {
    p50: f64,
    p99: f64,
}

impl Dispersion {
    /// Requests are independent.
    pub(super) const NONE: Self = Self { p50: 1.0, p99: 1.0 };

    /// By the intervals of the measured window, which together are `latency`.
    pub(super) fn of<'a>(
        latency: &Latency,
        intervals: impl Iterator<Item = &'a IntervalRecord> + Clone,
    ) -> Self {
        let index = |percentile: Percentile, own: fn(&IntervalRecord) -> Option<u64>| {
            let batches = intervals.clone().filter(|interval| interval.start_s >= 0.0);
            let batches = batches.filter_map(|interval| {
                let beyond = latency.share_beyond(own(interval)?, percentile);
                Some(Batch { beyond, count: interval.completed })
            });
            let batches: Vec<Batch> = batches.filter(|batch| batch.count > 0).collect();
            let enough = batches.len() >= INTERVALS_MIN;
            if enough { dispersion(percentile.quantile, &batches) } else { 1.0 }
        };
        if latency.count() == 0 {
            return Self::NONE;
        }
        Self {
            p50: index(P50, |interval| interval.p50_ns),
            p99: index(P99, |interval| interval.p99_ns),
        }
    }

    /// The factor for a percentile: its own, or that of its neighbours.
    pub(super) fn at(self, percentile: Percentile) -> f64 {
        if percentile.quantile <= P50.quantile {
            self.p50
        } else if percentile.quantile < P99.quantile {
            self.p50.max(self.p99)
        } else {
            self.p99
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::P90;
    use crate::latency::tests::latency_of;
    use crate::schedule::random;

    /// Ten intervals of a thousand requests whose typical time changes by `wave` from one to the
    /// next, and all of their requests.
    fn series(wave: u64) -> (Latency, Vec<IntervalRecord>) {
        let mut all = Latency::new();
        let interval = |number: u64| {
            let base = 1_000_000 + wave * (number % 3);
            let values = (0..1_000).map(|n| base + random::at(number, n) % 100_000);
            let latency = latency_of(values);
            all.merge(&latency);
            IntervalRecord {
                start_s: number as f64,
                length_s: 1.0,
                scheduled: 1_000,
                sent: 1_000,
                completed: 1_000,
                failed: 0,
                outstanding: 0,
                backlog: 0,
                p50_ns: latency.percentile_ns(P50),
                p99_ns: latency.percentile_ns(P99),
                max_ns: latency.max_ns(),
                loader_cpu: 0.1,
                server_cpu: None,
            }
        };
        let intervals = (0..10).map(interval).collect();
        (all, intervals)
    }

    #[test]
    fn intervals_alike_leave_the_requests_independent() {
        let (all, intervals) = series(0);
        let dispersion = Dispersion::of(&all, intervals.iter());
        assert!(dispersion.at(P50) < 3.0 && dispersion.at(P99) < 3.0, "{dispersion:?}");
    }

    #[test]
    fn intervals_that_differ_make_many_requests_count_as_one() {
        let (all, intervals) = series(60_000);
        let dispersion = Dispersion::of(&all, intervals.iter());
        assert!(dispersion.at(P50) > 50.0, "{dispersion:?}");
        assert_eq!(dispersion.at(P90), dispersion.at(P50).max(dispersion.at(P99)));
    }

    #[test]
    fn few_intervals_and_the_warm_up_say_nothing() {
        let (all, mut intervals) = series(60_000);
        assert_eq!(Dispersion::of(&all, intervals[..4].iter()), Dispersion::NONE);
        intervals.iter_mut().for_each(|interval| interval.start_s -= 20.0);
        assert_eq!(Dispersion::of(&all, intervals.iter()), Dispersion::NONE);
        assert_eq!(Dispersion::of(&Latency::new(), intervals.iter()), Dispersion::NONE);
    }
}
