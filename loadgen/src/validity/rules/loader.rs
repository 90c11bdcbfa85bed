//! Whether the loader and its machine carried out the plan.

use super::super::Evidence;
use super::advice::{Remedy, untried};
use super::{percent, stalls};
use crate::environment::Sharing;
use crate::options::Pacing;
use crate::record::{Code, Reason, ThreadRecord, Verdict};
use crate::units::{brief, counted};

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
/// Fewest requests for this share.
const COMPLETED_MIN: u64 = 100;
/// Share of the time that it may wait for a processor then. Each wake-up waits a little.
const RUN_DELAY_SUSPECT: f64 = 0.05;

/// The loader sent too late although the connection was free.
///
/// With too few samples for p99, it takes the largest lateness instead.
pub(super) fn late(evidence: &Evidence<'_>) -> Option<Reason> {
    let late_ns = late_ns(evidence)?;
    let compared = match evidence.run.latency_ns.response.p50 {
        Some(ns) => format!("the median response is {}", brief(ns)),
        None => "the median response is not known".to_owned(),
    };
    let text = format!(
        "the loader itself sent late: p99 {}, {compared}; {}",
        brief(late_ns),
        punctuality(evidence)
    );
    let level = late_level(evidence);
    (level > Verdict::Valid).then_some(Reason { code: Code::LoaderLate, level, text })
}

/// The p99 of the loader's own lateness in an open loop; of several agents, that of the latest.
fn late_ns(evidence: &Evidence<'_>) -> Option<u64> {
    let late = &evidence.run.latency_ns.loader_late;
    let of_agents = evidence.run.agents.iter().filter_map(|agent| agent.loader_late_p99_ns);
    let of_all = late.p99.or(late.max);
    of_agents.chain(of_all).max().filter(|_| evidence.is_open())
}

/// What the loader's own lateness makes of the run.
pub(super) fn late_level(evidence: &Evidence<'_>) -> Verdict {
    let Some(late_ns) = late_ns(evidence) else { return Verdict::Valid };
    let median_ns = evidence.run.latency_ns.response.p50;
    let above = |share: f64| {
        let allowed_ns = median_ns.map_or(0, |ns| (share * ns as f64) as u64);
        late_ns > allowed_ns.max(LATE_NS_MIN)
    };
    if median_ns.is_some() && above(LATE_INVALID) {
        Verdict::Invalid
    } else if above(LATE_SUSPECT) {
        Verdict::Suspect
    } else {
        Verdict::Valid
    }
}

/// What helps a loader that is late.
fn punctuality(evidence: &Evidence<'_>) -> String {
    match stalls::stalled(evidence) {
        Some(_) => "it stood still (loader-stalled)".to_owned(),
        None => {
            let remedies = [Remedy::Pacing, Remedy::OwnProcessors, Remedy::MoreThreads];
            format!("use {}", untried(evidence, &remedies))
        }
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
         server's; use {}",
        percent(busy),
        untried(evidence, &[Remedy::MoreThreads, Remedy::OtherMachine])
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

/// The kernel preempted the loader in many requests, and it waited long for a processor.
pub(super) fn preempted(evidence: &Evidence<'_>) -> Option<Reason> {
    let threads = &evidence.run.threads;
    let switches: u64 = threads.iter().map(|thread| thread.involuntary_switches).sum();
    let completed = evidence.run.counters.completed;
    let often = switches as f64 > PREEMPTED_SUSPECT * completed as f64;
    if !often || completed < COMPLETED_MIN {
        return None;
    }
    let delays: Option<Vec<f64>> = threads.iter().map(|thread| thread.run_delay_s).collect();
    let delay_s = delays.map(|delays| delays.iter().sum::<f64>());
    let wall_s: f64 = threads.iter().map(|thread| thread.wall_s).sum();
    let waited = match delay_s.map(|delay_s| delay_s / wall_s) {
        Some(share) if share <= RUN_DELAY_SUSPECT => return None,
        Some(share) => format!(" and waited for it {} of the time", percent(share)),
        None => String::new(),
    };
    let text = format!(
        "the loader lost its processor {} in {}{waited}; end other programs, or use {}",
        counted(switches, "time"),
        counted(completed, "request"),
        untried(evidence, &[Remedy::OwnProcessors])
    );
    Some(Reason::suspect(Code::Preempted, text))
}

/// The loader waited for a disk: perhaps milliseconds each, which then show as stalls.
pub(super) fn major_faults(evidence: &Evidence<'_>) -> Option<Reason> {
    let faults: u64 = evidence.run.threads.iter().map(|thread| thread.major_faults).sum();
    let text = format!(
        "the loader waited {} for memory from a disk; free memory, or turn off swap",
        counted(faults, "time")
    );
    let level = stalls::stalled(evidence).map_or(Verdict::Valid, |_| Verdict::Suspect);
    (faults > 0).then_some(Reason { code: Code::MajorFaults, level, text })
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
         of another length; {}",
        evidence.args.arrival.as_deref().unwrap_or("requested"),
        percent(arrivals.distance),
        brief(arrivals.intended_mean_ns as u64),
        punctuality(evidence)
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
    use super::super::tests::{codes, findings, one};
    use super::*;
    use crate::record::Verdict::{Invalid, Suspect, Valid};
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
    fn no_advice_names_what_the_run_does_already() {
        let said = |pacing: Pacing, pin: Option<&str>, threads: u32| {
            let found = findings(sample::open(), |record, run| {
                record.args.pacing = TextValue::of(pacing);
                record.args.pin = pin.map(str::to_owned);
                record.args.threads = threads;
                record.env.cpus = Some(4);
                run.latency_ns.loader_late.p99 = Some(90_000_000);
            });
            let (_, advice) = found[0].text.rsplit_once("; use ").unwrap();
            advice.to_owned()
        };
        let all = "--pacing hybrid, processors of its own (--pin) or more threads (-t)";
        assert_eq!(said(Pacing::Sleep, None, 1), all);
        assert_eq!(said(Pacing::Hybrid, Some("0-1"), 1), "--pacing spin or more threads (-t)");
        assert_eq!(said(Pacing::Spin, Some("0-3"), 4), "another machine");
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

    /// What is found when the thread was preempted so often, and waited so long in 20 s.
    fn when_preempted(switches: u64, completed: u64, run_delay_s: Option<f64>) -> Vec<Reason> {
        findings(sample::open(), |_, run| {
            run.counters.completed = completed;
            run.threads[0].involuntary_switches = switches;
            run.threads[0].run_delay_s = run_delay_s;
        })
    }

    #[test]
    fn losing_the_processor_matters_from_one_request_in_a_hundred() {
        assert_eq!(when_preempted(100, 10_000, Some(2.0)), []);
        let found = when_preempted(101, 10_000, Some(2.0));
        assert_eq!((&found[0].code, found[0].level), (&Code::Preempted, Suspect));
        let said = "lost its processor 101 times in 10,000 requests and waited for it 10 % of";
        assert!(found[0].text.contains(said), "{}", found[0].text);
        let found = when_preempted(101, 10_000, None);
        assert!(found[0].text.contains("in 10,000 requests; end"), "{}", found[0].text);
    }

    #[test]
    fn preemptions_that_cost_nothing_or_share_few_requests_are_no_finding() {
        assert_eq!(when_preempted(500, 10_000, Some(1.0)), []);
        assert_eq!(when_preempted(15, 1, Some(2.0)), []);
    }

    #[test]
    fn a_wait_for_a_disk_is_a_note_unless_the_loader_stood_still() {
        let when = |stalled_s: f64| {
            findings(sample::closed(), |_, run| {
                run.threads[0].major_faults = 1;
                run.threads[0].stalled_s = stalled_s;
            })
        };
        assert_eq!((&when(0.0)[0].code, when(0.0)[0].level), (&Code::MajorFaults, Valid));
        let text = &when(0.0)[0].text;
        assert!(text.starts_with("the loader waited 1 time for"), "{text}");
        let found = when(1.0);
        let faults = found.iter().find(|reason| reason.code == Code::MajorFaults);
        assert_eq!(faults.unwrap().level, Suspect);
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
