//! The bootstrap (Efron, 1979): how much a ratio of medians would vary in repeated measurements.

use super::median;
use crate::schedule::random;

/// The number of resamples, and their seed. The same seed gives the same interval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resampling {
    pub(crate) times: usize,
    pub(crate) seed: u64,
}

impl Default for Resampling {
    /// Enough for two stable digits of a 95 % interval.
    fn default() -> Self {
        Self { times: 10_000, seed: 1 }
    }
}

/// The median of `b` divided by that of `a`, and its 95 % confidence interval: the middle 95 % of
/// the ratios of resampled sides. Nothing if a side is empty or its median is not positive.
///
/// With five values a side, a resampled median is one of five numbers, so the interval is coarse. A
/// verdict also needs the rank test, which is exact for few values.
pub(crate) fn ratio_of_medians(
    a: &[f64],
    b: &[f64],
    resampling: Resampling,
) -> Option<(f64, [f64; 2])> {
    let ratio = |a: &[f64], b: &[f64]| {
        median(a).zip(median(b)).filter(|&(a, b)| a > 0.0 && b > 0.0).map(|(a, b)| b / a)
    };
    let found = ratio(a, b)?;
    let mut state = resampling.seed;
    let mut ratios: Vec<f64> = (0..resampling.times)
        .filter_map(|_| ratio(&resample(a, &mut state), &resample(b, &mut state)))
        .collect();
    ratios.sort_by(f64::total_cmp);
    let outside = ratios.len() / 40;
    let low = *ratios.get(outside)?;
    let high = *ratios.get(ratios.len() - 1 - outside)?;
    Some((found, [low, high]))
}

/// The same number of values, drawn with replacement.
fn resample(values: &[f64], state: &mut u64) -> Vec<f64> {
    let draw = |_| {
        let place = random::unit(random::split_mix(state)) * values.len() as f64;
        values[place as usize]
    };
    (0..values.len()).map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 400 pairs of samples whose medians have the ratio 2: how many intervals contain it.
    fn coverage(size: usize) -> usize {
        let mut state = 77;
        let mut sample = |scale: f64| -> Vec<f64> {
            // Right-skewed with median 1, as latencies are.
            let draw = |_| scale * (2.0 * random::unit(random::split_mix(&mut state)) - 1.0).exp();
            (0..size).map(draw).collect()
        };
        let resampling = Resampling { times: 500, seed: 5 };
        let contains_two = |_: &u32| {
            let (a, b) = (sample(1.0), sample(2.0));
            let (_, [low, high]) = ratio_of_medians(&a, &b, resampling).unwrap();
            low <= 2.0 && 2.0 <= high
        };
        (0..400).filter(contains_two).count()
    }

    #[test]
    fn the_interval_contains_the_truth_about_as_often_as_it_says() {
        let often = coverage(15);
        assert!((360..=398).contains(&often), "{often} of 400");
    }

    #[test]
    fn equal_values_leave_no_doubt() {
        let (ratio, interval) =
            ratio_of_medians(&[2.0; 5], &[3.0; 5], Resampling::default()).unwrap();
        assert_eq!((ratio, interval), (1.5, [1.5, 1.5]));
    }

    #[test]
    fn two_values_a_side_give_the_interval_that_counting_gives() {
        // The medians of {1, 3} drawn twice are 1, 2, 2, 3; 2.5 % of 4 lies at the extremes.
        let (ratio, interval) =
            ratio_of_medians(&[1.0; 2], &[1.0, 3.0], Resampling::default()).unwrap();
        assert_eq!((ratio, interval), (2.0, [1.0, 3.0]));
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let (a, b) = ([1.0, 2.0, 4.0, 7.0, 9.0], [2.0, 3.0, 5.0, 6.0, 20.0]);
        let once = ratio_of_medians(&a, &b, Resampling::default());
        assert_eq!(once, ratio_of_medians(&a, &b, Resampling::default()));
    }

    #[test]
    fn what_has_no_ratio_gets_none() {
        assert_eq!(ratio_of_medians(&[], &[1.0], Resampling::default()), None);
        assert_eq!(ratio_of_medians(&[0.0], &[1.0], Resampling::default()), None);
    }
}
