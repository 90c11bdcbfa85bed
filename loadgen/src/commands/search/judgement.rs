//! What a probe shows about its rate.

use super::strategy::ProbeFinding;
use crate::record::{Code, Record, Validity, Verdict};
use crate::slo::{Metric, Slo};
use crate::validity::Decision;

/// Judges a measurement by its objectives.
///
/// Requests that failed make a rate bad, unless an objective says how many may.
pub(super) fn of(record: &Record, objectives: &[Slo]) -> ProbeFinding {
    let tolerates_errors = objectives.iter().any(|slo| slo.metric() == Metric::Errors);
    let failed = record.counters.has_errors() && !tolerates_errors;
    let decisions: Vec<Decision> = objectives.iter().map(|slo| slo.decide(record)).collect();
    finding(&record.validity, failed || record.counters.measured == 0, &decisions)
}

fn finding(validity: &Validity, failed: bool, decisions: &[Decision]) -> ProbeFinding {
    if is_loader_limited(validity) {
        ProbeFinding::LoaderLimited
    } else if failed || decisions.contains(&Decision::Failed) {
        ProbeFinding::Bad
    } else if decisions.contains(&Decision::Undecided) || depends_on_length(validity) {
        ProbeFinding::Undecided
    } else {
        ProbeFinding::Good
    }
}

/// Everything that makes a run INVALID is the loader's, but for a server that answers nothing.
fn is_loader_limited(validity: &Validity) -> bool {
    let mut reasons = validity.reasons.iter();
    reasons.any(|reason| reason.level == Verdict::Invalid && reason.code != Code::NothingMeasured)
}

/// Where a queue grows, an objective is met until it is long enough.
fn depends_on_length(validity: &Validity) -> bool {
    validity.reasons.iter().any(|reason| reason.code == Code::NotSteady)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Reason;
    use Decision::{Failed, Passed, Undecided};

    fn because(code: Code, level: Verdict) -> Validity {
        let reason = Reason { code, level, text: String::new() };
        Validity { verdict: level, reasons: vec![reason], labels: Vec::new() }
    }

    #[test]
    fn all_objectives_must_be_met_for_certain() {
        let judged = |decisions: &[Decision]| finding(&Validity::valid(), false, decisions);
        assert_eq!(judged(&[Passed, Passed]), ProbeFinding::Good);
        assert_eq!(judged(&[Passed, Undecided]), ProbeFinding::Undecided);
        assert_eq!(judged(&[Undecided, Failed]), ProbeFinding::Bad);
    }

    #[test]
    fn a_run_with_errors_is_bad_whatever_its_latencies() {
        assert_eq!(finding(&Validity::valid(), true, &[Passed]), ProbeFinding::Bad);
        let nothing = because(Code::NothingMeasured, Verdict::Invalid);
        assert_eq!(finding(&nothing, true, &[Undecided]), ProbeFinding::Bad);
    }

    #[test]
    fn what_a_late_loader_seems_to_show_counts_for_nothing() {
        let late = because(Code::LoaderLate, Verdict::Invalid);
        for decision in [Passed, Failed, Undecided] {
            assert_eq!(finding(&late, false, &[decision]), ProbeFinding::LoaderLimited);
        }
        let less_late = because(Code::LoaderLate, Verdict::Suspect);
        assert_eq!(finding(&less_late, false, &[Passed]), ProbeFinding::Good);
    }

    #[test]
    fn an_objective_that_is_met_only_for_now_is_not_met() {
        let unsteady = because(Code::NotSteady, Verdict::Suspect);
        assert_eq!(finding(&unsteady, false, &[Passed]), ProbeFinding::Undecided);
        assert_eq!(finding(&unsteady, false, &[Failed]), ProbeFinding::Bad);
    }
}
