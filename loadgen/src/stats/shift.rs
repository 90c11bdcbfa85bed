//! By how much one sample lies above another (Hodges and Lehmann, 1963), with the interval that the
//! rank test of the same samples gives.

use super::{median, rank, signed_rank};

/// A shift, and its 95 % confidence interval: the shifts that the rank test does not reject.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shift {
    pub(crate) shift: f64,
    pub(crate) interval: [f64; 2],
}

impl Shift {
    /// The shift from `a` to `b`: the median of the differences of each value of `b` from each of
    /// `a`. The interval belongs to the test of Mann and Whitney. Nothing if there are too few.
    pub(crate) fn between(a: &[f64], b: &[f64]) -> Option<Self> {
        let differences = b.iter().flat_map(|b| a.iter().map(move |a| b - a)).collect();
        Self::of(differences, rank::outside(a.len(), b.len())?)
    }

    /// The shift of pairs: the median of the means of each two of their differences. The interval
    /// belongs to Wilcoxon's test. Nothing if there are too few.
    pub(crate) fn of_pairs(differences: &[f64]) -> Option<Self> {
        Self::of(means_of_two(differences), signed_rank::outside(differences.len())?)
    }

    /// The median of `candidates`, and what is left of them without `outside` at each end.
    fn of(mut candidates: Vec<f64>, outside: usize) -> Option<Self> {
        candidates.sort_by(f64::total_cmp);
        let low = *candidates.get(outside)?;
        let high = *candidates.get(candidates.len().checked_sub(1 + outside)?)?;
        Some(Self { shift: median(&candidates)?, interval: [low, high] })
    }
}

/// The shift of pairs without an interval; nothing if there are none.
pub(crate) fn shift_of_pairs(differences: &[f64]) -> Option<f64> {
    median(&means_of_two(differences))
}

/// The means of each two of these differences, and each of them.
fn means_of_two(differences: &[f64]) -> Vec<f64> {
    let means = differences.iter().enumerate();
    let means = means.flat_map(|(at, one)| {
        differences[at..].iter().map(move |other| f64::midpoint(*one, *other))
    });
    means.collect()
}

#[cfg(test)]
mod tests {
    use super::super::{mann_whitney, signed_rank};
    use super::*;
    use crate::schedule::random;

    #[test]
    fn a_known_sample_has_its_known_shift_and_interval() {
        // Differences 10 + b - a of 1..=5: the third smallest and largest are 10 -+ 3 (U = 2).
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0], [11.0, 12.0, 13.0, 14.0, 15.0]);
        let found = Shift::between(&a, &b).unwrap();
        assert_eq!(found, Shift { shift: 10.0, interval: [7.0, 13.0] });
        assert_eq!(Shift::between(&a[..3], &b[..3]), None);
        // Six pairs: the whole range of the means.
        let found = Shift::of_pairs(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        assert_eq!(found, Shift { shift: 3.5, interval: [1.0, 6.0] });
        assert_eq!(Shift::of_pairs(&[1.0; 5]), None);
    }

    /// How many of 400 intervals contain the true shift of 2, of this many values a side.
    fn coverage(size: usize, paired: bool) -> usize {
        let mut state = 77;
        let mut sample = |shift: f64| -> Vec<f64> {
            let draw = |_| shift + 6.0 * random::unit(random::split_mix(&mut state)).powi(3);
            (0..size).map(draw).collect()
        };
        let contains_two = |_: &u32| {
            let (a, b) = (sample(1.0), sample(3.0));
            let differences: Vec<f64> = b.iter().zip(&a).map(|(b, a)| b - a).collect();
            let found = if paired { Shift::of_pairs(&differences) } else { Shift::between(&a, &b) };
            let [low, high] = found.unwrap().interval;
            low <= 2.0 && 2.0 <= high
        };
        (0..400).filter(contains_two).count()
    }

    #[test]
    fn the_interval_contains_the_truth_as_often_as_it_says() {
        for (size, paired) in [(5, false), (10, false), (30, false), (8, true), (15, true)] {
            let often = coverage(size, paired);
            assert!((372..=398).contains(&often), "{size}, paired {paired}: {often} of 400");
        }
    }

    #[test]
    fn the_interval_excludes_zero_exactly_where_the_test_is_significant() {
        let mut state = 5;
        let mut sample = |count: usize, shift: f64| -> Vec<f64> {
            (0..count).map(|_| shift + random::unit(random::split_mix(&mut state))).collect()
        };
        for round in 0..400 {
            let shift = f64::from(round) / 800.0;
            let (a, b) = (sample(8, 0.0), sample(9, shift));
            let excludes = |Shift { interval: [low, high], .. }: Shift| low > 0.0 || high < 0.0;
            let found = excludes(Shift::between(&a, &b).unwrap());
            assert_eq!(found, mann_whitney(&a, &b) <= 0.05, "{a:?} {b:?}");
            let differences: Vec<f64> = b.iter().zip(&a).map(|(b, a)| b - a).collect();
            let found = excludes(Shift::of_pairs(&differences).unwrap());
            assert_eq!(found, signed_rank(&differences) <= 0.05, "{differences:?}");
        }
    }
}
