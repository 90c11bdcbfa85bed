//! Percentile text (`response.us.hgrm`) as HdrHistogram's tools write and plot it, in microseconds.
//!
//! The rows are the same percentiles in every file, as far as its samples reach. The plotter of
//! HdrHistogram draws the rows of further files at the positions of the first one's. Its own rows
//! depend on the data and would draw wrong overlays.

use std::fmt::Write as _;

use crate::latency::Latency;
use crate::record::Validity;

/// Rows for every halving of the distance to 100 %.
const TICKS_PER_HALVING: u32 = 10;

/// Halvings, down to a distance of one in a million.
const HALVINGS: u32 = 20;

/// Into how many parts HdrHistogram divides a bucket at three significant digits; the library does
/// not expose it.
const SUB_BUCKETS: u32 = 2_048;

const NS_PER_US: f64 = 1e3;

/// The percentiles of the rows, as shares below 1.
pub(super) fn percentile_rows() -> impl Iterator<Item = f64> {
    (0..HALVINGS).flat_map(|halving| {
        let distance = 0.5_f64.powi(halving as i32);
        (0..TICKS_PER_HALVING).map(move |tick| {
            let step = f64::from(tick) / f64::from(TICKS_PER_HALVING);
            1.0 - distance * (1.0 - step / 2.0)
        })
    })
}

/// The content of the file. Its last line is the verdict: a line that begins with # is a comment
/// to all readers of this format.
pub(super) fn text(latency: &Latency, validity: &Validity) -> String {
    let count = latency.count();
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    for quantile in percentile_rows().take_while(|quantile| (1.0 - quantile) * count as f64 >= 1.0)
    {
        let value_ns = latency.quantile_ns(quantile);
        let value = value_ns as f64 / NS_PER_US;
        let total = latency.histogram().count_between(0, value_ns);
        let inverse = 1.0 / (1.0 - quantile);
        let _ = writeln!(text, "{value:12.3} {quantile:2.12} {total:10} {inverse:14.2}");
    }
    let max = latency.max_ns().unwrap_or(0) as f64 / NS_PER_US;
    // The last row has no fourth column: some plotters would read an infinite position from it.
    let _ = writeln!(text, "{max:12.3} {:2.12} {count:10}", 1.0);
    text + &footer(latency, max) + &format!("#[Verdict = {}]\n", validity.summary())
}

fn footer(latency: &Latency, max: f64) -> String {
    let histogram = latency.histogram();
    let mean = latency.mean_ns().unwrap_or(0) as f64 / NS_PER_US;
    let deviation = if histogram.is_empty() { 0.0 } else { histogram.stdev() / NS_PER_US };
    format!(
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]\n\
         #[Max     = {max:12.3}, Total count    = {:12}]\n\
         #[Buckets = {:12}, SubBuckets     = {SUB_BUCKETS:12}]\n\
         #[Values in microseconds]\n",
        latency.count(),
        histogram.buckets(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::tests::latency_of;

    fn rows_of(latency: &Latency) -> Vec<Vec<f64>> {
        let text = text(latency, &Validity::valid());
        let lines = text.lines().skip(2).filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
            .collect()
    }

    #[test]
    fn a_file_is_written_to_the_letter() {
        let text = text(&latency_of([1_000, 2_000, 3_000, 1_000_000]), &Validity::valid());
        let lines: Vec<&str> = text.lines().collect();
        let head = [
            "       Value     Percentile TotalCount 1/(1-Percentile)",
            "",
            "       1.000 0.000000000000          1           1.00",
            "       1.000 0.050000000000          1           1.05",
        ];
        assert_eq!(&lines[..4], head);
        let tail = [
            "       3.001 0.750000000000          3           4.00",
            "    1000.000 1.000000000000          4",
            "#[Mean    =      251.500, StdDeviation   =      432.230]",
            "#[Max     =     1000.000, Total count    =            4]",
            "#[Buckets =           26, SubBuckets     =         2048]",
            "#[Values in microseconds]",
            "#[Verdict = VALID]",
        ];
        assert_eq!(&lines[lines.len() - 7..], tail);
    }

    #[test]
    fn all_columns_rise_and_only_the_last_row_has_three() {
        let rows = rows_of(&latency_of((1..=100_000).map(|n| n * 37)));
        let (last, others) = rows.split_last().unwrap();
        assert_eq!(last.len(), 3);
        assert!(others.iter().all(|row| row.len() == 4));
        for pair in rows.windows(2) {
            assert!((0..3).all(|column| pair[0][column] <= pair[1][column]), "{pair:?}");
        }
    }

    #[test]
    fn rows_are_the_same_percentiles_whatever_the_data() {
        let percentiles = |latency: &Latency| -> Vec<f64> {
            rows_of(latency).into_iter().filter_map(|row| row.get(3).copied()).collect()
        };
        let few = percentiles(&latency_of((1..=1_000).map(|n| n * n)));
        let many = percentiles(&latency_of(vec![5; 100_000]));
        assert!(few.len() > 90 && few.len() < many.len());
        assert_eq!(few, many[..few.len()]);
    }

    #[test]
    fn rows_end_where_the_samples_do() {
        let rows = rows_of(&latency_of(vec![5; 100]));
        let last_but_one = rows[rows.len() - 2][1];
        assert!(last_but_one <= 0.99 && last_but_one > 0.989, "{last_but_one}");
        assert_eq!(rows_of(&Latency::new()).len(), 1);
        assert_eq!(percentile_rows().count(), 200);
        assert!(percentile_rows().last().unwrap() < 1.0 - 0.5e-6);
    }
}
