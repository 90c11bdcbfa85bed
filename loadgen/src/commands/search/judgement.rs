//! What a probe shows about its rate.

use super::strategy::Finding;
use crate::record::{Record, Verdict};
use crate::validity::{Decision, Slo};

/// Judges a measurement by its objectives.
///
/// Requests that failed make a rate bad, unless an objective says how many may.
pub(super) fn of(record: &Record, objectives: &[Slo]) -> Finding {
    let tolerates_errors = objectives.iter().any(|slo| slo.to_string().starts_with("err"));
    let failed = record.counters.has_errors() && !tolerates_errors;
    let decisions: Vec<Decision> = objectives.iter().map(|slo| slo.decide(record)).collect();
    finding(record.validity.verdict, failed || record.counters.measured == 0, &decisions)
}

fn finding(verdict: Verdict, failed: bool, decisions: &[Decision]) -> Finding {
    if verdict == Verdict::Invalid {
        Finding::LoaderLimited
    } else if failed || decisions.contains(&Decision::Failed) {
        Finding::Bad
    } else if decisions.contains(&Decision::Undecided) {
        Finding::Undecided
    } else {
        Finding::Good
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Decision::{Failed, Passed, Undecided};

    #[test]
    fn all_objectives_must_be_met_for_certain() {
        let judged = |decisions: &[Decision]| finding(Verdict::Valid, false, decisions);
        assert_eq!(judged(&[Passed, Passed]), Finding::Good);
        assert_eq!(judged(&[Passed, Undecided]), Finding::Undecided);
        assert_eq!(judged(&[Undecided, Failed]), Finding::Bad);
    }

    #[test]
    fn a_run_with_errors_is_bad_whatever_its_latencies() {
        assert_eq!(finding(Verdict::Valid, true, &[Passed]), Finding::Bad);
    }

    #[test]
    fn what_an_invalid_run_seems_to_show_counts_for_nothing() {
        for decision in [Passed, Failed, Undecided] {
            assert_eq!(finding(Verdict::Invalid, false, &[decision]), Finding::LoaderLimited);
        }
        assert_eq!(finding(Verdict::Suspect, false, &[Passed]), Finding::Good);
    }
}
