//! Latencies in the record: percentiles, with their samples and confidence intervals.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::IntervalRecord;
use crate::latency::{
    Batch, Distribution, Latencies, Latency, P50, P90, P99, P999, P9999, PERCENTILES, Percentile,
    dispersion,
};
use crate::schedule::Mode;

/// The distributions of a measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LatenciesRecord {
    /// From the intended time of a request to its reply; open loop only.
    pub(crate) response: LatencyRecord,
    /// From directly before the write of a request to directly after the read of its reply.
    pub(crate) service: LatencyRecord,
    /// From the intended time of a request to its write; open loop only.
    pub(crate) lateness: LatencyRecord,
    /// The part of the lateness that the loader itself caused: the connection was free.
    pub(crate) loader_late: LatencyRecord,
    /// The part of the lateness during which the connection could not be used: as many requests
    /// outstanding as allowed, a full socket, no connection. Only requests that were blocked.
    pub(crate) blocked: LatencyRecord,
    /// From the beginning to the end of a handshake.
    pub(crate) connect: LatencyRecord,
    /// How long the loader stood still while a request was outstanding; only requests for which it
    /// did. Older versions did not record it.
    #[serde(default)]
    pub(crate) stalled: LatencyRecord,
}

impl LatenciesRecord {
    /// The distributions in the record. If the `intervals` differ by more than chance, the requests
    /// depend on each other, and the confidence interval of the headline latency is wider.
    pub(crate) fn with_intervals<'a>(
        latencies: &Latencies,
        mode: Mode,
        intervals: impl Iterator<Item = &'a IntervalRecord> + Clone,
    ) -> Self {
        let headline = Distribution::headline(mode);
        let dispersion = Dispersion::of(&latencies.with_bounds(headline), intervals);
        let of =
            |distribution| if distribution == headline { dispersion } else { Dispersion::NONE };
        Self::new(latencies, of)
    }

    fn new(latencies: &Latencies, dispersion: impl Fn(Distribution) -> Dispersion) -> Self {
        let one = |distribution: Distribution| {
            let all = latencies.with_bounds(distribution);
            LatencyRecord::new(&all, dispersion(distribution))
        };
        let unanswered = &latencies[Distribution::Unanswered];
        Self {
            response: LatencyRecord {
                censored: unanswered.count(),
                at_least_from: unanswered.min_ns(),
                ..one(Distribution::Response)
            },
            service: one(Distribution::Service),
            lateness: one(Distribution::Lateness),
            loader_late: one(Distribution::LoaderLate),
            blocked: one(Distribution::Blocked),
            connect: one(Distribution::Connect),
            stalled: one(Distribution::Stalled),
        }
    }

    /// A distribution. The response times include unanswered requests.
    pub(crate) fn of(&self, distribution: Distribution) -> &LatencyRecord {
        match distribution {
            Distribution::Response | Distribution::Unanswered => &self.response,
            Distribution::Service => &self.service,
            Distribution::Lateness => &self.lateness,
            Distribution::LoaderLate => &self.loader_late,
            Distribution::Blocked => &self.blocked,
            Distribution::Connect => &self.connect,
            Distribution::Stalled => &self.stalled,
        }
    }

    /// The headline latency: see [`Distribution::headline`].
    pub(crate) fn headline(&self, mode: Mode) -> &LatencyRecord {
        self.of(Distribution::headline(mode))
    }
}

impl From<&Latencies> for LatenciesRecord {
    fn from(latencies: &Latencies) -> Self {
        Self::new(latencies, |_| Dispersion::NONE)
    }
}

/// One distribution in nanoseconds. A value without enough samples is null.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LatencyRecord {
    pub(crate) p50: Option<u64>,
    pub(crate) p90: Option<u64>,
    pub(crate) p99: Option<u64>,
    pub(crate) p999: Option<u64>,
    pub(crate) p9999: Option<u64>,
    /// Exact.
    pub(crate) max: Option<u64>,
    /// Exact.
    pub(crate) min: Option<u64>,
    /// Exact, rounded down.
    pub(crate) mean: Option<u64>,
    /// How many samples, unanswered requests included.
    pub(crate) count: u64,
    /// Number of samples that are lower bounds: requests without a reply.
    pub(crate) censored: u64,
    /// Values from this one on are lower bounds ("at least"), because of censored samples.
    pub(crate) at_least_from: Option<u64>,
    /// 95 % confidence interval of each percentile that is known, by the field's name. An end from
    /// `at_least_from` on is a lower bound like any other value. Missing where requests depend on
    /// each other so much that too few independent ones are left.
    pub(crate) ci95: BTreeMap<String, [u64; 2]>,
}

impl LatencyRecord {
    /// The distribution as it is, without lower bounds.
    fn new(latency: &Latency, dispersion: Dispersion) -> Self {
        Self {
            p50: latency.percentile_ns(P50),
            p90: latency.percentile_ns(P90),
            p99: latency.percentile_ns(P99),
            p999: latency.percentile_ns(P999),
            p9999: latency.percentile_ns(P9999),
            max: latency.max_ns(),
            min: latency.min_ns(),
            mean: latency.mean_ns(),
            count: latency.count(),
            censored: 0,
            at_least_from: None,
            ci95: confidence(latency, dispersion),
        }
    }

    /// The confidence interval of a percentile, if it has one.
    pub(crate) fn ci95_at(&self, percentile: Percentile) -> Option<[u64; 2]> {
        self.ci95.get(percentile.field).copied()
    }

    /// Whether a value of this distribution is a lower bound.
    pub(crate) fn is_at_least(&self, value_ns: u64) -> bool {
        self.at_least_from.is_some_and(|from_ns| value_ns >= from_ns)
    }

    /// The value of a percentile, if it is known.
    pub(crate) fn at(&self, percentile: Percentile) -> Option<u64> {
        match percentile.field {
            "p50" => self.p50,
            "p90" => self.p90,
            "p99" => self.p99,
            "p999" => self.p999,
            "p9999" => self.p9999,
            _ => None,
        }
    }
}

/// The confidence interval of every percentile that has one, by its name in the record.
fn confidence(latency: &Latency, dispersion: Dispersion) -> BTreeMap<String, [u64; 2]> {
    let interval = |percentile: Percentile| {
        let ends = latency.ci95_ns(percentile, dispersion.at(percentile))?;
        Some((percentile.field.to_owned(), ends))
    };
    PERCENTILES.into_iter().filter_map(interval).collect()
}

/// Fewest intervals from which their variance is estimated.
const INTERVALS_MIN: usize = 5;

/// How much the requests of a run depend on each other, estimated from its intervals: a factor. It
/// is 1 for independent requests.
///
/// An index of dispersion counts the requests of each interval beyond a percentile of the whole
/// run. That percentile is not known during the interval, which stores its own p50 and p99. Their
/// ranks among all requests of the run contain nearly the same information: if many requests are
/// beyond the run's percentile, the interval's own lies as far beyond it (Bahadur, 1966).
///
/// The method has limits. It does not detect dependence within an interval. p90, p99.9 and p99.99
/// use the index of their neighbours. Intervals do not contain connects, lateness and the service
/// times of an open loop, whose confidence intervals assume independent requests. In a stall, a
/// whole interval is beyond the run's p99. The method bounds its share by 1 %, so the index is too
/// small rather than too large.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Dispersion {
    p50: f64,
    p99: f64,
}

impl Dispersion {
    /// Requests are independent.
    const NONE: Self = Self { p50: 1.0, p99: 1.0 };

    /// Estimated from the intervals of the measured window, whose sum is `latency`.
    fn of<'a>(
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

    /// The factor of a percentile: its own, or that of its neighbours.
    fn at(self, percentile: Percentile) -> f64 {
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

    #[test]
    fn unsupported_percentiles_are_null() {
        let mut latency = Latency::new();
        (1..=40).for_each(|n| latency.record(n * 1_000));
        let record = LatencyRecord::new(&latency, Dispersion::NONE);
        assert!(record.p90.is_some());
        assert_eq!(serde_json::to_value(&record).unwrap()["p99"], serde_json::Value::Null);
    }

    #[test]
    fn every_known_percentile_has_its_confidence_interval() {
        let mut latency = Latency::new();
        (1..=1_000).for_each(|n| latency.record(n));
        let record = LatencyRecord::new(&latency, Dispersion::NONE);
        let names: Vec<&String> = record.ci95.keys().collect();
        assert_eq!(names, ["p50", "p90", "p99"]);
        assert_eq!(record.ci95_at(P50), Some([469, 532]));
    }

    #[test]
    fn an_unanswered_request_makes_what_is_as_long_a_lower_bound() {
        let mut latencies = Latencies::new();
        (1..=990).for_each(|n| latencies[Distribution::Response].record(n));
        (0..10).for_each(|_| latencies[Distribution::Unanswered].record(500));
        let record = LatenciesRecord::from(&latencies).response;
        assert_eq!((record.count, record.censored), (1_000, 10));
        assert!(!record.is_at_least(499) && record.is_at_least(500));
        assert!(record.is_at_least(record.p90.unwrap()));
    }

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
                loader_stalled_s: 0.0,
                loader_run_delay: None,
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
