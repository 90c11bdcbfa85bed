//! Whether the sends followed the arrival process.

use super::super::evidence::Evidence;
use super::percent;
use crate::record::{Code, Reason};
use crate::units::brief;

/// The distance that matters. In a large sample any distance is significant, but queues differ only
/// if a tenth of the gaps have another length.
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

#[cfg(test)]
mod tests {
    use super::super::tests::{codes, one};
    use crate::record::Verdict::{Suspect, Valid};
    use crate::record::tests::sample;
    use crate::record::{ArrivalRecord, Code, Verdict};

    fn when(distance: f64, by_chance: f64, mean_ns: f64) -> Vec<(Code, Verdict)> {
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
        assert_eq!(when(0.1, 0.02, 1e6), []);
        assert_eq!(when(0.101, 0.02, 1e6), one(Code::Arrivals, Suspect));
        assert_eq!(when(0.3, 0.4, 1e6), [], "a small sample says nothing");
    }

    #[test]
    fn gaps_too_short_to_wake_up_for_are_a_label() {
        assert_eq!(when(0.5, 0.02, 50_000.0), one(Code::Arrivals, Suspect));
        assert_eq!(when(0.5, 0.02, 49_999.0), one(Code::Arrivals, Valid));
    }
}
