//! What several loaders measured at the same time with the same plan, as one measurement.
//!
//! ```text
//! agreement    whether these are parts of one measurement, and what a reader must know of them
//! plan         the plans added
//! run          the records of one run added
//! interval     their intervals, and the distributions in each
//! ```
//!
//! Histograms and counters are added, and so are rates, for the loaders ran at the same time.
//! Nothing is averaged.

mod agreement;
mod interval;
mod plan;
mod run;

use crate::engine::Observer;
use crate::error::Error;
use crate::latency::Latencies;
use crate::measure::{Measurement, combine};
use crate::record::{RateRecord, RunRecord, Stated};
use crate::report::StoredResult;

/// A merged measurement, with the results whose steps an observer can replay.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) measurement: Measurement,
    sources: Vec<StoredResult>,
}

impl Merged {
    /// Puts the results together, at least two of them. Everything is read and checked before.
    pub(crate) fn of(sources: Vec<StoredResult>) -> Result<Self, Error> {
        let found = agreement::check(&sources)?;
        let args = plan::added(&sources);
        let mut latencies = Latencies::new();
        let of_runs = sources.iter().map(StoredResult::latencies_of_runs);
        let of_runs = of_runs.collect::<Result<Vec<_>, _>>()?;
        let mut runs = Vec::new();
        for index in 0..sources[0].record.runs.len() {
            let mut of_run = Latencies::new();
            of_runs.iter().for_each(|source| of_run.merge(&source[index]));
            let intervals = interval::Steps::of(&sources, index)?.records()?;
            runs.push(run::added(&sources, index, intervals, &of_run));
            latencies.merge(&of_run);
        }
        let rate = rate_of(&runs);
        let mut record = combine(args, sources[0].record.env.clone(), runs, &latencies);
        record.rate = rate;
        found.add_to(&mut record.validity);
        record.slo = record
            .args
            .slo
            .iter()
            .filter_map(Stated::value)
            .map(|slo| slo.check(&record))
            .collect();
        Ok(Self { measurement: Measurement { record, latencies }, sources })
    }

    /// Reports all runs to an observer, as their loaders did.
    pub(crate) fn replay(&self, observer: &mut dyn Observer) -> Result<(), Error> {
        for (index, run) in self.measurement.record.runs.iter().enumerate() {
            observer.run_begins(run.number, run.started_unix_s)?;
            let steps = interval::Steps::of(&self.sources, index)?;
            for (step, interval) in run.intervals.iter().enumerate() {
                observer.interval(interval, &steps.latencies(step)?)?;
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
        bytes_per_s: mean(&|rate| rate.bytes_per_s),
        measured_s,
    }
}

#[cfg(test)]
mod tests;
