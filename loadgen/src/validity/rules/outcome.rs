//! Whether the plan was carried out.

use super::super::evidence::Evidence;
use super::percent;
use crate::record::{Code, Reason};
use crate::units::grouped;

/// Share of requests whose loss the percentiles would show.
const LOST_SUSPECT: f64 = 0.001;

/// No request was measured.
pub(super) fn nothing_measured(evidence: &Evidence<'_>) -> Option<Reason> {
    (evidence.run.counters.measured == 0).then(|| {
        let text = "no request was measured: every one was lost, or the run was too short";
        Reason::invalid(Code::NothingMeasured, text.to_owned())
    })
}

/// Requests were lost with their connections. Their latencies are lower bounds at best.
pub(super) fn errors(evidence: &Evidence<'_>) -> Option<Reason> {
    let counters = &evidence.run.counters;
    let lost = counters.failed + counters.timed_out;
    if lost + counters.mismatches + counters.connect_failures == 0 {
        return None;
    }
    let share = lost as f64 / counters.sent.max(1) as f64;
    let text = format!(
        "{} of {} requests were lost to errors ({}), {} connects failed; see the list of errors",
        grouped(lost),
        grouped(counters.sent),
        percent(share),
        grouped(counters.connect_failures)
    );
    let grave = share > LOST_SUSPECT || counters.mismatches > 0;
    Some(if grave {
        Reason::suspect(Code::Errors, text)
    } else {
        Reason::label(Code::Errors, text)
    })
}

/// No connection was left.
pub(super) fn ended_early(evidence: &Evidence<'_>) -> Option<Reason> {
    let seconds = evidence.run.ended_early_s?;
    let text = format!(
        "the run ended early, after {seconds:.1} s: no connection was left; look into the server's \
         log or its connection limit"
    );
    Some(Reason::suspect(Code::EndedEarly, text))
}

/// A signal ended the run.
pub(super) fn interrupted(evidence: &Evidence<'_>) -> Option<Reason> {
    evidence.run.interrupted.then(|| {
        let text = "interrupted by a signal: these are partial results";
        Reason::suspect(Code::Interrupted, text.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{codes, one};
    use crate::record::Code;
    use crate::record::Verdict::{Invalid, Suspect, Valid};
    use crate::record::tests::sample;

    #[test]
    fn a_run_that_measured_nothing_is_invalid() {
        let found = codes(sample::closed(), |_, run| run.counters.measured = 0);
        assert_eq!(found, one(Code::NothingMeasured, Invalid));
    }

    #[test]
    fn errors_are_reported_and_suspect_from_one_request_in_a_thousand() {
        let when = |failed: u64, mismatches: u64| {
            codes(sample::closed(), |_, run| {
                run.counters.sent = 10_000;
                run.counters.failed = failed;
                run.counters.mismatches = mismatches;
            })
        };
        assert_eq!(when(0, 0), []);
        assert_eq!(when(10, 0), one(Code::Errors, Valid));
        assert_eq!(when(11, 0), one(Code::Errors, Suspect));
        assert_eq!(when(1, 1), one(Code::Errors, Suspect), "a wrong byte is never a small matter");
    }

    #[test]
    fn a_plan_not_carried_out_is_suspect() {
        let found = codes(sample::closed(), |_, run| run.interrupted = true);
        assert_eq!(found, one(Code::Interrupted, Suspect));
        let found = codes(sample::closed(), |_, run| run.ended_early_s = Some(2.0));
        assert_eq!(found, one(Code::EndedEarly, Suspect));
    }
}
