//! Sizes whose logarithm is normally distributed.

use std::f64::consts::{PI, TAU};

use super::SIZE_MAX_BYTES;

/// Largest sigma: at this one, a size in six is already twenty thousand times the median.
pub(super) const SIGMA_MAX: f64 = 10.0;

/// Beyond this many sigmas, the normal distribution is too small for a float to represent.
const SIGMAS: f64 = 9.0;

/// Steps of the numerical mean. The function is smooth but where it is cut; with these it is
/// right to six digits.
const STEPS: u32 = 20_000;

/// A median, and the standard deviation of the logarithm; sizes are cut to what is possible.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LogNormal {
    pub(super) median_bytes: u64,
    pub(super) sigma: f64,
}

impl LogNormal {
    /// The size that two random numbers in `[0, 1)` stand for, by Box and Muller's transform.
    pub(super) fn pick(&self, first: f64, second: f64) -> u64 {
        let radius = (-2.0 * (1.0 - first).ln()).sqrt();
        self.at(radius * (TAU * second).cos())
    }

    /// The mean size: the integral over what can be drawn, since sizes are whole and cut at both
    /// ends, and the mean of an uncut distribution may be far beyond them.
    pub(super) fn mean_bytes(&self) -> f64 {
        let width = 2.0 * SIGMAS / f64::from(STEPS);
        let term = |step: u32| {
            let sigmas = (f64::from(step) + 0.5) * width - SIGMAS;
            let density = (-sigmas * sigmas / 2.0).exp() / (2.0 * PI).sqrt();
            self.at(sigmas) as f64 * density * width
        };
        (0..STEPS).map(term).sum()
    }

    /// The size so many sigmas above the median.
    fn at(&self, sigmas: f64) -> u64 {
        let size = self.median_bytes as f64 * (self.sigma * sigmas).exp();
        // The conversion saturates, so that nothing is too large for it.
        (size.round() as u64).clamp(1, SIZE_MAX_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_the_textbook_one_where_nothing_is_cut() {
        let sizes = LogNormal { median_bytes: 10_000, sigma: 0.8 };
        let textbook = 10_000.0 * (0.8_f64 * 0.8 / 2.0).exp();
        assert!((sizes.mean_bytes() / textbook - 1.0).abs() < 1e-5, "{}", sizes.mean_bytes());
    }

    #[test]
    fn the_extremes_of_the_random_numbers_are_sizes() {
        let sizes = LogNormal { median_bytes: 64, sigma: SIGMA_MAX };
        let last = 1.0 - f64::EPSILON / 2.0;
        for (first, second) in [(0.0, 0.0), (last, 0.0), (last, 0.5), (last, last)] {
            assert!((1..=SIZE_MAX_BYTES).contains(&sizes.pick(first, second)));
        }
        assert_eq!(sizes.pick(0.0, 0.3), 64);
    }
}
