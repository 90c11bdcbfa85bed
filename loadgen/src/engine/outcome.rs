//! The result of a run, put together from what its threads recorded.

use super::plan::Plan;
use super::recorder::Recorded;
use super::worker::Finished;
use crate::clock::seconds;
use crate::error::Error;
use crate::latency::{Batches, Latencies, Samples};
use crate::record::{
    ArrivalRecord, IntervalRecord, KeyValueRecord, LatenciesRecord, RateRecord, RunRecord,
    StatusesRecord, ThreadRecord, Validity,
};
use crate::schedule::Window;
use crate::server::Server;

/// The result of a run.
#[derive(Debug)]
pub(crate) struct RunOutcome {
    pub(crate) record: RunRecord,
    pub(crate) latencies: Latencies,
    pub(crate) batches: Batches,
}

/// The results of all threads together.
#[derive(Debug)]
pub(crate) struct ThreadResults {
    pub(crate) window: Window,
    pub(crate) started_unix_s: f64,
    pub(crate) finished: Vec<Finished>,
    pub(crate) intervals: Vec<IntervalRecord>,
    pub(crate) latencies: Latencies,
    /// Keys that were written before the load.
    pub(crate) preloaded: u64,
}

/// Puts the results together, and checks that every request is accounted for.
pub(crate) fn conclude(
    plan: &Plan<'_>,
    number: u32,
    results: ThreadResults,
    server: Option<&mut Server>,
) -> Result<RunOutcome, Error> {
    let ThreadResults { window, started_unix_s, finished, intervals, latencies, preloaded } =
        results;
    let options = plan.options;
    let threads = finished.iter().map(thread_record).collect();
    let stops = finished.iter().map(|thread| thread.stopped_ns);
    let stopped_ns = stops.max().unwrap_or(window.start_ns);
    let mut all = Recorded::default();
    finished.into_iter().for_each(|thread| all.merge(thread.recorded));
    if !all.counters.conserved() {
        return Err(Error::NotConserved(format!("{:?}", all.counters)));
    }
    let measured_ns = stopped_ns.min(window.end_ns).saturating_sub(window.measure_from_ns);
    let interrupted = plan.interrupt.is_requested();
    let ended_early = !interrupted && stopped_ns < window.end_ns;
    let mode = options.load.mode();
    let batches = all.batches.take().unwrap_or_else(|| Batches::new(window));
    let runs = std::slice::from_ref(&batches);
    let samples = Samples { mode, latencies: &latencies, runs };
    let record = RunRecord {
        number,
        seeds: vec![options.seed],
        started_unix_s,
        validity: Validity::valid(),
        rate: RateRecord::new(&all.counters, mode, seconds(measured_ns)),
        latency_ns: LatenciesRecord::new(&samples),
        statuses: StatusesRecord::new(all.statuses, &latencies),
        tls: options.tls.is_some().then_some(all.tls),
        key_value: options.traffic.key_value.as_ref().map(|spec| KeyValueRecord {
            preloaded,
            ..all.key_value.into_record(spec.command_names())
        }),
        agents: Vec::new(),
        threads,
        arrivals: options.load.open().map(|_| ArrivalRecord::from_gaps(&all.gaps)),
        outstanding_mean: all.outstanding_ns as f64 / measured_ns.max(1) as f64,
        outstanding_by_service: all.served_ns as f64 / measured_ns.max(1) as f64,
        intervals,
        server: server.map(|server| server.record(all.counters.completed)),
        server_metrics: None,
        steal_share: None,
        first_mismatch: all.first_mismatch,
        first_unexpected_reply: all.first_unexpected_reply,
        first_changed_body: all.first_changed_body,
        first_other_error: all.first_error,
        ended_early_s: ended_early.then(|| seconds(stopped_ns - window.start_ns)),
        interrupted,
        counters: all.counters,
    };
    Ok(RunOutcome { record, latencies, batches })
}

fn thread_record(finished: &Finished) -> ThreadRecord {
    ThreadRecord {
        connections: finished.connections,
        completed: finished.recorded.counters.completed,
        cpu_s: seconds(finished.usage.cpu_ns),
        wall_s: seconds(finished.wall_ns),
        cpu_share: finished.usage.cpu_ns as f64 / finished.wall_ns.max(1) as f64,
        involuntary_switches: finished.usage.involuntary_switches,
        major_faults: finished.usage.major_faults,
        stalls: finished.recorded.stalls.count,
        stalled_s: seconds(finished.recorded.stalls.sum_ns),
        longest_stall_s: seconds(finished.recorded.stalls.longest_ns),
        run_delay_s: finished.usage.run_delay_ns.map(seconds),
    }
}
