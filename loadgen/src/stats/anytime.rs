//! A test of pairs, and an interval, that stay true if they are looked at after every pair.
//!
//! A test for a fixed number of pairs gives a false alarm in 5 % of its uses. Looked at after every
//! pair until it is significant, it gives one far more often. This test is a test martingale
//! (Ville, 1939; Ramdas, Grünwald, Vovk and Shafer, 2023): a capital that bets on the sign of each
//! difference. If differences are symmetric about zero, no bet gains on average, so the chance that
//! the capital ever grows by a factor of f is at most 1/f, however often it is looked at.
//!
//! With a stake of `s`, a difference `d` multiplies the capital by 1 + tanh(s·d), which is the best
//! bet for a normal distribution of mean m and variance v if s = m/v. The capital is divided evenly
//! among [`STAKES`], so that no unit and no spread is assumed. Its bound is that of the hyperbolic
//! tangent, so a single extreme difference cannot decide.

use std::array;

use super::median;
use super::normal::TAIL;
use super::power::POWER;
use crate::schedule::random;

/// Stakes by 1 per unit of the difference, a factor of two apart. For differences in logarithms,
/// they suit spreads from a tenth of a per cent to a quarter of the value.
const STAKES: usize = 11;
const SMALLEST_STAKE: f64 = 1.0;

/// Most pairs that are suggested. A difference that needs more is too small for this machine.
pub(crate) const PAIRS_TO_FIND_MAX: u32 = 1_000;

/// Simulated comparisons from which their number is found.
const REPETITIONS: usize = 100;

/// Bisection halves an interval this often: beyond the precision of the numbers.
const HALVINGS: usize = 40;

/// The capitals after some differences: of bets that differences are above zero, and below.
#[derive(Debug, Clone, Default)]
pub(crate) struct AnytimeTest {
    above: Capital,
    below: Capital,
}

impl AnytimeTest {
    /// After these differences.
    pub(crate) fn of(differences: &[f64]) -> Self {
        let mut test = Self::default();
        differences.iter().for_each(|&difference| test.add(difference));
        test
    }

    /// Adds the difference of one more pair.
    pub(crate) fn add(&mut self, difference: f64) {
        self.above.bet(difference);
        self.below.bet(-difference);
    }

    /// The p value, two-sided: if the differences are symmetric about zero, the probability that
    /// it ever is at most α is at most α.
    pub(crate) fn p(&self) -> f64 {
        (2.0 / self.above.growth().max(self.below.growth())).min(1.0)
    }
}

/// Logarithms of the capitals of all stakes.
#[derive(Debug, Clone, Default)]
struct Capital {
    logs: [f64; STAKES],
}

impl Capital {
    /// Bets that a difference is positive.
    fn bet(&mut self, difference: f64) {
        for (log, stake) in self.logs.iter_mut().zip(stakes()) {
            *log += (stake * difference).tanh().ln_1p();
        }
    }

    /// The whole capital by that of the beginning.
    fn growth(&self) -> f64 {
        self.logs.iter().map(|log| log.exp()).sum::<f64>() / STAKES as f64
    }
}

fn stakes() -> [f64; STAKES] {
    array::from_fn(|power| SMALLEST_STAKE * (1_u64 << power) as f64)
}

/// The interval that contains the centre of symmetry of the differences with 95 % confidence after
/// every pair: the shifts that the test does not reject. Nothing if there are too few.
pub(crate) fn anytime_interval(differences: &[f64]) -> Option<[f64; 2]> {
    // The largest capital, of a shift far away, doubles with every pair.
    if (differences.len() as f64).exp2() <= 1.0 / TAIL {
        return None;
    }
    let low = bound(differences)?;
    let turned: Vec<f64> = differences.iter().map(|difference| -difference).collect();
    Some([low, -bound(&turned)?])
}

/// The smallest shift that is not rejected in favour of a larger one.
fn bound(differences: &[f64]) -> Option<f64> {
    let is_rejected = |shift: f64| {
        let mut capital = Capital::default();
        differences.iter().for_each(|difference| capital.bet(difference - shift));
        capital.growth() >= 1.0 / TAIL
    };
    let (smallest, largest) = super::range(differences)?;
    // At the largest difference no bet has gained. Far below the smallest, all have gained all.
    let (mut low, mut high) = (smallest - 20.0 / SMALLEST_STAKE, largest);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if is_rejected(middle) { low = middle } else { high = middle }
    }
    Some(high)
}

/// With how many pairs [`POWER`] of comparisons find a `difference` at `level`, if the noise is
/// that of these pairs: it is drawn again from their distances from their median. Nothing if that
/// takes more than [`PAIRS_TO_FIND_MAX`], or of fewer than two pairs.
pub(crate) fn pairs_to_find(difference: f64, differences: &[f64], level: f64) -> Option<u32> {
    let centre = median(differences).filter(|_| differences.len() > 1)?;
    let count = differences.len() as f64;
    // The distances from a median of the same few values are a little too small.
    let correction = (count / (count - 1.0)).sqrt();
    let noise: Vec<f64> = differences.iter().map(|d| (d - centre) * correction).collect();
    let mut state = 1;
    let mut needed: Vec<u32> = (0..REPETITIONS)
        .map(|_| {
            let mut test = AnytimeTest::default();
            let is_found = |_: &u32| {
                let number = random::split_mix(&mut state);
                let drawn = noise[(random::unit(number) * count) as usize];
                // As the test assumes, either sign is as likely.
                test.add(difference + if number & 1 == 0 { drawn } else { -drawn });
                test.p() <= level
            };
            (1..=PAIRS_TO_FIND_MAX).find(is_found).unwrap_or(u32::MAX)
        })
        .collect();
    needed.sort_unstable();
    let enough = needed[(POWER * REPETITIONS as f64) as usize - 1];
    Some(enough).filter(|&pairs| pairs <= PAIRS_TO_FIND_MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_without_a_difference_say_nothing() {
        assert_eq!(AnytimeTest::default().p(), 1.0);
        assert_eq!(AnytimeTest::of(&[0.0; 50]).p(), 1.0);
        assert_eq!(anytime_interval(&[]), None);
        assert_eq!(anytime_interval(&[0.1; 5]), None);
    }

    #[test]
    fn a_bet_gains_nothing_on_average_if_both_signs_are_as_likely() {
        for difference in [1e-6, 0.03, 0.5, 7.0] {
            let growth = |sign: f64| {
                let mut capital = Capital { logs: array::from_fn(|n| n as f64 / 4.0) };
                let before = capital.growth();
                capital.bet(sign * difference);
                capital.growth() / before
            };
            let mean = f64::midpoint(growth(1.0), growth(-1.0));
            assert!((mean - 1.0).abs() < 1e-12, "{difference}: {mean}");
        }
    }

    #[test]
    fn a_clear_difference_is_found_after_a_few_pairs() {
        let p = |pairs: usize| AnytimeTest::of(&vec![0.5; pairs]).p();
        assert!(p(5) > 0.05 && p(6) < 0.05, "{} {}", p(5), p(6));
        assert!(p(8) < 0.05 / 3.0, "{}", p(8));
    }

    #[test]
    fn one_extreme_difference_does_not_decide() {
        let mut differences = vec![0.01, -0.01, 0.012, -0.009, 0.011, -0.012, 0.009, -0.01];
        differences.push(1e6);
        assert!(AnytimeTest::of(&differences).p() > 0.3);
    }

    proptest! {
        #[test]
        fn the_order_of_the_pairs_does_not_matter(
            differences in prop::collection::vec(-1.0_f64..1.0, 1..20),
        ) {
            let mut turned = differences.clone();
            turned.reverse();
            let (one, other) = (AnytimeTest::of(&differences).p(), AnytimeTest::of(&turned).p());
            prop_assert!((one / other - 1.0).abs() < 1e-9);
        }

        #[test]
        fn the_interval_excludes_zero_exactly_where_the_test_is_significant(
            differences in prop::collection::vec(-0.1_f64..0.3, 6..25),
        ) {
            let [low, high] = anytime_interval(&differences).unwrap();
            let p = AnytimeTest::of(&differences).p();
            prop_assert!(low <= high);
            prop_assert!((p - 0.05).abs() < 1e-9 || (low > 0.0 || high < 0.0) == (p < 0.05));
        }
    }

    /// Noise as that of real pairs: most of one width, some far out, and slowly changing.
    struct Noise {
        state: u64,
        pairs: u32,
    }

    impl Noise {
        fn next(&mut self) -> f64 {
            let mut uniform = || random::unit(random::split_mix(&mut self.state));
            let normal = (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
            let width = if uniform() < 0.1 { 5.0 } else { 1.0 };
            self.pairs += 1;
            let drift = 1.0 + 0.5 * (f64::from(self.pairs) / 10.0).sin();
            0.03 * drift * width * normal
        }
    }

    /// In how many of 2,000 comparisons of up to 100 pairs, with this shift added to the noise, the
    /// p value was ever at most 5 %.
    fn found(shift: f64) -> usize {
        let mut noise = Noise { state: 3, pairs: 0 };
        let is_found = |_: &u32| {
            let mut test = AnytimeTest::default();
            let p_values = (0..100).map(|_| {
                test.add(shift + noise.next());
                test.p()
            });
            p_values.fold(1.0, f64::min) <= 0.05
        };
        (0..2_000).filter(is_found).count()
    }

    #[test]
    fn looked_at_after_each_of_100_pairs_false_alarms_are_5_in_100_at_most() {
        // 5 % of 2,000, and nothing for chance: the bound is not reached.
        let alarms = found(0.0);
        assert!((10..=100).contains(&alarms), "{alarms}");
    }

    #[test]
    fn the_interval_contains_the_truth_after_every_pair_as_often_as_it_says() {
        let mut noise = Noise { state: 4, pairs: 0 };
        let contained = (0..200).filter(|_| {
            let differences: Vec<f64> = (0..40).map(|_| 0.05 + noise.next()).collect();
            let looks = [6, 8, 10, 14, 20, 28, 40];
            let mut intervals =
                looks.map(|pairs| anytime_interval(&differences[..pairs])).into_iter();
            intervals
                .all(|interval| interval.is_some_and(|[low, high]| low <= 0.05 && 0.05 <= high))
        });
        let contained = contained.count();
        assert!((190..200).contains(&contained), "{contained} of 200");
    }

    #[test]
    fn a_test_for_a_fixed_number_of_pairs_gives_false_alarms_if_looked_at_after_each() {
        let mut noise = Noise { state: 3, pairs: 0 };
        let alarms = (0..200).filter(|_| {
            let differences: Vec<f64> = (0..50).map(|_| noise.next()).collect();
            (6..=50).any(|pairs| crate::stats::signed_rank(&differences[..pairs]) < 0.05)
        });
        let alarms = alarms.count();
        assert!(alarms > 30, "{alarms} of 200");
    }

    #[test]
    fn differences_of_real_size_are_found() {
        // Noise of 3 % in 9 of 10 pairs, and up to 100 pairs.
        let [three, five, ten] = [0.03, 0.05, 0.10].map(|shift| found(f64::ln_1p(shift)));
        assert!(three > 1_700 && five > 1_980 && ten == 2_000, "{three} {five} {ten}");
    }

    #[test]
    fn the_price_of_a_look_after_every_pair_is_fewer_than_twice_the_pairs() {
        use crate::stats::{Samples, values_to_find};
        // Quantiles of a normal distribution, whose deviation is the difference to be found.
        let mut state = 6;
        let mut normal = || -> f64 {
            (0..12).map(|_| random::unit(random::split_mix(&mut state))).sum::<f64>() - 6.0
        };
        let differences: Vec<f64> = (0..500).map(|_| 0.03 * normal()).collect();
        let level = 0.05 / 3.0;
        let fixed = values_to_find(0.03, 0.03, level, Samples::Paired);
        let looked_at = pairs_to_find(0.03, &differences, level).unwrap();
        assert_eq!(fixed, 14.0);
        assert!((21..=28).contains(&looked_at), "{looked_at}");
    }

    #[test]
    fn as_many_pairs_as_are_said_to_decide_do_in_four_of_five_comparisons() {
        let mut noise = Noise { state: 8, pairs: 0 };
        let mut pilot = || (0..40).map(|_| noise.next()).collect::<Vec<f64>>();
        let said = [pilot(), pilot(), pilot(), pilot(), pilot()].map(|differences| {
            f64::from(pairs_to_find(f64::ln_1p(0.05), &differences, 0.05).unwrap())
        });
        let pairs = median(&said).unwrap() as usize;
        let found = (0..400).filter(|_| {
            let mut test = AnytimeTest::default();
            (0..pairs).any(|_| {
                test.add(f64::ln_1p(0.05) + noise.next());
                test.p() <= 0.05
            })
        });
        let found = found.count();
        assert!((260..=380).contains(&found), "{found} of 400 with {pairs} pairs");
        assert_eq!(pairs_to_find(1e-6, &[0.1, -0.1, 0.2], 0.05), None);
        assert_eq!(pairs_to_find(0.1, &[0.0], 0.05), None);
    }
}
