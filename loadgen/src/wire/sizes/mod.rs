//! How long the payload of a request is.

mod log_normal;
mod text;
mod weights;

pub(crate) use self::log_normal::LogNormal;
pub(crate) use self::weights::Weights;
use crate::schedule::random;

/// Longest payload.
pub(super) const SIZE_MAX_BYTES: u64 = 64 * bytesize::MIB;

/// Sizes of payloads, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sizes {
    /// All the same.
    Fixed(u64),
    /// Any from the least to the most, both included, as likely as any other.
    Range { least: u64, most: u64 },
    /// One of several, some more often than others.
    Weighted(Weights),
    /// Most near a median, few far beyond it, as objects in caches are.
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

/// An even choice from `0..bound` by a random number.
fn below(bound: u64, number: u64) -> u64 {
    ((u128::from(number) * u128::from(bound)) >> 64) as u64
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

    /// The mean of so many sizes lies within five standard errors of the one that is claimed.
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
}
