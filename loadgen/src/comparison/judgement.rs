//! One metric of both sides: the difference, its confidence, and the conclusion.

use serde::{Serialize, Serializer};

use super::{RUNS_MIN, Side};
use crate::record::{LatencyRecord, Record, RunRecord};
use crate::stats::{self, Resampling};
use crate::units;

/// Chance of a false alarm over all metrics together.
const LEVEL: f64 = 0.05;

/// The judgement about one metric, or about all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Judgement {
    Faster,
    Slower,
    /// Any difference is within the tolerance.
    Same,
    /// The runs do not decide whether there is a difference; more runs may.
    Undecided,
    NotEnoughRuns,
}

/// One line of a comparison.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Finding {
    #[serde(serialize_with = "name")]
    pub(super) metric: &'static ComparedMetric,
    /// Medians over the runs: requests per second, nanoseconds, or (server cpu) microseconds by
    /// request.
    pub(super) a: f64,
    pub(super) b: f64,
    /// Whether the value of any run is a lower bound.
    pub(super) a_at_least: bool,
    pub(super) b_at_least: bool,
    /// Median of B by median of A, with the 95 % bootstrap interval; null where A's is zero.
    pub(super) ratio: Option<f64>,
    pub(super) ratio_ci95: Option<[f64; 2]>,
    /// Mann–Whitney, two-sided; and corrected for the number of metrics.
    pub(super) p: f64,
    pub(super) p_holm: f64,
    pub(crate) judgement: Judgement,
}

fn name<S: Serializer>(metric: &&'static ComparedMetric, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(metric.name)
}

/// A metric of both sides that waits for the correction of its p value.
#[derive(Debug)]
pub(super) struct Measured {
    metric: &'static ComparedMetric,
    a: Values,
    b: Values,
    p: f64,
}

impl Measured {
    /// The metric, if all runs of both sides have a value of it.
    pub(super) fn of(metric: &'static ComparedMetric, a: &Side, b: &Side) -> Option<Self> {
        let (a, b) = (metric.values(a)?, metric.values(b)?);
        let p = stats::mann_whitney(&a.values, &b.values);
        Some(Self { metric, a, b, p })
    }

    pub(super) fn name(&self) -> &'static str {
        self.metric.name
    }

    pub(super) fn p(&self) -> f64 {
        self.p
    }

    /// The finding, by the corrected p value and the tolerance.
    pub(super) fn judged(self, p_holm: f64, delta: f64) -> Finding {
        let (a, b) = (&self.a.values, &self.b.values);
        let ratio = stats::ratio_of_medians(a, b, Resampling::default());
        let median = |values: &[f64]| stats::median(values).unwrap_or(0.0);
        Finding {
            judgement: self.judgement(ratio.map(|(_, interval)| interval), p_holm, delta),
            metric: self.metric,
            a: median(a),
            b: median(b),
            a_at_least: self.a.at_least,
            b_at_least: self.b.at_least,
            ratio: ratio.map(|(ratio, _)| ratio),
            ratio_ci95: ratio.map(|(_, interval)| interval),
            p: self.p,
            p_holm,
        }
    }

    fn judgement(&self, interval: Option<[f64; 2]>, p_holm: f64, delta: f64) -> Judgement {
        if self.a.values.len().min(self.b.values.len()) < RUNS_MIN {
            return Judgement::NotEnoughRuns;
        }
        let Some([low, high]) = interval else { return Judgement::Undecided };
        // The true value of a lower bound is larger. So a lower bound supports only the judgement
        // that its side is larger.
        let exact = !self.a.at_least && !self.b.at_least;
        let is_different = p_holm < LEVEL;
        if exact && low >= 1.0 - delta && high <= 1.0 + delta {
            Judgement::Same
        } else if is_different && low > 1.0 && !self.a.at_least {
            if self.metric.more_is_better { Judgement::Faster } else { Judgement::Slower }
        } else if is_different && high < 1.0 && !self.b.at_least {
            if self.metric.more_is_better { Judgement::Slower } else { Judgement::Faster }
        } else {
            Judgement::Undecided
        }
    }
}

/// A number of a run.
#[derive(Debug)]
pub(super) struct ComparedMetric {
    pub(super) name: &'static str,
    pub(super) more_is_better: bool,
    /// The value, and whether it is a lower bound; nothing if the run has none.
    of: fn(&Record, &RunRecord) -> Option<(f64, bool)>,
    /// The value as people read it.
    pub(super) show: fn(f64) -> String,
}

/// In the order of the table. Latencies are the headline latency: response in an open loop, service
/// in a closed one.
pub(super) const METRICS: &[ComparedMetric] = &[
    ComparedMetric {
        name: "rate",
        more_is_better: true,
        of: |_, run| Some((run.rate.achieved_per_s, false)),
        show: |per_s| format!("{} /s", units::rate(per_s)),
    },
    latency("p50", |record, run| headline(record, run, "p50", |latency| latency.p50)),
    latency("p99", |record, run| headline(record, run, "p99", |latency| latency.p99)),
    latency("p99.9", |record, run| headline(record, run, "p999", |latency| latency.p999)),
    latency("max", |record, run| headline(record, run, "max", |latency| latency.max)),
    ComparedMetric {
        name: "server cpu",
        more_is_better: false,
        of: |_, run| Some((run.server.as_ref()?.cpu_us_per_request?, false)),
        show: |us| units::duration((us * 1e3).round() as u64),
    },
];

const fn latency(
    name: &'static str,
    of: fn(&Record, &RunRecord) -> Option<(f64, bool)>,
) -> ComparedMetric {
    ComparedMetric {
        name,
        more_is_better: false,
        of,
        show: |ns| units::duration(ns.round() as u64),
    }
}

fn headline(
    record: &Record,
    run: &RunRecord,
    field: &str,
    statistic: fn(&LatencyRecord) -> Option<u64>,
) -> Option<(f64, bool)> {
    let latency = run.latency_ns.headline(record.args.mode);
    statistic(latency).map(|ns| (ns as f64, latency.is_at_least(field)))
}

/// The values of a side, one for each run.
#[derive(Debug, Clone)]
pub(super) struct Values {
    pub(super) values: Vec<f64>,
    /// Whether one of them is a lower bound.
    pub(super) at_least: bool,
}

impl ComparedMetric {
    /// Whether any run of a side has a value.
    pub(super) fn is_known_to(&self, side: &Side) -> bool {
        let knows =
            |record: &Record| record.runs.iter().any(|run| (self.of)(record, run).is_some());
        side.records.iter().any(knows)
    }

    /// The values of a side, if all of its runs have one.
    pub(super) fn values(&self, side: &Side) -> Option<Values> {
        let runs = side
            .records
            .iter()
            .flat_map(|record| record.runs.iter().map(move |run| (self.of)(record, run)));
        let known: Vec<(f64, bool)> = runs.collect::<Option<_>>()?;
        Some(Values {
            at_least: known.iter().any(|&(_, at_least)| at_least),
            values: known.into_iter().map(|(value, _)| value).collect(),
        })
    }
}
