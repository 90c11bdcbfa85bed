//! The records of one run by several loaders, added.

use crate::latency::Latencies;
use crate::record::{
    ArrivalRecord, Counters, IntervalRecord, LatenciesRecord, RateRecord, Reason, RunRecord,
    Validity, Verdict,
};
use crate::report::StoredResult;

/// The run at this index of all results, added.
pub(super) fn added(
    sources: &[StoredResult],
    index: usize,
    intervals: Vec<IntervalRecord>,
    latencies: &Latencies,
) -> RunRecord {
    let parts = || sources.iter().map(|source| &source.record.runs[index]);
    let first = &sources[0].record.runs[index];
    let mut counters = Counters::default();
    parts().for_each(|run| counters.merge(&run.counters));
    RunRecord {
        number: first.number,
        started_unix_s: parts().map(|run| run.started_unix_s).fold(f64::INFINITY, f64::min),
        validity: validity(sources, index),
        rate: rate(parts().map(|run| &run.rate)),
        latency_ns: LatenciesRecord::with_intervals(
            latencies,
            sources[0].record.args.mode,
            intervals.iter(),
        ),
        counters,
        threads: parts().flat_map(|run| run.threads.iter().cloned()).collect(),
        arrivals: arrivals(parts()),
        outstanding_mean: parts().map(|run| run.outstanding_mean).sum(),
        intervals,
        server: parts().find_map(|run| run.server.clone()),
        steal_share: parts().filter_map(|run| run.steal_share).reduce(f64::max),
        first_mismatch: parts().find_map(|run| run.first_mismatch.clone()),
        first_other_error: parts().find_map(|run| run.first_other_error.clone()),
        ended_early_s: parts().filter_map(|run| run.ended_early_s).reduce(f64::min),
        interrupted: parts().any(|run| run.interrupted),
    }
}

/// Rates of the same moment add up.
fn rate<'a>(parts: impl Iterator<Item = &'a RateRecord> + Clone) -> RateRecord {
    let offered: Option<Vec<f64>> = parts.clone().map(|rate| rate.offered_per_s).collect();
    RateRecord {
        offered_per_s: offered.map(|rates| rates.iter().sum()),
        achieved_per_s: parts.clone().map(|rate| rate.achieved_per_s).sum(),
        bytes_per_s: parts.clone().map(|rate| rate.bytes_per_s).sum(),
        measured_s: parts.map(|rate| rate.measured_s).fold(0.0, f64::max),
    }
}

/// The worst verdict, with the reasons of all runs. Each names the result that it comes from.
fn validity(sources: &[StoredResult], index: usize) -> Validity {
    let mut all = Validity { verdict: Verdict::Valid, reasons: Vec::new(), labels: Vec::new() };
    for source in sources {
        let part = &source.record.runs[index].validity;
        let path = source.path.display();
        let named = |reason: &Reason| {
            let text = format!("{path}: {}", reason.text);
            Reason { text, ..reason.clone() }
        };
        all.verdict = all.verdict.max(part.verdict);
        all.reasons.extend(part.reasons.iter().map(named));
        all.labels.extend(part.labels.iter().map(named));
    }
    all
}

/// The worst of them: samples of different loaders' gaps cannot be put together.
fn arrivals<'a>(parts: impl Iterator<Item = &'a RunRecord>) -> Option<ArrivalRecord> {
    let badness = |arrivals: &ArrivalRecord| arrivals.distance / arrivals.distance_by_chance;
    let known = parts.filter_map(|run| run.arrivals.as_ref());
    known.max_by(|a, b| badness(a).total_cmp(&badness(b))).cloned()
}
