//! How long: percentiles with the samples and the confidence behind them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::IntervalRecord;
use super::dispersion::Dispersion;
use crate::latency::{
    Distribution, Latencies, Latency, P50, P90, P99, P999, P9999, PERCENTILES, Percentile,
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
    /// The part of the lateness that is the loader's own: it could have sent, but was not there.
    pub(crate) loader_late: LatencyRecord,
    /// The part of the lateness during which the connection could not be used: as many requests
    /// outstanding as allowed, a full socket, no connection. Only requests that were blocked.
    pub(crate) blocked: LatencyRecord,
    /// From the beginning to the end of a handshake.
    pub(crate) connect: LatencyRecord,
}

impl LatenciesRecord {
    /// With a confidence interval of the headline latency that is as wide as the `intervals` of the
    /// same requests demand: where they differ by more than chance, the requests depend on each
    /// other.
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
        }
    }

    /// A distribution. Unanswered requests are in that of the response times.
    pub(crate) fn of(&self, distribution: Distribution) -> &LatencyRecord {
        match distribution {
            Distribution::Response | Distribution::Unanswered => &self.response,
            Distribution::Service => &self.service,
            Distribution::Lateness => &self.lateness,
            Distribution::LoaderLate => &self.loader_late,
            Distribution::Blocked => &self.blocked,
            Distribution::Connect => &self.connect,
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

/// One distribution in nanoseconds; null where there are too few samples to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// How many of the samples are only known to be at least as long as they were waited for.
    pub(crate) censored: u64,
    /// Where values from here on are lower bounds ("at least"), because of censored samples.
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

    /// Whether a value of this distribution is only known to be at least that large.
    pub(crate) fn is_at_least(&self, value_ns: u64) -> bool {
        self.at_least_from.is_some_and(|from_ns| value_ns >= from_ns)
    }

    /// The value under a percentile, if it is known.
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
