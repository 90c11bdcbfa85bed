//! Latencies in the record: percentiles, with their samples and confidence intervals.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::latency::{
    Distribution, Latencies, Latency, P50, P90, P99, P999, P9999, PERCENTILES, Percentile, Samples,
    ranks,
};
use crate::schedule::Mode;
use crate::units;

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
    /// From the beginning to the end of a connect, without the handshake of TLS.
    pub(crate) connect: LatencyRecord,
    /// From the end of a connect to the end of the TLS handshake. Older versions had no TLS.
    #[serde(default)]
    pub(crate) handshake: LatencyRecord,
    /// How long the loader stood still while a request was outstanding; only requests for which it
    /// did. Older versions did not record it.
    #[serde(default)]
    pub(crate) stalled: LatencyRecord,
}

/// How many independent values say as much about a percentile of a distribution as all values do;
/// nothing if that is not known.
type EffectiveCount<'a> = &'a dyn Fn(Distribution, Percentile) -> Option<f64>;

impl LatenciesRecord {
    /// The distributions of these samples.
    pub(crate) fn new(samples: &Samples<'_>) -> Self {
        let of = |distribution| (distribution, samples.dependence(distribution));
        let dependences = Distribution::ALL.map(of);
        let effective = |distribution, percentile: Percentile| {
            let (_, dependence) = dependences.iter().find(|(known, _)| *known == distribution)?;
            Some(dependence.as_ref()?.effective_count(percentile.quantile))
        };
        Self::with(samples.latencies, samples.mode, &effective)
    }

    /// The distributions of several loaders that measured one server at the same time. Their
    /// requests waited in the same queue, so they may depend on each other completely.
    pub(crate) fn of_one_time(latencies: &Latencies, mode: Mode, parts: &[&Self]) -> Self {
        let indices = |indices: &[f64]| indices.iter().sum();
        Self::of_parts(latencies, mode, parts, &indices)
    }

    /// The distributions of several runs, one after the other, of which only the records are known.
    pub(crate) fn of_runs(latencies: &Latencies, mode: Mode, runs: &[&Self]) -> Self {
        let indices = |indices: &[f64]| indices.iter().copied().fold(1.0, f64::max);
        Self::of_parts(latencies, mode, runs, &indices)
    }

    /// The index of dispersion of all parts together is `index` of theirs.
    fn of_parts(
        latencies: &Latencies,
        mode: Mode,
        parts: &[&Self],
        index: &dyn Fn(&[f64]) -> f64,
    ) -> Self {
        let effective = |distribution: Distribution, percentile: Percentile| {
            let of = |part: &&Self| {
                let latency = part.of(distribution);
                let effective = *latency.effective_n.get(percentile.field)?;
                Some(latency.count as f64 / effective.max(1) as f64)
            };
            let indices: Vec<f64> = parts.iter().map(of).collect::<Option<_>>()?;
            let count = latencies.with_bounds(distribution, mode).count();
            Some((count as f64 / index(&indices)).floor())
        };
        Self::with(latencies, mode, &effective)
    }

    fn with(latencies: &Latencies, mode: Mode, effective: EffectiveCount<'_>) -> Self {
        let none = Latency::new();
        let one = |distribution: Distribution| {
            let is_headline = distribution == Distribution::headline(mode);
            let unanswered = if is_headline { &latencies[Distribution::Unanswered] } else { &none };
            let bounds = Bounds {
                answered: &latencies[distribution],
                unanswered,
                all: &latencies.with_bounds(distribution, mode),
            };
            bounds.record(&|percentile| effective(distribution, percentile))
        };
        Self {
            response: one(Distribution::Response),
            service: one(Distribution::Service),
            lateness: one(Distribution::Lateness),
            loader_late: one(Distribution::LoaderLate),
            blocked: one(Distribution::Blocked),
            connect: one(Distribution::Connect),
            handshake: one(Distribution::Handshake),
            stalled: one(Distribution::Stalled),
        }
    }

    /// A distribution. The headline latency includes unanswered requests.
    pub(crate) fn of(&self, distribution: Distribution) -> &LatencyRecord {
        match distribution {
            Distribution::Response | Distribution::Unanswered => &self.response,
            Distribution::Service => &self.service,
            Distribution::Lateness => &self.lateness,
            Distribution::LoaderLate => &self.loader_late,
            Distribution::Blocked => &self.blocked,
            Distribution::Connect => &self.connect,
            Distribution::Handshake => &self.handshake,
            Distribution::Stalled => &self.stalled,
        }
    }

    /// The headline latency: see [`Distribution::headline`].
    pub(crate) fn headline(&self, mode: Mode) -> &LatencyRecord {
        self.of(Distribution::headline(mode))
    }
}

/// One distribution in nanoseconds. A value without enough samples is null.
///
/// Of a request without a correct reply only a lower bound is known: how long it had waited. A
/// value is given with these lower bounds, and where it would be larger if such requests had
/// never been answered, `at_most` says how large.
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
    /// Number of samples that are lower bounds: requests without a correct reply.
    pub(crate) censored: u64,
    /// The values, by the field's name, that are lower bounds because of censored samples, with
    /// their upper bound; null if there is none. A value whose two bounds agree to three digits is
    /// not among them.
    pub(crate) at_most: BTreeMap<String, Option<u64>>,
    /// 95 % confidence interval of each percentile for which there are enough independent samples,
    /// by the field's name. The upper end is null where it depends on unanswered requests.
    pub(crate) ci95: BTreeMap<String, Interval>,
    /// The effective sample size of each percentile: the number of independent samples that say as
    /// much about it. Missing where it is not known.
    pub(crate) effective_n: BTreeMap<String, u64>,
}

/// The ends of a confidence interval, in nanoseconds. The upper one may be unknown.
pub(crate) type Interval = (u64, Option<u64>);

/// A distribution in which every request has its value. How far they depend on each other is not
/// known.
impl From<&Latency> for LatencyRecord {
    fn from(latency: &Latency) -> Self {
        Bounds { answered: latency, unanswered: &Latency::new(), all: latency }.record(&|_| None)
    }
}

impl LatencyRecord {
    /// The confidence interval of a percentile, if it has one.
    pub(crate) fn ci95_at(&self, percentile: Percentile) -> Option<Interval> {
        self.ci95.get(percentile.field).copied()
    }

    /// Whether the value with this field name is a lower bound.
    pub(crate) fn is_at_least(&self, field: &str) -> bool {
        self.at_most.contains_key(field)
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

/// A distribution in which unanswered requests leave a value between two bounds.
struct Bounds<'a> {
    answered: &'a Latency,
    /// How long requests without a correct reply had waited.
    unanswered: &'a Latency,
    /// Both.
    all: &'a Latency,
}

impl Bounds<'_> {
    fn record(&self, effective: &dyn Fn(Percentile) -> Option<f64>) -> LatencyRecord {
        let all = self.all;
        let mut record = LatencyRecord {
            p50: all.percentile_ns(P50),
            p90: all.percentile_ns(P90),
            p99: all.percentile_ns(P99),
            p999: all.percentile_ns(P999),
            p9999: all.percentile_ns(P9999),
            max: all.max_ns(),
            min: all.min_ns(),
            mean: all.mean_ns(),
            count: all.count(),
            censored: self.unanswered.count(),
            ..LatencyRecord::default()
        };
        for percentile in PERCENTILES {
            let Some(value_ns) = record.at(percentile) else { continue };
            let name = || percentile.field.to_owned();
            let rank = (percentile.quantile * record.count as f64).ceil();
            let at_most_ns = self.at_most(rank);
            if !agree(value_ns, at_most_ns) {
                record.at_most.insert(name(), at_most_ns);
            }
            let Some(effective) = effective(percentile) else { continue };
            record.effective_n.insert(name(), effective as u64);
            if let Some([low, high]) = ranks(record.count, effective, percentile.quantile) {
                let low_ns = all.lowest_at_rank(low);
                record.ci95.insert(name(), (low_ns, self.at_most(high)));
            }
        }
        if record.censored > 0 {
            record.at_most.extend(["max", "mean"].map(|name| (name.to_owned(), None)));
        }
        record
    }

    /// The value of a rank if no unanswered request had ever been answered.
    fn at_most(&self, rank: f64) -> Option<u64> {
        let is_answered = rank <= self.answered.count() as f64;
        is_answered.then(|| self.answered.at_rank(rank))
    }
}

/// Whether the two bounds of a value are the same to the digits that reports show.
fn agree(at_least_ns: u64, at_most_ns: Option<u64>) -> bool {
    at_most_ns.is_some_and(|at_most_ns| {
        at_most_ns.saturating_sub(at_least_ns) <= at_least_ns / 1_000
            || units::duration(at_most_ns) == units::duration(at_least_ns)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::P90;
    use crate::latency::tests::latency_of;

    /// Latencies alone: nothing is known about how far they depend on each other.
    impl From<&Latencies> for LatenciesRecord {
        fn from(latencies: &Latencies) -> Self {
            Self::new(&Samples { mode: Mode::Open, latencies, runs: &[] })
        }
    }

    fn record(answered: &Latency, unanswered: &Latency) -> LatencyRecord {
        let mut all = answered.clone();
        all.merge(unanswered);
        let count = all.count() as f64;
        Bounds { answered, unanswered, all: &all }.record(&|_| Some(count))
    }

    #[test]
    fn unsupported_percentiles_are_null() {
        let record = record(&latency_of((1..=40).map(|n| n * 1_000)), &Latency::new());
        assert!(record.p90.is_some());
        assert_eq!(serde_json::to_value(&record).unwrap()["p99"], serde_json::Value::Null);
    }

    #[test]
    fn every_percentile_has_the_interval_of_its_effective_sample_size() {
        let latency = latency_of(1..=1_000);
        let known = record(&latency, &Latency::new());
        let names: Vec<&String> = known.ci95.keys().collect();
        assert_eq!(names, ["p50", "p90", "p99"]);
        assert_eq!(known.ci95_at(P50), Some((469, Some(532))));
        assert_eq!(known.effective_n["p50"], 1_000);
        let bounds = Bounds { answered: &latency, unanswered: &Latency::new(), all: &latency };
        let known = bounds.record(&|_| Some(100.0));
        assert_eq!(known.ci95_at(P50), Some((400, Some(610))));
        assert_eq!((known.ci95_at(P99), known.effective_n["p99"]), (None, 100));
        assert_eq!(bounds.record(&|_| None).ci95_at(P50), None);
    }

    #[test]
    fn one_failed_request_of_many_leaves_the_percentiles_known() {
        let answered = latency_of((1..=1_238).map(|n| 1_000_000 + n));
        let record = record(&answered, &latency_of([500]));
        assert_eq!((record.count, record.censored), (1_239, 1));
        for field in ["p50", "p90", "p99"] {
            assert!(!record.is_at_least(field), "{field}: {record:?}");
            assert!(record.ci95[field].1.is_some(), "{field}");
        }
        assert!(record.is_at_least("max") && record.is_at_least("mean"));
    }

    #[test]
    fn requests_without_a_reply_leave_a_value_between_two_bounds() {
        // 5 of 100 had waited for 1 us; the others took 1 to 95 ms.
        let answered = latency_of((1..=95).map(|n| n * 1_000_000));
        let record = record(&answered, &latency_of([1_000; 5]));
        let ms = |ns: Option<u64>| ns.map(|ns| (ns as f64 / 1e6).round() as u64);
        assert_eq!((ms(record.p50), ms(record.at_most["p50"])), (Some(45), Some(50)));
        assert_eq!((ms(record.p90), ms(record.at_most["p90"])), (Some(85), Some(90)));
        assert_eq!(record.at_most["max"], None);
        let (low_ns, high_ns) = record.ci95_at(P90).unwrap();
        assert!(low_ns < 85_000_000 && high_ns.is_none(), "{low_ns} {high_ns:?}");
    }

    #[test]
    fn a_closed_loop_counts_unanswered_requests_in_its_service_times() {
        let mut latencies = Latencies::new();
        (1..=90).for_each(|n| latencies[Distribution::Service].record(n));
        (0..10).for_each(|_| latencies[Distribution::Unanswered].record(500));
        let of = |mode| LatenciesRecord::new(&Samples { mode, latencies: &latencies, runs: &[] });
        let closed = of(Mode::Closed).service;
        assert_eq!((closed.count, closed.censored, closed.max), (100, 10, Some(500)));
        assert_eq!((of(Mode::Open).service.count, of(Mode::Open).response.censored), (90, 10));
    }

    /// Latencies of `count` requests, of which `effective` are independent.
    fn part(count: u64, effective: u64) -> LatenciesRecord {
        let mut latencies = Latencies::new();
        (1..=count).for_each(|n| latencies[Distribution::Response].record(n));
        LatenciesRecord::with(&latencies, Mode::Open, &|_, _| Some(effective as f64))
    }

    #[test]
    fn loaders_of_one_server_do_not_add_to_each_other_s_confidence() {
        let parts = [&part(10_000, 1_000), &part(10_000, 1_000)];
        let mut latencies = Latencies::new();
        for n in 1..=10_000 {
            latencies[Distribution::Response].record(n);
            latencies[Distribution::Response].record(n);
        }
        let of_one_time = LatenciesRecord::of_one_time(&latencies, Mode::Open, &parts).response;
        assert_eq!((of_one_time.count, of_one_time.effective_n["p50"]), (20_000, 1_000));
        let of_runs = LatenciesRecord::of_runs(&latencies, Mode::Open, &parts).response;
        assert_eq!(of_runs.effective_n["p50"], 2_000);
        assert!(of_runs.ci95["p50"].0 > of_one_time.ci95["p50"].0);
    }
}
