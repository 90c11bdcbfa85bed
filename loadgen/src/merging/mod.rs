//! Merges the results of several loaders that ran at the same time with the same plan.
//!
//! Histograms and counters are added, and so are rates, for the loaders ran at the same time.
//! Nothing is averaged. `agreement` checks whether the results are parts of one measurement.

mod agreement;

use std::collections::BTreeMap;

use crate::error::Error;
use crate::latency::{Latencies, P50, P99, Samples};
use crate::measure::{Measurement, combine};
use crate::record::{
    ArgsRecord, ArrivalRecord, Counters, IntervalRecord, KeyValueRecord, LatenciesRecord,
    RateRecord, Reason, RunRecord, StatusesRecord, TextValue, TlsRecord, Validity,
};
use crate::report::hlog::{Log, stamp};
use crate::report::{ResultFolder, StoredResult};
use crate::schedule::Mode;
use crate::validity;

/// A merged measurement, with the results whose intervals its logs have.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) measurement: Measurement,
    sources: Vec<StoredResult>,
}

impl Merged {
    /// Merges at least two results. Reads and checks all of them first.
    pub(crate) fn of(sources: Vec<StoredResult>) -> Result<Self, Error> {
        let found = agreement::check(&sources)?;
        let args = added_plan(&sources);
        let mut latencies = Latencies::new();
        let of_runs = sources.iter().map(StoredResult::latencies_of_runs);
        let of_runs = of_runs.collect::<Result<Vec<_>, _>>()?;
        let mut runs = Vec::new();
        for index in 0..sources[0].record.runs.len() {
            let mut of_run = Latencies::new();
            of_runs.iter().for_each(|source| of_run.merge(&source[index]));
            let intervals = MergedIntervals::of(&sources, index)?.records()?;
            runs.push(added_run(&sources, index, intervals, &of_run));
            latencies.merge(&of_run);
        }
        let rate = rate_of(&runs);
        let of_runs: Vec<_> = runs.iter().map(|run| &run.latency_ns).collect();
        let latency_ns = LatenciesRecord::of_runs(&latencies, args.mode, &of_runs);
        let samples = Samples { mode: args.mode, latencies: &latencies, runs: &[] };
        let mut record = combine(args, sources[0].record.env.clone(), runs, &latencies, latency_ns);
        record.rate = rate;
        found.add_to(&mut record.validity);
        record.slo = record
            .args
            .slo
            .iter()
            .filter_map(TextValue::value)
            .map(|slo| slo.check(&record, &samples))
            .collect();
        Ok(Self { measurement: Measurement { record, latencies, batches: Vec::new() }, sources })
    }

    /// Writes the logs of all runs, as their loaders did.
    pub(crate) fn write_logs(&self, folder: &mut ResultFolder) -> Result<(), Error> {
        for (index, run) in self.measurement.record.runs.iter().enumerate() {
            folder.run_begins(run.number, run.started_unix_s);
            let intervals = MergedIntervals::of(&self.sources, index)?;
            for (number, interval) in run.intervals.iter().enumerate() {
                folder.interval(interval, &intervals.latencies(number)?);
            }
        }
        Ok(())
    }
}

/// The rate of all runs, weighted by their length: they took place one after the other.
fn rate_of(runs: &[RunRecord]) -> RateRecord {
    let measured_s: f64 = runs.iter().map(|run| run.rate.measured_s).sum();
    let mean = |rate: &dyn Fn(&RateRecord) -> f64| {
        let total: f64 = runs.iter().map(|run| rate(&run.rate) * run.rate.measured_s).sum();
        if measured_s > 0.0 { total / measured_s } else { 0.0 }
    };
    let is_open = runs.iter().all(|run| run.rate.offered_per_s.is_some());
    RateRecord {
        offered_per_s: is_open.then(|| mean(&|rate| rate.offered_per_s.unwrap_or(0.0))),
        achieved_per_s: mean(&|rate| rate.achieved_per_s),
        sent_bytes_per_s: mean(&|rate| rate.sent_bytes_per_s),
        received_bytes_per_s: mean(&|rate| rate.received_bytes_per_s),
        measured_s,
    }
}

/// The plans of all loaders, added.
fn added_plan(sources: &[StoredResult]) -> ArgsRecord {
    let plans = || sources.iter().map(|source| &source.record.args);
    let seeds = |plan: &ArgsRecord| match plan.merged_seeds.as_slice() {
        [] => vec![plan.seed],
        merged => merged.to_vec(),
    };
    let rates: Option<Vec<&str>> =
        plans().map(|plan| plan.rate.as_ref().map(TextValue::text)).collect();
    let pins: Option<Vec<&str>> = plans().map(|plan| plan.pin.as_deref()).collect();
    ArgsRecord {
        target: distinct(plans().map(|plan| plan.target.as_str())),
        connections: plans().map(|plan| plan.connections).fold(0, u32::saturating_add),
        threads: plans().map(|plan| plan.threads).fold(0, u32::saturating_add),
        rate: rates.map(|rates| rates.join(" + ").into()),
        pacing: distinct(plans().map(|plan| plan.pacing.text())).into(),
        pin: pins.map(|pins| distinct(pins.into_iter())),
        merged_seeds: plans().flat_map(seeds).collect(),
        ..sources[0].record.args.clone()
    }
}

fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = Vec::new();
    for text in texts {
        if !known.contains(&text) {
            known.push(text);
        }
    }
    known.join(" + ")
}

/// The run at this index of all results, added.
fn added_run(
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
        seeds: sources.iter().flat_map(|source| seeds_of_run(source, index)).copied().collect(),
        started_unix_s: parts().map(|run| run.started_unix_s).fold(f64::INFINITY, f64::min),
        validity: Validity {
            percentiles: validity::loader_parts(latencies, sources[0].record.args.mode),
            ..added_validity(sources, index)
        },
        rate: added_rate(parts().map(|run| &run.rate)),
        latency_ns: LatenciesRecord::of_one_time(
            latencies,
            sources[0].record.args.mode,
            &parts().map(|run| &run.latency_ns).collect::<Vec<_>>(),
        ),
        counters,
        statuses: StatusesRecord::sum(parts().map(|run| &run.statuses), latencies),
        tls: TlsRecord::sum(parts().map(|run| run.tls.as_ref())),
        key_value: KeyValueRecord::sum(parts().map(|run| run.key_value.as_ref())),
        agents: parts().flat_map(|run| run.agents.iter().cloned()).collect(),
        threads: parts().flat_map(|run| run.threads.iter().cloned()).collect(),
        arrivals: worst_arrivals(parts()),
        outstanding_mean: parts().map(|run| run.outstanding_mean).sum(),
        outstanding_by_service: parts().map(|run| run.outstanding_by_service).sum(),
        intervals,
        server: parts().find_map(|run| run.server.clone()),
        server_metrics: parts().find_map(|run| run.server_metrics.clone()),
        steal_share: parts().filter_map(|run| run.steal_share).reduce(f64::max),
        first_mismatch: parts().find_map(|run| run.first_mismatch.clone()),
        first_unexpected_reply: parts().find_map(|run| run.first_unexpected_reply.clone()),
        first_changed_body: parts().find_map(|run| run.first_changed_body.clone()),
        first_other_error: parts().find_map(|run| run.first_other_error.clone()),
        ended_early_s: parts().filter_map(|run| run.ended_early_s).reduce(f64::min),
        interrupted: parts().any(|run| run.interrupted),
    }
}

/// The seeds of the run at this index of a result: several if the result was itself merged.
fn seeds_of_run(source: &StoredResult, index: usize) -> &[u64] {
    source.record.seeds_of(&source.record.runs[index])
}

/// Rates of the same moment add up.
fn added_rate<'a>(parts: impl Iterator<Item = &'a RateRecord> + Clone) -> RateRecord {
    let offered: Option<Vec<f64>> = parts.clone().map(|rate| rate.offered_per_s).collect();
    RateRecord {
        offered_per_s: offered.map(|rates| rates.iter().sum()),
        achieved_per_s: parts.clone().map(|rate| rate.achieved_per_s).sum(),
        sent_bytes_per_s: parts.clone().map(|rate| rate.sent_bytes_per_s).sum(),
        received_bytes_per_s: parts.clone().map(|rate| rate.received_bytes_per_s).sum(),
        measured_s: parts.map(|rate| rate.measured_s).fold(0.0, f64::max),
    }
}

/// The worst verdict, with the reasons of all runs. Each names the result that it comes from.
fn added_validity(sources: &[StoredResult], index: usize) -> Validity {
    let mut all = Validity::valid();
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

/// The worst of them: gap samples of different loaders cannot be merged.
fn worst_arrivals<'a>(parts: impl Iterator<Item = &'a RunRecord>) -> Option<ArrivalRecord> {
    let badness = |arrivals: &ArrivalRecord| arrivals.distance / arrivals.distance_by_chance;
    let known = parts.filter_map(|run| run.arrivals.as_ref());
    known.max_by(|a, b| badness(a).total_cmp(&badness(b))).cloned()
}

/// The intervals of one run by several loaders.
///
/// They are matched by their number: with one plan they cover the same parts of the window.
#[derive(Debug)]
struct MergedIntervals<'a> {
    mode: Mode,
    parts: Vec<Part<'a>>,
}

/// One loader's intervals.
#[derive(Debug)]
struct Part<'a> {
    run: &'a RunRecord,
    log: Log,
    /// The indices of the log's lines for each interval, by its time as the log writes it.
    lines: BTreeMap<String, Vec<usize>>,
}

impl<'a> MergedIntervals<'a> {
    /// The run at this index of all results.
    fn of(sources: &'a [StoredResult], index: usize) -> Result<Self, Error> {
        let part = |source: &'a StoredResult| {
            let log = source.log(index)?;
            let mut lines: BTreeMap<String, Vec<usize>> = BTreeMap::new();
            for (index, line) in log.lines.iter().enumerate() {
                lines.entry(stamp(line.start_s)).or_default().push(index);
            }
            Ok(Part { run: &source.record.runs[index], log, lines })
        };
        let mode = sources[0].record.args.mode;
        Ok(Self { mode, parts: sources.iter().map(part).collect::<Result<_, Error>>()? })
    }

    /// All intervals; as many as the loader with the most has.
    fn records(&self) -> Result<Vec<IntervalRecord>, Error> {
        let count = self.parts.iter().map(|part| part.run.intervals.len()).max().unwrap_or(0);
        (0..count).map(|number| self.record(number)).collect()
    }

    /// The distributions of an interval.
    fn latencies(&self, number: usize) -> Result<Latencies, Error> {
        let mut latencies = Latencies::new();
        for part in &self.parts {
            let intervals = &part.run.intervals;
            let Some((first, this)) = intervals.first().zip(intervals.get(number)) else {
                continue;
            };
            let at = stamp(this.start_s - first.start_s);
            for index in part.lines.get(&at).into_iter().flatten() {
                part.log.add(&part.log.lines[*index], &mut latencies)?;
            }
        }
        Ok(latencies)
    }

    fn record(&self, number: usize) -> Result<IntervalRecord, Error> {
        let latencies = self.latencies(number)?;
        let headline = latencies.headline(self.mode);
        let known = || self.parts.iter().filter_map(|part| part.run.intervals.get(number));
        let sum = |count: fn(&IntervalRecord) -> u64| known().map(count).sum();
        let length_s = known().map(|interval| interval.length_s).fold(0.0, f64::max);
        Ok(IntervalRecord {
            start_s: known().map(|interval| interval.start_s).fold(f64::INFINITY, f64::min),
            length_s,
            scheduled: sum(|interval| interval.scheduled),
            sent: sum(|interval| interval.sent),
            completed: sum(|interval| interval.completed),
            failed: sum(|interval| interval.failed),
            outstanding: sum(|interval| interval.outstanding),
            backlog: sum(|interval| interval.backlog),
            p50_ns: headline.percentile_ns(P50),
            p99_ns: headline.percentile_ns(P99),
            max_ns: known().filter_map(|interval| interval.max_ns).max(),
            loader_cpu: known().map(|interval| interval.loader_cpu).fold(0.0, f64::max),
            loader_stalled_s: known().map(|interval| interval.loader_stalled_s).fold(0.0, f64::max),
            loader_run_delay: known()
                .filter_map(|interval| interval.loader_run_delay)
                .reduce(f64::max),
            server_cpu: known().find_map(|interval| interval.server_cpu),
        })
    }
}

#[cfg(test)]
mod tests;
