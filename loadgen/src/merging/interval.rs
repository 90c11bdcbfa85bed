//! The steps of one run by several loaders, added step by step.
//!
//! Steps are matched by their number: with one plan they cover the same parts of the window.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::latency::{Latencies, P50, P99};
use crate::record::{IntervalRecord, RunRecord};
use crate::report::StoredResult;
use crate::report::hlog::{Log, stamp};
use crate::schedule::Mode;

/// One run of several loaders.
#[derive(Debug)]
pub(super) struct Steps<'a> {
    mode: Mode,
    parts: Vec<Part<'a>>,
}

/// One loader's steps.
#[derive(Debug)]
struct Part<'a> {
    run: &'a RunRecord,
    log: Log,
    /// The indices of the log's entries for each step, by the step's time as the log writes it.
    entries: BTreeMap<String, Vec<usize>>,
}

impl<'a> Steps<'a> {
    /// The run at this index of all results.
    pub(super) fn of(sources: &'a [StoredResult], index: usize) -> Result<Self, Error> {
        let part = |source: &'a StoredResult| {
            let log = source.log(index)?;
            let mut entries: BTreeMap<String, Vec<usize>> = BTreeMap::new();
            for (number, entry) in log.entries.iter().enumerate() {
                entries.entry(stamp(entry.start_s)).or_default().push(number);
            }
            Ok(Part { run: &source.record.runs[index], log, entries })
        };
        let mode = sources[0].record.args.mode;
        Ok(Self { mode, parts: sources.iter().map(part).collect::<Result<_, Error>>()? })
    }

    /// All steps; as many as the loader with the most has.
    pub(super) fn records(&self) -> Result<Vec<IntervalRecord>, Error> {
        let steps = self.parts.iter().map(|part| part.run.intervals.len()).max().unwrap_or(0);
        (0..steps).map(|step| self.record(step)).collect()
    }

    /// The distributions of a step.
    pub(super) fn latencies(&self, step: usize) -> Result<Latencies, Error> {
        let mut latencies = Latencies::new();
        for part in &self.parts {
            let intervals = &part.run.intervals;
            let Some((first, this)) = intervals.first().zip(intervals.get(step)) else { continue };
            let at = stamp(this.start_s - first.start_s);
            for number in part.entries.get(&at).into_iter().flatten() {
                part.log.add(&part.log.entries[*number], &mut latencies)?;
            }
        }
        Ok(latencies)
    }

    fn record(&self, step: usize) -> Result<IntervalRecord, Error> {
        let latencies = self.latencies(step)?;
        let headline = latencies.headline(self.mode);
        let known = || self.parts.iter().filter_map(|part| part.run.intervals.get(step));
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
            server_cpu: known().find_map(|interval| interval.server_cpu),
        })
    }
}
