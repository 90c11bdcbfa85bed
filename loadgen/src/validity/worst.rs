//! Which of several runs shows a finding most.

use crate::record::{Code, RunRecord, ThreadRecord};

/// How bad a run is in what a code is about. Only values of one code can be compared. Nothing where
/// runs do not differ in it, or where the code stands for several things.
pub(super) fn extent(code: &Code, run: &RunRecord) -> Option<f64> {
    let counters = &run.counters;
    let late = &run.latency_ns.loader_late;
    let threads = |of: fn(&ThreadRecord) -> f64| run.threads.iter().map(of);
    let missing = || Some(run.rate.offered_per_s? - run.rate.achieved_per_s);
    let parts = run.validity.percentiles.values();
    match code {
        Code::LoaderLate => late.p99.or(late.max).map(|ns| ns as f64),
        Code::LoaderStalled => Some(threads(|thread| thread.stalled_s).sum()),
        Code::LoaderDelay => parts.map(|part| part.at_most_ns as f64).reduce(f64::max),
        Code::LoaderCpu => threads(|thread| thread.cpu_share).reduce(f64::max),
        Code::BelowRate | Code::Overloaded => missing(),
        Code::NearCeiling => Some(run.rate.achieved_per_s),
        Code::Arrivals => run.arrivals.as_ref().map(|arrivals| arrivals.distance),
        Code::Little => Some((run.outstanding_mean - run.outstanding_by_service).abs()),
        Code::Preempted => Some(threads(|thread| thread.involuntary_switches as f64).sum()),
        Code::MajorFaults => Some(threads(|thread| thread.major_faults as f64).sum()),
        Code::Steal => run.steal_share,
        Code::Errors => Some((counters.failed_requests() + counters.connect_failures) as f64),
        Code::EndedEarly => run.ended_early_s.map(|seconds| -seconds),
        Code::StartSkew => run.agents.iter().map(|agent| agent.skew_ns() as f64).reduce(f64::max),
        Code::CarriedBacklog => Some(counters.backlog_at_window as f64),
        _ => None,
    }
}
