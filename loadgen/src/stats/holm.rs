//! Several tests at once (Holm, 1979).

/// The p values as they count when all of them are looked at: the smallest times their number, the
/// next times one less, and so on, never falling. The chance that any of these is below a level
/// although nothing is different is at most that level, whatever the tests have to do with each
/// other.
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
    use super::*;

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
