//! Compares the sends of a run with its schedule.

use serde::{Deserialize, Serialize};

use crate::stats;

/// Probability of a report about a loader that follows the schedule exactly.
const BY_CHANCE: f64 = 0.001;

/// Gaps that differ by less than this share of the mean gap are the same.
///
/// Otherwise, where all gaps should be equal, a gap that is one nanosecond too long would count as
/// much as one that is twice as long.
const SAME_WITHIN: f64 = 0.1;

/// The gaps between sends, compared with those that the schedule intended.
///
/// They are a bounded random sample of consecutive sends of one thread that were not blocked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ArrivalRecord {
    /// Gaps in the sample.
    pub(crate) gaps: u64,
    /// Mean gap intended, in nanoseconds.
    pub(crate) intended_mean_ns: f64,
    /// Mean gap found, in nanoseconds.
    pub(crate) actual_mean_ns: f64,
    /// Largest distance between the distributions of the gaps found and of the intended ones
    /// (Kolmogorov–Smirnov).
    pub(crate) distance: f64,
    /// Distance that chance alone exceeds once in a thousand such samples.
    pub(crate) distance_by_chance: f64,
}

impl ArrivalRecord {
    /// Compares pairs of an intended gap and the gap found, in nanoseconds.
    ///
    /// The gaps of the sample need not be those of the whole schedule: where a connection is often
    /// blocked, short gaps are missing. So they are compared with the same gaps as intended.
    pub(crate) fn from_gaps(gaps: &[(u64, u64)]) -> Self {
        let intended: Vec<f64> = gaps.iter().map(|&(intended_ns, _)| intended_ns as f64).collect();
        let actual: Vec<f64> = gaps.iter().map(|&(_, actual_ns)| actual_ns as f64).collect();
        let mean = |gaps: &[f64]| gaps.iter().sum::<f64>() / gaps.len().max(1) as f64;
        let intended_mean_ns = mean(&intended);
        let tolerance = SAME_WITHIN * intended_mean_ns;
        let settled = |(&wanted, &found): (&f64, &f64)| {
            if (found - wanted).abs() <= tolerance { wanted } else { found }
        };
        let settled: Vec<f64> = intended.iter().zip(&actual).map(settled).collect();
        let size = stats::effective_size(gaps.len(), gaps.len());
        Self {
            gaps: gaps.len() as u64,
            intended_mean_ns,
            actual_mean_ns: mean(&actual),
            distance: stats::distance(&intended, &settled),
            distance_by_chance: stats::distance_by_chance(size, BY_CHANCE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::random;

    fn exponential(count: u64) -> impl Iterator<Item = u64> {
        (0..count).map(|n| (-100_000.0 * (1.0 - random::unit(random::at(8, n))).ln()) as u64)
    }

    #[test]
    fn poisson_sends_on_time_are_no_further_than_chance() {
        let gaps: Vec<_> = exponential(4_000).map(|gap| (gap, gap + 200)).collect();
        let record = ArrivalRecord::from_gaps(&gaps);
        assert!(record.distance < record.distance_by_chance, "{record:?}");
        assert_eq!(record.gaps, 4_000);
        assert!((record.actual_mean_ns - record.intended_mean_ns - 200.0).abs() < 1e-6);
    }

    #[test]
    fn sends_in_bursts_are_far_from_poisson() {
        // Four at once, then a pause.
        let bursts = (0..4_000).map(|n| if n % 4 == 0 { 400_000 } else { 0 });
        let gaps: Vec<_> = exponential(4_000).zip(bursts).collect();
        let record = ArrivalRecord::from_gaps(&gaps);
        assert!(record.distance > 0.65, "{record:?}");
    }

    #[test]
    fn jitter_within_a_tenth_of_a_constant_gap_is_no_distance() {
        let gaps: Vec<_> = (0..1_000).map(|n| (100_000, 95_000 + n * 10)).collect();
        let record = ArrivalRecord::from_gaps(&gaps);
        assert_eq!(record.distance, 0.0);
        let every_other_late: Vec<_> =
            (0..1_000).map(|n| (100_000, 100_000 + n % 2 * 10_001)).collect();
        let record = ArrivalRecord::from_gaps(&every_other_late);
        assert_eq!(record.distance, 0.5);
    }

    #[test]
    fn a_sample_without_the_short_gaps_of_its_schedule_follows_it_all_the_same() {
        let gaps: Vec<_> =
            exponential(4_000).filter(|&gap| gap > 30_000).map(|gap| (gap, gap + 200)).collect();
        assert_eq!(ArrivalRecord::from_gaps(&gaps).distance, 0.0);
    }

    #[test]
    fn without_gaps_there_is_no_distance_and_chance_explains_everything() {
        let record = ArrivalRecord::from_gaps(&[]);
        assert_eq!((record.gaps, record.distance, record.distance_by_chance), (0, 0.0, 1.0));
    }
}
