//! The account of a thread that was lost with its machine: none of its requests is dropped.

use super::due_requests::{DueRequests, Unsent};
use super::plan::{Plan, Share};
use super::recorder::{Recorder, Request};
use super::reporter::IntervalReport;
use super::usage::Usage;
use super::worker::{Finished, UNSENT_LISTED_MAX};
use crate::record::Counters;
use crate::schedule::Window;

/// What a thread had reported before it was lost.
#[derive(Debug, Clone)]
pub(crate) struct LastReport {
    pub(crate) end_ns: u64,
    pub(crate) counters: Counters,
    pub(crate) outstanding: u64,
    pub(crate) backlog: u64,
}

/// Ends the account of a lost thread when the run has ended, at `now_ns`. What became of its
/// requests after its last report is not known. They count as unanswered, with the time that they
/// have waited at least.
///
/// - Those outstanding at the report have waited since then. They are censored.
/// - Those due and unsent at the report have waited since then, too.
/// - Those due later have waited since their intended times. They count as unsent.
///
/// Returns the thread's results, and its last report, which is that of interval `index`.
pub(crate) fn account(
    plan: &Plan<'_>,
    share: Share,
    window: Window,
    last: Option<&LastReport>,
    (index, now_ns): (u64, u64),
) -> (Finished, IntervalReport) {
    let options = plan.options;
    let since_ns = last.map_or(window.start_ns, |last| last.end_ns);
    let mut recorder = Recorder::new(window, options.load.mode(), options.seed);
    recorder.starts(window, window.start_ns);
    if let Some(last) = last {
        recorder.resume(last.counters.clone(), since_ns);
        let request = Request { intended_ns: since_ns, sent_ns: since_ns, stalled_before_ns: 0 };
        (0..last.outstanding).for_each(|_| recorder.censored(request, now_ns));
        let backlog = Unsent { intended_ns: since_ns, count: last.backlog, is_estimate: false };
        recorder.unsent(backlog, now_ns, None);
    }
    let end_ns = window.end_ns.min(now_ns);
    let listed_max = UNSENT_LISTED_MAX / u64::from(share.connections.max(1));
    for number in share.numbers() {
        let (Some(arrivals), Some(intensity)) = (plan.arrivals(number), &plan.intensity) else {
            continue;
        };
        let mut due = DueRequests::new(arrivals, intensity, window.start_ns, end_ns);
        if last.is_some() {
            due.skip_to(since_ns, intensity);
        }
        due.drain(intensity, &window, listed_max, |unsent| recorder.unsent(unsent, now_ns, None));
    }
    let report = IntervalReport {
        thread: share.thread,
        index,
        end_ns: now_ns,
        latencies: recorder.take_latencies(None),
        counters: recorder.counters().clone(),
        outstanding: 0,
        backlog: 0,
        cpu_ns: 0,
        stalled_ns: 0,
        run_delay_ns: None,
        last: true,
    };
    let finished = Finished {
        connections: share.connections as usize,
        started_late_ns: 0,
        recorded: recorder.finish(),
        stopped_ns: since_ns.min(window.end_ns),
        wall_ns: since_ns.min(window.end_ns).saturating_sub(window.start_ns),
        usage: Usage::default(),
    };
    (finished, report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options_from_flags::tests::options;
    use crate::engine::plan::Part;
    use crate::interrupt::Interrupt;
    use crate::latency::Distribution;

    const MS: u64 = 1_000_000;

    /// A thread of two connections at 1,000 requests a second for 100 ms, lost after 40.5 ms with
    /// two requests outstanding and one unsent. The run ends after 130 ms.
    fn lost(flags: &str, last: Option<&LastReport>) -> (Finished, IntervalReport) {
        let options = options(&format!("-c 4 --warmup 0s --duration 100ms {flags}")).unwrap();
        let interrupt = Interrupt::never();
        let plan = Plan::new(&options, &interrupt, Part { rank: 1, agents: 2 });
        let window = Window::new(0, options.warmup, options.duration);
        account(&plan, plan.shares()[0], window, last, (7, 130 * MS))
    }

    /// 20 of its requests are due in 40.5 ms, and 30 later.
    fn last() -> LastReport {
        let counters = Counters { scheduled: 19, sent: 19, completed: 17, ..Counters::default() };
        LastReport { end_ns: 40_500_000, counters, outstanding: 2, backlog: 1 }
    }

    #[test]
    fn every_request_of_a_lost_thread_is_accounted_for_to_the_end_of_the_run() {
        let (finished, report) = lost("--rate 1k --arrival constant", Some(&last()));
        let counters = &finished.recorded.counters;
        assert!(counters.conserved(), "{counters:?}");
        assert_eq!((counters.scheduled, counters.completed), (50, 17));
        assert_eq!((counters.censored, counters.unsent), (2, 31));
        assert_eq!(report.counters, *counters);
        assert_eq!((report.index, report.end_ns, report.last), (7, 130 * MS, true));
        let unanswered = &report.latencies[Distribution::Unanswered];
        assert_eq!(unanswered.count(), 33);
        assert_eq!(unanswered.max_ns(), Some(89_500_000), "since the last report");
        assert_eq!(unanswered.min_ns(), Some(31 * MS), "the last one was due at 99 ms");
        assert_eq!(finished.recorded.outstanding_ns, finished.recorded.served_ns);
    }

    #[test]
    fn a_thread_that_reported_nothing_has_sent_nothing() {
        let (finished, _) = lost("--rate 1k --arrival constant", None);
        let counters = finished.recorded.counters;
        assert_eq!((counters.scheduled, counters.unsent, counters.sent), (50, 50, 0));
        assert!(counters.conserved(), "{counters:?}");
    }

    #[test]
    fn a_closed_loop_has_no_requests_that_were_due() {
        let last = LastReport { backlog: 0, ..last() };
        let (finished, _) = lost("", Some(&last));
        let counters = finished.recorded.counters;
        assert_eq!((counters.scheduled, counters.censored, counters.unsent), (19, 2, 0));
    }
}
