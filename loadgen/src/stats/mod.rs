//! Statistics that assume nothing about the shape of a distribution: pure functions of numbers.
//!
//! ```text
//! normal       the normal distribution, for many values
//! rank         Mann–Whitney: does one sample tend to be larger? Holm: several tests at once
//! signed_rank  Wilcoxon: do the differences of pairs tend to one side?
//! shift        by how much, and how precise is that?
//! power        how many values would show a difference?
//! anytime      do the differences of pairs tend to one side, looked at after every pair?
//! kolmogorov   how far apart are two distributions?
//! ```

mod anytime;
mod kolmogorov;
mod normal;
mod power;
mod rank;
mod shift;
mod signed_rank;

pub(crate) use self::anytime::{AnytimeTest, PAIRS_TO_FIND_MAX, anytime_interval, pairs_to_find};
pub(crate) use self::kolmogorov::{distance, distance_by_chance, effective_size};
pub(crate) use self::power::{POWER, Samples, values_to_find};
pub(crate) use self::rank::{holm, mann_whitney};
pub(crate) use self::shift::{Shift, shift_of_pairs};
pub(crate) use self::signed_rank::{signed_rank, smallest_p};

/// The middle value, or the mean of the two in the middle; nothing if there are no values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[middle - 1], upper) })
}

/// The smallest and the largest value.
pub(crate) fn range(values: &[f64]) -> Option<(f64, f64)> {
    let smallest = values.iter().copied().reduce(f64::min)?;
    let largest = values.iter().copied().reduce(f64::max)?;
    Some((smallest, largest))
}

/// The standard deviation of what the values are a sample of; nothing of fewer than two.
pub(crate) fn deviation(values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt())
}

/// The least-squares line through points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FittedLine {
    /// Units of y per unit of x.
    pub(crate) slope: f64,
    /// Pearson's coefficient, from -1 to 1; 0 where y does not change.
    pub(crate) correlation: f64,
}

impl FittedLine {
    /// The line through `points`, if at least two of them differ in x.
    pub(crate) fn through(points: &[(f64, f64)]) -> Option<Self> {
        let count = points.len() as f64;
        let mean_x = points.iter().map(|point| point.0).sum::<f64>() / count;
        let mean_y = points.iter().map(|point| point.1).sum::<f64>() / count;
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for (x, y) in points.iter().map(|point| (point.0 - mean_x, point.1 - mean_y)) {
            xx += x * x;
            xy += x * y;
            yy += y * y;
        }
        let correlation = if yy > 0.0 { xy / (xx * yy).sqrt() } else { 0.0 };
        (xx > 0.0).then(|| Self { slope: xy / xx, correlation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle_or_between_the_two_that_do() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&[9.0, 1.0, 5.0, 6.0]), Some(5.5));
    }

    #[test]
    fn the_range_is_from_the_smallest_to_the_largest() {
        assert_eq!(range(&[]), None);
        assert_eq!(range(&[3.0, -1.0, 2.0]), Some((-1.0, 3.0)));
    }

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        assert_eq!(deviation(&[1.0]), None);
        assert_eq!(deviation(&[1.0, 3.0]), Some(2.0_f64.sqrt()));
    }

    #[test]
    fn points_on_a_line_have_its_slope_and_fit_perfectly() {
        let points: Vec<_> = (0..9).map(|x| (f64::from(x), 7.0 - 2.0 * f64::from(x))).collect();
        let line = FittedLine::through(&points).unwrap();
        assert!((line.slope + 2.0).abs() < 1e-12 && (line.correlation + 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_bump_in_the_middle_is_no_slope() {
        let line = FittedLine::through(&[(0.0, 0.0), (1.0, 9.0), (2.0, 0.0)]).unwrap();
        assert_eq!((line.slope, line.correlation), (0.0, 0.0));
    }

    #[test]
    fn a_known_sample_has_its_known_line() {
        // Slope 0.6 and r = 0.6 / sqrt(0.6): computed by hand from sums 10, 6, 6.
        let points = [(1.0, 2.0), (2.0, 4.0), (3.0, 5.0), (4.0, 4.0), (5.0, 5.0)];
        let line = FittedLine::through(&points).unwrap();
        assert!((line.slope - 0.6).abs() < 1e-12);
        assert!((line.correlation - 0.6_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn too_few_points_have_no_line() {
        assert_eq!(FittedLine::through(&[]), None);
        assert_eq!(FittedLine::through(&[(1.0, 1.0)]), None);
        assert_eq!(FittedLine::through(&[(1.0, 1.0), (1.0, 2.0)]), None);
    }
}
