//! How long: percentiles with the samples and the confidence behind them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::latency::{Latencies, Latency, P50, P90, P99, P999, P9999, Percentile};

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

impl From<&Latencies> for LatenciesRecord {
    fn from(latencies: &Latencies) -> Self {
        Self {
            response: LatencyRecord::censored(&latencies.response, &latencies.unanswered),
            service: (&latencies.service).into(),
            lateness: (&latencies.lateness).into(),
            loader_late: (&latencies.loader_late).into(),
            blocked: (&latencies.blocked).into(),
            connect: (&latencies.connect).into(),
        }
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
    /// 95 % confidence interval of each percentile that is known, by the field's name.
    pub(crate) ci95: BTreeMap<String, [u64; 2]>,
}

impl LatencyRecord {
    /// The distribution of answered requests and of lower bounds for the others.
    pub(crate) fn censored(answered: &Latency, unanswered: &Latency) -> Self {
        let mut all = answered.clone();
        all.merge(unanswered);
        let at_least_from = unanswered.min_ns();
        Self { censored: unanswered.count(), at_least_from, ..(&all).into() }
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

impl From<&Latency> for LatencyRecord {
    fn from(latency: &Latency) -> Self {
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
            ci95: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_percentiles_are_null() {
        let mut latency = Latency::new();
        (1..=40).for_each(|n| latency.record(n * 1_000));
        let record = LatencyRecord::from(&latency);
        assert!(record.p90.is_some());
        assert_eq!(serde_json::to_value(&record).unwrap()["p99"], serde_json::Value::Null);
    }
}
