//! The rank test of Mann and Whitney (1947): does one sample tend to be larger than another? Holm's
//! correction for several such tests.

use super::normal::{TAIL, two_sided_quantile, two_sided_tail};

/// Up to this many values, the distribution is counted exactly. For more values, counting would
/// take long, and the normal distribution is close enough for any p value.
const EXACT_MAX: usize = 50;

/// The p value: if both samples come from one distribution, the probability that their ranks are
/// divided at least as unevenly as these. 1 if a sample is empty.
///
/// Equal values have the mean of their ranks. Up to 50 values the result is exact, given the ties:
/// of all ways to divide the ranks, the share with a rank sum at least as far from its mean. For
/// more values it is the normal approximation, corrected for ties and continuity.
pub(crate) fn mann_whitney(a: &[f64], b: &[f64]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return 1.0;
    }
    let doubled = doubled_ranks(a, b);
    // Twice the rank sum of `a` and, to stay with integers, its distance from the mean.
    let sum: usize = doubled[..a.len()].iter().sum();
    let mean = a.len() * (doubled.len() + 1);
    if doubled.len() <= EXACT_MAX {
        exact(&doubled, a.len(), sum.abs_diff(mean))
    } else {
        approximate(&doubled, a.len(), sum.abs_diff(mean))
    }
}

/// Twice the rank (from 1) of every value of `a` and then of `b` among all.
fn doubled_ranks(a: &[f64], b: &[f64]) -> Vec<usize> {
    let mut sorted: Vec<f64> = a.iter().chain(b).copied().collect();
    sorted.sort_by(f64::total_cmp);
    let rank = |value: &f64| {
        let below = sorted.partition_point(|other| other.total_cmp(value).is_lt());
        let up_to = sorted.partition_point(|other| other.total_cmp(value).is_le());
        below + 1 + up_to
    };
    a.iter().chain(b).map(rank).collect()
}

/// The share of all choices of `chosen` ranks whose sum is at least `distance` from its mean.
fn exact(doubled: &[usize], chosen: usize, distance: usize) -> f64 {
    let ways = ways(doubled, chosen);
    let mean = chosen * (doubled.len() + 1);
    let far = |&(sum, _): &(usize, &f64)| sum.abs_diff(mean) >= distance;
    let as_far: f64 = ways.iter().enumerate().filter(far).map(|(_, ways)| ways).sum();
    as_far / ways.iter().sum::<f64>()
}

/// By sum: how many choices of `chosen` of these ranks have it.
fn ways(ranks: &[usize], chosen: usize) -> Vec<f64> {
    let total: usize = ranks.iter().sum();
    // ways[k][s]: how many choices of k of the ranks seen so far have the sum s.
    let mut ways = vec![vec![0.0_f64; total + 1]; chosen + 1];
    ways[0][0] = 1.0;
    for &rank in ranks {
        for k in (1..=chosen).rev() {
            for sum in rank..=total {
                ways[k][sum] += ways[k - 1][sum - rank];
            }
        }
    }
    ways.swap_remove(chosen)
}

/// Of the sorted differences between values of two samples of these sizes, how many lie outside
/// the 95 % confidence interval at each end: the shifts that the test does not reject. Nothing if
/// the samples are too small for an interval.
pub(super) fn outside(a: usize, b: usize) -> Option<usize> {
    if a + b > EXACT_MAX {
        let (a, b) = (a as f64, b as f64);
        let deviation = (a * b * (a + b + 1.0) / 12.0).sqrt();
        return Some((a * b / 2.0 - 0.5 - two_sided_quantile(2.0 * TAIL) * deviation) as usize);
    }
    let ranks: Vec<usize> = (1..=a + b).collect();
    // The rank sum of the smaller values is the statistic U, plus a constant.
    last_in_tail(&ways(&ranks, a)[a * (a + 1) / 2..])
}

/// The largest index of these counts up to which their share is at most [`TAIL`].
pub(super) fn last_in_tail(counts: &[f64]) -> Option<usize> {
    let all: f64 = counts.iter().sum();
    let mut up_to = 0.0;
    let in_tail = counts.iter().take_while(|&&count| {
        up_to += count;
        up_to <= TAIL * all
    });
    in_tail.count().checked_sub(1)
}

/// The same share by the normal distribution with the same variance.
fn approximate(doubled: &[usize], chosen: usize, distance: usize) -> f64 {
    let (n, m) = (doubled.len() as f64, chosen as f64);
    // The variance of a sum of `chosen` of these numbers, drawn without replacement.
    let squares: f64 = doubled.iter().map(|&rank| (rank as f64 - n - 1.0).powi(2)).sum();
    let variance = m * (n - m) / (n * (n - 1.0)) * squares;
    if variance == 0.0 {
        return 1.0;
    }
    // Rank sums are one apart, doubled ones two: half a step is 1.
    two_sided_tail((distance as f64 - 1.0).max(0.0) / variance.sqrt())
}

/// The p values, corrected for their number (Holm, 1979): the smallest times the number of tests,
/// the next times one less, and so on, never falling. If nothing differs, the probability that any
/// corrected value is below a level is at most that level, however the tests depend on each other.
pub(crate) fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut least = 0.0_f64;
    for (place, &test) in order.iter().enumerate() {
        least = least.max(p_values[test] * (p_values.len() - place) as f64).min(1.0);
        adjusted[test] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn expect(p: f64, published: f64) {
        assert!((p - published).abs() < 1e-9, "{p} is not {published}");
    }

    #[test]
    fn samples_apart_have_the_smallest_p_their_size_allows() {
        // 2 of C(10, 5) = 252 and 2 of C(6, 3) = 20 divisions.
        expect(mann_whitney(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]), 2.0 / 252.0);
        expect(mann_whitney(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), 0.1);
    }

    #[test]
    fn critical_values_of_the_published_table_are_where_they_belong() {
        // U = 23 is significant at 5 % for 10 against 10, U = 24 is not (Mann–Whitney tables).
        let with_u = |u: u32| {
            // A sample of ten that beats u of 100 pairs: shift the lowest ranks upwards.
            let mut a: Vec<f64> = (0..10).map(f64::from).collect();
            let mut left = f64::from(u);
            for value in a.iter_mut().rev() {
                let steps = left.min(10.0);
                *value += steps;
                left -= steps;
            }
            let others = (0..20).map(f64::from).filter(|rank| !a.contains(rank));
            let b: Vec<f64> = others.collect();
            mann_whitney(&a, &b)
        };
        assert!(with_u(23) < 0.05, "{}", with_u(23));
        assert!(with_u(24) > 0.05, "{}", with_u(24));
    }

    #[test]
    fn equal_values_say_nothing() {
        expect(mann_whitney(&[3.0; 5], &[3.0; 7]), 1.0);
        expect(mann_whitney(&[3.0; 40], &[3.0; 40]), 1.0);
        expect(mann_whitney(&[], &[1.0]), 1.0);
    }

    #[test]
    fn the_approximation_takes_over_without_a_jump() {
        let (a, b): (Vec<f64>, Vec<f64>) = (
            (0..25).map(|n| f64::from(n * 2)).collect(),
            (0..25).map(|n| f64::from(n * 2 + 9)).collect(),
        );
        let doubled = doubled_ranks(&a, &b);
        let sum: usize = doubled[..25].iter().sum();
        let distance = sum.abs_diff(25 * 51);
        let (exact, normal) = (exact(&doubled, 25, distance), approximate(&doubled, 25, distance));
        assert!((exact - normal).abs() < 0.002, "{exact} {normal}");
        assert!(exact > 0.01 && exact < 0.2, "{exact}");
    }

    /// Every way to choose `size` of the numbers, by counting.
    fn brute_force(a: &[f64], b: &[f64]) -> f64 {
        let all = doubled_ranks(a, b);
        let mean = (a.len() * (all.len() + 1)) as i64;
        let distance = |sum: usize| (sum as i64 - mean).abs();
        let seen = distance(all[..a.len()].iter().sum());
        let choices = (0_u32..1 << all.len()).filter(|bits| bits.count_ones() as usize == a.len());
        let sums = choices.map(|bits| {
            all.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1).map(|(_, r)| r).sum()
        });
        let (mut far, mut total) = (0, 0);
        for sum in sums {
            total += 1;
            far += u32::from(distance(sum) >= seen);
        }
        f64::from(far) / f64::from(total)
    }

    proptest! {
        #[test]
        fn counting_cleverly_finds_what_counting_everything_finds(
            a in prop::collection::vec(0_u8..6, 1..6),
            b in prop::collection::vec(0_u8..6, 1..6),
        ) {
            let (a, b): (Vec<f64>, Vec<f64>) =
                (a.into_iter().map(f64::from).collect(), b.into_iter().map(f64::from).collect());
            prop_assert!((mann_whitney(&a, &b) - brute_force(&a, &b)).abs() < 1e-9);
            prop_assert!((mann_whitney(&a, &b) - mann_whitney(&b, &a)).abs() < 1e-9);
        }
    }

    #[test]
    fn as_many_differences_are_outside_as_published_tables_say() {
        // Critical values of U, two-sided, 5 %: the largest that is significant.
        for (a, b, critical) in [(4, 4, 0), (5, 5, 2), (6, 6, 5), (8, 8, 13), (10, 10, 23)] {
            assert_eq!(outside(a, b), Some(critical), "{a} and {b}");
        }
        assert_eq!(outside(3, 3), None);
        // The normal approximation takes over without a jump.
        assert_eq!((outside(25, 25), outside(25, 26)), (Some(211), Some(220)));
    }

    #[test]
    fn the_textbook_example_comes_out_in_its_own_order() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        let expected = [0.03, 0.06, 0.06, 0.02];
        let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
        assert!(adjusted.iter().zip(&expected).all(close), "{adjusted:?}");
    }

    #[test]
    fn one_test_alone_stays_as_it_is_and_none_exceeds_one() {
        assert_eq!(holm(&[0.2]), [0.2]);
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
