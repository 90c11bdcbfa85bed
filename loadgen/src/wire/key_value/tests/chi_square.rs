//! Pearson's test of counts against expected shares.

/// The statistic lies below its mean plus so many standard deviations, except for one right sample
/// in a million. The counts of a seed never change, so a right test never fails by chance.
const DEVIATIONS_MAX: f64 = 5.0;

/// Expects that the counts are a sample of these weights.
#[track_caller]
pub(crate) fn expect(counts: &[u64], weights: &[f64], what: &str) {
    assert_eq!(counts.len(), weights.len());
    let (total, sum) = (counts.iter().sum::<u64>() as f64, weights.iter().sum::<f64>());
    let terms = counts.iter().zip(weights).map(|(&count, weight)| {
        let expected = total * weight / sum;
        assert!(expected >= 5.0, "{what}: too few samples for the test");
        (count as f64 - expected).powi(2) / expected
    });
    let statistic: f64 = terms.sum();
    let freedom = (counts.len() - 1) as f64;
    let bound = freedom + DEVIATIONS_MAX * (2.0 * freedom).sqrt();
    assert!(statistic < bound, "{what}: {statistic:.1} above {bound:.1}");
}
