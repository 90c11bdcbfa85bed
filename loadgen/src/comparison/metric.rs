//! What is compared of a run, and which way is better.

use super::Side;
use crate::record::{LatencyRecord, Record, RunRecord};
use crate::units;

/// A number of a run.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) more_is_better: bool,
    /// The value, and whether it is only a lower bound; nothing where the run does not know it.
    of: fn(&Record, &RunRecord) -> Option<(f64, bool)>,
    /// The value as people read it.
    pub(super) show: fn(f64) -> String,
}

/// In the order of the table. Latencies are the headline latency: response in an open loop, service
/// in a closed one.
pub(super) const ALL: &[Metric] = &[
    Metric {
        name: "rate",
        more_is_better: true,
        of: |_, run| Some((run.rate.achieved_per_s, false)),
        show: |per_s| format!("{} /s", units::rate(per_s)),
    },
    latency("p50", |record, run| headline(record, run, |latency| latency.p50)),
    latency("p99", |record, run| headline(record, run, |latency| latency.p99)),
    latency("p99.9", |record, run| headline(record, run, |latency| latency.p999)),
    latency("max", |record, run| headline(record, run, |latency| latency.max)),
    Metric {
        name: "server cpu",
        more_is_better: false,
        of: |_, run| Some((run.server.as_ref()?.cpu_us_per_request?, false)),
        show: |us| units::duration((us * 1e3).round() as u64),
    },
];

const fn latency(name: &'static str, of: fn(&Record, &RunRecord) -> Option<(f64, bool)>) -> Metric {
    Metric { name, more_is_better: false, of, show: |ns| units::duration(ns.round() as u64) }
}

fn headline(
    record: &Record,
    run: &RunRecord,
    statistic: fn(&LatencyRecord) -> Option<u64>,
) -> Option<(f64, bool)> {
    let latency = run.latency_ns.headline(record.args.mode);
    statistic(latency).map(|ns| (ns as f64, latency.is_at_least(ns)))
}

/// The values of a side, one for each run.
#[derive(Debug, Clone)]
pub(super) struct Values {
    pub(super) values: Vec<f64>,
    /// Whether one of them is a lower bound.
    pub(super) at_least: bool,
}

impl Metric {
    /// Whether any run of a side knows it.
    pub(super) fn is_known_to(&self, side: &Side) -> bool {
        let knows =
            |record: &Record| record.runs.iter().any(|run| (self.of)(record, run).is_some());
        side.records.iter().any(knows)
    }

    /// The values of a side, if all of its runs know them.
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
