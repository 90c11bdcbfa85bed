//! How many values show a difference.

use std::f64::consts::FRAC_PI_3;

use super::normal::two_sided_quantile;

/// How often a test with the returned number of values finds the difference.
pub(crate) const POWER: f64 = 0.8;

/// The test that is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Samples {
    /// Two samples of the same size.
    Independent,
    /// The differences of pairs.
    Paired,
}

/// Number of values of each side with which a rank test at `level` (two-sided) finds a `difference`
/// with probability [`POWER`], if the standard deviation is `deviation`: of one value, or of the
/// difference of a pair.
///
/// It is the normal approximation, divided by the efficiency 3/π of rank tests for normal values,
/// with the usual correction for few values (Guenther, 1981).
pub(crate) fn values_to_find(difference: f64, deviation: f64, level: f64, samples: Samples) -> f64 {
    let sides = match samples {
        Samples::Independent => 2.0,
        Samples::Paired => 1.0,
    };
    let significant = two_sided_quantile(level);
    let distance = significant + two_sided_quantile(2.0 * (1.0 - POWER));
    let many = sides * (distance * deviation / difference).powi(2) * FRAC_PI_3;
    (many + significant.powi(2) / (2.0 * sides)).ceil()
}

#[cfg(test)]
mod tests {
    use super::super::{mann_whitney, signed_rank};
    use super::*;
    use crate::schedule::random;

    #[test]
    fn the_number_is_that_of_the_textbook_and_five_percent_more() {
        // Student's test, two-sided 5 %, half a standard deviation: 64 a side, 34 pairs.
        assert_eq!(values_to_find(0.5, 1.0, 0.05, Samples::Independent), 67.0);
        assert_eq!(values_to_find(0.5, 1.0, 0.05, Samples::Paired), 35.0);
    }

    #[test]
    fn tests_with_that_number_find_the_difference_about_as_often_as_promised() {
        let mut state = 11;
        let mut normal = |mean: f64| {
            // The sum of twelve uniform values has the variance 1.
            let sum: f64 = (0..12).map(|_| random::unit(random::split_mix(&mut state))).sum();
            mean + sum - 6.0
        };
        for (difference, level) in [(1.2, 0.01), (0.9, 0.05), (0.7, 0.01)] {
            let count = values_to_find(difference, 1.0, level, Samples::Independent) as usize;
            let pairs = values_to_find(difference, 1.0, level, Samples::Paired) as usize;
            let (mut independent, mut paired) = (0, 0);
            for _ in 0..400 {
                let mut sample = |count: usize, mean: f64| -> Vec<f64> {
                    (0..count).map(|_| normal(mean)).collect()
                };
                let (a, b) = (sample(count, 0.0), sample(count, difference));
                independent += u32::from(mann_whitney(&a, &b) < level);
                paired += u32::from(signed_rank(&sample(pairs, difference)) < level);
            }
            for found in [independent, paired] {
                assert!((284..=356).contains(&found), "{difference} {level}: {found} of 400");
            }
        }
    }
}
