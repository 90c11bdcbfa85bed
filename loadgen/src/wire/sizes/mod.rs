//! The sizes of payloads.

mod text;

use std::f64::consts::{PI, TAU};

use crate::schedule::random;

/// Longest payload.
pub(super) const SIZE_MAX_BYTES: u64 = 64 * bytesize::MIB;

/// Sizes of payloads, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sizes {
    /// All the same.
    Fixed(u64),
    /// Uniform from the least to the most, both included.
    Range { least: u64, most: u64 },
    /// One of several, some more often than others.
    Weighted(Weights),
    /// Log-normal: most near a median, few far beyond it, like objects in caches.
    LogNormal(LogNormal),
}

impl Default for Sizes {
    fn default() -> Self {
        Self::Fixed(64)
    }
}

impl Sizes {
    /// The size of request `k` of the connection that `key` belongs to.
    pub(crate) fn size_of(&self, key: u64, k: u64) -> u64 {
        match self {
            Self::Fixed(size) => *size,
            Self::Range { least, most } => least + below(most - least + 1, random::at(key, k)),
            Self::Weighted(weights) => weights.pick(random::at(key, k)),
            Self::LogNormal(sizes) => {
                let unit = |index: u64| random::unit(random::at(key, index));
                sizes.pick(unit(k.wrapping_mul(2)), unit(k.wrapping_mul(2).wrapping_add(1)))
            }
        }
    }

    /// The least size that is requested by name. A log-normal distribution names none.
    pub(crate) fn least_requested_bytes(&self) -> u64 {
        match self {
            Self::Fixed(size) => *size,
            Self::Range { least, .. } => *least,
            Self::Weighted(weights) => {
                weights.iter().map(|(size, _)| size).min().unwrap_or(SIZE_MAX_BYTES)
            }
            Self::LogNormal(sizes) => sizes.median_bytes,
        }
    }

    /// The mean size, in bytes.
    pub(crate) fn mean_bytes(&self) -> f64 {
        match self {
            Self::Fixed(size) => *size as f64,
            Self::Range { least, most } => (*least as f64 + *most as f64) / 2.0,
            Self::Weighted(weights) => weights.mean_bytes(),
            Self::LogNormal(sizes) => sizes.mean_bytes(),
        }
    }
}

/// A uniform choice from `0..bound` by a random number.
fn below(bound: u64, number: u64) -> u64 {
    ((u128::from(number) * u128::from(bound)) >> 64) as u64
}

/// Sizes and their weights, in the order of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weights {
    /// A size in bytes, its weight, and the sum of the weights up to it.
    sizes: Vec<(u64, u32, u64)>,
    total: u64,
}

impl Weights {
    /// These sizes with these weights: at least one, each weight at least 1.
    fn new(weights: impl IntoIterator<Item = (u64, u32)>) -> Self {
        let mut total = 0;
        let sizes = weights.into_iter().map(|(size, weight)| {
            total += u64::from(weight);
            (size, weight, total)
        });
        Self { sizes: sizes.collect(), total }
    }

    /// Sizes and weights as they were given.
    fn iter(&self) -> impl Iterator<Item = (u64, u32)> {
        self.sizes.iter().map(|&(size, weight, _)| (size, weight))
    }

    /// The size for a random number.
    fn pick(&self, number: u64) -> u64 {
        let place = below(self.total, number);
        let index = self.sizes.partition_point(|&(_, _, up_to)| up_to <= place);
        self.sizes[index].0
    }

    /// The mean size.
    fn mean_bytes(&self) -> f64 {
        let sum = self.iter().map(|(size, weight)| size as f64 * f64::from(weight)).sum::<f64>();
        sum / self.total as f64
    }
}

/// Largest sigma: at this one, a size in six is already twenty thousand times the median.
const SIGMA_MAX: f64 = 10.0;

/// Beyond this many sigmas, the normal distribution is too small for a float to represent.
const SIGMAS: f64 = 9.0;

/// Steps of the numerical integration. The function is smooth except where it is clamped. With this
/// many steps the mean is right to six digits.
const STEPS: u32 = 20_000;

/// A median, and the standard deviation of the logarithm. Sizes are clamped to the possible ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LogNormal {
    median_bytes: u64,
    sigma: f64,
}

impl LogNormal {
    /// The size for two random numbers in `[0, 1)`, by Box and Muller's transform.
    fn pick(&self, first: f64, second: f64) -> u64 {
        let radius = (-2.0 * (1.0 - first).ln()).sqrt();
        self.at(radius * (TAU * second).cos())
    }

    /// The mean size: the integral over the sizes that can be drawn. These are whole numbers,
    /// clamped at both ends. The mean of the unclamped distribution may be far larger.
    fn mean_bytes(&self) -> f64 {
        let width = 2.0 * SIGMAS / f64::from(STEPS);
        let term = |step: u32| {
            let sigmas = (f64::from(step) + 0.5) * width - SIGMAS;
            let density = (-sigmas * sigmas / 2.0).exp() / (2.0 * PI).sqrt();
            self.at(sigmas) as f64 * density * width
        };
        (0..STEPS).map(term).sum()
    }

    /// The size this many sigmas above the median.
    fn at(&self, sigmas: f64) -> u64 {
        let size = self.median_bytes as f64 * (self.sigma * sigmas).exp();
        // The conversion saturates.
        (size.round() as u64).clamp(1, SIZE_MAX_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTS: u64 = 200_000;

    fn sizes(text: &str) -> Sizes {
        text.parse().unwrap()
    }

    fn drawn(text: &str) -> Vec<u64> {
        let sizes = sizes(text);
        (0..REQUESTS).map(|k| sizes.size_of(5, k)).collect()
    }

    /// The mean of this many sizes lies within five standard errors of the one that is claimed.
    #[track_caller]
    fn expect_the_mean(text: &str) {
        let drawn = drawn(text);
        let count = REQUESTS as f64;
        let mean = drawn.iter().sum::<u64>() as f64 / count;
        let square = |&size: &u64| (size as f64 - mean).powi(2);
        let deviation = (drawn.iter().map(square).sum::<f64>() / count).sqrt();
        let error = deviation / count.sqrt();
        let claimed = sizes(text).mean_bytes();
        assert!((mean - claimed).abs() <= 5.0 * error + 1e-6, "{text}: {mean} and {claimed}");
    }

    #[test]
    fn the_mean_is_the_one_that_is_claimed() {
        for text in ["64", "1..2", "64..4KiB", "64:9,1KiB:1", "1:1,2:2,3:3", "lognormal:1KiB,0"] {
            expect_the_mean(text);
        }
        for text in
            ["lognormal:1KiB,0.5", "lognormal:100,1.5", "lognormal:1,1", "lognormal:32MiB,2"]
        {
            expect_the_mean(text);
        }
    }

    #[test]
    fn a_size_depends_on_the_key_and_the_number_alone() {
        for text in ["64..4KiB", "64:9,1KiB:1", "lognormal:1KiB,1"] {
            let sizes = sizes(text);
            let forwards: Vec<u64> = (0..100).map(|k| sizes.size_of(7, k)).collect();
            let backwards: Vec<u64> = (0..100).rev().map(|k| sizes.size_of(7, k)).collect();
            assert!(forwards.iter().eq(backwards.iter().rev()), "{text}");
            assert!((0..100).any(|k| sizes.size_of(8, k) != forwards[k as usize]), "{text}");
        }
    }

    #[test]
    fn a_range_has_both_its_ends_and_all_between_them_equally_often() {
        let drawn = drawn("10..19");
        for size in 10..=19 {
            let share = drawn.iter().filter(|&&one| one == size).count() as f64 / REQUESTS as f64;
            // Five standard deviations of a share of one tenth.
            assert!((share - 0.1).abs() < 0.0034, "{size}: {share}");
        }
        assert!(drawn.iter().all(|size| (10..=19).contains(size)));
    }

    #[test]
    fn sizes_come_as_often_as_their_weights_say() {
        let drawn = drawn("64:9,1KiB:1");
        let share = drawn.iter().filter(|&&size| size == 1024).count() as f64 / REQUESTS as f64;
        assert!((share - 0.1).abs() < 0.0034, "{share}");
        assert!(drawn.iter().all(|&size| size == 64 || size == 1024));
    }

    #[test]
    fn half_of_log_normal_sizes_lie_below_the_median_and_a_sixth_above_one_sigma() {
        let drawn = drawn("lognormal:10000,0.5");
        let share = |bound: f64| {
            drawn.iter().filter(|&&size| size as f64 > bound).count() as f64 / REQUESTS as f64
        };
        assert!((share(10_000.0) - 0.5).abs() < 0.0056, "{}", share(10_000.0));
        let one_sigma = 10_000.0 * 0.5_f64.exp();
        assert!((share(one_sigma) - 0.158_655).abs() < 0.0041, "{}", share(one_sigma));
    }

    #[test]
    fn log_normal_sizes_stay_between_one_byte_and_the_most() {
        let drawn = drawn("lognormal:64KiB,10");
        assert_eq!(drawn.iter().min(), Some(&1));
        assert_eq!(drawn.iter().max(), Some(&SIZE_MAX_BYTES));
    }

    #[test]
    fn the_first_sizes_of_a_seed_never_change() {
        let first = |text: &str| (0..4).map(|k| sizes(text).size_of(1, k)).collect::<Vec<_>>();
        assert_eq!(first("64..4KiB"), [2_348, 3_071, 3_980, 1_856]);
        assert_eq!(first("64:9,1KiB:1"), [64, 64, 1_024, 64]);
        assert_eq!(first("lognormal:1KiB,1"), [990, 84, 1_118, 135]);
    }

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
