//! The signed-rank test of Wilcoxon (1945): do the differences of pairs tend to one side?

use super::normal::{TAIL, two_sided_quantile, two_sided_tail};
use super::rank::last_in_tail;

/// Up to this many pairs, the distribution is counted exactly.
const EXACT_MAX: usize = 50;

/// The p value: if the differences are symmetric about zero, the probability that their signed
/// ranks lean to one side at least as far as these. 1 if all are zero.
///
/// Zeros are left out. Equal distances have the mean of their ranks, and the exact result is that
/// given these ties. Beyond 50 pairs it is the normal approximation.
pub(crate) fn signed_rank(differences: &[f64]) -> f64 {
    let known: Vec<f64> = differences.iter().copied().filter(|&d| d != 0.0).collect();
    let doubled = doubled_ranks(&known);
    let all: usize = doubled.iter().sum();
    let ranked = doubled.iter().zip(&known);
    let positive: usize = ranked.filter(|&(_, &d)| d > 0.0).map(|(rank, _)| rank).sum();
    // Twice the distance of the sum from its mean, which is half of all.
    let distance = (2 * positive).abs_diff(all);
    if known.len() > EXACT_MAX {
        let squares: f64 = doubled.iter().map(|&rank| (rank * rank) as f64).sum();
        // One sign changes `distance` by at least 4: half a step is 2.
        return two_sided_tail((distance as f64 - 2.0).max(0.0) / squares.sqrt());
    }
    let ways = ways(&doubled);
    let far = |&(sum, _): &(usize, &f64)| (2 * sum).abs_diff(all) >= distance;
    let as_far: f64 = ways.iter().enumerate().filter(far).map(|(_, ways)| ways).sum();
    as_far / ways.iter().sum::<f64>()
}

/// The smallest p value that this number of pairs can have.
pub(crate) fn smallest_p(pairs: usize) -> f64 {
    2.0 * 0.5_f64.powi(i32::try_from(pairs).unwrap_or(i32::MAX))
}

/// Of the sorted means of two differences (or one twice), how many lie outside the 95 % confidence
/// interval at each end: the shifts that the test does not reject. Nothing below six pairs.
pub(super) fn outside(pairs: usize) -> Option<usize> {
    if pairs > EXACT_MAX {
        let n = pairs as f64;
        let deviation = (n * (n + 1.0) * (2.0 * n + 1.0) / 24.0).sqrt();
        let mean = n * (n + 1.0) / 4.0;
        return Some((mean - 0.5 - two_sided_quantile(2.0 * TAIL) * deviation) as usize);
    }
    let ranks: Vec<usize> = (1..=pairs).collect();
    last_in_tail(&ways(&ranks))
}

/// Twice the rank (from 1) of the distance of each difference from zero.
fn doubled_ranks(differences: &[f64]) -> Vec<usize> {
    let mut sorted: Vec<f64> = differences.iter().map(|d| d.abs()).collect();
    sorted.sort_by(f64::total_cmp);
    let rank = |difference: &f64| {
        let below = sorted.partition_point(|other| *other < difference.abs());
        let up_to = sorted.partition_point(|other| *other <= difference.abs());
        below + 1 + up_to
    };
    differences.iter().map(rank).collect()
}

/// By sum: how many choices of these ranks have it.
fn ways(ranks: &[usize]) -> Vec<f64> {
    let mut ways = vec![0.0_f64; ranks.iter().sum::<usize>() + 1];
    ways[0] = 1.0;
    for &rank in ranks {
        for sum in (rank..ways.len()).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_that_all_lean_to_one_side_have_the_smallest_p_their_number_allows() {
        for pairs in [1, 5, 8, 10] {
            let differences: Vec<f64> = (1..=pairs).map(|n| n as f64).collect();
            let p = signed_rank(&differences);
            assert!((p - smallest_p(pairs)).abs() < 1e-12, "{pairs}: {p}");
        }
        assert_eq!(smallest_p(8), 1.0 / 128.0);
    }

    #[test]
    fn critical_values_of_the_published_table_are_where_they_belong() {
        // The largest sum of ranks that is significant at 5 %, two-sided.
        for (pairs, critical) in [(6, 0), (7, 2), (8, 3), (10, 8), (15, 25), (20, 52)] {
            assert_eq!(outside(pairs), Some(critical), "{pairs}");
        }
        assert_eq!(outside(5), None);
        // The normal approximation takes over without a jump: 434 and 453 by counting.
        assert_eq!((outside(50), outside(51)), (Some(434), Some(453)));
    }

    #[test]
    fn pairs_without_a_difference_say_nothing() {
        assert_eq!(signed_rank(&[]), 1.0);
        assert_eq!(signed_rank(&[0.0; 9]), 1.0);
        assert_eq!(signed_rank(&[0.0, 0.0, 1.0, -1.0]), 1.0);
    }

    #[test]
    fn the_approximation_is_close_to_counting() {
        let differences: Vec<f64> =
            (1..=50).map(|n| if n % 3 == 0 { -f64::from(n) } else { f64::from(n) }).collect();
        let exact = signed_rank(&differences);
        let more = [&differences[..], &[0.5]].concat();
        assert!((signed_rank(&more) - exact).abs() < 0.01, "{exact}");
    }

    /// Every choice of signs, by counting.
    fn brute_force(differences: &[f64]) -> f64 {
        let known: Vec<f64> = differences.iter().copied().filter(|&d| d != 0.0).collect();
        let ranks = doubled_ranks(&known);
        let lean = |signs: u32| {
            let signed = ranks
                .iter()
                .enumerate()
                .map(|(i, &rank)| if signs >> i & 1 == 1 { rank as i64 } else { -(rank as i64) });
            signed.sum::<i64>().abs()
        };
        let signs = known.iter().enumerate().map(|(i, &d)| u32::from(d > 0.0) << i).sum();
        let all = 0..1_u32 << known.len();
        let count = all.len() as f64;
        all.filter(|&other| lean(other) >= lean(signs)).count() as f64 / count
    }

    proptest! {
        #[test]
        fn counting_cleverly_finds_what_counting_everything_finds(
            differences in prop::collection::vec(-5_i8..6, 0..10),
        ) {
            let differences: Vec<f64> = differences.into_iter().map(f64::from).collect();
            prop_assert!((signed_rank(&differences) - brute_force(&differences)).abs() < 1e-9);
        }
    }
}
