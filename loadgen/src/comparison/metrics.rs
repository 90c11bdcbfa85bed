//! The numbers of a run that a comparison looks at.

use super::Side;
use serde::{Serialize, Serializer};

use crate::record::{LatencyRecord, Record, RunRecord};
use crate::stats;
use crate::units;

/// A number of a run.
#[derive(Debug)]
pub(crate) struct ComparedMetric {
    pub(crate) name: &'static str,
    pub(crate) more_is_better: bool,
    /// Whether the judgement of the sides depends on it.
    pub(super) decides: bool,
    /// The value, and whether it is a lower bound; nothing if the run has none.
    of: fn(&Record, &RunRecord) -> Option<(f64, bool)>,
    /// The value as people read it.
    pub(crate) show: fn(f64) -> String,
}

/// In JSON it is its name.
impl Serialize for ComparedMetric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

/// In the order of the table. Latencies are the headline latency: response in an open loop, service
/// in a closed one.
///
/// The rate of an open loop is the schedule's, so there the share of it that was achieved decides.
/// p99.9 and maximum rest on few requests of a run. They vary so much that with them hardly any two
/// sides would be the same, and each further metric makes the others less sensitive.
pub(crate) const METRICS: &[ComparedMetric] = &[
    ComparedMetric {
        name: "rate",
        more_is_better: true,
        decides: true,
        of: |record, run| (!record.args.is_open()).then_some((run.rate.achieved_per_s, false)),
        show: |per_s| format!("{} /s", units::rate(per_s)),
    },
    ComparedMetric {
        name: "achieved",
        more_is_better: true,
        decides: true,
        of: |_, run| {
            let offered_per_s = run.rate.offered_per_s.filter(|&offered| offered > 0.0)?;
            Some((run.rate.achieved_per_s / offered_per_s, false))
        },
        show: |share| format!("{:.2} %", 100.0 * share),
    },
    latency("p50", true, |record, run| headline(record, run, "p50", |latency| latency.p50)),
    latency("p90", true, |record, run| headline(record, run, "p90", |latency| latency.p90)),
    latency("p99", true, |record, run| headline(record, run, "p99", |latency| latency.p99)),
    latency("p99.9", false, |record, run| headline(record, run, "p999", |latency| latency.p999)),
    latency("max", false, |record, run| headline(record, run, "max", |latency| latency.max)),
    ComparedMetric {
        name: "server cpu",
        more_is_better: false,
        decides: true,
        of: |_, run| Some((run.server.as_ref()?.cpu_us_per_request?, false)),
        show: |us| units::duration((us * 1e3).round() as u64),
    },
];

const fn latency(
    name: &'static str,
    decides: bool,
    of: fn(&Record, &RunRecord) -> Option<(f64, bool)>,
) -> ComparedMetric {
    ComparedMetric {
        name,
        more_is_better: false,
        decides,
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

/// The values of a side, one for each run or for each seed, in the order of the seeds.
#[derive(Debug, Clone)]
pub(super) struct Values {
    pub(super) values: Vec<f64>,
    /// Whether one of them is a lower bound.
    pub(super) at_least: bool,
}

impl ComparedMetric {
    /// The metric of this name, with a hyphen for a blank, as flags have it.
    pub(crate) fn named(word: &str) -> Result<&'static Self, String> {
        let known = || METRICS.iter().map(|metric| metric.name.replace(' ', "-"));
        let at = known().position(|name| name == word);
        at.map(|at| &METRICS[at]).ok_or_else(|| {
            let known: Vec<String> = known().collect();
            format!("there is no metric '{word}'; choose among {}", known.join(", "))
        })
    }

    /// The value of a run, and whether it is a lower bound; nothing if the run has none.
    pub(crate) fn value(&self, record: &Record, run: &RunRecord) -> Option<(f64, bool)> {
        (self.of)(record, run)
    }

    /// Whether any run of a side has a value.
    pub(super) fn is_known_to(&self, side: &Side) -> bool {
        side.seeded_runs().any(|(record, run, _)| (self.of)(record, run).is_some())
    }

    /// Whether all runs of a side have a value.
    pub(super) fn is_complete_in(&self, side: &Side) -> bool {
        side.seeded_runs().all(|(record, run, _)| (self.of)(record, run).is_some())
    }

    /// The values of a side, if all of its runs have one. With `merge`, runs of one seed have one
    /// value: their median.
    pub(super) fn values(&self, side: &Side, merge: bool) -> Option<Values> {
        let mut runs: Vec<_> = side.seeded_runs().collect();
        runs.sort_by_key(|&(_, _, seeds)| seeds);
        let mut at_least = false;
        let mut value = |&(record, run, _): &(&Record, &RunRecord, &[u64])| {
            let (value, is_bound) = (self.of)(record, run)?;
            at_least |= is_bound;
            Some(value)
        };
        let of_one_seed = runs.chunk_by(|one, next| merge && one.2 == next.2);
        let values = of_one_seed
            .map(|runs| stats::median(&runs.iter().map(&mut value).collect::<Option<Vec<f64>>>()?));
        let values = values.collect::<Option<_>>()?;
        Some(Values { values, at_least })
    }
}
