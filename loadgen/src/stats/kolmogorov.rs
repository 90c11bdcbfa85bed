//! How far apart two distributions are (Kolmogorov, Smirnov): the largest difference between the
//! shares of values up to any point, from 0 (the same) to 1.

/// Distance of two samples from each other; 0 where one is empty.
pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    let sorted = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted
    };
    let (a, b) = (sorted(a), sorted(b));
    let (mut in_a, mut in_b, mut largest) = (0, 0, 0.0_f64);
    while in_a < a.len() && in_b < b.len() {
        // Equal values jump together.
        let value = a[in_a].min(b[in_b]);
        in_a += a[in_a..].iter().take_while(|&&other| other <= value).count();
        in_b += b[in_b..].iter().take_while(|&&other| other <= value).count();
        let apart = in_a as f64 / a.len() as f64 - in_b as f64 / b.len() as f64;
        largest = largest.max(apart.abs());
    }
    largest
}

/// The distance that samples of one distribution exceed with at most this probability, by the
/// inequality of Dvoretzky, Kiefer and Wolfowitz with Massart's constant: true for every size, and
/// close for large ones. Of two samples, `size` is their [`effective_size`].
pub(crate) fn distance_by_chance(size: f64, probability: f64) -> f64 {
    if size <= 0.0 { 1.0 } else { ((2.0 / probability).ln() / (2.0 * size)).sqrt().min(1.0) }
}

/// The size of the one sample for which the bound is the same as for these two.
pub(crate) fn effective_size(a: usize, b: usize) -> f64 {
    let (a, b) = (a as f64, b as f64);
    if a + b > 0.0 { a * b / (a + b) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn samples_without_overlap_are_one_apart() {
        assert_eq!(distance(&[1.0, 2.0], &[3.0, 4.0, 5.0]), 1.0);
        assert_eq!(distance(&[1.0, 2.0], &[2.0, 1.0]), 0.0);
        assert_eq!(distance(&[], &[2.0]), 0.0);
    }

    #[test]
    fn the_critical_value_is_the_published_one() {
        // 1.358 / sqrt(n) at 5 %, 1.628 / sqrt(n) at 1 %, 1.949 / sqrt(n) at 0.1 %.
        for (probability, factor) in [(0.05, 1.358), (0.01, 1.628), (0.001, 1.949)] {
            assert!((distance_by_chance(100.0, probability) * 10.0 - factor).abs() < 0.001);
        }
        assert_eq!(effective_size(100, 100), 50.0);
        assert_eq!(distance_by_chance(0.0, 0.05), 1.0);
    }

    /// The definition, evaluated at every value.
    fn naive(a: &[f64], b: &[f64]) -> f64 {
        let share = |values: &[f64], up_to: f64| {
            values.iter().filter(|&&value| value <= up_to).count() as f64 / values.len() as f64
        };
        let apart = |&at: &f64| (share(a, at) - share(b, at)).abs();
        a.iter().chain(b).map(apart).fold(0.0, f64::max)
    }

    proptest! {
        #[test]
        fn the_distance_is_that_of_the_definition(
            a in prop::collection::vec(0_u8..20, 1..30),
            b in prop::collection::vec(0_u8..20, 1..30),
        ) {
            let (a, b): (Vec<f64>, Vec<f64>) =
                (a.into_iter().map(f64::from).collect(), b.into_iter().map(f64::from).collect());
            prop_assert!((distance(&a, &b) - naive(&a, &b)).abs() < 1e-12);
        }
    }
}
