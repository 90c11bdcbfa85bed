//! Whether the loader and its machine carried out the plan.

use super::super::Evidence;
use super::percent;
use crate::environment::Sharing;
use crate::options::Pacing;
use crate::record::{Code, Reason, ThreadRecord};
use crate::units::{brief, grouped};

/// Lateness below this is the cost of a wake-up.
const LATE_NS_MIN: u64 = 50_000;

/// Shares of the median response that the loader's p99 lateness may be.
const LATE_SUSPECT: f64 = 0.1;
const LATE_INVALID: f64 = 0.5;

/// Shares of a processor that a thread may use.
const CPU_SUSPECT: f64 = 0.7;
const CPU_INVALID: f64 = 0.9;

/// Share of requests during which the kernel may preempt the loader: as many as lie beyond p99.
const PREEMPTED_SUSPECT: f64 = 0.01;

/// The loader sent too late although the connection was free.
///
/// With too few samples for p99, it takes the largest lateness instead.
pub(super) fn late(evidence: &Evidence<'_>) -> Option<Reason> {
    let late = &evidence.run.latency_ns.loader_late;
    let late_ns = late.p99.or(late.max).filter(|_| evidence.is_open())?;
    let median_ns = evidence.run.latency_ns.response.p50;
    let above = |share: f64| {
        let allowed_ns = median_ns.map_or(0, |ns| (share * ns as f64) as u64);
        late_ns > allowed_ns.max(LATE_NS_MIN)
    };
    let compared = match median_ns {
        Some(ns) => format!("the median response is {}", brief(ns)),
        None => "the median response is not known".to_owned(),
    };
    let text = format!(
        "the loader itself sent late: p99 {}, {compared}; use fewer requests a thread (-t), \
         processors of its own (--pin) or --pacing hybrid",
        brief(late_ns)
    );
    if median_ns.is_some() && above(LATE_INVALID) {
        Some(Reason::invalid(Code::LoaderLate, text))
    } else {
        above(LATE_SUSPECT).then(|| Reason::suspect(Code::LoaderLate, text))
    }
}

/// The loader had no spare processor time. A loader that spins uses all of it; then the lateness
/// shows the problem instead. A closed loop does not spin.
pub(super) fn cpu(evidence: &Evidence<'_>) -> Option<Reason> {
    match evidence.args.pacing.value() {
        Some(Pacing::Spin) => return None,
        Some(Pacing::Hybrid) if evidence.is_open() => return None,
        _ => {}
    }
    let busy = busiest(&evidence.run.threads, evidence.env.cpus);
    let text = format!(
        "the loader is busy ({} of a processor): the numbers may be its own limit, not the \
         server's; use more threads (-t) or another machine",
        percent(busy)
    );
    if busy > CPU_INVALID {
        Some(Reason::invalid(Code::LoaderCpu, text))
    } else {
        (busy > CPU_SUSPECT).then(|| Reason::suspect(Code::LoaderCpu, text))
    }
}

/// The share of the busiest thread, or of all processors together. Threads that share too few
/// processors are each half idle, and yet at the limit.
fn busiest(threads: &[ThreadRecord], cpus: Option<usize>) -> f64 {
    let shares = || threads.iter().map(|thread| thread.cpu_share);
    let of_all = shares().sum::<f64>() / cpus.unwrap_or(threads.len()).max(1) as f64;
    shares().fold(of_all, f64::max)
}

/// The kernel preempted the loader often enough to affect p99.
pub(super) fn preempted(evidence: &Evidence<'_>) -> Option<Reason> {
    let threads = &evidence.run.threads;
    let switches: u64 = threads.iter().map(|thread| thread.involuntary_switches).sum();
    let completed = evidence.run.counters.completed;
    (switches as f64 > PREEMPTED_SUSPECT * completed as f64 && completed > 0).then(|| {
        let text = format!(
            "the loader lost its processor {} times in {} requests; end other programs or give it \
             processors of its own (--pin)",
            grouped(switches),
            grouped(completed)
        );
        Reason::suspect(Code::Preempted, text)
    })
}

/// The loader waited for a disk: milliseconds each.
pub(super) fn major_faults(evidence: &Evidence<'_>) -> Option<Reason> {
    let faults: u64 = evidence.run.threads.iter().map(|thread| thread.major_faults).sum();
    (faults > 0).then(|| {
        let text = format!(
            "the loader waited {} times for memory from a disk; free memory, or turn off swap",
            grouped(faults)
        );
        Reason::suspect(Code::MajorFaults, text)
    })
}

/// Smallest distance that the rule reports. In a large sample any distance is significant, but
/// queues differ only if a tenth of the gaps have another length.
const DISTANCE_SUSPECT: f64 = 0.1;

/// Below this mean gap a program that wakes up for each request sends a few at a time. The lateness
/// shows how late they are then.
const GAP_NS_MIN: f64 = 50_000.0;

/// The gaps between sends had another distribution than the requested one.
pub(super) fn unlike_the_schedule(evidence: &Evidence<'_>) -> Option<Reason> {
    let arrivals = evidence.run.arrivals.as_ref()?;
    if arrivals.distance <= DISTANCE_SUSPECT.max(arrivals.distance_by_chance) {
        return None;
    }
    let text = format!(
        "sends did not follow the {} schedule: at least {} of the gaps (mean {} per thread) are \
         of another length; use --pacing hybrid, or more threads (-t)",
        evidence.args.arrival.as_deref().unwrap_or("requested"),
        percent(arrivals.distance),
        brief(arrivals.intended_mean_ns as u64)
    );
    let keepable = arrivals.intended_mean_ns >= GAP_NS_MIN;
    Some(if keepable {
        Reason::suspect(Code::Arrivals, text)
    } else {
        Reason::label(Code::Arrivals, text)
    })
}

/// Share of all processors' time that may be stolen.
const STEAL_SUSPECT: f64 = 0.01;

/// The hypervisor gave processor time to others.
pub(super) fn steal(evidence: &Evidence<'_>) -> Option<Reason> {
    let stolen = evidence.run.steal_share.filter(|&share| share > STEAL_SUSPECT)?;
    let text = format!(
        "the hypervisor took {} of the processor time for others; measure on a machine of your own",
        percent(stolen)
    );
    Some(Reason::suspect(Code::Steal, text))
}

/// Loader and server share processors: either may have delayed the other.
pub(super) fn co_located(evidence: &Evidence<'_>) -> Option<Reason> {
    evidence.env.sharing.filter(|sharing: &Sharing| sharing.is_co_located()).map(|_| {
        let text = "loader and server share processors: latencies contain both, and the rate is \
                    that of both together; use another machine, or separate cores (--pin)";
        Reason::label(Code::CoLocated, text.to_owned())
    })
}

/// The loader was built without optimisation.
pub(super) fn debug_build(evidence: &Evidence<'_>) -> Option<Reason> {
    (evidence.env.loadgen_profile == "debug").then(|| {
        let text = "this loadgen is a debug build, several times slower; build it with --release";
        Reason::label(Code::DebugBuild, text.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{codes, one};
    use super::*;
    use crate::record::Verdict::{self, Invalid, Suspect, Valid};
    use crate::record::tests::sample;
    use crate::record::{ArrivalRecord, Code, TextValue};

    /// What is found when p99 of the loader's lateness and the median response are these.
    fn when_late(late_ns: u64, median_ns: Option<u64>) -> Vec<(Code, Verdict)> {
        codes(sample::open(), |_, run| {
            run.latency_ns.loader_late.p99 = Some(late_ns);
            run.latency_ns.response.p50 = median_ns;
        })
    }

    #[test]
    fn lateness_counts_from_fifty_microseconds_or_a_tenth_of_the_median() {
        assert_eq!(when_late(50_000, Some(20_000)), []);
        assert_eq!(when_late(50_001, Some(20_000)), one(Code::LoaderLate, Invalid));
        assert_eq!(when_late(100_000, Some(1_000_000)), []);
        assert_eq!(when_late(100_001, Some(1_000_000)), one(Code::LoaderLate, Suspect));
        assert_eq!(when_late(500_000, Some(1_000_000)), one(Code::LoaderLate, Suspect));
        assert_eq!(when_late(500_001, Some(1_000_000)), one(Code::LoaderLate, Invalid));
    }

    #[test]
    fn lateness_without_a_median_can_only_be_suspect() {
        assert_eq!(when_late(50_000, None), []);
        assert_eq!(when_late(50_000_000, None), one(Code::LoaderLate, Suspect));
    }

    #[test]
    fn few_samples_are_judged_by_the_largest_lateness() {
        let found = codes(sample::open(), |_, run| {
            run.latency_ns.loader_late.p99 = None;
            run.latency_ns.loader_late.max = Some(90_000_000);
        });
        assert_eq!(found, one(Code::LoaderLate, Invalid));
    }

    /// What is found when the threads use these shares of this many processors.
    fn when_busy(shares: &[f64], cpus: usize) -> Vec<(Code, Verdict)> {
        codes(sample::closed(), |record, run| {
            record.env.cpus = Some(cpus);
            let thread = run.threads.remove(0);
            let with = |&cpu_share: &f64| ThreadRecord { cpu_share, ..thread.clone() };
            run.threads = shares.iter().map(with).collect();
        })
    }

    #[test]
    fn a_thread_may_use_seven_tenths_of_a_processor() {
        assert_eq!(when_busy(&[0.7, 0.1], 8), []);
        assert_eq!(when_busy(&[0.1, 0.701], 8), one(Code::LoaderCpu, Suspect));
        assert_eq!(when_busy(&[0.9], 8), one(Code::LoaderCpu, Suspect));
        assert_eq!(when_busy(&[0.901], 8), one(Code::LoaderCpu, Invalid));
    }

    #[test]
    fn threads_that_fill_the_one_processor_they_share_are_busy_too() {
        assert_eq!(when_busy(&[0.46, 0.46], 2), []);
        assert_eq!(when_busy(&[0.46, 0.46], 1), one(Code::LoaderCpu, Invalid));
    }

    #[test]
    fn a_loader_that_spins_is_judged_by_its_lateness_alone() {
        let spinning = |pacing: Pacing, measurement| {
            codes(measurement, |record, run| {
                record.args.pacing = TextValue::of(pacing);
                run.threads[0].cpu_share = 1.0;
            })
        };
        assert_eq!(spinning(Pacing::Spin, sample::open()), []);
        assert_eq!(spinning(Pacing::Hybrid, sample::open()), []);
        assert_eq!(spinning(Pacing::Sleep, sample::open()), one(Code::LoaderCpu, Invalid));
        assert_eq!(spinning(Pacing::Hybrid, sample::closed()), one(Code::LoaderCpu, Invalid));
    }

    #[test]
    fn losing_the_processor_matters_from_one_request_in_a_hundred() {
        let when = |switches: u64| {
            codes(sample::open(), |_, run| {
                run.counters.completed = 10_000;
                run.threads[0].involuntary_switches = switches;
            })
        };
        assert_eq!(when(100), []);
        assert_eq!(when(101), one(Code::Preempted, Suspect));
    }

    #[test]
    fn one_wait_for_a_disk_is_reported() {
        let found = codes(sample::open(), |_, run| run.threads[0].major_faults = 1);
        assert_eq!(found, one(Code::MajorFaults, Suspect));
    }

    fn with_distance(distance: f64, by_chance: f64, mean_ns: f64) -> Vec<(Code, Verdict)> {
        codes(sample::open(), |_, run| {
            run.arrivals = Some(ArrivalRecord {
                gaps: 1_000,
                intended_mean_ns: mean_ns,
                actual_mean_ns: mean_ns,
                distance,
                distance_by_chance: by_chance,
            });
        })
    }

    #[test]
    fn a_distance_counts_if_it_is_large_and_no_chance() {
        assert_eq!(with_distance(0.1, 0.02, 1e6), []);
        assert_eq!(with_distance(0.101, 0.02, 1e6), one(Code::Arrivals, Suspect));
        assert_eq!(with_distance(0.3, 0.4, 1e6), [], "a small sample says nothing");
    }

    #[test]
    fn gaps_too_short_to_wake_up_for_are_a_label() {
        assert_eq!(with_distance(0.5, 0.02, 50_000.0), one(Code::Arrivals, Suspect));
        assert_eq!(with_distance(0.5, 0.02, 49_999.0), one(Code::Arrivals, Valid));
    }

    #[test]
    fn one_percent_of_stolen_time_is_the_most() {
        assert_eq!(codes(sample::open(), |_, run| run.steal_share = Some(0.01)), []);
        let found = codes(sample::open(), |_, run| run.steal_share = Some(0.011));
        assert_eq!(found, one(Code::Steal, Suspect));
    }

    #[test]
    fn shared_processors_are_a_label() {
        for (sharing, shared) in [
            (Sharing::SeparateMachines, false),
            (Sharing::SeparateProcessors, false),
            (Sharing::SharedProcessors, true),
        ] {
            let found = codes(sample::closed(), |record, _| record.env.sharing = Some(sharing));
            assert_eq!(found, if shared { one(Code::CoLocated, Valid) } else { vec![] });
        }
    }

    #[test]
    fn a_debug_build_says_so() {
        let found = codes(sample::open(), |record, _| {
            record.env.loadgen_profile = "debug".to_owned();
        });
        assert_eq!(found, one(Code::DebugBuild, Valid));
    }
}
